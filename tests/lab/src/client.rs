//! An HTTP client for the attacks that need more than curl: it keeps a connection, and can send a
//! hundred requests before it reads the first response.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::target::Target;

/// Timeout of a connection attempt, of a read and of a write.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to the target.
pub(crate) struct Connection {
    target: Target,
    stream: TcpStream,
    input: Vec<u8>,
}

/// A response.
pub(crate) struct Response {
    pub(crate) head: String,
    pub(crate) content: String,
}

/// A request. `cookies` is the value of the Cookie field, without which it may be empty; a `form`
/// makes it a POST.
#[derive(Clone, Copy, Default)]
pub(crate) struct Request<'a> {
    pub(crate) path: &'a str,
    pub(crate) cookies: &'a str,
    pub(crate) form: Option<&'a str>,
}

impl Connection {
    pub(crate) fn open(target: &Target) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&target.address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Connection { target: target.clone(), stream, input: Vec::new() })
    }

    /// Sends a request and reads its response. A server may have closed the connection after the
    /// response before, so a request that gets nothing is sent again on a new one.
    pub(crate) fn request(&mut self, request: Request<'_>) -> io::Result<Response> {
        let sent = self.send(&[request]).and_then(|()| self.read());
        match sent {
            Ok(response) => Ok(response),
            Err(_) => {
                *self = Connection::open(&self.target)?;
                self.send(&[request])?;
                self.read()
            }
        }
    }

    /// Sends requests without waiting for responses (pipelining).
    pub(crate) fn send(&mut self, requests: &[Request<'_>]) -> io::Result<()> {
        let texts = requests.iter().map(|request| self.text(*request));
        self.stream.write_all(texts.collect::<String>().as_bytes())
    }

    fn text(&self, request: Request<'_>) -> String {
        let Request { path, cookies, form } = request;
        let method = if form.is_some() { "POST" } else { "GET" };
        let form_fields = form.map(|form| {
            let length = form.len();
            format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n")
        });
        let cookie_field = match cookies {
            "" => String::new(),
            cookies => format!("Cookie: {cookies}\r\n"),
        };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{cookie_field}{}\r\n{}",
            self.target.authority,
            form_fields.unwrap_or_default(),
            form.unwrap_or_default()
        )
    }

    /// Reads a response. Its content ends at its Content-Length, at the last chunk, or with the
    /// connection.
    pub(crate) fn read(&mut self) -> io::Result<Response> {
        let head = self.read_until(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        let status = status.ok_or_else(|| io::Error::other("no status line"))?;
        let mut response = Response { head, content: String::new() };
        let length = response.field("Content-Length").and_then(|text| text.parse().ok());
        let content = match length {
            Some(length) => self.read_length(length)?,
            None if response.field("Transfer-Encoding").is_some() => {
                self.read_until(b"0\r\n\r\n")?
            }
            None if status == 204 || status == 304 => Vec::new(),
            None => {
                self.stream.read_to_end(&mut self.input)?;
                std::mem::take(&mut self.input)
            }
        };
        response.content = String::from_utf8_lossy(&content).into_owned();
        Ok(response)
    }

    fn read_until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let found = self.input.windows(end.len()).position(|bytes| bytes == end);
            if let Some(found) = found {
                return Ok(self.input.drain(..found + end.len()).collect());
            }
            self.fill()?;
        }
    }

    fn read_length(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < length {
            self.fill()?;
        }
        Ok(self.input.drain(..length).collect())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            read => {
                self.input.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }
}

impl Response {
    /// Returns the values of all fields of a name.
    pub(crate) fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).next()
    }

    /// Returns the cookies that the response sets, as name and value.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.fields("Set-Cookie").map(|field| field.split(';').next());
        pairs.filter_map(|pair| pair?.split_once('='))
    }

    /// Returns the XSRF token in the form of the page.
    pub(crate) fn form_token(&self) -> Option<&str> {
        let (_, rest) = self.content.split_once("name=\"_xsrf\" value=\"")?;
        rest.split('"').next()
    }
}
