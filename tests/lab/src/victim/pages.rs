//! What the victims that use `dustdevil::web` share with [`dustdevil`](super::dustdevil).

use std::time::Duration;

use dustdevil::{Exchange, Result};

/// The time that a page spends between reading the session and writing to it: that of a query to
/// a database.
pub(crate) const WORK: Duration = Duration::from_millis(100);

/// The same for `/slow`. A script does several things in this time, also on a loaded machine.
pub(crate) const SLOW_WORK: Duration = Duration::from_secs(6);

/// Waits, in place of work.
pub(crate) async fn work_for(time: Duration) {
    tokio::time::sleep(time).await;
}

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

/// Returns the page `/keys`: the names of the values in the session.
pub(crate) fn name_lines(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    names
        .into_iter()
        .fold(String::new(), |page, name| page + "name=" + name.as_ref() + "\n")
}
