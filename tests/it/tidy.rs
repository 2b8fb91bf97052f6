//! Checks of the source itself: the dependencies between layers and files, the length of files,
//! the words of comments, and the tables of `tests/README.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::project;

/// Returns all text files below a directory, with their content.
pub fn files(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push((path, text));
        }
    }
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    files(&project("src"))
}

#[test]
fn layers_do_not_import_each_other() {
    for (directory, forbidden) in [
        ("src/http", ["crate::web", "crate::session"]),
        ("src/session", ["crate::http", "crate::web"]),
    ] {
        for (path, text) in files(&project(directory)) {
            for layer in forbidden {
                assert!(!text.contains(layer), "{} names {layer}", path.display());
            }
        }
    }
}

/// Returns the module of a file: `http` for `src/http/mod.rs`, `web::xsrf` for
/// `src/web/xsrf.rs`.
fn module(path: &Path) -> String {
    let path = path.strip_prefix(project("src")).unwrap().with_extension("");
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    parts.join("::").trim_end_matches("::mod").to_owned()
}

/// Returns the modules that a file imports with `use crate::`.
fn imports(text: &str, modules: &[String]) -> Vec<String> {
    let lines = text.lines().filter_map(|line| {
        line.trim_start_matches("pub ")
            .strip_prefix("use crate::")?
            .split([';', '{'])
            .next()
    });
    let longest = |path: &str| {
        let is_in =
            |module: &&String| path == *module || path.starts_with(&format!("{module}::"));
        modules.iter().filter(is_in).max_by_key(|module| module.len()).cloned()
    };
    lines.filter_map(longest).collect()
}

#[test]
fn imports_have_no_cycle() {
    let sources: Vec<_> =
        sources().into_iter().filter(|(path, _)| !path.ends_with("lib.rs")).collect();
    let modules: Vec<String> = sources.iter().map(|(path, _)| module(path)).collect();
    let mut left: Vec<(String, Vec<String>)> = sources
        .iter()
        .map(|(path, text)| (module(path), imports(text, &modules)))
        .collect();
    // Topological sorting (Kahn, 1962): modules whose imports have all been removed are
    // removed, too. The modules of a cycle remain.
    loop {
        let names: Vec<String> = left.iter().map(|(module, _)| module.clone()).collect();
        let before = left.len();
        left.retain(|(module, imports)| {
            imports.iter().any(|import| import != module && names.contains(import))
        });
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "a cycle among {left:#?}");
}

#[test]
fn no_file_is_longer_than_400_lines() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{} has {lines} lines", path.display());
    }
}

/// Words for people. The subject of a comment is a component: a task, a client, a store.
const PEOPLE: [&str; 8] =
    ["whoever", "nobody", "somebody", "anybody", "everybody", "who", "whose", "whom"];

