//! One request and its answer, from the head to the last byte. However it ends, dropping the exchange writes the one
//! access record, counts it once and releases the endpoint.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use tokio::time::Instant;

use super::fault::Injected;
use super::public::Claimed;
use super::seen::Found;
use super::worker::Worker;
use crate::body::UploadState;
use crate::cluster::{InFlight, Outcome as ScannerRefusal};
use crate::config::model::RouteId;
use crate::context::{Connection, Underway};
use crate::error::{Blame, Error, FAULT_INJECTED};
use crate::observe::handles::{GaugeGuard, RouteHandles, grpc_word};
use crate::observe::record::AccessRecord;
use crate::observe::trace::TraceId;
use crate::policy::{Open, RateLimitHeaders};
use crate::route::rollout::RolloutSample;
use crate::upstream::{Admission, Attempts, WorkerEndpoint};

/// Facts of one request and the guards that end with it. Each fact is set once.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) worker: Rc<Worker>,
    pub(super) connection: Rc<Connection>,
    pub(super) started: Instant,
    pub(super) time: Duration,
    pub(super) client: IpAddr,
    /// Whether the peer is a trusted proxy, and its claims about the address that its client used.
    pub(super) trusted: bool,
    pub(super) claimed: Claimed,
    /// Whether the client uses HTTPS, as its route knows it.
    pub(super) https: bool,
    pub(super) route: Option<RouteId>,
    pub(super) method: Method,
    version: Version,
    uri: Uri,
    pub(super) host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    pub(super) request_id: Option<HeaderValue>,
    pub(super) trace_id: Option<TraceId>,
    pub(super) grpc: bool,
    pub(super) handles: Option<RouteHandles>,
    /// Fields of the answer about rate limits.
    pub(super) standing: Option<Box<RateLimitHeaders>>,
    /// Its place among those its client has open.
    pub(super) open: Option<Open>,
    pub(super) logged: bool,
    /// Kept here rather than with the attempts under way, which are gone when the client leaves.
    pub(super) attempts: Attempts,
    pub(super) in_flight: Option<InFlight<Rc<WorkerEndpoint>>>,
    pub(super) admission: Admission,
    pub(super) flow: Rc<UploadState>,
    pub(super) status: u16,
    pub(super) upstream_status: Option<u16>,
    pub(super) time_to_head: Option<Duration>,
    /// The same, if the head is an endpoint's.
    pub(super) first_byte: Option<Duration>,
    /// Of an endpoint's answer that is gRPC: its status, once it came.
    grpc_status: Option<Option<u16>>,
    /// How long the endpoint took to the response head, without the time in which it waited for the client's body, and
    /// how long the client has waited for more of the answer since.
    endpoint_time: Duration,
    gaps: Duration,
    /// Since when the client waits for more of the answer, put back by its own part of the time before.
    paused: Option<Instant>,
    /// Whether the client left while it waited for the endpoint.
    left_waiting: bool,
    pub(super) sent: u64,
    /// Injected faults.
    pub(super) fault: Option<Box<Injected>>,
    /// Its place in a split whose outcomes are looked at.
    pub(super) sample: Option<RolloutSample>,
    /// Keeps the caller with the version it was given.
    pub(super) set_cookie: Option<HeaderValue>,
    stream: Option<GaugeGuard>,
    /// An answer that may be a stream by its type has had one message so far (gRPC).
    pub(super) single: bool,
    outcome: Outcome,
    /// How a failure after the head counts for the endpoint.
    verdict: Option<ScannerRefusal>,
    /// Who caused a failure.
    blame: Option<Blame>,
    _requests: Option<GaugeGuard>,
    _underway: Underway,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Not over; dropped like this, the client left or we cut it.
    Open,
    /// To the last byte.
    Complete,
    /// Ended by an error of this flag and reason.
    Failed { flag: &'static str, reason: &'static str },
}

