//! Session values through serde.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use dustdevil::Session;
use dustdevil::session::{Error, SessionConfig};

use crate::support::store;

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
