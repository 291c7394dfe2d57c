//! Accept loop.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Request, Response};

use crate::context::Connection;
use crate::listener::serve::Report;
use crate::listener::settings::Shared;
use crate::listener::watchdog::Watchdog;

/// One listener running on one worker. Dropping it aborts it and its connections.
#[derive(Debug)]
pub struct Running {}

impl Running {
    /// Stops accepting, after what the kernel has already queued, and asks every connection to end after its present requests.
    pub fn drain(&self) {
        todo!()
    }

    /// Cuts every connection that is left and says how many those were.
    #[must_use]
    pub fn abort(&self) -> usize {
        todo!()
    }

    /// Connections of this listener on this worker. Tunnels are counted by [`Shared::open`] only.
    #[must_use]
    pub fn open(&self) -> usize {
        todo!()
    }

    /// Ends when the accept loop has ended and no connection is left.
    pub async fn finished(&self) {
        todo!()
    }
}

/// Starts a listener on this worker. `service` makes the service of one connection, `report` hears what happens.
///
/// # Errors
/// When the socket cannot be registered with the runtime.
pub fn start<F, S, B, R>(
    watchdog: &Rc<Watchdog>,
    socket: TcpListener,
    shared: Arc<Shared>,
    service: F,
    report: R,
) -> io::Result<Running>
where
    F: Fn(&Rc<Connection>) -> S + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Future: 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Fn(&Report<'_>) + 'static,
{
    let _ = (watchdog, socket, shared, service, report);
    todo!()
}
