//! An application with one handler, which performs the session operation that the path names.
//! The tests serve it in their own process, and as a separate one
//! (`tests/session_app/server.rs`).

use std::path::Path;
use std::sync::Arc;

use dustdevil::session::login::revoke_all;
use dustdevil::{
    Application, Exchange, Method, RequestHandler, Result, Session, SessionHandler,
    Settings, Store, Value, handler,
};

/// An application with one route, `/{what}`, and with this session store.
pub fn application(store: Arc<dyn Store>, settings: Settings) -> Application {
    let settings = Settings {
        session_store: Some(Arc::clone(&store)),
        template_path: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/pages"),
        ..settings
    };
    let routes = [("/{what}", handler::<OperationHandler> as dustdevil::Handler)];
    Application::new(routes, settings).expect("nothing is wrong with it").state(store)
}

/// Performs one operation on a session, and returns its result as text.
pub async fn run_operation(
    session: &Session,
    store: &dyn Store,
    what: &str,
    name: &str,
    value: &str,
) -> Result<String> {
    let done = |()| String::new();
    Ok(match what {
        "get" => session.get(name).await?.unwrap_or_else(|| String::from("(none)")),
        "set" => session.set(name, value).await.map(done)?,
        "remove" => session.remove(name).await?.unwrap_or_default(),
        "contains" => session.contains(name).await?.to_string(),
        "keys" => {
            let mut keys = session.keys().await?;
            keys.sort();
            keys.join(",")
        }
        "clear" => session.clear().await.map(done)?,
        "destroy" => session.destroy().await.map(done)?,
        "rotate" => session.rotate().await.map(done)?,
        // The new count; 0 if the session has ended in the meantime.
        "count" => {
            let count = |count: Option<u32>| count.unwrap_or(0) + 1;
            session.update(name, count).await?.unwrap_or_default().to_string()
        }
        "flash" => session.flash(value).await.map(done)?,
        "flashed" => session.take_flash().await?.unwrap_or_default(),
        "number" => session.get_as::<u32>(name).await?.unwrap_or_default().to_string(),
        "renew" => {
            session.destroy().await?;
            session.set(name, value).await.map(done)?
        }
        "login" => session.log_in(value).await.map(done)?,
        "end-others" => session.revoke_others().await?.to_string(),
        "end-all" => revoke_all(store, value).await?.to_string(),
        _ => String::from("untouched"),
    })
}

struct OperationHandler {
    base: SessionHandler,
}

impl RequestHandler for OperationHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let name = exchange.get_argument("name").unwrap_or_default();
        let value = exchange.get_argument("value").unwrap_or_default();
        let what = exchange.path_argument("what")?.to_owned();
        if what == "render" {
            let values: [(_, Value<'_>); 2] =
                [("given", &value), ("username", &"from the handler")];
            let values = if value.is_empty() { &values[..1] } else { &values };
            return self.base.render(exchange, "page.html", values).await;
        }
        let store = exchange.state::<Arc<dyn Store>>()?;
        let result =
            run_operation(&self.base.session, &**store, &what, &name, &value).await?;
        exchange.write(result)
    }
}
