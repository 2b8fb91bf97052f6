//! The part of Tornado that the tutorial's program calls, as Tornado 6 does it. It stands on
//! `dustdevil::http` alone. **Warning: it is a part of a vulnerable server.**
//!
//! Not here: what the tutorial does not call, such as static files (its `static_url_prefix` has no
//! slash, and Tornado then serves none).

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dustdevil::crypto;
use dustdevil::http::body::Body;
use dustdevil::http::date;
use dustdevil::http::method::Method;
use dustdevil::http::request::Request;
use dustdevil::http::response::Response;
use dustdevil::http::status::Status;

use crate::text;

/// The error of a handler: a status, and Tornado's page for it.
pub(crate) struct HttpError(pub(crate) Status);

/// Tornado's `RequestHandler`: one request, and the response to it.
pub(crate) struct RequestHandler {
    request: Request,
    content: Vec<u8>,
    status: Status,
    cookies: Vec<String>,
    location: Option<String>,
    page: String,
}

impl RequestHandler {
    pub(crate) fn new(request: Request, content: Vec<u8>) -> RequestHandler {
        RequestHandler {
            request,
            content,
            status: Status::OK,
            cookies: Vec::new(),
            location: None,
            page: String::new(),
        }
    }

    pub(crate) fn method(&self) -> Method {
        self.request.method()
    }

    /// The cookie of this name that the client has sent. Of several, the last counts.
    pub(crate) fn get_cookie(&self, name: &str) -> Option<String> {
        let fields = self.request.field_values("Cookie");
        let cookies = fields.flat_map(|field| dustdevil::http::cookie::values(field, name));
        cookies.last().map(std::borrow::Cow::into_owned)
    }

    /// Sets a cookie. `expires` is a Unix time.
    pub(crate) fn set_cookie(&mut self, name: &str, value: &str, expires: Option<f64>) {
        let expires = expires.map(|seconds| {
            let time = UNIX_EPOCH + Duration::from_secs_f64(seconds);
            format!("expires={}; ", date::format(time))
        });
        let expires = expires.unwrap_or_default();
        self.cookies.push(format!("{name}={value}; {expires}Path=/"));
    }

    /// The last argument of this name, of the query and of the form, without white space at its
    /// ends. 400 if there is none.
    pub(crate) fn get_argument(&self, name: &str) -> Result<String, HttpError> {
        self.find_argument(name).ok_or(HttpError(Status::BAD_REQUEST))
    }

    fn find_argument(&self, name: &str) -> Option<String> {
        let query = self.request.query().unwrap_or_default().as_bytes();
        let form = text::form_value(&self.content, name);
        let value = form.or_else(|| text::form_value(query, name))?;
        Some(value.trim().to_owned())
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.page.push_str(text);
    }

    pub(crate) fn redirect(&mut self, url: &str) {
        self.status = Status::FOUND;
        self.location = Some(url.to_owned());
    }

    /// Writes a template. It has one placeholder, the `xsrf_form_html()` of Tornado.
    pub(crate) fn render(&mut self, template: &str) {
        let token = self.xsrf_token();
        let field = format!("<input type=\"hidden\" name=\"_xsrf\" value=\"{token}\"/>");
        self.page = template.replace("{% raw xsrf_form_html() %}", &field);
    }

    /// The token of the client's cookie, masked afresh. Sets the cookie if there is none.
    fn xsrf_token(&mut self) -> String {
        let known = self.get_cookie("_xsrf").and_then(|cookie| decode_token(&cookie));
        let is_new = known.is_none();
        let token = known.unwrap_or_else(|| crypto::random::<16>().to_vec());
        let masked = encode_token(&token);
        if is_new {
            self.set_cookie("_xsrf", &masked, None);
        }
        masked
    }

    /// Tornado's `check_xsrf_cookie`, a double submit: the token of the form must be that of the
    /// cookie. Neither needs to come from this server.
    pub(crate) fn check_xsrf_cookie(&self) -> Result<(), HttpError> {
        let headers = ["X-Xsrftoken", "X-Csrftoken"];
        let header = || headers.iter().find_map(|name| self.request.field(name));
        let given = self.find_argument("_xsrf").or_else(|| header().map(str::to_owned));
        let given = given.as_deref().and_then(decode_token);
        let expected = self.get_cookie("_xsrf").and_then(|cookie| decode_token(&cookie));
        match given.is_some() && given == expected {
            true => Ok(()),
            false => Err(HttpError(Status::FORBIDDEN)),
        }
    }

    /// Returns the response, and writes Tornado's line of the access log: with the whole URL.
    #[allow(clippy::needless_pass_by_value)]
    pub(crate) fn finish(
        mut self,
        handled: Result<(), HttpError>,
        peer: SocketAddr,
        began: Instant,
    ) -> Response {
        if let Err(HttpError(status)) = handled {
            self.status = status;
            self.location = None;
            self.page =
                format!("<html><title>{status}</title><body>{status}</body></html>");
        }
        let (method, path, ip) = (self.method(), self.request.path(), peer.ip());
        let query = self.request.query().map(|query| format!("?{query}"));
        let millis = began.elapsed().as_secs_f64() * 1000.0;
        let url = format!("{path}{}", query.unwrap_or_default());
        eprintln!("{} {method} {url} ({ip}) {millis:.2}ms", self.status.code());
        let mut response = Response::new(self.status);
        let cookies = self.cookies.into_iter().map(|cookie| ("Set-Cookie", cookie));
        let location = self.location.into_iter().map(|url| ("Location", url));
        let html = ("Content-Type", String::from("text/html; charset=UTF-8"));
        for (name, value) in [html].into_iter().chain(cookies).chain(location) {
            // Fails for a value with a control character, as in Tornado.
            let _ = response.add_field(name, value);
        }
        response.body = Body::Bytes(self.page.into());
        response
    }
}

/// A token of version 2, as Tornado writes it: `2|mask|masked token|time`.
fn encode_token(token: &[u8]) -> String {
    let mask = crypto::random::<4>();
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let masked = hex::encode(apply_mask(mask, token));
    format!("2|{}|{masked}|{time}", hex::encode(mask))
}

/// Returns the token. Text without a version is a token of version 1, in hex or as it is.
fn decode_token(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() {
        return None;
    }
    if !text.starts_with("2|") {
        return Some(hex::decode(text).unwrap_or_else(|_| text.as_bytes().to_vec()));
    }
    let mut parts = text.split('|').skip(1);
    let mask = hex::decode(parts.next()?).ok()?.try_into().ok()?;
    let masked = hex::decode(parts.next()?).ok()?;
    Some(apply_mask(mask, &masked))
}

fn apply_mask(mask: [u8; 4], bytes: &[u8]) -> Vec<u8> {
    bytes.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}
