//! Handlers, and the life of one request.
//!
//! ```text
//! initialize      the hook: makes the handler, for this one request
//! method          405 unless it is one of SUPPORTED_METHODS; 400 for PUT of a part
//! content         read from the wire, and taken apart into arguments
//! origin, XSRF    403 for what another site made the browser send
//! prepare         whatever all methods need
//! get, post, ...  the method itself
//! finish          session, cookies, content: the response is complete
//! log line        200 GET /main (127.0.0.1) 0.12ms
//! on_finish       whatever is to be done after it
//! ```
//! An error before `finish` is drawn by `write_error`, and then finished; `Error::Finish` is
//! sent as it stands. An answer that is made while it is sent is logged before its content.
//!
//! Where the client disconnects, none of what is left happens: the handler is dropped at the `.await`
//! where it waits, which is Rust's cancellation. What it holds is released, and what must not be
//! cut off between two steps belongs in a task of its own (`tokio::spawn`).

use std::future::{Ready, ready};
use std::pin::{Pin, pin};

use log::{error, warn};
use tokio::time::Instant;

use crate::cached_clock::{deadline, now};
use crate::error::{Error, HttpError, Result};
use crate::escape;
use crate::future::lazy_timeout;
use crate::future::{catch_panic, catch_panic_async};
use crate::http::content::Incoming;
use crate::http::framing::Framing;
use crate::http::method::Method;
use crate::http::response::Response;
use crate::http::status::Status;
use crate::web::exchange::Exchange;

/// Answers the requests of a route: a new value for each request, made by
/// [`initialize`](RequestHandler::initialize). Tornado's `RequestHandler`.
///
/// The methods are written as `async fn`. A method that is not written is answered 405 if it is not
/// in [`SUPPORTED_METHODS`](RequestHandler::SUPPORTED_METHODS), and 500 if it is.
///
/// ```
/// use dustdevil::{Exchange, Method, RequestHandler, Result};
///
/// /// Greets.
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
    /// The methods that are written. 405 and OPTIONS tell the client of them. HEAD comes with GET,
    /// and OPTIONS with any.
    const SUPPORTED_METHODS: &'static [Method];

    /// The hook: makes the handler for one request, before anything else is done with it. The
    /// arguments of the query are there already; the content is not. A handler that builds on
    /// another keeps that one inside, and begins with its hook. An error here is answered
    /// like any other.
    fn initialize(exchange: &mut Exchange) -> impl Future<Output = Result<Self>> + Send;

    /// Called before the method, whichever it is. A response that is finished here is sent,
    /// and the method is not called.
    fn prepare(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        let _ = exchange;
        async { Ok(()) }
    }

    /// GET.
    fn get(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        not_written(exchange)
    }

    /// HEAD. Unless it is written, it is GET, and the content is left out when it is sent.
    fn head(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        self.get(exchange)
    }

    /// POST.
    fn post(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        not_written(exchange)
    }

    /// PUT.
    fn put(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        not_written(exchange)
    }

    /// PATCH.
    fn patch(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        not_written(exchange)
    }

    /// DELETE.
    fn delete(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        not_written(exchange)
    }

    /// OPTIONS. Unless it is written, it is 204 with `Allow`.
    fn options(&mut self, exchange: &mut Exchange) -> impl Future<Output = Result> + Send {
        async {
            exchange.set_status(Status::NO_CONTENT);
            exchange.set_header("Allow", allowed(Self::SUPPORTED_METHODS))
        }
    }

    /// Draws the page of an error: the `error_template`, if there is one. There may be no
    /// handler: it may be the hook that failed.
    fn write_error(
        exchange: &mut Exchange,
        error: &HttpError,
    ) -> impl Future<Output = Result> + Send {
        default_error_page(exchange, error)
    }

    /// Called when the response is complete, before it is sent. It can change nothing any more.
    fn on_finish(&mut self, exchange: &Exchange) {
        let _ = exchange;
    }
}

/// What stands in a route table for a handler: `("/login", handler::<LoginHandler>)`.
pub type Handler = for<'a> fn(Box<Exchange>, &'a mut dyn Incoming) -> Answering<'a>;

/// A handler at work. Boxed, so that a connection which waits for its next request does not hold
/// the room that answering one takes.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

/// Has a request answered by a new `H`.
pub fn handler<H: RequestHandler + 'static>(
    exchange: Box<Exchange>,
    incoming: &mut dyn Incoming,
) -> Answering<'_> {
    // `Box::pin` would make the work elsewhere and copy it here, and it is large.
    let room = Box::new_uninit();
    let work: Box<_> = Box::write(room, live::<H>(exchange, incoming));
    Box::into_pin(work)
}

/// The life of one request. If its client disconnects before the response is there, it is dropped
/// where it waits.
async fn live<H: RequestHandler>(
    mut exchange: Box<Exchange>,
    incoming: &mut dyn Incoming,
) -> Response {
    let mut handler: Option<H> = None;
    let late = deadline(now(), exchange.shared.settings.handler_timeout);
    let outcome =
        catch_panic_async(pin!(answer(&mut handler, &mut exchange, incoming, late))).await;
    let outcome = outcome.unwrap_or(Err(Error::Panic));
    if let Err(Error::Panic) = outcome {
        // Who knows what state it was left in.
        handler = None;
        exchange.close_connection();
    }
    match outcome {
        Ok(()) => exchange.log_access(),
        Err(error) => {
            // Seldom needed, and large: it takes room only when it is.
            Box::pin(answer_error::<H>(&mut exchange, error)).await;
            exchange.log_access();
        }
    }
    if let Some(mut handler) = handler
        && catch_panic(|| handler.on_finish(&exchange)).is_none()
    {
        report(&exchange, &Error::Panic);
    }
    exchange.take_response()
}

