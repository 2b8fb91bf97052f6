//! Tornado's demo `blog`, written anew: `cargo run --example blog --features cli`.
//!
//! Differences: the blog is in memory and not in a database; the password hash is PBKDF2,
//! written out below, instead of bcrypt (an application takes a package for Argon2); a text has
//! paragraphs instead of Markdown; a session takes the place of the signed cookie with the
//! author's id, so that logging out ends it on the server, too. A slug has the ASCII letters of
//! the title. The author's name, which no page shows, is not kept.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use dustdevil::crypto::{constant_time_eq, random};
use dustdevil::{
    Application, Error, Exchange, Handler, Lifetime, RequestHandler, Result,
    SessionHandler, Settings, Status, Value, escape, handler, methods,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const BLOG_TITLE: &str = "Dustdevil Blog";

#[derive(Clone)]
struct Author {
    email: String,
    salt: [u8; 16],
    password: [u8; 32],
}

#[derive(Clone, Default)]
struct Entry {
    id: usize,
    slug: String,
    title: String,
    markdown: String,
    html: String,
    published: String,
}

impl Entry {
    fn values(&self) -> [(&str, Value<'_>); 6] {
        [
            ("id", &self.id),
            ("slug", &self.slug),
            ("title", &self.title),
            ("markdown", &self.markdown),
            ("html", &self.html),
            ("published", &self.published),
        ]
    }
}

#[derive(Default)]
struct Blog {
    authors: Vec<Author>,
    entries: Vec<Entry>,
}

impl Blog {
    fn latest(&self, count: usize) -> Vec<Entry> {
        self.entries.iter().rev().take(count).cloned().collect()
    }

    fn update(&mut self, entry: Entry) -> Result<String> {
        let found = self.entries.iter_mut().find(|found| found.id == entry.id);
        let found = found.ok_or_else(|| Error::http(Status::NOT_FOUND, ""))?;
        let (slug, published) = (found.slug.clone(), found.published.clone());
        *found = Entry { slug: slug.clone(), published, ..entry };
        Ok(slug)
    }

    fn insert(&mut self, entry: Entry) -> String {
        let title = entry.title.to_lowercase();
        let words = title.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let mut slug =
            if words.is_empty() { String::from("entry") } else { words.join("-") };
        while self.entries.iter().any(|entry| entry.slug == slug) {
            slug += "-2";
        }
        let id = self.entries.len() + 1;
        self.entries.push(Entry { id, slug: slug.clone(), published: now(), ..entry });
        slug
    }
}

/// Returns the time as in RFC 3339, which Atom wants: `2026-11-27T02:00:00Z`.
fn now() -> String {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let parts: Vec<&str> = date.split(' ').collect();
    let month = "JanFebMarAprMayJunJulAugSepOctNovDec".find(parts[2]).unwrap_or(0) / 3 + 1;
    format!("{}-{month:02}-{}T{}Z", parts[3], parts[1], parts[4])
}

fn blog(exchange: &Exchange) -> Result<Arc<Mutex<Blog>>> {
    exchange.state()
}

fn find_entry(exchange: &Exchange, is_it: impl Fn(&Entry) -> bool) -> Result<Entry> {
    let blog = blog(exchange)?;
    let found = blog.lock().unwrap().entries.iter().find(|entry| is_it(entry)).cloned();
    found.ok_or_else(|| Error::http(Status::NOT_FOUND, ""))
}

/// Renders what a page has for each entry. A `UIModule` in Tornado.
async fn render_each(
    exchange: &mut Exchange,
    template: &str,
    entries: &[Entry],
    more: &[(&str, Value<'_>)],
) -> Result<String> {
    let mut html = String::new();
    for entry in entries {
        let values = [&entry.values()[..], more].concat();
        html += &exchange.render_string(template, &values).await?;
    }
    Ok(html)
}

/// Renders a template into the page that all have in common.
async fn render(
    base: &SessionHandler,
    exchange: &mut Exchange,
    template: &str,
    values: &[(&str, Value<'_>)],
) -> Result {
    let body = exchange.render_string(template, values).await?;
    let is_author = base.current_user().await?.is_some();
    let values: [(&str, Value<'_>); 5] = [
        ("title", &BLOG_TITLE),
        ("css", &exchange.static_url("blog.css").await?),
        ("reader", &if is_author { "author" } else { "visitor" }),
        ("path", &escape::url(exchange.request().path())),
        ("body", &body),
    ];
    exchange.render("base.html", &values).await
}

fn redirect_to_next(exchange: &mut Exchange) -> Result {
    let next = SessionHandler::next_path(exchange);
    if next.is_none() && exchange.find_argument("next")?.is_some() {
        return exchange.send_error(Status::BAD_REQUEST);
    }
    exchange.redirect(next.as_deref().unwrap_or("/"))
}

struct HomeHandler(SessionHandler);

impl RequestHandler for HomeHandler {
    methods!(Get; 0: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let entries = blog(exchange)?.lock().unwrap().latest(5);
        if entries.is_empty() {
            return exchange.redirect("/compose");
        }
        let entries = render_each(exchange, "modules/entry.html", &entries, &[]).await?;
        render(&self.0, exchange, "home.html", &[("entries", &entries)]).await
    }
}

struct EntryHandler(SessionHandler);

impl RequestHandler for EntryHandler {
    methods!(Get; 0: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let slug = exchange.path_argument("slug")?;
        let entry = find_entry(exchange, |entry| entry.slug == slug)?;
        render(&self.0, exchange, "modules/entry.html", &entry.values()).await
    }
}

struct ArchiveHandler(SessionHandler);

impl RequestHandler for ArchiveHandler {
    methods!(Get; 0: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let entries = blog(exchange)?.lock().unwrap().latest(usize::MAX);
        let entries = render_each(exchange, "modules/archived.html", &entries, &[]).await?;
        render(&self.0, exchange, "archive.html", &[("entries", &entries)]).await
    }
}

struct FeedHandler;

impl RequestHandler for FeedHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let entries = blog(exchange)?.lock().unwrap().latest(10);
        let updated = entries.first().map_or_else(now, |entry| entry.published.clone());
        let host = exchange.request().authority().unwrap_or_default().to_owned();
        let more: [(&str, Value<'_>); 1] = [("host", &host)];
        let entries = render_each(exchange, "modules/fed.xml", &entries, &more).await?;
        exchange.set_header("Content-Type", "application/atom+xml")?;
        let values: [(&str, Value<'_>); 4] = [
            ("title", &BLOG_TITLE),
            ("updated", &updated),
            ("host", &host),
            ("entries", &entries),
        ];
        exchange.render("feed.xml", &values).await
    }
}

struct ComposeHandler(SessionHandler);

impl RequestHandler for ComposeHandler {
    methods!(Get, Post; 0: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        self.0.authenticated(exchange).await?;
        let entry = match exchange.find_argument("id")? {
            Some(_) => {
                let id: usize = exchange.parse_argument("id")?;
                find_entry(exchange, |entry| entry.id == id)?
            }
            None => Entry::default(),
        };
        render(&self.0, exchange, "compose.html", &entry.values()).await
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.0.authenticated(exchange).await?;
        let markdown = exchange.get_argument("markdown")?;
        let html = escape::html(&markdown).replace("\r\n\r\n", "</p>\n<p>");
        let entry = Entry {
            id: exchange.parse_argument("id")?,
            title: exchange.get_argument("title")?,
            html: format!("<p>{html}</p>"),
            markdown,
            ..Entry::default()
        };
        let blog = blog(exchange)?;
        let slug = match entry.id {
            0 => blog.lock().unwrap().insert(entry),
            _ => blog.lock().unwrap().update(entry)?,
        };
        exchange.redirect(&format!("/entry/{slug}"))
    }
}

struct AuthCreateHandler(SessionHandler);

impl RequestHandler for AuthCreateHandler {
    methods!(Get, Post; 0: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        render(&self.0, exchange, "create_author.html", &[]).await
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let email = exchange.get_argument("email")?;
        let salt = random();
        let password = hash(exchange.get_body_argument_raw("password")?, salt).await?;
        let author = Author { email: email.clone(), salt, password };
        let add = |to: &mut Blog| to.authors.is_empty().then(|| to.authors.push(author));
        let refusal = || Error::http(Status::BAD_REQUEST, "author already created");
        add(&mut blog(exchange)?.lock().unwrap()).ok_or_else(refusal)?;
        self.0.session.log_in(&email).await?;
        redirect_to_next(exchange)
    }
}

struct AuthLoginHandler(SessionHandler);

impl RequestHandler for AuthLoginHandler {
    methods!(Get, Post; 0: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        if blog(exchange)?.lock().unwrap().authors.is_empty() {
            return exchange.redirect("/auth/create");
        }
        render(&self.0, exchange, "login.html", &[("error", &"")]).await
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let email = exchange.get_argument("email")?;
        let authors = blog(exchange)?.lock().unwrap().authors.clone();
        let password = exchange.get_body_argument_raw("password")?;
        let error = match authors.into_iter().find(|author| author.email == email) {
            None => "Error: email not found",
            Some(author) => {
                let hash = hash(password, author.salt).await?;
                if constant_time_eq(hash, author.password) {
                    self.0.session.log_in(&email).await?;
                    return redirect_to_next(exchange);
                }
                "Error: incorrect password"
            }
        };
        render(&self.0, exchange, "login.html", &[("error", &error)]).await
    }
}

struct AuthLogoutHandler(SessionHandler);

impl RequestHandler for AuthLogoutHandler {
    methods!(Get; 0: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        self.0.session.destroy().await?;
        redirect_to_next(exchange)
    }
}

/// PBKDF2 (RFC 8018 section 5.2), on a thread that may block.
async fn hash(password: String, salt: [u8; 16]) -> Result<[u8; 32]> {
    const ROUNDS: usize = if cfg!(debug_assertions) { 1_000 } else { 600_000 };
    let work = move || {
        let key = Hmac::<Sha256>::new_from_slice(password.as_bytes()).expect("any length");
        let round = |text: &[u8]| -> [u8; 32] {
            key.clone().chain_update(text).finalize().into_bytes().into()
        };
        let mut last = round(&[&salt[..], &[0, 0, 0, 1]].concat());
        let mut hash = last;
        for _ in 1..ROUNDS {
            last = round(&last);
            hash.iter_mut().zip(last).for_each(|(byte, other)| *byte ^= other);
        }
        hash
    };
    tokio::task::spawn_blocking(work).await.map_err(Error::other)
}

pub(crate) fn make_app() -> Result<Application> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ports/blog");
    let month = Duration::from_secs(30 * 24 * 3600);
    let settings = Settings {
        template_path: folder.join("templates"),
        static_path: folder.join("static"),
        xsrf_cookies: true,
        cookie_secret: b"a secret of this demo: choose your own, and keep it".to_vec(),
        login_url: String::from("/auth/login"),
        session_lifetime: Lifetime { idle: month, absolute: month },
        debug: true,
        ..Settings::default()
    };
    let routes = [
        ("/", handler::<HomeHandler> as Handler),
        ("/archive", handler::<ArchiveHandler>),
        ("/feed", handler::<FeedHandler>),
        ("/entry/{slug}", handler::<EntryHandler>),
        ("/compose", handler::<ComposeHandler>),
        ("/auth/create", handler::<AuthCreateHandler>),
        ("/auth/login", handler::<AuthLoginHandler>),
        ("/auth/logout", handler::<AuthLogoutHandler>),
    ];
    Ok(Application::new(routes, settings)?.state(Mutex::new(Blog::default())))
}

#[tokio::main]
async fn main() -> Result {
    env_logger::init();
    Ok(make_app()?.listen("127.0.0.1:8888").await?.run().await?)
}
