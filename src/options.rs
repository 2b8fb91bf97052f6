//! The demo's command line.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use lexopt::prelude::{Long, Short, Value, ValueExt};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
dustdevil: a login page, a main page, and a session between them.

  --port PORT            port to listen on; 0 is any that is free  [8888]
  --address ADDRESS      address to listen on; 0.0.0.0 is all      [127.0.0.1]
  --static-path FOLDER   the files below /static/                  [static]
  --template-path FOLDER the pages                                 [views]
  --credentials NAME:PASSWORD
                         who may log in                            [admin:123]
  --store STORE          where sessions live: memory               [memory]
  --help                 this

The log goes to standard error; RUST_LOG=warn makes it quieter.
";

/// What the demo is told.
pub(crate) struct Options {
    /// `--port`.
    pub(crate) port: u16,
    /// `--address`.
    pub(crate) address: IpAddr,
    /// `--static-path`.
    pub(crate) static_path: PathBuf,
    /// `--template-path`.
    pub(crate) template_path: PathBuf,
    /// `--credentials`, before the colon.
    pub(crate) username: String,
    /// `--credentials`, behind it.
    pub(crate) password: String,
}

/// What whoever typed the command wants.
pub(crate) enum Wish {
    /// To be helped.
    Help,
    /// To be served.
    Serve(Options),
}

impl Default for Options {
    fn default() -> Options {
        Options {
            port: 8888,
            address: IpAddr::from([127, 0, 0, 1]),
            static_path: beside_the_source("static"),
            template_path: beside_the_source("views"),
            username: String::from("admin"),
            password: String::from("123"),
        }
    }
}

impl Options {
    /// Reads the command line; the error is a sentence for whoever typed it.
    pub(crate) fn from_arguments(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Wish, String> {
        let mut options = Options::default();
        let mut parser = lexopt::Parser::from_iter(arguments);
        while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
            let name = match argument {
                Long("help") | Short('h') => return Ok(Wish::Help),
                Long(name) => name.to_owned(),
                Short(letter) => return Err(unknown(&format!("-{letter}"))),
                Value(value) => return Err(unknown(&value.to_string_lossy())),
            };
            if !HELP.contains(&format!("  --{name} ")) {
                return Err(unknown(&format!("--{name}")));
            }
            let value = parser.value().map_err(|error| error.to_string())?;
            match name.as_str() {
                "port" => options.port = parse(&name, &value, "a number from 0 to 65535")?,
                "address" => options.address = parse(&name, &value, "an IP address")?,
                "static-path" => options.static_path = value.into(),
                "template-path" => options.template_path = value.into(),
                "credentials" => {
                    let text = value.string().unwrap_or_default();
                    let (username, password) = text
                        .split_once(':')
                        .ok_or("--credentials takes a name, a colon and a password")?;
                    (options.username, options.password) =
                        (username.into(), password.into());
                }
                _ if value == "memory" => {}
                _ => {
                    return Err(String::from(
                        "--store takes memory, and nothing else so far",
                    ));
                }
            }
        }
        Ok(Wish::Serve(options))
    }
}

fn parse<T: FromStr>(name: &str, value: &OsString, what: &str) -> Result<T, String> {
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("--{name} takes {what}, not {}", value.to_string_lossy()))
}

fn unknown(argument: &str) -> String {
    format!("{argument} means nothing here; --help tells what does")
}

/// The demo's folders lie beside the source that it was built from, so that it finds them from
/// whatever folder it is started in. If they have moved, they may be here.
fn beside_the_source(folder: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    if beside.is_dir() { beside } else { PathBuf::from(folder) }
}