/// Returns the words of a text in lower case. Spans in backticks are code and are left out.
fn words(text: &str) -> Vec<String> {
    let prose = text.split('`').step_by(2).collect::<Vec<_>>().join(" ").to_lowercase();
    let words = prose.split(|char: char| !char.is_alphanumeric() && char != '_');
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Returns the words of the comments of a source file, or of a Markdown file, without code
/// blocks.
fn prose(path: &Path, text: &str) -> Vec<String> {
    let marker = match path.extension().and_then(|extension| extension.to_str()) {
        Some("md") => "",
        Some("lua") => "--",
        _ => "//",
    };
    let (mut prose, mut is_code) = (Vec::new(), false);
    for line in text.lines().filter_map(|line| line.trim().strip_prefix(marker)) {
        is_code ^= line.trim_start_matches(['/', '!', ' ']).starts_with("```");
        if !is_code {
            prose.extend(words(line));
        }
    }
    prose
}

#[test]
fn comments_are_about_components_and_not_about_people() {
    let readme = project("README.md");
    let readme = vec![(readme.clone(), fs::read_to_string(readme).unwrap())];
    for texts in [sources(), readme] {
        let (mut count, mut people) = (0, Vec::new());
        for (path, text) in texts {
            let words = prose(&path, &text);
            count += words.len();
            let is_person = |word: &String| PEOPLE.contains(&word.as_str());
            let found = words.into_iter().filter(is_person);
            people.extend(found.map(|word| format!("{word} in {}", path.display())));
        }
        assert!(people.len() * 1000 <= count, "{} of {count}: {people:#?}", people.len());
    }
}

/// Returns the name that a line declares, if it is a field or a constant.
fn declared_name(line: &str) -> Option<&str> {
    let name = line.split_once(": ")?.0.rsplit(' ').next()?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(name)
}

#[test]
fn the_doc_of_a_timeout_says_timeout() {
    let mut missing = Vec::new();
    for (path, text) in sources() {
        let mut doc = String::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("#[")) {
            if let Some(more) = line.strip_prefix("///") {
                doc.push_str(more);
                continue;
            }
            let is_timeout = |name: &str| name.to_lowercase().ends_with("timeout");
            let is_named = declared_name(line).is_some_and(is_timeout) && !doc.is_empty();
            if is_named && !words(&doc).contains(&String::from("timeout")) {
                missing.push(format!("{}: {line}", path.display()));
            }
            doc.clear();
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn unsafe_is_forbidden_and_no_unfinished_code_is_marked() {
    let manifest = fs::read_to_string(project("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for (path, text) in sources() {
        for word in ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("] {
            assert!(!text.contains(word), "{} has a {word}", path.display());
        }
    }
}

/// Returns the packages in the build with a feature, sorted, each with its
/// version.
pub fn packages(feature: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-e", "normal", "--prefix", "none", "--locked", "--format", "{p}"])
        .args(["--features", feature])
        .current_dir(project(""))
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let packages = text.lines().map(|line| line.trim_end_matches(" (*)").to_owned());
    packages.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn the_demo_has_at_most_forty_packages_and_none_of_them_twice() {
    let packages = packages("cli");
    assert!(packages.len() <= 40, "{}: {packages:#?}", packages.len());
    let mut names: Vec<&str> =
        packages.iter().filter_map(|package| package.split(' ').next()).collect();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "{packages:#?}");
}

/// Returns the names of all tests, as `module::name`.
pub fn test_names() -> Vec<String> {
    let mut names = Vec::new();
    for (path, text) in files(&project("tests/it")) {
        let module = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |= line.starts_with("#[test") || line.starts_with("#[tokio::test");
            let name = line.trim_start_matches("async ").strip_prefix("fn ");
            if let Some(name) = name.filter(|_| is_test) {
                names.push(format!("{module}::{}", name.split('(').next().unwrap()));
                is_test = false;
            }
        }
    }
    for list in ["contract", "races"] {
        names.extend(listed_names(list));
    }
    names
}

/// Returns the tests that run on several stores. A macro has their names, one per line.
fn listed_names(module: &str) -> Vec<String> {
    let text = fs::read_to_string(project("tests/it").join(module).join("mod.rs")).unwrap();
    let is_name = |line: &&str| {
        line.contains('_') && line.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'))
    };
    let lines = text.lines().map(|line| line.trim().trim_end_matches(';'));
    lines.filter(is_name).map(|name| format!("{module}::{name}")).collect()
}

/// Returns the names of all transcripts, as `directory/name`.
pub fn transcript_names() -> Vec<String> {
    let directory = project("tests/transcripts");
    let name = |path: &Path| {
        let path = path.strip_prefix(&directory).ok()?.to_str()?;
        Some(path.strip_suffix(".txt")?.to_owned())
    };
    files(&directory).iter().filter_map(|(path, _)| name(path)).collect()
}

/// Returns the last cell of a row, which names the proof.
fn proof(row: &str) -> &str {
    row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default()
}

/// Returns the names in a cell, which are between backticks.
fn named(proof: &str) -> Vec<&str> {
    proof.split('`').skip(1).step_by(2).collect()
}

/// Asserts that the tests and transcripts that a row names exist.
fn assert_named_exist(row: &str, existing: &[String]) {
    for name in named(proof(row)) {
        assert!(existing.iter().any(|other| other == name), "there is no {name}:\n{row}");
    }
}

#[test]
fn the_inventory_table_is_complete_and_names_existing_tests() {
    let readme = fs::read_to_string(project("tests/README.md")).unwrap();
    let existing = [test_names(), transcript_names()].concat();
    for row in 1..=51 {
        let start = format!("| A{row} |");
        let line = readme.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("there is no row A{row}"));
        assert!(!named(proof(line)).is_empty() || line.contains("later: "), "{line}");
        assert_named_exist(line, &existing);
    }
}

/// Returns the rows of the tables below a heading, without the header rows.
fn rows_below<'r>(readme: &'r str, heading: &str) -> Vec<&'r str> {
    let section = readme.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("there is no section {heading}"));
    let is_row = |line: &&str| {
        line.starts_with("| ")
            && !line.starts_with("| ---")
            && !line.starts_with("| section")
    };
    section.lines().filter(is_row).collect()
}

#[test]
fn every_rfc_requirement_names_its_tests_or_a_reason() {
    assert_proven("Requirements of the RFCs", 400);
}

#[test]
fn every_owasp_requirement_names_its_tests_or_a_reason() {
    assert_proven("Requirements of OWASP", 40);
}

/// Asserts that a section has at least so many requirements, each with a proof or a reason.
fn assert_proven(heading: &str, min: usize) {
    let readme = fs::read_to_string(project("tests/README.md")).unwrap();
    let existing = [test_names(), transcript_names()].concat();
    let rows = rows_below(&readme, heading);
    assert!(rows.len() >= min, "only {} rows", rows.len());
    for row in rows {
        assert_eq!(row.split(" | ").count(), 3, "three cells:\n{row}");
        let is_proven = !named(proof(row)).is_empty();
        assert!(
            is_proven || proof(row).starts_with("not ours: "),
            "nothing proves:\n{row}"
        );
        assert_named_exist(row, &existing);
    }
}

#[test]
fn every_transcript_is_named_in_a_table() {
    let readme = fs::read_to_string(project("tests/README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| "));
    let named: Vec<&str> = rows.flat_map(|row| named(proof(row))).collect();
    for name in transcript_names() {
        assert!(named.contains(&name.as_str()), "no row names {name}");
    }
}
