//! The scenarios of `redis`: the requests that all servers get, and how responses are checked.

use crate::Result;
use crate::client::Client;
use crate::fill::user;
use crate::redis_application::THEME;
use crate::scenario::cookie_of;
use crate::server::page;

/// Number of users that log in, in turn. In Dustdevil a user may have 100 sessions; with so
/// many users, none reaches that in a run.
const USERS: u32 = 1000;

pub(crate) struct Scenario {
    /// Name on the command line.
    pub(crate) name: &'static str,
    /// Title in the table and in the chart.
    pub(crate) title: &'static str,
    pub(crate) action: Action,
    /// Number of sessions, which the requests use in turn.
    pub(crate) sessions: u32,
}

/// The request of a scenario.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Action {
    /// GET a page that reads the user name.
    Read,
    /// POST, which sets a value.
    Write,
    /// POST a login, from a client that has no session.
    Login,
    /// POST, which adds 1 to a value.
    Count,
}

const fn scenario(
    name: &'static str,
    title: &'static str,
    action: Action,
    sessions: u32,
) -> Scenario {
    Scenario { name, title, action, sessions }
}

/// The scenarios, in the order of the table.
pub(crate) const SCENARIOS: [Scenario; 6] = [
    scenario("read", "logged-in page", Action::Read, 1),
    scenario("read-1000", "logged-in page, 1,000 sessions", Action::Read, 1000),
    scenario("write", "set a value, 1,000 sessions", Action::Write, 1000),
    scenario("login", "login", Action::Login, 0),
    // All connections count in one session at the same time (contention).
    scenario("counter", "count in one session", Action::Count, 1),
    scenario("counter-32", "count in 32 sessions", Action::Count, 32),
];

impl Scenario {
    /// Logs the users of the scenario in, and returns the cookies of their sessions.
    pub(crate) fn cookies(&self, client: &mut Client) -> Result<Vec<String>> {
        let log_in = |number| cookie_of(&client.send(login(number).as_bytes())?);
        (1..=self.sessions).map(log_in).collect()
    }

    /// Returns the requests that wrk sends in turn. All have the same length, as the Lua script
    /// requires: the cookies of actix differ in length, because some of their characters are
    /// escaped.
    pub(crate) fn requests(&self, cookies: &[String]) -> Vec<String> {
        let request = |cookie: &String| match self.action {
            Action::Read => get("/read", cookie),
            Action::Write => post("/write", cookie),
            Action::Count | Action::Login => post("/count", cookie),
        };
        let requests: Vec<String> = match self.action {
            Action::Login => (1..=USERS).map(login).collect(),
            _ => cookies.iter().map(request).collect(),
        };
        let longest = requests.iter().map(String::len).max().unwrap_or_default();
        let pad = |request: &String| {
            let fill = ".".repeat(longest - request.len());
            request.replace("User-Agent: wrk", &format!("User-Agent: wrk{fill}"))
        };
        requests.iter().map(pad).collect()
    }

    /// Sends the first request twice and checks the responses, and after that what is in the
    /// session. A server must not look fast because it sends an error page.
    pub(crate) fn check(
        &self,
        client: &mut Client,
        request: &str,
        cookies: &[String],
    ) -> Result {
        let (responses, values) = match self.action {
            Action::Read => ([page(&user(1)), page(&user(1))], " 0".to_owned()),
            Action::Write => (["saved", "saved"].map(str::to_owned), format!("{THEME} 0")),
            Action::Login => ([user(1), user(1)], " 0".to_owned()),
            Action::Count => (["1", "2"].map(str::to_owned), " 2".to_owned()),
        };
        for expected in responses {
            expect(client, request, &expected)?;
        }
        let cookie = match cookies {
            [first, ..] => first.clone(),
            [] => cookie_of(&client.send(request.as_bytes())?)?,
        };
        expect(client, &get("/read", &cookie), &page(&user(1)))?;
        expect(client, &get("/values", &cookie), &values)
    }
}

/// Returns the number of visits that the session with this cookie has counted.
pub(crate) fn visits(client: &mut Client, cookie: &str) -> Result<f64> {
    let values = text(client, &get("/values", cookie))?;
    Ok(values.rsplit(' ').next().unwrap_or_default().parse()?)
}

/// It is an error if the content of the response is another than `expected`.
fn expect(client: &mut Client, request: &str, expected: &str) -> Result {
    match text(client, request)? {
        content if content == expected => Ok(()),
        content => Err(format!("{content:?} instead of {expected:?}").into()),
    }
}

/// Sends a request and returns the content of the response.
fn text(client: &mut Client, request: &str) -> Result<String> {
    Ok(String::from_utf8(client.send(request.as_bytes())?.content)?)
}

/// Returns a GET request with the cookie of a session.
fn get(path: &str, cookie: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: wrk\r\nCookie: {cookie}\r\n\r\n"
    )
}

/// Returns a POST request with the cookie of a session, and without content.
fn post(path: &str, cookie: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: wrk\r\nCookie: {cookie}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Returns the login of the user with this number. All have the same length.
fn login(number: u32) -> String {
    format!(
        "POST /login?user={} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        user(number)
    )
}
