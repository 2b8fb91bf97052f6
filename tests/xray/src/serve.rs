//! An accept loop of one's own around the library's connections, so that each can be recorded.

use std::net::SocketAddr;
use std::sync::Arc;

use dustdevil::http::Service;
use dustdevil::http::body::Body;
use dustdevil::http::connection;
use dustdevil::http::content::Incoming;
use dustdevil::http::response::Response;
use dustdevil::http::server_state::ServerState;
use dustdevil::service::FILM_FIELD;
use dustdevil::{Application, Recorder, Request, record, service, skip, socket};
use tokio::net::TcpListener;

/// The observed application, and pages that are not observed.
pub struct Site {
    observed: service::Observed<Application>,
    pages: Option<Application>,
}

impl Site {
    /// A site without pages.
    pub fn new(application: Application) -> Site {
        let service = Arc::new(application);
        Site { observed: service::Observed { service, names_film: true }, pages: None }
    }

    /// Leaves out the field that names the film of a response.
    pub fn without_field(mut self) -> Site {
        self.observed.names_film = false;
        self
    }

    /// Adds the pages that show films, below `/xray` and `/play`. Pages of the observed
    /// application link to their film then.
    pub fn with_pages(self, pages: Application) -> Site {
        Site { pages: Some(pages), ..self }
    }
}

impl Service for Site {
    async fn respond<'a>(
        &'a self,
        request: Request,
        peer: SocketAddr,
        incoming: &'a mut dyn Incoming,
    ) -> Response {
        let path = request.path();
        let is_page = path.starts_with("/xray/") || path == "/play";
        match &self.pages {
            Some(pages) if is_page => {
                skip(&request);
                pages.respond(request, peer, incoming).await
            }
            Some(_) => with_link(self.observed.respond(request, peer, incoming).await),
            None => self.observed.respond(request, peer, incoming).await,
        }
    }
}

/// Adds a link to the film of a response to its page, if it is one.
fn with_link(mut response: Response) -> Response {
    let is_page =
        response.field("Content-Type").is_some_and(|kind| kind.starts_with("text/html"));
    let Some(film) = response.field(FILM_FIELD).map(str::to_owned) else { return response };
    if let (true, Body::Bytes(content)) = (is_page, &response.body)
        && let Ok(page) = std::str::from_utf8(content)
        && let Some(end) = page.rfind("</main>")
    {
        // The line break keeps the link off the form above it.
        let link = format!(
            "<p class=\"quiet\"><br><small>Under X-ray: <a href=\"{film}\">the film of this page</a>\
             </small></p>\n  "
        );
        let page = format!("{}{link}{}", &page[..end], &page[end..]);
        response.body = Body::Bytes(page.into());
    }
    response
}

/// A server whose connections are recorded.
pub struct Server {
    /// The address that it listens on.
    pub address: SocketAddr,
    listener: TcpListener,
    site: Arc<Site>,
    recorder: Recorder,
}

impl Server {
    /// Listens on an address.
    pub async fn listen(
        address: SocketAddr,
        site: Site,
        recorder: &Recorder,
    ) -> Result<Server, String> {
        let failed = |error| format!("cannot listen on {address}: {error}");
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Server { address, listener, site: Arc::new(site), recorder: recorder.clone() })
    }

    /// Accepts connections, and serves each in a task of its own.
    pub async fn run(self) {
        let state = Arc::new(ServerState::default());
        loop {
            let Ok((socket, peer)) = self.listener.accept().await else { continue };
            let admission = state.admit(peer);
            let site = Arc::clone(&self.site);
            let serving = connection::serve(socket::Observed(socket), site, admission);
            tokio::spawn(record(self.recorder.clone(), peer, serving));
        }
    }
}
