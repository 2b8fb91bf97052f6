//! Four of Tornado's demos, as ports (`tests/ports`), each used as its page or script uses it.

use dustdevil::Application;

use crate::support::{Client, Reply, Running, Visitor, serve};

/// A port, with the `main` of its program.
macro_rules! port {
    ($name:ident, $path:literal) => {
        #[path = $path]
        #[allow(dead_code, unreachable_pub)]
        mod $name;
    };
}

port!(blog, "../ports/blog.rs");
#[cfg(feature = "json")]
port!(chat, "../ports/chat.rs");
port!(hello, "../ports/hello.rs");
port!(upload, "../ports/upload.rs");

async fn serve_port(application: dustdevil::Result<Application>) -> Running {
    serve(application.expect("nothing is wrong with it")).await
}

#[tokio::test]
async fn the_port_of_hello_greets() {
    let server = serve_port(hello::make_app()).await;
    let reply = server.visitor().get("/").await;
    assert_eq!((reply.status, &*reply.text()), (200, "Hello, world"));
    assert_eq!(server.visitor().get("/other").await.status, 404);
}

/// Content with a head, as curl sends it.
async fn send(server: &Running, line: &str, content_type: &str, content: &[u8]) -> Reply {
    let mut client = Client::connect(server.address).await;
    let length = content.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    client.send([head.as_bytes(), content].concat()).await;
    client.receive().await
}

#[tokio::test]
async fn the_port_of_the_upload_takes_forms_and_files() {
    let server = serve_port(upload::make_app()).await;
    let part = |name: &str, text: &str| {
        format!(
            "--limit\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\
             \r\nContent-Type: text/plain\r\n\r\n{text}\r\n"
        )
    };
    let form = part("one.txt", "1") + &part("two.txt", "22") + "--limit--\r\n";
    let form_type = "multipart/form-data; boundary=limit";
    let reply = send(&server, "POST /post", form_type, form.as_bytes()).await;
    assert_eq!((reply.status, &*reply.text()), (200, "OK"));
    // Above the default limit of 1 MiB.
    let large = vec![b'x'; 3 * 1024 * 1024];
    let reply = send(&server, "PUT /a%20b.bin", "application/octet-stream", &large).await;
    assert_eq!((reply.status, &*reply.text()), (200, "OK"));
    let cut = &form.as_bytes()[..form.len() - 20];
    assert_eq!(send(&server, "POST /post", form_type, cut).await.status, 400);
    assert_eq!(send(&server, "GET /post", form_type, b"").await.status, 405);
}

#[cfg(feature = "json")]
mod chatting {
    use std::slice;

    use serde_json::{Value, json};

    use super::{Reply, Running, Visitor, chat, serve_port};
    use crate::webdriver::{Browser, wait_until};

    /// A page of the chat, with its token.
    struct Page {
        visitor: Visitor,
        token: String,
    }

    impl Page {
        async fn open(server: &Running) -> Page {
            let mut visitor = server.visitor();
            let token = visitor.get("/").await.xsrf_token();
            Page { visitor, token }
        }

        async fn post(&mut self, target: &str, form: &[(&str, &str)]) -> Reply {
            let mut form = form.to_vec();
            form.push(("_xsrf", &self.token));
            self.visitor.post(target, &form).await
        }

        async fn say(&mut self, body: &str) -> Value {
            let reply = self.post("/a/message/new", &[("body", body)]).await;
            assert_eq!(reply.field("Content-Type"), Some("application/json"));
            serde_json::from_slice(&reply.content).expect("a message")
        }

        /// The messages after `cursor`. Waits until there is one.
        async fn updates(mut self, cursor: Option<&str>) -> Vec<Value> {
            let form: Vec<_> =
                cursor.map(|cursor| ("cursor", cursor)).into_iter().collect();
            let reply = self.post("/a/message/updates", &form).await;
            let mut value: Value = serde_json::from_slice(&reply.content).expect("JSON");
            serde_json::from_value(value["messages"].take()).expect("a list")
        }
    }

