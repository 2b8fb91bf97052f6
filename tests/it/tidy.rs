//! The house itself: what stands where, what may name what, and whether what is written about it
//! is true.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::project;

/// Every file below a folder, with its text.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
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
    let names = |folder: &str, forbidden: [&str; 2]| {
        for (path, text) in files(&project(folder)) {
            for wing in forbidden {
                assert!(!text.contains(wing), "{} names {wing}", path.display());
            }
        }
    };
    names("src/http", ["crate::web", "crate::session"]);
    names("src/session", ["crate::http", "crate::web"]);
}

/// The module that a file is: `src/http/mod.rs` is `http`, `src/web/xsrf.rs` is `web::xsrf`.
fn module(path: &Path) -> String {
    let path = path.strip_prefix(project("src")).unwrap().with_extension("");
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    parts.join("::").trim_end_matches("::mod").to_owned()
}

/// The modules that a file imports, by its `use crate::` lines.
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
    // Whoever imports nothing that is left can be taken away. In a circle, nobody can.
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
    assert!(left.is_empty(), "a circle among {left:#?}");
}

#[test]
fn no_file_is_longer_than_400_lines() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{} has {lines} lines", path.display());
    }
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

#[test]
fn the_default_build_has_at_most_forty_packages_and_none_of_them_twice() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-e", "normal", "--prefix", "none", "--locked", "--format", "{p}"])
        .current_dir(project(""))
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut packages: Vec<&str> =
        text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    packages.sort_unstable();
    packages.dedup();
    assert!(packages.len() <= 40, "{}: {packages:#?}", packages.len());
    let mut names: Vec<&str> =
        packages.iter().filter_map(|package| package.split(' ').next()).collect();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "{packages:#?}");
}

/// The names of all tests, as `module::name`.
fn test_names() -> Vec<String> {
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

/// The names of those that are asked of several stores. They stand in a list, a line each.
fn listed_names(module: &str) -> Vec<String> {
    let text = fs::read_to_string(project("tests/it").join(module).join("mod.rs")).unwrap();
    let is_name = |line: &&str| {
        line.contains('_') && line.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'))
    };
    let lines = text.lines().map(|line| line.trim().trim_end_matches(';'));
    lines.filter(is_name).map(|name| format!("{module}::{name}")).collect()
}

/// The names of all transcripts, as `folder/name`.
fn transcript_names() -> Vec<String> {
    let folder = project("tests/transcripts");
    let name = |path: &Path| {
        let path = path.strip_prefix(&folder).ok()?.to_str()?;
        Some(path.strip_suffix(".txt")?.to_owned())
    };
    files(&folder).iter().filter_map(|(path, _)| name(path)).collect()
}

/// What a row gives as its proof: the last of its cells.
fn proof(row: &str) -> &str {
    row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default()
}

/// The names that a proof gives, which stand between backticks.
fn named(proof: &str) -> Vec<&str> {
    proof.split('`').skip(1).step_by(2).collect()
}

/// Asserts that what a row names is there.
fn assert_named_exist(row: &str, there: &[String]) {
    for name in named(proof(row)) {
        assert!(there.iter().any(|there| there == name), "there is no {name}:\n{row}");
    }
}

#[test]
fn the_inventory_table_is_complete_and_names_existing_tests() {
    let readme = fs::read_to_string(project("tests/README.md")).unwrap();
    let there = [test_names(), transcript_names()].concat();
    for row in 1..=51 {
        let start = format!("| A{row} |");
        let line = readme.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("there is no row A{row}"));
        assert!(!named(proof(line)).is_empty() || line.contains("later: "), "{line}");
        assert_named_exist(line, &there);
    }
}

/// The rows of the tables below a heading, without their own headings.
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
    assert_proven("What the RFCs ask for", 400);
}

#[test]
fn every_owasp_requirement_names_its_tests_or_a_reason() {
    assert_proven("What OWASP asks for", 40);
}

/// Asserts that there are at least so many requirements below a heading, and something behind each.
fn assert_proven(heading: &str, least: usize) {
    let readme = fs::read_to_string(project("tests/README.md")).unwrap();
    let there = [test_names(), transcript_names()].concat();
    let rows = rows_below(&readme, heading);
    assert!(rows.len() >= least, "only {} rows", rows.len());
    for row in rows {
        assert_eq!(row.split(" | ").count(), 3, "three cells:\n{row}");
        let is_proven = !named(proof(row)).is_empty();
        assert!(
            is_proven || proof(row).starts_with("not ours: "),
            "nothing proves:\n{row}"
        );
        assert_named_exist(row, &there);
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
