//! Dustdevil: the demo, to which the same attacks are made as to the victims.
//!
//! The application is that of the demo, compiled from its source. Two things are added: pages that
//! some attacks need, and a store whose operations take time, as over a network, so that requests
//! overlap in it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dustdevil::session::id::Key;
use dustdevil::session::store::{CompareAndSet, Counters, SessionInfo, StoreFuture, Visit};
use dustdevil::{
    Application, Error, Exchange, Lifetime, MemoryLimits, MemoryStore, RequestHandler,
    Result, SessionHandler, Status, Store, handler, methods,
};

use super::{pages, site};
use crate::demo::make_app;
use crate::demo::options::Options;

/// The time that an operation of the store takes.
const LATENCY: Duration = Duration::from_millis(2);

/// The absolute timeout, in idle timeouts.
const IDLE_TIMEOUTS: u32 = 5;

/// Builds the demo, with the pages of the lab and with sessions that live no longer than `idle`
/// without use.
pub(crate) fn application(idle: Duration) -> Result<Application> {
    let max = Lifetime { idle, absolute: idle * IDLE_TIMEOUTS };
    let store = SlowStore { store: MemoryStore::new(MemoryLimits::default()), max };
    let options = Options {
        session_store: Some(Arc::new(store)),
        static_path: site().join("static"),
        template_path: site().join("views"),
        ..Options::default()
    };
    Ok(make_app(options)?.default_handler(handler::<LabHandler>))
}

/// The pages that the demo does not have. It is the default handler, so the paths are its own.
struct LabHandler {
    base: SessionHandler,
}

impl RequestHandler for LabHandler {
    methods!(Get, Post; base: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let session = &self.base.session;
        match exchange.request().path() {
            "/count" => {
                // A read, work, and a write, as in the snapshot victim.
                session.get("count").await?;
                pages::work_for(pages::WORK).await;
                let count = session.increment("count", 1).await?;
                exchange.write(format!("count={}\n", count.unwrap_or_default()))
            }
            "/set" => {
                let name = exchange.get_query_argument("name")?;
                let value = exchange.get_query_argument_or("value", "")?;
                session.get(&name).await?;
                pages::work_for(pages::WORK).await;
                session.set(&name, value).await?;
                exchange.write("set\n")
            }
            "/slow" => {
                session.get("slow").await?;
                pages::work_for(pages::SLOW_WORK).await;
                session.set("slow", "written").await?;
                exchange.write("slow=written\n")
            }
            "/keys" => exchange.write(pages::name_lines(session.keys().await?)),
            "/redirect" => {
                let next = SessionHandler::next_path(exchange);
                exchange.redirect(next.as_deref().unwrap_or("/main"))
            }
            "/echo" => {
                let text = exchange.get_query_argument("text")?;
                exchange.render("echo.html", &[("message", &text)]).await
            }
            "/header" => {
                let value = exchange.get_query_argument_raw("value")?;
                exchange.set_header("X-Echo", value)?;
                exchange.write("done\n")
            }
            _ => not_found(),
        }
    }

    async fn post(&mut self, _: &mut Exchange) -> Result {
        not_found()
    }
}

fn not_found() -> Result {
    Err(Error::http(Status::NOT_FOUND, "There is no such page."))
}

/// The memory store, with operations that take time and with lifetimes of at most `max`.
struct SlowStore {
    store: MemoryStore,
    max: Lifetime,
}

impl SlowStore {
    fn limited(&self, lifetime: Lifetime) -> Lifetime {
        Lifetime {
            idle: lifetime.idle.min(self.max.idle),
            absolute: lifetime.absolute.min(self.max.absolute),
        }
    }
}

/// Returns what the operation returns, after a while.
fn slowly<'a, T: Send + 'a>(operation: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
    StoreFuture::boxed(async {
        tokio::time::sleep(LATENCY).await;
        operation.await
    })
}

impl Store for SlowStore {
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        ip: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, bool> {
        slowly(self.store.create(key, self.limited(lifetime), ip, name, value))
    }

    fn visit<'a>(&'a self, key: Key, ip: IpAddr, name: &'a str) -> StoreFuture<'a, Visit> {
        slowly(self.store.visit(key, ip, name))
    }

    fn get<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        slowly(self.store.get(key, name))
    }

    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>> {
        slowly(self.store.set(key, name, value))
    }

    fn remove<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        slowly(self.store.remove(key, name))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> StoreFuture<'a, Option<CompareAndSet>> {
        slowly(self.store.compare_and_set(key, name, expected, value))
    }

    fn add<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        amount: i64,
    ) -> StoreFuture<'a, Option<i64>> {
        slowly(self.store.add(key, name, amount))
    }

    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>> {
        slowly(self.store.keys(key))
    }

    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>> {
        slowly(self.store.clear(key))
    }

    fn destroy(&self, key: Key) -> StoreFuture<'_, bool> {
        slowly(self.store.destroy(key))
    }

    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool> {
        let lifetime = lifetime.map(|lifetime| self.limited(lifetime));
        slowly(self.store.rotate(key, new, lifetime))
    }

    fn origin(&self, key: Key) -> StoreFuture<'_, Option<Key>> {
        slowly(self.store.origin(key))
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        slowly(self.store.sessions_of(user))
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        self.store.counters()
    }

    fn sweep(&self) -> StoreFuture<'_, ()> {
        self.store.sweep()
    }
}
