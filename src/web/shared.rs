//! What all requests of one application share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use log::info;

use crate::error::{Error, Result};
use crate::http::cookie::SetCookie;
use crate::http::response::DefaultFields;
use crate::http::shutdown::Shutdown;
use crate::identity_hasher::BuildIdentityHasher;
use crate::session::memory;
use crate::session::store::Store;
use crate::web::hosts;
use crate::web::settings::Settings;
use crate::web::static_files::StaticFiles;
use crate::web::template::Templates;
use crate::web::xsrf::{Secret, XSRF, XSRF_TOKEN};

/// What an application makes of its settings when it starts.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) templates: Templates,
    pub(crate) static_files: Option<StaticFiles>,
    /// The header fields that every response begins with: in the open, and over https.
    pub(crate) default_fields: Arc<DefaultFields>,
    pub(crate) https_default_fields: Arc<DefaultFields>,
    /// With a slash at both ends.
    pub(crate) static_url_prefix: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secret: Secret,
    pub(crate) shutdown: Shutdown,
    /// What the application handed over, by type.
    pub(crate) state: HashMap<TypeId, Arc<dyn Any + Send + Sync>, BuildIdentityHasher>,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Result<Shared> {
        let has_folder = |path: &std::path::Path| !path.as_os_str().is_empty();
        check(&settings)?;
        let (default_fields, https_default_fields) = default_fields_of(&settings)?;
        let templates = match has_folder(&settings.template_path) {
            true => Templates::load(&settings.template_path)?,
            false => Templates::default(),
        };
        if !settings.template_names.is_empty() {
            let mut names = settings.template_names.clone();
            names.push(XSRF_TOKEN);
            templates.check_names(&names)?;
        }
        if !settings.error_template.is_empty()
            && templates.find(&settings.error_template).is_err()
        {
            let missing = &settings.error_template;
            return Err(Error::Config(format!(
                "there is no template {missing:?} for errors"
            )));
        }
        let static_files = match has_folder(&settings.static_path) {
            true => Some(StaticFiles::new(&settings.static_path)?),
            false => None,
        };
        let store = settings.session_store.clone().unwrap_or_else(|| memory::container());
        Ok(Shared {
            templates,
            static_files,
            default_fields,
            https_default_fields,
            static_url_prefix: normal_prefix(&settings.static_url_prefix),
            store,
            secret: Secret::new(&settings.cookie_secret),
            shutdown: Shutdown::default(),
            state: HashMap::default(),
            settings,
        })
    }
}

/// Finds what no request could be answered with.
fn check(settings: &Settings) -> Result {
    let cookie = SetCookie::new(settings.session_cookie.as_str(), "");
    cookie.check().map_err(|error| Error::Config(error.to_string()))?;
    if settings.session_cookie == XSRF {
        return Err(Error::Config(format!("the cookie {XSRF} is not for sessions")));
    }
    let lifetime = settings.session_lifetime;
    if lifetime.idle.min(lifetime.absolute) < SHORTEST_LIFE {
        let message = "no session lives for less than a millisecond: see session_lifetime";
        return Err(Error::Config(String::from(message)));
    }
    if !settings.cookie_secret.is_empty() && settings.cookie_secret.len() < SHORTEST_SECRET
    {
        let message = format!("the cookie_secret is shorter than {SHORTEST_SECRET} bytes");
        return Err(Error::Config(message));
    }
    if let Some(host) = settings.allowed_hosts.iter().find(|host| !hosts::is_pattern(host))
    {
        return Err(Error::Config(format!(
            "no host is {host:?}, which allowed_hosts names"
        )));
    }
    if settings.static_url_prefix.trim_matches('/').is_empty() {
        let message = "the static_url_prefix is the root: no other page could be found";
        return Err(Error::Config(String::from(message)));
    }
    Ok(())
}

/// What all responses begin with, in the open and over https.
fn default_fields_of(
    settings: &Settings,
) -> Result<(Arc<DefaultFields>, Arc<DefaultFields>)> {
    let security = [
        ("X-Content-Type-Options", settings.content_type_options),
        ("Referrer-Policy", settings.referrer_policy),
        ("Content-Security-Policy", settings.content_security_policy),
    ];
    // RFC 6797 section 7.2: never in the open.
    let promise = ("Strict-Transport-Security", settings.strict_transport_security);
    let is_wanted = |(_, value): &(_, &'static str)| !value.is_empty();
    let fields = security.into_iter().filter(is_wanted);
    let fields = fields.chain(settings.default_headers.iter().copied());
    let default_fields = DefaultFields::new(fields.clone());
    let https_default_fields =
        DefaultFields::new(fields.chain([promise].into_iter().filter(is_wanted)));
    match (default_fields, https_default_fields) {
        (Ok(default_fields), Ok(https_default_fields)) => {
            Ok((Arc::new(default_fields), Arc::new(https_default_fields)))
        }
        (Err(error), _) | (_, Err(error)) => Err(Error::Config(error.to_string())),
    }
}

/// Stores count in milliseconds.
const SHORTEST_LIFE: Duration = Duration::from_millis(1);

/// RFC 2104 section 3: a key shorter than its hash makes it weaker.
const SHORTEST_SECRET: usize = 32;

/// Tornado makes `static(.*)` of the prefix `static`, which no path matches, since paths begin
/// with a slash; and says nothing. Here all ways to write it are the same.
fn normal_prefix(given: &str) -> String {
    let prefix = format!("/{}/", given.trim_matches('/'));
    if !given.starts_with('/') {
        info!(
            "static_url_prefix {given:?}: Tornado would find no path below it; taken as {prefix}"
        );
    }
    prefix
}
