//! Sessions that are loaded whole at the start of a request and saved whole at its end, as several
//! known libraries do it. **Warning: it is vulnerable on purpose.**
//!
//! Ids are random, a login changes them, a logout deletes the session: only the snapshot is naive.
//! What another request writes between load and save is lost, and so is its logout.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use dustdevil::{
    Application, Error, Exchange, RequestHandler, Result, SetCookie, Settings, Status,
    crypto, handler, methods,
};

use super::pages;

/// A session: all its values.
type Values = BTreeMap<String, String>;

/// The store: load, save, delete.
#[derive(Default)]
struct Store(Mutex<BTreeMap<String, Values>>);

impl Store {
    fn sessions(&self) -> MutexGuard<'_, BTreeMap<String, Values>> {
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
    methods!(Get, Post);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let store = exchange.state::<Store>()?;
        let id = exchange.get_cookie("session_id").unwrap_or_default();
        // Load ...
        let loaded = store.load(&id);
        match exchange.request().path() {
            "/login" => return pages::form(exchange, "/login", "").await,
            "/main" => {
                let is_user = loaded.is_some_and(|values| values.contains_key("username"));
                return match is_user {
                    true => pages::form(exchange, "/logout", "this is main page").await,
                    false => exchange.redirect("/login"),
                };
            }
            _ => {}
        }
        let (id, mut values) = match loaded {
            Some(values) => (id, values),
            None => (new_session(exchange)?, Values::new()),
        };
        let time = change(exchange, &mut values)?;
        pages::work_for(time).await;
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
                let id = new_session(exchange)?;
                store.save(&id, Values::from([(String::from("username"), user)]));
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

/// Changes the values of a session as the page says, and writes the page. Returns the time that
/// the page's work takes.
fn change(exchange: &mut Exchange, values: &mut Values) -> Result<std::time::Duration> {
    match exchange.request().path() {
        "/keys" => exchange.write(pages::name_lines(values.keys()))?,
        "/count" => {
            let count = values.get("count").and_then(|count| count.parse().ok());
            let count = count.unwrap_or(0_u32) + 1;
            values.insert(String::from("count"), count.to_string());
            exchange.write(format!("count={count}\n"))?;
        }
        "/slow" => {
            values.insert(String::from("slow"), String::from("written"));
            exchange.write("slow=written\n")?;
            return Ok(pages::SLOW_WORK);
        }
        _ => {
            let name = exchange.get_query_argument("name")?;
            let value = exchange.get_query_argument_or("value", "")?;
            values.insert(name, value);
            exchange.write("set\n")?;
        }
    }
    Ok(pages::WORK)
}

/// Returns a random id, and sends it to the client.
fn new_session(exchange: &mut Exchange) -> Result<String> {
    let id = hex::encode(crypto::random::<16>());
    exchange.set_cookie(SetCookie::new("session_id", &*id))?;
    Ok(id)
}

/// Builds the application.
pub(crate) fn application() -> Result<Application> {
    let settings = Settings { xsrf_cookies: true, ..Settings::default() };
    let paths = ["/login", "/main", "/logout", "/count", "/set", "/slow", "/keys"];
    let routes = paths.map(|path| (path, handler::<SnapshotHandler> as _));
    Ok(Application::new(routes, settings)?.state(Store::default()))
}
