//! The application of `tests/it/session_app.rs` as a separate process, for tests that need
//! several processes, and that kill them.
//!
//! ```sh
//! cargo run --example session_app --features redis -- --store redis://127.0.0.1/
//! ```

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use dustdevil::{Lifetime, MemoryLimits, MemoryStore, Settings, Store};

#[path = "../it/session_app.rs"]
#[allow(unreachable_pub)]
mod session_app;

/// The command-line options.
struct Options {
    /// `--store`: `memory`, or the URL of a Redis.
    store: String,
    /// `--port`; 0 chooses a free port.
    port: u16,
    /// `--absolute`: absolute timeout of a session, in milliseconds.
    absolute: Option<u64>,
    /// `--max-sessions-per-user`: maximum number of concurrent sessions of a user.
    max_sessions_per_user: Option<usize>,
}

impl Options {
    fn from_arguments() -> Result<Options, Box<dyn Error>> {
        let mut options = Options {
            store: String::from("memory"),
            port: 0,
            absolute: None,
            max_sessions_per_user: None,
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let value = arguments.next().ok_or("an option without its value")?;
            match argument.as_str() {
                "--store" => options.store = value,
                "--port" => options.port = value.parse()?,
                "--absolute" => options.absolute = Some(value.parse()?),
                "--max-sessions-per-user" => {
                    options.max_sessions_per_user = Some(value.parse()?);
                }
                _ => return Err(format!("{argument} is not known").into()),
            }
        }
        Ok(options)
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        if let Some(absolute) = self.absolute {
            settings.session_lifetime = Lifetime {
                absolute: Duration::from_millis(absolute),
                ..Lifetime::default()
            };
        }
        if let Some(most) = self.max_sessions_per_user {
            settings.max_sessions_per_user = most;
        }
        settings
    }
}

fn open(store: &str) -> Result<Arc<dyn Store>, Box<dyn Error>> {
    if store == "memory" {
        return Ok(Arc::new(MemoryStore::new(MemoryLimits::default())));
    }
    #[cfg(feature = "redis")]
    {
        // A long timeout, so that a slow machine does not look like a Redis that is down.
        let settings = dustdevil::RedisSettings {
            urls: vec![store.to_owned()],
            timeout: Duration::from_secs(30),
            ..dustdevil::RedisSettings::default()
        };
        Ok(Arc::new(dustdevil::RedisStore::new(settings)?))
    }
    #[cfg(not(feature = "redis"))]
    Err(format!("{store} takes the feature redis").into())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_arguments()?;
    let application = session_app::application(open(&options.store)?, options.settings());
    let server = application.listen(("127.0.0.1", options.port)).await?;
    let url = format!("http://{}", server.local_addr()?);
    let running = server.run();
    println!("dustdevil listens on {url}");
    Ok(running.await?)
}
