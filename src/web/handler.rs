//! Request handlers, and the life cycle of one request.
//!
//! The hooks run in the order of Tornado's `RequestHandler`
//! (<https://www.tornadoweb.org/en/stable/web.html>, "Entry points"):
//!
//! ```text
//! step               purpose                                            on failure
//! default headers    those of the handler                               error page
//! initialize         creates the handler for this one request           error page
//! method             is it in SUPPORTED_METHODS?                        405
//!                    PUT must not have a Content-Range                  400
//! query              was parsed before `initialize`                     400
//! content            read from the socket; forms are parsed             400, 408, 413, 503
//! check_origin       POST, PUT, PATCH, DELETE: not from another site    403
//! XSRF token         the same methods, if `xsrf_cookies` is set, except
//!                    on a route without the check                       403
//! prepare            work that all methods share                        error page
//! get, post, ...     the method itself                                  error page
//! complete           session cookie, other cookies, content             error page
//! access log         200 GET /main (127.0.0.1) 0.12ms
//! on_finish          cleanup
//! ```
//! An error before this goes to `write_error`, which renders the error page.
//! `Error::Finish` is not an error: the response is sent as the handler has built it. A
//! streamed response is logged before its content is sent.
//!
//! # Cancellation
//!
//! If the client disconnects, or the handler timeout passes, the handler is dropped at the
//! `.await` at which it waits: dropping a future is how Rust cancels it. Destructors run, so
//! what the handler holds is released. Work that must not be interrupted between two steps
//! belongs in a task of its own (`tokio::spawn`). A handler that does not reach an `.await`
//! cannot be cancelled, and blocks its worker thread: see tokio's `spawn_blocking`.

use std::future::{Ready, ready};
use std::pin::{Pin, pin};

use tokio::time::Instant;

use crate::cached_clock::{deadline, now};
use crate::error::{Error, HttpError, Result};
use crate::future::{catch_panic, catch_panic_async, lazy_timeout};
use crate::http::content::Incoming;
use crate::http::framing::Framing;
use crate::http::method::Method;
use crate::http::response::Response;
use crate::http::status::Status;
use crate::web::error_page::{default_page, error_page, report, shown_error};
use crate::web::exchange::Exchange;

/// A handler for the requests of a route. Each request gets a new value, created by
/// [`initialize`](RequestHandler::initialize). Tornado's `RequestHandler`.
///
/// The methods are written as `async fn`. A request with a method that is not in
/// [`SUPPORTED_METHODS`](RequestHandler::SUPPORTED_METHODS) gets 405. A method that is in it
/// but is not implemented is a fault of the application: 500.
///
/// ```
/// use dustdevil::{Exchange, Method, RequestHandler, Result};
///
/// /// Responds with a greeting.
/// struct HelloHandler;
///
/// impl RequestHandler for HelloHandler {
///     const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];
///
///     async fn initialize(_: &mut Exchange) -> Result<Self> {
///         Ok(Self)
///     }
///
///     async fn get(&mut self, exchange: &mut Exchange) -> Result {
///         exchange.write("Hello, world!")
///     }
/// }
/// ```
pub trait RequestHandler: Sized + Send {
    /// The methods that the handler implements, for 405 and the `Allow` field. GET includes
    /// HEAD, and OPTIONS is always supported.
    const SUPPORTED_METHODS: &'static [Method];

    /// Sets header fields that error pages have, too. Called before `initialize`, and again
    /// when an error page begins, because the page replaces the response. Fields that all
    /// handlers send are a setting:
    /// [`default_headers`](crate::web::settings::Settings::default_headers). If it fails, the
    /// response is a plain page with 500. Default: none. Tornado's `set_default_headers`.
    ///
    /// ```
    /// use dustdevil::{Exchange, RequestHandler, Result, methods};
    ///
    /// struct ApiHandler;
    ///
    /// impl RequestHandler for ApiHandler {
    ///     methods!(Get);
    ///
    ///     fn set_default_headers(exchange: &mut Exchange) -> Result {
    ///         exchange.set_header("Access-Control-Allow-Origin", "*")
    ///     }
    /// }
    /// ```
    fn set_default_headers(exchange: &mut Exchange) -> Result {
        let _ = exchange;
        Ok(())
    }

    /// The `initialize` hook: creates the handler for one request, before anything else is done
    /// with the request. The arguments of the query are available; the content is not. A
    /// handler that extends a base handler has it as a field, and calls the base's `initialize`
    /// first. An error is handled as in any other step.
    fn initialize(exchange: &mut Exchange) -> impl Future<Output = Result<Self>> + Send;

    /// Called before the method, for every method. If it finishes the response, the method is
    /// not called.
    fn prepare(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        let _ = exchange;
        async { Ok(()) }
    }

    /// GET.
    fn get(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        not_implemented(exchange)
    }

    /// HEAD. Default: calls `get`; the connection sends the head of the response only.
    fn head(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        self.get(exchange)
    }

    /// POST.
    fn post(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        not_implemented(exchange)
    }

