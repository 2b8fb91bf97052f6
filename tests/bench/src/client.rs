//! A client that asks one thing after the other, on one connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::Result;

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
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
            "GET {path} HTTP/1.1\r\nHost: bench\r\nCookie: session_id={:032x}\r\n\r\n",
            0
        ))
    }

    /// Has something done.
    pub(crate) fn post(&mut self, path: &str) -> Result<String> {
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n"
        ))
    }

    fn ask(&mut self, request: &str) -> Result<String> {
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut length = 0;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200 ") {
            return Err(format!("the server answers {line:?}").into());
        }
        while !line.trim_end().is_empty() {
            if let Some(value) = line.strip_prefix("Content-Length:") {
                length = value.trim().parse()?;
            }
            line.clear();
            self.stream.read_line(&mut line)?;
        }
        let mut content = vec![0; length];
        self.stream.read_exact(&mut content)?;
        Ok(String::from_utf8(content)?)
    }
}
