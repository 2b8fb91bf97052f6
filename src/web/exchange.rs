//! The exchange: one request, and the response that is being built for it.
//!
//! The methods of a handler borrow it as `&mut Exchange`. It has the methods of Tornado's
//! `RequestHandler`; more of them are in `exchange_arguments` (arguments and forms),
//! `exchange_cookies` (cookies, the session), `exchange_json` (JSON), `exchange_render`
//! (templates, redirects, static URLs) and `exchange_xsrf` (XSRF tokens).
//!
//! The response is buffered: nothing is sent before the handler has returned, so an error page
//! can still replace it. Only the content of files and streams is produced while it is sent.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::net::IpAddr;
use std::panic::Location;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, HttpError, Result};
use crate::http::body::Body;
use crate::http::cookie::SetCookie;
use crate::http::request::Request;
use crate::http::response::{HTML, Response, Text};
use crate::http::status::Status;
use crate::http::stream::{Stream, StreamSender};
use crate::session::{ClientUpdate, Session};
use crate::web::access::Access;
use crate::web::arguments::Arguments;
use crate::web::forwarded::client_address;
use crate::web::multipart::HttpFile;
use crate::web::settings::Settings;
use crate::web::shared::Shared;

/// A request/response exchange, as RFC 9110 calls the pair. A method that may have to wait, for
/// the session store or for a file, is `async`.
pub struct Exchange {
    pub(crate) request: Request,
    pub(crate) shared: Arc<Shared>,
    pub(crate) arguments: AllArguments,
    pub(crate) path_arguments: Vec<(String, String)>,
    pub(crate) route_arguments: Option<Arc<dyn Any + Send + Sync>>,
    /// See [`Route::without_xsrf_check`](crate::Route::without_xsrf_check).
    pub(crate) is_xsrf_exempt: bool,
    pub(crate) new_cookies: Vec<SetCookie>,
    pub(crate) session: Option<Session>,
    remote_ip: IpAddr,
    https: bool,
    pub(crate) content: Bytes,
    response: Response,
    /// Content that was written and is not in the response yet. Tornado's `_write_buffer`.
    write_buffer: Vec<u8>,
    finished: bool,
    access: Access,
    /// The error in the query, if it is malformed. Boxed, because it is rare.
    bad_query: Option<Box<HttpError>>,
}

/// The arguments of a request, by their source.
#[derive(Default)]
pub(crate) struct AllArguments {
    pub(crate) query: Arguments,
    pub(crate) body: Arguments,
    pub(crate) files: Vec<HttpFile>,
}

/// The request.
impl Exchange {
    /// Returns the head of the request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Returns the content of the request, as it was sent.
    pub fn content(&self) -> &Bytes {
        &self.content
    }

    /// Returns the client's address: that of the socket, or the one that a trusted proxy
    /// reports.
    pub fn remote_ip(&self) -> IpAddr {
        self.remote_ip
    }

    /// Returns `true` if a trusted proxy reports that the client uses https.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Returns the application's state of this type, which was given as `T` or as `Arc<T>`;
    /// see [`Application::state`](crate::web::application::Application::state).
    #[track_caller]
    pub fn state<T: Any + Send + Sync>(&self) -> Result<Arc<T>> {
        let state = |id: TypeId| self.shared.state.get(&id);
        let found = state(TypeId::of::<T>()).or_else(|| state(TypeId::of::<Arc<T>>()));
        let missing = || format!("no state of type {}", type_name::<T>());
        or_other(found.and_then(downcast), missing)
    }

    /// Returns the settings of the application. Tornado's `settings`.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Returns the arguments of the route, which the route table defines as `T` or as `Arc<T>`;
    /// see [`Route::with`](crate::web::route::Route::with). Tornado passes them to
    /// `initialize`.
    #[track_caller]
    pub fn route_arguments<T: Any + Send + Sync>(&self) -> Result<Arc<T>> {
        let missing = || format!("the route has no arguments of {}", type_name::<T>());
        or_other(self.route_arguments.as_ref().and_then(downcast), missing)
    }
}

/// The response.
impl Exchange {
    /// Sets the status, with the reason phrase of its RFC. Default: 200.
    pub fn set_status(&mut self, status: Status) {
        self.response.set_status(status);
    }

    /// Sets another reason phrase for the status, which is set first: `HTTP/1.1 422 Title too
    /// long`. Clients ignore it (RFC 9112 section 4). Fails if it contains a line break or
    /// another control character, which would allow response splitting. The second argument of
    /// Tornado's `set_status`.
    pub fn set_reason(&mut self, reason: impl Into<Text>) -> Result {
        Ok(self.response.set_reason(reason)?)
    }