impl Exchange {
    pub(super) fn begin(worker: Rc<Worker>, connection: Rc<Connection>, head: &Parts, found: &Found<'_>) -> Box<Self> {
        worker.enter();
        let underway = connection.begin();
        Box::new(Self {
            started: Instant::now(),
            time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            client: connection.peer_ip(),
            trusted: false,
            claimed: Claimed::default(),
            https: connection.tls.is_some(),
            route: None,
            method: head.method.clone(),
            version: head.version,
            uri: head.uri.clone(),
            host: found.host.cloned(),
            user_agent: found.user_agent.cloned(),
            request_id: None,
            trace_id: None,
            grpc: is_grpc(found.content_type),
            handles: None,
            standing: None,
            open: None,
            logged: true,
            attempts: Attempts::default(),
            in_flight: None,
            admission: Admission::default(),
            flow: Rc::default(),
            status: 0,
            upstream_status: None,
            time_to_head: None,
            first_byte: None,
            grpc_status: None,
            endpoint_time: Duration::ZERO,
            gaps: Duration::ZERO,
            paused: None,
            left_waiting: false,
            sent: 0,
            fault: None,
            sample: None,
            set_cookie: None,
            stream: None,
            single: false,
            outcome: Outcome::Open,
            verdict: None,
            blame: None,
            _requests: None,
            _underway: underway,
            worker,
            connection,
        })
    }

    /// The route is known: from now on the request counts as in flight on it.
    pub(super) fn routed(&mut self, handles: &RouteHandles, logged: bool) {
        self._requests = Some(handles.in_flight());
        self.handles = Some(handles.clone());
        self.logged = logged;
    }

    /// `host[:port]` it is for: of the target, else of `Host` (RFC 9112 section 3.2.2); empty when neither names one.
    pub(super) fn asked(&self) -> &str {
        let host = || self.host.as_ref().and_then(|host| host.to_str().ok());
        let target = self.uri.authority().map(http::uri::Authority::as_str);
        target.or_else(host).unwrap_or_default()
    }

    /// Whether other requests run on its connection at the same time.
    pub(super) fn shares_connection(&self) -> bool {
        self.version == Version::HTTP_2
    }

    /// It is a stream: it may last.
    pub(super) fn streams(&mut self) {
        self.stream = self.handles.as_ref().map(RouteHandles::stream);
        self.detach();
        if self.stream.is_some() {
            self.connection.streams.set(self.connection.streams.get() + 1);
        }
    }

    /// Whether what came was a stream; of gRPC that is known when the second message comes.
    fn is_stream(&self) -> bool {
        self.stream.is_some() && !self.single
    }

    /// The facts taken from the head are slices of the buffer it was read into, 8 KiB at least. Long exchanges copy
    /// them, so that the buffer is freed.
    fn detach(&mut self) {
        let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
        self.host = self.host.as_ref().and_then(copy);
        self.user_agent = self.user_agent.as_ref().and_then(copy);
        self.request_id = self.request_id.as_ref().and_then(copy);
        self.claimed.detach();
        if let Ok(uri) = self.uri.to_string().parse() {
            self.uri = uri;
        }
    }

    /// The response head came, at that moment.
    pub(super) fn answered(&mut self, status: u16, at: Instant) {
        self.status = status;
        let took = at.saturating_duration_since(self.started);
        self.time_to_head = Some(took);
        self.endpoint_time = took.saturating_sub(self.flow.client_time());
    }

    /// An endpoint's answer is gRPC. Its status may stand in the head, when nothing else comes.
    pub(super) fn grpc_answer(&mut self, fields: &HeaderMap) {
        self.grpc_status = Some(None);
        self.ended_with(fields);
    }

    /// These fields may be the last of an answer.
    pub(super) fn ended_with(&mut self, fields: &HeaderMap) {
        if let Some(status) = &mut self.grpc_status
            && let Some(came) = fields.get(GRPC_STATUS)
        {
            *status = Some(came.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(u16::MAX));
        }
    }

    /// Whether the client waits for more of the answer, or has got some. The clock is read only where a rollout
    /// measures the version.
    pub(super) fn waits_for_more(&mut self, waits: bool) {
        if self.sample.is_none() {
            return;
        }
        if !waits {
            if let Some(since) = self.paused.take() {
                let own = self.flow.client_time();
                self.gaps += since.elapsed().saturating_sub(own);
            }
        } else if self.paused.is_none() {
            let now = Instant::now();
            self.paused = now.checked_sub(self.flow.client_time()).or(Some(now));
        }
    }

    /// The last byte has been handed over.
    pub(super) fn complete(&mut self) {
        if self.outcome == Outcome::Open {
            self.outcome = Outcome::Complete;
        }
    }

