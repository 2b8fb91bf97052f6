//! Session ids that clients present: several in one request, and ids from before a rotation.
//!
//! Requests overlap: a browser may send several with the old id while a login rotates it. The
//! grace period of the store tells such requests from those with an unknown id.

use crate::support::{Running, Visitor, demo_of};

async fn log_in(visitor: &mut Visitor, username: &str) {
    let form = [("username", username), ("password", "123")];
    let reply = visitor.fill("/login", "/login", &form).await;
    assert_eq!(reply.field("Location"), Some("/main"));
}

/// A visitor with an anonymous session, which a wrong password has created.
async fn anonymous(server: &Running) -> Visitor {
    let mut visitor = server.visitor();
    let form = [("username", "ann"), ("password", "wrong")];
    visitor.fill("/login", "/login", &form).await;
    assert!(visitor.cookies.contains_key("session_id"));
    visitor
}

/// Cookie tossing with a live session: the attacker plants the id of their own session. The
/// server cannot tell which id is genuine, and using the wrong one would put the visitor into
/// the attacker's session, so it uses none (fail closed).
#[tokio::test]
async fn of_two_live_sessions_in_one_request_neither_is_used() {
    let server = demo_of("twice").await;
    let (mut mine, mut planted) = (server.visitor(), server.visitor());
    log_in(&mut mine, "twice").await;
    log_in(&mut planted, "twice").await;
    let (mine, planted) = (&mine.cookies["session_id"], &planted.cookies["session_id"]);
    let mut client = server.connect().await;
    for cookies in [
        format!("session_id={mine}; session_id={planted}"),
        format!("session_id={planted}; session_id={mine}"),
    ] {
        let reply = client.ask(&format!("GET /main\nCookie: {cookies}")).await;
        assert_eq!(reply.status, 302, "{cookies}");
        assert_eq!(reply.cookie("session_id"), None, "{cookies}");
    }
    for cookie in [mine, planted] {
        let twice = format!("GET /main\nCookie: session_id={cookie}; session_id={cookie}");
        assert_eq!(client.ask(&twice).await.status, 200, "one and the same");
    }
}

/// The response to a late request arrives after that of the login. If it deleted or replaced
/// the cookie, it would log the user out.
#[tokio::test]
async fn a_request_with_a_rotated_id_finds_nothing_and_deletes_no_cookie() {
    let server = demo_of("late").await;
    let mut visitor = anonymous(&server).await;
    let mut late = visitor.clone();
    let token = late.get("/login").await.xsrf_token();
    log_in(&mut visitor, "late").await;

    let reply = late.get("/main").await;
    assert_eq!((reply.status, reply.cookie("session_id")), (302, None));
    let form = [("username", "late"), ("password", "wrong"), ("_xsrf", &token)];
    let reply = late.post("/login", &form).await;
    assert_eq!(
        reply.field("Location"),
        Some("/login"),
        "the form is handled like any other"
    );
    assert_eq!(reply.cookie("session_id"), None, "what it writes begins no session");
    assert_eq!(visitor.get("/main").await.status, 200);
}

#[tokio::test]
async fn a_login_with_a_rotated_id_creates_another_session() {
    let server = demo_of("double").await;
    let mut visitor = anonymous(&server).await;
    let mut again = visitor.clone();
    let token = again.get("/login").await.xsrf_token();
    log_in(&mut visitor, "double").await;
    let form = [("username", "double"), ("password", "123"), ("_xsrf", &token)];
    assert_eq!(again.post("/login", &form).await.field("Location"), Some("/main"));
    assert_ne!(visitor.cookies["session_id"], again.cookies["session_id"]);
    for one in [&mut visitor, &mut again] {
        assert_eq!(one.get("/main").await.status, 200);
    }
}

/// A logout must work even if the page with its button is older than the last rotation.
#[tokio::test]
async fn a_logout_with_a_rotated_id_ends_the_session() {
    let server = demo_of("leaver").await;
    let mut visitor = server.visitor();
    log_in(&mut visitor, "leaver").await;
    let mut late = visitor.clone();
    let token = late.get("/main").await.xsrf_token();
    log_in(&mut visitor, "leaver").await;
    assert_ne!(visitor.cookies["session_id"], late.cookies["session_id"]);
    assert_eq!(visitor.get("/main").await.status, 200);

    let reply = late.post("/logout", &[("_xsrf", &token)]).await;
    assert_eq!(reply.field("Location"), Some("/login"));
    assert!(reply.cookie_line("session_id").unwrap().contains("Max-Age=0"));
    assert_eq!(visitor.get("/main").await.status, 302, "logged out is logged out");
}

#[tokio::test]
async fn a_login_form_stays_valid_after_a_wrong_password_in_another_tab() {
    let server = demo_of("tabs").await;
    let mut visitor = server.visitor();
    let first_tab = visitor.get("/login").await.xsrf_token();
    let form = [("username", "tabs"), ("password", "wrong")];
    visitor.fill("/login", "/login", &form).await;
    assert!(visitor.cookies.contains_key("session_id"), "there is a session by now");
    let form = [("username", "tabs"), ("password", "123"), ("_xsrf", &first_tab)];
    assert_eq!(visitor.post("/login", &form).await.field("Location"), Some("/main"));

    let form = [("_xsrf", &*first_tab)];
    assert_eq!(visitor.post("/logout", &form).await.status, 403, "but not after the login");
}

/// A logout ends everything that the client has presented, because one of the ids is the
/// user's.
#[tokio::test]
async fn a_logout_with_two_live_ids_ends_both() {
    let server = demo_of("both").await;
    let (mut mine, mut planted) = (server.visitor(), server.visitor());
    log_in(&mut mine, "both").await;
    log_in(&mut planted, "both").await;
    let (one, other) = (&mine.cookies["session_id"], &planted.cookies["session_id"]);
    let mut client = server.connect().await;
    let cookies = format!("session_id={one}; session_id={other}");
    let page = client.ask(&format!("GET /login\nCookie: {cookies}")).await;
    let (mark, token) = (page.cookie("_xsrf").unwrap(), page.xsrf_token());
    let content = format!("_xsrf={token}");
    let head = format!(
        "POST /logout\nCookie: {cookies}; _xsrf={mark}\n\
         Content-Type: application/x-www-form-urlencoded\nContent-Length: {}",
        content.len()
    );
    let reply = server.visitor().request(&head, &content).await;
    assert_eq!(reply.status, 302);
    for visitor in [&mut mine, &mut planted] {
        assert_eq!(visitor.get("/main").await.status, 302);
    }
}

#[tokio::test]
async fn a_form_from_before_the_login_is_invalid_after_the_logout() {
    let server = demo_of("said").await;
    let mut visitor = server.visitor();
    let before = visitor.get("/login").await.xsrf_token();
    let mark = visitor.cookies["_xsrf"].clone();
    log_in(&mut visitor, "said").await;
    visitor.cookies.insert("_xsrf".into(), mark);
    let key =
        dustdevil::session::id::Id::parse(&visitor.cookies["session_id"]).unwrap().key();
    let form = [("key", &*key.to_string()), ("password", "123")];
    visitor.fill("/sessions", "/sessions", &form).await;
    assert!(visitor.cookies.contains_key("session_id"), "a session with a message");
    assert!(!visitor.cookies.contains_key("_xsrf"), "and without the old mark");
    let form = [("username", "said"), ("password", "123"), ("_xsrf", &before)];
    assert_eq!(visitor.post("/login", &form).await.status, 403);
}
