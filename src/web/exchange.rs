//! One request, and the response that is being built for it, with Tornado's verbs.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, HttpError, Result};
use crate::http::body::Body;
use crate::http::cookie::SetCookie;
use crate::http::method::Method;
use crate::http::request::Request;
use crate::http::response::{HTML, Response};
use crate::http::status::Status;
use crate::http::stream::{Stream, StreamError, StreamSender};
use crate::session::id::Id;
use crate::session::store::Store;
use crate::session::{ClientUpdate, Session, SessionConfig};
use crate::web::access::Access;
use crate::web::arguments::Arguments;
use crate::web::forwarded::whence;
use crate::web::multipart::{self, HttpFile};
use crate::web::shared::Shared;

/// One request, and the response that is being built for it. It is lent to the handler's
/// methods; its verbs are those of Tornado's `RequestHandler`. What may have to wait, for
/// the session's store or for a file, is `async`.
pub struct Exchange {
    pub(crate) request: Request,
    pub(crate) shared: Arc<Shared>,
    pub(crate) arguments: AllArguments,
    pub(crate) path_arguments: Vec<(String, String)>,
    pub(crate) route_arguments: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) new_cookies: Vec<SetCookie>,
    remote_ip: IpAddr,
    https: bool,
    content: Bytes,
    response: Response,
    written: Vec<u8>,
    finished: bool,
    session: Option<Session>,
    access: Access,
    /// What is wrong with the query, if it could not be read.
    bad_query: Option<Box<HttpError>>,
}

/// The arguments of a request, by where they stood.
#[derive(Default)]
pub(crate) struct AllArguments {
    pub(crate) query: Arguments,
    pub(crate) body: Arguments,
    pub(crate) files: Vec<HttpFile>,
}

impl Exchange {
    pub(crate) fn new(shared: Arc<Shared>, request: Request, peer: IpAddr) -> Exchange {
        let limit = shared.settings.max_arguments;
        let query = request.query().map(|query| Arguments::parse_urlencoded(query, limit));
        let (query, bad_query) = match query.transpose() {
            Ok(query) => (query.unwrap_or_default(), None),
            Err(error) => (Arguments::default(), Some(Box::new(error.to_http_error()))),
        };
        let (remote_ip, https) = whence(&request, peer, &shared.settings.trusted_proxies);
        let response = blank_response(&shared, https);
        Exchange {
            request,
            shared,
            arguments: AllArguments { query, ..AllArguments::default() },
            bad_query,
            path_arguments: Vec::new(),
            route_arguments: None,
            new_cookies: Vec::new(),
            remote_ip,
            https,
            content: Bytes::new(),
            response,
            written: Vec::new(),
            finished: false,
            session: None,
            access: Access::begin(),
        }
    }

    /// The request's head.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The request's content, as it was sent.
    pub fn content(&self) -> &Bytes {
        &self.content
    }

    /// The response as it stands.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// What was written so far.
    pub fn written(&self) -> &[u8] {
        &self.written
    }

    /// The client's address; what a trusted proxy says that it is.
    pub fn remote_ip(&self) -> IpAddr {
        self.remote_ip
    }

    /// Whether the client came over https, as a trusted proxy says.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// What the application handed over of this type; see
    /// [`Application::state`](crate::web::application::Application::state).
    pub fn state<T: Any + Send + Sync>(&self) -> Result<Arc<T>> {
        let found = self.shared.state.get(&TypeId::of::<T>()).cloned();
        let missing =
            || Error::other(format!("no state of type {}", std::any::type_name::<T>()));
        found.and_then(|state| state.downcast().ok()).ok_or_else(missing)
    }

    /// What the route table gives for this route; see
    /// [`Route::with`](crate::web::route::Route::with). Tornado passes it to `initialize`.
    pub fn route_arguments<T: Any + Send + Sync>(&self) -> Result<Arc<T>> {
        let missing = || {
            Error::other(format!(
                "the route has no arguments of {}",
                std::any::type_name::<T>()
            ))
        };
        let found = self.route_arguments.clone();
        found.and_then(|arguments| arguments.downcast().ok()).ok_or_else(missing)
    }