    /// Sets a header field and replaces earlier values. Fails if the name or the value is
    /// invalid (a line break would allow response splitting), or if the connection writes the
    /// field itself: `Content-Length`, `Transfer-Encoding`, `Connection`, `Date`.
    pub fn set_header(&mut self, name: impl Into<Text>, value: impl Into<Text>) -> Result {
        Ok(self.response.set_field(name, value)?)
    }

    /// Adds a field line to a header field that may have several. Fails like
    /// [`set_header`](Exchange::set_header).
    pub fn add_header(&mut self, name: impl Into<Text>, value: impl Into<Text>) -> Result {
        Ok(self.response.add_field(name, value)?)
    }

    /// Removes all lines of a header field.
    pub fn clear_header(&mut self, name: &str) {
        self.response.remove_field(name);
    }

    /// Appends to the content of the response. Its Content-Type is `text/html; charset=UTF-8`
    /// unless another is set. Fails after `finish`, as in Tornado.
    pub fn write(&mut self, text: impl AsRef<[u8]>) -> Result {
        self.check_unfinished()?;
        self.write_buffer.extend_from_slice(text.as_ref());
        Ok(())
    }

    /// Finishes the response with streamed content, which an async closure produces while it is
    /// sent, with a [`StreamSender`]. The Content-Type is that of [`write`](Exchange::write).
    /// If the closure fails, the response is aborted, so that the client can see that it is
    /// incomplete. Tornado's `flush`, called repeatedly.
    ///
    /// ```
    /// # use dustdevil::{Exchange, Result};
    /// # fn example(exchange: &mut Exchange) -> Result {
    /// exchange.set_header("Content-Type", "text/csv; charset=UTF-8")?;
    /// exchange.stream(async move |sender| {
    ///     for number in 1..=1000 {
    ///         sender.send(format!("{number},{}\n", number * number)).await?;
    ///     }
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn stream<W>(&mut self, work: impl FnOnce(StreamSender) -> W) -> Result
    where
        W: Future<Output = Result> + Send + 'static,
    {
        if !self.write_buffer.is_empty() {
            return Err(Error::other("stream() after write(); send all of it as one"));
        }
        self.finish_with(Body::Stream(Stream::new(None, work)))
    }

    /// Finishes the response. It is sent after the handler's method has returned.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Returns `true` if the response is finished.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Ends the request with an error page: `return exchange.send_error(Status::NOT_FOUND)`.
    #[track_caller]
    pub fn send_error(&self, status: Status) -> Result {
        Err(Error::http(status, ""))
    }

    /// Resets the response to its initial state, as Tornado does before it writes an error
    /// page. The session and the cookie with its id are not affected. It does not call
    /// [`set_default_headers`](crate::web::handler::RequestHandler::set_default_headers).
    pub fn clear(&mut self) {
        let close = self.response.close;
        self.response = blank_response(&self.shared, self.https);
        self.response.close = close;
        self.new_cookies.clear();
        self.write_buffer.clear();
        self.finished = false;
    }
}

/// The response as it is so far, for tests of a handler without a socket.
impl Exchange {
    /// Returns the response as it is now, without the content in the write buffer.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// Returns the content that was written so far.
    pub fn write_buffer(&self) -> &[u8] {
        &self.write_buffer
    }
}

impl Exchange {
    pub(crate) fn new(shared: Arc<Shared>, request: Request, peer: IpAddr) -> Exchange {
        let limit = shared.settings.max_arguments;
        let query = request.query().map(|query| Arguments::parse_urlencoded(query, limit));
        let (query, bad_query) = match query.transpose() {
            Ok(query) => (query.unwrap_or_default(), None),
            Err(error) => (Arguments::default(), Some(Box::new(error.to_http_error()))),
        };
        let proxies = &shared.settings.trusted_proxies;
        let (remote_ip, https) = client_address(&request, peer, proxies);
        let response = blank_response(&shared, https);
        Exchange {
            request,
            shared,
            arguments: AllArguments { query, ..AllArguments::default() },
            bad_query,
            path_arguments: Vec::new(),
            route_arguments: None,
            is_xsrf_exempt: false,
            new_cookies: Vec::new(),
            session: None,
            remote_ip,
            https,
            content: Bytes::new(),
            response,
            write_buffer: Vec::new(),
            finished: false,
            access: Access::begin(),
        }
    }

