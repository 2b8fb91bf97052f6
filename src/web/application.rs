//! The application: routes requests to handlers.
//!
//! [`Application`] implements [`Service`], the interface that a connection calls for each
//! request. Its table of routes is searched in order, like Tornado's; the requests that it has
//! no route for (wrong host, `OPTIONS *`, invalid path) have handlers of their own, so that
//! their error pages go through the same steps and carry the same header fields as any other
//! response.

use std::any::{Any, TypeId};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::error::{Error, HttpError, Result};
use crate::http::Service;
use crate::http::content::Incoming;
use crate::http::method::Method;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::shutdown::Shutdown;
use crate::http::status::Status;
use crate::http::target::Scheme;
use crate::methods;
use crate::web::error_page::default_page;
use crate::web::exchange::Exchange;
use crate::web::handler::{Handler, RequestHandler, handler};
use crate::web::hosts::is_allowed;
use crate::web::redirect_handler;
use crate::web::route::{self, Route};
use crate::web::settings::Settings;
use crate::web::shared::Shared;
use crate::web::static_files::handler::{OnlyFile, StaticFileHandler};

/// A table of routes with its settings. Tornado's `Application`.
pub struct Application {
    routes: Vec<Route>,
    default_handler: Handler,
    shared: Arc<Shared>,
}

