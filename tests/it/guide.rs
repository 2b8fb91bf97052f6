//! The guide is true: its files and functions exist, and each path is short enough for an evening.

use std::fs;
use std::path::PathBuf;

use crate::support::project;

/// The code lines that each of the two paths may have.
const MAX_PATH_LINES: usize = 700;

/// The code lines that all of `src` may have, Rust and Lua.
const MAX_SOURCE_LINES: usize = 10_300;

fn page(name: &str) -> String {
    fs::read_to_string(project("src/guide").join(name)).unwrap()
}

/// A line with code: neither empty nor a comment, in Rust or Lua.
fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//") && !line.starts_with("--")
}

/// The names between backticks, in a page.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The targets of the links to items, such as `crate::server::Server::run`.
fn item_links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](crate::").skip(1).filter_map(|rest| rest.split(')').next())
}

/// The file of an item, and the names of the item in it.
fn locate(item: &str) -> (PathBuf, Vec<&str>) {
    let parts: Vec<&str> = item.split("::").collect();
    for length in (1..parts.len()).rev() {
        let module = project("src").join(parts[..length].join("/"));
        for file in [module.with_extension("rs"), module.join("mod.rs")] {
            if file.exists() {
                return (file, parts[length..].to_vec());
            }
        }
    }
    panic!("no file has {item}")
}

/// Whether a line begins the definition of `name`, without the indentation.
fn defines(line: &str, name: &str) -> bool {
    let words = line.split_whitespace();
    let mut words = words.skip_while(|word| {
        word.starts_with("pub") || ["async", "const", "unsafe"].contains(word)
    });
    let is_item = matches!(words.next(), Some("fn" | "struct" | "enum" | "trait"));
    let rest = words.next().unwrap_or_default();
    is_item
        && rest.strip_prefix(name).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        && !rest[name.len()..].starts_with('_')
}

/// The lines of an item, from its signature to its closing brace. rustfmt has put that brace at the
/// indentation of the signature.
fn item_lines<'t>(text: &'t str, names: &[&str], item: &str) -> Vec<&'t str> {
    let lines: Vec<&str> = text.lines().collect();
    let (begin, end) = match names {
        [_] => (0, lines.len()),
        [of, _] => {
            let is_owner = |line: &&str| {
                let is_block = ["impl", "pub trait", "pub(crate) trait"];
                is_block.iter().any(|block| line.starts_with(block))
                    && line.split(|c: char| !c.is_alphanumeric()).any(|word| word == *of)
            };
            let blocks = lines.iter().enumerate().filter(|(_, line)| is_owner(line));
            let mut blocks = blocks.map(|(at, _)| {
                let length = lines[at..].iter().position(|line| *line == "}").unwrap();
                (at, at + length)
            });
            let has_it = |&(begin, end): &(usize, usize)| {
                lines[begin..end].iter().any(|line| defines(line, names[1]))
            };
            blocks.find(has_it).unwrap_or_else(|| panic!("no block has {item}"))
        }
        _ => panic!("{item} is nested too deeply"),
    };
    let name = names.last().unwrap();
    let first = lines[begin..end].iter().position(|line| defines(line, name));
    let first = begin + first.unwrap_or_else(|| panic!("{item} does not exist"));
    let indent = lines[first].len() - lines[first].trim_start().len();
    let closing = [format!("{:indent$}}}", ""), format!("{:indent$}) {{}}", "")];
    let is_last = |line: &&str| {
        closing.iter().any(|closing| line.starts_with(closing.as_str()))
            || (line.len() - line.trim_start().len() == indent && line.ends_with([';', '}']))
    };
    let length = lines[first..].iter().position(|line| is_last(&line)).unwrap();
    lines[first..=first + length].to_vec()
}

/// The code lines of the items and whole files that a page leads through.
fn path_lines(text: &str) -> usize {
    let items = item_links(text).map(|item| {
        let (file, names) = locate(item);
        let source = fs::read_to_string(file).unwrap();
        item_lines(&source, &names, item).into_iter().filter(|line| is_code(line)).count()
    });
    let files = code_spans(text).filter(|span| span.starts_with("tests/") && span.ends_with(".rs"));
    let files = files.map(|file| {
        let source = fs::read_to_string(project(file)).unwrap();
        source.lines().filter(|line| is_code(line)).count()
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

/// Every file of a directory, as its path below it.
fn files_below(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(project("src").join(directory)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let name = if directory.is_empty() { name } else { format!("{directory}/{name}") };
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_below(&name)),
            false => found.push(name),
        }
    }
    found
}

#[test]
fn the_source_stays_below_its_ceiling_of_code_lines() {
    let sources = files_below("").into_iter().filter(|name| !name.ends_with(".md"));
    let lines = sources.map(|name| {
        let source = fs::read_to_string(project("src").join(name)).unwrap();
        source.lines().filter(|line| is_code(line)).count()
    });
    let lines: usize = lines.sum();
    println!("src: {lines} code lines");
    assert!(lines <= MAX_SOURCE_LINES, "src has {lines} code lines");
}

#[test]
fn the_index_names_every_source_file() {
    let index = page("files.md");
    for name in files_below("").iter().filter(|name| !name.starts_with("guide/")) {
        assert!(index.contains(&format!("`{name}`")), "files.md does not name {name}");
    }
}

#[test]
fn every_file_that_the_guide_names_exists() {
    for name in ["request.md", "session.md", "terms.md", "files.md", "tutorial.md"] {
        let text = page(name);
        let is_file = |span: &&str| {
            [".rs", ".lua", ".sh", ".html"].iter().any(|ending| span.ends_with(ending))
                && !span.contains([' ', '('])
        };
        for file in code_spans(&text).filter(is_file) {
            let is_there = ["src", ""].iter().any(|base| project(base).join(file).exists());
            assert!(is_there, "{name} names {file}");
        }
    }
}

#[test]
fn the_table_of_terms_has_25_to_35_terms_and_a_file_for_each() {
    let text = page("terms.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!((25..=35).contains(&rows.len()), "{} terms", rows.len());
    for row in rows {
        assert!(row.ends_with("` |"), "no file: {row}");
    }
}
