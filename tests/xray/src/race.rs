//! Two requests at once on one session, side by side: once with Dustdevil's session, and once with
//! a snapshot session, as many libraries have it (load all, change, save all).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use dustdevil::escape::html as escaped;
use dustdevil::{
    Application, Exchange, Film, Layer, Recorder, RequestHandler, Result, SessionHandler,
    Step, handler, methods, note,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use crate::program::{install_quiet_logger, loopback, print};
use crate::serve::{Server, Site};
use crate::support::settings;
use crate::text::{milliseconds, place};

/// The values of a session.
type Values = BTreeMap<String, String>;

/// A snapshot session: a request loads all values, changes its copy, and saves all of it. The copy
/// of another request that was loaded before the save is out of date, and its save undoes this
/// one (a lost update).
#[derive(Default)]
struct Snapshots {
    saved: Mutex<Values>,
}

impl Snapshots {
    /// Returns a copy of all values.
    fn load(&self) -> Values {
        let values = self.saved.lock().unwrap_or_else(PoisonError::into_inner).clone();
        note(Layer::Store, "snapshot load", &format!("{values:?}"));
        values
    }

    /// Replaces all values.
    fn save(&self, values: Values) {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        note(Layer::Store, "snapshot save", &format!("{saved:?} -> {values:?}"));
        *saved = values;
    }
}

/// `/saved`: the names that have a value in the snapshot session.
struct SavedHandler;

impl RequestHandler for SavedHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let values = exchange.state::<Snapshots>()?.load();
        exchange.write(values.into_keys().collect::<Vec<_>>().join(", "))
    }
}

/// Where both requests wait for each other, after they have read and before they write.
struct BothHaveRead(Barrier);

/// `/snapshot?name=a`: sets one value in a snapshot session.
struct SnapshotHandler;

impl RequestHandler for SnapshotHandler {
    methods!(Post);

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let name = exchange.get_argument("name")?;
        let snapshots = exchange.state::<Snapshots>()?;
        let mut values = snapshots.load();
        exchange.state::<BothHaveRead>()?.0.wait().await;
        values.insert(name, String::from("1"));
        snapshots.save(values);
        exchange.write("saved\n")
    }
}

/// `/live?name=a`: sets one value in the session of the library.
struct LiveHandler {
    base: SessionHandler,
}

impl RequestHandler for LiveHandler {
    methods!(Post; base: SessionHandler);

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let name = exchange.get_argument("name")?;
        self.base.session.get(&name).await?;
        exchange.state::<BothHaveRead>()?.0.wait().await;
        self.base.session.set(&name, "1").await?;
        exchange.write("saved\n")
    }
}

/// `/start`: creates the session.
struct StartHandler {
    base: SessionHandler,
}

impl RequestHandler for StartHandler {
    methods!(Post; base: SessionHandler);

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.base.session.set("started", "1").await?;
        exchange.write("started\n")
    }
}

/// `/values`: the names that have a value in the live session.
struct ValuesHandler {
    base: SessionHandler,
}

impl RequestHandler for ValuesHandler {
    methods!(Get; base: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let mut names = self.base.session.keys().await?;
        names.sort();
        exchange.write(names.join(", "))
    }
}

fn application() -> Result<Application> {
    let routes = [
        ("/start", handler::<StartHandler> as dustdevil::Handler),
        ("/live", handler::<LiveHandler>),
        ("/snapshot", handler::<SnapshotHandler>),
        ("/values", handler::<ValuesHandler>),
        ("/saved", handler::<SavedHandler>),
    ];
    let application = Application::new(routes, settings())?;
    Ok(application.state(Snapshots::default()).state(BothHaveRead(Barrier::new(2))))
}