    /// Whether it was held back on purpose.
    pub(super) fn is_delayed(&self) -> bool {
        self.fault.as_ref().is_some_and(|fault| fault.is_delayed())
    }

    /// It ended early.
    pub(super) fn failed(&mut self, error: &Error) {
        let error = blamed(error, self.is_delayed());
        self.outcome = Outcome::Failed { flag: error.flag(), reason: error.reason() };
        self.verdict = verdict(error);
        self.blame = Some(error.blame());
        self.attempts.note(error);
        if self.status == 0 {
            self.status = error.status().as_u16();
        }
    }

    /// Its time ran out while there was something to pass on: how fast that goes is the client's affair.
    pub(super) fn overrun(&mut self, error: &Error) {
        self.failed(error);
        self.verdict = None;
        self.blame = Some(Blame::Client);
    }

    /// Reports the end of the answer's body to outlier detection.
    fn report(&self, now: Instant) {
        let (Some(in_flight), Some(status)) = (&self.in_flight, self.upstream_status) else {
            return;
        };
        let status = StatusCode::from_u16(status).unwrap_or_default();
        if self.verdict.is_some() && self.stream.is_none() && self.flow.awaits_client() {
            // The endpoint gave up waiting for the client's body: it may be well.
            return;
        }
        let verdict = self.verdict.unwrap_or(ScannerRefusal::Finished(status));
        in_flight.handle().report(verdict, now);
    }

    /// The sample of an exchange for its rollout: how the exchange ended, and the agent's own time. Exchanges that a
    /// client or the gateway's own limits ended do not count, and neither do exchanges that ended before the client had
    /// sent the whole request: otherwise a client could decide. A canary without usable endpoints counts as failed.
    fn count_for_trial(&self, duration: Duration) {
        let Some(sample) = &self.sample else { return };
        if self.fault.as_ref().is_some_and(|fault| fault.is_felt()) {
            // An exchange with an injected fault does not count.
            return;
        }
        if self.flow.is_unfinished() {
            return;
        }
        if self.left_waiting {
            let since = self.paused.map_or(duration, |since| since.elapsed());
            let waited = since.saturating_sub(self.flow.client_time());
            return sample.abandoned(self.client, waited);
        }
        let tells = match self.blame {
            Some(Blame::Client | Blame::Gateway) => false,
            Some(Blame::Cluster) => true,
            Some(Blame::Endpoint) | None => self.upstream_status.is_some() || self.attempts.count > 0,
        };
        if !tells {
            return;
        }
        let answered = self.upstream_status.is_some_and(|status| status < 500);
        let succeeded = answered && self.outcome == Outcome::Complete;
        let took = match (self.time_to_head, self.is_stream()) {
            (Some(_), true) => self.endpoint_time,
            (Some(_), false) => self.endpoint_time + self.gaps,
            (None, _) => duration.saturating_sub(self.flow.client_time()),
        };
        sample.finished(succeeded, took);
    }

    /// Whether the next move is the endpoint's, and the client may expect one: a stream may be silent.
    fn is_kept_waiting(&self) -> bool {
        match self.upstream_status {
            None => self.attempts.count > 0,
            Some(_) => self.paused.is_some() && self.stream.is_none(),
        }
    }

    fn finish(&mut self) {
        if self.outcome == Outcome::Open {
            let error = if self.connection.cut.get() {
                Error::Draining
            } else {
                self.left_waiting = self.is_kept_waiting();
                Error::ClientGone
            };
            self.failed(&error);
        }
        let now = Instant::now();
        self.report(now);
        let (flags, reason) = match self.outcome {
            // Another try was wanted instead of this answer.
            Outcome::Open | Outcome::Complete => match (&self.fault, self.attempts.stopped) {
                (Some(fault), _) if fault.is_felt() => ("DI", Some(FAULT_INJECTED)),
                (_, Some(stopped)) => ("URX", Some(stopped)),
                _ => ("-", None),
            },
            Outcome::Failed { flag, reason } => {
                if let Some(handles) = &self.handles {
                    self.worker.errors.count(reason, handles);
                }
                (flag, Some(reason))
            }
        };
        let duration = now.saturating_duration_since(self.started);
        self.count_for_trial(duration);
        if let Some(handles) = &self.handles {
            handles.finished(&self.method, self.status, duration, self.first_byte);
            if self.is_stream() {
                handles.ends().stream_duration.get().observe(duration);
            }
            if let Some(status) = self.grpc_status {
                handles.ends().grpc_responses.count(grpc_word(status));
            }
        }
        self.worker.metrics.count_bytes(self.flow.received(), self.sent);
        if self.logged
            && let Some(sink) = &self.worker.sink
        {
            sink.record(&self.record(flags, reason, duration));
        }
    }

