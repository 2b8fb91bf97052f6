//! Lines of source around a place.

use std::fs;

use dustdevil::{Frame, root};

/// Lines before and after the place.
const CONTEXT: usize = 2;

/// Returns the line of a place with two lines before and after it, each with its number, without
/// the indentation that they have in common.
pub fn around(frame: &Frame) -> Vec<(usize, String)> {
    let Ok(text) = fs::read_to_string(root().join(&frame.file)) else { return Vec::new() };
    let line = frame.line as usize;
    let numbered =
        text.lines().enumerate().map(|(index, line)| (index + 1, line.to_owned()));
    let first = line.saturating_sub(CONTEXT);
    let around: Vec<(usize, String)> =
        numbered.filter(|(number, _)| (first..=line + CONTEXT).contains(number)).collect();
    let indentation = |text: &String| text.len() - text.trim_start().len();
    let full = around.iter().filter(|(_, text)| !text.trim().is_empty());
    let shared = full.map(|(_, text)| indentation(text)).min().unwrap_or_default();
    let cut = |text: String| text.get(shared..).unwrap_or_default().to_owned();
    around.into_iter().map(|(number, text)| (number, cut(text))).collect()
}
