//! The observer of handlers.

use std::any::type_name;

use real::{Exchange, HttpError, Method, RequestHandler, Result};

use crate::film::Layer;
use crate::recorder::{begin, end, mark};

/// Handles one request with a new `H`, and records its hooks. Takes the place of
/// `dustdevil::handler`.
pub fn handler<H: RequestHandler + 'static>(
    exchange: Box<Exchange>,
    incoming: &mut dyn real::http::content::Incoming,
) -> real::web::handler::ResponseFuture<'_> {
    real::handler::<Observed<H>>(exchange, incoming)
}

/// A handler whose hooks are recorded.
pub struct Observed<H>(H);

/// Returns the name of a handler without its path.
fn short_name<H>() -> &'static str {
    type_name::<H>().rsplit("::").next().unwrap_or_default()
}

/// Records a hook: when it begins, and how long it takes.
async fn hook<H, T>(name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let step = begin(Layer::Handler, name, short_name::<H>());
    let result = work.await;
    end(step, result.as_ref().err().map(ToString::to_string));
    result
}

impl<H: RequestHandler + 'static> RequestHandler for Observed<H> {
    const SUPPORTED_METHODS: &'static [Method] = H::SUPPORTED_METHODS;

    fn set_default_headers(exchange: &mut Exchange) -> Result {
        mark(Layer::Handler, "set_default_headers", short_name::<H>());
        H::set_default_headers(exchange)
    }

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        hook::<H, _>("initialize", H::initialize(exchange)).await.map(Self)
    }

    async fn prepare(&mut self, exchange: &mut Exchange) -> Result {
        hook::<H, _>("prepare", self.0.prepare(exchange)).await
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        hook::<H, _>("get", self.0.get(exchange)).await
    }

    async fn head(&mut self, exchange: &mut Exchange) -> Result {
        hook::<H, _>("head", self.0.head(exchange)).await
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        hook::<H, _>("post", self.0.post(exchange)).await
    }

    async fn put(&mut self, exchange: &mut Exchange) -> Result {
        hook::<H, _>("put", self.0.put(exchange)).await
    }

    async fn patch(&mut self, exchange: &mut Exchange) -> Result {
        hook::<H, _>("patch", self.0.patch(exchange)).await
    }

    async fn delete(&mut self, exchange: &mut Exchange) -> Result {
        hook::<H, _>("delete", self.0.delete(exchange)).await
    }

    async fn options(&mut self, exchange: &mut Exchange) -> Result {
        hook::<H, _>("options", self.0.options(exchange)).await
    }

    async fn write_error(exchange: &mut Exchange, error: &HttpError) -> Result {
        hook::<H, _>("write_error", H::write_error(exchange, error)).await
    }

    fn on_finish(&mut self, exchange: &Exchange) {
        mark(Layer::Handler, "on_finish", short_name::<H>());
        self.0.on_finish(exchange);
    }
}
