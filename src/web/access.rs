//! The access log: one line for each response, in Tornado's format.
//!
//! ```text
//! status method path (client address) duration
//! 200 GET /main (127.0.0.1) 0.12ms
//! ```
//! The line of a request that was refused (4xx) ends in the reason: the message that the client
//! got, the detail that it did not get, and the source line that refused it.
//!
//! ```text
//! 403 POST /login (127.0.0.1) 0.20ms: The _xsrf token is missing. (src/web/exchange_xsrf.rs:57)
//! ```

use std::net::IpAddr;
use std::time::Instant;

use log::{Level, log, log_enabled};

use crate::error::HttpError;
use crate::escape;
use crate::http::request::Request;
use crate::http::status::Status;

const TARGET: &str = "dustdevil::access";

/// The start of a request, for its line in the log.
pub(crate) struct Access {
    /// `None` if the log is disabled, which saves reading the clock.
    start: Option<Instant>,
}

impl Access {
    pub(crate) fn begin() -> Access {
        Access { start: log_enabled!(target: TARGET, Level::Error).then(Instant::now) }
    }

    /// Writes the line: info below status 500, an error from 500. A 4xx is the client's error,
    /// which any client can cause, so it is no warning. The query is left out, because it may
    /// contain secrets.
    pub(crate) fn log(
        &self,
        status: Status,
        request: &Request,
        address: IpAddr,
        refusal: Option<&HttpError>,
    ) {
        let Some(start) = self.start else { return };
        let status = status.code();
        let level = if status < 500 { Level::Info } else { Level::Error };
        if log_enabled!(target: TARGET, level) {
            let (method, path) = (request.method(), request.path());
            let time = start.elapsed().as_secs_f64() * 1000.0;
            let reason = refusal.map(|refusal| format!(": {refusal:?}"));
            let reason = escape::log(reason.unwrap_or_default());
            let line = format_args!("{method} {path} ({address}) {time:.2}ms{reason}");
            log!(target: TARGET, level, "{status} {line}");
        }
    }
}
