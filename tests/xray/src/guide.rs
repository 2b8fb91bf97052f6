//! The reading paths of the guide, to which a step leads.

use std::fs;

use dustdevil::{Frame, root};

/// The two reading paths.
pub const PATHS: [&str; 2] = ["request", "session"];

/// Returns the text of a path, `request` or `session`.
pub fn text(path: &str) -> String {
    fs::read_to_string(root().join(format!("src/guide/{path}.md"))).unwrap_or_default()
}

/// Returns the path and the number at which a function is in a reading path.
pub fn place(frame: &Frame) -> Option<(&'static str, usize)> {
    PATHS.iter().find_map(|path| Some((*path, number(&text(path), &frame.function)?)))
}

/// Returns the number of a function in a text. It stands before a link: ``20. [`Application::route`](...)``.
fn number(text: &str, function: &str) -> Option<usize> {
    let link = format!(". [`{function}`]");
    let line = text.lines().find(|line| line.contains(&link))?;
    line.split_once('.')?.0.trim().parse().ok()
}
