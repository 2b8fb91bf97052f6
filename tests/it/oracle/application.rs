//! The application that the oracle talks to. Each handler describes the request that it
//! received, so that the oracle can compare the description with what was sent.

use std::path::PathBuf;

use dustdevil::http::limits::Limits;
use dustdevil::{
    Application, Error, Exchange, Method, RequestHandler, Result, Settings, handler,
};

/// The field that marks responses of these handlers. Its value names the handler.
pub const HANDLER_FIELD: &str = "Handler";

/// The value of a handler that aborts its response on purpose.
pub const ABORTING: &str = "aborting";

/// The field that reflects an argument of the client, if a field can contain it.
pub const REFLECTED: &str = "Reflected";

/// The application, with the static files of a directory.
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

/// Low limits, so that short requests can exceed them.
pub fn limits() -> Limits {
    Limits {
        max_request_line: 200,
        max_head: 1000,
        max_fields: 40,
        max_content: 100,
        ..Limits::default()
    }
}

/// The description of a request: method and target, every field, the content.
pub fn description<'f>(
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

fn describe(exchange: &mut Exchange, handler_name: &'static str) -> Result<Vec<u8>> {
    exchange.set_header(HANDLER_FIELD, handler_name)?;
    exchange.set_header("Content-Type", "application/octet-stream")?;
    if let Ok(name) = exchange.get_query_argument_raw("name") {
        // A value that no field can contain is left out.
        let _ = exchange.set_header(REFLECTED, name);
    }
    let request = exchange.request();
    let target = match request.query() {
        Some(query) => format!("{}?{query}", request.path()),
        None => request.path().to_owned(),
    };
    let (method, content) = (request.method().as_str().as_bytes(), exchange.content());
    Ok(description(method, target.as_bytes(), request.fields(), content))
}

/// Supports only GET, so that content sent with another method stays unread.
struct HelloHandler;

impl RequestHandler for HelloHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let description = describe(exchange, "hello")?;
        exchange.write(description)
    }
}

struct EchoHandler;

impl RequestHandler for EchoHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post, Method::Put];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let description = describe(exchange, "echo")?;
        exchange.write(description)
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.get(exchange).await
    }

    async fn put(&mut self, exchange: &mut Exchange) -> Result {
        self.get(exchange).await
    }
}

/// Streams the description in pieces of 20 bytes.
struct StreamHandler;

impl RequestHandler for StreamHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let description = describe(exchange, "stream")?;
        exchange.stream(|sender| async move {
            for piece in description.chunks(20) {
                sender.send(piece.to_vec()).await?;
            }
            Ok(())
        })
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.get(exchange).await
    }
}

/// Sends the complete description and then fails, before the last chunk.
struct BrokenStreamHandler;

impl RequestHandler for BrokenStreamHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let description = describe(exchange, ABORTING)?;
        exchange.stream(|sender| async move {
            sender.send(description).await?;
            Err(Error::other("on purpose"))
        })
    }
}
