//! A `WebDriver` client for a real browser. [WebDriver](https://www.w3.org/TR/webdriver2/) is
//! JSON over HTTP, and chromedriver implements it; this file has as much of it as the tests
//! need. The calls block, so the server must run on other threads: `#[tokio::test(flavor =
//! "multi_thread")]`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde_json::{Value, json};

/// Time after which something counts as not happening. The waits poll, so no passing test waits
/// for it, and a slow machine is only slow.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// A headless Chromium with an empty profile. Dropping it closes the browser.
pub struct Browser {
    home: SocketAddr,
    driver: Child,
    port: u16,
    profile: PathBuf,
    /// `/session/` and an id; empty until the session exists.
    session: String,
}

impl Browser {
    /// Opens a browser for the site at this address. `None` if Chromium is not installed and
    /// the environment allows that.
    pub fn open(home: SocketAddr) -> Option<Browser> {
        Browser::open_with_preferences(home, &json!({}))
    }

    /// Opens a browser with JavaScript disabled for pages. `execute` works all the same.
    pub fn open_without_scripts(home: SocketAddr) -> Option<Browser> {
        let block = 2;
        let javascript = "profile.managed_default_content_settings.javascript";
        Browser::open_with_preferences(home, &json!({ javascript: block }))
    }

    fn open_with_preferences(home: SocketAddr, preferences: &Value) -> Option<Browser> {
        let chromium = find_program("chromium", "chromium", "BROWSER")?;
        let chromedriver = find_program("chromedriver", "chromium-driver", "BROWSER")?;
        let (driver, port) = start(&chromedriver);
        let profile = format!("dustdevil-browser-{}-{port}", driver.id());
        let profile = env::temp_dir().join(profile);
        let mut browser = Browser { home, driver, port, profile, session: String::new() };
        let capabilities = capabilities(&chromium, &browser.profile, preferences);
        let session = browser.post("/session", &capabilities);
        let id = session["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("/session/{id}");
        Some(browser)
    }

    /// Navigates to a path of the site.
    pub fn visit(&self, path: &str) {
        self.go(&format!("http://{}{path}", self.home));
    }

    /// Navigates to any URL.
    pub fn go(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    pub fn reload(&self) {
        self.post("/refresh", &json!({}));
    }

    /// Goes back in the history, and waits for the page.
    pub fn go_back(&self) {
        self.leave_page(|| {
            self.execute("history.back()");
        });
    }

    /// Clicks an element that leads to another page, and waits for the page.
    pub fn press(&self, selector: &str) {
        self.leave_page(|| self.click(selector));
    }

    /// Clicks an element.
    pub fn click(&self, selector: &str) {
        self.post(&format!("{}/click", self.element(selector)), &json!({}));
    }

    /// Types into a field.
    pub fn enter(&self, selector: &str, text: &str) {
        self.post(&format!("{}/value", self.element(selector)), &json!({ "text": text }));
    }

    /// Returns the visible text of an element.
    pub fn text(&self, selector: &str) -> String {
        text(&self.get(&format!("{}/text", self.element(selector))))
    }

    /// Returns a DOM property of an element, such as the `naturalWidth` of an image.
    pub fn property(&self, selector: &str, name: &str) -> Value {
        self.get(&format!("{}/property/{name}", self.element(selector)))
    }

    /// Returns the path and query of the current page.
    pub fn path(&self) -> String {
        text(&self.execute("return location.pathname + location.search"))
    }

    /// Runs a script and returns its result.
    pub fn execute(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Returns a cookie as the browser stores it.
    pub fn cookie(&self, name: &str) -> Value {
        self.get(&format!("/cookie/{name}"))
    }

    /// Returns the console messages since the last call.
    pub fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list of entries");
        entries.iter().map(|entry| text(&entry["message"])).collect()
    }

    /// Waits for the first element that matches a CSS selector.
    fn element(&self, selector: &str) -> String {
        let search = json!({ "using": "css selector", "value": selector });
        let found = self.post("/element", &search);
        let mut values = found.as_object().expect("an element").values();
        format!("/element/{}", text(values.next().expect("an element has an id")))
    }

    /// Performs an action that leads to another page, and waits until that page is complete.
    fn leave_page(&self, act: impl FnOnce()) {
        let before = self.beginning();
        act();
        let arrived = wait_until(|| {
            let now = self.beginning();
            now.is_some() && now != before
        });
        assert!(arrived, "no other page came after {}", self.path());
    }

    /// The time at which the page was loaded, which differs from page to page. `None` until the
    /// page is complete.
    fn beginning(&self) -> Option<Value> {
        let script = "return document.readyState == 'complete' && performance.timeOrigin";
        let script = json!({ "script": script, "args": [] }).to_string();
        self.ask("POST", "/execute/sync", &script).ok().filter(Value::is_number)
    }

    fn get(&self, path: &str) -> Value {
        let reply = self.ask("GET", path, "");
        reply.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    fn post(&self, path: &str, content: &Value) -> Value {
        let content = content.to_string();
        let reply = self.ask("POST", path, &content);
        reply.unwrap_or_else(|error| panic!("POST {path} {content}: {error}"))
    }

    /// Sends a command. The error is chromedriver's message.
    fn ask(&self, method: &str, path: &str, content: &str) -> Result<Value, String> {
        let path = format!("{}{path}", self.session);
        let reply = converse(self.port, method, &path, content);
        let mut reply = reply.map_err(|error| format!("no reply: {error}"))?;
        match reply["value"]["message"].as_str() {
            Some(message) if reply["value"]["error"].is_string() => Err(message.to_owned()),
            _ => Ok(reply["value"].take()),
        }
    }

    /// Saves a screenshot and prints its path.
    fn save_screenshot(&self) -> io::Result<()> {
        let screenshot = self.ask("GET", "/screenshot", "");
        let screenshot = screenshot.map_err(io::Error::other)?;
        let test = thread::current().name().unwrap_or("browser").replace("::", "-");
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.png"));
        fs::write(&file, decode_base64(screenshot.as_str().unwrap_or_default()))?;
        eprintln!("what the browser showed last: {}", file.display());
        Ok(())
    }
}

impl Drop for Browser {
    /// Each step is tried, even if the one before it failed.
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.save_screenshot();
        }
        let _ = self.ask("DELETE", "", "");
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        wait_until(|| !self.profile.exists() || fs::remove_dir_all(&self.profile).is_ok());
    }
}

/// Starts chromedriver, which chooses a free port and prints it.
fn start(chromedriver: &Path) -> (Child, u16) {
    let mut command = Command::new(chromedriver);
    command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = command.spawn().expect("chromedriver starts");
    let output = driver.stdout.as_mut().expect("its output is piped");
    let port = BufReader::new(output).lines().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    (driver, port.expect("chromedriver prints its port"))
}

/// Sends a request to chromedriver on a new connection. The end of the response is found by its
/// length, because chromedriver does not close the connection.
fn converse(port: u16, method: &str, path: &str, content: &str) -> io::Result<Value> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(WAIT_TIMEOUT * 2))?;
    let length = content.len();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n{content}"
    )?;
    let mut reply = BufReader::new(socket);
    let lines = reply.by_ref().lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let length = head.iter().find_map(|line| line.strip_prefix("Content-Length:"));
    let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    Ok(serde_json::from_reader(reply.take(length))?)
}

