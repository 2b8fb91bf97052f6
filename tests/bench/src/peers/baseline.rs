//! The baseline: a loop on tokio that counts bytes and writes a prepared response. It parses
//! nothing, and finds the end of a request only because all requests have the same length. Its
//! CPU time is that of the kernel, of tokio and of one read and one write per request, which no
//! server on tokio avoids; so it is a lower bound for the scenarios with persistent
//! connections.
//!
//! It accepts connections on the main thread, like the example in tokio's documentation. Every
//! new connection is then handed to a worker thread, which costs a wake-up. With one request
//! per connection, servers that accept in a spawned task are below this baseline for that
//! reason.

use std::io::Read;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;

#[derive(Clone, Copy)]
struct Baseline {
    /// Length of a request in bytes.
    request_length: usize,
    /// Length of a response in bytes.
    response_length: usize,
    /// One response for each pipelined request, in one buffer, so that one write sends them
    /// all.
    responses: &'static [u8],
    /// `true`: close the connection after its first response.
    closes: bool,
}

/// Serves requests of `request_length` bytes, of which `depth` are pipelined. The response is
/// read from standard input. Depth 0 stands for one request per connection.
#[tokio::main]
pub(crate) async fn serve(
    request_length: usize,
    response_length: usize,
    depth: usize,
) -> Result {
    let mut response = vec![0; response_length];
    std::io::stdin().read_exact(&mut response)?;
    let responses = response.repeat(depth.max(1)).leak();
    let baseline =
        Baseline { request_length, response_length, responses, closes: depth == 0 };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::announce_address(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(baseline.serve(stream));
    }
}

impl Baseline {
    /// Serves one connection until the client closes it.
    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = [0; 1024];
        let mut unanswered = 0;
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                count => unanswered += count,
            }
            // A read may end within a request, or hold more requests than one write answers.
            while unanswered >= self.request_length {
                let depth = self.responses.len() / self.response_length;
                let requests = (unanswered / self.request_length).min(depth);
                unanswered -= requests * self.request_length;
                let length = requests * self.response_length;
                stream.write_all(&self.responses[..length]).await?;
                if self.closes {
                    return Ok(());
                }
            }
        }
    }
}
