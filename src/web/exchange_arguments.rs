//! Reading the arguments of a request.

use crate::error::{Error, Result};
use crate::http::status::Status;
use crate::web::arguments::{self, Arguments};
use crate::web::exchange::Exchange;
use crate::web::multipart::HttpFile;

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
