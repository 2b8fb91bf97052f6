//! The tutorial's program, the one that Dustdevil began with, line by line. **Warning: it is
//! vulnerable on purpose.**
//!
//! Each line of the tutorial (l.20 is its line 20) stands above its translation. The translation
//! stands on `dustdevil::http`, and has nothing of `web` or `session`; what Tornado does for the
//! program is in [`tornado`](super::tornado). So what is naive here was written in the tutorial.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dustdevil::http::Service;
use dustdevil::http::connection;
use dustdevil::http::content::Incoming;
use dustdevil::http::method::Method;
use dustdevil::http::request::Request;
use dustdevil::http::response::Response;
use dustdevil::http::server_state::ServerState;
use dustdevil::http::status::Status;
use md5::{Digest, Md5};

use crate::victim::tornado::{HttpError, RequestHandler};

/// The file `views/login.html`, which the tutorial does not show.
const LOGIN_HTML: &str = "<form method=\"post\" action=\"/login\">\n\
    {% raw xsrf_form_html() %}\n\
    <input name=\"username\"> <input name=\"password\" type=\"password\"> <button>Log in</button>\n\
    </form>\n";

/// The 300 of l.40: the lifetime of the cookie in seconds. The lab sets it to 2 for the attack
/// that waits for the expiry.
static LIFETIME: AtomicU64 = AtomicU64::new(300);

/// `time.time()`: the system clock in seconds, as a float.
fn time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// `str` of a float. Python and Rust both write the shortest decimal that is read back as the same
/// float.
pub(crate) fn python_str(float: f64) -> String {
    format!("{float:?}")
}

// l.19  # generate a random string
// l.20  def gen_random_str():
fn gen_random_str() -> String {
    // l.21      md5 = hashlib.md5()
    let mut md5 = Md5::new();
    // l.22      md5.update(str(time.time()).encode('utf-8'))
    md5.update(python_str(time()).as_bytes());
    // l.23      return md5.hexdigest()
    hex::encode(md5.finalize())
}

// l.25  # a class of sessions, which is instantiated with the handler
// l.26  class CacheSession(object):
struct CacheSession {
    random_str: String,
}

// l.27      # a static field (a large dict), which all session objects share
// l.28      container = {}
type Container = HashMap<String, HashMap<String, String>>;
static CONTAINER: LazyLock<Mutex<Container>> = LazyLock::new(Mutex::default);

/// Python's global interpreter lock: one thread at a time.
fn container<T>(work: impl FnOnce(&mut Container) -> T) -> T {
    work(&mut CONTAINER.lock().unwrap_or_else(PoisonError::into_inner))
}

impl CacheSession {
    // l.30      def __init__(self,handler):
    // l.31          self.handler = handler
    fn new(handler: &mut RequestHandler) -> CacheSession {
        // l.32          # get session_id from the cookie
        // l.33          client_random_str = self.handler.get_cookie("session_id")
        let client_random_str = handler.get_cookie("session_id").unwrap_or_default();
        // l.34          if client_random_str and client_random_str in self.container:
        let is_known = container(|container| container.contains_key(&client_random_str));
        let random_str = if !client_random_str.is_empty() && is_known {
            // l.35              self.random_str = client_random_str
            client_random_str
        // l.36          else:
        } else {
            // l.37              self.random_str = gen_random_str()
            let random_str = gen_random_str();
            // l.38              self.container[self.random_str] = {}
            container(|container| container.insert(random_str.clone(), HashMap::new()));
            random_str
        };
        // l.40          expires = time.time() + 300
        #[allow(clippy::cast_precision_loss)]
        let expires = time() + LIFETIME.load(Ordering::Relaxed) as f64;
        // l.41          self.handler.set_cookie("session_id", self.random_str, expires=expires)
        handler.set_cookie("session_id", &random_str, Some(expires));
        CacheSession { random_str }
    }

    // l.43      def __setitem__(self, key, value):
    fn set(&self, key: &str, value: &str) {
        // l.44          self.container[self.random_str][key] = value
        container(|container| {
            let values = container.entry(self.random_str.clone()).or_default();
            values.insert(key.to_owned(), value.to_owned());
        });
    }

    // l.45      def __getitem__(self, item):
    fn get(&self, item: &str) -> Option<String> {
        // l.46          return self.container[self.random_str].get(item)
        container(|container| container.get(&self.random_str)?.get(item).cloned())
    }
}

// l.48  class SessionHandler(RequestHandler):
struct SessionHandler {
    handler: RequestHandler,
    session: CacheSession,
}

impl SessionHandler {
    // l.49      def initialize(self):
    fn initialize(mut handler: RequestHandler) -> SessionHandler {
        // l.51          self.session = CacheSession(self)
        let session = CacheSession::new(&mut handler);
        SessionHandler { handler, session }
    }
}

