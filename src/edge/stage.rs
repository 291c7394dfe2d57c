//! What stages get and give: where a request came in, the route as it is served there, and what a stage makes of it.

use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Response};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::ResponseBody;
use super::exchange::Exchange;
use super::tracked_body::BodyLimits;
use super::worker::View;
use super::worker_route::WorkerRoute;
use crate::config::model::{Config, Listener, ListenerId};
use crate::error::Error;
use crate::policy::Share;
use crate::pool;

/// What a stage makes of a request.
pub(super) enum Passage {
    /// The next stage is asked.
    On,
    /// This is the answer.
    Answer(Box<Response<ResponseBody>>),
}

/// Where a request came in, under the configuration it is served by.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) view: Rc<View>,
    /// None where the listener is gone.
    pub(super) listener: Option<ListenerId>,
}

/// A route, as a listener serves it.
#[derive(Debug)]
pub(super) struct ServedRoute<'e> {
    pub(super) listener: &'e Listener,
    pub(super) worker_route: &'e Rc<WorkerRoute>,
}

/// What a request came to, if nothing failed.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every answer is the large one, and a box would cost each of them an allocation"
)]
pub(super) enum Answered {
    /// By the gateway itself.
    Here(Box<Response<ResponseBody>>),
    /// By an endpoint, to be passed on.
    Streamed(Response<pool::ResponseBody>, BodyLimits),
    /// 101.
    Switched(Box<Switched>),
    /// By what an equal call comes to; see [`super::equal_calls`].
    Shared(Box<Shared>),
}

/// A call that may have equals.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) share: Share,
    /// A hash of all that makes calls equal.
    pub(super) key: u128,
    /// Whether it sends a message: then it is rather refused than sent twice.
    pub(super) is_send: bool,
}

/// An endpoint that agreed to switch protocols.
#[derive(Debug)]
pub(super) struct Switched {
    pub(super) response: Response<pool::ResponseBody>,
    pub(super) client: OnUpgrade,
    pub(super) protocol: HeaderValue,
    pub(super) idle: Option<Duration>,
    pub(super) end: Option<Instant>,
}

impl Entry {
    pub(super) fn config(&self) -> &Config {
        &self.view.snapshot.config
    }

    /// Settings of the listener.
    pub(super) fn settings(&self) -> Result<&Listener, Error> {
        let settings = self.listener.and_then(|id| self.config().listeners.get(id.0));
        settings.ok_or_else(|| Error::NoRoute)
    }

    /// The route of the exchange.
    pub(super) fn route(&self, exchange: &Exchange) -> Result<ServedRoute<'_>, Error> {
        let worker_route = exchange.route.id.and_then(|id| self.view.route(id)).ok_or_else(|| Error::Internal)?;
        Ok(ServedRoute { listener: self.settings()?, worker_route })
    }
}

impl Deref for ServedRoute<'_> {
    type Target = WorkerRoute;

    fn deref(&self) -> &WorkerRoute {
        self.worker_route
    }
}
