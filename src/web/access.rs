//! The access log: one line for each response, in Tornado's format.
//!
//! ```text
//! status method path (client address) duration
//! 200 GET /main (127.0.0.1) 0.12ms
//! ```

use std::net::IpAddr;
use std::time::Instant;

use log::{Level, log, log_enabled};

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

    /// Writes the line: info below status 400, a warning from 400, an error from 500. The query
    /// is left out, because it may contain secrets.
    pub(crate) fn log(&self, status: Status, request: &Request, address: IpAddr) {
        let Some(start) = self.start else { return };
        let status = status.code();
        let level = match status {
            ..400 => Level::Info,
            400..500 => Level::Warn,
            _ => Level::Error,
        };
        if log_enabled!(target: TARGET, level) {
            let (method, path) = (request.method(), request.path());
            let time = start.elapsed().as_secs_f64() * 1000.0;
            log!(target: TARGET, level, "{status} {method} {path} ({address}) {time:.2}ms");
        }
    }
}
