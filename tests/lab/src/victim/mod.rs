//! The victims: servers that are easy to break, and Dustdevil beside them.
//!
//! **Warning: these are vulnerable on purpose.** They listen on loopback only, and nothing of
//! them belongs into another program.
//!
//! - [`tutorial`]: the tutorial's program, on [`tornado`], the part of Tornado that it calls.
//! - [`toy`]: a server of the standard library alone, as in most first tutorials.
//! - [`snapshot`]: sessions that are loaded whole and saved whole.
//! - [`signed`]: a signed cookie instead of a session.
//! - [`dustdevil`]: the demo, to which the same attacks are made.

pub(crate) mod tornado;

pub(crate) mod tutorial;

pub(crate) mod toy;

pub(crate) mod pages;

pub(crate) mod snapshot;

pub(crate) mod signed;

pub(crate) mod dustdevil;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use ::dustdevil::Application;

/// The names of all victims.
pub(crate) const NAMES: [&str; 5] = ["tutorial", "toy", "snapshot", "signed", "dustdevil"];

/// Returns the directory with the files that [`toy`] and [`dustdevil`] serve, and with those that
/// they should not.
fn site() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("site")
}

/// Serves a victim on loopback until the process is killed. `idle` is the idle timeout of its
/// sessions.
pub(crate) fn serve(name: &str, port: u16, idle: Duration) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot serve {name} on port {port}: {error}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
    if name == "toy" {
        announce(listener.local_addr().map_err(failed)?.port());
        toy::serve(&listener, &site().display().to_string());
        return Ok(());
    }
    let runtime = tokio::runtime::Runtime::new().map_err(failed)?;
    runtime.block_on(async {
        match name {
            "tutorial" => tutorial::serve(listener, idle).await.map_err(failed),
            "snapshot" => run(snapshot::application, listener).await,
            "signed" => run(signed::application, listener).await,
            "dustdevil" => run(|| dustdevil::application(idle), listener).await,
            _ => Err(format!("there is no victim {name}; there are {}", NAMES.join(" "))),
        }
    })
}

/// Runs an application of the crate. It binds its own socket, so the one that has found a free
/// port is closed first.
async fn run(
    application: impl FnOnce() -> ::dustdevil::Result<Application>,
    listener: TcpListener,
) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot serve: {error}");
    let address = listener.local_addr().map_err(failed)?;
    drop(listener);
    let log = crate::demo::logging::Log::start();
    let application = application().map_err(|error| error.to_string())?;
    let server = application.listen(address).await.map_err(failed)?;
    announce(address.port());
    let ran = server.run().await.map_err(failed);
    log.finish(None);
    ran
}

/// Prints the URL of the victim.
fn announce(port: u16) {
    println!("http://127.0.0.1:{port}");
}
