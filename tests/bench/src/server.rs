//! The server that is measured: a page for whoever is logged in, the same page for everybody,
//! and what the driver needs to have it filled.
//!
//! It writes no log, and is otherwise as `Settings::default()` has it.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dustdevil::{
    Application, Error, Exchange, MemoryLimits, MemoryStore, Method, RequestHandler,
    SessionHandler, Settings, Store, handler,
};

use crate::fill::{Filling, Plain, compute, user};

type Outcome<T = ()> = dustdevil::Result<T>;

/// Work takes as long as it takes.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(3600);

/// Serves until the driver lets go of the other end of standard input.
#[tokio::main]
pub(crate) async fn serve(limit: &str) -> crate::Result {
    let (sessions, bytes) = (limit.parse()?, usize::MAX);
    let limits = MemoryLimits {
        max_sessions: sessions,
        max_bytes: bytes,
        ..MemoryLimits::default()
    };
    let store = Arc::new(MemoryStore::new(limits));
    let server = application(&store)?.listen("127.0.0.1:0").await?;
    println!("{}", server.local_addr()?);
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        // Taking millions of sessions apart one by one would help nobody.
        std::process::exit(0);
    });
    Ok(server.run().await?)
}

fn application(store: &Arc<MemoryStore>) -> Outcome<Application> {
    let settings = Settings {
        session_store: Some(Arc::clone(store) as Arc<dyn Store>),
        handler_timeout: SWEEP_TIMEOUT,
        ..Settings::default()
    };
    let application = Application::new(
        [
            ("/page", handler::<PageHandler>),
            ("/open", handler::<OpenHandler>),
            ("/counters", handler::<CountersHandler>),
            ("/fill", handler::<FillHandler>),
            ("/plain", handler::<PlainHandler>),
            ("/compute", handler::<ComputeHandler>),
        ],
        settings,
    )?;
    Ok(application.state(Arc::clone(store)).state(Mutex::new(Vec::<Plain>::new())))
}

/// The page that is asked for: some 300 bytes.
pub(crate) fn page(user: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>The main page</title></head>\n<body>\n\
         <h1>The main page</h1>\n<p>Hello, {user}! This is the page behind the login, and it is \
         about as long as a short page is.</p>\n<ul>\n<li><a href=\"/news\">What is new</a></li>\n\
         <li><a href=\"/basket\">Your basket</a></li>\n</ul>\n</body>\n</html>\n"
    )
}

/// Shows the page to whoever is logged in.
struct PageHandler {
    base: SessionHandler,
}

impl RequestHandler for PageHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Outcome<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Outcome {
        let user = self.base.authenticated(exchange).await?;
        exchange.write(page(&user))
    }
}

/// Shows it to everybody, and asks no session.
struct OpenHandler;

impl RequestHandler for OpenHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Outcome<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Outcome {
        exchange.write(page(&user(0)))
    }
}

/// What the store has counted: sessions that live, that were evicted, and that were not found.
struct CountersHandler;

impl RequestHandler for CountersHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Outcome<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Outcome {
        let counters = exchange.state::<Arc<MemoryStore>>()?.counters().await?;
        exchange.write(format!(
            "{} {} {}",
            counters.live, counters.evicted, counters.rejected_ids
        ))
    }
}

/// Creates sessions.
struct FillHandler;

impl RequestHandler for FillHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Post];

    async fn initialize(_: &mut Exchange) -> Outcome<Self> {
        Ok(Self)
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Outcome {
        let from: u32 = number(exchange, "from")?;
        let filling = Filling {
            numbers: from..from + number::<u32>(exchange, "count")?,
            logged_in: number(exchange, "logged_in")?,
            expire: Duration::from_millis(number(exchange, "expire")?),
        };
        let store = exchange.state::<Arc<MemoryStore>>()?;
        let runtime = tokio::runtime::Handle::current();
        aside(exchange, move || runtime.block_on(filling.fill(&store))).await
    }
}

/// Fills a map that is none of a store's.
struct PlainHandler;

impl RequestHandler for PlainHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Post];

    async fn initialize(_: &mut Exchange) -> Outcome<Self> {
        Ok(Self)
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Outcome {
        let mut plain = match &*exchange.get_argument("of")? {
            "maps" => Plain::Maps(std::collections::HashMap::new()),
            _ => Plain::Names(std::collections::HashMap::new()),
        };
        let count = number(exchange, "count")?;
        let keep = exchange.state::<Mutex<Vec<Plain>>>()?;
        let fill = move || {
            plain.fill(0..count);
            keep.lock().unwrap_or_else(PoisonError::into_inner).push(plain);
            Ok(())
        };
        aside(exchange, fill).await
    }
}

/// Keeps a thread busy with something else.
struct ComputeHandler;

impl RequestHandler for ComputeHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Post];

    async fn initialize(_: &mut Exchange) -> Outcome<Self> {
        Ok(Self)
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Outcome {
        let time = Duration::from_millis(number(exchange, "time")?);
        let work = move || {
            compute(time);
            Ok(())
        };
        aside(exchange, work).await
    }
}

/// Does long work on a thread of its own, so that others are answered meanwhile; the answer is how
/// many seconds it took.
async fn aside(
    exchange: &mut Exchange,
    work: impl FnOnce() -> Outcome + Send + 'static,
) -> Outcome {
    let began = Instant::now();
    tokio::task::spawn_blocking(work).await.map_err(Error::other)??;
    exchange.write(began.elapsed().as_secs_f64().to_string())
}

fn number<T: std::str::FromStr>(exchange: &Exchange, name: &str) -> Outcome<T> {
    let text = exchange.get_argument(name)?;
    text.parse().map_err(|_| Error::other(format!("{name} cannot be {text:?}")))
}
