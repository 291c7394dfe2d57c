//! The trace of one request: where it stands, whether its spans are kept, and what its tries came to. Decided at its
//! beginning by the caller, the route or a share; decided again at its end, for what failed or was slow.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use http::{HeaderMap, Method, StatusCode, Uri};
use tokio::time::Instant;

use super::mask::masked;
use super::propagation::{self, Caller};
use super::short::{NAME, PATH, short};
use super::span::{Attributes, Event, Side, Span};
use super::trace::{SpanId, TraceContext, TraceId};
use crate::config::model::{FollowParent, Percentage, RouteTracing, Tracing};

/// How requests are traced, for one worker.
#[derive(Debug)]
pub struct Tracer {
    settings: Arc<Tracing>,
}

/// What is recorded of a request as long as it lasts.
#[derive(Debug)]
pub struct RequestTrace {
    tracer: Rc<Tracer>,
    /// Our span.
    context: TraceContext,
    /// The caller's.
    parent: Option<SpanId>,
    /// The caller's decision, where it counts.
    inherited: Option<bool>,
    /// Which shares it is in: 56 random bits.
    lot: u64,
    state: Option<Box<str>>,
    /// Whether the `tracestate` that came belongs to it.
    continues_state: bool,
    /// What its route says of paths.
    pattern: Option<String>,
    is_decided: bool,
    /// Whether there may be spans in the end.
    records: bool,
    tries: Vec<Try>,
    /// The try that is told of.
    current: usize,
    events: Vec<TimedEvent>,
}

/// Something that happened, by the worker's clock.
#[derive(Debug)]
struct TimedEvent {
    name: &'static str,
    at: Instant,
    attributes: Attributes,
}

/// One try.
#[derive(Debug)]
struct Try {
    id: SpanId,
    method: Method,
    url: String,
    address: SocketAddr,
    host: Box<str>,
    cluster: Box<str>,
    began: Instant,
    /// `None`: it goes on, or was dropped.
    ended: Option<Instant>,
    answer: Option<StatusCode>,
    reason: Option<&'static str>,
    cause: Option<Box<str>>,
    events: Vec<TimedEvent>,
}

/// Where a try goes.
#[derive(Clone, Copy, Debug)]
pub struct TryFacts<'a> {
    /// The endpoint's address.
    pub address: SocketAddr,
    /// Host and port by which it is known.
    pub name: &'a str,
    /// Its cluster.
    pub cluster: &'a str,
    /// Method of the request.
    pub method: &'a Method,
    /// Its target towards the endpoint.
    pub target: &'a Uri,
    /// Whether over TLS.
    pub is_secure: bool,
}

/// What is known of a request at its end.
#[derive(Debug)]
pub struct Served {
    /// Name of its span.
    pub name: Cow<'static, str>,
    /// What is known of it.
    pub attributes: Attributes,
    /// Why it counts as failed.
    pub failure: Option<Cow<'static, str>>,
    /// When its head had arrived, since the Unix epoch.
    pub time: Duration,
    /// The same by the worker's clock.
    pub started: Instant,
    /// Its end.
    pub ended: Instant,
    /// When the first event of its stream came.
    pub first_event: Option<Instant>,
}

impl Tracer {
    /// One for these settings.
    #[must_use]
    pub fn new(settings: Arc<Tracing>) -> Self {
        Self { settings }
    }

    /// Begins the trace of a request, or goes on with the caller's. `is_trusted` says whether the caller is a trusted
    /// proxy.
    #[must_use]
    pub fn begin(self: &Rc<Self>, fields: &HeaderMap, is_trusted: bool, rng: &mut Rng) -> Box<RequestTrace> {
        let Caller { context, sampled, state, is_w3c } = propagation::read(fields, &self.settings.propagation);
        let counts = match self.settings.follow_parent {
            FollowParent::Always => true,
            FollowParent::Trusted => is_trusted,
            FollowParent::Never => false,
        };
        let own = match context {
            Some(caller) => caller.child(rng),
            None => TraceContext::generate(rng),
        };
        let lot = match context {
            // Who is not believed would choose by the id of the trace as well.
            Some(_) if !counts => rng.u64(..LOTS),
            _ => own.trace_id().random_part(),
        };
        Box::new(RequestTrace {
            tracer: Rc::clone(self),
            context: own,
            parent: context.map(|caller| caller.span_id()),
            inherited: sampled.filter(|_| counts),
            lot,
            state,
            continues_state: is_w3c,
            pattern: None,
            is_decided: false,
            records: false,
            tries: Vec::new(),
            current: 0,
            events: Vec::new(),
        })
    }
}

