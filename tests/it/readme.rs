//! Checks that the README is true: its commands run, and its tables are complete.

use std::fs;
use std::process::Command;

use crate::support::{demo, project, serve};

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
fn every_named_file_exists() {
    for (folder, file) in [("", "README.md"), ("tests", "README.md"), ("", "CHANGELOG.md")]
    {
        let text = fs::read_to_string(project(folder).join(file)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_there = project(folder).join(link).exists();
            assert!(link.starts_with("https:") || is_there, "{folder}/{file}: {link}");
        }
    }
    let text = readme();
    let sources = ["http", "session", "web"].map(|layer| project("src").join(layer));
    for folder in sources {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name =
                path.strip_prefix(project("")).unwrap().to_string_lossy().into_owned();
            // Parts of an HTTP exchange, which need no explanation.
            let well_known = [
                "mod", "error", "date", "octets", "method", "version", "status", "refusal",
            ];
            let is_well_known =
                well_known.iter().any(|word| name.ends_with(&format!("/{word}.rs")));
            assert!(
                is_well_known || text.contains(&name),
                "the README does not name {name}"
            );
        }
    }
}

/// Returns the names of the public fields of a struct.
fn fields(path: &str, name: &str) -> Vec<String> {
    let text = fs::read_to_string(project(path)).unwrap();
    let (_, rest) = text.split_once(&format!("pub struct {name} {{")).unwrap();
    let body = rest.split("\n}").next().unwrap();
    let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub "));
    fields.filter_map(|field| field.split(':').next()).map(str::to_owned).collect()
}

/// Returns the first cells of the tables between two headings.
fn rows<'t>(text: &'t str, from: &str, to: &str) -> Vec<&'t str> {
    let section = text.lines().skip_while(|line| *line != from);
    let section = section.take_while(|line| *line != to);
    section.filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

#[test]
fn the_tables_of_settings_are_complete() {
    let text = readme();
    let mut all = fields("src/web/settings.rs", "Settings");
    all.extend(fields("src/http/limits.rs", "Limits"));
    assert_eq!(rows(&text, "## Settings", "## The log"), all);
}

#[test]
fn the_table_of_the_redis_settings_is_complete() {
    let all = fields("src/session/redis/mod.rs", "RedisSettings");
    assert_eq!(rows(&readme(), "## Sessions on Redis", "## Features"), all);
}
