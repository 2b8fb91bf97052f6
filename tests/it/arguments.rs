//! Arguments of the query, the form and the path.

use bytes::Bytes;
use dustdevil::http::body::Body;
use dustdevil::http::content::Buffered;
use dustdevil::http::response::Response;
use dustdevil::{
    Application, Exchange, Limits, Method, RequestHandler, Result, Settings, handler,
};

use crate::support::{exchange, serve, settings};

/// Returns the arguments that it received, with the method that the argument `verb` names.
struct ArgumentHandler;

impl RequestHandler for ArgumentHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let argument = match exchange.get_query_argument("verb")?.as_str() {
            "argument" => exchange.get_argument("name")?,
            "arguments" => exchange.get_arguments("name")?.join("|"),
            "query" => exchange.get_query_argument("name")?,
            "query_raw" => exchange.get_query_argument_raw("name")?,
            "queries" => exchange.get_query_arguments("name")?.join("|"),
            "body" => exchange.get_body_argument("name")?,
            "body_raw" => exchange.get_body_argument_raw("name")?,
            "bodies" => exchange.get_body_arguments("name")?.join("|"),
            "file" => {
                let files = exchange.get_files("name").map(|file| {
                    format!("{} {} {}", file.filename, file.content_type, file.body.len())
                });
                files.collect::<Vec<_>>().join("|")
            }
            "files" => {
                let files = exchange.files().iter();
                files.map(|file| &*file.filename).collect::<Vec<_>>().join("|")
            }
            _ => exchange.path_arguments().collect::<Vec<_>>().join("|"),
        };
        exchange.write(format!("[{argument}]"))
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.get(exchange).await
    }
}

async fn tell(target: &str, form: &[(&str, &str)]) -> (u16, String) {
    let server = serve(application(settings())).await;
    let mut visitor = server.visitor();
    let reply = match form {
        [] => visitor.get(target).await,
        form => visitor.post(target, form).await,
    };
    (reply.status, reply.text())
}

fn application(settings: Settings) -> Application {
    let routes = [
        ("/", handler::<ArgumentHandler> as dustdevil::Handler),
        ("/story/{id}", handler::<ArgumentHandler>),
        ("/story/{id}/page/{page}", handler::<ArgumentHandler>),
        ("/files/{path...}", handler::<ArgumentHandler>),
    ];
    Application::new(routes, settings).unwrap()
}

async fn argument_of(target: &str, form: &[(&str, &str)]) -> String {
    let (status, text) = tell(target, form).await;
    assert_eq!(status, 200, "{text}");
    text
}

#[tokio::test]
async fn get_argument_has_tornados_rules() {
    let form = &[("name", "form1"), ("name", " form2\u{1}x ")];
    assert_eq!(argument_of("/?verb=argument&name=query", form).await, "[form2 x]");
    assert_eq!(argument_of("/?verb=argument&name=a&name=+b%20", &[]).await, "[b]");
    assert_eq!(
        argument_of("/?verb=arguments&name=query", form).await,
        "[query|form1|form2 x]"
    );
    assert_eq!(argument_of("/?verb=argument&name=", &[]).await, "[]");
    assert_eq!(argument_of("/?verb=argument&name", &[]).await, "[]");
    assert_eq!(argument_of("/?verb=argument&name=%C3%A9+%26", &[]).await, "[\u{e9} &]");
}

#[tokio::test]
async fn query_and_form_can_be_read_separately_and_raw_values_keep_their_spaces() {
    let form = &[("name", " form ")];
    assert_eq!(argument_of("/?verb=query&name=+query+", form).await, "[query]");
    assert_eq!(argument_of("/?verb=query_raw&name=+query+", form).await, "[ query ]");
    assert_eq!(argument_of("/?verb=queries&name=1&name=2", form).await, "[1|2]");
    assert_eq!(argument_of("/?verb=body&name=query", form).await, "[form]");
    assert_eq!(argument_of("/?verb=body_raw&name=query", form).await, "[ form ]");
    assert_eq!(argument_of("/?verb=bodies&name=query", form).await, "[form]");
}

