//! Routes: what a pattern may be, names and `reverse_url`, redirects, directories of one's own,
//! and what a route may leave out.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use dustdevil::{
    Application, Error, Exchange, Handler, RedirectHandler, RedirectTo, RequestHandler,
    Result, Route, Settings, StaticFileHandler, StaticFiles, Status, handler, methods,
};

use crate::support::{Running, exchange, serve, settings};

/// Writes the values of the placeholders, each in brackets.
struct EchoHandler;

impl RequestHandler for EchoHandler {
    methods!(Get, Post);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let values: Vec<String> =
            exchange.path_arguments().map(|value| format!("[{value}]")).collect();
        exchange.write(values.concat())
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.get(exchange).await
    }
}

/// Returns the error of an application with this route, or an empty text.
fn mistake(pattern: &str) -> String {
    let application = Application::new([(pattern, handler::<EchoHandler>)], settings());
    application.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_regular_expression_is_an_error_at_startup_that_shows_the_form_to_use() {
    for pattern in [
        "/entry/([^/]+)",
        "/entry/(?P<slug>[^/]+)",
        r"/entry/\d+/edit",
        "/entry/[0-9]+",
        "/files/(.*)",
        "/files/.*",
        "/files/.+",
        "/files/*",
        r"/feed\.xml",
        "/login$",
        "^/login",
        "/login/?",
        "/a|/b",
        "/{id:[0-9]+}",
        ".*",
        "/search?q={q}",
        "/page#top",
    ] {
        let error = mistake(pattern);
        assert!(error.contains(&format!("the route {pattern:?}")), "{pattern}: {error}");
        assert!(error.contains("write {name} for ([^/]+)"), "{pattern}: {error}");
    }
    assert!(mistake("/%ff").contains("UTF-8"));
    for pattern in
        ["/c++", "/a$b", "/a.b", "/~user", "/a:b@c;d,e=f&g!h'i", "/%28a%29%2A%7B"]
    {
        assert_eq!(mistake(pattern), "");
    }
}

#[test]
fn a_name_that_occurs_twice_in_a_route_is_an_error_at_startup() {
    for pattern in ["/{id}/{id}", "/{id}/of/{id...}"] {
        assert!(mistake(pattern).contains("{id} occurs twice"), "{pattern}");
    }
    assert_eq!(mistake("/{id}/of/{other}"), "");
}

#[tokio::test]
async fn a_pattern_may_be_percent_encoded() {
    let routes = ["/caf%C3%A9", "/na\u{ef}ve/{id}", "/%28x%29", "/a%2Fb", "/%7Euser"]
        .map(|pattern| (pattern, handler::<EchoHandler> as Handler));
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let mut client = server.connect().await;
    for path in [
        "/caf%C3%A9",
        "/caf%c3%a9",
        "/na%C3%AFve/1",
        "/(x)",
        "/%28x)",
        "/a%2Fb",
        "/~user",
        "/%7euser",
    ] {
        assert_eq!(client.ask(&format!("GET {path}")).await.status, 200, "{path}");
    }
    for path in ["/a/b", "/caf%25C3%25A9", "/%2528x%2529"] {
        assert_eq!(client.ask(&format!("GET {path}")).await.status, 404, "{path}");
    }
}

/// As in Go's `ServeMux` and in Tornado's `(.*)`: a directory and what is below it is one route.
#[tokio::test]
async fn the_rest_of_a_path_may_be_empty() {
    let route = ("/files/{path...}", handler::<EchoHandler> as Handler);
    let server = serve(Application::new([route], settings()).unwrap()).await;
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /files/").await.text(), "[]");
    assert_eq!(client.ask("GET /files/a/").await.text(), "[a/]");
    assert_eq!(client.ask("GET /files").await.status, 404);
}

/// Routes with names.
fn named() -> [Route; 3] {
    [
        Route::new("/", handler::<EchoHandler>).named("root"),
        Route::new("/story/{id}/of/{path...}", handler::<EchoHandler>).named("story"),
        Route::new("/caf\u{e9} %7B/{id}", handler::<EchoHandler>).named("coffee"),
    ]
}

#[tokio::test]
async fn the_url_of_a_named_route_leads_to_it_with_the_same_arguments() {
    let application = Application::with_routes(named(), settings()).unwrap();
    let story = |id, path| application.reverse_url("story", &[("path", path), ("id", id)]);
    assert_eq!(application.reverse_url("root", &[]).unwrap(), "/");
    assert_eq!(story("5", "a/b").unwrap(), "/story/5/of/a/b");
    assert_eq!(exchange(&application, "GET /").reverse_url("root", &[]).unwrap(), "/");
    let (hard, path) = ("a/b?c#d%2F \u{e9}\\", "x y/\u{e9}?/%2f/...");
    let urls = [
        (story(hard, path).unwrap(), format!("[{hard}][{path}]")),
        (story("1", "").unwrap(), String::from("[1][]")),
        (application.reverse_url("coffee", &[("id", "//")]).unwrap(), String::from("[//]")),
    ];
    let server = serve(application).await;
    let mut client = server.connect().await;
    for (url, arguments) in urls {
        assert_eq!(client.ask(&format!("GET {url}")).await.text(), arguments, "{url}");
    }
}

#[test]
fn a_url_without_its_route_or_its_arguments_is_an_error_that_names_them() {
    let application = Application::with_routes(named(), settings()).unwrap();
    let error = |name: &str, arguments: &[(&str, &str)]| {
        application.reverse_url(name, arguments).unwrap_err().to_string()
    };
    assert!(error("stories", &[]).contains("\"stories\""));
    assert!(error("story", &[("path", "a")]).contains("\"id\""));
    assert!(error("story", &[("id", "1")]).contains("\"path\""));
    assert!(error("story", &[("id", ""), ("path", "a")]).contains("\"id\""));
    let twice =
        ["/a", "/b"].map(|path| Route::new(path, handler::<EchoHandler>).named("x"));
    let Err(Error::Config(error)) = Application::with_routes(twice, settings()) else {
        panic!("two routes have one name")
    };
    assert!(error.contains("\"x\""), "{error}");
}

/// Serves redirects, each from a pattern to a target.
async fn redirecting<const N: usize>(redirects: [(&str, RedirectTo); N]) -> Running {
    let routes = redirects.map(|(pattern, target)| {
        Route::new(pattern, handler::<RedirectHandler>).with(target)
    });
    serve(Application::with_routes(routes, settings()).unwrap()).await
}

#[tokio::test]
async fn a_redirect_takes_the_arguments_of_the_path_and_the_query_along() {
    let server = redirecting([
        ("/photos/{path...}", RedirectTo(Status::MOVED_PERMANENTLY, "/pictures/{path...}")),
        ("/user/{id}", RedirectTo(Status::FOUND, "/find?kind=user&id={id}#top")),
        (
            "/caf\u{e9}",
            RedirectTo(Status::MOVED_PERMANENTLY, "https://new.example/caf%C3%A9"),
        ),
    ])
    .await;
    let mut client = server.connect().await;
    for (path, status, location) in [
        ("/photos/a/b%20c.jpg", 301, "/pictures/a/b%20c.jpg"),
        ("/photos/", 301, "/pictures/"),
        ("/photos/a?x=1&x=2", 301, "/pictures/a?x=1&x=2"),
        ("/photos/a?x=%0D%0A&y=\\", 301, "/pictures/a?x=%0D%0A&y=%5C"),
        ("/photos/%0d%0aSet-Cookie:a=b", 301, "/pictures/%0D%0ASet-Cookie%3Aa%3Db"),
        ("/user/a%2Fb%26c=d", 302, "/find?kind=user&id=a%2Fb%26c%3Dd#top"),
        ("/user/1?y=2", 302, "/find?kind=user&id=1&y=2#top"),
        ("/caf%C3%A9?", 301, "https://new.example/caf%C3%A9"),
    ] {
        let reply = client.ask(&format!("GET {path}")).await;
        assert_eq!((reply.status, reply.field("Location")), (status, Some(location)));
        assert_eq!(client.ask(&format!("HEAD {path}")).await.status, status);
    }
    assert_eq!(client.ask("POST /photos/a").await.status, 405);
}

/// Open redirect (CWE-601): a link to this site that leads to the attacker's.
#[tokio::test]
async fn a_redirect_never_leads_to_a_host_of_the_clients_choice() {
    let server = redirecting([
        ("/to/{path...}", RedirectTo(Status::MOVED_PERMANENTLY, "/{path...}")),
        (
            "/new/{path...}",
            RedirectTo(Status::MOVED_PERMANENTLY, "https://new.example/{path...}"),
        ),
    ])
    .await;
    let mut client = server.connect().await;
    for path in ["/evil.example", "//evil.example", "/%2e%2e//evil.example"] {
        let reply = client.ask(&format!("GET /to/{path}")).await;
        assert_eq!((reply.status, reply.field("Location")), (400, None), "{path}");
    }
    for (path, location) in [
        ("/to/\\evil.example", "/%5Cevil.example"),
        ("/to/%5Cevil.example", "/%5Cevil.example"),
        ("/to/%09/evil.example", "/%09/evil.example"),
        ("/to/%2E%2E//evil.example", "/..//evil.example"),
        ("/to/https://evil.example", "/https%3A//evil.example"),
        ("/new//evil.example", "https://new.example//evil.example"),
        ("/new/@evil.example", "https://new.example/%40evil.example"),
    ] {
        let reply = client.ask(&format!("GET {path}")).await;
        assert_eq!((reply.status, reply.field("Location")), (301, Some(location)));
    }
}

#[test]
fn a_redirect_whose_placeholders_or_host_are_not_certain_is_an_error_at_startup() {
    for (pattern, target) in [
        ("/old/{id}", "/new/{name}"),
        ("/old/{path...}", "/new/{path}"),
        ("/old/{path...}", "{path...}"),
        ("/old/{host}", "//{host}/"),
        ("/old/{host}", "https://{host}/"),
        ("/old/{path...}", "https://new.example{path...}"),
        ("/old", "https:///new"),
        ("/old", "//new.example/"),
        ("/old", "\\\\new.example"),
        ("/old", "javascript:alert(1)"),
        ("/old", ""),
    ] {
        let redirect = RedirectTo(Status::MOVED_PERMANENTLY, target);
        let route =
            Route::new(pattern, handler::<RedirectHandler>).with(Arc::new(redirect));
        let Err(Error::Config(error)) = Application::with_routes([route], settings())
        else {
            panic!("{target} was taken")
        };
        assert!(
            error.contains(pattern) && error.contains(&format!("{target:?}")),
            "{error}"
        );
    }
}

/// Creates a directory of pages for one test.
fn pages(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("routes").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("api/empty")).unwrap();
    fs::write(folder.join("index.html"), "home").unwrap();
    fs::write(folder.join("api/index.html"), "the API").unwrap();
    fs::write(folder.join("api/a.txt"), "0123456789").unwrap();
    fs::write(folder.join(".secret"), "secret").unwrap();
    folder
}

