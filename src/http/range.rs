//! Range requests (RFC 9110 section 14): a part of the content instead of the whole.
//!
//! One byte range is supported. Several would need `multipart/byteranges`, which lets a client
//! request many overlapping copies of the same bytes; such requests get the whole content.

use std::ops::Range;

/// The result of applying a Range field to content of a certain length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The whole content (200): the field is malformed, has another unit than bytes, or has
    /// several ranges of which some can be satisfied. A server may ignore any Range field (RFC
    /// 9110 section 14.2).
    Whole,
    /// These bytes (206).
    Part(Range<u64>),
    /// No range overlaps the content (416).
    Unsatisfiable,
}

/// Parses the value of a Range field and applies it to content of `length` bytes.
///
/// ```text
/// bytes=0-499      the first 500 bytes (int-range; both ends are included)
/// bytes=500-       all bytes from offset 500 on
/// bytes=-500       the last 500 bytes (suffix-range)
/// ```
pub fn select(field: &str, length: u64) -> Selection {
    let Some((unit, ranges)) = field.split_once('=') else { return Selection::Whole };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    // A recipient must accept empty list elements (RFC 9110 section 5.6.1.2).
    let ranges = ranges.split(',').map(str::trim).filter(|range| !range.is_empty());
    let mut selections = ranges.map(|range| select_one(range, length));
    let Some(first) = selections.next() else { return Selection::Whole };
    selections.fold(first, |so_far, next| match (so_far, next) {
        (Selection::Unsatisfiable, Selection::Unsatisfiable) => Selection::Unsatisfiable,
        _ => Selection::Whole,
    })
}

fn select_one(range: &str, length: u64) -> Selection {
    let Some((first, last)) = range.split_once('-') else { return Selection::Whole };
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

/// Parses a number that consists of digits only. A number above `u64::MAX` is larger than any
/// file, so the largest `u64` represents it.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}