    /// PUT.
    fn put(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        not_implemented(exchange)
    }

    /// PATCH.
    fn patch(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        not_implemented(exchange)
    }

    /// DELETE.
    fn delete(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        not_implemented(exchange)
    }

    /// OPTIONS. Default: 204 with the `Allow` field.
    fn options(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        async {
            exchange.set_status(Status::NO_CONTENT);
            exchange.set_header("Allow", allow_value(Self::SUPPORTED_METHODS))
        }
    }

    /// Renders an error page. Default: the `error_template` of the settings, or a plain page if
    /// none is set. It has no `self`, because the step that failed may be `initialize`.
    fn write_error(
        exchange: &mut Exchange,
        error: &HttpError,
    ) -> impl Future<Output = Result> + Send {
        default_page(exchange, error)
    }

    /// Called after the response is complete and before it is sent. It cannot change the
    /// response.
    fn on_finish(&mut self, exchange: &Exchange) {
        let _ = exchange;
    }
}

/// The entry of a handler in a route table: `("/login", handler::<LoginHandler>)`.
pub type Handler = for<'a> fn(Box<Exchange>, &'a mut dyn Incoming) -> ResponseFuture<'a>;

/// The future of a response. It is boxed, so that the task of an idle connection does not
/// reserve the memory that handling a request needs.
pub type ResponseFuture<'a> = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

/// Handles one request with a new `H`.
pub fn handler<H: RequestHandler + 'static>(
    exchange: Box<Exchange>,
    incoming: &mut dyn Incoming,
) -> ResponseFuture<'_> {
    Box::pin(run_request::<H>(exchange, incoming))
}

/// Runs all steps of one request, and returns the response.
///
/// A panic in the application's code must not end the connection's task, so it is caught and
/// becomes a 500. `catch_unwind` requires `UnwindSafe`, a lint against reading values that a
/// panic has left half-changed; [`future`](crate::future) overrides it with `AssertUnwindSafe`.
/// That is sound because no such value is used afterwards: the handler is dropped, its future
/// is not polled again, the response is cleared before the error page is written, and the
/// connection is closed after it. State shared with other requests is protected by mutexes, in
/// whose critical sections this crate does not panic.
async fn run_request<H: RequestHandler>(
    mut exchange: Box<Exchange>,
    incoming: &mut dyn Incoming,
) -> Response {
    let mut handler: Option<H> = None;
    let deadline = deadline(now(), exchange.shared.settings.handler_timeout);
    // Two statements: as one, they would enlarge this future by 32 bytes.
    let outcome =
        catch_panic_async(pin!(run_steps(&mut handler, &mut exchange, incoming, deadline)))
            .await;
    let outcome = outcome.unwrap_or_else(|message| Err(Error::Panic(message)));
    if let Err(Error::Panic(_)) = outcome {
        handler = None;
        exchange.close_connection();
    }
    let refusal = match outcome {
        Ok(()) => None,
        // Boxed, because it is large and rarely needed: it would enlarge the future of every
        // request.
        Err(error) => Box::pin(respond_with_error::<H>(&mut exchange, error)).await,
    };
    exchange.log_access(refusal.as_ref());
    if let Some(mut handler) = handler
        && let Err(message) = catch_panic(|| handler.on_finish(&exchange))
    {
        report(&exchange, &Error::Panic(message));
    }
    exchange.take_response()
}

/// Runs the handler and completes the response, or fails at the deadline of the handler
/// timeout.
///
/// The time in which content arrives does not count against the deadline, because it is the
/// client's time and has timeouts of its own (`content_timeout`, `min_content_rate`).
async fn run_steps<H: RequestHandler>(
    handler: &mut Option<H>,
    exchange: &mut Exchange,
    incoming: &mut dyn Incoming,
    mut deadline: Instant,
) -> Result {
    until(deadline, pin!(create_handler(handler, exchange))).await?;
    if handler.is_some() && exchange.request.framing() != Framing::Empty {
        let start = Instant::now();
        exchange.set_content(incoming.read().await?)?;
        deadline += start.elapsed();
    }
    until(deadline, pin!(execute_and_complete(handler, exchange))).await
}

/// Runs `initialize`, and the checks that precede the content. If `initialize` has finished the
/// response, there is no handler.
async fn create_handler<H: RequestHandler>(
    slot: &mut Option<H>,
    exchange: &mut Exchange,
) -> Result {
    H::set_default_headers(exchange)?;
    match H::initialize(exchange).await {
        Ok(handler) => *slot = Some(handler),
        Err(Error::Finish) => return Ok(()),
        Err(error) => return Err(error),
    }
    check_method(exchange.request.method(), H::SUPPORTED_METHODS)?;
    reject_partial_put(exchange)?;
    exchange.check_query()
}

async fn execute_and_complete<H: RequestHandler>(
    handler: &mut Option<H>,
    exchange: &mut Exchange,
) -> Result {
    if let Some(handler) = handler {
        match execute(handler, exchange).await {
            Ok(()) | Err(Error::Finish) => {}
            Err(error) => return Err(error),
        }
    }
    exchange.complete_response().await
}

