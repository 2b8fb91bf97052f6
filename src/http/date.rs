//! HTTP dates (RFC 9110 section 5.6.7), and the cached Date line of responses.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::cached_clock;

thread_local! {
    /// The last Date line, and the time at which its second ends. Formatting a date costs more
    /// than the rest of a response head, and the line changes once per second; hyper caches it,
    /// too. The cache is thread-local, so that it needs no lock.
    static CACHED_DATE_LINE: RefCell<(Option<Instant>, String)> =
        const { RefCell::new((None, String::new())) };
}

/// Calls `write` with the current Date line, `Date: Sun, 06 Nov 1994 08:49:37 GMT`, and its
/// CRLF.
pub(crate) fn with_date_line(write: impl FnOnce(&str)) {
    let now = cached_clock::now();
    CACHED_DATE_LINE.with_borrow_mut(|(expires, line)| {
        if expires.is_none_or(|expires| expires <= now) {
            let date = clamp_to_http_years(SystemTime::now());
            let elapsed =
                date.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
            let left = 1_000_000_000 - elapsed;
            *expires = Some(Instant::now() + Duration::from_nanos(left.into()));
            *line = format!("Date: {}\r\n", httpdate::fmt_http_date(date));
        }
        write(line);
    });
}

/// Returns `time` in the preferred format, IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn format(time: SystemTime) -> String {
    httpdate::fmt_http_date(clamp_to_http_years(time))
}

/// Returns the nearest time that an HTTP date can express: its years have four digits, and
/// httpdate's begin in 1970. The system clock, an mtime or the expiry of a cookie may be
/// outside that range, for which httpdate would panic.
fn clamp_to_http_years(time: SystemTime) -> SystemTime {
    let last_second_of_9999 = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    time.clamp(UNIX_EPOCH, last_second_of_9999)
}

/// Parses a date in any of the three formats of RFC 9110 section 5.6.7.
pub fn parse(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// Returns `time` truncated to whole seconds, the resolution of HTTP dates.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs())
}