/// `make race`: runs both races, and prints the films of each side by side.
pub async fn main() -> Result<(), String> {
    install_quiet_logger()?;
    let recorder = Recorder::new(|_| {});
    let site = Site::new(application().map_err(|error| error.to_string())?);
    let server = Server::listen(loopback(), site, &recorder).await?;
    let address = server.address;
    tokio::spawn(server.run());
    let failed = |error: std::io::Error| error.to_string();
    let started = send(address, "POST /start", "").await.map_err(failed)?;
    let cookie =
        started.split("session_id=").nth(1).and_then(|rest| rest.split(';').next());
    let cookie = format!("Cookie: session_id={}\r\n", cookie.unwrap_or_default());
    let races = [
        ("/snapshot", "/saved", "A snapshot session: load all, change, save all."),
        ("/live", "/values", "The session of Dustdevil: each operation changes one value."),
    ];
    for (path, outcome, what) in races {
        let (left, right) = (format!("POST {path}?name=a"), format!("POST {path}?name=b"));
        let (left, right) =
            tokio::join!(send(address, &left, &cookie), send(address, &right, &cookie));
        let left = film(&recorder, &left.map_err(failed)?).await?;
        let right = film(&recorder, &right.map_err(failed)?).await?;
        let outcome =
            send(address, &format!("GET {outcome}"), &cookie).await.map_err(failed)?;
        let names = outcome.rsplit("\r\n").next().unwrap_or_default();
        print(&format!("{what}\n\n{}\nLeft in it: {names}\n", text(&left, &right)));
    }
    Ok(())
}

/// Returns the film that a response names.
async fn film(recorder: &Recorder, response: &str) -> Result<Arc<Film>, String> {
    let id = response.split("/xray/").nth(1).and_then(|rest| rest.lines().next());
    let id = id.and_then(|id| id.trim().parse().ok()).ok_or("a response names no film")?;
    recorder.films().find(id).await.ok_or_else(|| format!("there is no film {id}"))
}

/// Sends a request on a connection of its own, and returns the response.
async fn send(address: SocketAddr, line: &str, cookie: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let head =
        format!("{line} HTTP/1.1\r\nHost: localhost\r\n{cookie}Connection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).await?;
    let mut response = String::new();
    socket.read_to_string(&mut response).await?;
    Ok(response)
}

/// Returns the steps of both films in the order in which they happened, each with its column.
fn rows<'f>(left: &'f Film, right: &'f Film) -> Vec<(bool, &'f Step)> {
    let mut rows: Vec<(bool, &Step)> =
        left.steps.iter().map(|step| (false, step)).collect();
    rows.extend(right.steps.iter().map(|step| (true, step)));
    rows.sort_by_key(|(_, step)| step.sequence);
    rows
}

/// Returns two films as two columns of text.
pub fn text(left: &Film, right: &Film) -> String {
    const COLUMN: usize = 64;
    let mut text = format!("{:<COLUMN$}{}\n", left.title, right.title);
    for (is_right, step) in rows(left, right) {
        let indent = if is_right { COLUMN } else { 0 };
        let pad = " ".repeat(indent);
        let _ = writeln!(text, "{pad}{:<20} {}", step.name, step.detail);
        if step.layer == Layer::Store
            && let Some(frame) = step.frames.last()
        {
            let _ = writeln!(text, "{pad}{:<20} {} {}", "", frame.function, place(frame));
        }
    }
    text
}

/// Returns the heading of a film's column.
fn heading(film: &Film) -> String {
    let (id, title) = (film.id, escaped(&film.title));
    format!("<th scope=\"col\"><a href=\"/xray/{id}\">film {id}: {title}</a></th>")
}

/// Returns two films as a page with two columns.
pub fn page(left: &Film, right: &Film) -> String {
    let mut html = format!(
        "<h1>Two at once</h1>\n<p class=\"quiet\">The rows are in the order in which the steps \
         happened.</p>\n<table class=\"race\">\n<thead><tr>\
         {}{}</tr></thead>\n<tbody>\n",
        heading(left),
        heading(right)
    );
    for (is_right, step) in rows(left, right) {
        let place = step.frames.last().map(|frame| {
            format!(
                "<br><small><code>{}</code> {}</small>",
                escaped(&frame.function),
                escaped(&place(frame))
            )
        });
        let cell = format!(
            "<td class=\"{}\"><small>{} ms</small> <strong>{}</strong> {}{}</td>",
            step.layer.name(),
            milliseconds(step.at),
            escaped(&step.name),
            escaped(&step.detail),
            place.unwrap_or_default()
        );
        let row =
            if is_right { format!("<td></td>{cell}") } else { format!("{cell}<td></td>") };
        let _ = writeln!(html, "<tr>{row}</tr>");
    }
    html.push_str("</tbody>\n</table>\n");
    html
}
