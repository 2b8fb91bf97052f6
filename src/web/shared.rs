//! The state that all requests of one application share: checked settings, parsed templates,
//! the session store, secrets.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use log::info;

use crate::error::{Error, Result};
use crate::escape::is_plain_url;
use crate::http::cookie::SetCookie;
use crate::http::response::{DefaultFields, InvalidField};
use crate::http::shutdown::Shutdown;
use crate::identity_hasher::BuildIdentityHasher;
use crate::session::memory;
use crate::session::store::Store;
use crate::web::hosts;
use crate::web::settings::Settings;
use crate::web::static_files::StaticFiles;
use crate::web::template::Templates;
use crate::web::xsrf::{Secret, XSRF, XSRF_TOKEN, is_origin};

/// The state that an application derives from its settings at startup. It does not change while
/// requests are served, so an `Arc` of it needs no lock.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) templates: Templates,
    pub(crate) static_files: Option<StaticFiles>,
    /// The header fields of every response over plain http.
    pub(crate) default_fields: Arc<DefaultFields>,
    /// The header fields of every response over https.
    pub(crate) https_default_fields: Arc<DefaultFields>,
    /// With a slash at both ends.
    pub(crate) static_url_prefix: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secret: Secret,
    pub(crate) shutdown: Shutdown,
    /// The patterns of the routes that have a name, for `reverse_url`.
    pub(crate) named_patterns: BTreeMap<String, String>,
    /// What a 404 adds to its message in `debug` mode. Empty otherwise.
    pub(crate) route_list: String,
    /// The application's own state, by type. A `TypeId` is a hash already, so it is not hashed
    /// again.
    pub(crate) state: HashMap<TypeId, Arc<dyn Any + Send + Sync>, BuildIdentityHasher>,
}

impl Shared {
    /// Fails with [`Error::Config`] if a setting is invalid, or if a directory or a template
    /// cannot be read.
    pub(crate) fn new(settings: Settings) -> Result<Shared> {
        let is_set = |path: &std::path::Path| !path.as_os_str().is_empty();
        check(&settings)?;
        let (default_fields, https_default_fields) = default_fields_of(&settings)?;
        let templates = match is_set(&settings.template_path) {
            true if settings.debug => Templates::load_always(&settings.template_path)?,
            true => Templates::load(&settings.template_path)?,
            false => Templates::default(),
        };
        if !settings.template_names.is_empty() {
            let mut names = settings.template_names.clone();
            names.push(XSRF_TOKEN);
            templates.check_names(&names)?;
        }
        let error_template = &settings.error_template;
        if !error_template.is_empty() && templates.find(error_template).is_err() {
            let message = format!("there is no template {error_template:?} for errors");
            return Err(Error::Config(message));
        }
        let static_path = Some(&settings.static_path).filter(|path| is_set(path));
        let static_files = static_path.map(StaticFiles::new).transpose()?;
        let store = settings.session_store.clone().unwrap_or_else(|| memory::container());
        Ok(Shared {
            templates,
            static_files,
            default_fields,
            https_default_fields,
            static_url_prefix: normalize_prefix(&settings.static_url_prefix),
            store,
            secret: Secret::new(&settings.cookie_secret),
            shutdown: Shutdown::default(),
            named_patterns: BTreeMap::new(),
            route_list: String::new(),
            state: HashMap::default(),
            settings,
        })
    }
}

/// Fails if a setting is invalid.
fn check(settings: &Settings) -> Result {
    let invalid = |message: String| Err(Error::Config(message));
    let cookie = SetCookie::new(settings.session_cookie.as_str(), "");
    cookie.check().map_err(|error| Error::Config(error.to_string()))?;
    if settings.session_cookie == XSRF {
        return invalid(format!("session_cookie must not be {XSRF:?}"));
    }
    let lifetime = settings.session_lifetime;
    if lifetime.idle.min(lifetime.absolute) < MIN_LIFETIME {
        return invalid(String::from("session_lifetime must be at least 1 ms"));
    }
    if (1..MIN_SECRET_BYTES).contains(&settings.cookie_secret.len()) {
        return invalid(format!(
            "cookie_secret must have at least {MIN_SECRET_BYTES} bytes"
        ));
    }
    if let Some(host) = settings.allowed_hosts.iter().find(|host| !hosts::is_pattern(host))
    {
        return invalid(format!("allowed_hosts: {host:?} is not a host pattern"));
    }
    if !is_plain_url(&settings.login_url) {
        return invalid(format!("login_url: {:?} is not a plain URL", settings.login_url));
    }
    if let Some(origin) = settings.trusted_origins.iter().find(|origin| !is_origin(origin))
    {
        return invalid(format!(
            "trusted_origins: {origin:?} is not like https://a.example"
        ));
    }
    if settings.static_url_prefix.trim_matches('/').is_empty() {
        return invalid(String::from("static_url_prefix must not be \"/\""));
    }
    Ok(())
}

/// Returns the header fields of every response over plain http and over https, serialized once.
fn default_fields_of(
    settings: &Settings,
) -> Result<(Arc<DefaultFields>, Arc<DefaultFields>)> {
    let security = [
        ("X-Content-Type-Options", settings.content_type_options),
        ("Referrer-Policy", settings.referrer_policy),
        ("Content-Security-Policy", settings.content_security_policy),
    ];
    // RFC 6797 section 7.2: HSTS must not be sent over plain http.
    let hsts = ("Strict-Transport-Security", settings.strict_transport_security);
    let is_set = |(_, value): &(_, &'static str)| !value.is_empty();
    let fields = security.into_iter().filter(is_set);
    let fields = fields.chain(settings.default_headers.iter().copied());
    let invalid = |error: InvalidField| Error::Config(error.to_string());
    let default_fields = DefaultFields::new(fields.clone()).map_err(invalid)?;
    let fields = fields.chain([hsts].into_iter().filter(is_set));
    let https_default_fields = DefaultFields::new(fields).map_err(invalid)?;
    Ok((Arc::new(default_fields), Arc::new(https_default_fields)))
}

/// Minimum timeout of a session: stores count in milliseconds.
const MIN_LIFETIME: Duration = Duration::from_millis(1);

/// Minimum length of `cookie_secret`: RFC 2104 section 3 discourages an HMAC key that is
/// shorter than the hash.
const MIN_SECRET_BYTES: usize = 32;

/// Returns the prefix with a slash at both ends. In Tornado, the prefix `static` of the
/// tutorial becomes the pattern `static(.*)`, which matches no path, because paths begin with a
/// slash.
fn normalize_prefix(given: &str) -> String {
    let prefix = format!("/{}/", given.trim_matches('/'));
    if !given.starts_with('/') {
        info!(
            "static_url_prefix {given:?}: Tornado would find no path below it; taken as {prefix}"
        );
    }
    prefix
}
