//! What a response is made of besides written text: templates, redirects, streams that end.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::escape::{self, is_plain_url};
use crate::http::shutdown::Shutdown;
use crate::http::status::Status;
use crate::web::exchange::Exchange;
use crate::web::xsrf::XSRF_TOKEN;

/// Pages.
impl Exchange {
    /// Answers with a template. Its names are replaced by `values`, escaped; `xsrf_token` is
    /// always among them. A name that is not is an error.
    pub async fn render(&mut self, template: &str, values: &[(&str, &str)]) -> Result {
        let page = self.render_string(template, values).await?;
        self.write_whole(page)?;
        self.finish();
        Ok(())
    }

    /// A template with its names replaced, as [`render`](Exchange::render) does it.
    pub async fn render_string(
        &mut self,
        template: &str,
        values: &[(&str, &str)],
    ) -> Result<String> {
        let shared = Arc::clone(&self.shared);
        let template = shared.templates.find(template)?;
        let token = match template.names().any(|name| name == XSRF_TOKEN) {
            true => self.xsrf_token().await?,
            false => String::new(),
        };
        template.render(|name| {
            let given =
                values.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
            given.or((name == XSRF_TOKEN).then_some(token.as_str()))
        })
    }

    /// The URL of a static file, with its version: `/static/site.css?v=5d41402a`. A browser may
    /// keep what it finds there for good, since the file has another URL once it changes.
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
        for (at, segment) in path.split('/').enumerate() {
            if at > 0 {
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
    /// Sends the client elsewhere: 302, as in Tornado.
    pub fn redirect(&mut self, url: &str) -> Result {
        self.redirect_as(Status::FOUND, url)
    }

    /// Sends the client elsewhere for good: 301.
    pub fn redirect_permanently(&mut self, url: &str) -> Result {
        self.redirect_as(Status::MOVED_PERMANENTLY, url)
    }

    /// Sends the client elsewhere with a status of one's choice. A target that a browser would
    /// read as another host than it seems to name is refused with 400: `//host`, and anything
    /// empty or with a backslash, a space, a control character or one that is not ASCII; see
    /// [`escape::url`].
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

/// The end of the server.
impl Exchange {
    /// The signal that the server shuts down, for work that has no end of its own: a stream of events,
    /// or a handler that waits for one. It has the
    /// [`drain_timeout`](crate::web::settings::Settings::drain_timeout) from then on, and should end at
    /// once.
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
