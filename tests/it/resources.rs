//! Resources for tests of conditions, ranges, redirects and cookies: a directory of files whose
//! dates never change, and a few pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dustdevil::http::conditions::{self, Outcome, Validators};
use dustdevil::http::date;
use dustdevil::{
    Error, Exchange, Method, RequestHandler, Result, SessionHandler, Settings, Status,
};

use crate::support::settings;

/// The Last-Modified date of every file and of the note.
pub const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// The entity tag of `digits.txt`, which contains the ten digits.
pub const TAG: &str = "\"781e5e245d69b566979b86e28d23f2c7\"";

/// Settings with the directory of files, created under a name of the test's own.
pub fn settings_with_files(name: &str) -> Settings {
    Settings { static_path: folder(name), ..settings() }
}

/// Creates files that may be served, and next to them files that must not be: hidden ones,
/// files outside the directory, devices, and symbolic links to them.
pub fn folder(name: &str) -> PathBuf {
    // Cargo sets the variable for tests, and not for the player of `tests/xray`.
    let home =
        option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let home = home.join("dustdevil-resources").join(name);
    let _ = fs::remove_dir_all(&home);
    let folder = home.join("files");
    fs::create_dir_all(folder.join("sub")).unwrap();
    for (path, content) in [
        ("files/digits.txt", "0123456789"),
        ("files/empty.txt", ""),
        ("files/page.html", "<!DOCTYPE html>\n<title>A page</title>\n"),
        ("files/sub/inner.txt", "inner"),
        ("files/nobody-knows", "what it is"),
        ("files/.hidden", "hidden"),
        ("outside.txt", "outside"),
    ] {
        write_dated(&home.join(path), content);
    }
    #[cfg(unix)]
    create_forbidden_files(&folder, name);
    folder
}

fn write_dated(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    let date = date::parse(DATE).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(date).unwrap();
}

#[cfg(unix)]
fn create_forbidden_files(folder: &Path, name: &str) {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    for (target, link) in [
        ("../outside.txt", "outside.txt"),
        ("..", "up"),
        (".hidden", "shown.txt"),
        ("/dev/zero", "zero"),
        ("loop", "loop"),
        ("digits.txt", "inside.txt"),
    ] {
        symlink(target, folder.join(link)).unwrap();
    }
    let pipe = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status();
    assert!(pipe.unwrap().success());
    // The path of a Unix socket is limited to about a hundred bytes, which this directory's may
    // exceed.
    let name = format!("dustdevil-{}-{name}", std::process::id());
    let short = std::env::temp_dir().join(name);
    let _ = fs::remove_file(&short);
    if UnixListener::bind(&short).is_ok()
        && fs::rename(&short, folder.join("socket")).is_err()
    {
        let _ = fs::remove_file(&short);
    }
}

/// A note that can be read and written under preconditions. `/note` has a strong tag and a
/// date; `/weak-note` has a weak tag and no date. PUT stores nothing.
pub struct NoteHandler {
    validators: Validators,
}

impl NoteHandler {
    /// Evaluates the preconditions. Returns `false` if they fail; the response is set then.
    fn preconditions_hold(&self, exchange: &mut Exchange) -> Result<bool> {
        exchange.set_header("ETag", self.validators.etag.clone())?;
        exchange.set_header("Cache-Control", "no-cache")?;
        match conditions::evaluate(exchange.request(), &self.validators) {
            Outcome::Proceed => Ok(true),
            Outcome::NotModified => {
                exchange.set_status(Status::NOT_MODIFIED);
                exchange.finish();
                Ok(false)
            }
            Outcome::PreconditionFailed => {
                Err(Error::http(Status::PRECONDITION_FAILED, "The note is another one."))
            }
        }
    }
}

impl RequestHandler for NoteHandler {
    const SUPPORTED_METHODS: &'static [Method] =
        &[Method::Get, Method::Put, Method::Patch, Method::Delete];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        let validators = if exchange.request().path().starts_with("/weak") {
            Validators {
                etag: String::from("W/\"dust\""),
                last_modified: None,
                date_is_strong: true,
            }
        } else {
            let fraction = Duration::from_millis(500);
            let date: Option<SystemTime> = date::parse(DATE).map(|date| date + fraction);
            Validators {
                etag: String::from("\"dust\""),
                last_modified: date,
                date_is_strong: true,
            }
        };
        Ok(Self { validators })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        if self.preconditions_hold(exchange)? {
            exchange.write("a note")?;
        }
        Ok(())
    }

    async fn put(&mut self, exchange: &mut Exchange) -> Result {
        if self.preconditions_hold(exchange)? {
            exchange.set_status(Status::NO_CONTENT);
        }
        Ok(())
    }

    async fn patch(&mut self, exchange: &mut Exchange) -> Result {
        self.put(exchange).await
    }

    async fn delete(&mut self, exchange: &mut Exchange) -> Result {
        self.put(exchange).await
    }
}

/// Redirects GET and POST to `/hello`.
pub struct ElsewhereHandler;

impl RequestHandler for ElsewhereHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post, Method::Put];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.redirect("/hello#there")
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        exchange.redirect_as(Status::SEE_OTHER, "/hello")
    }

    async fn put(&mut self, exchange: &mut Exchange) -> Result {
        exchange.redirect_as(Status::PERMANENT_REDIRECT, "/note")
    }
}

/// Counts visits in the session, and fails or ends it on request.
pub struct VisitsHandler {
    base: SessionHandler,
}

impl RequestHandler for VisitsHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let count = |visits: Option<u32>| visits.unwrap_or(0) + 1;
        let visits = self.base.session.update("visits", count).await?;
        match exchange.request().query() {
            Some("fail") => exchange.send_error(Status::CONFLICT),
            Some("end") => Ok(self.base.session.destroy().await?),
            _ => exchange.write(visits.unwrap_or_default().to_string()),
        }
    }
}

/// Returns the value of the cookie `color`.
pub struct ColorsHandler;

impl RequestHandler for ColorsHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let color = exchange.get_cookie("color");
        exchange.write(color.unwrap_or_else(|| String::from("(none)")))
    }
}