// l.53  class LoginHandler(SessionHandler,RequestHandler):
struct LoginHandler<'a>(&'a mut SessionHandler);

impl LoginHandler<'_> {
    // l.54      def get(self, *args, **kwargs):
    fn get(self) {
        // l.55          self.render('login.html')
        self.0.handler.render(LOGIN_HTML);
    }

    // l.56      def post(self, *args, **kwargs):
    fn post(self) -> Result<(), HttpError> {
        // l.57          username = self.get_argument('username')
        let username = self.0.handler.get_argument("username")?;
        // l.58          password = self.get_argument('password')
        let password = self.0.handler.get_argument("password")?;
        // l.59          if username == 'admin' and password == '123':
        if username == "admin" && password == "123" {
            // l.60              self.session['username'] = username
            self.0.session.set("username", &username);
            // l.61              self.redirect('/main')
            self.0.handler.redirect("/main");
        // l.62          else:
        } else {
            // l.63              self.redirect('/login')
            self.0.handler.redirect("/login");
        }
        Ok(())
    }
}

// l.65  class MainHandler(SessionHandler,RequestHandler):
struct MainHandler<'a>(&'a mut SessionHandler);

impl MainHandler<'_> {
    // l.66      def get(self, *args, **kwargs):
    fn get(self) {
        // l.67          username = self.session['username']
        let username = self.0.session.get("username");
        // l.68          if username:
        if username.is_some() {
            // l.69              self.write('this is main page')
            self.0.handler.write("this is main page");
        // l.70          else:
        } else {
            // l.71              self.redirect('/login')
            self.0.handler.redirect("/login");
        }
    }

    // l.72      def post(self, *args, **kwargs):
    #[allow(clippy::unused_self)]
    fn post(self) {
        // l.73          pass
    }
}

// l.80  def make_app():
// l.81      return tornado.web.Application([
struct Application;

impl Application {
    /// Calls a handler: `initialize`, then the XSRF check (l.78, `"xsrf_cookies": True`), then the
    /// method. A path that has no route is 404, without a session.
    fn handle(
        request: Request,
        content: Vec<u8>,
        peer: SocketAddr,
        began: Instant,
    ) -> Response {
        let path = request.path().to_owned();
        let handler = RequestHandler::new(request, content);
        if path != "/login" && path != "/main" {
            return handler.finish(Err(HttpError(Status::NOT_FOUND)), peer, began);
        }
        let mut handler = SessionHandler::initialize(handler);
        let handled = Application::call(&path, &mut handler);
        handler.handler.finish(handled, peer, began)
    }

    fn call(path: &str, handler: &mut SessionHandler) -> Result<(), HttpError> {
        let method = handler.handler.method();
        if !method.is_safe() {
            handler.handler.check_xsrf_cookie()?;
        }
        match (path, method) {
            // l.82          (r"/login", LoginHandler),
            ("/login", Method::Get) => LoginHandler(handler).get(),
            ("/login", Method::Post) => LoginHandler(handler).post()?,
            // l.83          (r"/main", MainHandler),
            ("/main", Method::Get) => MainHandler(handler).get(),
            ("/main", Method::Post) => MainHandler(handler).post(),
            _ => return Err(HttpError(Status::METHOD_NOT_ALLOWED)),
        }
        Ok(())
    }
}

impl Service for Application {
    async fn respond<'a>(
        &'a self,
        request: Request,
        peer: SocketAddr,
        incoming: &'a mut dyn Incoming,
    ) -> Response {
        let began = Instant::now();
        match incoming.read().await {
            Ok(content) => Application::handle(request, content.to_vec(), peer, began),
            Err(refusal) => Response::plain_text(refusal.status, refusal.message),
        }
    }
}

// l.86      app = make_app()
// l.87      app.listen(8888)
// l.88      tornado.ioloop.IOLoop.current().start()
/// Serves the program on a listening socket; `lifetime` takes the place of its 300 seconds.
pub(crate) async fn serve(listener: TcpListener, lifetime: Duration) -> io::Result<()> {
    LIFETIME.store(lifetime.as_secs(), Ordering::Relaxed);
    listener.set_nonblocking(true)?;
    super::announce(listener.local_addr()?.port());
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (application, state) = (Arc::new(Application), Arc::new(ServerState::default()));
    let accepting = async {
        loop {
            let (socket, peer) = listener.accept().await?;
            let admission = state.admit(peer);
            tokio::spawn(connection::serve(socket, Arc::clone(&application), admission));
        }
    };
    let ended: io::Result<Infallible> = accepting.await;
    ended.map(|never| match never {})
}