    fn record(&self, flags: &'static str, reason: Option<&'static str>, duration: Duration) -> AccessRecord<'_> {
        let authority = without_userinfo(self.asked());
        AccessRecord {
            time: self.time,
            request_id: self.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or("-"),
            trace_id: self.trace_id,
            client_ip: self.client,
            method: self.method.as_str(),
            authority: if authority.is_empty() { "-" } else { authority },
            path: self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            proto: self.version,
            status: self.status,
            flags,
            reason,
            route: self.handles.as_ref().map(RouteHandles::route).filter(|name| *name != "-"),
            cluster: self.handles.as_ref().map(RouteHandles::cluster).filter(|name| *name != "-"),
            endpoint: self.attempts.last.as_ref().map(|worker_endpoint| worker_endpoint.label()),
            attempts: self.attempts.count,
            bytes_received: self.flow.received(),
            bytes_sent: self.sent,
            duration,
            time_to_head: self.time_to_head,
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
            tls: self.connection.tls.as_ref().map(|tls| tls.version),
            stream: self.is_stream(),
            upstream_status: self.upstream_status,
            upstream_error: self.attempts.failure.as_deref(),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.flow.end();
        self.finish();
        if self.stream.is_some() {
            self.connection.streams.set(self.connection.streams.get() - 1);
        }
        self.worker.leave();
    }
}

/// The authority may hold a name and a password. Such requests are refused, and the log must not keep these (RFC 9110
/// section 4.2.4). A `Host` that goes on with a path or a query is refused too, and may hold secrets there.
pub(super) fn without_userinfo(authority: &str) -> &str {
    let host = authority.rsplit_once('@').map_or(authority, |(_secret, host)| host);
    host.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The failure of an exchange. A timeout after an injected delay is not the endpoint's failure.
fn blamed(error: &Error, delayed: bool) -> &Error {
    match error {
        Error::Timeout if delayed => &Error::FaultDelay,
        other => other,
    }
}

/// How a failure after the head counts for the endpoint. Its head was good, so outlier detection counts such failures
/// separately.
fn verdict(error: &Error) -> Option<ScannerRefusal> {
    match error {
        Error::UpstreamAborted(_) | Error::StreamIdle | Error::UpstreamInvalid(..) | Error::Timeout => {
            Some(ScannerRefusal::Aborted)
        }
        _ => None,
    }
}

/// Says how a gRPC call ended.
pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether a message is gRPC by its content type.
pub(super) fn is_grpc(content_type: Option<&HeaderValue>) -> bool {
    content_type.is_some_and(|value| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// Whether a message is an event stream by its content type.
pub(super) fn is_event_stream(content_type: Option<&HeaderValue>) -> bool {
    let essence = |value: &HeaderValue| {
        value.as_bytes().get(..EVENT_STREAM.len()).is_some_and(|start| start.eq_ignore_ascii_case(EVENT_STREAM))
    };
    content_type.is_some_and(essence)
}

const EVENT_STREAM: &[u8] = b"text/event-stream";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::AbortAnswer;

    #[test]
    fn faults_are_never_held_against_an_endpoint() {
        let abort = Error::FaultAbort(AbortAnswer::Http(StatusCode::SERVICE_UNAVAILABLE));
        for (error, delayed, expected) in [
            (Error::Timeout, false, Some(ScannerRefusal::Aborted)),
            (Error::Timeout, true, None),
            (Error::FaultDelay, true, None),
            (Error::FaultCut, false, None),
            (abort, false, None),
            (Error::StreamIdle, true, Some(ScannerRefusal::Aborted)),
        ] {
            assert_eq!(verdict(blamed(&error, delayed)), expected, "{error}");
        }
    }
}
