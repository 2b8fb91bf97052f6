//! The login form of the victims that use `dustdevil::web`, and the checks that they share.

use std::time::Duration;

use dustdevil::{Exchange, Result};

use super::{MAX_WORK, WORK};

/// Writes a page with a form that posts to `action`, with an XSRF token.
pub(crate) async fn form(exchange: &mut Exchange, action: &str, text: &str) -> Result {
    let token = exchange.xsrf_token().await?;
    exchange.write(format!(
        "<p>{text}</p>\n<form method=\"post\" action=\"{action}\">\n\
         <input type=\"hidden\" name=\"_xsrf\" value=\"{token}\">\n\
         <input name=\"username\"> <input name=\"password\" type=\"password\"> <button>Go</button>\n\
         </form>\n"
    ))
}

/// Returns the user name, if the form has the right password for it.
pub(crate) fn checked_user(exchange: &Exchange) -> Result<Option<String>> {
    let username = exchange.get_body_argument("username")?;
    let password = exchange.get_body_argument_raw("password")?;
    Ok((username == "admin" && password == "123").then_some(username))
}

/// Waits for as long as a query to a database takes, or for the argument `wait` in milliseconds.
pub(crate) async fn work(exchange: &Exchange) {
    let wait = exchange.get_query_argument("wait").ok().and_then(|wait| wait.parse().ok());
    let wait = wait.map_or(WORK, Duration::from_millis);
    tokio::time::sleep(wait.min(MAX_WORK)).await;
}