    #[tokio::test]
    async fn a_message_in_the_port_of_the_chat_wakes_all_that_poll() {
        let mut server = serve_port(chat::make_app()).await;
        let mut ada = Page::open(&server).await;
        let first = ada.say("<hello>").await;
        assert_eq!(first["body"], "<hello>");
        assert!(first["html"].as_str().unwrap().contains("&lt;hello&gt;"));
        let id = first["id"].as_str().unwrap().to_owned();
        // Without a cursor, and with one that is not known (any more): all messages.
        for cursor in [None, Some("unknown")] {
            let messages = Page::open(&server).await.updates(cursor).await;
            assert_eq!(messages, slice::from_ref(&first));
        }
        // With the latest as the cursor, there is nothing yet, and both requests wait.
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let page = Page::open(&server).await;
            let id = id.clone();
            waiting.push(tokio::spawn(async move { page.updates(Some(&id)).await }));
        }
        let second = ada.say("again").await;
        for client in waiting {
            assert_eq!(client.await.unwrap(), slice::from_ref(&second));
        }
        let page = ada.visitor.get("/").await.text();
        for message in [&first, &second] {
            assert!(page.contains(message["html"].as_str().unwrap()), "{page}");
        }
        // A shutdown ends a request that waits.
        let form = format!("_xsrf={}&cursor={}", ada.token, second["id"].as_str().unwrap());
        let cookies =
            ada.visitor.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let head = format!(
            "POST /a/message/updates HTTP/1.1\r\nHost: localhost\r\nCookie: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            cookies.collect::<Vec<_>>().join("; "),
            form.len()
        );
        let mut client = server.connect().await;
        assert_eq!(client.ask("GET /").await.status, 200);
        client.send(head + &form).await;
        server.begin_shutdown();
        assert_eq!(client.receive().await.text(), "{\"messages\":[]}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_script_of_the_port_of_the_chat_polls_and_posts_in_a_browser() {
        let server = serve_port(chat::make_app()).await;
        let Some(browser) = Browser::open(server.address) else { return };
        browser.visit("/");
        let mut ada = Page::open(&server).await;
        ada.say("from <Ada>").await;
        let shows = |text: &str| wait_until(|| browser.text("#inbox").contains(text));
        assert!(shows("from <Ada>"));
        // U+E007 is the key Enter, which sends a form.
        browser.enter("[name=body]", "from the browser\u{E007}");
        assert!(shows("from the browser"));
        assert!(wait_until(|| browser.property("[name=body]", "value") == ""));
        let messages = ada.updates(None).await;
        assert_eq!(messages[1]["body"], "from the browser");
        // The script has posted it, so it is not shown twice, and the page was not left.
        let count = "return document.querySelectorAll('.message').length";
        assert_eq!(browser.execute(count), 2);
        // The demo has no icon.
        let errors = browser.console();
        assert!(errors.iter().all(|error| error.contains("/favicon.ico")), "{errors:?}");
    }

    #[tokio::test]
    async fn the_form_in_the_port_of_the_chat_works_without_a_script() {
        let server = serve_port(chat::make_app()).await;
        let mut page = Page::open(&server).await;
        let next = |next| [("body", "x"), ("next", next)];
        let reply = page.post("/a/message/new", &next("/")).await;
        assert_eq!((reply.status, reply.field("Location")), (302, Some("/")));
        for other_site in ["//example.com", "https://example.com/"] {
            let reply = page.post("/a/message/new", &next(other_site)).await;
            assert_eq!(reply.status, 400, "{other_site}");
        }
        let forged = page.visitor.post("/a/message/new", &next("/")).await;
        assert_eq!(forged.status, 403);
        // What was refused is not in the room.
        let messages = Page::open(&server).await.updates(None).await;
        let bodies: Vec<_> = messages.iter().map(|message| &message["body"]).collect();
        assert_eq!(bodies, [&json!("x")]);
        let script = page.visitor.get("/static/chat.js").await;
        assert_eq!(script.status, 200);
    }
}

const ADA: [(&str, &str); 3] =
    [("email", "ada@example.com"), ("name", "Ada"), ("password", " secret ")];

/// The blog, with its author logged in.
async fn blog_of_ada() -> (Running, Visitor) {
    let server = serve_port(blog::make_app()).await;
    let mut ada = server.visitor();
    let reply = ada.fill("/auth/create", "/auth/create", &ADA).await;
    assert_eq!((reply.status, reply.field("Location")), (302, Some("/")));
    (server, ada)
}

fn post<'t>(id: &'t str, title: &'t str, text: &'t str) -> [(&'t str, &'t str); 3] {
    [("id", id), ("title", title), ("markdown", text)]
}

#[tokio::test]
async fn the_port_of_the_blog_has_one_author_that_logs_in_and_out() {
    let (server, mut ada) = blog_of_ada().await;
    let mut visitor = server.visitor();
    let login = async |visitor: &mut Visitor, email: &str, password: &str| {
        let form = [("email", email), ("password", password)];
        visitor.fill("/auth/login", "/auth/login?next=%2Farchive", &form).await
    };
    let reply = visitor.fill("/auth/create", "/auth/create", &ADA).await;
    assert_eq!(reply.status, 400, "a second author");
    let reply = login(&mut visitor, "eve@example.com", " secret ").await;
    assert!(reply.text().contains("email not found"));
    // The space at both ends belongs to the password.
    let reply = login(&mut visitor, "ada@example.com", "secret").await;
    assert!(reply.text().contains("incorrect password"));
    let to_login = |reply: &Reply| {
        assert_eq!(reply.status, 302);
        reply.field("Location").unwrap().starts_with("/auth/login?next=%2Fcompose")
    };
    assert!(to_login(&visitor.get("/compose").await));
    let reply = login(&mut visitor, "ada@example.com", " secret ").await;
    assert_eq!((reply.status, reply.field("Location")), (302, Some("/archive")));
    assert_eq!(visitor.get("/compose").await.status, 200);
    let old = visitor.clone();
    let reply = visitor.get("/auth/logout?next=//example.com").await;
    assert_eq!(reply.status, 400);
    let reply = old.clone().get("/auth/logout?next=%2Farchive").await;
    assert_eq!((reply.status, reply.field("Location")), (302, Some("/archive")));
    // The logout has ended the session on the server, and no other session of hers.
    assert!(to_login(&old.clone().get("/compose").await));
    assert_eq!(ada.get("/compose").await.status, 200);
}

