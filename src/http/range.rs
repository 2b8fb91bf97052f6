//! Range requests (RFC 9110 section 14): a part instead of the whole.

use std::ops::Range;

/// What a Range field asks for, of content that is so many bytes long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything: there is no range that is understood here, or there are several, and not all
    /// of them unsatisfiable. A server may always answer with the whole.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that are not there: 416.
    Unsatisfiable,
}

/// Reads the value of a Range field.
///
/// ```text
/// bytes=0-499      the first 500
/// bytes=500-       all but those
/// bytes=-500       the last 500
/// ```
pub fn select(field: &str, length: u64) -> Selection {
    let Some((unit, ranges)) = field.split_once('=') else {
        return Selection::Whole;
    };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    // A list may have empty members (RFC 9110 section 5.6.1.2).
    let ranges = ranges.split(',').map(str::trim).filter(|range| !range.is_empty());
    let mut selections = ranges.map(|range| select_one(range, length));
    let Some(first) = selections.next() else { return Selection::Whole };
    selections.fold(first, |so_far, next| match (so_far, next) {
        (Selection::Unsatisfiable, Selection::Unsatisfiable) => Selection::Unsatisfiable,
        _ => Selection::Whole,
    })
}

fn select_one(range: &str, length: u64) -> Selection {
    let Some((first, last)) = range.split_once('-') else {
        return Selection::Whole;
    };
    match (position(first), position(last)) {
        (Some(first), Some(last)) if first > last => Selection::Whole,
        (Some(first), Some(last)) => part(first, last.saturating_add(1), length),
        (Some(first), None) if last.is_empty() => part(first, length, length),
        (None, Some(0)) if first.is_empty() => Selection::Unsatisfiable,
        (None, Some(_)) if first.is_empty() && length == 0 => Selection::Whole,
        (None, Some(suffix)) if first.is_empty() => {
            part(length.saturating_sub(suffix), length, length)
        }
        _ => Selection::Whole,
    }
}

fn part(first: u64, end: u64, length: u64) -> Selection {
    if first < length {
        Selection::Part(first..end.min(length))
    } else {
        Selection::Unsatisfiable
    }
}

/// A number of digits alone. One that is too large for any file is the largest there is.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}
