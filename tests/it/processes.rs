//! The application of `session_app.rs` as separate processes on one Redis.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::process::Process;
use crate::redis_server::RedisServer;
use crate::support::project;

/// Builds the program in the profile of the tests, and returns its path. `cargo test` has
/// usually built it already; building it again makes sure that it is current.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let features = [
            ("cli", cfg!(feature = "cli")),
            ("redis", cfg!(feature = "redis")),
            ("redis-tls", cfg!(feature = "redis-tls")),
            ("json", cfg!(feature = "json")),
        ];
        let features = features.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name);
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--quiet",
            "--locked",
            "--example",
            "session_app",
            "--features",
        ]);
        cargo.arg(features.collect::<Vec<_>>().join(","));
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let built = cargo.current_dir(project("")).status().expect("cargo runs");
        assert!(built.success(), "the example session_app is not built");
        // The tests are in the directory `deps`, and examples are in a sibling of it.
        let tests = env::current_exe().expect("a path of one's own");
        let folder = tests.parent().and_then(|deps| deps.parent()).expect("two folders");
        folder.join("examples").join("session_app")
    };
    PROGRAM.get_or_init(build).clone()
}

/// Starts a process that uses this Redis.
pub fn start(redis: &RedisServer, arguments: &[String]) -> Process {
    let mut command = Command::new(program());
    Process::start(command.args(["--store", &redis.url()]).args(arguments))
}