#[tokio::test]
async fn the_port_of_the_blog_asks_for_an_author_first() {
    let server = serve_port(blog::make_app()).await;
    let mut visitor = server.visitor();
    for (page, next) in [
        ("/", "/compose"),
        ("/compose", "/auth/login?next=%2Fcompose"),
        ("/auth/login", "/auth/create"),
    ] {
        let reply = visitor.get(page).await;
        assert_eq!((reply.status, reply.field("Location")), (302, Some(next)), "{page}");
    }
}

#[tokio::test]
async fn the_port_of_the_blog_shows_what_its_author_has_composed() {
    let (server, mut ada) = blog_of_ada().await;
    let text = post("0", "Tea & <Cake>", "One.\r\n\r\n<b>Two.</b>");
    let reply = ada.fill("/compose", "/compose", &text).await;
    assert_eq!((reply.status, reply.field("Location")), (302, Some("/entry/tea-cake")));
    let reply = ada.fill("/compose", "/compose", &text).await;
    assert_eq!(reply.field("Location"), Some("/entry/tea-cake-2"));
    let edit = ada.get("/compose?id=2").await.text();
    assert!(edit.contains("value=\"Tea &amp; &lt;Cake&gt;\""), "{edit}");
    let reply = ada.fill("/compose?id=2", "/compose", &post("2", "Coffee", "Three.")).await;
    assert_eq!(reply.field("Location"), Some("/entry/tea-cake-2"));

    let mut visitor = server.visitor();
    let entry = visitor.get("/entry/tea-cake").await.text();
    assert!(entry.contains("<p>One.</p>\n<p>&lt;b&gt;Two.&lt;/b&gt;</p>"), "{entry}");
    for (page, newest, oldest) in [
        ("/", "Coffee", "Tea &amp; &lt;Cake&gt;"),
        ("/archive", "Coffee", "Tea &amp; &lt;Cake&gt;"),
        ("/feed", "/entry/tea-cake-2", "/entry/tea-cake<"),
    ] {
        let text = visitor.get(page).await.text();
        let [newest, oldest] = [newest, oldest].map(|what| text.find(what));
        assert!(newest.is_some() && newest < oldest, "{page}: {text}");
    }
    let feed = visitor.get("/feed").await;
    assert_eq!(feed.field("Content-Type"), Some("application/atom+xml"));
    assert!(feed.text().contains(&format!("<id>http://{}/</id>", "localhost")));
    assert_eq!(visitor.get("/entry/none").await.status, 404);
}

#[tokio::test]
async fn the_port_of_the_blog_refuses_what_is_forged_or_unknown() {
    let (server, mut ada) = blog_of_ada().await;
    let entry = post("0", "Title", "Text");
    assert_eq!(ada.post("/compose", &entry).await.status, 403, "no token");
    let mut visitor = server.visitor();
    let token = visitor.get("/auth/login").await.xsrf_token();
    let mut form = entry.to_vec();
    form.push(("_xsrf", &token));
    assert_eq!(visitor.post("/compose", &form).await.status, 403, "no login");
    assert_eq!(ada.post("/compose", &form).await.status, 403, "a token of another client");
    for (id, status) in [("7", 404), ("x", 400)] {
        assert_eq!(ada.get(&format!("/compose?id={id}")).await.status, status);
        let reply = ada.fill("/compose", "/compose", &post(id, "Title", "Text")).await;
        assert_eq!(reply.status, status, "id {id}");
    }
    assert_eq!(ada.get("/").await.field("Location"), Some("/compose"), "no entry");
}

/// The lines of the Python demos, without blank lines, comments and docstrings, and the share
/// of them that a port may have.
#[test]
fn the_ports_of_the_chat_and_the_blog_are_at_most_a_third_longer_than_the_python() {
    for (name, python) in [("hello", 15), ("chat", 76), ("upload", 35), ("blog", 232)] {
        let path = crate::support::project(&format!("tests/ports/{name}.rs"));
        let lines = crate::guide::code_lines(&std::fs::read_to_string(path).unwrap());
        println!("{name}: {lines} code lines, {python} in Python");
        assert!(
            lines * 10 <= python * 13,
            "{name}: {lines} code lines, {python} in Python"
        );
    }
}
