//! The demo's command line.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use dustdevil::Store;
use lexopt::prelude::{Long, Short};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
dustdevil: a login page, a main page, and a session between them.

  --port PORT            port to listen on; 0 is any that is free  [8888]
  --address ADDRESS      address to listen on; 0.0.0.0 is all      [127.0.0.1]
  --allowed-host HOST    a host that requests may name; may be given more than
                         once   [on loopback: localhost, 127.0.0.1 and [::1]]
  --static-path FOLDER   the files below /static/                  [static]
  --template-path FOLDER the pages                                 [views]
  --credentials NAME:PASSWORD
                         who may log in                            [admin:123]
  --store STORE          where sessions live                       [memory]
                         memory, redis://HOST:PORT/ or rediss://HOST:PORT/;
                         nodes of a cluster with commas between them
  --help                 this

The log goes to standard error; RUST_LOG=warn makes it quieter.
";

/// The names of a host for itself. A page of another site can have its own name lead here (DNS
/// rebinding), and a browser then takes our pages for its; but it still asks for them by that name.
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// What the demo is told.
pub(crate) struct Options {
    /// `--port`.
    pub(crate) port: u16,
    /// `--address`.
    pub(crate) address: IpAddr,
    /// `--allowed-host`, however often it is given.
    pub(crate) allowed_hosts: Vec<String>,
    /// `--static-path`.
    pub(crate) static_path: PathBuf,
    /// `--template-path`.
    pub(crate) template_path: PathBuf,
    /// `--credentials`, before the colon.
    pub(crate) username: String,
    /// `--credentials`, after it.
    pub(crate) password: String,
    /// `--store`: where a Redis is, or the nodes of a cluster. None is the process's own memory.
    pub(crate) store: Vec<String>,
    /// What that leads to, once it was reached.
    pub(crate) session_store: Option<Arc<dyn Store>>,
    /// What tokens are signed with, where it is not for this process alone.
    pub(crate) cookie_secret: Vec<u8>,
}

/// What whoever typed the command wants.
pub(crate) enum Wish {
    /// To be helped.
    Help,
    /// To be served.
    Serve(Box<Options>),
}

impl Default for Options {
    fn default() -> Options {
        Options {
            port: 8888,
            address: IpAddr::from([127, 0, 0, 1]),
            allowed_hosts: Vec::new(),
            static_path: beside_the_source("static"),
            template_path: beside_the_source("views"),
            username: String::from("admin"),
            password: String::from("123"),
            store: Vec::new(),
            session_store: None,
            cookie_secret: Vec::new(),
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
                Long("allowed-host") => {
                    let host = value(&mut parser)?.to_string_lossy().into_owned();
                    options.allowed_hosts.push(host);
                }
                Long("static-path") => options.static_path = value(&mut parser)?.into(),
                Long("template-path") => options.template_path = value(&mut parser)?.into(),
                Long("credentials") => options.set_credentials(&value(&mut parser)?)?,
                Long("store") => options.set_store(&value(&mut parser)?)?,
                other => {
                    return Err(format!(
                        "{}; --help tells what there is",
                        other.unexpected()
                    ));
                }
            }
        }
        Ok(Wish::Serve(Box::new(options)))
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

    /// What is wrong with it is said without repeating it: there may be a password in it.
    fn set_store(&mut self, value: &OsStr) -> Result<(), String> {
        let urls: Vec<&str> = match value.to_str() {
            Some("memory") => Vec::new(),
            value => value.unwrap_or_default().split(',').collect(),
        };
        let is_tls = |url: &&str| url.starts_with("rediss://");
        let is_redis = |url: &&str| url.starts_with("redis://") || is_tls(url);
        if !urls.iter().all(is_redis) {
            return Err(String::from("--store takes memory, redis://... or rediss://..."));
        }
        for (is_asked_for, is_there, what, feature) in [
            (!urls.is_empty(), cfg!(feature = "redis"), "Redis", "redis"),
            (urls.iter().any(is_tls), cfg!(feature = "redis-tls"), "TLS", "redis-tls"),
        ] {
            if is_asked_for && !is_there {
                return Err(format!(
                    "this dustdevil was built without {what}; build it with --features {feature}"
                ));
            }
        }
        self.store = urls.into_iter().map(str::to_owned).collect();
        Ok(())
    }

    /// The hosts that requests may name. On a loopback address, these are its names and those that are
    /// given; elsewhere, any will do unless some are given.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let mut hosts = self.allowed_hosts.clone();
        if self.address.is_loopback() {
            hosts.extend(LOOPBACK_HOSTS.map(str::to_owned));
            if let IpAddr::V4(address) = self.address {
                hosts.push(address.to_string());
            }
        }
        hosts
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

fn parse<T: FromStr>(value: &OsStr, message: &str) -> Result<T, String> {
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("{message}, not {}", value.to_string_lossy()))
}

/// The demo's folders lie beside the source that it was built from, so that it finds them from
/// whatever folder it is started in. If they have moved, they may be here.
fn beside_the_source(folder: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    if beside.is_dir() { beside } else { PathBuf::from(folder) }
}