#[tokio::test]
async fn a_route_serves_a_directory_of_its_own_with_its_default_file() {
    let folder = pages("own");
    let files = StaticFiles::new(&folder).unwrap().default_filename("index.html");
    let bare = Arc::new(StaticFiles::new(&folder).unwrap());
    let routes = [
        Route::new("/bare/{file...}", handler::<StaticFileHandler>).with(bare),
        Route::new("/{path...}", handler::<StaticFileHandler>).with(files),
    ];
    let static_path = pages("static");
    fs::write(static_path.join("site.css"), "css").unwrap();
    let settings = Settings { static_path, ..settings() };
    let server = serve(Application::with_routes(routes, settings).unwrap()).await;
    let mut client = server.connect().await;
    for (path, content) in [
        ("/", "home"),
        ("/index.html", "home"),
        ("/api/", "the API"),
        ("/api/a.txt", "0123456789"),
        ("/bare/api/a.txt", "0123456789"),
        ("/static/site.css", "css"),
    ] {
        let reply = client.ask(&format!("GET {path}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, content), "{path}");
        assert_eq!(reply.field("Cache-Control"), Some("no-cache"));
    }
    for path in [
        "/api/empty",
        "/api/empty/",
        "/api//",
        "/nothing/",
        "/.secret",
        "/api/../.secret",
        "/site.css",
        "/bare/",
        "/bare/api",
        "/bare/api/",
        "/static/",
        "/static/api",
    ] {
        assert_eq!(client.ask(&format!("GET {path}")).await.status, 404, "{path}");
    }
    let reply = client.ask("GET /api?version=2").await;
    assert_eq!((reply.status, reply.field("Location")), (301, Some("/api/")));
    let reply = client.ask("GET //evil.example/..%2fapi").await;
    assert_eq!(reply.field("Location"), None);
    let reply = client.ask("GET /api/a.txt\nRange: bytes=2-3").await;
    assert_eq!((reply.status, reply.text().as_str()), (206, "23"));
    let tag = client.ask("GET /api/").await.field("ETag").unwrap().to_owned();
    let reply = client.ask(&format!("GET /api/\nIf-None-Match: {tag}")).await;
    assert_eq!(reply.status, 304);
}

#[test]
fn a_missing_directory_of_a_route_is_an_error_at_startup() {
    let Err(Error::Config(error)) = StaticFiles::new("no/such/folder") else {
        panic!("it was opened")
    };
    assert!(error.contains("no/such/folder"), "{error}");
}

/// A webhook comes from a server: it has neither cookies nor a token, nor the fields by which a
/// browser names the origin.
#[tokio::test]
async fn a_route_without_the_xsrf_check_still_refuses_the_pages_of_other_sites() {
    let routes = [
        Route::new("/hook", handler::<EchoHandler>).without_xsrf_check(),
        Route::new("/form", handler::<EchoHandler>),
    ];
    let settings = Settings { xsrf_cookies: true, ..settings() };
    let server = serve(Application::with_routes(routes, settings).unwrap()).await;
    let mut client = server.connect().await;
    for (lines, status) in [
        ("POST /hook", 200),
        ("POST /form", 403),
        ("POST /hook\nOrigin: https://evil.example", 403),
        ("POST /hook\nSec-Fetch-Site: cross-site", 403),
        ("POST /hook\nSec-Fetch-Site: same-origin", 200),
    ] {
        assert_eq!(client.ask(lines).await.status, status, "{lines}");
    }
}

#[tokio::test]
async fn a_route_for_any_host_is_the_only_one_that_other_hosts_see() {
    let routes = [
        Route::new("/{page}", handler::<EchoHandler>),
        Route::new("/health", handler::<EchoHandler>).for_any_host(),
    ];
    let allowed_hosts = vec![String::from("example.com")];
    let settings = Settings { allowed_hosts, ..settings() };
    let server = serve(Application::with_routes(routes, settings).unwrap()).await;
    let ask = async |target: &str, host: &str| {
        let mut client = server.connect().await;
        client.send(format!("{target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let reply = client.receive().await;
        (reply.status, reply.text())
    };
    assert_eq!(ask("GET /health", "example.com").await, (200, String::from("[health]")));
    for host in ["10.0.0.7:8888", "[::1]", "evil.example"] {
        assert_eq!(ask("GET /health", host).await, (200, String::new()), "{host}");
        for target in ["GET /page", "GET /a/b", "GET /%ff", "OPTIONS *"] {
            assert_eq!(ask(target, host).await.0, 421, "{host} {target}");
        }
    }
    let (status, _) = ask("GET https://10.0.0.7/health", "10.0.0.7").await;
    assert_eq!(status, 421, "https over plain http is refused on every route");
    let mut client = server.connect().await;
    client.send("GET /health HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.receive().await.status, 200, "no host is any host, too");
}
