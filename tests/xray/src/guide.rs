//! The reading paths of the guide, to which a step leads.

use std::fmt::Write;
use std::fs;

use dustdevil::escape::html as escaped;
use dustdevil::{Step, root};

/// The two reading paths.
pub const PATHS: [&str; 2] = ["request", "session"];

/// Returns the text of a path, `request` or `session`.
pub fn text(path: &str) -> String {
    fs::read_to_string(root().join(format!("src/guide/{path}.md"))).unwrap_or_default()
}

/// Returns the path and the number at which a step is in a reading path: the place of its
/// innermost function that has one.
pub fn place(step: &Step) -> Option<(&'static str, usize)> {
    let texts = PATHS.map(|path| (path, text(path)));
    step.frames.iter().rev().find_map(|frame| {
        let number = |(path, text): &(&'static str, String)| {
            Some((*path, number(text, &frame.function)?))
        };
        texts.iter().find_map(number)
    })
}

/// Returns the number of a function in a text. It stands before a link:
/// ``20. [`Application::route`](...)``.
fn number(text: &str, function: &str) -> Option<usize> {
    let link = format!(". [`{function}`]");
    let found = text.lines().find(|line| line.contains(&link))?;
    found.split_once('.')?.0.trim().parse().ok()
}

/// Returns a path as HTML, with an anchor for each number: `n20`.
pub fn html(path: &str) -> String {
    let mut html = format!("<h1>The path of one {path}</h1>\n<div class=\"path\">\n");
    for block in blocks(&text(path)) {
        let number =
            block.split_once(". ").and_then(|(number, _)| number.parse::<u32>().ok());
        let _ = match (block.strip_prefix("# "), number) {
            (Some(heading), _) => writeln!(html, "<h2>{}</h2>", inline(heading)),
            (None, Some(number)) => {
                writeln!(html, "<p id=\"n{number}\">{}</p>", inline(&block))
            }
            (None, None) => writeln!(html, "<p>{}</p>", inline(&block)),
        };
    }
    html.push_str("</div>\n");
    html
}

/// Divides a text into headings, numbered items and paragraphs, each on one line.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        let is_item =
            line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        if line.is_empty() || is_item {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            let space = if block.is_empty() { "" } else { " " };
            block.push_str(&format!("{space}{}", line.trim()));
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// Returns a line as HTML: code in backticks; of a link, its text.
fn inline(line: &str) -> String {
    let mut html = String::new();
    for (index, part) in escaped(line).split('`').enumerate() {
        match index % 2 {
            1 => html.push_str(&format!("<code>{part}</code>")),
            _ => html.push_str(&without_links(part)),
        }
    }
    html
}

/// Removes the brackets and the targets of links.
fn without_links(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("](") {
        shown.push_str(before);
        rest = link.split_once(')').map_or("", |(_, after)| after);
    }
    shown.push_str(rest);
    shown.replace('[', "")
}
