//! A real nginx for one test, with its own ports, certificate and directory, without root. It
//! runs the configuration of `src/guide/deploy.md`.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::project;
use crate::webdriver::{find_program, wait_until};

/// The address from which the requests come. Another one than that of nginx, which is trusted.
pub const CLIENT: &str = "127.0.0.2";

/// An `nginx` process, and the client `curl`. Dropping it ends the process and removes the
/// directory.
pub struct Nginx {
    child: Child,
    directory: PathBuf,
    https: u16,
    http: u16,
}

/// Returns the blocks of a language in the guide page `deploy`.
pub fn blocks(language: &str) -> Vec<String> {
    let page = fs::read_to_string(project("src/guide/deploy.md")).unwrap();
    let blocks = page.split("```").skip(1).step_by(2);
    let blocks =
        blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    blocks.map(str::to_owned).collect()
}

impl Nginx {
    /// Starts nginx with the complete configuration of the page.
    pub fn start(application: SocketAddr) -> Option<Nginx> {
        Nginx::start_with(&blocks("nginx")[0], application)
    }

    /// Starts nginx with the bare `proxy_pass` of the page, for http and https.
    pub fn start_bare(application: SocketAddr) -> Option<Nginx> {
        let tls = "listen 80;\n    listen 443 ssl;\n    \
                   ssl_certificate /etc/ssl/example.com.pem;\n    \
                   ssl_certificate_key /etc/ssl/example.com.key;";
        let bare = replaced(&blocks("nginx")[1], "listen 80;", tls);
        Nginx::start_with(&bare, application)
    }

    /// Starts nginx in front of an application. Of the configuration, only addresses and files
    /// are replaced. Returns `None` if nginx is not installed.
    pub fn start_with(configuration: &str, application: SocketAddr) -> Option<Nginx> {
        find_program("nginx", "nginx", "NGINX")?;
        let directory = directory();
        make_certificate(&directory);
        let (https, http) = (free_port(), free_port());
        let mut servers = configuration.to_owned();
        for (text, other) in [
            ("127.0.0.1:8888", application.to_string()),
            ("listen 443 ssl", format!("listen 127.0.0.1:{https} ssl")),
            ("listen 80", format!("listen 127.0.0.1:{http}")),
            ("/etc/ssl/example.com.pem", String::from("certificate.pem")),
            ("/etc/ssl/example.com.key", String::from("key.pem")),
        ] {
            servers = replaced(&servers, text, &other);
        }
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary =
            temporary.map(|name| format!("{name}_temp_path {name};\n")).concat();
        let main = format!(
            "daemon off;\nmaster_process off;\npid pid;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{servers}}}\n"
        );
        fs::write(directory.join("nginx.conf"), main).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&directory).args(["-c", "nginx.conf", "-e", "log"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("nginx starts");
        let mut nginx = Nginx { child, directory, https, http };
        nginx.wait_until_ready();
        Some(nginx)
    }

    fn wait_until_ready(&mut self) {
        let is_up = wait_until(|| {
            let ended = self.child.try_wait().expect("a status");
            assert!(ended.is_none(), "nginx has ended: {}", self.log());
            [self.https, self.http]
                .iter()
                .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        assert!(is_up, "nginx does not listen: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Returns a path in the directory of this nginx.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A curl that sends requests for `https://example.com/` and `http://example.com/` to this
    /// nginx, and keeps cookies.
    pub fn curl(&self, arguments: &[&str]) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--interface", CLIENT]);
        curl.args(["--connect-to", &format!("example.com:443:127.0.0.1:{}", self.https)]);
        curl.args(["--connect-to", &format!("example.com:80:127.0.0.1:{}", self.http)]);
        curl.args([
            "--cacert",
            "certificate.pem",
            "--cookie",
            "jar",
            "--cookie-jar",
            "jar",
        ]);
        curl.args(arguments).current_dir(&self.directory);
        curl
    }

    /// Runs curl, and returns what it printed. The call blocks: the server must run on another
    /// thread.
    pub fn ask(&self, arguments: &[&str]) -> String {
        let output = self.curl(arguments).output().expect("curl starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Replaces a text that must occur, so that the page and this file do not drift apart.
fn replaced(configuration: &str, text: &str, other: &str) -> String {
    assert!(configuration.contains(text), "no {text:?} in\n{configuration}");
    configuration.replace(text, other)
}

fn make_certificate(directory: &Path) {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=example.com", "-addext", "subjectAltName=DNS:example.com"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(directory);
    let output = openssl.output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A counter that makes the directories and ports of concurrent tests differ.
static COUNT: AtomicU32 = AtomicU32::new(0);

fn directory() -> PathBuf {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("nginx-{}-{number}", std::process::id());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).expect("a new directory");
    directory
}

/// Returns a free port below the ephemeral ports (RFC 6335 section 6), which the kernel could
/// assign to another socket, and below those of the tests of Redis.
fn free_port() -> u16 {
    loop {
        let number = std::process::id() * 16 + COUNT.fetch_add(1, Ordering::Relaxed);
        let port = 2_000 + u16::try_from(number % 8_000).expect("a small number");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
