//! The redirect handler: leads from the path of a route to another URL.

use crate::error::{Error, Result};
use crate::escape::is_plain_url;
use crate::http::status::Status;
use crate::methods;
use crate::web::exchange::{Exchange, downcast};
use crate::web::handler::RequestHandler;
use crate::web::route::{Route, fill};

/// The argument of a [`RedirectHandler`]'s route: the status and the target. Tornado's
/// `permanent=True` is [`Status::MOVED_PERMANENTLY`], `False` is [`Status::FOUND`].
///
/// The target is a path, or a URL that begins with a scheme, a host and a slash. It may have the
/// placeholders of the route's pattern, written as there (`{path...}` with its dots), after the
/// slash. Anything else is an [`Error::Config`] at startup. The values are percent-encoded, and
/// those of `{name...}` keep their slashes.
pub struct RedirectTo(pub Status, pub &'static str);

/// Redirects GET and HEAD to the [`RedirectTo`] of the route, and appends the query of the
/// request. Tornado's `RedirectHandler`.
///
/// ```
/// # use dustdevil::{Application, RedirectHandler, RedirectTo, Result, Route, Settings, Status};
/// # use dustdevil::handler;
/// # fn main() -> Result {
/// let pictures = RedirectTo(Status::MOVED_PERMANENTLY, "/pictures/{path...}");
/// let routes =
///     [Route::new("/photos/{path...}", handler::<RedirectHandler>).with(pictures)];
/// Application::with_routes(routes, Settings::default())?;
/// # Ok(())
/// # }
/// ```
/// A client cannot choose the host (open redirect, CWE-601): no placeholder can stand in the
/// host, and a path that would begin with `//`, after which browsers read a host, is 400.
pub struct RedirectHandler;

impl RequestHandler for RedirectHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let redirect = exchange.route_arguments::<RedirectTo>()?;
        let mut url = fill(redirect.1, &exchange.path_arguments)?;
        if let Some(query) = exchange.request.query().filter(|query| !query.is_empty()) {
            let end = url.find('#').unwrap_or(url.len());
            let separator = if url[..end].contains('?') { '&' } else { '?' };
            // Clients may send a backslash in a query, and `redirect_as` refuses it.
            url.insert_str(end, &format!("{separator}{}", query.replace('\\', "%5C")));
        }
        exchange.redirect_as(redirect.0, &url)
    }
}

/// Fails if the route is a redirect, and its target is not valid for its pattern.
pub(crate) fn check(route: &Route) -> Result {
    let redirect = route.arguments.as_ref().and_then(downcast::<RedirectTo>);
    let Some(RedirectTo(_, target)) = redirect.as_deref() else { return Ok(()) };
    let (pattern, start) = (&route.pattern, target.split('{').next().unwrap_or_default());
    let is_host_fixed = match start.split_once("://") {
        Some((_, rest)) => rest.find('/') > Some(0),
        None => start.starts_with('/'),
    };
    let mut names = target.split(['{', '}']).skip(1).step_by(2);
    let has_names = names.all(|name| pattern.contains(&format!("{{{name}}}")));
    if is_host_fixed && has_names && is_plain_url(target) {
        return Ok(());
    }
    Err(Error::Config(format!(
        "the route {pattern:?}: the target {target:?} must be a URL that begins with / or \
         https://host/, and has no other placeholders than the pattern"
    )))
}
