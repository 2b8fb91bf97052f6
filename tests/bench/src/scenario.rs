//! What is asked of all competitors, one thing after the other.

use crate::Result;
use crate::client::{Client, Response};
use crate::competitor::Competitor::{self, Actix, Axum, Baseline, Dustdevil, Hyper, Nginx};
use crate::directory::Directory;
use crate::process::Server;

/// A thing to ask.
pub(crate) struct Scenario {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// And in the table.
    pub(crate) title: &'static str,
    pub(crate) action: Action,
    /// So many requests arrive at once. 0: each has a connection of its own.
    pub(crate) depth: usize,
    pub(crate) max_ratios: &'static [MaxRatio],
}

/// What a visitor does.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// Asks for the smallest page there is.
    Hello,
    /// Asks for a page behind the login, with one of so many sessions.
    Page(u32),
    /// Asks for the demo's main page.
    Main,
    /// Asks for the login form once more.
    Form,
    /// Sends the login form.
    Login,
    /// Asks for a static file.
    File(&'static str),
}

/// How little Dustdevil is to take.
pub(crate) struct MaxRatio {
    pub(crate) figure: Figure,
    /// Compared to this one.
    pub(crate) to: Competitor,
    pub(crate) at_most: f64,
}

/// Of what.
#[derive(Clone, Copy)]
pub(crate) enum Figure {
    /// Of processor time.
    Processor,
    /// Of processor time in user mode.
    User,
}

const fn processor(to: Competitor, at_most: f64) -> MaxRatio {
    MaxRatio { figure: Figure::Processor, to, at_most }
}

const fn user(to: Competitor, at_most: f64) -> MaxRatio {
    MaxRatio { figure: Figure::User, to, at_most }
}

const fn scenario(
    name: &'static str,
    title: &'static str,
    action: Action,
    max_ratios: &'static [MaxRatio],
) -> Scenario {
    Scenario { name, title, action, depth: 1, max_ratios }
}

/// All of them.
pub(crate) const SCENARIOS: [Scenario; 11] = [
    scenario(
        "hello",
        "plain page",
        Action::Hello,
        &[processor(Baseline, 1.05), user(Hyper, 0.9)],
    ),
    scenario(
        "page",
        "logged-in page",
        Action::Page(1),
        &[processor(Baseline, 1.10), user(Hyper, 0.8)],
    ),
    scenario(
        "page-1000",
        "logged-in page, 1,000 sessions",
        Action::Page(1000),
        &[processor(Baseline, 1.12), user(Hyper, 0.8)],
    ),
    scenario("main", "main page, visits counted", Action::Main, &[]),
    scenario("form", "login form", Action::Form, &[processor(Hyper, 1.0)]),
    scenario("login", "login", Action::Login, &[processor(Baseline, 1.25)]),
    Scenario {
        depth: 16,
        ..scenario(
            "pipelined",
            "plain page, 16 at once",
            Action::Hello,
            &[processor(Baseline, 1.4)],
        )
    },
    Scenario {
        depth: 0,
        ..scenario(
            "close",
            "a connection a request",
            Action::Hello,
            &[processor(Baseline, 1.0)],
        )
    },
    scenario("1KiB", "file, 1 KiB", Action::File("1KiB.txt"), &[processor(Nginx, 0.75)]),
    scenario(
        "100KiB",
        "file, 100 KiB",
        Action::File("100KiB.txt"),
        &[processor(Nginx, 1.0)],
    ),
    scenario("10MiB", "file, 10 MiB", Action::File("10MiB.txt"), &[processor(Nginx, 1.2)]),
];

impl Scenario {
    /// Who is asked.
    pub(crate) fn competitors(&self) -> &'static [Competitor] {
        match self.action {
            Action::File(_) => &[Baseline, Dustdevil, Nginx],
            _ => &[Baseline, Dustdevil, Hyper, Axum, Actix],
        }
    }

    /// Starts one that needs not be told what to answer.
    pub(crate) fn start(
        &self,
        competitor: Competitor,
        directory: &Directory,
    ) -> Result<Server> {
        match self.action {
            Action::Page(sessions) => competitor.start_with_sessions(directory, sessions),
            _ => competitor.start(directory),
        }
    }

    /// The requests that a competitor is sent in turn, which are all of the same length.
    pub(crate) fn requests(
        &self,
        competitor: Competitor,
        server: &Server,
    ) -> Result<Vec<String>> {
        let close = if self.depth == 0 { "Connection: close\r\n" } else { "" };
        let request = match self.action {
            Action::Hello => get("/hello", close),
            Action::File(file) => get(&format!("/static/{file}"), close),
            Action::Page(sessions) => {
                let cookie = |number| session_cookie(competitor, number);
                return Ok((1..=sessions)
                    .map(|number| get("/page", &cookie(number)))
                    .collect());
            }
            Action::Form => {
                let (mark, _) = visit_form(server)?;
                get("/login", &format!("Cookie: {mark}\r\n"))
            }
            Action::Login => login(server)?,
            Action::Main => {
                let (mark, login) = (visit_form(server)?.0, login(server)?);
                let session =
                    cookie_of(&Client::new(server.address)?.send(login.as_bytes())?)?;
                get("/main", &format!("Cookie: {mark}; {session}\r\n"))
            }
        };
        Ok(vec![request.repeat(self.depth.max(1))])
    }

    /// What a server answers to one request, which must be the right thing.
    pub(crate) fn answer(&self, server: &Server, request: &str) -> Result<Response> {
        let mut client = Client::new(server.address)?;
        let answer = client.send(request.as_bytes())?;
        let content = String::from_utf8_lossy(&answer.content);
        let is_right = match self.action {
            Action::Hello => content == "Hello, world!",
            Action::File(_) => answer.status == 200,
            Action::Page(_) => content == crate::server::page(&crate::fill::user(1)),
            Action::Main => content.contains("Good day, <strong>admin</strong>"),
            Action::Form => {
                token(&content).is_some() && answer.header("Set-Cookie").is_none()
            }
            Action::Login => {
                answer.status == 302 && answer.header("Location") == Some("/main")
            }
        };
        if !is_right {
            return Err(format!("{}: the answer is {}", self.name, answer.status).into());
        }
        Ok(answer)
    }
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

/// A session's id is its number, as far as a competitor has such ids.
fn session_cookie(competitor: Competitor, number: u32) -> String {
    match competitor {
        Axum => {
            let id = tower_sessions::session::Id(number.into());
            format!("Cookie: session_id={id}\r\n")
        }
        _ => format!("Cookie: session_id={number:032x}\r\n"),
    }
}

/// Fetches the login form; gives the cookie that comes with it, and its token.
fn visit_form(server: &Server) -> Result<(String, String)> {
    let answer = Client::new(server.address)?.send(get("/login", "").as_bytes())?;
    let content = String::from_utf8_lossy(&answer.content);
    let token = token(&content).ok_or("the form has no token")?;
    Ok((cookie_of(&answer)?, token.to_owned()))
}

/// The form as a browser sends it.
fn login(server: &Server) -> Result<String> {
    let (mark, token) = visit_form(server)?;
    let content = format!("_xsrf={token}&next=&username=admin&password=123");
    Ok(format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\nCookie: {mark}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    ))
}

/// The cookie that an answer sets, as it is sent back.
fn cookie_of(answer: &Response) -> Result<String> {
    let cookie = answer.header("Set-Cookie").ok_or("the answer sets no cookie")?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

fn token(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("name=\"_xsrf\" value=\"")?;
    rest.split_once('"').map(|(token, _)| token)
}
