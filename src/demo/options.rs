//! The command line of the demo.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use dustdevil::{Network, Store};
use lexopt::prelude::{Long, Short};

/// The text of `--help`, with the default values in brackets.
pub(crate) const HELP: &str = "\
dustdevil: a web server with a login page, a main page, and a session.

  --port PORT            port to listen on; 0 picks a free one     [8888]
  --address ADDRESS      address to listen on; 0.0.0.0 is all      [127.0.0.1]
  --allowed-host HOST    host name that requests may use; may be given more
                         than once   [on loopback: localhost, 127.0.0.1, [::1]]
  --trusted-proxy NETWORK
                         reverse proxy (10.0.0.1, or 10.0.0.0/8); may be
                         given more than once                      [none]
  --trusted-origin ORIGIN
                         site that may send forms (https://example.com); may
                         be given more than once                   [none]
  --static-path DIR      directory of the files below /static/     [static]
  --template-path DIR    directory of the templates                [views]
  --credentials NAME:PASSWORD
                         user name and password of the demo        [admin:123]
  --store STORE          session store                             [memory]
                         memory, redis://HOST:PORT/ or rediss://HOST:PORT/;
                         nodes of a cluster with commas between them
  --debug                for development: templates are read at each use, and
                         error pages show what otherwise only the log does
  --help                 print this help

The log goes to standard error; RUST_LOG=warn makes it quieter.
";

/// The host names of a loopback address. Requests for other names get 421, against DNS
/// rebinding: an attacker's site resolves its own name to 127.0.0.1, so that the browser treats
/// our pages as same-origin with it. The browser still sends the attacker's name in `Host`.
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The options of the demo.
pub(crate) struct Options {
    /// `--port`.
    pub(crate) port: u16,
    /// `--address`.
    pub(crate) address: IpAddr,
    /// `--allowed-host`, one item for each time it is given.
    pub(crate) allowed_hosts: Vec<String>,
    /// `--trusted-proxy`, one item for each time it is given.
    pub(crate) trusted_proxies: Vec<Network>,
    /// `--trusted-origin`, one item for each time it is given.
    pub(crate) trusted_origins: Vec<String>,
    /// `--static-path`.
    pub(crate) static_path: PathBuf,
    /// `--template-path`.
    pub(crate) template_path: PathBuf,
    /// The part of `--credentials` before the first colon.
    pub(crate) username: String,
    /// The part of `--credentials` after the first colon.
    pub(crate) password: String,
    /// `--store`: the URLs of the Redis nodes. Empty for the memory store.
    pub(crate) store: Vec<String>,
    /// `--debug`.
    pub(crate) debug: bool,
    /// The Redis store, once it is connected.
    pub(crate) session_store: Option<Arc<dyn Store>>,
    /// The key that signs XSRF tokens, if several processes share it. Empty: a random one.
    pub(crate) cookie_secret: Vec<u8>,
}

/// The command that the arguments select.
pub(crate) enum Command {
    /// Print the help.
    Help,
    /// Run the server.
    Serve(Box<Options>),
}

impl Default for Options {
    fn default() -> Options {
        Options {
            port: 8888,
            address: IpAddr::from([127, 0, 0, 1]),
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            trusted_origins: Vec::new(),
            static_path: default_directory("static"),
            template_path: default_directory("views"),
            username: String::from("admin"),
            password: String::from("123"),
            store: Vec::new(),
            debug: false,
            session_store: None,
            cookie_secret: Vec::new(),
        }
    }
}

impl Options {
    /// Parses the command line, program name first. The error is a message for standard error.
    pub(crate) fn from_arguments(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Command, String> {
        let mut options = Options::default();
        let mut parser = lexopt::Parser::from_iter(arguments);
        while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
            match argument {
                Long("help") | Short('h') => return Ok(Command::Help),
                Long("port") => {
                    options.port = parse(&value(&mut parser)?, "--port takes 0 to 65535")?;
                }
                Long("address") => {
                    options.address =
                        parse(&value(&mut parser)?, "--address takes an IP address")?;
                }
                Long("allowed-host") => options.allowed_hosts.push(text(&mut parser)?),
                Long("trusted-proxy") => {
                    let network = text(&mut parser)?.parse();
                    let invalid = |error| format!("--trusted-proxy: {error}");
                    options.trusted_proxies.push(network.map_err(invalid)?);
                }
                Long("trusted-origin") => options.trusted_origins.push(text(&mut parser)?),
                Long("static-path") => options.static_path = value(&mut parser)?.into(),
                Long("template-path") => options.template_path = value(&mut parser)?.into(),
                Long("credentials") => options.set_credentials(&value(&mut parser)?)?,
                Long("store") => options.set_store(&value(&mut parser)?)?,
                Long("debug") => options.debug = true,
                other => {
                    return Err(format!("{}; try --help", other.unexpected()));
                }
            }
        }
        Ok(Command::Serve(Box::new(options)))
    }

    /// Sets the user name and the password. Neither may be empty.
    fn set_credentials(&mut self, value: &OsStr) -> Result<(), String> {
        let pair = value.to_str().and_then(|text| text.split_once(':'));
        // `get_body_argument` trims the name in the login form, too.
        let pair = pair.map(|(username, password)| (username.trim(), password));
        let Some((username, password)) =
            pair.filter(|pair| !pair.0.is_empty() && !pair.1.is_empty())
        else {
            return Err(String::from("--credentials takes a name, a colon and a password"));
        };
        (self.username, self.password) = (username.to_owned(), password.to_owned());
        Ok(())
    }

    /// Sets the store. The error messages do not repeat the value, because a URL of Redis can
    /// contain a password.
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
        for (is_requested, is_built_in, what, feature) in [
            (!urls.is_empty(), cfg!(feature = "redis"), "Redis", "redis"),
            (urls.iter().any(is_tls), cfg!(feature = "redis-tls"), "TLS", "redis-tls"),
        ] {
            if is_requested && !is_built_in {
                return Err(format!(
                    "this dustdevil was built without {what}; build it with --features {feature}"
                ));
            }
        }
        self.store = urls.into_iter().map(str::to_owned).collect();
        Ok(())
    }

    /// Returns the host names that requests may use. On a loopback address: its own names and
    /// those of `--allowed-host`. On other addresses: those of `--allowed-host`; empty allows
    /// any.
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

    /// Returns the user name for the start message, with the password if it is the default one.
    /// A configured password is a secret and is not printed.
    pub(crate) fn login_hint(&self) -> String {
        match self.password == Options::default().password {
            true => format!("{} with the password {}", self.username, self.password),
            false => self.username.clone(),
        }
    }
}

fn value(parser: &mut lexopt::Parser) -> Result<OsString, String> {
    parser.value().map_err(|error| error.to_string())
}

fn text(parser: &mut lexopt::Parser) -> Result<String, String> {
    Ok(value(parser)?.to_string_lossy().into_owned())
}

fn parse<T: FromStr>(value: &OsStr, message: &str) -> Result<T, String> {
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("{message}, not {}", value.to_string_lossy()))
}

/// Returns the directory of this name next to the source from which the demo was built, so that
/// the demo can be started in any directory. If the source has moved, the directory is relative
/// to the current one.
fn default_directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if directory.is_dir() { directory } else { PathBuf::from(name) }
}
