//! The settings of an application: Tornado's `settings`, as a struct, so that a misspelled name
//! does not compile.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::http::cookie::SameSite;
use crate::http::limits::Limits;
use crate::http::network::Network;
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
///
/// # Worst-case use of resources
///
/// A client that is absent, slow or malicious must not cost another client its response. The
/// bounds of the process, each with the test that prints its figure
/// (`cargo test NAME -- --nocapture`; 2026-11-26, Linux on x86-64, two cores, debug build):
///
/// - **Connection slots.** When a client resets its connection, the slot and the handler or
///   stream are released within 1 to 4 ms, in each state of the connection (`departures`). A
///   client that has closed its side keeps the slot for the `half_close_timeout`, a client that
///   has vanished for the `tcp_keepalive`. A stream without an end of its own should await
///   [`shutdown`](crate::Exchange::shutdown), so that it does not use up the `drain_timeout`.
/// - **Eviction.** If one address holds 100 of 100 connections, by idling, by trickling heads
///   or content, by not reading, or with handlers that wait, a client with another address
///   waits for 6 ms at most (`eviction`).
/// - **Wake-ups.** A handler that was polled once is polled whenever it is woken, whatever its
///   client does, so a client cannot make it hold a lock forever (`simulation`, 100,000
///   schedules).
/// - **Memory.** A connection takes about 2 KiB while it is idle and up to 25 KiB while it is
///   not. Heads above 4 KiB, content, and buffers of files are counted in addition, as they
///   arrive, up to `max_buffered`. 10,000 clients with the largest head and the largest content
///   take 416 MiB. With 500 MiB of address space the server answers 503 and continues
///   (`faults`). Memory that handlers allocate, such as pages, is not counted. Sessions are
///   bounded by the store, cached files by 16 MiB. The allocator may keep freed memory.
/// - **CPU time.** A chunked request may have 16 KiB of framing in addition to its data.
///
/// # Large uploads
///
/// These settings belong together. `limits.max_content` is the size of the largest request; a
/// form is held in memory and parsed in one go, at about 1.5 ms per MiB.
/// `limits.content_timeout` and `limits.min_content_rate` are the time for it: at the default
/// minimum of 256 bytes per second, the default hour is over after 900 KiB, so only faster
/// clients complete a large upload. `max_buffered` is shared by all uploads at a time, so it
/// should be several times `limits.max_content`; above it, uploads get 503. `max_form_parts`
/// limits the number of files in a form. A reverse proxy has limits of its own, which apply
/// first: nginx refuses more than 1 MiB with 413, unless its `client_max_body_size` is larger.
// Each `bool` is a switch of its own; no two of them make up a state.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone)]
pub struct Settings {
    /// The directory of the templates, relative to the current directory: the files that end in
    /// `.html`, `.htm`, `.xml`, `.svg`, `.txt`, `.json`, `.css` or `.js`. All are read at
    /// startup. Default: empty (no templates).
    pub template_path: PathBuf,
    /// All names that templates may use as placeholders: those that handlers pass to `render`,
    /// and those of session values. If set, a template with another placeholder is an error at
    /// startup; otherwise it is one when the template is rendered. `xsrf_token` is always
    /// defined. Default: empty (not checked).
    pub template_names: Vec<&'static str>,
    /// The template of error pages. It may use the placeholders `status` and `message`.
    /// Default: empty (a plain page).
    pub error_template: String,
    /// The directory of the static files, relative to the current directory. It is served below
    /// `static_url_prefix`; its files `favicon.ico` and `robots.txt` also at `/favicon.ico` and
    /// `/robots.txt`. For other directories see
    /// [`StaticFileHandler`](crate::StaticFileHandler). Default: empty (no static files).
    pub static_path: PathBuf,
    /// The path below which static files are served. Leading and trailing slashes are optional.
    /// Default: `/static/`.
    pub static_url_prefix: String,
    /// `true` if POST, PUT, PATCH and DELETE require an XSRF token, which a page of this
    /// application has issued; without one: 403. See [`xsrf`](crate::web::xsrf), and for
    /// webhooks [`Route::without_xsrf_check`](crate::Route::without_xsrf_check). Default:
    /// `false`, as in Tornado.
    pub xsrf_cookies: bool,
    /// `true` if these methods are rejected with 403 when the browser states, by
    /// `Sec-Fetch-Site` or `Origin`, that a page of another site sent the request. Default:
    /// `true`.
    pub check_origin: bool,
    /// Other origins with pages that may send such requests nevertheless, for example
    /// `https://example.com`, as browsers write them: in lower case, without a path and without
    /// the default port. Default: none.
    pub trusted_origins: Vec<String>,
    /// The key that signs XSRF tokens and signed cookies, at least 32 bytes. Servers that share
    /// a site need the same key. Default: empty (a random key at each start, so tokens do not
    /// survive a restart, and `set_signed_cookie` fails).
    pub cookie_secret: Vec<u8>,
    /// The URL to which `authenticated` redirects a client that is not logged in: a path, or a
    /// URL of another site with its scheme, `https://login.example/`. Default: `/login`.
    pub login_url: String,
    /// The networks of the reverse proxies in front of this server, such as `127.0.0.1` or
    /// `10.0.0.0/8`: `vec!["10.0.0.0/8".parse()?]`. Their `X-Forwarded-For` (the real client
    /// IP) and `X-Forwarded-Proto` (https) are believed, so no client may connect from there.
    /// Tornado's `trusted_downstream` and `xheaders`; see
    /// [`deploy`](crate::guide::deploy). Default: none.
    pub trusted_proxies: Vec<Network>,
    /// The hosts that requests may name, without a port: `example.com`, or `*.example.com` for
    /// all names below it. A request for another host gets 421 (RFC 9110 section 7.4), which
    /// prevents DNS rebinding; for health checks see
    /// [`Route::for_any_host`](crate::Route::for_any_host). Default: empty (any host).
    pub allowed_hosts: Vec<String>,
    /// `X-Content-Type-Options` of every response, unless its handler sets another value.
    /// `nosniff` prevents MIME sniffing: a browser must not guess a type from the content, and
    /// for example run an uploaded text as a script. Not sent with protocol errors, which the
    /// connection answers itself in plain text. Empty: the field is not sent. Default:
    /// `nosniff`.
    pub content_type_options: &'static str,
    /// `Referrer-Policy` of every response, unless its handler sets another value.
    /// `same-origin` keeps the URLs of this site's pages from other sites. Empty: not sent.
    /// Default: `same-origin`.
    pub referrer_policy: &'static str,
    /// `Content-Security-Policy` of every response, unless its handler sets another value.
    /// `frame-ancestors 'self'` forbids other sites to show a page in a frame (clickjacking).
    /// Empty: not sent. Default: `frame-ancestors 'self'`.
    pub content_security_policy: &'static str,
    /// `Strict-Transport-Security` (HSTS, RFC 6797) of every response over https, unless its
    /// handler sets another value: for that long, browsers use https only, which cannot be
    /// revoked. A year is `max-age=31536000; includeSubDomains`. Default: empty (not sent).
    pub strict_transport_security: &'static str,
    /// Further header fields of every response, unless its handler sets other values. Default:
    /// none.
    pub default_headers: &'static [(&'static str, &'static str)],
    /// The name of the session cookie; over https with the prefix `__Host-`. Default:
    /// `session_id`.
    pub session_cookie: String,
    /// `SameSite` of the session cookie, and of the XSRF cookie of a client without a session.
    /// With `Strict`, a client that follows a link from another site comes without its session,
    /// and loses it if the page writes to a new one. `None` is for pages in another site's
    /// frame; then only the XSRF check and `check_origin` keep other sites from using the
    /// session. It needs https; over plain http the cookies are `Lax`. Default:
    /// [`SameSite::Lax`].
    pub session_same_site: SameSite,
    /// `true` if the session cookie has no `Max-Age`, so that browsers delete it when they
    /// close, unless they restore their tabs. The timeouts of the session apply all the same.
    /// Default: `false`.
    pub session_until_browser_closes: bool,
    /// Idle timeout and absolute timeout of sessions, at least 1 ms. A session ends when it was
    /// not used for the idle timeout: five minutes suit a bank; most sites set more. Default: 5
    /// minutes and 8 hours.
    pub session_lifetime: Lifetime,
    /// Maximum number of concurrent sessions of one user, at least one. A login above the limit
    /// ends the session of the user that logged in first. Default: 100.
    pub max_sessions_per_user: usize,
    /// The session store. Default: `None` (the static map of this process).
    pub session_store: Option<Arc<dyn Store>>,
    /// Maximum number of arguments in a query, and in a form in
    /// `application/x-www-form-urlencoded`. Above the limit: 400. Default: 1,000.
    pub max_arguments: usize,
    /// Maximum number of parts, fields and files together, of a form in `multipart/form-data`.
    /// Tornado's `max_parts`. Above the limit: 400. Default: 100.
    pub max_form_parts: usize,
    /// Maximum length of the head of one part of such a form in bytes, with the empty line at
    /// its end. Tornado's `max_part_header_size`. Above the limit: 400. Default: 10 KiB.
    pub max_part_head: usize,
    /// `true` while an application is being developed: templates are read at each use, a 404
    /// lists the routes, and all error pages show the message, the detail and the source line
    /// that are for the log only otherwise, which may be secret. A server on an address other
    /// than loopback, or with `trusted_proxies`, logs a warning then. Tornado's `debug`,
    /// without reloading code. Default: `false`.
    pub debug: bool,
    /// The limits and timeouts of each connection. Default: those of [`Limits`].
    pub limits: Limits,
    /// Handler timeout: from the end of a request's head to its response, without the time in
    /// which content arrives, which has timeouts of its own. Above the limit, the handler is
    /// dropped at the `.await` at which it waits, and the response is 503; the error page has
    /// the same time again. A handler that does not reach an `.await` cannot be stopped and
    /// blocks its thread: see tokio's `spawn_blocking`. Streamed content is not limited.
    /// Default: 60 s.
    pub handler_timeout: Duration,
    /// Maximum number of open connections, at least one. Above the limit, one more is accepted,
    /// and the connection that has waited longest for its client is evicted: one that is idle,
    /// that receives a head or slow content, or whose client does not read the response, but
    /// none before its `min_idle_timeout`. If none can be evicted, new connections wait in the
    /// accept backlog. If the process runs out of file descriptors, the limit is lowered for
    /// 10 s. Default: 10,000.
    pub max_connections: usize,
    /// The share of `max_connections`, from 0.0 to 1.0, that one client network (an IPv4
    /// address or an IPv6 /64) may hold while clients of other networks wait. Above the limit,
    /// its connections are evicted first, including those whose handler or stream is active.
    /// Its new connections wait until one of its own ends: up to 1,024; more are closed.
    /// `trusted_proxies` are exempt. Default: 0.5.
    pub max_network_share: f64,
    /// Maximum number of bytes that all connections together may buffer: heads and content
    /// above 4 KiB, and buffers of files. Above the limit, new content gets 503 with
    /// `Retry-After`, and a connection with a slow client is evicted. Default: 256 MiB.
    pub max_buffered: usize,
    /// The time, approximately, in which TCP keepalive (RFC 9293 section 3.8.4, tcp(7)) detects
    /// that a client has vanished without closing its connection, in whole seconds. On Linux it
    /// is at least the `write_timeout`. Zero: never. Default: 60 s.
    pub tcp_keepalive: Duration,
    /// Graceful-shutdown timeout: the time that requests in flight have after the server was
    /// told to stop. Then their connections are closed. Default: 10 s.
    pub drain_timeout: Duration,
}

/// Shows a selection, without `cookie_secret`.
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
            .field("debug", &self.debug)
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
            session_same_site: SameSite::Lax,
            session_until_browser_closes: false,
            session_lifetime: SessionConfig::default().lifetime,
            max_sessions_per_user: SessionConfig::default().max_sessions_per_user,
            session_store: None,
            max_arguments: 1000,
            max_form_parts: 100,
            max_part_head: 10 * 1024,
            debug: false,
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