    /// Fails if the query is malformed. [`new`](Exchange::new) only keeps the error, because
    /// the handler that renders it with its `write_error` is not known at that time.
    pub(crate) fn check_query(&self) -> Result {
        let error = self.bad_query.as_deref();
        error.map_or(Ok(()), |error| Err(error.clone().into()))
    }

    fn check_unfinished(&self) -> Result {
        if self.finished {
            return Err(Error::other("the response was finished already"));
        }
        Ok(())
    }

    /// Sets a header field with a value that this crate has made, without checking it.
    pub(crate) fn set_unchecked(&mut self, name: &'static str, value: impl Into<Text>) {
        self.response.set_unchecked(name, value);
    }

    /// Like [`write`](Exchange::write), but uses the page's buffer without copying it if it is
    /// the first content.
    pub(crate) fn write_page(&mut self, page: String) -> Result {
        if !self.write_buffer.is_empty() {
            return self.write(page);
        }
        self.check_unfinished()?;
        self.write_buffer = page.into_bytes();
        Ok(())
    }

    /// Finishes the response with this content.
    pub(crate) fn finish_with(&mut self, body: Body) -> Result {
        self.check_unfinished()?;
        self.response.body = body;
        self.finish();
        Ok(())
    }

    /// Finishes the response without content.
    pub(crate) fn finish_empty(&mut self) -> Result {
        self.write_buffer.clear();
        self.finish_with(Body::Bytes(Bytes::new()))
    }

    /// Sets the status and the fields of an error, in a response that was cleared.
    pub(crate) fn begin_error(&mut self, error: &HttpError) {
        self.set_status(error.status);
        for (name, value) in &error.headers {
            // An invalid field is left out: the response is an error page already.
            let _ = self.response.set_field(*name, value.clone());
        }
    }

    /// Makes the connection close after the response.
    pub(crate) fn close_connection(&mut self) {
        self.response.close = true;
    }

    /// Completes the response: adds the cookie of the session, the other cookies, and the
    /// content of the write buffer.
    pub(crate) async fn complete_response(&mut self) -> Result {
        // A streamed response may still use the session while it is sent.
        let is_stream = matches!(self.response.body, Body::Stream(_));
        if let Some(session) = &self.session {
            let client_update = session.client_update().await?;
            if is_stream || !matches!(client_update, ClientUpdate::Unused) {
                self.response.forbid_caching();
            }
            step!("cookie: {}", client_update.name());
            self.apply_client_update(client_update)?;
        }
        for cookie in &self.new_cookies {
            self.response.add_unchecked("Set-Cookie", cookie.checked_field_value());
        }
        if !self.write_buffer.is_empty() {
            self.response.body = Body::Bytes(std::mem::take(&mut self.write_buffer).into());
        }
        let status = self.response.status;
        if status.has_no_content() || status == Status::RESET_CONTENT {
            // RFC 9110 section 15.3.6: 205 has no content either, but it has a Content-Length.
            self.response.body = Body::Bytes(Bytes::new());
        } else if !self.response.body.is_empty() {
            self.response.set_default_type(&HTML);
        }
        self.finished = true;
        Ok(())
    }

    /// Moves the complete response out of the exchange.
    pub(crate) fn take_response(&mut self) -> Response {
        std::mem::replace(&mut self.response, Response::new(Status::OK))
    }

    /// Writes the line of the access log, with the error if the request was refused.
    pub(crate) fn log_access(&self, refusal: Option<&HttpError>) {
        self.access.log(self.response.status, &self.request, self.remote_ip, refusal);
    }
}

/// Leaves out content, arguments and cookies, which may be secret.
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

/// Returns a shared value that was given as `T` or as `Arc<T>`.
pub(crate) fn downcast<T: Any + Send + Sync>(
    value: &Arc<dyn Any + Send + Sync>,
) -> Option<Arc<T>> {
    match Arc::clone(value).downcast() {
        Ok(value) => Some(value),
        Err(value) => value.downcast_ref::<Arc<T>>().map(Arc::clone),
    }
}

/// Returns what was found, or an [`Error::Other`] with the caller's source line. It is taken
/// here, because a closure does not pass it on.
#[track_caller]
pub(crate) fn or_other<T>(found: Option<T>, missing: impl FnOnce() -> String) -> Result<T> {
    let location = Location::caller();
    found.ok_or_else(|| Error::Other(missing().into(), location))
}

/// Returns an empty response with the application's default fields.
fn blank_response(shared: &Shared, https: bool) -> Response {
    let fields = if https { &shared.https_default_fields } else { &shared.default_fields };
    Response::with_defaults(fields)
}
