//! Arguments of a request: query, form, uploaded files, and placeholders of the route.

use std::any::type_name;
use std::panic::Location;
use std::str::FromStr;

use bytes::Bytes;

use crate::error::{Error, HttpError, Result};
use crate::http::status::Status;
use crate::web::arguments::{self, Arguments};
use crate::web::exchange::{Exchange, or_other};
use crate::web::multipart::{self, HttpFile};

/// Arguments. If a name was sent several times, the last value counts, as in Tornado. A missing
/// argument is an error with status 400 that names it ([`Error::MissingArgument`]); a value
/// that is not UTF-8 is one with status 400, too, even where there is a default. Values are
/// stripped of leading and trailing white space, except by the methods with a name that ends in
/// `raw`.
impl Exchange {
    /// Returns an argument of the form or, if the form does not have it, of the query. Fails
    /// with 400 if it is missing. Tornado's `get_argument`.
    #[track_caller]
    pub fn get_argument(&self, name: &str) -> Result<String> {
        required(self.find_argument(name)?, name)
    }

    /// Returns an argument, or `default` if it is missing. Tornado's `get_argument` with a
    /// default.
    #[track_caller]
    pub fn get_argument_or(&self, name: &str, default: &str) -> Result<String> {
        or_default(self.get_argument(name), default)
    }

    /// Returns an argument as a value of another type, such as a number. Fails with 400 if it
    /// is missing or malformed. Tornado has none: `int(self.get_argument("year"))` is a 500
    /// there.
    ///
    /// ```
    /// # fn example(exchange: &dustdevil::Exchange) -> dustdevil::Result<u32> {
    /// let year = exchange.parse_argument::<u32>("year")?;
    /// # Ok(year)
    /// # }
    /// ```
    #[track_caller]
    pub fn parse_argument<T: FromStr>(&self, name: &str) -> Result<T> {
        let Ok(value) = self.get_argument(name)?.parse() else {
            let message = format!("The argument {name} is invalid.");
            let error = HttpError::new(Status::BAD_REQUEST, message);
            return Err(error.with_detail(not_a::<T>()).into());
        };
        Ok(value)
    }

    /// Like [`parse_argument`](Exchange::parse_argument), but returns `default` if the argument
    /// is missing. A malformed one is 400 all the same.
    #[track_caller]
    pub fn parse_argument_or<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        or_default(self.parse_argument(name), default)
    }

    /// Like [`get_argument`](Exchange::get_argument), but returns `None` if the argument is
    /// missing. Tornado's `get_argument` with the default `None`.
    #[track_caller]
    pub fn find_argument(&self, name: &str) -> Result<Option<String>> {
        self.check_query()?;
        let found = match self.arguments.body.last(name)? {
            Some(value) => Some(value),
            None => self.arguments.query.last(name)?,
        };
        Ok(found.map(arguments::strip_controls))
    }

    /// Returns all values of an argument: those of the query, then those of the form.
    pub fn get_arguments(&self, name: &str) -> Result<Vec<String>> {
        let mut values = self.get_query_arguments(name)?;
        values.extend(all_values(&self.arguments.body, name)?);
        Ok(values)
    }

    /// Returns an argument of the query. Tornado's `get_query_argument`.
    #[track_caller]
    pub fn get_query_argument(&self, name: &str) -> Result<String> {
        self.check_query()?;
        last_value(&self.arguments.query, name).map(arguments::strip_controls)
    }

    /// Returns an argument of the query, or `default` if it is missing. Tornado's
    /// `get_query_argument` with a default.
    #[track_caller]
    pub fn get_query_argument_or(&self, name: &str, default: &str) -> Result<String> {
        or_default(self.get_query_argument(name), default)
    }

    /// Returns an argument of the query, as it was sent.
    #[track_caller]
    pub fn get_query_argument_raw(&self, name: &str) -> Result<String> {
        self.check_query()?;
        last_value(&self.arguments.query, name).map(str::to_owned)
    }

    /// Returns all values of an argument of the query.
    pub fn get_query_arguments(&self, name: &str) -> Result<Vec<String>> {
        self.check_query()?;
        all_values(&self.arguments.query, name)
    }

    /// Returns an argument of the form. Tornado's `get_body_argument`.
    #[track_caller]
    pub fn get_body_argument(&self, name: &str) -> Result<String> {
        last_value(&self.arguments.body, name).map(arguments::strip_controls)
    }

    /// Returns an argument of the form, or `default` if it is missing. Tornado's
    /// `get_body_argument` with a default.
    #[track_caller]
    pub fn get_body_argument_or(&self, name: &str, default: &str) -> Result<String> {
        or_default(self.get_body_argument(name), default)
    }

    /// Returns an argument of the form, as it was sent: for passwords, which may begin or end
    /// with a space.
    #[track_caller]
    pub fn get_body_argument_raw(&self, name: &str) -> Result<String> {
        last_value(&self.arguments.body, name).map(str::to_owned)
    }

    /// Returns all values of an argument of the form.
    pub fn get_body_arguments(&self, name: &str) -> Result<Vec<String>> {
        all_values(&self.arguments.body, name)
    }

    /// Returns the files that were uploaded in the form's field of this name. Tornado's
    /// `request.files`. If no file was chosen, the field is an argument of the form with an
    /// empty value, as in Tornado; an empty file has a name.
    pub fn get_files(&self, name: &str) -> impl Iterator<Item = &HttpFile> {
        self.arguments.files.iter().filter(move |file| file.name == name)
    }

    /// Returns all files that were uploaded, in the order of the form. Tornado's
    /// `request.files`.
    pub fn files(&self) -> &[HttpFile] {
        &self.arguments.files
    }

    /// Returns the decoded value of the placeholder `{name}` of the route. Fails if the route
    /// does not have it. Tornado's `path_kwargs`, which are parameters of the method.
    #[track_caller]
    pub fn path_argument(&self, name: &str) -> Result<&str> {
        let found = self.path_arguments.iter().find(|(found, _)| found == name);
        let found = found.map(|(_, value)| value.as_str());
        or_other(found, || format!("the route has no {{{name}}}"))
    }

    /// Returns the value of the placeholder `{name}` as a value of another type, such as a
    /// number. Fails with 404 if it is malformed, as if no route had matched: in Tornado, the
    /// route `/story/([0-9]+)` does not match `/story/x`.
    #[track_caller]
    pub fn parse_path_argument<T: FromStr>(&self, name: &str) -> Result<T> {
        let Ok(value) = self.path_argument(name)?.parse() else {
            let error = HttpError::new(Status::NOT_FOUND, "There is no such page.");
            return Err(error.with_detail(format!("{{{name}}}: {}", not_a::<T>())).into());
        };
        Ok(value)
    }

    /// Returns the decoded values of all placeholders of the route, in their order.
    pub fn path_arguments(&self) -> impl Iterator<Item = &str> {
        self.path_arguments.iter().map(|(_, value)| value.as_str())
    }
}

