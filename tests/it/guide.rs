//! The guide is true: its files and functions exist, and each path is short enough for an evening.

use std::fs;
use std::path::PathBuf;

use crate::support::project;
use crate::tidy::files;

/// The code lines that each of the two paths may have.
const MAX_PATH_LINES: usize = 700;

/// The code lines that all of `src` may have, Rust and Lua.
const MAX_SOURCE_LINES: usize = 11_370;

fn page(name: &str) -> String {
    fs::read_to_string(project("src/guide").join(name)).unwrap()
}

/// A line with code: neither empty nor a comment, in Rust or Lua.
fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//") && !line.starts_with("--")
}

fn code_lines(text: &str) -> usize {
    text.lines().filter(|line| is_code(line)).count()
}

fn is_rust(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, end)| end == "rs")
}

/// The names between backticks, in a page.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The links to items: the name, such as `Server::run`, and the module that the link leads to or
/// through.
fn item_links(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("[`").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once("`](crate::")?;
        Some((name, rest.split(')').next()?))
    })
}

/// The source files, as their paths below `src`, with their text.
fn sources() -> Vec<(String, String)> {
    let source = project("src");
    let name =
        |path: PathBuf| path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
    let files = files(&source).into_iter().map(|(path, text)| (name(path), text));
    files.filter(|(name, _)| !name.starts_with("guide/")).collect()
}

/// The Rust files in which an item may be that a page links through a module: those of the
/// layer, because a type may have methods in several files. That of the module comes first.
fn candidates(module: &str) -> Vec<String> {
    let module = module.replace("::", "/");
    let layer = module.split('/').next().unwrap();
    let is_in_layer =
        |(name, _): &(String, String)| is_rust(name) && name.starts_with(layer);
    let mut files: Vec<_> = sources().into_iter().filter(is_in_layer).collect();
    files.sort_by_key(|(name, _)| !module.starts_with(name.trim_end_matches(".rs")));
    files.into_iter().map(|(_, text)| text).collect()
}

/// Returns `true` if a line begins the definition of `name`.
pub fn defines(line: &str, name: &str) -> bool {
    let is_modifier =
        |word: &&str| word.starts_with("pub") || ["async", "const"].contains(word);
    let mut words = line.split_whitespace().skip_while(is_modifier);
    let is_item = matches!(words.next(), Some("fn" | "struct" | "enum" | "trait"));
    let found = words.next().unwrap_or_default();
    let end = found.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(found.len());
    is_item && found[..end] == *name
}

/// The lines of the `impl` and `trait` blocks of a type.
fn blocks_of<'t>(text: &'t str, owner: &str) -> Vec<&'t str> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        let is_block = ["impl", "pub trait", "pub(crate) trait"]
            .iter()
            .any(|start| line.starts_with(start));
        let mut words = line.split(|c: char| !c.is_alphanumeric());
        is_inside =
            (is_inside || (is_block && words.any(|word| word == owner))) && line != "}";
        if is_inside {
            found.push(line);
        }
    }
    found
}

/// The code lines of an item, from its signature to its closing brace. rustfmt has put that brace
/// at the indentation of the signature.
fn item_lines((item, module): (&str, &str)) -> usize {
    for text in candidates(module) {
        let (lines, name) = match item.split_once("::") {
            Some((owner, name)) if owner.starts_with(char::is_uppercase) => {
                (blocks_of(&text, owner), name)
            }
            Some((_, name)) => (text.lines().collect(), name),
            None => (text.lines().collect(), item),
        };
        let Some(first) = lines.iter().position(|line| defines(line, name)) else {
            continue;
        };
        let indent = |line: &str| line.len() - line.trim_start().len();
        let depth = indent(lines[first]);
        let is_last = |line: &&str| indent(line) == depth && line.ends_with([';', '}']);
        let length = lines[first..].iter().position(is_last).expect(item);
        return lines[first..=first + length].iter().filter(|line| is_code(line)).count();
    }
    panic!("{module} has no {item}")
}

/// The code lines of the items and whole files that a page leads through.
fn path_lines(text: &str) -> usize {
    let files = code_spans(text).filter(|span| span.starts_with("tests/") && is_rust(span));
    let files = files.map(|file| code_lines(&fs::read_to_string(project(file)).unwrap()));
    let items = item_links(text).map(|item| {
        let lines = item_lines(item);
        println!("{:5} {}", lines, item.0);
        lines
    });
    items.sum::<usize>() + files.sum::<usize>()
}

#[test]
fn each_path_has_at_most_700_lines_of_code() {
    for name in ["request.md", "session.md"] {
        let lines = path_lines(&page(name));
        println!("{name}: {lines} code lines");
        assert!(lines > 400, "{name} leads through {lines} lines only");
        assert!(lines <= MAX_PATH_LINES, "{name} leads through {lines} lines");
    }
}

#[test]
fn the_source_stays_below_its_ceiling_of_code_lines() {
    let lines: usize = sources().iter().map(|(_, text)| code_lines(text)).sum();
    println!("src: {lines} code lines");
    assert!(lines <= MAX_SOURCE_LINES, "src has {lines} code lines");
}

#[test]
fn the_index_names_every_source_file() {
    let index = page("files.md");
    for (name, _) in sources() {
        assert!(index.contains(&format!("`{name}`")), "files.md does not name {name}");
    }
}

#[test]
fn every_file_that_the_guide_names_exists() {
    let sources = sources();
    for name in
        ["request.md", "session.md", "terms.md", "files.md", "tutorial.md", "lab.md"]
    {
        let text = page(name);
        let is_file = |span: &&str| {
            [".rs", ".lua", ".sh", ".html"].iter().any(|ending| span.ends_with(ending))
                && !span.contains([' ', '('])
        };
        for file in code_spans(&text).filter(is_file) {
            let ending = format!("/{file}");
            let is_there = project(file).exists()
                || sources.iter().any(|(name, _)| format!("/{name}").ends_with(&ending));
            assert!(is_there, "{name} names {file}");
        }
    }
}

#[test]
fn the_table_of_terms_has_25_to_35_terms_and_a_file_for_each() {
    let text = page("terms.md");
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!((25..=35).contains(&rows.len()), "{} terms", rows.len());
    for row in rows {
        assert!(row.ends_with("` |"), "no file: {row}");
    }
}