/// Runs the checks against forged requests, `prepare`, and the method.
async fn execute<H: RequestHandler>(handler: &mut H, exchange: &mut Exchange) -> Result {
    let method = exchange.request.method();
    if !method.is_safe() {
        Box::pin(check_forgery(exchange)).await?;
    }
    handler.prepare(exchange).await?;
    if exchange.is_finished() {
        return Ok(());
    }
    match method {
        Method::Get => handler.get(exchange).await,
        Method::Head => handler.head(exchange).await,
        Method::Post => handler.post(exchange).await,
        Method::Put => handler.put(exchange).await,
        Method::Patch => handler.patch(exchange).await,
        Method::Delete => handler.delete(exchange).await,
        Method::Options => handler.options(exchange).await,
    }
}

/// Rejects a method that is not supported. RFC 9110 section 15.5.6: a 405 must have `Allow`.
fn check_method(method: Method, supported: &[Method]) -> Result {
    let is_implied = match method {
        Method::Options => true,
        Method::Head => supported.contains(&Method::Get),
        _ => false,
    };
    if is_implied || supported.contains(&method) {
        return Ok(());
    }
    let message = format!("{method} is not supported here.");
    let status = Status::METHOD_NOT_ALLOWED;
    Err(HttpError::new(status, message).with_header("Allow", allow_value(supported)).into())
}

/// Rejects a partial PUT (RFC 9110 section 14.5). A handler that does not know `Content-Range`
/// would replace the whole resource by the part.
fn reject_partial_put(exchange: &Exchange) -> Result {
    let request = &exchange.request;
    if request.method() == Method::Put && request.field("Content-Range").is_some() {
        let message = "PUT with Content-Range is not supported.";
        return Err(Error::http(Status::BAD_REQUEST, message));
    }
    Ok(())
}

/// Returns the value of the `Allow` field.
fn allow_value(supported: &[Method]) -> String {
    let mut methods = supported.to_vec();
    if methods.contains(&Method::Get) && !methods.contains(&Method::Head) {
        methods.push(Method::Head);
    }
    if !methods.contains(&Method::Options) {
        methods.push(Method::Options);
    }
    methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ")
}

/// Rejects cross-site request forgery; see [`xsrf`](crate::web::xsrf).
async fn check_forgery(exchange: &mut Exchange) -> Result {
    if exchange.shared.settings.check_origin {
        exchange.check_origin()?;
    }
    if exchange.shared.settings.xsrf_cookies && !exchange.is_xsrf_exempt {
        exchange.check_xsrf_cookie().await?;
    }
    Ok(())
}

fn not_implemented(exchange: &Exchange) -> Ready<Result> {
    let method = exchange.request.method();
    ready(Err(Error::other(format!(
        "{method} is in SUPPORTED_METHODS but not implemented"
    ))))
}

/// Awaits `work`, or returns [`Error::HandlerTimeout`] at the deadline.
async fn until(deadline: Instant, work: Pin<&mut impl Future<Output = Result>>) -> Result {
    lazy_timeout(deadline, work).await.unwrap_or(Err(Error::HandlerTimeout))
}

/// Replaces the response with an error page. The page has the handler timeout once more,
/// because the first one may have passed. Returns a refusal (4xx), for the access log.
async fn respond_with_error<H: RequestHandler>(
    exchange: &mut Exchange,
    error: Error,
) -> Option<HttpError> {
    let refusal = Some(error.to_http_error()).filter(|error| error.status.code() < 500);
    if refusal.is_none() {
        report(exchange, &error);
    }
    let mut http_error = shown_error(exchange, &error);
    if http_error.status == Status::METHOD_NOT_ALLOWED && http_error.headers.is_empty() {
        http_error = http_error.with_header("Allow", allow_value(H::SUPPORTED_METHODS));
    }
    let deadline = deadline(Instant::now(), exchange.shared.settings.handler_timeout);
    let page = finish_with_error_page::<H>(exchange, &http_error);
    let outcome = catch_panic_async(pin!(until(deadline, pin!(page)))).await;
    if let Err(error) = outcome.unwrap_or_else(|message| Err(Error::Panic(message))) {
        // A step that failed for the first page, such as a call of the session store, is not
        // tried again: the plain page needs neither template nor session.
        report(exchange, &error);
        exchange.drop_session();
        let http_error = shown_error(exchange, &error);
        exchange.clear();
        exchange.begin_error(&http_error);
        let page = exchange.write(error_page(&http_error));
        if page.is_err() || exchange.complete_response().await.is_err() {
            exchange.close_connection();
        }
    }
    refusal
}

async fn finish_with_error_page<H: RequestHandler>(
    exchange: &mut Exchange,
    error: &HttpError,
) -> Result {
    exchange.clear();
    H::set_default_headers(exchange)?;
    exchange.begin_error(error);
    H::write_error(exchange, error).await?;
    exchange.complete_response().await
}
