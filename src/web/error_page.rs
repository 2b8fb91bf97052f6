//! Errors of handlers: the log line, and the error page that replaces the response.

use std::io::{self, Write};
use std::sync::Once;

use log::{LevelFilter, error};

use crate::error::{Error, HttpError, Result};
use crate::escape;
use crate::http::refusal::Origin;
use crate::web::exchange::Exchange;

/// The default of `write_error`: the `error_template`, or the plain page.
pub(super) async fn default_page(exchange: &mut Exchange, error: &HttpError) -> Result {
    let template = exchange.shared.settings.error_template.clone();
    if template.is_empty() {
        return exchange.write(error_page(error));
    }
    exchange
        .render(&template, &[("status", &error.status), ("message", &error.message)])
        .await
}

/// Returns what the client gets of an error. In `debug` mode, its message is that of the log,
/// so each error page shows it, whatever renders it.
pub(super) fn shown_error(exchange: &Exchange, error: &Error) -> HttpError {
    let mut shown = error.to_http_error();
    step!("refused: {} {}{}", shown.status, shown.message, Origin(shown.location));
    if exchange.shared.settings.debug {
        shown.message = format!("{error:?}").into();
    }
    shown
}

/// Returns the plain error page.
pub(super) fn error_page(error: &HttpError) -> String {
    let (status, message) = (error.status, escape::html(&error.message));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<title>{status}</title>\n\
         <h1>{status}</h1>\n<p>{message}</p>\n</html>\n"
    )
}

/// Logs an error of the application. Without a logger, the first one is printed.
pub(super) fn report(exchange: &Exchange, error: &Error) {
    let (method, path) = (exchange.request.method(), exchange.request.path());
    let line = escape::log(format_args!("{method} {path}: {error:?}")).to_string();
    error!(target: "dustdevil::application", "{line}");
    if log::max_level() == LevelFilter::Off {
        static FIRST: Once = Once::new();
        let hint = "the log is off: a logger, such as env_logger, shows all errors";
        // Not with `eprintln!`, which panics if standard error is closed.
        FIRST.call_once(|| _ = writeln!(io::stderr(), "dustdevil: {line} [{hint}]"));
    }
}