impl RequestTrace {
    /// Id of the trace.
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        self.context.trace_id()
    }

    /// Id of the request's span.
    #[must_use]
    pub fn span_id(&self) -> SpanId {
        self.context.span_id()
    }

    /// The route is known: what it says of traces, and of paths.
    pub fn routed(&mut self, route: RouteTracing, pattern: impl FnOnce() -> Option<String>) {
        self.decide(route);
        if self.records {
            self.pattern = pattern();
        }
    }

    /// What the route says of paths.
    pub fn take_pattern(&mut self) -> Option<String> {
        self.pattern.take()
    }

    /// Decides whether it is sampled. Once.
    fn decide(&mut self, route: RouteTracing) {
        let settings = &self.tracer.settings;
        let (sampled, is_off) = match (self.inherited, route) {
            (inherited, RouteTracing::Off) => (inherited.unwrap_or(false), true),
            (Some(inherited), _) => (inherited, false),
            (None, RouteTracing::Share(share)) => (is_within(self.lot, share), false),
            (None, RouteTracing::Default) => (is_within(self.lot, settings.sampling), false),
        };
        let may_be_kept = sampled || settings.keep.errors || settings.keep.slow.is_some();
        self.context = self.context.with_sampled(sampled);
        self.records = settings.otlp.is_some() && may_be_kept && !is_off;
        self.is_decided = true;
    }

    /// Writes the context for whoever is asked next. What leaves no span is no parent: then the caller's stays it.
    pub fn write(&self, fields: &mut HeaderMap) {
        let forms = &self.tracer.settings.propagation;
        propagation::limit_baggage(fields, forms);
        match self.parent {
            Some(parent) if !self.records => self.write_as(fields, self.context.at(parent), None),
            parent => self.write_as(fields, self.context, parent),
        }
    }

    fn write_as(&self, fields: &mut HeaderMap, context: TraceContext, parent: Option<SpanId>) {
        propagation::write(fields, &self.tracer.settings.propagation, context, parent, self.continues_state);
    }

    /// A try begins, with `fields` towards the endpoint: they get its own span.
    pub fn begin_try(&mut self, facts: TryFacts<'_>, fields: &mut HeaderMap, rng: &mut Rng) {
        self.current = self.tries.len();
        if !self.records || self.tries.len() >= MAX_TRIES {
            return;
        }
        let id = SpanId::generate(rng);
        self.write_as(fields, self.context.at(id), Some(self.context.span_id()));
        let scheme = if facts.is_secure { "https" } else { "http" };
        let target = facts.target.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        self.tries.push(Try {
            id,
            method: facts.method.clone(),
            url: format!("{scheme}://{}{}", facts.name, masked(target, PATH)),
            address: facts.address,
            host: facts.name.into(),
            cluster: facts.cluster.into(),
            began: Instant::now(),
            ended: None,
            answer: None,
            reason: None,
            cause: None,
            events: Vec::new(),
        });
    }

    /// Which try is told of: the one begun last, unless tries run side by side.
    #[must_use]
    pub fn current(&self) -> usize {
        self.current
    }

    /// From now on this one is told of.
    pub fn turn_to(&mut self, index: usize) {
        self.current = index;
    }

    /// The try came to an answer.
    pub fn answered(&mut self, status: StatusCode, at: Instant) {
        if let Some(one) = self.tries.get_mut(self.current) {
            one.answer = Some(status);
            one.note(TimedEvent { name: "response_head", at, attributes: Attributes::default() });
        }
    }

    /// The try failed, or its answer is not wanted.
    pub fn failed(&mut self, reason: &'static str, cause: Option<Box<str>>) {
        if let Some(one) = self.tries.get_mut(self.current) {
            one.reason = Some(reason);
            one.cause = cause;
            one.ended = Some(Instant::now());
        }
    }

    /// The try made outlier detection take its endpoint out, for this cause.
    pub fn ejected(&mut self, cause: &'static str) {
        if let Some(one) = self.tries.get_mut(self.current) {
            let attributes = Attributes::from([("attache.ejection.cause", cause.into())]);
            one.note(TimedEvent { name: "endpoint_ejected", at: Instant::now(), attributes });
        }
    }

    /// There will be another try, after this pause.
    pub fn retries(&mut self, reason: &'static str, pause: Duration) {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let attributes =
            Attributes::from([("attache.retry.reason", reason.into()), ("attache.retry.delay_ms", pause.into())]);
        self.note("retry", attributes);
    }

    /// Another try was wanted and not made.
    pub fn stopped(&mut self, reason: &'static str) {
        self.note("retry_stopped", Attributes::from([("attache.retry.reason", reason.into())]));
    }

    fn note(&mut self, name: &'static str, attributes: Attributes) {
        if self.records && self.events.len() < MAX_EVENTS {
            self.events.push(TimedEvent { name, at: Instant::now(), attributes });
        }
    }

    /// Whether its spans are exported, now that it is known whether it failed and how long it took.
    #[must_use]
    pub fn is_kept(&mut self, has_failed: bool, took: Duration) -> bool {
        if !self.is_decided {
            self.decide(RouteTracing::Default);
        }
        let keep = &self.tracer.settings.keep;
        let is_slow = keep.slow.is_some_and(|slow| took >= slow);
        self.records && (self.context.sampled() || has_failed && keep.errors || is_slow)
    }

    /// Its spans: that of the request, then those of its tries.
    #[must_use]
    pub fn into_spans(mut self, served: Served) -> Vec<Span> {
        let (time, started, ended) = (served.time, served.started, served.ended);
        let clock = |at: Instant| time + at.saturating_duration_since(started);
        let event = |TimedEvent { name, at, attributes }: TimedEvent| Event { name, at: clock(at), attributes };
        if let Some(at) = served.first_event {
            self.events.push(TimedEvent { name: "first_event", at, attributes: Attributes::default() });
        }
        let mut spans = vec![Span {
            context: self.context,
            parent: self.parent,
            is_parent_remote: true,
            trace_state: self.state.take(),
            name: served.name,
            side: Side::Server,
            began: time,
            ended: clock(ended),
            attributes: served.attributes,
            events: self.events.into_iter().map(event).collect(),
            failure: served.failure,
        }];
        let last_answered = self.tries.iter().rposition(|one| one.answer.is_some() && one.ended.is_none());
        for (index, mut one) in self.tries.into_iter().enumerate() {
            if one.ended.is_none() && last_answered != Some(index) {
                // It was dropped: the client left, or another try's answer counted.
                one.reason = one.reason.or(Some("cancelled"));
            }
            let events = std::mem::take(&mut one.events);
            spans.push(Span {
                context: self.context.at(one.id),
                parent: Some(self.context.span_id()),
                is_parent_remote: false,
                trace_state: None,
                name: method_name(&one.method).into(),
                side: Side::Client,
                began: clock(one.began),
                ended: clock(one.ended.unwrap_or(ended)),
                failure: one.failure(),
                events: events.into_iter().map(event).collect(),
                attributes: one.attributes(index),
            });
        }
        spans
    }
}

