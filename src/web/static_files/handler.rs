//! The handler of static files. Tornado's `StaticFileHandler`.

use bytes::Bytes;

use crate::error::{Error, HttpError, Result};
use crate::http::body::Body;
use crate::http::conditions::{self, Outcome};
use crate::http::method::Method;
use crate::http::range::{self, Selection};
use crate::http::status::Status;
use crate::web::exchange::Exchange;
use crate::web::handler::RequestHandler;
use crate::web::static_files::file::Found;

/// The one path that a route serves, where it serves one: `favicon.ico`, `robots.txt`.
#[derive(Debug)]
pub(crate) struct OnlyFile(pub(crate) &'static str);

/// Sends a file of the `static_path`, or a part of one, or word that it has not changed.
pub struct StaticFileHandler {
    found: Found,
}

impl RequestHandler for StaticFileHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        let only = exchange.route_arguments.as_ref().and_then(|only| only.downcast_ref());
        let path = match only {
            Some(OnlyFile(path)) => path,
            None => exchange.path_argument("path")?,
        };
        let files = exchange.shared.static_files.as_ref();
        let files = files.ok_or_else(|| Error::other("there is no static folder"))?;
        let missing = || Error::http(Status::NOT_FOUND, "There is no such file.");
        Ok(Self { found: files.find(path).await?.ok_or_else(missing)? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let file = &self.found.file;
        exchange.set_header_unchecked("ETag", file.validators.etag.clone());
        if let Some(last_modified) = &file.last_modified {
            exchange.set_header_unchecked("Last-Modified", last_modified.clone());
        }
        exchange.set_header_unchecked("Cache-Control", self.cache_control(exchange));
        exchange.set_header_unchecked("Accept-Ranges", "bytes");
        match conditions::evaluate(&exchange.request, &file.validators) {
            Outcome::Proceed => self.send(exchange),
            Outcome::NotModified => {
                exchange.set_status(Status::NOT_MODIFIED);
                exchange.finish_with(Body::Bytes(Bytes::new()))
            }
            Outcome::PreconditionFailed => {
                let message = "The file has changed.";
                Err(Error::http(Status::PRECONDITION_FAILED, message))
            }
        }
    }
}

impl StaticFileHandler {
    /// A URL with the version that the file has now may be kept for good: when the file changes,
    /// so does its URL. One with another version, or none, must be asked for again.
    fn cache_control(&self, exchange: &Exchange) -> &'static str {
        let asked = exchange.arguments.query.values("v").next_back();
        match asked == Some(self.found.file.version.as_bytes()) {
            true => "public, max-age=31536000, immutable",
            false => "no-cache",
        }
    }

    /// RFC 9110 section 14.2: a Range counts in GET, if the client's other parts still fit.
    fn send(&mut self, exchange: &mut Exchange) -> Result {
        let file = &self.found.file;
        let length = file.length();
        exchange.set_header_unchecked("Content-Type", file.content_type.clone());
        if let Some(encoding) = file.content_encoding {
            exchange.set_header_unchecked("Content-Encoding", encoding);
        }
        let request = &exchange.request;
        let is_one = request.field_values("Range").count() == 1;
        let range = request.field("Range").filter(|_| {
            is_one
                && request.method() == Method::Get
                && conditions::if_range_matches(request, &file.validators)
        });
        match range.map_or(Selection::Whole, |range| range::select(range, length)) {
            Selection::Whole => exchange.finish_with(self.found.body(0..length)?),
            Selection::Part(part) => {
                exchange.set_status(Status::PARTIAL_CONTENT);
                let (first, last) = (part.start, part.end - 1);
                let content_range = format!("bytes {first}-{last}/{length}");
                exchange.set_header_unchecked("Content-Range", content_range);
                exchange.finish_with(self.found.body(part)?)
            }
            Selection::Unsatisfiable => {
                let message = "The requested range is outside the file.";
                let error = HttpError::new(Status::RANGE_NOT_SATISFIABLE, message);
                Err(error.with_header("Content-Range", format!("bytes */{length}")).into())
            }
        }
    }
}
