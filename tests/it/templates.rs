//! Templates: placeholders are replaced, and nothing else.

use std::fmt::{self, Write};
use std::fs;
use std::path::PathBuf;

use dustdevil::web::template::{Template, Templates};
use dustdevil::{Application, Settings, Value, escape};

use crate::support::{exchange, project, settings};

fn render(source: &str, values: &[(&str, &str)]) -> String {
    let template = Template::parse("page.html", source).unwrap();
    let find = |name: &str| values.iter().find(|(given, _)| *given == name);
    template.render(|name| find(name).map(|(_, value)| value as Value<'_>)).unwrap()
}

/// Cross-site scripting (XSS): a value that contains HTML must appear as text, unless the
/// template says `raw`.
#[test]
fn every_value_is_escaped() {
    let value = "<b title=\"x\">Tom & 'Jerry'</b>";
    let page = render("<p title=\"{{ value }}\">{{value}}</p>", &[("value", value)]);
    let escaped = "&lt;b title=&quot;x&quot;&gt;Tom &amp; &#x27;Jerry&#x27;&lt;/b&gt;";
    assert_eq!(page, format!("<p title=\"{escaped}\">{escaped}</p>"));
    assert_eq!(escape::html(value), escaped);
}

#[test]
fn a_raw_value_is_not_escaped() {
    let values = [("rows", "<li>a & b</li>"), ("raw", "<i>")];
    let page = render("<ul>{{ raw rows }}</ul>{{rows}}{{raw}}{{raw  raw}}", &values);
    let escaped = "&lt;li&gt;a &amp; b&lt;/li&gt;&lt;i&gt;";
    assert_eq!(page, format!("<ul><li>a & b</li></ul>{escaped}<i>"));
}

/// A value that fails, and one that is written in pieces.
struct Pieces(bool);

impl fmt::Display for Pieces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a<")?;
        formatter.write_char('&')?;
        if self.0 { Ok(()) } else { Err(fmt::Error) }
    }
}

#[tokio::test]
async fn values_are_displayed_whatever_their_type() {
    let files = [("page.html", "{{ name }} {{ title }} {{ visits }} {{ pieces }}")];
    let settings =
        Settings { template_path: folder("template_values", &files), ..settings() };
    let application = Application::new([], settings).unwrap();
    let mut exchange = exchange(&application, "GET /");
    let name = String::from("<Ann>");
    let page = exchange
        .render_string(
            "page.html",
            &[("name", &name), ("title", &"x"), ("visits", &5), ("pieces", &Pieces(true))],
        )
        .await
        .unwrap();
    assert_eq!(page, "&lt;Ann&gt; x 5 a&lt;&amp;");
}

#[test]
fn a_display_that_fails_is_an_error_and_no_panic() {
    let template = Template::parse("page.html", "{{ a }}{{ raw a }}").unwrap();
    let error = template.render(|_| Some(&Pieces(false))).unwrap_err().to_string();
    assert_eq!(error, "page.html: Display of \"a\" failed");
}

/// Template injection: a value is inserted in one pass, and its braces are not evaluated.
#[test]
fn values_are_not_templates_themselves() {
    let values = [("a", "{{ b }}"), ("b", "secret")];
    assert_eq!(render("{{ a }} {{ b }}", &values), "{{ b }} secret");
}

#[test]
fn braces_without_a_name_stay_as_they_are() {
    assert_eq!(render("a { b } }} {{! name }} {", &[]), "a { b } }} {{ name }} {");
    assert_eq!(render("{%! end %} {#! note #}{", &[]), "{% end %} {# note #}{");
    assert_eq!(render("\u{feff}{{ a }}\u{feff}", &[("a", "b")]), "b\u{feff}");
    assert_eq!(render("", &[]), "");
    assert_eq!(render("\u{e9}{{ a }}\u{e9}", &[("a", "\u{e8}")]), "\u{e9}\u{e8}\u{e9}");
}

