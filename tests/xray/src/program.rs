//! The program: the demo under observation, the player, the race.

use std::env;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use dustdevil::{MemoryLimits, MemoryStore, Recorder, store};
use log::LevelFilter;

use crate::demo::options::{Command, Options};
use crate::serve::{Server, Site};
use crate::{demo, pages, play, race, resources, text, transcripts};

/// Runs the program with the arguments of the process.
pub async fn run() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let run = match arguments.next().as_ref().and_then(|argument| argument.to_str()) {
        Some("play") => play::main(arguments.next()).await,
        Some("race") => race::main().await,
        _ => observe_demo().await,
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "dustdevil-xray: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a paragraph, and ignores errors: a closed pipe is no reason not to serve.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Serves the demo, and prints each film when it is complete.
async fn observe_demo() -> Result<(), String> {
    let options = match Options::from_arguments(env::args_os())? {
        Command::Serve(options) => *options,
        Command::Help => {
            print(demo::options::HELP);
            return Ok(());
        }
    };
    if !options.address.is_loopback() {
        return Err(format!(
            "films may be seen on loopback only, not on {}",
            options.address
        ));
    }
    if !options.store.is_empty() {
        return Err(String::from("only the memory store is observed"));
    }
    let environment = env_logger::Env::default().default_filter_or("info");
    let logger = env_logger::Builder::from_env(environment).build();
    let max = logger.filter();
    dustdevil::logger::install(Box::new(logger), max).map_err(|error| error.to_string())?;
    let address = SocketAddr::from((options.address, options.port));
    let demo = observed_demo(options)?;
    let recorder = Recorder::new(|film| {
        print(&text::summary(film));
    });
    let player = Server::listen(loopback(), transcripts_site("player"), &recorder).await?;
    let site = demo.with_pages(pages::application(&recorder, player.address)?);
    let server = Server::listen(address, site, &recorder).await?;
    let url = format!("http://{}", server.address);
    print(&format!(
        "dustdevil under X-ray on {url}\n\
         \x20 Each response names its film:  curl -i {url}/hello\n\
         \x20 A film as text:                curl {url}/xray/1\n\
         \x20 In a browser:                  {url}/xray/ and {url}/play\n\
         \x20 Ctrl-C stops the server."
    ));
    tokio::select! {
        () = server.run() => {}
        () = player.run() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

/// The demo with its default options, observed.
pub fn demo_site() -> Result<Site, String> {
    observed_demo(Options::default())
}

fn observed_demo(mut options: Options) -> Result<Site, String> {
    // The demo looks for its directories next to the manifest, which is not its own here.
    for (path, name) in
        [(&mut options.static_path, "static"), (&mut options.template_path, "views")]
    {
        if !path.is_dir() {
            *path = dustdevil::root().join(name);
        }
    }
    let memory = Arc::new(MemoryStore::new(MemoryLimits::default()));
    options.session_store = Some(Arc::new(store::Observed::new(memory)));
    demo::make_app(options).map(Site::new).map_err(|error| error.to_string())
}

/// The application of the transcripts, observed. Its files are in a directory of this name.
pub fn transcripts_site(name: &str) -> Site {
    Site::new(transcripts::application(resources::settings_with_files(name)))
}

/// A free port on loopback.
pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Installs the recorder of steps without any other log.
pub fn install_quiet_logger() -> Result<(), String> {
    let nothing = env_logger::Builder::new().filter_level(LevelFilter::Off).build();
    dustdevil::logger::install(Box::new(nothing), LevelFilter::Off)
        .map_err(|error| error.to_string())
}
