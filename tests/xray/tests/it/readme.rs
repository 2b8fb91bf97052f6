//! What the README and the guide show of films is true.

use std::fs;

use dustdevil_xray::support::project;

use crate::support::{log_in, observe_demo};

/// Returns the block of the README that shows a film.
fn shown() -> String {
    let readme = fs::read_to_string(project("README.md")).unwrap();
    let (_, film) = readme.split_once("$ make xray\n").expect("a film");
    film.split_once("\n```").expect("its end").0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_film_in_the_readme_is_that_of_the_demo() {
    let server = observe_demo().await;
    let conversations = log_in(&server).await;
    let film = &conversations[2].films[0];
    // The lines of the source change more often than the steps and their files.
    let file = |place: &str| place.split(':').next().unwrap_or_default().to_owned();
    let real: Vec<(String, String)> = film
        .steps
        .iter()
        .map(|step| (step.name.clone(), step.frames.last().unwrap().file.clone()))
        .collect();
    let shown = shown();
    assert!(shown.starts_with("film ") && shown.contains("  GET /main  200  "), "{shown}");
    let steps: Vec<(String, String)> = shown
        .lines()
        .skip(1)
        .map(|line| {
            let (name, place) = (line.get(9..28).unwrap(), line.get(30..64).unwrap());
            (name.trim().to_owned(), file(place.trim()))
        })
        .collect();
    assert_eq!(steps, real);
}

#[test]
fn the_code_in_the_guide_is_that_of_the_example() {
    let guide = fs::read_to_string(project("src/guide/xray.md")).unwrap();
    let example = fs::read_to_string(project("tests/xray/examples/own.rs")).unwrap();
    let (_, code) = guide.split_once("```ignore\n").expect("code");
    let code = code.split_once("\n```").expect("its end").0;
    let example: String = example.split_whitespace().collect();
    for line in code.lines() {
        let line: String = line.split_whitespace().collect();
        assert!(example.contains(&line), "the example has no {line}");
    }
}
