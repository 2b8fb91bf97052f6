//! A signed cookie instead of a session: the server keeps nothing. **Warning: it is vulnerable on
//! purpose.**
//!
//! The signature is right, and still a logout ends nothing: it only asks the browser to forget the
//! cookie. Every copy is valid until it expires. JWTs in cookies have the same property.

use std::time::Duration;

use dustdevil::{
    Application, Exchange, RequestHandler, Result, Settings, crypto, handler, methods,
};

use super::pages;

const MAX_AGE: Duration = Duration::from_secs(300);

struct LoginHandler;

impl RequestHandler for LoginHandler {
    methods!(Get, Post);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        pages::form(exchange, "/login", "").await
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        match pages::checked_user(exchange)? {
            Some(user) => {
                exchange.set_signed_cookie("user", &user, MAX_AGE)?;
                exchange.redirect("/main")
            }
            None => exchange.redirect("/login"),
        }
    }
}

struct MainHandler;

impl RequestHandler for MainHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        match exchange.get_signed_cookie("user", MAX_AGE) {
            Some(_) => pages::form(exchange, "/logout", "this is main page").await,
            None => exchange.redirect("/login"),
        }
    }
}

struct LogoutHandler;

impl RequestHandler for LogoutHandler {
    methods!(Post);

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        exchange.clear_cookie("user")?;
        exchange.redirect("/login")
    }
}

/// Builds the application.
pub(crate) fn application() -> Result<Application> {
    let settings = Settings {
        xsrf_cookies: true,
        cookie_secret: crypto::random::<32>().to_vec(),
        ..Settings::default()
    };
    Application::new(
        [
            ("/login", handler::<LoginHandler>),
            ("/main", handler::<MainHandler>),
            ("/logout", handler::<LogoutHandler>),
        ],
        settings,
    )
}
