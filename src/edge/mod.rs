//! The edge: one request at a time through the rooms, in the order of the conductor (`pipeline`), and its answer
//! through the one exit (`depart`).

mod acme_challenge;
mod admission;
mod affinity;
mod agent_card;
mod answer;
mod answer_scan;
mod attempts;
mod audit;
mod auth_failures;
mod authentication;
mod authorization;
mod block_list;
mod body_tenant;
mod call;
mod catalog;
mod certificate;
pub(crate) mod claimed;
mod collect;
mod continuity;
mod cors;
mod csrf;
mod depart;
mod equal_calls;
mod error_words;
mod exchange;
mod expectation;
mod facts;
mod farewell;
mod fault;
mod followed;
mod guards;
pub mod headers;
mod https_redirect;
pub mod hygiene;
mod identify;
mod injected;
mod ip_access;
mod last_word;
mod limits;
mod locations;
mod lookup;
mod mirror;
mod own_answer;
mod ownership;
mod pipeline;
mod preflight;
mod prepare;
mod public;
mod question;
mod reading;
mod recognition;
mod reply;
mod resource_metadata;
mod resumption;
mod routing;
mod rule_series;
mod running_lookups;
mod screening;
pub mod seen;
mod sharing;
mod stage;
mod stall_detector;
mod stream_care;
mod subscription;
mod tenant;
mod told;
mod tracked_body;
mod tunnel;
mod unparsed;
mod version;
mod worker;
mod worker_route;

use std::convert::Infallible;
use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;

use crate::body::Body;
use crate::context::Connection;
use exchange::Exchange;
use stage::{Answered, Entry};

pub use tracked_body::TrackedBody;
pub use unparsed::unparsed;
pub use worker::Worker;

/// Body of an answer.
pub type ResponseBody = Body<TrackedBody>;

/// Answers one request. `listener` is the name of the listener its connection came in through. Dropping the future
/// cancels what is under way upstream; the exchange is then recorded as left by the client.
///
/// # Errors
/// None: every failure is an answer.
pub fn handle(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    listener: &str,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> + use<> {
    // The future is moved and should hold no more than what waits: the request lies in the exchange.
    let (view, listener) = worker.view_for(listener);
    let mut exchange = Exchange::begin(worker, connection, request);
    exchange.route.handles = Some(view.unrouted().clone());
    async move {
        let entry = Entry { view, listener };
        let answered = match pipeline::run(&mut exchange, &entry).await {
            Ok(Answered::Shared(shared)) => return Ok(Box::pin(equal_calls::answer(exchange, entry, &shared)).await),
            answered => answered,
        };
        if answered.is_err() {
            Box::pin(recognition::of_refused(&mut exchange, &entry)).await;
        }
        Ok(depart::depart(exchange, &entry, answered))
    }
}

/// The edge behind one connection as a tower service: what listeners serve, and what tests can call without a socket.
pub fn service(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    listener: Rc<str>,
) -> impl tower::Service<
    Request<Incoming>,
    Response = Response<ResponseBody>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<ResponseBody>, Infallible>>,
> + Clone {
    tower::service_fn(move |request| handle(Rc::clone(&worker), Rc::clone(&connection), &listener, request))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_size<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_request_is_small() {
        let size = future_size(handle);
        assert!(size <= 2048, "{size} bytes are moved for every request");
    }
}
