//! Sessions that are loaded whole at the begin of a request and saved whole at its end, as several
//! known libraries do it. **Warning: it is vulnerable on purpose.**
//!
//! Ids are random, a login changes them, a logout deletes the session: only the snapshot is naive.
//! What another request writes between load and save is lost, also its logout.

use std::collections::BTreeMap;
use std::sync::Mutex;

use dustdevil::http::method::Method;
use dustdevil::{
    Application, Error, Exchange, RequestHandler, Result, SetCookie, Settings, Status,
    crypto, handler,
};

use super::pages;

/// A session: all its values.
type Values = BTreeMap<String, String>;

/// The store: load, save, delete.
#[derive(Default)]
struct Store(Mutex<BTreeMap<String, Values>>);

impl Store {
    fn sessions(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Values>> {
        self.0.lock().expect("no thread panics while it holds the lock")
    }

    fn load(&self, id: &str) -> Option<Values> {
        self.sessions().get(id).cloned()
    }

    /// Replaces the whole session, and creates it if it is not there.
    fn save(&self, id: &str, values: Values) {
        self.sessions().insert(id.to_owned(), values);
    }

    fn delete(&self, id: &str) {
        self.sessions().remove(id);
    }
}

/// Handles all pages, so that load and save can be seen together.
struct SnapshotHandler;

impl RequestHandler for SnapshotHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let store = exchange.state::<Store>()?;
        let path = exchange.request().path().to_owned();
        if path == "/login" {
            return pages::form(exchange, "/login", "").await;
        }
        let id = exchange.get_cookie("session_id").unwrap_or_default();
        // Load ...
        let Some(mut values) = store.load(&id) else { return exchange.redirect("/login") };
        match &*path {
            "/main" => {
                return pages::form(exchange, "/logout", "this is main page").await;
            }
            "/keys" => {
                let names: Vec<&str> = values.keys().map(String::as_str).collect();
                return exchange.write(names.join("\n") + "\n");
            }
            "/count" => {
                let count = values.get("count").and_then(|count| count.parse().ok());
                let count = count.unwrap_or(0_u32) + 1;
                values.insert(String::from("count"), count.to_string());
                exchange.write(format!("{count}\n"))?;
            }
            _ => {
                let name = exchange.get_query_argument("name")?;
                let value = exchange.get_query_argument_or("value", "")?;
                values.insert(name, value);
                exchange.write("set\n")?;
            }
        }
        pages::work(exchange).await;
        // ... and save.
        store.save(&id, values);
        Ok(())
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let store = exchange.state::<Store>()?;
        if let Some(id) = exchange.get_cookie("session_id") {
            store.delete(&id);
        }
        match exchange.request().path() {
            "/login" => {
                let Some(user) = pages::checked_user(exchange)? else {
                    return exchange.redirect("/login");
                };
                let id = hex::encode(crypto::random::<16>());
                store.save(&id, Values::from([(String::from("username"), user)]));
                exchange.set_cookie(SetCookie::new("session_id", id))?;
                exchange.redirect("/main")
            }
            "/logout" => {
                exchange.clear_cookie("session_id")?;
                exchange.redirect("/login")
            }
            _ => Err(Error::http(Status::METHOD_NOT_ALLOWED, "This page has no POST.")),
        }
    }
}

/// Builds the application.
pub(crate) fn application() -> Result<Application> {
    let settings = Settings { xsrf_cookies: true, ..Settings::default() };
    let paths = ["/login", "/main", "/logout", "/count", "/set", "/keys"];
    let routes = paths.map(|path| (path, handler::<SnapshotHandler> as _));
    Ok(Application::new(routes, settings)?.state(Store::default()))
}