/// The capabilities that a new session requests.
fn capabilities(chromium: &Path, profile: &Path, preferences: &Value) -> Value {
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // With a pipe, the browser ends with chromedriver even if that is killed.
        "--remote-debugging-pipe",
        &format!("--user-data-dir={}", profile.display()),
    ];
    let timeout = WAIT_TIMEOUT.as_secs() * 1000;
    json!({ "capabilities": { "alwaysMatch": {
        "timeouts": { "implicit": timeout, "pageLoad": timeout, "script": timeout },
        "goog:loggingPrefs": { "browser": "ALL" },
        "goog:chromeOptions": {
            "binary": chromium,
            "args": arguments,
            "prefs": preferences,
        },
    } } })
}

/// Returns the path of an installed program. If it is missing, the test fails, unless the
/// environment variable `DUSTDEVIL_WITHOUT_` plus `what` is set: then prints a line and returns
/// `None`.
pub fn find_program(program: &str, package: &str, what: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(program));
    if let Some(found) = found.into_iter().find(|file| file.is_file()) {
        return Some(found);
    }
    let without = format!("DUSTDEVIL_WITHOUT_{what}");
    let message = format!("{program} is missing: install the Debian package {package}");
    let may_be_missing = env::var_os(&without).is_some();
    assert!(may_be_missing, "{message}, or set {without} to do without");
    tell(&format!("a test is left out, for {message}"));
    None
}

/// Prints a line even if the test passes, when the test harness captures `println`.
pub fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Polls a condition until it holds. Returns `false` if it does not hold in time.
pub fn wait_until(mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < WAIT_TIMEOUT {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// RFC 4648 section 4: four characters of six bits each are three bytes; a shorter group at the
/// end has one byte fewer than characters.
fn decode_base64(text: &str) -> Vec<u8> {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |letter| u32::try_from(alphabet.find(letter)?).ok();
    let digits: Vec<u32> = text.chars().filter_map(digit).collect();
    let mut bytes = Vec::new();
    for digits in digits.chunks(4) {
        let bits = digits.iter().fold(0, |bits, digit| bits << 6 | digit);
        let bits = bits << (6 * (4 - digits.len()));
        bytes.extend(&bits.to_be_bytes()[1..digits.len()]);
    }
    bytes
}
