//! A client that asks one thing after the other, on one connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::Result;

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

/// What a server answered.
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    pub(crate) content: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Asks for a path with the session of number 0; gives the content of the answer, which must
    /// be 200.
    pub(crate) fn get(&mut self, path: &str) -> Result<String> {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: session_id={:032x}\r\n\r\n",
            0
        ))
    }

    /// Has something done.
    pub(crate) fn post(&mut self, path: &str) -> Result<String> {
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        ))
    }

    fn ask(&mut self, request: &str) -> Result<String> {
        let answer = self.send(request.as_bytes())?;
        if answer.status != 200 {
            return Err(format!("the server answers {}", answer.status).into());
        }
        Ok(String::from_utf8(answer.content)?)
    }

    /// Sends the bytes of a request, and waits for the answer.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<Response> {
        self.stream.get_mut().write_all(request)?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(format!("the server answers {head:?}").into());
            }
        }
        let status = head.split(' ').nth(1).unwrap_or_default().parse()?;
        let mut answer = Response { status, head, content: Vec::new() };
        let length = answer.header("Content-Length").unwrap_or("0").parse()?;
        answer.content.resize(length, 0);
        self.stream.read_exact(&mut answer.content)?;
        Ok(answer)
    }

    /// The connection, for whoever wants nothing more than to keep it.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }
}

impl Response {
    /// The value of the first header field of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1)
    }

    /// All its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.content].concat()
    }
}
