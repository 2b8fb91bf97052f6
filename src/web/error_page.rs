//! Errors of handlers: the log line, and the error page that replaces the response.

use log::{error, warn};

use crate::error::{Error, HttpError, Result};
use crate::escape;
use crate::web::exchange::Exchange;

/// The default of `write_error`: the `error_template`, or the plain page.
pub(super) async fn default_error_page(
    exchange: &mut Exchange,
    error: &HttpError,
) -> Result {
    let template = exchange.shared.settings.error_template.clone();
    if template.is_empty() {
        return exchange.write(error_page(error));
    }
    let status = error.status.to_string();
    exchange.render(&template, &[("status", &status), ("message", &error.message)]).await
}

/// Returns the plain error page.
pub(super) fn error_page(error: &HttpError) -> String {
    let (status, message) = (error.status, escape::html(&error.message));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<title>{status}</title>\n\
         <h1>{status}</h1>\n<p>{message}</p>\n</html>\n"
    )
}

/// Logs an error: a warning if the handler chose the status, an error if something failed.
pub(super) fn report(exchange: &Exchange, error: &Error) {
    let (method, path) = (exchange.request.method(), exchange.request.path());
    match error {
        Error::Http(_) | Error::MissingArgument(_) => {
            warn!(target: "dustdevil::general", "{method} {path}: {}", escape::log(error));
        }
        _ => {
            error!(target: "dustdevil::application", "{method} {path}: {}", escape::log(error));
        }
    }
}
