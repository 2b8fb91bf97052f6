//! What all requests of one application share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::session::memory;
use crate::session::store::Store;
use crate::web::settings::Settings;
use crate::web::static_files::StaticFiles;
use crate::web::template::Templates;
use crate::web::xsrf::Secret;

/// What an application makes of its settings when it starts.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) templates: Templates,
    pub(crate) static_files: Option<StaticFiles>,
    /// With a slash at both ends.
    pub(crate) static_url_prefix: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secret: Secret,
    /// What the application handed over, by type.
    pub(crate) state: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

/// The name that every template may use without anybody giving it.
pub(crate) const XSRF_TOKEN: &str = "xsrf_token";

impl Shared {
    pub(crate) fn new(settings: Settings) -> Result<Shared> {
        let has_folder = |path: &std::path::Path| !path.as_os_str().is_empty();
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
            return Err(Error::Setup(format!(
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
            static_url_prefix: normal_prefix(&settings.static_url_prefix),
            store,
            secret: Secret::new(&settings.cookie_secret),
            state: HashMap::new(),
            settings,
        })
    }
}

/// Tornado makes `static(.*)` of the prefix `static`, which no path matches, since paths begin
/// with a slash; and says nothing. Here all ways to write it are the same.
fn normal_prefix(given: &str) -> String {
    if !given.starts_with('/') {
        log::info!(
            "static_url_prefix {given:?} has no slash in front, so with Tornado no path would match it; it is taken as /{}/",
            given.trim_matches('/')
        );
    }
    match given.trim_matches('/') {
        "" => String::from("/"),
        prefix => format!("/{prefix}/"),
    }
}
