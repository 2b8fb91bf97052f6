//! What the oracle talks to. Every handler bears witness to the request as it was told of it, so
//! that the oracle can compare that with what was sent.

use std::io;
use std::path::PathBuf;

use dustdevil::http::limits::Limits;
use dustdevil::{Application, Exchange, Method, RequestHandler, Result, Settings, handler};

/// The field that marks the answers of these handlers.
pub const WITNESS: &str = "Witness";

/// The value of it where the answer breaks off on purpose.
pub const BREAKS_OFF: &str = "breaks-off";

/// The field that holds what the client asked for, as far as a field may.
pub const REFLECTED: &str = "Reflected";

/// The application, and the static files of a folder.
pub fn application(static_path: PathBuf) -> Application {
    Application::new(
        [
            ("/hello", handler::<HelloHandler>),
            ("/echo", handler::<EchoHandler>),
            ("/echo/{segment}", handler::<EchoHandler>),
            ("/stream", handler::<StreamHandler>),
            ("/broken-stream", handler::<BrokenStreamHandler>),
        ],
        Settings { limits: limits(), static_path, ..Settings::default() },
    )
    .expect("the application is whole")
}

/// Limits that short conversations can come to.
pub fn limits() -> Limits {
    Limits {
        max_request_line: 200,
        max_head: 1000,
        max_fields: 40,
        max_content: 100,
        ..Limits::default()
    }
}

/// What a witness says: method and target, every field, the content.
pub fn testimony<'f>(
    method: &[u8],
    target: &[u8],
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    content: &[u8],
) -> Vec<u8> {
    let mut lines = vec![[method, b" ", target].concat()];
    lines.extend(fields.map(|(name, value)| [name, b"=", value].concat()));
    lines.push(content.to_vec());
    lines.join(&b'\n')
}

fn witness(exchange: &mut Exchange, what: &'static str) -> Result<Vec<u8>> {
    exchange.set_header(WITNESS, what)?;
    exchange.set_header("Content-Type", "application/octet-stream")?;
    if let Ok(name) = exchange.get_query_argument_raw("name") {
        // A name that no field can hold is left out.
        let _ = exchange.set_header(REFLECTED, name);
    }
    let request = exchange.request();
    let target = match request.query() {
        Some(query) => format!("{}?{query}", request.path()),
        None => request.path().to_owned(),
    };
    let (method, content) = (request.method().as_str().as_bytes(), exchange.content());
    Ok(testimony(method, target.as_bytes(), request.fields(), content))
}

/// Its only method is GET, so that content which is sent with another stays unread.
struct HelloHandler;

impl RequestHandler for HelloHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let testimony = witness(exchange, "hello")?;
        exchange.write(testimony)
    }
}

struct EchoHandler;

impl RequestHandler for EchoHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post, Method::Put];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let testimony = witness(exchange, "echo")?;
        exchange.write(testimony)
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.get(exchange).await
    }

    async fn put(&mut self, exchange: &mut Exchange) -> Result {
        self.get(exchange).await
    }
}

/// Sends it piece by piece.
struct StreamHandler;

impl RequestHandler for StreamHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let testimony = witness(exchange, "stream")?;
        exchange.stream(|sender| async move {
            for piece in testimony.chunks(20) {
                sender.send(piece.to_vec()).await?;
            }
            io::Result::Ok(())
        })
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.get(exchange).await
    }
}

/// Fails when all is said, before it could say that this is all.
struct BrokenStreamHandler;

impl RequestHandler for BrokenStreamHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let testimony = witness(exchange, BREAKS_OFF)?;
        exchange.stream(|sender| async move {
            sender.send(testimony).await?;
            Err(io::Error::other("on purpose"))
        })
    }
}