/// What the server does between the hooks; also for tests of a handler without a socket.
impl Exchange {
    /// Sets the content of the request and parses the arguments in it: the step between
    /// `initialize` and `prepare`. Fails if the query or the form is malformed (400), or if the
    /// form has a Content-Encoding (415).
    pub fn set_content(&mut self, content: Bytes) -> Result {
        self.check_query()?;
        if content.is_empty() {
            return Ok(());
        }
        let limit = self.shared.settings.max_arguments;
        let content_type = self.request.field("Content-Type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            self.check_content_encoding()?;
            self.arguments.body = Arguments::parse_urlencoded(&content, limit)?;
        } else if media_type.eq_ignore_ascii_case("multipart/form-data") {
            self.check_content_encoding()?;
            let form = multipart::parse(content_type, &content, &self.shared.settings)?;
            self.arguments.body = form.arguments;
            self.arguments.files = form.files;
        }
        self.content = content;
        Ok(())
    }

    /// Fails with 415 if the form is compressed (RFC 9110 section 15.5.16): parsed as it is, it
    /// would seem to be malformed, or to have no arguments.
    fn check_content_encoding(&self) -> Result {
        let mut encodings = self.request.field_values("Content-Encoding");
        if encodings.any(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
            let message = "A form with a Content-Encoding is not supported.";
            let error = HttpError::new(Status::UNSUPPORTED_MEDIA_TYPE, message);
            return Err(error.with_header("Accept-Encoding", "identity").into());
        }
        Ok(())
    }
}

/// Returns the last value of an argument. Fails with 400 if it is missing.
#[track_caller]
fn last_value<'a>(arguments: &'a Arguments, name: &'a str) -> Result<&'a str> {
    required(arguments.last(name)?, name)
}

fn or_default<T>(found: Result<T>, default: impl Into<T>) -> Result<T> {
    match found {
        Err(Error::MissingArgument(..)) => Ok(default.into()),
        found => found,
    }
}

fn all_values(arguments: &Arguments, name: &str) -> Result<Vec<String>> {
    let text = |value| arguments::to_text(value).map(arguments::strip_controls);
    arguments.values(name).map(text).collect()
}

/// Returns what was found, or an error with the caller's source line. The functions that lead
/// here pass on the line of the handler, with `track_caller`; a closure would not.
#[track_caller]
fn required<T>(found: Option<T>, name: &str) -> Result<T> {
    let location = Location::caller();
    found.ok_or_else(|| Error::MissingArgument(name.to_owned(), location))
}

/// Returns the detail for the log. It does not quote the value, which may be secret.
fn not_a<T>() -> String {
    format!("it is not a {}", type_name::<T>())
}
