//! The limit: a loop that reads and writes, and does nothing else. It is told what to answer, and
//! knows where a request ends because all of them are of the same length.

use std::io::Read;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;

/// How all connections are served.
#[derive(Clone, Copy)]
struct Manner {
    /// The bytes of a request.
    length: usize,
    /// The bytes of an answer.
    answer: usize,
    /// So many answers as there may be requests at once.
    answers: &'static [u8],
    /// Whether a connection has one request.
    closes: bool,
}

/// Serves requests of a length; the answer's bytes come through standard input. At a depth of 0,
/// there is one request a connection.
#[tokio::main]
pub(crate) async fn serve(length: usize, answer: usize, depth: usize) -> Result {
    let mut bytes = vec![0; answer];
    std::io::stdin().read_exact(&mut bytes)?;
    let answers = bytes.repeat(depth.max(1)).leak();
    let manner = Manner { length, answer, answers, closes: depth == 0 };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::is_ready(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(manner.answer(stream));
    }
}

impl Manner {
    async fn answer(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = [0; 1024];
        let mut arrived = 0;
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                count => arrived += count,
            }
            while arrived >= self.length {
                let depth = self.answers.len() / self.answer;
                let requests = (arrived / self.length).min(depth);
                arrived -= requests * self.length;
                stream.write_all(&self.answers[..requests * self.answer]).await?;
                if self.closes {
                    return Ok(());
                }
            }
        }
    }
}