#[tokio::test]
async fn a_missing_argument_is_400_and_the_response_names_it() {
    for verb in ["argument", "query", "query_raw", "body", "body_raw"] {
        let (status, text) = tell(&format!("/?verb={verb}"), &[("other", "x")]).await;
        assert_eq!(status, 400, "{verb}");
        assert!(text.contains("The argument name is missing."), "{verb}: {text}");
    }
}

#[tokio::test]
async fn an_argument_that_is_not_utf_8_is_400() {
    assert_eq!(tell("/?verb=argument&name=%ff", &[]).await.0, 400);
    assert_eq!(tell("/?verb=argument&%ff=name", &[]).await.0, 400);
}

/// A form of a million short arguments would take much more memory than its bytes.
#[tokio::test]
async fn the_number_of_arguments_is_limited() {
    let server = serve(application(Settings { max_arguments: 3, ..settings() })).await;
    let mut visitor = server.visitor();
    assert_eq!(visitor.get("/?verb=argument&name=1&a=2").await.status, 200);
    assert_eq!(visitor.get("/?verb=argument&name=1&a=2&b=3").await.status, 400);
    let form = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")];
    assert_eq!(visitor.post("/?verb=argument", &form).await.status, 400);
}

#[tokio::test]
async fn content_above_its_limit_is_413() {
    let limits = Limits { max_content: 10, ..Limits::default() };
    let server = serve(application(Settings { limits, ..settings() })).await;
    let reply = server.visitor().post("/?verb=argument", &[("name", "01234")]).await;
    assert_eq!(reply.status, 200, "ten bytes");
    let reply = server.visitor().post("/?verb=argument", &[("name", "012345")]).await;
    assert_eq!((reply.status, reply.field("Connection")), (413, Some("close")));
}

const MULTIPART: &str = "--x\r\nContent-Disposition: form-data; name=\"verb\"\r\n\r\nignored\r\n\
    --x\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\n a field \r\n\
    --x\r\nContent-Disposition: form-data; name=\"name\"; filename=\"a \\\"b\\\";c.txt\"\r\n\
    Content-Type: text/plain\r\n\r\nline\r\n--\r\n\r\n\
    --x\r\nContent-Disposition: form-data; name=\"name\"; filename=b\r\n\r\n\r\n--x--\r\n";

async fn send_multipart(target: &str, content_type: &str, content: &str) -> (u16, String) {
    let server = serve(application(settings())).await;
    let head = format!(
        "POST {target}\nContent-Type: {content_type}\nContent-Length: {}",
        content.len()
    );
    let reply = server.visitor().request(&head, content).await;
    (reply.status, reply.text())
}

#[tokio::test]
async fn multipart_forms_bring_fields_and_files() {
    let form = "multipart/form-data; boundary=x";
    let (status, text) = send_multipart("/?verb=file", form, MULTIPART).await;
    let files = "[a \"b\";c.txt text/plain 10|b application/octet-stream 0]";
    assert_eq!((status, text.as_str()), (200, files));
    let other =
        "--x\r\nContent-Disposition: form-data; name=\"other\"; filename=c\r\n\r\n\r\n";
    let of_all_fields = format!("{other}{MULTIPART}");
    let (_, text) = send_multipart("/?verb=files", form, &of_all_fields).await;
    assert_eq!(text, "[c|a \"b\";c.txt|b]");
    let (_, text) = send_multipart("/?verb=body_raw", form, MULTIPART).await;
    assert_eq!(text, "[ a field ]");
    let quoted = "Multipart/Form-Data; charset=utf-8; boundary=\"x\"";
    let (_, text) = send_multipart("/?verb=body", quoted, MULTIPART).await;
    assert_eq!(text, "[a field]");
}

#[tokio::test]
async fn malformed_multipart_is_400() {
    let form = "multipart/form-data; boundary=x";
    for (content_type, content) in [
        ("multipart/form-data", MULTIPART),
        ("multipart/form-data; boundary=", MULTIPART),
        ("multipart/form-data; boundary=y", MULTIPART),
        (form, "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nno end"),
        (form, "--x\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--x--"),
        (form, "--x\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\n\r\n--x--"),
        (form, "--x\r\nno head\r\n--x--"),
        (
            form,
            "--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\r\n\r\n\r\n--x--",
        ),
        (form, "--xContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--x--"),
    ] {
        let (status, _) = send_multipart("/?verb=body", content_type, content).await;
        assert_eq!(status, 400, "{content_type} {content:?}");
    }
}

