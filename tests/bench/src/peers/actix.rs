//! actix-web with one worker per processor. Its sessions are a map in application data
//! (`Data`).

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use actix_web::cookie::{Cookie, SameSite, time};
use actix_web::http::header::LOCATION;
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{Data, Form, Query, get, post, resource};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

use super::pages::{self, Field};
use super::{Fill, Login, Sessions};
use crate::Result;
use crate::server::page;

/// Idle timeout of a connection. With actix's default of 5 seconds, idle connections would be
/// closed before their memory can be measured.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

#[actix_web::main]
pub(super) async fn serve() -> Result {
    let sessions = Data::new(Sessions::default());
    let application = move || {
        // Called once per worker: each has an `App` of its own, and all share the sessions.
        let (public, personal) =
            (|| fields(&pages::PUBLIC_FIELDS), || fields(&pages::NO_STORE_FIELDS));
        App::new()
            .app_data(sessions.clone())
            .service(resource("/hello").wrap(public()).route(get().to(hello)))
            .service(
                resource("/page")
                    .wrap(fields(&pages::PAGE_FIELDS))
                    .route(get().to(show_page)),
            )
            .service(resource("/main").wrap(personal()).route(get().to(show_main)))
            .service(
                resource("/login")
                    .wrap(personal())
                    .route(get().to(show_login))
                    .route(post().to(log_in)),
            )
            .service(resource("/fill").wrap(public()).route(post().to(fill)))
    };
    let server = HttpServer::new(application)
        .workers(available_parallelism()?.get())
        .keep_alive(IDLE_TIMEOUT)
        .tcp_nodelay(true)
        .bind("127.0.0.1:0")?;
    super::announce_address(*server.addrs().first().ok_or("actix has no address")?);
    Ok(server.run().await?)
}

/// Returns the middleware that adds header fields to every response of a resource.
pub(super) fn fields(fields: &[Field]) -> DefaultHeaders {
    fields.iter().fold(DefaultHeaders::new(), |headers, (name, value)| {
        headers.add((name.as_str(), value.as_bytes()))
    })
}

async fn hello() -> HttpResponse {
    html(pages::HELLO)
}

async fn show_page(sessions: Data<Sessions>, request: HttpRequest) -> HttpResponse {
    match request.cookie("session_id").and_then(|id| sessions.username(id.value())) {
        Some(username) => html(page(&username)),
        None => redirect("/login"),
    }
}

async fn show_main(sessions: Data<Sessions>, request: HttpRequest) -> HttpResponse {
    match request.cookie("session_id").and_then(|id| sessions.visit(id.value())) {
        Some((username, visits)) => html(pages::main(&username, visits, pages::TOKEN)),
        None => redirect("/login"),
    }
}

async fn show_login(request: HttpRequest) -> HttpResponse {
    if let Some(xsrf_cookie) = request.cookie("_xsrf") {
        return html(pages::login(xsrf_cookie.value()));
    }
    let xsrf_cookie = Cookie::build("_xsrf", pages::TOKEN).path("/").http_only(true);
    let xsrf_cookie = xsrf_cookie.same_site(SameSite::Lax).finish();
    let content = pages::login(pages::TOKEN);
    HttpResponse::Ok().content_type(pages::HTML).cookie(xsrf_cookie).body(content)
}

/// Handles the login form: XSRF token, password, new session.
async fn log_in(
    sessions: Data<Sessions>,
    request: HttpRequest,
    Form(login): Form<Login>,
) -> HttpResponse {
    if !login.has_token(request.cookie("_xsrf").as_ref().map(Cookie::value)) {
        return HttpResponse::Forbidden().finish();
    }
    if !login.is_valid() {
        return redirect("/login");
    }
    let session = Cookie::build("session_id", sessions.create(login.username))
        .path("/")
        .max_age(time::Duration::seconds(330))
        .http_only(true)
        .same_site(SameSite::Lax)
        .finish();
    HttpResponse::Found().insert_header((LOCATION, "/main")).cookie(session).finish()
}

async fn fill(sessions: Data<Sessions>, filling: Query<Fill>) -> HttpResponse {
    let began = Instant::now();
    sessions.fill(&filling);
    html(began.elapsed().as_secs_f64().to_string())
}

pub(super) fn html(content: impl actix_web::body::MessageBody + 'static) -> HttpResponse {
    HttpResponse::Ok().content_type(pages::HTML).body(content)
}

fn redirect(location: &'static str) -> HttpResponse {
    HttpResponse::Found().insert_header((LOCATION, location)).finish()
}