impl Try {
    fn note(&mut self, moment: TimedEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push(moment);
        }
    }

    /// Of a client a status 4xx is a failure as well.
    fn failure(&self) -> Option<Cow<'static, str>> {
        match (&self.cause, self.reason, self.answer) {
            (Some(cause), ..) => Some(short(cause, PATH).to_owned().into()),
            (None, Some(reason), _) => Some(reason.into()),
            (None, None, Some(status)) if is_error(status) => Some("".into()),
            (None, None, _) => None,
        }
    }

    fn attributes(self, index: usize) -> Attributes {
        let mut attributes = Attributes::default();
        add_method(&mut attributes, &self.method);
        attributes.add("url.full", self.url);
        let (host, port) = self.host.rsplit_once(':').unwrap_or((&self.host, ""));
        attributes.add("server.address", host.trim_start_matches('[').trim_end_matches(']').to_owned());
        attributes.add_some("server.port", port.parse::<u16>().ok());
        attributes.add("network.peer.address", self.address.ip().to_string());
        attributes.add("network.peer.port", self.address.port());
        attributes.add_some("http.response.status_code", self.answer.map(|status| status.as_u16()));
        let by_status = self.answer.filter(|status| is_error(*status)).map(|status| status.as_str().to_owned());
        match (self.reason, by_status) {
            (Some(reason), None) => attributes.add("error.type", reason),
            (_, status) => attributes.add_some("error.type", status),
        }
        attributes.add("attache.cluster", String::from(self.cluster));
        if index > 0 {
            attributes.add("http.request.resend_count", index as u64);
        }
        attributes
    }
}

/// A method by its name, where it is a usual one: a client may invent any number of others.
#[must_use]
pub fn method_name(method: &Method) -> &'static str {
    match crate::head::method_word(method) {
        (_, "OTHER") => "HTTP",
        (_, word) => word,
    }
}

/// Adds the method as the conventions have it.
pub fn add_method(attributes: &mut Attributes, method: &Method) {
    match method_name(method) {
        "HTTP" => {
            attributes.add("http.request.method", "_OTHER");
            attributes.add("http.request.method_original", short(method.as_str(), NAME).to_owned());
        }
        word => attributes.add("http.request.method", word),
    }
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Whether a trace is in this share: by the part of its id that is random, as a rule, so that whoever goes by the same
/// rule and the same share decides the same.
fn is_within(lot: u64, share: Percentage) -> bool {
    u128::from(lot) * u128::from(Percentage::ALL.of_million()) >= u128::from(LOTS) * u128::from(left_out(share))
}

/// In millionths.
fn left_out(share: Percentage) -> u32 {
    Percentage::ALL.of_million() - share.of_million()
}

/// As many as the random part of a trace id tells apart.
const LOTS: u64 = 1 << 56;
/// Tries of a request that have spans.
const MAX_TRIES: usize = 32;
/// Events of a span.
const MAX_EVENTS: usize = 64;

#[cfg(test)]
mod tests;
