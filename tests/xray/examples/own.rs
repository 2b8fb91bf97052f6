//! An application of one's own under observation: `cargo run --example own`, then
//! `curl http://127.0.0.1:8000/visits`. Without the observer, it would be the first example of the
//! README.

use std::sync::Arc;

use dustdevil::{
    Application, Exchange, MemoryLimits, MemoryStore, Recorder, RequestHandler, Result,
    SessionHandler, Settings, handler, methods, store,
};
use dustdevil_xray::program::install_quiet_logger;
use dustdevil_xray::serve::{Server, Site};
use dustdevil_xray::{pages, text};

/// Counts the visits of a client.
struct VisitsHandler {
    base: SessionHandler,
}

impl RequestHandler for VisitsHandler {
    methods!(Get; base: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let visits = self.base.session.increment("visits", 1).await?.unwrap_or_default();
        exchange.write(format!("Visits: {visits}\n"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    install_quiet_logger()?;
    let recorder = Recorder::new(|film| print!("{}", text::summary(film)));
    let store = store::Observed::new(Arc::new(MemoryStore::new(MemoryLimits::default())));
    let settings = Settings { session_store: Some(Arc::new(store)), ..Settings::default() };
    let application = Application::new([("/visits", handler::<VisitsHandler>)], settings)?;
    let address = "127.0.0.1:8000".parse()?;
    let site = Site::new(application).with_pages(pages::application(&recorder, address)?);
    Server::listen(address, site, &recorder).await?.run().await;
    Ok(())
}
