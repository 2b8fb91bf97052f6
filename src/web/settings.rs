//! What an application is told when it is made. Tornado's `settings`, except that a name which
//! does not exist does not compile.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::http::limits::Limits;
use crate::session::SessionConfig;
use crate::session::store::{Lifetime, Store};

/// The settings of an [`Application`](crate::web::application::Application).
///
/// ```
/// use dustdevil::Settings;
///
/// let settings = Settings { xsrf_cookies: true, ..Settings::default() };
/// assert_eq!(settings.static_url_prefix, "/static/");
/// ```
#[derive(Clone)]
pub struct Settings {
    /// The folder that templates are in, relative to the current one; all of them are read at
    /// the start. Default: empty, which is none.
    pub template_path: PathBuf,
    /// Every name that a template may ask for: what handlers pass to `render`, and the keys of
    /// sessions. With it, a template that asks for another name is an error at the start;
    /// without it, when it is rendered. `xsrf_token` is always there. Default: empty, which is
    /// not to check.
    pub template_names: Vec<&'static str>,
    /// The template of error pages, which may ask for `status` and `sentence`. Default: empty,
    /// which is a plain page.
    pub error_template: String,
    /// The folder that is served below `static_url_prefix`, relative to the current one, with
    /// `/favicon.ico` and `/robots.txt` beside it. Default: empty, which is none.
    pub static_path: PathBuf,
    /// Where static files are found. Slashes at its ends make no difference. Default: `/static/`.
    pub static_url_prefix: String,
    /// Whether POST, PUT, PATCH and DELETE need a token that a page of ours gave out. Default:
    /// false, as in Tornado.
    pub xsrf_cookies: bool,
    /// Whether these methods are refused where the browser says that another site sent them.
    /// Default: true.
    pub check_origin: bool,
    /// Other origins whose pages may send them all the same, such as `https://example.com`.
    /// Default: none.
    pub trusted_origins: Vec<String>,
    /// The key that tokens are signed with. Several processes that serve the same site need the
    /// same one, of 32 bytes or more. Default: empty, which is a random one for each start.
    pub cookie_secret: Vec<u8>,
    /// Where `authenticated` sends a visitor who is not logged in. Default: `/login`.
    pub login_url: String,
    /// Proxies whose word is taken for the client's address (`X-Forwarded-For`) and for https
    /// (`X-Forwarded-Proto`). Default: none.
    pub trusted_proxies: Vec<IpAddr>,
    /// Hosts that requests may name, without a port: `example.com`, or `*.example.com` for every
    /// name below it. A request for another is answered 421 (RFC 9110 section 7.4). Default:
    /// empty, which is any.
    pub allowed_hosts: Vec<String>,
    /// `X-Content-Type-Options` of every response, unless its handler sets another: nothing is
    /// taken for what it does not say it is. The refusal of bytes that are no request does
    /// without: it is plain text from the connection itself. Empty: none. Default: `nosniff`.
    pub content_type_options: &'static str,
    /// `Referrer-Policy`, likewise: other sites do not learn which page a link was on. Default:
    /// `same-origin`.
    pub referrer_policy: &'static str,
    /// `Content-Security-Policy`, likewise: no other site shows our pages in a frame. Default:
    /// `frame-ancestors 'self'`.
    pub content_security_policy: &'static str,
    /// `Strict-Transport-Security` of every response over https, likewise: a browser comes back
    /// over https alone for as long as it says, which cannot be taken back. Default: empty,
    /// which is none; `max-age=31536000; includeSubDomains` is a year.
    pub strict_transport_security: &'static str,
    /// Further header fields of every response, likewise. Default: none.
    pub default_headers: &'static [(&'static str, &'static str)],
    /// The name of the session's cookie. Over https it is `__Host-` and this. Default:
    /// `session_id`.
    pub session_cookie: String,
    /// How long sessions live. Default: 5 minutes idle, 8 hours in all.
    pub session_lifetime: Lifetime,
    /// Sessions that one user may have at once, and at least one; whoever logs in once more ends
    /// the one of them that logged in first. Default: 100.
    pub max_sessions_per_user: usize,
    /// Where sessions live. Default: none, which is this process's own static map.
    pub session_store: Option<Arc<dyn Store>>,
    /// Arguments in a query, and in a form. Past it: 400. Default: 1,000.
    pub max_arguments: usize,
    /// What one connection may take.
    pub limits: Limits,
    /// From the end of a request's head to its response, without the time in which its content
    /// arrives, which has limits of its own; an error page has the same time once more. Past it, the
    /// handler is dropped where it waits, and the response is 503. A handler that never waits
    /// cannot be stopped, and holds up its thread: see tokio's `spawn_blocking`. Content that is
    /// made while it is sent may take longer. Default: 60 s.
    pub handler_timeout: Duration,
    /// Connections at once. One more is let in, and then the one is evicted that has waited for its
    /// client longest, though not before its `min_idle_timeout`: idle, in the middle of a head or of
    /// slow content, or with a response that the client does not read. Where there is none, the
    /// next wait unaccepted. Where the system has fewer files, there are fewer. Default: 10,000.
    pub max_connections: usize,
    /// The share of `max_connections` that one client network (an IPv4 address, or a /64 of IPv6)
    /// may hold while others want in, from 0.0 to 1.0. Past it, its connections are evicted first,
    /// and also those that a handler or a stream works for; newcomers of its own wait until a place
    /// of its own is free, up to 1,024 of them. `trusted_proxies` may hold any number. Default: 0.5.
    pub max_network_share: f64,
    /// Bytes that all connections together may buffer: heads and content beyond 4 KiB, and pieces of
    /// files. Past it, new content is answered 503 with `Retry-After`, and
    /// a connection whose client is slow is evicted. Default: 256 MiB.
    pub max_buffered: usize,
    /// How soon a connection is found to be dead whose client has vanished without a word, about,
    /// by TCP keepalive (RFC 9293 section 3.8.4, tcp(7)); in whole seconds, and on Linux never sooner
    /// than the `write_timeout`. Zero is never. Default: 60 s.
    pub tcp_keepalive: Duration,
    /// How long requests that are under way may take once the server was told to stop. Default:
    /// 10 s.
    pub drain_timeout: Duration,
}

/// Shows how an application is set up, without its `cookie_secret`.
impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("template_path", &self.template_path)
            .field("static_path", &self.static_path)
            .field("xsrf_cookies", &self.xsrf_cookies)
            .field("session_lifetime", &self.session_lifetime)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("limits", &self.limits)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            template_path: PathBuf::new(),
            template_names: Vec::new(),
            error_template: String::new(),
            static_path: PathBuf::new(),
            static_url_prefix: String::from("/static/"),
            xsrf_cookies: false,
            check_origin: true,
            trusted_origins: Vec::new(),
            cookie_secret: Vec::new(),
            login_url: String::from("/login"),
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            content_type_options: "nosniff",
            referrer_policy: "same-origin",
            content_security_policy: "frame-ancestors 'self'",
            strict_transport_security: "",
            default_headers: &[],
            session_cookie: String::from("session_id"),
            session_lifetime: SessionConfig::default().lifetime,
            max_sessions_per_user: SessionConfig::default().max_sessions_per_user,
            session_store: None,
            max_arguments: 1000,
            limits: Limits::default(),
            handler_timeout: Duration::from_secs(60),
            max_connections: 10_000,
            max_network_share: 0.5,
            max_buffered: 256 * 1024 * 1024,
            tcp_keepalive: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
