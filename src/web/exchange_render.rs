//! Templates, redirects and static URLs, and the shutdown signal for streams.

use log::warn;

use crate::error::{Error, Result};
use crate::escape::{self, is_plain_url};
use crate::http::shutdown::Shutdown;
use crate::http::status::Status;
use crate::web::exchange::Exchange;
use crate::web::route;
use crate::web::template::Value;
use crate::web::xsrf::XSRF_TOKEN;

/// Pages.
impl Exchange {
    /// Finishes the response with a template, in which each placeholder is replaced by its
    /// value, escaped for HTML. Nothing can be written after it; for a page of several
    /// parts, see [`render_string`](Exchange::render_string). A value is a reference to anything
    /// that implements `Display`; [`template`](crate::web::template) says what a template may
    /// contain. `xsrf_token` is always defined; `{{! name }}` is the literal text `{{ name }}`.
    /// Fails if the template does not exist, if another placeholder is not in `values`, if a
    /// `Display` fails, or if the response is finished already. Tornado's `render`, without its
    /// expressions.
    ///
    /// ```
    /// # use dustdevil::{Exchange, Result};
    /// # async fn example(exchange: &mut Exchange) -> Result {
    /// let name = exchange.get_argument("name")?;
    /// exchange.render("page.html", &[("name", &name), ("title", &"Visits"), ("count", &5)]).await
    /// # }
    /// ```
    pub async fn render(&mut self, template: &str, values: &[(&str, Value<'_>)]) -> Result {
        let page = self.render_string(template, values).await?;
        self.write_page(page)?;
        self.finish();
        Ok(())
    }

    /// Returns a rendered template, like [`render`](Exchange::render), without writing it.
    /// Another template can insert it with `{{ raw name }}`. Tornado's `render_string`.
    pub async fn render_string(
        &mut self,
        template: &str,
        values: &[(&str, Value<'_>)],
    ) -> Result<String> {
        let template = self.shared.templates.find(template)?;
        let token = match template.placeholders().any(|name| name == XSRF_TOKEN) {
            true => self.xsrf_token().await?,
            false => String::new(),
        };
        template.render(|name| {
            let given =
                values.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
            given.or((name == XSRF_TOKEN).then_some(&token as Value<'_>))
        })
    }

    /// Returns the URL of a static file with its version, `/static/site.css?v=5d41402a` (cache
    /// busting): browsers may cache it without revalidation, because the URL changes with the
    /// file. If there is no such file, the URL has no version, and the log has a warning. Fails
    /// if no `static_path` is set. Tornado's `static_url`.
    pub async fn static_url(&self, path: &str) -> Result<String> {
        let files = self.shared.static_files.as_ref();
        let unset = || Error::other("static_url: the setting static_path is empty");
        let found = files.ok_or_else(unset)?.version(path).await?;
        let prefix = &self.shared.static_url_prefix;
        let mut url = String::with_capacity(prefix.len() + path.len() + 40);
        url.push_str(prefix);
        escape::push_path(&mut url, path);
        match found {
            Some(file) => url.extend(["?v=", &file.version]),
            None => {
                warn!(target: "dustdevil::general", "there is no static file {path:?}");
            }
        }
        Ok(url)
    }

    /// Returns the path of the route with this [name](crate::Route::named), with an argument for
    /// each placeholder: `reverse_url("story", &[("id", "5")])` is `/story/5`. The values are
    /// percent-encoded; those of `{name...}` keep their slashes. Arguments that the route does
    /// not have are ignored. Clients remove the segments `.` and `..` from a URL, however they
    /// are encoded, so such a value leads to another path. Tornado's `reverse_url`.
    ///
    /// Fails with the name of the route if there is none, or of an argument that is missing, or
    /// empty where the placeholder is not `{name...}`.
    pub fn reverse_url(&self, name: &str, arguments: &[(&str, &str)]) -> Result<String> {
        route::reverse_url(&self.shared.named_patterns, name, arguments)
    }
}

/// Redirects, and the URL that a login leads back to.
impl Exchange {
    /// Returns the URL of the request, with scheme and host. The host is what the client sent,
    /// so it is to be trusted only with
    /// [`allowed_hosts`](crate::web::settings::Settings::allowed_hosts). Tornado's `full_url`.
    pub fn full_url(&self) -> String {
        let scheme = if self.is_https() { "https" } else { "http" };
        let host = self.request.authority().unwrap_or("localhost");
        format!("{scheme}://{host}{}", self.path_and_query())
    }

    /// Returns the path with the query. Tornado's `request.uri`.
    pub(crate) fn path_and_query(&self) -> String {
        let path = self.request.path();
        self.request.query().map_or(path.into(), |query| format!("{path}?{query}"))
    }

    /// Redirects the client: 302 (Found). Tornado's `redirect`.
    pub fn redirect(&mut self, url: &str) -> Result {
        self.redirect_as(Status::FOUND, url)
    }

    /// Redirects the client permanently: 301 (Moved Permanently).
    pub fn redirect_permanently(&mut self, url: &str) -> Result {
        self.redirect_as(Status::MOVED_PERMANENTLY, url)
    }

    /// Redirects the client with another status. Fails with 400 if the target is not a plain
    /// URL: if it is empty, begins with `//`, or contains a backslash, a space, a control
    /// character or a non-ASCII character. `https://example.com/`, with its scheme, is plain.
    /// Browsers read `//host` and `/\host` as another host, which makes open redirects
    /// possible. [`escape::url`] encodes such characters.
    pub fn redirect_as(&mut self, status: Status, url: &str) -> Result {
        if !is_plain_url(url) {
            let message = "The target of the redirect is not a plain URL.";
            return Err(Error::http(Status::BAD_REQUEST, message));
        }
        self.set_status(status);
        self.set_unchecked("Location", url.to_owned());
        self.finish_empty()
    }
}

/// Graceful shutdown.
impl Exchange {
    /// Returns the signal that begins the graceful shutdown, for work that would not end by
    /// itself: a stream of events, or a handler that waits for one (long polling). When the
    /// signal comes, such work should end immediately; after the
    /// [`drain_timeout`](crate::web::settings::Settings::drain_timeout) its connection is
    /// closed.
    ///
    /// ```
    /// # use dustdevil::{Exchange, Result};
    /// # use std::time::Duration;
    /// # fn example(exchange: &mut Exchange) -> Result {
    /// let shutdown = exchange.shutdown();
    /// exchange.stream(async move |sender| {
    ///     loop {
    ///         tokio::select! {
    ///             () = shutdown.begun() => return Ok(()),
    ///             () = tokio::time::sleep(Duration::from_secs(1)) => sender.send("tick\n").await?,
    ///         }
    ///     }
    /// })
    /// # }
    /// ```
    pub fn shutdown(&self) -> Shutdown {
        self.shared.shutdown.clone()
    }
}