/// The handler's work, and what completes it. Its time does not go on while content arrives.
async fn answer<H: RequestHandler>(
    slot: &mut Option<H>,
    exchange: &mut Exchange,
    incoming: &mut dyn Incoming,
    mut late: Instant,
) -> Result {
    before(late, pin!(make(slot, exchange))).await?;
    if slot.is_some() && exchange.request.framing() != Framing::Empty {
        let began = Instant::now();
        exchange.set_content(incoming.read().await?)?;
        late += began.elapsed();
    }
    before(late, pin!(complete(slot, exchange))).await
}

/// The hook, and what is checked before content is read. The hook may have completed the response;
/// then there is no handler.
async fn make<H: RequestHandler>(slot: &mut Option<H>, exchange: &mut Exchange) -> Result {
    match H::initialize(exchange).await {
        Ok(handler) => *slot = Some(handler),
        Err(Error::Finish) => return Ok(()),
        Err(error) => return Err(error),
    }
    check_method(exchange.request.method(), H::SUPPORTED_METHODS)?;
    check_whole(exchange)?;
    exchange.check_query()
}

/// The method, and what completes the response.
async fn complete<H: RequestHandler>(
    slot: &mut Option<H>,
    exchange: &mut Exchange,
) -> Result {
    if let Some(handler) = slot {
        match execute(handler, exchange).await {
            Ok(()) | Err(Error::Finish) => {}
            Err(error) => return Err(error),
        }
    }
    exchange.conclude().await
}

/// The other checks, and the method.
async fn execute<H: RequestHandler>(handler: &mut H, exchange: &mut Exchange) -> Result {
    let method = exchange.request.method();
    if !method.is_safe() {
        Box::pin(check_source(exchange)).await?;
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

/// RFC 9110 section 15.5.6: 405 says what would be allowed.
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
    Err(HttpError::new(status, message).with_header("Allow", allowed(supported)).into())
}

/// RFC 9110 section 14.5: a part that is PUT where the whole belongs would take its place.
fn check_whole(exchange: &Exchange) -> Result {
    let request = &exchange.request;
    if request.method() == Method::Put && request.field("Content-Range").is_some() {
        let message = "PUT with Content-Range is not supported.";
        return Err(Error::http(Status::BAD_REQUEST, message));
    }
    Ok(())
}

fn allowed(supported: &[Method]) -> String {
    let mut methods = supported.to_vec();
    if methods.contains(&Method::Get) && !methods.contains(&Method::Head) {
        methods.push(Method::Head);
    }
    if !methods.contains(&Method::Options) {
        methods.push(Method::Options);
    }
    methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ")
}

async fn check_source(exchange: &mut Exchange) -> Result {
    if exchange.shared.settings.check_origin {
        exchange.check_origin()?;
    }
    if exchange.shared.settings.xsrf_cookies {
        exchange.check_xsrf_cookie().await?;
    }
    Ok(())
}

fn not_written(exchange: &Exchange) -> Ready<Result> {
    let method = exchange.request.method();
    ready(Err(Error::other(format!("{method} is in SUPPORTED_METHODS but is not written"))))
}

/// What `work` comes to, unless it is late.
async fn before<W>(late: Instant, work: Pin<&mut W>) -> Result
where
    W: Future<Output = Result>,
{
    lazy_timeout(late, work).await.unwrap_or(Err(Error::HandlerTimeout))
}

/// Makes the response an error page.
async fn answer_error<H: RequestHandler>(exchange: &mut Exchange, error: Error) {
    report(exchange, &error);
    let mut answer = error.to_http_error();
    if answer.status == Status::METHOD_NOT_ALLOWED && answer.headers.is_empty() {
        answer = answer.with_header("Allow", allowed(H::SUPPORTED_METHODS));
    }
    let late = deadline(Instant::now(), exchange.shared.settings.handler_timeout);
    let drawn = catch_panic_async(pin!(before(
        late,
        pin!(finish_with_error_page::<H>(exchange, &answer))
    )))
    .await;
    if let Err(error) = drawn.unwrap_or(Err(Error::Panic)) {
        // What could not be done the first time, such as asking the session's store, is not
        // tried again: the plain page needs nothing but itself.
        report(exchange, &error);
        exchange.forget_session();
        let answer = error.to_http_error();
        exchange.begin_error(&answer);
        let page = exchange.write(error_page(&answer));
        if page.is_err() || exchange.conclude().await.is_err() {
            exchange.close_connection();
        }
    }
}

async fn finish_with_error_page<H: RequestHandler>(
    exchange: &mut Exchange,
    answer: &HttpError,
) -> Result {
    exchange.begin_error(answer);
    H::write_error(exchange, answer).await?;
    exchange.conclude().await
}

/// The application's error page, if it has one, or the plain one.
async fn default_error_page(exchange: &mut Exchange, error: &HttpError) -> Result {
    let template = exchange.shared.settings.error_template.clone();
    if template.is_empty() {
        return exchange.write(error_page(error));
    }
    let status = error.status.to_string();
    exchange.render(&template, &[("status", &status), ("message", &error.message)]).await
}

fn error_page(error: &HttpError) -> String {
    let (status, message) = (error.status, escape::html(&error.message));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<title>{status}</title>\n\
         <h1>{status}</h1>\n<p>{message}</p>\n</html>\n"
    )
}

fn report(exchange: &Exchange, error: &Error) {
    let (method, path) = (exchange.request.method(), exchange.request.path());
    match error {
        Error::Http(_) => {
            warn!(target: "dustdevil::general", "{method} {path}: {}", escape::log(error));
        }
        _ => {
            error!(target: "dustdevil::application", "{method} {path}: {}", escape::log(error));
        }
    }
}
