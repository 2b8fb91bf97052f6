//! Dates as HTTP writes them (RFC 9110 section 5.6.7).

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

thread_local! {
    /// The second that was written last, and the line that was written. A date is the same for a
    /// thousand responses, and writing it costs more than looking at the clock.
    static WRITTEN: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// Calls `write` with the line of the field: `Date: Sun, 06 Nov 1994 08:49:37 GMT`, and its end.
pub(crate) fn with_now(write: impl FnOnce(&str)) {
    let now = within_reach(SystemTime::now());
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    WRITTEN.with_borrow_mut(|(written, text)| {
        if *written != second {
            *written = second;
            *text = format!("Date: {}\r\n", httpdate::fmt_http_date(now));
        }
        write(text);
    });
}

/// `time` as HTTP has it.
pub fn format(time: SystemTime) -> String {
    httpdate::fmt_http_date(within_reach(time))
}

/// HTTP's years have four digits, and httpdate's begin in 1970. A clock, a file or a cookie may
/// say otherwise; then the nearest time that can be written has to do.
fn within_reach(time: SystemTime) -> SystemTime {
    let last_second_of_9999 = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    time.clamp(UNIX_EPOCH, last_second_of_9999)
}

/// A date in any of the three forms of RFC 9110 section 5.6.7.
pub fn parse(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// `time` without its fraction: as much of it as HTTP can say.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
