//! The demo with third-party HTTP clients. A client that is not installed is skipped with a
//! line of output; if the environment has `CI`, it must be installed.

use std::env;
use std::io::ErrorKind;
use std::process::Command;

use crate::support::{demo, project, serve};
use crate::webdriver::tell;

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_completes_the_scenario() {
    let server = serve(demo()).await;
    let script = project("tests/clients/story.py");
    run("python3", &[&script.to_string_lossy(), &format!("http://{}", server.address)]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_client_completes_the_scenario() {
    let server = serve(demo()).await;
    let script = project("tests/clients/story.mjs");
    run("node", &[&script.to_string_lossy(), &format!("http://{}", server.address)]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrk_reports_no_errors() {
    let server = serve(demo()).await;
    let url = format!("http://{}/hello", server.address);
    // A slow machine may respond slowly.
    let report = run("wrk", &["-t1", "-c8", "-d1s", "--timeout=30s", &url]);
    if let Some(report) = report {
        assert!(report.contains(" requests in "), "{report}");
        assert!(!report.contains("\n  0 requests in "), "{report}");
        assert!(!report.contains("Socket errors:"), "{report}");
        assert!(!report.contains("Non-2xx or 3xx responses:"), "{report}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ab_reports_no_errors() {
    let server = serve(demo()).await;
    let url = format!("http://{}/hello", server.address);
    if let Some(report) = run("ab", &["-k", "-n", "2000", "-c", "8", &url]) {
        let number = |name: &str| {
            let line = report.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.trim().parse::<u32>().ok())
        };
        assert_eq!(number("Complete requests:"), Some(2000), "{report}");
        assert_eq!(number("Keep-Alive requests:"), Some(2000), "{report}");
        assert_eq!(number("Failed requests:"), Some(0), "{report}");
        assert_eq!(number("Non-2xx responses:"), None, "{report}");
    }
    server.stop().await;
}

/// Runs a client that must succeed, and returns its output. `None` if the program is not
/// installed. The call blocks; the server runs on other threads.
pub fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            leave_out(program);
            return None;
        }
        output => output.expect("the program can be started"),
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}\n{printed}{complaints}", output.status);
    Some(printed.into_owned())
}

/// Returns `true` if the package requests is installed for the Python that the tests run.
pub fn has_requests() -> bool {
    let import = Command::new("python3").args(["-c", "import requests"]).output();
    let has_requests = import.is_ok_and(|output| output.status.success());
    if !has_requests {
        leave_out("the Python package requests");
    }
    has_requests
}

fn leave_out(client: &str) {
    let message = format!("left out: {client} is not installed");
    assert!(env::var_os("CI").is_none(), "{message}");
    tell(&message);
}
