//! The scenarios of `requests`: the requests that all servers get, and the goals for Dustdevil.

use crate::Result;
use crate::client::{Client, Response};
use crate::competitor::Competitor::{self, Actix, Axum, Baseline, Dustdevil, Hyper, Nginx};
use crate::directory::Directory;
use crate::process::Server;

pub(crate) struct Scenario {
    /// Name on the command line.
    pub(crate) name: &'static str,
    /// Title in tables and charts.
    pub(crate) title: &'static str,
    pub(crate) action: Action,
    /// Number of pipelined requests: 1 is a request at a time, 0 one request per connection.
    pub(crate) depth: usize,
    pub(crate) max_ratios: &'static [MaxRatio],
}

/// The request of a scenario.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// GET the smallest page, 13 bytes.
    Hello,
    /// GET a page that requires a login, with each of this many sessions in order.
    Page(u32),
    /// GET the main page of the demo, which also writes to the session: it counts visits.
    Main,
    /// GET the login form with a valid XSRF cookie, so that no cookie is set.
    Form,
    /// POST the login form, which creates a session.
    Login,
    /// GET a static file.
    File(&'static str),
}

/// A goal: an upper bound for a figure of Dustdevil as a ratio to another server.
pub(crate) struct MaxRatio {
    pub(crate) figure: Figure,
    pub(crate) to: Competitor,
    pub(crate) at_most: f64,
}

#[derive(Clone, Copy)]
pub(crate) enum Figure {
    /// CPU time per request, user and system.
    Cpu,
    /// CPU time per request in user mode only, which leaves out the kernel's share: socket
    /// calls cost the same for all servers, and are most of the total.
    User,
}

const fn cpu(to: Competitor, at_most: f64) -> MaxRatio {
    MaxRatio { figure: Figure::Cpu, to, at_most }
}

const fn user(to: Competitor, at_most: f64) -> MaxRatio {
    MaxRatio { figure: Figure::User, to, at_most }
}

/// Returns a scenario with one request at a time.
const fn scenario(
    name: &'static str,
    title: &'static str,
    action: Action,
    max_ratios: &'static [MaxRatio],
) -> Scenario {
    Scenario { name, title, action, depth: 1, max_ratios }
}

/// The scenarios, in the order of the table.
pub(crate) const SCENARIOS: [Scenario; 11] = [
    scenario(
        "hello",
        "plain page",
        Action::Hello,
        &[cpu(Baseline, 1.05), user(Hyper, 0.9)],
    ),
    scenario(
        "page",
        "logged-in page",
        Action::Page(1),
        &[cpu(Baseline, 1.10), user(Hyper, 0.8)],
    ),
    // With one session, everything that a request reads stays in the processor's L1 cache. A
    // thousand sessions, requested in order, do not fit into it, as on a real server.
    scenario(
        "page-1000",
        "logged-in page, 1,000 sessions",
        Action::Page(1000),
        &[cpu(Baseline, 1.12), user(Hyper, 0.8)],
    ),
    scenario("main", "main page, visits counted", Action::Main, &[]),
    scenario("form", "login form", Action::Form, &[cpu(Hyper, 1.0)]),
    // All logins are of one user, which has the maximum number of sessions after 100 requests.
    // From then on each login also ends the user's oldest session.
    scenario("login", "login", Action::Login, &[cpu(Baseline, 1.25)]),
    // Pipelined requests share their system calls, so this shows the server's own code best.
    Scenario {
        depth: 16,
        ..scenario(
            "pipelined",
            "plain page, 16 pipelined",
            Action::Hello,
            &[cpu(Baseline, 1.4)],
        )
    },
    // Accepting, and closing with FIN: the server closes first, as `Connection: close` asks.
    Scenario {
        depth: 0,
        ..scenario(
            "close",
            "one request per connection",
            Action::Hello,
            &[cpu(Baseline, 1.0)],
        )
    },
    // nginx sends files with `sendfile(2)`, which copies nothing to user memory. The larger the
    // file, the more that is worth.
    scenario("1KiB", "file, 1 KiB", Action::File("1KiB.txt"), &[cpu(Nginx, 0.75)]),
    scenario("100KiB", "file, 100 KiB", Action::File("100KiB.txt"), &[cpu(Nginx, 1.0)]),
    scenario("10MiB", "file, 10 MiB", Action::File("10MiB.txt"), &[cpu(Nginx, 1.2)]),
];

