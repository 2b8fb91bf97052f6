//! Tornado's demo `chat`, written anew: a chat room by long polling.
//! `cargo run --example chat --features cli,json`
//!
//! Differences: URLs in a message do not become links, and after 50 s without a message the
//! response is an empty list.

use std::path::Path;
use std::time::Duration;

use dustdevil::crypto::random;
use dustdevil::{
    Application, Exchange, RequestHandler, Result, SessionHandler, Settings, Status,
    handler, methods,
};
use serde_json::{Value, json};
use tokio::sync::watch;

const CACHE_SIZE: usize = 200;

/// Below the 60 s after which proxies and the handler timeout end a request.
const MAX_WAIT: Duration = Duration::from_secs(50);

/// The latest messages. The channel wakes the requests that wait for more.
struct MessageBuffer(watch::Sender<Vec<Value>>);

impl MessageBuffer {
    fn add(&self, message: Value) {
        self.0.send_modify(|cache| {
            cache.push(message);
            cache.drain(..cache.len().saturating_sub(CACHE_SIZE));
        });
    }
}

/// Returns the messages after the one with the id `cursor`; all, if there is none.
fn messages_since<'m>(cache: &'m [Value], cursor: Option<&str>) -> &'m [Value] {
    let last = cache.iter().rposition(|message| message["id"].as_str() == cursor);
    &cache[last.map_or(0, |last| last + 1)..]
}

struct MainHandler;

impl RequestHandler for MainHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let cache = exchange.state::<MessageBuffer>()?.0.borrow().clone();
        let messages: String =
            cache.iter().filter_map(|message| message["html"].as_str()).collect();
        let css = exchange.static_url("chat.css").await?;
        let js = exchange.static_url("chat.js").await?;
        exchange
            .render("index.html", &[("messages", &messages), ("css", &css), ("js", &js)])
            .await
    }
}

struct MessageNewHandler;

impl RequestHandler for MessageNewHandler {
    methods!(Post);

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let id = format!("{:032x}", u128::from_ne_bytes(random()));
        let body = exchange.get_argument("body")?;
        let html =
            exchange.render_string("message.html", &[("id", &id), ("body", &body)]).await?;
        let message = json!({ "id": id, "body": body, "html": html });
        match (exchange.find_argument("next")?, SessionHandler::next_path(exchange)) {
            (None, _) => exchange.write_json(&message)?,
            (_, Some(next)) => exchange.redirect(&next)?,
            _ => return exchange.send_error(Status::BAD_REQUEST),
        }
        exchange.state::<MessageBuffer>()?.add(message);
        Ok(())
    }
}

/// Long polling: responds as soon as there is a new message.
struct MessageUpdatesHandler;

impl RequestHandler for MessageUpdatesHandler {
    methods!(Post);

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let cursor = exchange.find_argument("cursor")?;
        let mut cache = exchange.state::<MessageBuffer>()?.0.subscribe();
        let shutdown = exchange.shutdown();
        let is_news =
            |cache: &Vec<Value>| !messages_since(cache, cursor.as_deref()).is_empty();
        tokio::select! {
            _ = cache.wait_for(is_news) => {}
            () = tokio::time::sleep(MAX_WAIT) => {}
            () = shutdown.begun() => {}
        }
        let messages = messages_since(&cache.borrow(), cursor.as_deref()).to_vec();
        exchange.write_json(&json!({ "messages": messages }))
    }
}

pub(crate) fn make_app() -> Result<Application> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ports/chat");
    let settings = Settings {
        cookie_secret: b"a secret of this demo: choose your own, and keep it".to_vec(),
        template_path: folder.join("templates"),
        static_path: folder.join("static"),
        xsrf_cookies: true,
        debug: true,
        ..Settings::default()
    };
    let routes = [
        ("/", handler::<MainHandler> as dustdevil::Handler),
        ("/a/message/new", handler::<MessageNewHandler>),
        ("/a/message/updates", handler::<MessageUpdatesHandler>),
    ];
    let buffer = MessageBuffer(watch::Sender::new(Vec::new()));
    Ok(Application::new(routes, settings)?.state(buffer))
}

#[tokio::main]
async fn main() -> Result {
    env_logger::init();
    Ok(make_app()?.listen("127.0.0.1:8888").await?.run().await?)
}
