//! Dates as HTTP writes them (RFC 9110 section 5.6.7).

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::cached_clock;

thread_local! {
    /// The line that was written last, and when its second is over. It is the same for a thousand
    /// responses, and writing it costs more than all else in their heads.
    static CACHED_DATE_LINE: RefCell<(Option<Instant>, String)> =
        const { RefCell::new((None, String::new())) };

    /// Of other dates, the second that was written last, and how it was written: cookies that are set
    /// in one second will expire in one.
    static LAST_FORMATTED: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// Calls `write` with the line of the field: `Date: Sun, 06 Nov 1994 08:49:37 GMT`, and its end.
pub(crate) fn with_date_line(write: impl FnOnce(&str)) {
    let now = cached_clock::now();
    CACHED_DATE_LINE.with_borrow_mut(|(over, line)| {
        if over.is_none_or(|over| over <= now) {
            let date = clamp_to_http_years(SystemTime::now());
            let begun = date.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
            let left = 1_000_000_000 - begun;
            *over = Some(Instant::now() + Duration::from_nanos(left.into()));
            *line = format!("Date: {}\r\n", httpdate::fmt_http_date(date));
        }
        write(line);
    });
}

/// `time` as HTTP has it.
pub fn format(time: SystemTime) -> String {
    let time = clamp_to_http_years(time);
    LAST_FORMATTED.with_borrow_mut(|(formatted, text)| {
        if *formatted != second(time) {
            *formatted = second(time);
            *text = httpdate::fmt_http_date(time);
        }
        text.clone()
    })
}

fn second(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// HTTP's years have four digits, and httpdate's begin in 1970. A clock, a file or a cookie may
/// say otherwise; then the nearest time that can be written has to do.
fn clamp_to_http_years(time: SystemTime) -> SystemTime {
    let last_second_of_9999 = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    time.clamp(UNIX_EPOCH, last_second_of_9999)
}

/// A date in any of the three forms of RFC 9110 section 5.6.7.
pub fn parse(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// `time` without its fraction: as much of it as HTTP can say.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second(time))
}
