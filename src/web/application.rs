//! Applications: a table of routes, and what they share.

use std::any::{Any, TypeId};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::http::Service;
use crate::http::content::Incoming;
use crate::http::method::Method;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::shutdown::Shutdown;
use crate::http::status::Status;
use crate::http::target::Scheme;
use crate::web::exchange::Exchange;
use crate::web::handler::{Handler, RequestHandler, handler};
use crate::web::hosts::is_allowed;
use crate::web::route::{self, Route};
use crate::web::settings::Settings;
use crate::web::shared::Shared;
use crate::web::static_files::handler::{OnlyFile, StaticFileHandler};

/// A table of routes, and the settings that go with it. Tornado's `Application`.
pub struct Application {
    routes: Vec<Route>,
    default_handler: Handler,
    shared: Arc<Shared>,
}

impl Application {
    /// Reads the templates, looks at the folders, checks the routes. What is wrong with any of
    /// them is an [`Error::Config`] here, and not a 500 later.
    ///
    /// The first route that matches a path gets its requests. In front of them stand those of
    /// the static files, if there is a `static_path`.
    pub fn new<const N: usize>(
        routes: [(&str, Handler); N],
        settings: Settings,
    ) -> Result<Application> {
        let routes = routes.map(|(pattern, handler)| Route::new(pattern, handler));
        Application::with_routes(routes, settings)
    }

    /// The same, from routes that may have arguments for their handlers.
    pub fn with_routes(
        routes: impl IntoIterator<Item = Route>,
        settings: Settings,
    ) -> Result<Application> {
        let shared = Arc::new(Shared::new(settings)?);
        let mut table = static_routes(&shared);
        table.extend(routes);
        table.iter().try_for_each(Route::check)?;
        Ok(Application {
            routes: table,
            default_handler: handler::<NotFoundHandler>,
            shared,
        })
    }

    /// Another handler for paths that no route matches. Tornado's `default_handler_class`.
    #[must_use]
    pub fn default_handler(mut self, handler: Handler) -> Application {
        self.default_handler = handler;
        self
    }

    /// Hands something over that handlers may ask for by its type, such as a pool of
    /// connections: `exchange.state::<Pool>()`.
    ///
    /// # Panics
    /// If requests are being answered already.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(mut self, state: T) -> Application {
        let shared = Arc::get_mut(&mut self.shared)
            .expect("state is handed over before the first request");
        shared.state.insert(TypeId::of::<T>(), Arc::new(state));
        self
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Where its sessions live.
    pub fn session_store(&self) -> &Arc<dyn crate::session::store::Store> {
        &self.shared.store
    }

    /// The signal that its server shuts down.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shared.shutdown
    }

    /// A request that has come in, before any handler has seen it; for trying a handler out
    /// without a socket.
    pub fn exchange(&self, request: Request, peer: SocketAddr) -> Exchange {
        Exchange::new(Arc::clone(&self.shared), request, peer.ip())
    }

    /// The handler of a request's path.
    fn route(&self, exchange: &mut Exchange) -> Handler {
        let request = &exchange.request;
        let is_in_the_open =
            request.scheme() == Some(Scheme::Https) && !exchange.is_https();
        if is_in_the_open || !is_allowed(request, &self.settings().allowed_hosts) {
            return handler::<MisdirectedHandler>;
        }
        let path = exchange.request.path();
        if path == "*" {
            return handler::<ServerHandler>;
        }
        let is_encoded = path.contains('%');
        if is_encoded && route::decode(path).is_none() {
            return handler::<BadPathHandler>;
        }
        for route in &self.routes {
            if let Some(arguments) = route.matches(path, is_encoded) {
                exchange.path_arguments = arguments;
                exchange.route_arguments.clone_from(&route.arguments);
                return route.handler;
            }
        }
        self.default_handler
    }
}

impl Service for Application {
    fn respond<'a>(
        &'a self,
        request: Request,
        peer: SocketAddr,
        incoming: &'a mut dyn Incoming,
    ) -> impl Future<Output = Response> + Send + 'a {
        let mut exchange = Box::new(self.exchange(request, peer));
        let handler = self.route(&mut exchange);
        handler(exchange, incoming)
    }
}

fn static_routes(shared: &Shared) -> Vec<Route> {
    if shared.static_files.is_none() {
        return Vec::new();
    }
    let pattern = format!("{}{{path...}}", shared.static_url_prefix);
    let only = |path: &str, file| {
        Route::new(path, handler::<StaticFileHandler>).with(OnlyFile(file))
    };
    vec![
        Route::new(&pattern, handler::<StaticFileHandler>),
        only("/favicon.ico", "favicon.ico"),
        only("/robots.txt", "robots.txt"),
    ]
}

/// All methods, for what does not depend on them.
const ALL: &[Method] = &[
    Method::Get,
    Method::Head,
    Method::Post,
    Method::Put,
    Method::Patch,
    Method::Delete,
    Method::Options,
];

/// `OPTIONS *`: what the server as a whole can do (RFC 9110 section 9.3.7).
struct ServerHandler;

impl RequestHandler for ServerHandler {
    const SUPPORTED_METHODS: &'static [Method] = ALL;

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }
}

/// 404.
struct NotFoundHandler;

impl RequestHandler for NotFoundHandler {
    const SUPPORTED_METHODS: &'static [Method] = ALL;

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Err(Error::http(Status::NOT_FOUND, "There is no such page."))
    }
}

/// 421 (RFC 9110 section 7.4), for a host that is not ours, and for an https URI that was sent
/// in the open.
struct MisdirectedHandler;

impl RequestHandler for MisdirectedHandler {
    const SUPPORTED_METHODS: &'static [Method] = ALL;

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Err(Error::http(
            Status::MISDIRECTED_REQUEST,
            "This server does not serve the requested host.",
        ))
    }
}

/// 400, for a path that is not text once its percent escapes are undone.
struct BadPathHandler;

impl RequestHandler for BadPathHandler {
    const SUPPORTED_METHODS: &'static [Method] = ALL;

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Err(Error::http(Status::BAD_REQUEST, "The path is not UTF-8."))
    }
}
