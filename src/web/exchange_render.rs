//! Templates, redirects and static URLs, and the shutdown signal for streams.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::escape::{self, is_plain_url};
use crate::http::shutdown::Shutdown;
use crate::http::status::Status;
use crate::web::exchange::Exchange;
use crate::web::xsrf::XSRF_TOKEN;

/// Pages.
impl Exchange {
    /// Finishes the response with a template, in which each placeholder is replaced by its
    /// escaped value. `xsrf_token` is always defined. Fails if another placeholder is not in
    /// `values`.
    pub async fn render(&mut self, template: &str, values: &[(&str, &str)]) -> Result {
        let page = self.render_string(template, values).await?;
        self.write_page(page)?;
        self.finish();
        Ok(())
    }

    /// Returns a rendered template, like [`render`](Exchange::render), without writing it.
    pub async fn render_string(
        &mut self,
        template: &str,
        values: &[(&str, &str)],
    ) -> Result<String> {
        let shared = Arc::clone(&self.shared);
        let template = shared.templates.find(template)?;
        let token = match template.placeholders().any(|name| name == XSRF_TOKEN) {
            true => self.xsrf_token().await?,
            false => String::new(),
        };
        template.render(|name| {
            let given =
                values.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
            given.or((name == XSRF_TOKEN).then_some(token.as_str()))
        })
    }

    /// Returns the URL of a static file with its version, `/static/site.css?v=5d41402a` (cache
    /// busting): browsers may cache it without revalidation, because the URL changes with the
    /// file. Fails if there is no such file.
    pub async fn static_url(&self, path: &str) -> Result<String> {
        let files = self.shared.static_files.as_ref();
        let found = match files {
            Some(files) => files.version(path).await?,
            None => None,
        };
        let file = found.ok_or_else(|| Error::other(format!("no static file {path:?}")))?;
        let (prefix, version) = (&self.shared.static_url_prefix, &file.version);
        let mut url = String::with_capacity(prefix.len() + path.len() + version.len() + 8);
        url.push_str(prefix);
        for (index, segment) in path.split('/').enumerate() {
            if index > 0 {
                url.push('/');
            }
            escape::push_url(&mut url, segment);
        }
        url.push_str("?v=");
        url.push_str(version);
        Ok(url)
    }
}

/// Redirects.
impl Exchange {
    /// Redirects the client: 302 (Found), as in Tornado.
    pub fn redirect(&mut self, url: &str) -> Result {
        self.redirect_as(Status::FOUND, url)
    }

    /// Redirects the client permanently: 301 (Moved Permanently).
    pub fn redirect_permanently(&mut self, url: &str) -> Result {
        self.redirect_as(Status::MOVED_PERMANENTLY, url)
    }

    /// Redirects the client with another status. Fails with 400 if the target is not a plain
    /// URL: if it is empty, begins with `//`, or contains a backslash, a space, a control
    /// character or a non-ASCII character. Browsers read `//host` and `/\host` as another host,
    /// which makes open redirects possible. [`escape::url`] encodes such characters.
    pub fn redirect_as(&mut self, status: Status, url: &str) -> Result {
        if !is_plain_url(url) {
            let message = "The target of the redirect is not a plain URL.";
            return Err(Error::http(Status::BAD_REQUEST, message));
        }
        self.set_status(status);
        self.set_header_unchecked("Location", url.to_owned());
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
    ///             () = shutdown.begun() => return Ok::<_, std::io::Error>(()),
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
