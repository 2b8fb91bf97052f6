//! The parser of transcripts. It uses only the standard library, so that the fuzzer and its
//! build script can include it, too.

use std::path::{Path, PathBuf};

/// Returns the paths of all transcripts below a directory, sorted.
pub fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().expect("a folder").map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() { paths(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    found.sort();
    found
}

/// A step of a transcript.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// `> text`: send these bytes.
    Send(Vec<u8>),
    /// `>|`: the client half-closes the connection.
    HalfClose,
    /// `< text`: receive these bytes, with anything in the gaps between the parts. After a line
    /// `< ...`, other lines may come first.
    Receive { parts: Vec<Vec<u8>>, skip_lines: bool },
    /// `<|`: the server closes, and nothing comes before.
    Closed,
}

/// Parses a transcript into steps, each with the number of its first line. Adjacent lines to
/// send are one step.
pub fn steps(text: &str) -> Result<Vec<(usize, Step)>, (usize, String)> {
    let mut steps: Vec<(usize, Step)> = Vec::new();
    let mut skip_lines = false;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let bytes = |line: &str| {
            let text = line[1..].strip_prefix(' ').unwrap_or(&line[1..]);
            unescape_line(text).map_err(|what| (number, what))
        };
        let step = match line {
            "< ..." => {
                skip_lines = true;
                continue;
            }
            ">|" => Step::HalfClose,
            "<|" => Step::Closed,
            sent if sent.starts_with('>') => Step::Send(bytes(sent)?.join(&b'*')),
            expected if expected.starts_with('<') => Step::Receive {
                parts: bytes(expected)?,
                skip_lines: std::mem::take(&mut skip_lines),
            },
            _prose => continue,
        };
        match (steps.last_mut(), step) {
            (Some((_, Step::Send(before))), Step::Send(more)) => before.extend(more),
            (_, step) => steps.push((number, step)),
        }
    }
    Ok(steps)
}

/// Returns the bytes of a line, split at each `*`. They end in CRLF unless the line ends in a
/// backslash.
fn unescape_line(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let without_backslashes = line.trim_end_matches('\\');
    let is_open = (line.len() - without_backslashes.len()) % 2 == 1;
    let mut parts = unescape(if is_open { &line[..line.len() - 1] } else { line })?;
    if let (false, Some(last)) = (is_open, parts.last_mut()) {
        last.extend(b"\r\n");
    }
    Ok(parts)
}

fn unescape(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let (mut parts, mut bytes, mut rest) = (Vec::new(), Vec::new(), text);
    while let Some(at) = rest.find(['\\', '*']) {
        bytes.extend(rest[..at].bytes());
        let special = &rest[at..];
        if let Some(after) = special.strip_prefix('*') {
            parts.push(std::mem::take(&mut bytes));
            rest = after;
        } else {
            let (escaped, after) = escape(&special[1..])
                .ok_or_else(|| format!("there is no escape {special:.4}"))?;
            bytes.extend(escaped);
            rest = after;
        }
    }
    bytes.extend(rest.bytes());
    parts.push(bytes);
    Ok(parts)
}

/// Returns the bytes of an escape, and the text after it.
fn escape(text: &str) -> Option<(Vec<u8>, &str)> {
    let (kind, rest) = text.split_at_checked(1)?;
    let byte = match kind {
        "n" => b'\n',
        "r" => b'\r',
        "t" => b'\t',
        "0" => b'\0',
        "\\" => b'\\',
        "*" => b'*',
        "x" => {
            let (digits, rest) = rest.split_at_checked(2)?;
            return Some((vec![u8::from_str_radix(digits, 16).ok()?], rest));
        }
        "{" => {
            let (inner, rest) = rest.split_once('}')?;
            let (count, repeated) = inner.split_once(' ')?;
            let bytes = unescape(repeated).ok()?.join(&b'*');
            return Some((bytes.repeat(count.parse().ok()?), rest));
        }
        _ => return None,
    };
    Some((vec![byte], rest))
}
