//! The demo's command line.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use lexopt::prelude::{Long, Short};

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
    /// `--credentials`, after it.
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
            match argument {
                Long("help") | Short('h') => return Ok(Wish::Help),
                Long("port") => {
                    options.port = parse(&value(&mut parser)?, "--port takes 0 to 65535")?;
                }
                Long("address") => {
                    options.address =
                        parse(&value(&mut parser)?, "--address takes an IP address")?;
                }
                Long("static-path") => options.static_path = value(&mut parser)?.into(),
                Long("template-path") => options.template_path = value(&mut parser)?.into(),
                Long("credentials") => options.set_credentials(&value(&mut parser)?)?,
                Long("store") => {
                    if value(&mut parser)? != "memory" {
                        return Err(String::from(
                            "--store takes memory, and nothing else so far",
                        ));
                    }
                }
                other => {
                    return Err(format!(
                        "{}; --help tells what there is",
                        other.unexpected()
                    ));
                }
            }
        }
        Ok(Wish::Serve(options))
    }

    fn set_credentials(&mut self, value: &OsStr) -> Result<(), String> {
        let pair = value.to_str().and_then(|text| text.split_once(':'));
        // The form's name arrives without spaces around it.
        let pair = pair.map(|(username, password)| (username.trim(), password));
        let Some((username, password)) =
            pair.filter(|pair| !pair.0.is_empty() && !pair.1.is_empty())
        else {
            return Err(String::from("--credentials takes a name, a colon and a password"));
        };
        (self.username, self.password) = (username.to_owned(), password.to_owned());
        Ok(())
    }

    /// Who may log in, for the eyes of whoever starts it. A password of their own they know.
    pub(crate) fn hint(&self) -> String {
        match self.password == Options::default().password {
            true => format!("{} with the password {}", self.username, self.password),
            false => self.username.clone(),
        }
    }
}

fn value(parser: &mut lexopt::Parser) -> Result<OsString, String> {
    parser.value().map_err(|error| error.to_string())
}

fn parse<T: FromStr>(value: &OsStr, sentence: &str) -> Result<T, String> {
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("{sentence}, not {}", value.to_string_lossy()))
}

/// The demo's folders lie beside the source that it was built from, so that it finds them from
/// whatever folder it is started in. If they have moved, they may be here.
fn beside_the_source(folder: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    if beside.is_dir() { beside } else { PathBuf::from(folder) }
}
