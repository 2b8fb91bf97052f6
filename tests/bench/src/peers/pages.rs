//! The pages of the demo as all peers send them, with about the same header fields, so that
//! their responses are about as long as Dustdevil's.

use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};

/// Content of the smallest page, `/hello`.
pub(super) const HELLO: &str = "Hello, world!";

pub(super) const HTML: &str = "text/html; charset=UTF-8";

/// The XSRF token of all forms. A constant protects against nothing, but it is compared like a
/// real one.
pub(super) const TOKEN: &str =
    "2d9563c76c929753210b6adb5f3d39a13657e96258ca042c061ea52e714e1af6";

/// Attributes of the two cookies.
pub(super) const XSRF_COOKIE_ATTRIBUTES: &str = "Path=/; HttpOnly; SameSite=Lax";
pub(super) const SESSION_ATTRIBUTES: &str = "Path=/; Max-Age=330; HttpOnly; SameSite=Lax";

/// A header field, parsed once, so that a response only copies it.
pub(super) type Field = (HeaderName, HeaderValue);

const NOSNIFF: Field = (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
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
const FRAME_ANCESTORS: Field =
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("frame-ancestors 'self'"));
const VARY_COOKIE: Field = (VARY, HeaderValue::from_static("Cookie"));
const NO_STORE: Field = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// Header fields of a public page of the demo.
pub(super) static PUBLIC_FIELDS: [Field; 5] = [NOSNIFF, REFERRER, POLICY, OPENER, RESOURCE];

/// Header fields of a page for one visitor, which must not be cached.
pub(super) static NO_STORE_FIELDS: [Field; 7] =
    [NOSNIFF, REFERRER, POLICY, OPENER, RESOURCE, VARY_COOKIE, NO_STORE];

/// Header fields of the page of [`crate::server`], which has the default settings.
pub(super) static PAGE_FIELDS: [Field; 5] =
    [NOSNIFF, REFERRER, FRAME_ANCESTORS, VARY_COOKIE, NO_STORE];

/// Renders `views/login.html`.
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

/// Renders `views/main.html`.
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