impl Scenario {
    /// Returns the servers that take part. Files are compared to nginx, pages to the
    /// frameworks.
    pub(crate) fn competitors(&self) -> &'static [Competitor] {
        match self.action {
            Action::File(_) => &[Baseline, Dustdevil, Nginx],
            _ => &[Baseline, Dustdevil, Hyper, Axum, Actix],
        }
    }

    /// Starts a server for this scenario; not for the baseline, see
    /// [`start_baseline`](crate::competitor::start_baseline).
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

    /// Returns the requests that wrk sends in order, all of the same length. The server must
    /// run, because cookies and tokens are fetched from it.
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
                let (cookie, _) = fetch_form(server)?;
                get("/login", &format!("Cookie: {cookie}\r\n"))
            }
            Action::Login => login(server)?,
            Action::Main => {
                let (cookie, login) = (fetch_form(server)?.0, login(server)?);
                let session =
                    cookie_of(&Client::new(server.address)?.send(login.as_bytes())?)?;
                get("/main", &format!("Cookie: {cookie}; {session}\r\n"))
            }
        };
        Ok(vec![request.repeat(self.depth.max(1))])
    }

    /// Sends one request and returns the response, after checking that it is the expected one.
    /// A server must not look fast because it sends an error page.
    pub(crate) fn response(&self, server: &Server, request: &str) -> Result<Response> {
        let mut client = Client::new(server.address)?;
        let response = client.send(request.as_bytes())?;
        let content = String::from_utf8_lossy(&response.content);
        let is_expected = match self.action {
            Action::Hello => content == "Hello, world!",
            Action::File(_) => response.status == 200,
            Action::Page(_) => content == crate::server::page(&crate::fill::user(1)),
            Action::Main => content.contains("Good day, <strong>admin</strong>"),
            Action::Form => {
                token(&content).is_some() && response.header("Set-Cookie").is_none()
            }
            Action::Login => {
                response.status == 302 && response.header("Location") == Some("/main")
            }
        };
        if !is_expected {
            return Err(
                format!("{}: unexpected status {}", self.name, response.status).into()
            );
        }
        Ok(response)
    }
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

/// Returns the cookie of the session with this number. tower-sessions encodes ids in Base64.
fn session_cookie(competitor: Competitor, number: u32) -> String {
    match competitor {
        Axum => {
            let id = tower_sessions::session::Id(number.into());
            format!("Cookie: session_id={id}\r\n")
        }
        _ => format!("Cookie: session_id={number:032x}\r\n"),
    }
}

/// Fetches the login form. Returns its XSRF cookie and the token in the form.
fn fetch_form(server: &Server) -> Result<(String, String)> {
    let response = Client::new(server.address)?.send(get("/login", "").as_bytes())?;
    let content = String::from_utf8_lossy(&response.content);
    let token = token(&content).ok_or("the form has no token")?;
    Ok((cookie_of(&response)?, token.to_owned()))
}

/// Returns the request by which a browser submits the login form.
fn login(server: &Server) -> Result<String> {
    let (cookie, token) = fetch_form(server)?;
    let content = format!("_xsrf={token}&next=&username=admin&password=123");
    Ok(format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    ))
}

/// Returns the cookie that a response sets, in the form in which a client sends it back.
pub(crate) fn cookie_of(response: &Response) -> Result<String> {
    let cookie = response.header("Set-Cookie").ok_or("the response sets no cookie")?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

/// Returns the XSRF token in a form.
fn token(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("name=\"_xsrf\" value=\"")?;
    rest.split_once('"').map(|(token, _)| token)
}
