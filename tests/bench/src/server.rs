//! The Dustdevil application that is measured with many sessions: a page that requires a login,
//! the same page without one, and the tasks by which the driver fills the store.
//!
//! The demo cannot be used for this, because it has one user, and a user has at most 100
//! sessions. All settings are the defaults, apart from the size of the store and the timeout of
//! a task. It writes no log.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dustdevil::{
    Application, Error, Exchange, MemoryLimits, MemoryStore, Method, RequestHandler,
    SessionHandler, Settings, Store, handler,
};

use crate::fill::{Fill, PlainMap, compute, user};

type HandlerResult<T = ()> = dustdevil::Result<T>;

/// Timeout of a handler. Creating millions of sessions in one request takes longer than the
/// default.
const TASK_TIMEOUT: Duration = Duration::from_secs(3600);

/// Serves until standard input ends, which happens when the driver exits, also if it crashes.
/// `max_sessions` is the capacity of the store.
#[tokio::main]
pub(crate) async fn serve(max_sessions: &str) -> crate::Result {
    let (max_sessions, max_bytes) = (max_sessions.parse()?, usize::MAX);
    let limits = MemoryLimits { max_sessions, max_bytes, ..MemoryLimits::default() };
    let store = Arc::new(MemoryStore::new(limits));
    let server = application(&store)?.listen("127.0.0.1:0").await?;
    println!("{}", server.local_addr()?);
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        // Exits without dropping the store: freeing millions of sessions would only take time.
        std::process::exit(0);
    });
    Ok(server.run().await?)
}

fn application(store: &Arc<MemoryStore>) -> HandlerResult<Application> {
    let settings = Settings {
        session_store: Some(Arc::clone(store) as Arc<dyn Store>),
        handler_timeout: TASK_TIMEOUT,
        ..Settings::default()
    };
    let application = Application::new(
        [
            ("/page", handler::<PageHandler>),
            ("/public", handler::<PublicHandler>),
            ("/counters", handler::<CountersHandler>),
            ("/fill", handler::<FillHandler>),
            ("/plain", handler::<PlainMapHandler>),
            ("/compute", handler::<ComputeHandler>),
        ],
        settings,
    )?;
    Ok(application.state(Arc::clone(store)).state(Mutex::new(Vec::<PlainMap>::new())))
}

/// Renders the page that clients request, about 300 bytes.
pub(crate) fn page(user: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>The main page</title></head>\n<body>\n\
         <h1>The main page</h1>\n<p>Hello, {user}! This is the page behind the login, and it is \
         about as long as a short page is.</p>\n<ul>\n<li><a href=\"/news\">What is new</a></li>\n\
         <li><a href=\"/basket\">Your basket</a></li>\n</ul>\n</body>\n</html>\n"
    )
}

/// GET `/page`: the page for the logged-in user, or a redirect to the login page.
struct PageHandler {
    base: SessionHandler,
}

impl RequestHandler for PageHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> HandlerResult<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> HandlerResult {
        let user = self.base.authenticated(exchange).await?;
        exchange.write(page(&user))
    }
}

/// GET `/public`: the same page without reading a session.
struct PublicHandler;

impl RequestHandler for PublicHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> HandlerResult<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> HandlerResult {
        exchange.write(page(&user(0)))
    }
}

/// GET `/counters`: the numbers of live sessions, evicted sessions, and ids that were not
/// found.
struct CountersHandler;

impl RequestHandler for CountersHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> HandlerResult<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> HandlerResult {
        let counters = exchange.state::<Arc<MemoryStore>>()?.counters().await?;
        exchange.write(format!(
            "{} {} {}",
            counters.live, counters.evicted, counters.rejected_ids
        ))
    }
}

/// POST `/fill`: creates sessions in the store.
struct FillHandler;

impl RequestHandler for FillHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Post];

    async fn initialize(_: &mut Exchange) -> HandlerResult<Self> {
        Ok(Self)
    }

    async fn post(&mut self, exchange: &mut Exchange) -> HandlerResult {
        let from: u32 = number(exchange, "from")?;
        let filling = Fill {
            numbers: from..from + number::<u32>(exchange, "count")?,
            logged_in: number(exchange, "logged_in")?,
            expire: Duration::from_millis(number(exchange, "expire")?),
        };
        let store = exchange.state::<Arc<MemoryStore>>()?;
        let runtime = tokio::runtime::Handle::current();
        run_blocking(exchange, move || runtime.block_on(filling.fill(&store))).await
    }
}

/// POST `/plain`: fills a plain map, and keeps it so that its memory can be measured.
struct PlainMapHandler;

impl RequestHandler for PlainMapHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Post];

    async fn initialize(_: &mut Exchange) -> HandlerResult<Self> {
        Ok(Self)
    }

    async fn post(&mut self, exchange: &mut Exchange) -> HandlerResult {
        let mut plain = match &*exchange.get_argument("of")? {
            "maps" => PlainMap::Maps(std::collections::HashMap::new()),
            _ => PlainMap::Names(std::collections::HashMap::new()),
        };
        let count = number(exchange, "count")?;
        let keep = exchange.state::<Mutex<Vec<PlainMap>>>()?;
        let fill = move || {
            plain.fill(0..count);
            keep.lock().unwrap_or_else(PoisonError::into_inner).push(plain);
            Ok(())
        };
        run_blocking(exchange, fill).await
    }
}

/// POST `/compute`: keeps one thread busy without touching the store.
struct ComputeHandler;

impl RequestHandler for ComputeHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Post];

    async fn initialize(_: &mut Exchange) -> HandlerResult<Self> {
        Ok(Self)
    }

    async fn post(&mut self, exchange: &mut Exchange) -> HandlerResult {
        let time = Duration::from_millis(number(exchange, "time")?);
        let work = move || {
            compute(time);
            Ok(())
        };
        run_blocking(exchange, work).await
    }
}

/// Runs long work with `spawn_blocking`, so that the runtime's threads go on serving requests.
/// The response is the number of seconds that the work took.
async fn run_blocking(
    exchange: &mut Exchange,
    work: impl FnOnce() -> HandlerResult + Send + 'static,
) -> HandlerResult {
    let began = Instant::now();
    tokio::task::spawn_blocking(work).await.map_err(Error::other)??;
    exchange.write(began.elapsed().as_secs_f64().to_string())
}

/// Parses a numeric argument of the request.
fn number<T: std::str::FromStr>(exchange: &Exchange, name: &str) -> HandlerResult<T> {
    let text = exchange.get_argument(name)?;
    text.parse().map_err(|_| Error::other(format!("{name} cannot be {text:?}")))
}
