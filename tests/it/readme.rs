//! Checks that the README is true: its commands run, and its tables are complete.

use std::fs;
use std::process::Command;

use crate::support::{demo, project, serve};
use crate::tidy::packages;

fn readme() -> String {
    fs::read_to_string(project("README.md")).unwrap()
}

/// Returns the code blocks in one language.
fn blocks(language: &str) -> Vec<String> {
    let (text, fence) = (readme(), format!("```{language}\n"));
    let blocks = text.split(fence.as_str()).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_shell_commands_in_the_readme_work() {
    let server = serve(demo()).await;
    let blocks = blocks("sh");
    assert!(!blocks.is_empty());
    for block in blocks {
        let folder = project("").join(env!("CARGO_TARGET_TMPDIR")).join("readme");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let script = block.replace("127.0.0.1:8888", &server.address.to_string());
        let run =
            move || Command::new("sh").args(["-ec", &script]).current_dir(folder).output();
        let output = tokio::task::spawn_blocking(run).await.unwrap().expect("a shell");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{block}\n{printed}");
        assert!(printed.contains("Hello, world!") && printed.contains("this is main page"));
    }
}

#[test]
fn the_make_commands_in_the_readme_exist() {
    let makefile = fs::read_to_string(project("Makefile")).unwrap();
    for block in blocks("console") {
        for command in block.lines().filter_map(|line| line.strip_prefix("$ make ")) {
            let target = command.split(' ').next().unwrap();
            assert!(makefile.contains(&format!("\n{target}:")), "no make {target}");
        }
    }
    let text = readme();
    for target in
        text.split("`make ").skip(1).filter_map(|rest| rest.split(['`', ' ']).next())
    {
        assert!(makefile.contains(&format!("\n{target}:")), "no make {target}");
    }
}

#[test]
fn every_linked_file_exists() {
    for (directory, file) in [
        ("", "README.md"),
        ("tests", "README.md"),
        ("tests/bench", "README.md"),
        ("", "CHANGELOG.md"),
    ] {
        let text = fs::read_to_string(project(directory).join(file)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_external = link.starts_with("https:") || link.starts_with('#');
            let exists = project(directory).join(link).exists();
            assert!(is_external || exists, "{directory}/{file}: {link}");
        }
    }
}

#[test]
fn the_readme_has_at_most_200_lines_and_links_every_lesson() {
    let text = readme();
    assert!(text.lines().count() <= 200, "{} lines", text.lines().count());
    for entry in fs::read_dir(project("tests/curl")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_lesson = !matches!(name.as_str(), "lib.sh" | "all.sh");
        assert!(!is_lesson || text.contains(&format!("(tests/curl/{name})")), "{name}");
    }
}

/// The rows of the tables between a heading and the next one.
fn rows<'t>(text: &'t str, heading: &str) -> Vec<Vec<&'t str>> {
    let section = text.lines().skip_while(|line| *line != heading).skip(1);
    let section = section.take_while(|line| !line.starts_with("## "));
    let rows = section.filter(|line| line.starts_with("| `"));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The public fields of a struct, each with its doc.
fn fields(path: &str, name: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(project(path)).unwrap();
    let (_, rest) = text.split_once(&format!("pub struct {name} {{")).unwrap();
    let (mut fields, mut doc) = (Vec::new(), String::new());
    for line in rest.split("\n}").next().unwrap().lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
        } else if let Some(field) = line.strip_prefix("pub ") {
            let name = field.split(':').next().unwrap().to_owned();
            fields.push((name, std::mem::take(&mut doc)));
        }
    }
    fields
}

#[test]
fn the_settings_in_the_readme_exist() {
    let fields = fields("src/web/settings.rs", "Settings");
    let text = readme();
    let rows = rows(&text, "## Settings");
    assert_eq!(rows.len(), 5);
    for row in rows {
        let name = row[0].trim_matches('`');
        assert!(fields.iter().any(|(field, _)| field == name), "there is no {name}");
    }
}

/// The reference of all settings is their documentation.
#[test]
fn the_doc_of_each_setting_names_its_default() {
    for (path, name) in [
        ("src/web/settings.rs", "Settings"),
        ("src/http/limits.rs", "Limits"),
        ("src/session/redis/settings.rs", "RedisSettings"),
        ("src/session/memory/map.rs", "MemoryLimits"),
    ] {
        for (field, doc) in fields(path, name) {
            assert!(doc.to_lowercase().contains("default"), "{name}::{field}:{doc}");
        }
    }
}

#[test]
fn the_table_of_features_has_each_feature_with_its_number_of_packages() {
    let manifest = fs::read_to_string(project("Cargo.toml")).unwrap();
    let (_, features) = manifest.split_once("[features]\n").unwrap();
    let features = features.split("\n\n").next().unwrap().lines();
    let features = features.filter_map(|line| Some(line.split_once(" = ")?.0));
    let features: Vec<&str> =
        features.filter(|name| *name != "default" && !name.starts_with('#')).collect();
    let text = readme();
    let rows = rows(&text, "## Features");
    assert_eq!(rows.len(), features.len(), "{features:?}");
    for row in rows {
        let name = row[0].trim_matches(|c: char| !c.is_ascii_lowercase()).split('`').next();
        let name = name.unwrap();
        assert!(features.contains(&name), "there is no feature {name}");
        assert_eq!(row[2].parse(), Ok(packages(name).len()), "packages with {name}");
    }
}
