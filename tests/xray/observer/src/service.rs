//! The observer of the application as a connection sees it: requests, content, responses.

use std::net::SocketAddr;
use std::sync::Arc;

use real::Request;
use real::http::Service;
use real::http::content::{Incoming, Reading};
use real::http::response::Response;

use crate::film::Layer;
use crate::recorder::{mark, new_film};

/// The name of the field that says where the film of a response is.
pub const FILM_FIELD: &str = "X-Ray";

/// An application whose requests are recorded.
pub struct Observed<S> {
    /// The application.
    pub service: Arc<S>,
    /// `true` if each response has a field with the path of its film.
    pub names_film: bool,
}

impl<S: Service> Service for Observed<S> {
    async fn respond<'a>(
        &'a self,
        request: Request,
        peer: SocketAddr,
        incoming: &'a mut dyn Incoming,
    ) -> Response {
        let id = new_film(&request);
        let mut incoming = ObservedContent(incoming);
        let mut response = self.service.respond(request, peer, &mut incoming).await;
        if let Some(id) = id.filter(|_| self.names_film) {
            response
                .set_field(FILM_FIELD, format!("/xray/{id}"))
                .expect("the path of a film is a valid value");
        }
        response
    }
}

/// Content that is recorded when the handler reads it.
struct ObservedContent<'i>(&'i mut dyn Incoming);

impl Incoming for ObservedContent<'_> {
    fn read(&mut self) -> Reading<'_> {
        Box::pin(async {
            let content = self.0.read().await;
            let detail = match &content {
                Ok(content) => format!("{} bytes", content.len()),
                Err(refusal) => format!("refused: {refusal}"),
            };
            mark(Layer::Http, "content", &detail);
            content
        })
    }
}
