//! The handler of static files: Tornado's `StaticFileHandler`, with conditional requests (RFC
//! 9110 section 13) and range requests (section 14).

use bytes::Bytes;

use crate::error::{Error, HttpError, Result};
use crate::http::body::Body;
use crate::http::conditions::{self, Outcome};
use crate::http::method::Method;
use crate::http::range::{self, Selection};
use crate::http::status::Status;
use crate::web::exchange::{Exchange, downcast};
use crate::web::handler::RequestHandler;
use crate::web::static_files::StaticFiles;
use crate::web::static_files::file::FoundFile;

/// The argument of a route that serves a single file: `favicon.ico`, `robots.txt`.
#[derive(Debug)]
pub(crate) struct OnlyFile(pub(crate) &'static str);

/// Sends a file: whole (200), a range of it (206), or no content if the client's copy is current
/// (304). Tornado's `StaticFileHandler`.
///
/// The file is one of the [`StaticFiles`] that are the arguments of the route, or else of the
/// setting `static_path`. Its path is the value of the last placeholder of the route. The files
/// of a route may have any prefix; `static_url` knows those of `static_path` only, so the URLs of
/// the others have no version, and caches revalidate them.
///
/// ```no_run
/// # use dustdevil::{Application, Result, Route, Settings, StaticFileHandler, StaticFiles};
/// # use dustdevil::handler;
/// # fn main() -> Result {
/// let manual = StaticFiles::new("manual")?.default_filename("index.html");
/// let routes = [Route::new("/manual/{path...}", handler::<StaticFileHandler>).with(manual)];
/// Application::with_routes(routes, Settings::default())?;
/// # Ok(())
/// # }
/// ```
/// With a [`default_filename`](StaticFiles::default_filename), `/manual/` and `/manual/api/` are
/// the files of this name in the two directories, and `/manual/api` redirects to `/manual/api/`
/// (301), so that relative links on the page lead into the directory. `/manual` is another path,
/// and needs a [`RedirectHandler`](crate::RedirectHandler).
pub struct StaticFileHandler {
    found: FoundFile,
}

impl RequestHandler for StaticFileHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        let arguments = exchange.route_arguments.as_ref();
        let path = match arguments.and_then(|arguments| arguments.downcast_ref()) {
            Some(OnlyFile(path)) => path,
            None => exchange.path_arguments().last().unwrap_or_default(),
        };
        let own = arguments.and_then(downcast::<StaticFiles>);
        let files = own.as_deref().or(exchange.shared.static_files.as_ref());
        let files = files.ok_or_else(|| Error::other("there is no static folder"))?;
        let found = files.find(path).await?;
        // Boxed, because it is rare and would enlarge the future of every request.
        if found.is_none() && Box::pin(files.find(&format!("{path}/"))).await?.is_some() {
            let directory = format!("{}/", exchange.request.path());
            exchange.redirect_permanently(&directory)?;
            return Err(Error::Finish);
        }
        let missing = || Error::http(Status::NOT_FOUND, "There is no such file.");
        Ok(Self { found: found.ok_or_else(missing)? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let file = &self.found.file;
        exchange.set_unchecked("ETag", file.validators.etag.clone());
        if let Some(last_modified) = &file.last_modified {
            exchange.set_unchecked("Last-Modified", last_modified.clone());
        }
        exchange.set_unchecked("Cache-Control", self.cache_control(exchange));
        exchange.set_unchecked("Accept-Ranges", "bytes");
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
    /// Returns the Cache-Control. A URL with the file's current version may be cached for a
    /// year without revalidation, because a changed file has another URL. For any other URL,
    /// caches must revalidate the file before each use.
    fn cache_control(&self, exchange: &Exchange) -> &'static str {
        let version = exchange.arguments.query.values("v").next_back();
        match version == Some(self.found.file.version.as_bytes()) {
            true => "public, max-age=31536000, immutable",
            false => "no-cache",
        }
    }

    /// Sends the file or a range of it. RFC 9110 section 14.2: `Range` applies to GET only; and
    /// with `If-Range`, only if the client's other parts are of the same version.
    fn send(&mut self, exchange: &mut Exchange) -> Result {
        let file = &self.found.file;
        let length = file.length();
        exchange.set_unchecked("Content-Type", file.content_type.clone());
        if let Some(encoding) = file.content_encoding {
            exchange.set_unchecked("Content-Encoding", encoding);
        }
        let request = &exchange.request;
        let is_single = request.field_values("Range").count() == 1;
        let range = request.field("Range").filter(|_| {
            is_single
                && request.method() == Method::Get
                && conditions::if_range_matches(request, &file.validators)
        });
        match range.map_or(Selection::Whole, |range| range::select(range, length)) {
            Selection::Whole => exchange.finish_with(self.found.body(0..length)?),
            Selection::Part(part) => {
                exchange.set_status(Status::PARTIAL_CONTENT);
                let (first, last) = (part.start, part.end - 1);
                let content_range = format!("bytes {first}-{last}/{length}");
                exchange.set_unchecked("Content-Range", content_range);
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
