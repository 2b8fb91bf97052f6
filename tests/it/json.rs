//! JSON: session values through serde, and the content of requests and responses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use dustdevil::session::{Error, SessionConfig};
use dustdevil::{Application, Exchange, RequestHandler, Result, Session, handler, methods};

use crate::support::{Reply, serve, settings, store};

fn session() -> Session {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Session::new(store(), SessionConfig::default(), ip, std::iter::empty())
}

type Cart = BTreeMap<String, u32>;

#[tokio::test]
async fn serialized_values_come_back_unchanged() {
    let session = session();
    let cart: Cart =
        [("tea", 2), ("\u{1f375} \"cup\"", 1)].map(|(k, v)| (k.into(), v)).into();
    session.set_json("cart", &cart).await.unwrap();
    assert_eq!(session.get_json::<Cart>("cart").await.unwrap(), Some(cart));
    assert_eq!(session.get_json::<Cart>("other").await.unwrap(), None);
}

#[tokio::test]
async fn a_value_of_another_type_or_invalid_json_is_an_error_and_changes_nothing() {
    let session = session();
    session.set("cart", "tea").await.unwrap();
    let wrong = Err(Error::WrongType { name: String::from("cart") });
    assert_eq!(session.get_json::<Cart>("cart").await, wrong);
    assert!(session.update_json("cart", |_: Option<Cart>| Cart::new()).await.is_err());
    let unkeyed: BTreeMap<(u32, u32), u32> = [((1, 2), 3)].into();
    assert!(session.set_json("cart", &unkeyed).await.is_err());
    assert_eq!(session.get("cart").await.unwrap().as_deref(), Some("tea"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_updates_of_one_structure_all_count() {
    let session = session();
    session.set_json("cart", &Cart::new()).await.unwrap();
    let changes = (0..50).map(|number| {
        let session = session.clone();
        tokio::spawn(async move {
            let add = |cart: Option<Cart>| {
                let mut cart = cart.unwrap_or_default();
                cart.insert(format!("thing {number}"), number);
                cart
            };
            session.update_json("cart", add).await.unwrap();
        })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap();
    }
    let cart: Cart = session.get_json("cart").await.unwrap().unwrap();
    assert_eq!(cart.len(), 50);
}

/// Receives a cart and sends it back.
struct CartHandler;

impl RequestHandler for CartHandler {
    methods!(Get, Post);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let cart: Cart = serde_json::from_str("{ of the application itself")?;
        exchange.write_json(&cart)
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let cart: Cart = exchange.json_content()?;
        exchange.write_json(&cart)?;
        match exchange.request().query() {
            Some("problem") => {
                exchange.set_header("Content-Type", "application/problem+json")
            }
            _ => Ok(()),
        }
    }
}

async fn post(query: &str, content_type: &str, content: &str) -> Reply {
    let routes = [("/cart", handler::<CartHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let length = content.len();
    let head = format!("POST /cart{query}\n{content_type}\nContent-Length: {length}");
    server.visitor().request(&head, content).await
}

#[tokio::test]
async fn json_content_comes_in_and_goes_out() {
    for content_type in [
        "Content-Type: application/json",
        "Content-Type: Application/JSON; charset=utf-8",
        "Content-Type: application/vnd.cart+json",
    ] {
        let reply = post("", content_type, "{\"cup\": 1, \"\u{e9}<\": 2}").await;
        assert_eq!(
            (reply.status, reply.field("Content-Type")),
            (200, Some("application/json"))
        );
        assert_eq!(reply.text(), "{\"cup\":1,\"\u{e9}<\":2}");
    }
    let reply = post("?problem", "Content-Type: application/json", "{}").await;
    assert_eq!(reply.field("Content-Type"), Some("application/problem+json"));
}

#[tokio::test]
async fn json_content_that_is_invalid_is_400_with_line_and_column() {
    for (content, message) in [
        ("{\"tea\":\n  x}", "Invalid JSON, line 2, column 3."),
        ("", "Invalid JSON, line 1, column 0."),
        ("{} {}", "Invalid JSON, line 1, column 4."),
        ("{\"tea\": \"secret\"}", "Unexpected value in JSON, line 1, column 16."),
        ("[]", "Unexpected value in JSON, line 1, column 0."),
    ] {
        let reply = post("", "Content-Type: application/json", content).await;
        assert_eq!(reply.status, 400, "{content}");
        let page = reply.text();
        assert!(page.contains(message), "{page}");
        assert!(!page.contains("secret"), "the content is not quoted: {page}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(post("", "Content-Type: application/json", &deep).await.status, 400);
}

/// A form of another site can send these types without asking first (CORS).
#[tokio::test]
async fn json_content_of_another_type_is_415() {
    for content_type in [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: application/jsonp",
        "X-Type: none",
    ] {
        let reply = post("", content_type, "{}").await;
        assert_eq!(reply.status, 415, "{content_type}");
        assert_eq!(reply.field("Accept"), Some("application/json"));
    }
}

#[tokio::test]
async fn json_that_the_application_itself_got_wrong_is_500() {
    let routes = [("/cart", handler::<CartHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    assert_eq!(server.visitor().get("/cart").await.status, 500);
}
