//! Pages to read the source by. Build them with `make doc`, so that each function links to its
//! source; a test holds each of the two paths to 700 lines of code.

#[doc = include_str!("request.md")]
pub mod request {}

#[doc = include_str!("session.md")]
pub mod session {}

#[doc = include_str!("terms.md")]
pub mod terms {}

#[doc = include_str!("files.md")]
pub mod files {}

#[doc = include_str!("deploy.md")]
pub mod deploy {}

#[doc = include_str!("xray.md")]
pub mod xray {}

#[doc = include_str!("tutorial.md")]
pub mod tutorial {}

pub mod tornado {
    #![doc = include_str!("tornado.md")]

    // Only rustdoc reads them: they are what the links of the page name.
    #[cfg(doc)]
    use crate::{
        Application, Error, Exchange, HttpError, HttpFile, Limits, Method, RedirectHandler,
        RedirectTo, Request, RequestHandler, Route, Server, Session, SessionHandler,
        SetCookie, Settings, StaticFileHandler, StaticFiles, escape, methods,
    };
}

#[doc = include_str!("lab.md")]
pub mod lab {}