#[tokio::test]
async fn path_arguments_come_decoded_in_order_and_by_name() {
    assert_eq!(argument_of("/story/12?verb=path", &[]).await, "[12]");
    assert_eq!(
        argument_of("/story/a%20b%2Fc/page/%C3%A9?verb=path", &[]).await,
        "[a b/c|\u{e9}]"
    );
    assert_eq!(argument_of("/files/a/b.txt?verb=path", &[]).await, "[a/b.txt]");
    assert_eq!(tell("/story/?verb=path", &[]).await.0, 404);
    assert_eq!(tell("/story/1/?verb=path", &[]).await.0, 404);
    assert_eq!(tell("/files/a%2Fb?verb=path", &[]).await.0, 404);
    assert_eq!(tell("/story/%ff?verb=path", &[]).await.0, 400);

    let application = application(settings());
    let exchange = exchange(&application, "GET /story/12");
    assert!(exchange.path_argument("id").is_err(), "no route has been looked for yet");
}

/// Paths are compared after percent-decoding, so `n%65w` is `new`.
#[tokio::test]
async fn routes_are_whole_paths_and_the_first_match_wins() {
    let routes = [
        ("/story/new", handler::<NewHandler> as dustdevil::Handler),
        ("/story/{id}", handler::<ArgumentHandler>),
    ];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /story/new").await.text(), "new");
    assert_eq!(
        client.ask("GET /story/n%65w").await.text(),
        "new",
        "decoded, then compared"
    );
    assert_eq!(client.ask("GET /story/newer?verb=path").await.text(), "[newer]");
    for path in ["/story/new/", "//story/new", "/story", "/STORY/new", "/x/story/new"] {
        assert_eq!(client.ask(&format!("GET {path}")).await.status, 404, "{path}");
    }
    let absolute = client.ask("GET http://localhost/story/new").await;
    assert_eq!(absolute.text(), "new", "absolute-form (RFC 9112 section 3.2.2)");
}

struct NewHandler;

impl RequestHandler for NewHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write("new")
    }
}

#[tokio::test]
async fn an_invalid_route_is_an_error_at_startup() {
    for pattern in
        ["login", "/{path...}/more", "/story-{id}", "/a}", "/{a}-{b}", "/{}", "/{...}"]
    {
        let application = Application::new([(pattern, handler::<NewHandler>)], settings());
        let Err(error) = application else { panic!("{pattern} was taken") };
        assert!(error.to_string().contains(pattern), "{error}");
    }
}

#[tokio::test]
async fn a_handler_can_be_run_completely_without_a_socket() {
    let application = application(settings());
    let exchange = exchange(&application, "GET /?verb=argument&name=value");
    let response =
        handler::<ArgumentHandler>(Box::new(exchange), &mut Buffered(Bytes::new())).await;
    assert_eq!(response.status.code(), 200);
    let Body::Bytes(content) = response.body else { panic!("the content is a stream") };
    assert_eq!(content, "[value]");
}

/// Reads a value of the session.
struct AskingHandler;

impl RequestHandler for AskingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.set_header("Cache-Control", "max-age=60")?;
        exchange.session().get("a").await?;
        Ok(())
    }
}

#[tokio::test]
async fn the_fields_of_a_personal_response_are_set_once_and_can_be_changed() {
    let application = application(settings());
    let exchange = exchange(&application, "GET /");
    let mut response =
        handler::<AskingHandler>(Box::new(exchange), &mut Buffered(Bytes::new())).await;
    let lines = |response: &Response, name: &str| {
        let fields =
            response.fields().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&response, "Cache-Control"), ["no-store"]);
    response.set_field("cache-control", "private").unwrap();
    assert_eq!(lines(&response, "Cache-Control"), ["private"]);
    assert_eq!(lines(&response, "Vary"), ["Cookie"]);
    response.remove_field("vary");
    assert!(lines(&response, "Vary").is_empty());
}
