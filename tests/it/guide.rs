//! The guide is true: its files and functions exist, and each path is short enough for an
//! evening.

use std::fs;
use std::path::PathBuf;

use crate::support::project;
use crate::tidy::files;

/// The code lines that each of the two paths may have.
const MAX_PATH_LINES: usize = 700;

/// The code lines that all of `src` may have, Rust and Lua.
const MAX_SOURCE_LINES: usize = 11_400;

fn page(name: &str) -> String {
    fs::read_to_string(project("src/guide").join(name)).unwrap()
}

/// A line with code: neither empty nor a comment, in Rust or Lua.
fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//") && !line.starts_with("--")
}

pub fn code_lines(text: &str) -> usize {
    text.lines().filter(|line| is_code(line)).count()
}

fn is_rust(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, end)| end == "rs")
}

/// The names between backticks, in a page.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The links to items: the name, such as `Server::run`, and the module that the link leads to
/// or through.
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

/// The code lines of an item, from its signature to its closing brace. rustfmt has put that
/// brace at the indentation of the signature.
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
    for name in [
        "request.md",
        "session.md",
        "terms.md",
        "files.md",
        "tutorial.md",
        "deploy.md",
        "xray.md",
        "lab.md",
    ] {
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

/// Returns the text of a page without its code blocks, and the text of these.
fn split_code_blocks(page: &str) -> (String, String) {
    let parts = || page.split("```");
    (parts().step_by(2).collect(), parts().skip(1).step_by(2).collect())
}

#[test]
fn every_setting_option_and_log_target_of_the_deploy_page_exists() {
    let page = page("deploy.md");
    let (prose, configuration) = split_code_blocks(&page);
    let sources = sources();
    let source = |name: &str| &sources.iter().find(|(found, _)| found == name).unwrap().1;
    let fields = [source("web/settings.rs").as_str(), source("http/limits.rs")].concat();
    let mut count = 0;
    for span in code_spans(&prose) {
        let is_snake_case = span.contains('_')
            && span.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase());
        let exists = if span.starts_with("--") {
            crate::demo::options::HELP.contains(&format!("  {span} "))
        } else if span.starts_with("dustdevil::") {
            source("lib.rs").contains(&format!("//! - `{span}`: "))
        } else if let Some((_, method)) = span.split_once(").") {
            let method = format!("fn {}(", method.trim_end_matches("()"));
            sources.iter().any(|(_, text)| text.contains(&method))
        } else if is_snake_case {
            fields.contains(&format!("    pub {span}: ")) || configuration.contains(span)
        } else {
            continue;
        };
        assert!(exists, "deploy.md names {span}");
        count += 1;
    }
    assert!(count > 25, "{count} names");
}

/// Returns the number after a text of a page.
fn number_after(page: &str, text: &str) -> u64 {
    let (_, rest) = page.split_once(text).expect(text);
    let end = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().expect(text)
}

#[test]
fn the_configurations_of_the_deploy_page_suit_the_default_limits() {
    let page = page("deploy.md");
    let settings = dustdevil::Settings::default();
    let stop = number_after(&page, "TimeoutStopSec=");
    assert!(stop > settings.drain_timeout.as_secs(), "{stop}");
    let files = number_after(&page, "LimitNOFILE=");
    assert!(files > settings.max_connections as u64, "{files}");
    let idle = number_after(&page, "keepalive_timeout ");
    assert!(idle < settings.limits.idle_timeout.as_secs(), "{idle}");
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

/// The rows of the tables of the page on Tornado, each with its cells.
fn tornado_rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.contains("---"));
    let rows =
        rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect());
    rows.filter(|row: &Vec<&str>| row[0] != "Tornado")
}

#[test]
fn each_public_name_of_tornado_has_a_row_with_ours_or_a_reason() {
    let (page, names) = (page("tornado.md"), project("tests/it/tornado-names.txt"));
    let mut found = Vec::new();
    for row in tornado_rows(&page) {
        let [tornado, ours, note] = row[..] else { panic!("not three cells: {row:?}") };
        assert!(!ours.is_empty(), "nothing beside {tornado}");
        assert!(ours != "none" || !note.is_empty(), "no reason beside {tornado}");
        found.extend(code_spans(tornado));
    }
    let names = fs::read_to_string(names).unwrap();
    let names = names.lines().filter(|line| !line.starts_with('#'));
    let missing: Vec<&str> = names.filter(|name| !found.contains(name)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    found.sort_unstable();
    let twice = found.windows(2).find(|pair| pair[0] == pair[1]);
    assert!(twice.is_none(), "two rows for {twice:?}");
}

/// rustdoc checks the links. A name without one, such as those of a feature, is a function.
#[test]
fn each_name_in_our_column_of_the_page_on_tornado_exists() {
    let sources = sources();
    for row in tornado_rows(&page("tornado.md")) {
        for name in code_spans(row[1]).filter(|name| !name.contains([':', '!'])) {
            let mut lines = sources.iter().flat_map(|(_, text)| text.lines());
            let is_there = name.starts_with(char::is_uppercase)
                || ["escape", "http", "log", "process", "sync", "web"].contains(&name)
                || lines.any(|line| defines(line.trim(), name));
            assert!(is_there, "there is no {name}");
        }
    }
}
