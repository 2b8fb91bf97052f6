//! The access log: a line for each request that was answered.

use std::net::IpAddr;
use std::time::Instant;

use log::{Level, log, log_enabled};

use crate::http::request::Request;
use crate::http::status::Status;

const TARGET: &str = "dustdevil::access";

/// A line that will be written. Where nobody reads it, the clock is not looked at for it.
pub(crate) struct Access {
    began: Option<Instant>,
}

impl Access {
    /// A request has come.
    pub(crate) fn begin() -> Access {
        Access { began: log_enabled!(target: TARGET, Level::Error).then(Instant::now) }
    }

    /// It was answered. Tornado's line: status, method, path, address, time; a warning from 400 on,
    /// an error from 500 on. The query is left out, for it is where secrets end up.
    pub(crate) fn log(&self, status: Status, request: &Request, address: IpAddr) {
        let Some(began) = self.began else { return };
        let status = status.code();
        let level = match status {
            ..400 => Level::Info,
            400..500 => Level::Warn,
            _ => Level::Error,
        };
        if log_enabled!(target: TARGET, level) {
            let (method, path) = (request.method(), request.path());
            let time = began.elapsed().as_secs_f64() * 1000.0;
            log!(target: TARGET, level, "{status} {method} {path} ({address}) {time:.2}ms");
        }
    }
}
