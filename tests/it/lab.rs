//! The attack lab of `tests/lab`: it runs, its attacks name what exists, and a defence that is
//! taken away is missed.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use crate::guide::defines;
use crate::support::project;
use crate::tidy::{test_names, transcript_names};

/// The program, built as `make lab` builds it.
static LAB: LazyLock<PathBuf> = LazyLock::new(|| {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../lab");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--quiet", "--manifest-path"]);
    cargo.arg(project("tests/lab/Cargo.toml")).arg("--target-dir").arg(&target);
    let built = cargo.output().expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug/dustdevil-lab")
});

fn lab(arguments: &[&str]) -> Output {
    Command::new(&*LAB).args(arguments).output().expect("the lab runs")
}

fn text(output: &Output) -> String {
    let (printed, errors) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(printed), String::from_utf8_lossy(errors))
}

/// A script: its file name, and the lines of its head, as name and value.
fn scripts() -> Vec<(String, Vec<(String, String)>)> {
    let mut scripts = Vec::new();
    for entry in fs::read_dir(project("tests/lab/attacks")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().skip(1).map_while(|line| line.strip_prefix("# "));
        let head = lines.filter_map(|line| line.split_once(": "));
        let head = head.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        scripts.push((path.file_name().unwrap().to_string_lossy().into_owned(), head));
    }
    scripts.sort();
    scripts
}

/// Returns the value of a line in the head of a script.
fn value<'h>(file: &str, head: &'h [(String, String)], name: &str) -> &'h str {
    let line = head.iter().find(|(found, _)| found == name);
    line.map_or_else(|| panic!("{file} has no {name}"), |(_, value)| value)
}

#[test]
fn each_attack_breaks_its_victim_and_not_dustdevil() {
    let run = lab(&["run"]);
    println!("{}", text(&run));
    assert!(run.status.success());
    let broken = text(&run).matches(" broken     held ").count();
    assert_eq!(broken, scripts().len());
}

#[test]
fn without_its_defence_dustdevil_is_broken() {
    let run = lab(&["defences", "2"]);
    println!("{}", text(&run));
    assert!(run.status.success() && text(&run).contains(" broken "));
}

#[test]
fn at_least_twelve_defences_have_a_patch_and_each_patch_applies() {
    let run = lab(&["patches"]);
    println!("{}", text(&run));
    assert!(run.status.success());
    assert!(text(&run).lines().count() >= 12);
}

#[test]
fn the_lab_attacks_nothing_but_loopback() {
    for url in ["http://192.0.2.1:80", "http://example.com/", "https://127.0.0.1:443", "x"]
    {
        let run = lab(&["run", "2", "--target", url]);
        assert_eq!(run.status.code(), Some(2), "{url}");
        assert_eq!(text(&run).lines().count(), 1, "{}", text(&run));
    }
}

#[test]
fn a_target_that_does_not_answer_has_not_held() {
    // A port on which nothing listens.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = lab(&["run", "--target", &format!("http://{address}")]);
    let printed = text(&run);
    assert!(!run.status.success(), "{printed}");
    assert_eq!(printed.matches(" no answer ").count(), scripts().len(), "{printed}");
    assert!(printed.contains("0 broken, 0 held, "), "{printed}");
}

#[test]
fn each_attack_names_a_function_and_a_test_that_exist() {
    let existing = [test_names(), transcript_names()].concat();
    for (file, head) in scripts() {
        let (path, name) = stops(&file, &head);
        let source = fs::read_to_string(project("src").join(path)).expect(path);
        let is_there = source.lines().any(|line| defines(line.trim(), name));
        assert!(is_there, "{file}: {path} has no {name}");
        let test = value(&file, &head, "test");
        assert!(existing.iter().any(|other| other == test), "{file}: there is no {test}");
    }
}

/// Returns the file below `src`, and the name of the function in it, that stop an attack.
fn stops<'h>(file: &str, head: &'h [(String, String)]) -> (&'h str, &'h str) {
    let (path, function) = value(file, head, "stops").split_once(' ').expect(file);
    (path, function.rsplit("::").next().unwrap_or(function))
}

#[test]
fn the_guide_has_a_row_for_each_attack_with_the_same_names() {
    let page = fs::read_to_string(project("src/guide/lab.md")).unwrap();
    let is_row =
        |line: &&str| line.starts_with("| ") && line[2..].starts_with(char::is_numeric);
    let rows: Vec<&str> = page.lines().filter(is_row).collect();
    let scripts = scripts();
    assert_eq!(rows.len(), scripts.len());
    for (index, ((file, head), row)) in scripts.iter().zip(rows).enumerate() {
        let number = index + 1;
        assert!(
            file.starts_with(&format!("{number:02}-")),
            "{file} is not number {number}"
        );
        let start = format!("| {number} {} |", value(file, head, "name"));
        assert!(row.starts_with(&start), "not {start}\n{row}");
        let (path, name) = stops(file, head);
        for name in [path, name, value(file, head, "test")] {
            assert!(row.contains(name), "no {name}:\n{row}");
        }
    }
}

/// A patch takes away what the attack names, and not something else.
#[test]
fn each_patch_changes_the_file_that_its_attack_names() {
    let scripts = scripts();
    for entry in fs::read_dir(project("tests/lab/patches")).unwrap() {
        let path = entry.unwrap().path();
        let patch = path.file_name().unwrap().to_string_lossy().into_owned();
        let script = scripts.iter().find(|(file, _)| file[..3] == patch[..3]);
        let (file, head) =
            script.unwrap_or_else(|| panic!("there is no attack for {patch}"));
        let changed = format!("+++ b/src/{}", stops(file, head).0);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().any(|line| line == changed), "{patch} has no {changed}");
    }
}

#[test]
fn the_victim_has_the_lines_of_the_tutorial_in_their_order() {
    let victim = fs::read_to_string(project("tests/lab/src/victim/tutorial.rs")).unwrap();
    let lines = victim.lines().filter_map(|line| line.trim().strip_prefix("// l."));
    let numbers: Vec<u32> =
        lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    // All that is code, but for the imports before it and the settings.
    let is_left_out = |line: &u32| matches!(line, 74..=79 | 84 | 85);
    let empty = [24, 29, 39, 42, 47, 50, 52, 64];
    for line in (20..=88).filter(|line| !is_left_out(line) && !empty.contains(line)) {
        assert!(numbers.contains(&line), "line {line} is missing");
    }
}
