//! Runs the curl lessons of `tests/curl` against a demo process.

use std::fs;
use std::process::Command;

use crate::process::{self, Process};
use crate::support::project;

#[test]
fn every_curl_lesson_holds() {
    let demo = Process::start(&mut process::command::<&str>([]));
    let url = format!("http://{}", demo.address());
    let run = Command::new("sh").arg(project("tests/curl/all.sh")).arg(url).output();
    let run = run.expect("a shell");
    let output =
        String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{output}");
    for lesson in lessons() {
        assert!(output.contains(&format!("holds  {lesson}\n")), "no {lesson} in\n{output}");
    }
}

/// Returns the names of all scripts except `all.sh`, which runs them, and `lib.sh`.
fn lessons() -> Vec<String> {
    let files = fs::read_dir(project("tests/curl")).expect("the directory of the lessons");
    let names = files.map(|file| file.expect("a file").file_name().into_string());
    let scripts = names.filter_map(|name| Some(name.ok()?.strip_suffix(".sh")?.to_owned()));
    let lessons: Vec<String> =
        scripts.filter(|name| !["all", "lib"].contains(&name.as_str())).collect();
    assert!(!lessons.is_empty(), "there are no lessons");
    lessons
}
