//! Tornado's demo `helloworld`, written anew: `cargo run --example hello --features cli`.

use dustdevil::{
    Application, Exchange, RequestHandler, Result, Settings, handler, methods,
};

struct MainHandler;

impl RequestHandler for MainHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write("Hello, world")
    }
}

pub(crate) fn make_app() -> Result<Application> {
    Application::new([("/", handler::<MainHandler>)], Settings::default())
}

#[tokio::main]
async fn main() -> Result {
    env_logger::init();
    Ok(make_app()?.listen("127.0.0.1:8888").await?.run().await?)
}
