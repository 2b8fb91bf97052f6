//! What all peers send: the demo's pages, and about the fields that go with them, so that answers
//! are about as long as Dustdevil's.

use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};

pub(super) const HELLO: &str = "Hello, world!";

pub(super) const HTML: &str = "text/html; charset=UTF-8";

/// The token of all forms. It protects nothing: whether it is the right one is what is compared.
pub(super) const TOKEN: &str =
    "2d9563c76c929753210b6adb5f3d39a13657e96258ca042c061ea52e714e1af6";

/// What a cookie is set with.
pub(super) const MARK_ATTRIBUTES: &str = "Path=/; HttpOnly; SameSite=Lax";
pub(super) const SESSION_ATTRIBUTES: &str = "Path=/; Max-Age=330; HttpOnly; SameSite=Lax";

pub(super) type Field = (HeaderName, HeaderValue);

const NO_SNIFFING: Field = (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
const REFERRER: Field = (REFERRER_POLICY, HeaderValue::from_static("same-origin"));
const POLICY: Field = (
    CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'",
    ),
);
const OPENER: Field = (
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderValue::from_static("same-origin"),
);
const RESOURCE: Field = (
    HeaderName::from_static("cross-origin-resource-policy"),
    HeaderValue::from_static("same-origin"),
);
const FRAMES: Field =
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'self'"));
const VARIES: Field = (VARY, HeaderValue::from_static("Cookie"));
const NOT_STORED: Field = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// What goes with a page of the demo that is for everybody.
pub(super) static OPEN: [Field; 5] = [NO_SNIFFING, REFERRER, POLICY, OPENER, RESOURCE];

/// What goes with one that is for one visitor.
pub(super) static NO_STORE_FIELDS: [Field; 7] =
    [NO_SNIFFING, REFERRER, POLICY, OPENER, RESOURCE, VARIES, NOT_STORED];

/// What goes with the page of the application that has default settings.
pub(super) static PAGE: [Field; 5] = [NO_SNIFFING, REFERRER, FRAMES, VARIES, NOT_STORED];

/// What `views/login.html` comes to.
pub(super) fn login(token: &str) -> String {
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Log in - Dustdevil</title>
  <link rel="stylesheet" href="/static/site.css?v=a8a0c881f384e6134ebb725472d0291c">
</head>
<body>
  <main>
    <div class="devil" aria-hidden="true"><i></i><i></i><i></i><i></i><i></i></div>
    <h1>Dustdevil</h1>
    <p class="quiet">A small tornado, and what it remembers of you.</p>
    <p class="message" role="alert"></p>
    <form method="post" action="/login">
      <input type="hidden" name="_xsrf" value="{token}">
      <input type="hidden" name="next" value="">
      <label for="username">Username</label>
      <input id="username" name="username" autocomplete="username" required autofocus>
      <label for="password">Password</label>
      <input id="password" name="password" type="password" autocomplete="current-password" required>
      <label class="choice"><input name="remember" type="checkbox" value="yes"> Remember me for 30 days</label>
      <button>Log in</button>
    </form>
  </main>
</body>
</html>
"#
    )
}

/// What `views/main.html` comes to.
pub(super) fn main(username: &str, visits: u64, token: &str) -> String {
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Main - Dustdevil</title>
  <link rel="stylesheet" href="/static/site.css?v=a8a0c881f384e6134ebb725472d0291c">
</head>
<body>
  <main>
    <div class="devil" aria-hidden="true"><i></i><i></i><i></i><i></i><i></i></div>
    <h1>this is main page</h1>
    <p>Good day, <strong>{username}</strong>.</p>
    <p class="quiet">Visits in this session: <strong>{visits}</strong></p>
    <p><a href="/sessions">Your sessions</a></p>
    <form method="post" action="/logout">
      <input type="hidden" name="_xsrf" value="{token}">
      <button>Log out</button>
    </form>
  </main>
</body>
</html>
"#
    )
}