    /// The session of whoever sent the request. It costs nothing before it is used. An answer
    /// that used it, or that is a stream and may, is sent with `Vary: Cookie` and
    /// `Cache-Control: no-store`, whatever the handler has set. No session can begin while a
    /// stream is sent, for nobody could be told its id.
    pub fn session(&mut self) -> Session {
        if let Some(session) = &self.session {
            return session.clone();
        }
        let name = self.session_cookie();
        let claims = self.cookie_values(&name).filter_map(Id::parse);
        let settings = &self.shared.settings;
        let rules = SessionConfig {
            lifetime: settings.session_lifetime,
            max_sessions_per_user: settings.max_sessions_per_user,
        };
        let store = Arc::clone(&self.shared.store);
        let session = Session::new(store, rules, self.remote_ip, claims);
        if self.request.method() == Method::Head {
            session.keep_flash();
        }
        self.session = Some(session.clone());
        session
    }

    /// Where all sessions live: for pages that show its
    /// [`counters`](crate::session::store::Store::counters), or
    /// [end all](crate::session::login::revoke_all) that a user has.
    pub fn session_store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// Sets the status.
    pub fn set_status(&mut self, status: Status) {
        self.response.status = status;
    }

    /// Sets a header field. One with a line break in it, or one that the connection writes
    /// itself (`Content-Length`, `Transfer-Encoding`, `Connection`, `Date`), is an error.
    pub fn set_header(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Result {
        Ok(self.response.set_field(name, value)?)
    }

    /// Sets a header field that needs no check: we have made its value.
    pub(crate) fn set_header_unchecked(
        &mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) {
        self.response.set_unchecked(name, value);
    }

    /// Adds a line to a header field that may have several.
    pub fn add_header(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Result {
        Ok(self.response.add_field(name, value)?)
    }

    /// Takes a header field away.
    pub fn clear_header(&mut self, name: &str) {
        self.response.remove_field(name);
    }

    /// Writes to the response. Its Content-Type is `text/html; charset=UTF-8` unless another is
    /// set. After `finish` it is an error, as in Tornado.
    pub fn write(&mut self, text: impl AsRef<[u8]>) -> Result {
        self.check_unfinished()?;
        self.written.extend_from_slice(text.as_ref());
        Ok(())
    }

    /// Writes a page that was made to be written: where it is the first, it is taken as it is.
    pub(crate) fn write_whole(&mut self, page: String) -> Result {
        if !self.written.is_empty() {
            return self.write(page);
        }
        self.check_unfinished()?;
        self.written = page.into_bytes();
        Ok(())
    }

    /// Answers with content that is made while it is sent, by an async closure that is given an
    /// [`StreamSender`]. Its Content-Type is that of [`write`](Exchange::write). If it fails, the
    /// client sees the answer break off.
    pub fn stream<W, E>(&mut self, work: impl FnOnce(StreamSender) -> W) -> Result
    where
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<StreamError>,
    {
        if !self.written.is_empty() {
            return Err(Error::other("stream() after write(); send all of it as one"));
        }
        self.finish_with(Body::Stream(Stream::new(None, work)))
    }

    /// Ends the response with this content.
    pub(crate) fn finish_with(&mut self, body: Body) -> Result {
        self.check_unfinished()?;
        self.response.body = body;
        self.finish();
        Ok(())
    }

    /// Ends the response without content.
    pub(crate) fn finish_empty(&mut self) -> Result {
        self.written.clear();
        self.finish_with(Body::Bytes(Bytes::new()))
    }

    fn check_unfinished(&self) -> Result {
        match self.finished {
            true => Err(Error::other("the response was finished already")),
            false => Ok(()),
        }
    }

    /// Ends the response. It is sent when the handler's method returns.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether the response has been ended.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Ends the request with an error page: `return exchange.send_error(Status::NOT_FOUND)`.
    pub fn send_error(&self, status: Status) -> Result {
        Err(Error::http(status, ""))
    }

    /// Takes everything back that was put into the response, as Tornado does before it draws an
    /// error page. The session's cookie is not among it, for the session is what it is.
    pub fn clear(&mut self) {
        let close = self.response.close;
        self.response = blank_response(&self.shared, self.https);
        self.response.close = close;
        self.new_cookies.clear();
        self.written.clear();
        self.finished = false;
    }

    /// Takes everything back, and begins the answer to an error.
    pub(crate) fn begin_error(&mut self, error: &HttpError) {
        self.clear();
        self.set_status(error.status);
        for (name, value) in &error.headers {
            // What cannot be sent is left out: this is the answer to an error already.
            let _ = self.response.set_field(*name, value.clone());
        }
    }

    /// Answers without the session, which cannot be asked.
    pub(crate) fn forget_session(&mut self) {
        self.session = None;
    }

    /// Refuses to speak of a query that could not be read.
    pub(crate) fn check_query(&self) -> Result {
        match &self.bad_query {
            Some(error) => Err(HttpError::clone(error).into()),
            None => Ok(()),
        }
    }

    /// Takes in the content, and the arguments in it: what comes after the hook, for whoever
    /// tries a handler out without a socket. An error if the query or the form is malformed.
    pub fn set_content(&mut self, content: Bytes) -> Result {
        self.check_query()?;
        if content.is_empty() {
            return Ok(());
        }
        let limit = self.shared.settings.max_arguments;
        let content_type = self.request.field("Content-Type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            self.arguments.body = Arguments::parse_urlencoded(&content, limit)?;
        } else if media_type.eq_ignore_ascii_case("multipart/form-data") {
            let form = multipart::parse(content_type, &content, limit)?;
            self.arguments.body = form.arguments;
            self.arguments.files = form.files;
        }
        self.content = content;
        Ok(())
    }

    /// The connection is to end after the response.
    pub(crate) fn close_connection(&mut self) {
        self.response.close = true;
    }

    /// Adds what the session has to tell, the cookies, and what was written. The response is
    /// complete then.
    pub(crate) async fn conclude(&mut self) -> Result {
        // What is made while it is sent may use the session then.
        let is_stream = matches!(self.response.body, Body::Stream(_));
        if let Some(session) = &self.session {
            let client_update = session.client_update().await?;
            if is_stream || !matches!(client_update, ClientUpdate::Unused) {
                self.response.forbid_caching();
            }
            self.apply_client_update(client_update)?;
        }
        for cookie in &self.new_cookies {
            self.response.add_unchecked("Set-Cookie", cookie.checked_field_value());
        }
        if !self.written.is_empty() {
            self.response.body = Body::Bytes(std::mem::take(&mut self.written).into());
        }
        let status = self.response.status;
        if status.has_no_content() || status == Status::RESET_CONTENT {
            // RFC 9110 section 15.3.6 has 205 without content, too, though with a length.
            self.response.body = Body::Bytes(Bytes::new());
        } else if !self.response.body.is_empty() {
            self.response.set_default_type(&HTML);
        }
        self.finished = true;
        Ok(())
    }

    /// The response, once it is complete.
    pub(crate) fn take_response(&mut self) -> Response {
        std::mem::replace(&mut self.response, Response::new(Status::OK))
    }

    /// Writes the line of the access log.
    pub(crate) fn log_access(&self) {
        self.access.log(self.response.status, &self.request, self.remote_ip);
    }
}

/// Shows what the request and the response show, and nothing of what was sent with them.
impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Exchange")
            .field("request", &self.request)
            .field("remote_ip", &self.remote_ip)
            .field("response", &self.response)
            .finish_non_exhaustive()
    }
}

/// What every response begins as.
fn blank_response(shared: &Shared, https: bool) -> Response {
    Response::with_defaults(if https {
        &shared.https_default_fields
    } else {
        &shared.default_fields
    })
}
