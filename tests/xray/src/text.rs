//! A film as text, for terminals.

use std::fmt::Write;
use std::ops::Range;

use dustdevil::{Film, Frame, Step};

use crate::source;

/// Returns a film without bytes and source: a line a step.
pub fn summary(film: &Film) -> String {
    let mut text = title(film);
    for step in &film.steps {
        line(&mut text, step);
    }
    left_out(&mut text, film);
    text
}

/// Returns a film with its bytes, its steps with their functions, and the source of each.
pub fn whole(film: &Film) -> String {
    let mut text = title(film);
    let _ = writeln!(text, "\nbytes received: {}", film.input.len());
    dump(&mut text, &film.input, film.input_offset);
    for step in &film.steps {
        text.push('\n');
        line(&mut text, step);
        if let Some(place) = step.frames.last() {
            let chain: Vec<&str> =
                step.frames.iter().map(|frame| &*frame.function).collect();
            wrap(&mut text, &chain);
            for (number, code) in source::around(place) {
                let here = if number == place.line as usize { '>' } else { ' ' };
                let _ = writeln!(text, "      {here}{number:5}  {code}");
            }
        }
    }
    let _ = writeln!(text, "\nbytes sent: {}", film.output.len());
    dump(&mut text, &film.output, film.output_offset);
    left_out(&mut text, film);
    text
}

fn title(film: &Film) -> String {
    let Film { id, title, status, .. } = film;
    format!("film {id}  {title}  {status}  {} ms\n", milliseconds(film.took))
}

fn left_out(text: &mut String, film: &Film) {
    if film.left_out > 0 {
        let _ = writeln!(text, "{} bytes and steps are left out", film.left_out);
    }
}

/// Writes the line of a step: `0.09  route  src/web/application.rs:168  /main`.
fn line(text: &mut String, step: &Step) {
    let at = milliseconds(step.at);
    let name = &step.name;
    let place = step.frames.last().map(place).unwrap_or_default();
    let took = step.took.map(|took| format!(", {} ms", milliseconds(took)));
    let took = took.unwrap_or_default();
    let _ = writeln!(text, "{at:>7}  {name:<19}  {place:<34}  {}{took}", step.detail);
}

/// Returns a time in milliseconds.
pub fn milliseconds(time: std::time::Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

/// Returns `src/server.rs:215`.
pub fn place(frame: &Frame) -> String {
    format!("{}:{}", frame.file, frame.line)
}

/// Writes the chain of functions in lines of at most 92 characters.
fn wrap(text: &mut String, chain: &[&str]) {
    let mut width = 0;
    for (index, function) in chain.iter().enumerate() {
        let arrow = if index == 0 { "" } else { " > " };
        if index == 0 || width + function.len() > 84 {
            if index > 0 {
                text.push_str(" >\n");
            }
            text.push_str("        ");
            width = 0;
        } else {
            text.push_str(arrow);
        }
        text.push_str(function);
        width += function.len() + arrow.len();
    }
    text.push('\n');
}

/// Writes bytes with their offsets on the connection, in hexadecimal digits and as text.
fn dump(text: &mut String, bytes: &[u8], offset: usize) {
    for (index, row) in bytes.chunks(16).enumerate() {
        let _ = write!(text, "  {:04x}  ", offset + index * 16);
        for column in 0..16 {
            match row.get(column) {
                Some(byte) => {
                    let _ = write!(text, "{byte:02x} ");
                }
                None => text.push_str("   "),
            }
        }
        let shown: String = row.iter().map(|byte| visible(*byte)).collect();
        let _ = writeln!(text, " {shown}");
    }
}

/// Returns a character for a byte: an arrow to the left for CR, one down for LF, a bullet for other
/// control characters, and a dot for bytes that are not ASCII. Every font has these.
pub fn visible(byte: u8) -> char {
    match byte {
        b'\r' => '\u{2190}',
        b'\n' => '\u{2193}',
        0..0x20 | 0x7f => '\u{2022}',
        0x20..0x7f => char::from(byte),
        0x80.. => '\u{b7}',
    }
}

/// A part of a message with a name: the method, a field.
pub struct Part {
    /// The bytes.
    pub range: Range<usize>,
    /// The name.
    pub name: String,
    /// The name of the step that decides about it.
    pub step: &'static str,
}

/// Splits a message into its parts. The ranges follow each other without a gap.
pub fn parts(message: &[u8], is_request: bool) -> Vec<Part> {
    let head_end = dustdevil::split::position(message, b"\r\n\r\n");
    let head_end = head_end.map_or(message.len(), |end| end + 4);
    let mut parts: Vec<Part> = Vec::new();
    let mut at = 0;
    let mut is_first = true;
    let step = if is_request { "head" } else { "response" };
    for line in message[..head_end].split_inclusive(|&byte| byte == b'\n') {
        let mut push = |length: usize, name: String| {
            parts.push(Part { range: at..at + length, name, step });
            at += length;
        };
        if line == b"\r\n" {
            push(2, String::from("empty line"));
        } else if std::mem::take(&mut is_first) {
            let names = match is_request {
                true => ["method", "target", "version"],
                false => ["version", "status", "reason"],
            };
            let words = line.splitn(3, |&byte| byte == b' ').count();
            for (index, word) in line.splitn(3, |&byte| byte == b' ').enumerate() {
                let space = usize::from(index + 1 < words);
                push(word.len() + space, String::from(names[index]));
            }
        } else {
            let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
            push(line.len(), String::from_utf8_lossy(&line[..colon]).trim().to_owned());
        }
    }
    if at < message.len() {
        let step = if is_request { "content" } else { "sent" };
        parts.push(Part { range: at..message.len(), name: String::from("content"), step });
    }
    parts
}
