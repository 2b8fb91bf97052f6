//! A blocking HTTP/1.1 client: one connection, one request at a time.
//!
//! The driver uses it for everything but load: filling stores, checking responses, opening idle
//! connections, and sampling latency, which needs the start and end of each single request; wrk
//! reports quantiles only. A thread per client is simple, and a handful of them is enough.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::Result;

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

/// A response, as far as the benchmark needs it.
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) content: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect(address)?;
        // Nagle's algorithm would hold back a small request until the one before is
        // acknowledged.
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Sends a GET request with the session id of number 0 and returns the content of the
    /// response. A status other than 200 is an error.
    pub(crate) fn get(&mut self, path: &str) -> Result<String> {
        self.send_text(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: session_id={:032x}\r\n\r\n",
            0
        ))
    }

    /// Sends a POST request without content, and otherwise like [`Client::get`].
    pub(crate) fn post(&mut self, path: &str) -> Result<String> {
        self.send_text(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        ))
    }

    fn send_text(&mut self, request: &str) -> Result<String> {
        let response = self.send(request.as_bytes())?;
        if response.status != 200 {
            return Err(format!("unexpected status {}", response.status).into());
        }
        Ok(String::from_utf8(response.content)?)
    }

    /// Sends the bytes of a request and reads the response up to its `Content-Length`. The
    /// servers here do not send chunked content.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<Response> {
        self.stream.get_mut().write_all(request)?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(
                    format!("the server closed the connection after {head:?}").into()
                );
            }
        }
        let status = head.split(' ').nth(1).unwrap_or_default().parse()?;
        let mut response = Response { status, head, content: Vec::new() };
        let length = response.header("Content-Length").unwrap_or("0").parse()?;
        response.content.resize(length, 0);
        self.stream.read_exact(&mut response.content)?;
        Ok(response)
    }

    /// Returns the connection, to keep it open without a client.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }
}

impl Response {
    /// Returns the value of the first header field with this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1)
    }

    /// Returns the whole response as it arrived: head and content.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.content].concat()
    }
}
