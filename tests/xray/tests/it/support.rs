//! An observed server, and a client that keeps what it sent and received.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use dustdevil::{Film, Recorder};
use dustdevil_xray::pages;
use dustdevil_xray::program::{self, install_quiet_logger, loopback, transcripts_site};
use dustdevil_xray::serve::{Server, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server whose connections are recorded.
pub struct Observed {
    pub address: SocketAddr,
    pub recorder: Recorder,
}

pub async fn observe(site: Site) -> Observed {
    static LOGGER: OnceLock<()> = OnceLock::new();
    LOGGER.get_or_init(|| install_quiet_logger().expect("the first logger"));
    observe_by(site, Recorder::new(|_| {})).await
}

async fn observe_by(site: Site, recorder: Recorder) -> Observed {
    let server = Server::listen(loopback(), site, &recorder).await.expect("a free port");
    let address = server.address;
    tokio::spawn(server.run());
    Observed { address, recorder }
}

/// The demo, observed, with a store of its own.
pub async fn observe_demo() -> Observed {
    observe(program::demo_site().expect("the demo is whole")).await
}

/// The demo, observed, with its pages and its player.
pub async fn observe_with_pages(name: &str) -> Observed {
    let player = observe(transcripts_site(name)).await;
    let pages =
        pages::application(&player.recorder, player.address).expect("the pages are whole");
    let site = program::demo_site().expect("the demo is whole").with_pages(pages);
    observe_by(site, player.recorder).await
}

/// What a client has sent and received on one connection.
pub struct Conversation {
    pub sent: Vec<u8>,
    pub received: Vec<u8>,
    pub films: Vec<Arc<Film>>,
}

impl Observed {
    /// Sends these writes, closes the sending side, and reads to the end.
    pub async fn send(&self, writes: &[&[u8]]) -> Conversation {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let peer = socket.local_addr().unwrap();
        let (mut reader, mut writer) = socket.split();
        let mut sent = Vec::new();
        let send = async {
            for bytes in writes {
                // The server may have closed the connection already.
                if writer.write_all(bytes).await.is_err() {
                    break;
                }
                sent.extend_from_slice(bytes);
                tokio::task::yield_now().await;
            }
            let _ = writer.shutdown().await;
        };
        let mut received = Vec::new();
        let receive = async { drop(reader.read_to_end(&mut received).await) };
        tokio::join!(send, receive);
        let films = self.recorder.films().of(peer).await;
        Conversation { sent, received, films }
    }

    /// Sends a head, waits until the response contains `awaited`, and sends the content.
    pub async fn ask_after(
        &self,
        head: &str,
        awaited: &str,
        content: &str,
    ) -> Conversation {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let peer = socket.local_addr().unwrap();
        let mut received = Vec::new();
        socket.write_all(head.as_bytes()).await.unwrap();
        while !String::from_utf8_lossy(&received).contains(awaited) {
            assert_ne!(socket.read_buf(&mut received).await.unwrap(), 0, "no {awaited}");
        }
        socket.write_all(content.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        socket.read_to_end(&mut received).await.unwrap();
        let films = self.recorder.films().of(peer).await;
        Conversation { sent: [head, content].concat().into(), received, films }
    }

    /// Sends one request of a browser or of another client, and returns the response.
    pub async fn page(&self, line: &str, accept: &str) -> String {
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        String::from_utf8(self.ask(&request).await.received).unwrap()
    }

    /// Sends one request on a connection of its own.
    pub async fn ask(&self, request: &str) -> Conversation {
        self.send(&[request.as_bytes()]).await
    }
}

/// The requests of a login in the demo, each with its film.
pub async fn log_in(server: &Observed) -> Vec<Conversation> {
    let mut conversations = Vec::new();
    let form = server.ask("GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = String::from_utf8(form.received.clone()).unwrap();
    let between = |before: &str, after: &str| {
        let rest = page.split_once(before).unwrap().1;
        rest.split_once(after).unwrap().0.to_owned()
    };
    let visitor = between("Set-Cookie: _xsrf=", ";");
    let token = between("name=\"_xsrf\" value=\"", "\"");
    conversations.push(form);
    let content = format!("_xsrf={token}&username=admin&password=123");
    let login = format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\nCookie: _xsrf={visitor}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    );
    let login = server.ask(&login).await;
    let response = String::from_utf8(login.received.clone()).unwrap();
    let id =
        response.split_once("session_id=").unwrap().1.split(';').next().unwrap().to_owned();
    conversations.push(login);
    let main =
        format!("GET /main HTTP/1.1\r\nHost: localhost\r\nCookie: session_id={id}\r\n\r\n");
    conversations.push(server.ask(&main).await);
    conversations
}
