//! The pages that show films. They are an application of the library, which is not observed.

use std::net::SocketAddr;
use std::sync::Arc;

use dustdevil::{Film, Films, Recorder};
use real::{
    Application, Error, Exchange, RequestHandler, Result, Settings, Status, methods,
};

use crate::{guide, html, play, race, text};

/// The Content-Security-Policy of the demo.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                          form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The address of the server that the player talks to.
pub struct PlayerAddress(pub SocketAddr);

/// Builds the application of the pages.
pub fn application(recorder: &Recorder, player: SocketAddr) -> Result<Application, String> {
    let hosts = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
    let settings = Settings {
        allowed_hosts: hosts,
        content_security_policy: POLICY,
        ..Settings::default()
    };
    let application = Application::new(
        [
            ("/xray/", real::handler::<ListHandler>),
            ("/xray/style.css", real::handler::<StyleHandler>),
            ("/xray/icon.svg", real::handler::<IconHandler>),
            ("/xray/guide/{path}", real::handler::<GuideHandler>),
            ("/xray/{films}", real::handler::<FilmHandler>),
            ("/play", real::handler::<play::PlayHandler>),
        ],
        settings,
    );
    let application = application.map_err(|error| error.to_string())?;
    Ok(application.state(Arc::clone(recorder.films())).state(PlayerAddress(player)))
}

/// Returns the films that the recorder keeps.
pub fn films(exchange: &Exchange) -> Result<Arc<Films>> {
    Ok(Arc::clone(&*exchange.state::<Arc<Films>>()?))
}

/// Writes a page for browsers, and text for other clients.
fn write(exchange: &mut Exchange, title: &str, page: &str, text: &str) -> Result {
    let accepts = exchange.request().field("Accept").unwrap_or_default();
    let is_browser = accepts.contains("text/html");
    exchange.set_header("Vary", "Accept")?;
    exchange.set_header("Cache-Control", "no-store")?;
    match is_browser {
        true => exchange.write(html::page(title, page)),
        false => {
            exchange.set_header("Content-Type", "text/plain; charset=UTF-8")?;
            exchange.write(text)
        }
    }
}

/// Lists the last films.
struct ListHandler;

impl RequestHandler for ListHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let films = films(exchange)?.all();
        let lines = films
            .iter()
            .map(|film| format!("/xray/{}  {}  {}\n", film.id, film.title, film.status));
        let lines: String = lines.collect();
        write(exchange, "Films", &html::list(&films), &lines)
    }
}

/// Shows a film, `/xray/17`, or two that raced, `/xray/17+18`.
struct FilmHandler;

impl RequestHandler for FilmHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let wanted = exchange.path_argument("films")?.to_owned();
        let films = films(exchange)?;
        let mut found: Vec<Arc<Film>> = Vec::new();
        for id in wanted.split('+') {
            let missing = || Error::http(Status::NOT_FOUND, "There is no such film.");
            let id = id.parse().map_err(|_| missing())?;
            found.push(films.find(id).await.ok_or_else(missing)?);
        }
        match &found[..] {
            [film] => {
                let title = format!("{} {}", film.id, film.title);
                write(exchange, &title, &html::film(film, ""), &text::whole(film))
            }
            [left, right] => {
                let page = race::page(left, right);
                write(exchange, "Two at once", &page, &race::text(left, right))
            }
            _ => {
                Err(Error::http(Status::NOT_FOUND, "At most two films are shown at once."))
            }
        }
    }
}

/// The style sheet.
struct StyleHandler;

impl RequestHandler for StyleHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.set_header("Content-Type", "text/css; charset=UTF-8")?;
        exchange.write(include_str!("../style.css"))
    }
}

/// The icon: a dot that goes through the layers.
struct IconHandler;

impl RequestHandler for IconHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.set_header("Content-Type", "image/svg+xml")?;
        exchange.write(ICON)
    }
}

const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">\
                    <path d=\"M1 14 6 3l4 7 5-8\" fill=\"none\" stroke=\"#8a5522\" \
                    stroke-width=\"2\"/></svg>";

/// Shows a reading path of the guide, with an anchor for each of its numbers.
struct GuideHandler;

impl RequestHandler for GuideHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let path = exchange.path_argument("path")?.to_owned();
        if !guide::PATHS.contains(&&*path) {
            return Err(Error::http(Status::NOT_FOUND, "There is no such path."));
        }
        write(exchange, &path, &guide::html(&path), &guide::text(&path))
    }
}
