//! The endpoint's answer as the client shall see it.

use http::{HeaderValue, Response, StatusCode, Version, header};

use super::answer_scan::AnswerScan;
use super::exchange::Exchange;
use super::facts::{is_event_stream, is_grpc};
use super::seen::HeadFields;
use super::stage::{Answered, Entry, ServedRoute, Switched};
use super::tracked_body::BodyLimits;
use super::{affinity, headers, hygiene, locations};
use crate::body::Events;
use crate::error::Error;
use crate::outcome::Application;
use crate::pool;
use crate::upstream::{UpstreamResponse, WorkerCluster};

/// Takes in the response head: what must not be passed on is refused, and what belongs to the endpoint's connection
/// stays here.
pub(super) fn receive(
    exchange: &mut Exchange,
    entry: &Entry,
    route: &ServedRoute<'_>,
    answer: UpstreamResponse,
) -> Result<Answered, Error> {
    let UpstreamResponse { mut response, at, outcome, in_flight } = answer;
    exchange.guards.in_flight = Some(in_flight);
    exchange.outcome.upstream_status = Some(response.status().as_u16());
    exchange.outcome.application = outcome.application;
    // From here on nothing is chosen any more, and a stream must not keep a cluster that is gone.
    let cluster = exchange.destination.cluster.take().ok_or_else(|| Error::Internal)?;
    let upgrade = exchange.destination.upgrade.take();
    // The version is that of the connection, not the endpoint's (RFC 9112 section 2.3).
    *response.version_mut() = Version::HTTP_11;
    let found = HeadFields::of(response.headers());
    check_answer(&response, &found)?;
    let seen = found.seen;
    let events = events(found.content_type);
    let client = match (response.status() == StatusCode::SWITCHING_PROTOCOLS, upgrade) {
        (true, Some(client)) => Some(client),
        (true, None) => return Err(Error::UpstreamInvalid("unrequested 101", None)),
        (false, _) => None,
    };
    exchange.answered(response.status().as_u16(), at);
    let fields = response.headers_mut();
    let accepted = if seen.upgrade { fields.get(header::UPGRADE).cloned() } else { None };
    headers::strip_hop_by_hop(fields, seen);
    if seen.location {
        locations::map(exchange, route, &cluster, fields);
    }
    if let Some(fault) = &mut exchange.guards.fault {
        fault.meet(events.filter(|_| client.is_none()), fields);
    }
    let (started, streaming) = (exchange.request.started, route.settings().streaming);
    let stream_end = streaming.max_duration.map(|limit| started + limit);
    if let Some(client) = client {
        let protocol = accepted.unwrap_or(HeaderValue::from_static("websocket"));
        let (idle, end) = (streaming.idle_timeout, stream_end);
        return Ok(Answered::Switched(Box::new(Switched { response, client, protocol, idle, end })));
    }
    let (stream, grpc) = (events.is_some(), matches!(events, Some(Events::Messages)));
    if stream {
        if let Some(in_flight) = &mut exchange.guards.in_flight {
            cluster.becomes_stream(&mut exchange.guards.admission, in_flight)?;
        }
        exchange.streams();
        exchange.outcome.single = grpc;
    } else if !is_refusal(response.status()) {
        cluster.measure(&mut exchange.guards.admission, at, exchange.request.upload.client_time());
    }
    exchange.outcome.grpc = grpc;
    if grpc && exchange.outcome.application == Application::Silent {
        exchange.outcome.application = Application::of_head(response.headers());
    }
    exchange.request.upload.answered(stream);
    scan(exchange, entry, route, &cluster, &response, events);
    let deadline = exchange.deadline(route);
    let limits = BodyLimits {
        idle: streaming.idle_timeout,
        end: if stream { stream_end } else { deadline },
        stream,
        grpc,
        taken: route.listener.limits.body_idle_timeout,
        keep_alive: route.settings().a2a.as_ref().and_then(|a2a| a2a.keep_alive),
    };
    Ok(Answered::Streamed(response, limits))
}

/// Whether it says that there is no answer, or not now: how soon that comes says nothing.
fn is_refusal(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// What an answer says of tasks and sessions is read while it passes.
fn scan(
    exchange: &mut Exchange,
    entry: &Entry,
    route: &ServedRoute<'_>,
    cluster: &WorkerCluster,
    response: &Response<pool::ResponseBody>,
    events: Option<Events>,
) {
    let (status, fields) = (response.status(), response.headers());
    let table = &entry.view.snapshot.agents.affinity;
    if let Some(call) = &exchange.call {
        let keeper = affinity::keeper(exchange, table, route, cluster);
        let scan = keeper.and_then(|keeper| AnswerScan::of(call, status, fields, events, keeper));
        exchange.scan = scan.map(Box::new);
    }
    affinity::note_session(exchange, table, route, cluster, status, fields);
    // It would keep the head of the request as long as the answer lasts.
    exchange.destination.session = None;
}

/// How an answer that is a stream is divided.
fn events(content_type: Option<&HeaderValue>) -> Option<Events> {
    if is_event_stream(content_type) {
        return Some(Events::Lines);
    }
    is_grpc(content_type).then_some(Events::Messages)
}

/// What hyper's client accepts and we do not pass on.
fn check_answer(response: &Response<pool::ResponseBody>, found: &HeadFields<'_>) -> Result<(), Error> {
    let headers = response.headers();
    let seen = found.seen;
    if response.status().as_u16() >= 600 {
        return Err(Error::UpstreamInvalid("status code out of range", None));
    }
    if seen.transfer_encoding {
        let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !encodings.next().is_some_and(chunked) || encodings.next().is_some() {
            return Err(Error::UpstreamInvalid("unknown transfer coding", None));
        }
        if seen.content_length {
            return Err(Error::UpstreamInvalid("two body lengths", None));
        }
    }
    if let Some(length) = found.content_length {
        // hyper looks at the length only where a body follows, and takes a list.
        let digits = length.as_bytes().iter().all(u8::is_ascii_digit);
        if !digits || seen.several_lengths && !hygiene::lengths_agree(headers) {
            return Err(Error::UpstreamInvalid("body length", None));
        }
    }
    Ok(())
}
