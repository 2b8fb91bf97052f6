//! More of Tornado's verbs: those that read arguments, draw pages and send elsewhere, and those that
//! tell our own forms from forged ones; and the signal that the server shuts down.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::escape::{self, is_plain_url};
use crate::http::cookie::SetCookie;
use crate::http::shutdown::Shutdown;
use crate::http::status::Status;
use crate::web::arguments::{self, Arguments};
use crate::web::exchange::Exchange;
use crate::web::multipart::HttpFile;
use crate::web::xsrf::{Bearer, Provenance, XSRF, XSRF_TOKEN};

/// Arguments. Where a name was sent several times, the last value counts. A name that was not
/// sent is answered 400, and the answer names it; so is a value that is not UTF-8.
impl Exchange {
    /// An argument of the form or, if it is not there, of the query; without the white space
    /// around it.
    pub fn get_argument(&self, name: &str) -> Result<String> {
        self.find_argument(name)?.ok_or_else(|| missing(name))
    }

    /// The same, where it is no error that it was not sent.
    pub(crate) fn find_argument(&self, name: &str) -> Result<Option<String>> {
        self.check_query()?;
        let found = match self.arguments.body.last(name)? {
            Some(value) => Some(value),
            None => self.arguments.query.last(name)?,
        };
        Ok(found.map(arguments::tidy))
    }

    /// All values of an argument: the query's, and the form's after them.
    pub fn get_arguments(&self, name: &str) -> Result<Vec<String>> {
        let mut values = self.get_query_arguments(name)?;
        values.extend(all(&self.arguments.body, name)?);
        Ok(values)
    }

    /// An argument of the query, without the white space around it.
    pub fn get_query_argument(&self, name: &str) -> Result<String> {
        self.check_query()?;
        one(&self.arguments.query, name).map(arguments::tidy)
    }

    /// An argument of the query, as it was sent.
    pub fn get_query_argument_raw(&self, name: &str) -> Result<String> {
        self.check_query()?;
        one(&self.arguments.query, name).map(str::to_owned)
    }

    /// All values of an argument of the query.
    pub fn get_query_arguments(&self, name: &str) -> Result<Vec<String>> {
        self.check_query()?;
        all(&self.arguments.query, name)
    }

    /// An argument of the form, without the white space around it.
    pub fn get_body_argument(&self, name: &str) -> Result<String> {
        one(&self.arguments.body, name).map(arguments::tidy)
    }

    /// An argument of the form, as it was sent: for passwords, where a space is a character.
    pub fn get_body_argument_raw(&self, name: &str) -> Result<String> {
        one(&self.arguments.body, name).map(str::to_owned)
    }

    /// All values of an argument of the form.
    pub fn get_body_arguments(&self, name: &str) -> Result<Vec<String>> {
        all(&self.arguments.body, name)
    }

    /// The files that came with the form under this name.
    pub fn get_files(&self, name: &str) -> impl Iterator<Item = &HttpFile> {
        self.arguments.files.iter().filter(move |file| file.name == name)
    }

    /// What the route's `{name}` stood for, decoded.
    pub fn path_argument(&self, name: &str) -> Result<&str> {
        let mut arguments = self.path_arguments.iter();
        let found =
            arguments.find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        found.ok_or_else(|| Error::other(format!("the route has no {{{name}}}")))
    }

    /// What the route's names stood for, in their order.
    pub fn path_arguments(&self) -> impl Iterator<Item = &str> {
        self.path_arguments.iter().map(|(_, value)| value.as_str())
    }
}

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

/// The end of the server.
impl Exchange {
    /// The signal that the server shuts down, for work that has no end of its own: a stream of events,
    /// or a handler that waits for one. It has the
    /// [`drain_time`](crate::web::settings::Settings::drain_time) from then on, and should end at
    /// once.
    ///
    /// ```
    /// # use dustdevil::{Exchange, Result};
    /// # use std::time::Duration;
    /// # fn example(exchange: &mut Exchange) -> Result {
    /// let shutdown = exchange.shutdown();
    /// exchange.stream(async move |outlet| {
    ///     loop {
    ///         tokio::select! {
    ///             () = shutdown.begun() => return Ok::<_, std::io::Error>(()),
    ///             () = tokio::time::sleep(Duration::from_secs(1)) => outlet.send("tick\n").await?,
    ///         }
    ///     }
    /// })
    /// # }
    /// ```
    pub fn shutdown(&self) -> Shutdown {
        self.shared.shutdown.clone()
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
            let sentence = "The target of the redirect is not a plain URL.";
            return Err(Error::http(Status::BAD_REQUEST, sentence));
        }
        self.set_status(status);
        self.set_known_header("Location", url.to_owned());
        self.finish_empty()
    }
}

