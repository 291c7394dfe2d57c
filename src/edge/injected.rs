//! The faults of one exchange: which were drawn, which the client felt, and the body of the answer as they disturb it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::body::{Events, FaultBody};
use crate::bounded::{Count, Permit};
use crate::error::Error;
use crate::observe::handles::{GaugeGuard, RouteHandles};
use crate::policy::fault::{Draw, Ignored};
use crate::pool;

/// The faults of one exchange.
#[derive(Debug)]
pub(super) struct Injected {
    draw: Draw,
    max_active: usize,
    ceiling: Arc<Count>,
    handles: RouteHandles,
    active: Option<Active>,
    delayed: bool,
    aborted: bool,
    /// How the stream that is disturbed is divided.
    events: Option<Events>,
}

/// A fault counts as active until this is dropped.
#[derive(Debug)]
struct Active {
    _place: Permit,
    _gauge: GaugeGuard,
}

impl Injected {
    /// What was drawn; at most `max_active` exchanges of all that share `ceiling` may feel a fault at the same time.
    pub(super) fn new(draw: Draw, max_active: usize, ceiling: Arc<Count>, handles: RouteHandles) -> Self {
        Self { draw, max_active, ceiling, handles, active: None, delayed: false, aborted: false, events: None }
    }

    pub(super) fn draw(&self) -> &Draw {
        &self.draw
    }

    /// Notes that the exchange is held back.
    pub(super) fn delays(&mut self) {
        self.delayed = true;
        self.handles.faults().faults.count("delay");
    }

    /// Notes that the exchange is aborted.
    pub(super) fn aborts(&mut self) {
        self.aborted = true;
        self.handles.faults().faults.count("abort");
    }

    /// What comes before the endpoint is over.
    pub(super) fn end(&mut self) {
        self.active = None;
    }

    /// Takes a place among the active faults; false when there is none.
    pub(super) fn begin(&mut self) -> bool {
        let handles = self.handles.faults();
        let place = self.ceiling.enter(self.max_active);
        self.active = place.map(|place| Active { _place: place, _gauge: GaugeGuard::of(&handles.faults_active) });
        if self.active.is_none() {
            handles.faults_ignored.count(Ignored::MaxActive.word());
        }
        self.active.is_some()
    }

    /// Whether the exchange was held back.
    pub(super) fn is_delayed(&self) -> bool {
        self.delayed
    }

    /// Whether anything was done to it.
    pub(super) fn is_felt(&self) -> bool {
        self.delayed || self.aborted || self.events.is_some()
    }

    /// Called with the answer; `events` says how a stream is divided. A compressed stream cannot be divided.
    pub(super) fn meet(&mut self, events: Option<Events>, fields: &HeaderMap) {
        let plain = !fields.contains_key(header::CONTENT_ENCODING);
        let events = events.filter(|_| plain && self.draw.stream.is_some());
        if events.is_some() && self.begin() {
            self.events = events;
            self.handles.faults().faults.count("stream");
        }
    }

    /// Names the injected faults in an answer.
    pub(super) fn mark(&self, fields: &mut HeaderMap) {
        let kinds = match (self.delayed, self.aborted, self.events.is_some()) {
            (false, false, false) => return,
            (true, false, false) => "delay",
            (true, true, _) => "delay, abort",
            (false, true, _) => "abort",
            (true, false, true) => "delay, stream",
            (false, false, true) => "stream",
        };
        fields.insert(FAULT, HeaderValue::from_static(kinds));
    }

    /// The body of the answer as the client shall see it.
    pub(super) fn disturb(&mut self, body: pool::ResponseBody) -> FaultBody<pool::ResponseBody> {
        match (self.draw.stream, self.events) {
            (Some(disturbance), Some(events)) => FaultBody::new(body, disturbance, events),
            _ => FaultBody::Untouched(body),
        }
    }
}

const FAULT: HeaderName = HeaderName::from_static("x-attache-fault");

/// What an exchange failed by. Time that a fault took from the endpoint is not the endpoint's failure.
pub(super) fn blamed(error: &Error, delayed: bool) -> &Error {
    match error {
        Error::Timeout if delayed => &Error::FaultDelay,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::config::model::AbortAnswer;
    use crate::outcome::{Phase, Transport};

    #[test]
    fn faults_are_never_held_against_an_endpoint() {
        let abort = Error::FaultAbort(AbortAnswer::Http(StatusCode::SERVICE_UNAVAILABLE));
        for (error, delayed, expected) in [
            (Error::Timeout, false, Transport::BrokenOff),
            (Error::Timeout, true, Transport::ByGateway),
            (Error::FaultDelay, true, Transport::ByGateway),
            (Error::FaultCut, false, Transport::ByGateway),
            (abort, false, Transport::ByGateway),
            (Error::StreamIdle, true, Transport::BrokenOff),
        ] {
            assert_eq!(Transport::of(blamed(&error, delayed), Phase::Answered), expected, "{error}");
        }
    }
}