impl Application {
    /// Loads the templates, opens the directories, and checks routes and settings. A mistake in
    /// any of them is an [`Error::Config`] at startup instead of a 500 later.
    ///
    /// The first route that matches a path gets the request. If there is a `static_path`, the
    /// routes of the static files come first.
    ///
    /// A table in a variable needs its type: each `handler::<H>` has a type of its own, and
    /// only an expected type turns it into a [`Handler`]. This is why the parameter is an array
    /// of one type, and not of `impl Into<Route>`. A table of [`Route`]s needs no type.
    ///
    /// ```
    /// # use dustdevil::{
    /// #     Application, Exchange, Handler, RequestHandler, Result, Route, Settings, handler,
    /// #     methods,
    /// # };
    /// # struct RootHandler;
    /// # impl RequestHandler for RootHandler { methods!(Get); }
    /// # struct StoryHandler;
    /// # impl RequestHandler for StoryHandler { methods!(Get); }
    /// # fn main() -> Result {
    /// let routes: [(&str, Handler); 2] =
    ///     [("/", handler::<RootHandler>), ("/story/{id}", handler::<StoryHandler>)];
    /// let application = Application::new(routes, Settings::default())?;
    ///
    /// let routes = [
    ///     Route::new("/", handler::<RootHandler>),
    ///     Route::new("/story/{id}", handler::<StoryHandler>).named("story"),
    /// ];
    /// let application = Application::with_routes(routes, Settings::default())?;
    /// assert_eq!(application.reverse_url("story", &[("id", "5")])?, "/story/5");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new<const N: usize>(
        routes: [(&str, Handler); N],
        settings: Settings,
    ) -> Result<Application> {
        let routes = routes.map(|(pattern, handler)| Route::new(pattern, handler));
        Application::with_routes(routes, settings)
    }

    /// Like [`new`](Application::new), with routes that may have more than a pattern and a
    /// handler: arguments ([`Route::with`]), a name ([`Route::named`]), exceptions.
    pub fn with_routes(
        routes: impl IntoIterator<Item = Route>,
        settings: Settings,
    ) -> Result<Application> {
        let mut shared = Shared::new(settings)?;
        let mut table = static_routes(&shared);
        table.extend(routes);
        for route in &table {
            route.check()?;
            redirect_handler::check(route)?;
            let names = &mut shared.named_patterns;
            if let Some(name) = &route.name
                && names.insert(name.clone(), route.pattern.clone()).is_some()
            {
                return Err(Error::Config(format!("two routes are named {name:?}")));
            }
        }
        if shared.settings.debug {
            let patterns: Vec<&str> = table.iter().map(|route| &*route.pattern).collect();
            shared.route_list = format!(" The routes are: {}", patterns.join(", "));
        }
        Ok(Application {
            routes: table,
            default_handler: handler::<NotFoundHandler>,
            shared: Arc::new(shared),
        })
    }

    /// Sets the handler for paths that no route matches. Tornado's `default_handler_class`.
    /// Default: 404.
    #[must_use]
    pub fn default_handler(mut self, handler: Handler) -> Application {
        self.default_handler = handler;
        self
    }

    /// Adds shared state, such as a connection pool, which handlers get by its type:
    /// `exchange.state::<Pool>()`. The value may be a `Pool` or an `Arc<Pool>`. A second value
    /// of the same type replaces the first.
    ///
    /// # Panics
    /// If the application is in use already.
    #[must_use]
    pub fn state<T: Any + Send + Sync>(mut self, state: T) -> Application {
        let shared = Arc::get_mut(&mut self.shared)
            .expect("state is added before the first request");
        shared.state.insert(TypeId::of::<T>(), Arc::new(state));
        self
    }

    /// Returns the path of a named route; see [`Exchange::reverse_url`]. Tornado's
    /// `Application.reverse_url`.
    pub fn reverse_url(&self, name: &str, arguments: &[(&str, &str)]) -> Result<String> {
        route::reverse_url(&self.shared.named_patterns, name, arguments)
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Returns the session store.
    pub fn session_store(&self) -> &Arc<dyn crate::session::store::Store> {
        &self.shared.store
    }

    /// Returns the signal that begins the graceful shutdown of the server.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shared.shutdown
    }

    /// Creates an exchange for a request, before any handler has run. Tests use it to run a
    /// handler without a socket.
    pub fn exchange(&self, request: Request, peer: SocketAddr) -> Exchange {
        Exchange::new(Arc::clone(&self.shared), request, peer.ip())
    }

    /// Returns the handler of a request, and stores the arguments of its route in the exchange.
    fn route(&self, exchange: &mut Exchange) -> Handler {
        let request = &exchange.request;
        if request.scheme() == Some(Scheme::Https) && !exchange.is_https() {
            return handler::<MisdirectedHandler>;
        }
        let is_allowed = is_allowed(request, &self.settings().allowed_hosts);
        let path = exchange.request.path();
        let is_encoded = path.contains('%');
        for route in self.routes.iter().filter(|route| is_allowed || route.is_for_any_host)
        {
            if let Some(arguments) = route.matches(path, is_encoded) {
                step!("route: {}", route.pattern());
                exchange.path_arguments = arguments;
                exchange.route_arguments.clone_from(&route.arguments);
                exchange.is_xsrf_exempt = route.is_xsrf_exempt;
                return route.handler;
            }
        }
        match path {
            _ if !is_allowed => handler::<MisdirectedHandler>,
            "*" => handler::<ServerHandler>,
            path if route::decode(path).is_none() => handler::<BadPathHandler>,
            _ => self.default_handler,
        }
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

/// Returns the routes of the static files, with two files at the paths where browsers and
/// crawlers request them.
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

/// `OPTIONS *`: the methods that the server as a whole supports (RFC 9110 section 9.3.7).
struct ServerHandler;

impl RequestHandler for ServerHandler {
    methods!(Get, Head, Post, Put, Patch, Delete, Options);
}

/// No methods, for handlers that refuse a request whatever its method: their `initialize` fails
/// before the method is checked.
const NONE: &[Method] = &[];

/// 404: no route matches the path.
struct NotFoundHandler;

impl RequestHandler for NotFoundHandler {
    const SUPPORTED_METHODS: &'static [Method] = NONE;

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Err(Error::http(Status::NOT_FOUND, "There is no such page."))
    }

    /// In `debug` mode, the page lists the routes. The log does not, with each wrong path.
    async fn write_error(exchange: &mut Exchange, error: &HttpError) -> Result {
        let message = format!("{}{}", error.message, exchange.shared.route_list).into();
        default_page(exchange, &HttpError { message, ..error.clone() }).await
    }
}

/// 421 (RFC 9110 section 7.4): the host is not one of `allowed_hosts`, or an https URI was sent
/// over plain http.
struct MisdirectedHandler;

impl RequestHandler for MisdirectedHandler {
    const SUPPORTED_METHODS: &'static [Method] = NONE;

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        let message = "This server does not serve the requested host.";
        let error = HttpError::new(Status::MISDIRECTED_REQUEST, message);
        let host = exchange.request.authority().unwrap_or_default();
        let look_at = "see allowed_hosts, trusted_proxies, and the proxy's Host";
        Err(error.with_detail(format!("Host {host:?}: {look_at}.")).into())
    }
}

/// 400: the percent-decoded path is not UTF-8.
struct BadPathHandler;

impl RequestHandler for BadPathHandler {
    const SUPPORTED_METHODS: &'static [Method] = NONE;

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Err(Error::bad("The path is not UTF-8."))
    }
}