/// Requests that other sites forge.
impl Exchange {
    /// The token that a form must bring back as `_xsrf`, or a script in the header
    /// `X-XSRFToken`. It is made for the session where there is one; another visitor is given
    /// a cookie to know it by.
    pub async fn xsrf_token(&mut self) -> Result<String> {
        if let Some(key) = self.session().form_key().await? {
            return Ok(self.shared.secret.issue(Bearer::Session(key)));
        }
        let name = self.cookie_name(XSRF);
        let secret = &self.shared.secret;
        let new = self.new_cookies.iter().find(|cookie| cookie.name() == name);
        let known = match new {
            Some(cookie) => secret.mark(cookie.value()),
            None => self.cookie_values(&name).find_map(|text| secret.mark(text)),
        };
        let mark = match known {
            Some(mark) => mark,
            None => {
                let mark = secret.new_mark();
                self.set_cookie(SetCookie::new(name, mark.text()))?;
                mark
            }
        };
        Ok(self.shared.secret.issue(Bearer::Visitor(&mark)))
    }

    /// Refuses what another site made the browser send: 403.
    pub(crate) fn check_origin(&self) -> Result {
        let provenance = Provenance {
            fetch_site: self.request.field("Sec-Fetch-Site"),
            origin: self.request.field("Origin"),
            host: self.request.authority(),
            https: self.is_https(),
        };
        if provenance.is_foreign(&self.shared.settings.trusted_origins) {
            return Err(Error::http(Status::FORBIDDEN, "Another site sent this request."));
        }
        Ok(())
    }

    /// Refuses what does not bring a token that was made for whoever sent it: 403. A token in
    /// the URL does not count, for URLs are logged, kept and passed on.
    pub(crate) async fn check_xsrf_cookie(&mut self) -> Result {
        let session = self.session();
        let headers = ["X-XSRFToken", "X-CSRFToken"];
        let in_header = || headers.iter().find_map(|name| self.request.field(name));
        let in_form = self.arguments.body.last(XSRF)?;
        let Some(text) = in_form.or_else(in_header) else {
            return Err(Error::http(Status::FORBIDDEN, "The _xsrf token is missing."));
        };
        let name = self.cookie_name(XSRF);
        let secret = &self.shared.secret;
        let is_sessions = |key| secret.accepts(text, Bearer::Session(key));
        let is_visitors = |cookie: &str| {
            let mark = secret.mark(cookie);
            mark.is_some_and(|mark| secret.accepts(text, Bearer::Visitor(&mark)))
        };
        // A form that was fetched before a session began is good as long as there is nothing in
        // that which it could do harm to.
        let accepted = session.form_key().await?.is_some_and(is_sessions)
            || (self.cookie_values(&name).any(is_visitors)
                && session.holds_nothing().await?);
        if !accepted {
            let sentence =
                "This form is out of date. Load its page again, and send it from there.";
            return Err(Error::http(Status::FORBIDDEN, sentence));
        }
        Ok(())
    }

    /// Takes the visitor's mark away at a logout: tokens that were made before the login are
    /// not to come back to life.
    pub(crate) fn forget_mark(&mut self) -> Result {
        let name = self.cookie_name(XSRF);
        let is_new = self.new_cookies.iter().any(|cookie| cookie.name() == name);
        if !is_new && self.cookie_values(&name).next().is_some() {
            self.clear_cookie(&name)?;
        }
        Ok(())
    }
}

fn one<'a>(arguments: &'a Arguments, name: &'a str) -> Result<&'a str> {
    arguments.last(name)?.ok_or_else(|| missing(name))
}

fn all(arguments: &Arguments, name: &str) -> Result<Vec<String>> {
    let texts = arguments.values(name).map(arguments::to_text);
    texts.map(|text| text.map(arguments::tidy)).collect()
}

fn missing(name: &str) -> Error {
    Error::http(Status::BAD_REQUEST, format!("The argument {name} is missing."))
}
