//! Tornado's demo `file_upload` (`file_receiver.py`), written anew: files in a form by POST, or
//! one file as it is by PUT. `cargo run --example upload --features cli`
//!
//! A difference: Tornado's PUT handler counts the bytes while they arrive; here a handler's
//! method begins when the content is complete.

use dustdevil::{
    Application, Exchange, Limits, RequestHandler, Result, Settings, handler, methods,
};
use log::info;

struct PostHandler;

impl RequestHandler for PostHandler {
    methods!(Post);

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        for file in exchange.files() {
            let (name, length) = (&file.filename, file.body.len());
            info!("POST {name:?} {:?} {length} bytes", file.content_type);
        }
        exchange.write("OK")
    }
}

struct PutHandler;

impl RequestHandler for PutHandler {
    methods!(Put);

    async fn put(&mut self, exchange: &mut Exchange) -> Result {
        let name = exchange.path_argument("name")?;
        let content_type = exchange.request().field("Content-Type");
        info!("PUT {name:?} {content_type:?} {} bytes", exchange.content().len());
        exchange.write("OK")
    }
}

pub(crate) fn make_app() -> Result<Application> {
    // Tornado's default, `max_body_size`.
    let limits = Limits { max_content: 100 * 1024 * 1024, ..Limits::default() };
    Application::new(
        [("/post", handler::<PostHandler>), ("/{name...}", handler::<PutHandler>)],
        Settings { limits, ..Settings::default() },
    )
}

#[tokio::main]
async fn main() -> Result {
    env_logger::init();
    Ok(make_app()?.listen("127.0.0.1:8888").await?.run().await?)
}