#[test]
fn a_broken_template_is_named_with_its_line() {
    for (source, line) in [
        ("a\n\n{{ name", 3),
        ("{{ }}", 1),
        ("a\n{{ two words }}", 2),
        ("{{ 1st }}", 1),
        ("\n{{ a.b }}", 2),
        ("{{ a }}\n{{ {{ b }}", 2),
        ("{{ raw }}\n{{ raw a.b }}", 2),
        ("{{ a }}\n\n{% if a %}b{% end %}", 3),
        ("{# note #}", 1),
    ] {
        let error = Template::parse("views/page.html", source).unwrap_err().to_string();
        assert!(error.starts_with(&format!("views/page.html:{line}: ")), "{error}");
    }
}

#[test]
fn a_template_of_another_engine_is_refused_with_the_form_to_use() {
    for (source, hint) in [
        ("{% for a in b %}", "{% is not supported: "),
        ("{# note #}", "a comment is <!-- -->"),
        ("{{ a.b }}", "a template has only {{ name }} and {{ raw name }}"),
        ("{{ len(a) }}", "the handler decides and computes"),
    ] {
        let error = Template::parse("page.html", source).unwrap_err().to_string();
        assert!(error.starts_with("page.html:1: ") && error.contains(hint), "{error}");
    }
}

#[test]
fn an_undefined_placeholder_is_an_error_that_names_it() {
    let template = Template::parse("page.html", "{{ missing }}").unwrap();
    let error = template.render(|_| None).unwrap_err().to_string();
    assert!(error.contains("page.html") && error.contains("missing"), "{error}");
}

/// Creates a template directory for one test.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    for (path, source) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, source).unwrap();
    }
    folder
}

#[test]
fn templates_are_read_at_startup_with_their_directories() {
    let files =
        [("a.html", "a"), ("mail/b.txt", "b"), (".hidden", "{{"), ("mail/.swp/x", "{{")];
    let templates = Templates::load(&folder("templates_read", &files)).unwrap();
    assert!(templates.find("a.html").is_ok() && templates.find("mail/b.txt").is_ok());
    assert!(templates.find("b.txt").is_err() && templates.find(".hidden").is_err());
}

#[test]
fn only_files_with_the_ending_of_a_template_are_templates() {
    let broken = ["page.html~", "page.html.swp", "README.md", "noending", "html"];
    let mut files = broken.map(|name| (name, "{{ oops")).to_vec();
    files.extend([("page.html", "a"), ("icon.svg", "b")]);
    let templates = Templates::load(&folder("template_endings", &files)).unwrap();
    assert!(templates.find("page.html").is_ok() && templates.find("icon.svg").is_ok());
    assert!(broken.iter().all(|name| templates.find(name).is_err()));
}

fn start(template_path: PathBuf, names: &[&'static str]) -> Result<Application, String> {
    let settings = Settings { template_path, template_names: names.to_vec(), ..settings() };
    Application::new([], settings).map_err(|error| error.to_string())
}

#[test]
fn an_application_does_not_start_on_templates_that_cannot_be_rendered() {
    let error = start(folder("broken", &[("a.html", "one\n{{ oops")]), &[]).err().unwrap();
    assert!(error.contains("a.html:2"), "{error}");
    let misspelt = folder("misspelt", &[("a.html", "{{ usrename }} {{ xsrf_token }}")]);
    let error = start(misspelt.clone(), &["username"]).err().unwrap();
    assert!(error.contains("a.html") && error.contains("usrename"), "{error}");
    assert!(start(misspelt, &["usrename"]).is_ok());
    let error = start(project("no/such/folder"), &[]).err().unwrap();
    assert!(error.contains("no/such/folder"), "{error}");
    let settings = Settings { error_template: String::from("lost.html"), ..settings() };
    assert!(Application::new([], settings).is_err());
}

#[tokio::test]
async fn an_unknown_template_is_an_internal_error() {
    let application = Application::new([], settings()).unwrap();
    let mut exchange = exchange(&application, "GET /");
    let error = exchange.render("lost.html", &[]).await.unwrap_err();
    assert!(error.to_string().contains("lost.html"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_template_that_is_not_a_file_is_an_error_that_names_it() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("templates");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let pipe = folder.join("pipe.html");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("the command mkfifo").success());
    let error = Templates::load(&folder).unwrap_err().to_string();
    assert!(error.contains("pipe.html: it is no regular file"), "{error}");
    fs::remove_file(&pipe).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("zero.html")).unwrap();
    let error = Templates::load(&folder).unwrap_err().to_string();
    assert!(error.contains("zero.html: it is no regular file"), "{error}");
}
