//! The story told with curl: each lesson in `tests/curl`, to a demo of its own.

use std::fs;
use std::process::Command;

use crate::process::{self, Process};
use crate::support::project;

#[test]
fn every_lesson_told_with_curl_holds() {
    let demo = Process::start(&mut process::command::<&str>([]));
    let url = format!("http://{}", demo.address());
    let told = Command::new("sh").arg(project("tests/curl/all.sh")).arg(url).output();
    let told = told.expect("a shell");
    let said =
        String::from_utf8_lossy(&told.stdout) + String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{said}");
    for lesson in lessons() {
        assert!(said.contains(&format!("holds  {lesson}\n")), "{lesson} is not in\n{said}");
    }
}

/// Every script but the one that tells them all, and the one that all of them read.
fn lessons() -> Vec<String> {
    let files = fs::read_dir(project("tests/curl")).expect("the folder of the lessons");
    let names = files.map(|file| file.expect("a file").file_name().into_string());
    let scripts = names.filter_map(|name| Some(name.ok()?.strip_suffix(".sh")?.to_owned()));
    let lessons: Vec<String> =
        scripts.filter(|name| !["all", "lib"].contains(&name.as_str())).collect();
    assert!(!lessons.is_empty(), "there are no lessons");
    lessons
}
