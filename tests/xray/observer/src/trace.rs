//! From a backtrace to the chain of functions that wait for each other.

use std::backtrace::Backtrace;
use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::film::Frame;

/// Files whose functions only carry others: they poll a future, catch its panic, time it.
const HELPER_FILES: [&str; 2] = ["src/future.rs", "src/cached_clock.rs"];

/// Where the observers are.
const OBSERVERS: [&str; 3] =
    ["tests/xray/observer/", "tests/xray/src/serve.rs", "tests/xray/src/program.rs"];

/// Functions of that kind in other files.
const HELPERS: [&str; 2] = ["StoreFuture::poll", "LazyTimer::run_until_expiry"];

/// Returns the root of the repository.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        root.canonicalize().unwrap_or(root)
    });
    &ROOT
}

/// Returns the path of a source file, if it is one of the library or of an application: relative to
/// the root of the repository, or absolute if an application outside of it is run from its own
/// directory. Files of the observer itself are left out. A backtrace has paths relative to the
/// current directory, or absolute ones.
pub fn source_path(file: &str) -> Option<String> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Option<String>>>> =
        LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = known.get(file) {
        return path.clone();
    }
    let path = Path::new(file).canonicalize().ok();
    let path = path.and_then(|path| match path.strip_prefix(root()) {
        Ok(relative) => Some(relative.to_str()?.to_owned()),
        Err(_) => path
            .starts_with(env::current_dir().ok()?)
            .then(|| path.to_str())?
            .map(str::to_owned),
    });
    let is_observer =
        |path: &str| OBSERVERS.iter().any(|observer| path.starts_with(observer));
    let path = path.filter(|path| !is_observer(path));
    known.insert(file.to_owned(), path.clone());
    path
}

/// Returns the functions of the library and the application in a backtrace, the outermost first,
/// without helpers.
///
/// The standard library has no stable access to frames, so this parses the text that it prints:
///
/// ```text
///   12: dustdevil::http::connection::Connection<S,V>::run::{{closure}}
///              at ./src/http/connection.rs:112:71
/// ```
pub(crate) fn frames(backtrace: &Backtrace) -> Vec<Frame> {
    let text = backtrace.to_string();
    let mut frames: Vec<Frame> = Vec::new();
    let mut function = "";
    for line in text.lines().map(str::trim) {
        match line.strip_prefix("at ") {
            Some(place) => frames.extend(frame(function, place)),
            None => function = line.split_once(": ").map_or("", |(_, function)| function),
        }
    }
    frames.reverse();
    // A trait's method and the future that it returns are one function of the source.
    frames.dedup_by(|next, frame| {
        let is_same = next.function == frame.function && next.file == frame.file;
        if is_same {
            frame.line = next.line;
        }
        is_same
    });
    frames
}

/// Divides the detail of a refusal into its text and the line that refused, which the library
/// writes behind it: `400 Bad Request Invalid Content-Length. (src/http/framing.rs:67)`.
pub(crate) fn refusing_line(detail: &str) -> Option<(&str, Frame)> {
    let (text, place) = detail.strip_suffix(')')?.rsplit_once(" (")?;
    let (file, line) = place.rsplit_once(':')?;
    // The library is a dependency here, so its directory comes before `src`.
    let in_package = file.split_once('/').filter(|(_, rest)| rest.starts_with("src/"));
    let file = in_package.map_or(file, |(_, rest)| rest);
    let line = line.parse().ok()?;
    let source = fs::read_to_string(root().join(file)).ok()?;
    let function = enclosing(&source, line)?;
    Some((text, Frame { function, file: file.to_owned(), line }))
}

/// Returns the name of the function around a line, with its type.
fn enclosing(source: &str, line: u32) -> Option<String> {
    let before: Vec<&str> = source.lines().take(line as usize).collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_outside = |text: &str| indent(text) < indent(before[before.len() - 1]);
    let name = |text: &str| {
        let (before, name) = text.split_once("fn ")?;
        let is_item = before
            .trim_start()
            .chars()
            .all(|char| char.is_ascii_lowercase() || "() ".contains(char));
        is_item.then(|| name.split(['(', '<']).next().map(str::to_owned))?
    };
    let at = before.iter().rposition(|text| is_outside(text) && name(text).is_some())?;
    let function = name(before[at])?;
    let owner = before[..at].iter().rfind(|text| text.starts_with("impl"));
    let owner = owner.filter(|_| indent(before[at]) > 0).and_then(|text| {
        let names = without_generics(&format!(
            " {}",
            text.strip_prefix("impl")?.trim_end_matches(" {")
        ));
        Some(names.split_whitespace().next_back()?.to_owned())
    });
    Some(owner.map_or(function.clone(), |owner| format!("{owner}::{function}")))
}

fn frame(function: &str, place: &str) -> Option<Frame> {
    let (rest, _column) = place.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    let file = source_path(file)?;
    let function = short(function);
    if HELPER_FILES.contains(&&*file) || HELPERS.contains(&&*function) {
        return None;
    }
    Some(Frame { function, file, line: line.parse().ok()? })
}

/// Returns a function's name as the source has it: `Connection::run` of
/// `dustdevil::http::connection::Connection<S,V>::run::{{closure}}`.
fn short(function: &str) -> String {
    let name = without_generics(function);
    let name = name.replace("::{{closure}}", "").replace("{{closure}}", "");
    let mut parts = name.rsplit("::").filter(|part| !part.is_empty());
    let last = parts.next().unwrap_or_default();
    match parts.next() {
        Some(owner) if owner.starts_with(char::is_uppercase) => format!("{owner}::{last}"),
        _ => last.to_owned(),
    }
}

/// Removes what stands in angle brackets. `<A as B>::c` becomes `A::c`.
fn without_generics(function: &str) -> String {
    let mut name = String::new();
    let mut depth = 0;
    let mut rest = function;
    if let Some(inner) = function.strip_prefix('<') {
        let end = inner.find([' ', '<', '>']).unwrap_or(inner.len());
        name.push_str(&inner[..end]);
        rest = &inner[end..];
        depth = 1;
    }
    let mut previous = ' ';
    for character in rest.chars() {
        match character {
            '<' => depth += 1,
            '>' if previous != '-' => depth -= 1,
            _ if depth == 0 => name.push(character),
            _ => {}
        }
        previous = character;
    }
    name
}
