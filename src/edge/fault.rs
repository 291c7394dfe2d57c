//! Faults on one exchange: drawn when its route is known, felt before it is forwarded and in its answer.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use tokio::time::sleep_until;

use super::exchange::Exchange;
use super::stage::{Passage, ServedRoute};
use crate::body::{Events, FaultBody};
use crate::bounded::{Count, Permit};
use crate::config::model::Fault;
use crate::error::Error;
use crate::observe::handles::{GaugeGuard, RouteHandles};
use crate::policy::fault::{self, ABORT, DELAY, Draw, Ignored};
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

/// Draws the faults of an exchange, and lets it feel those that come before the endpoint.
///
/// # Errors
/// The fault, when the exchange ends here.
pub(super) async fn inject(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    if let Some(settings) = &route.settings().fault {
        draw(exchange, route, settings);
        if exchange.guards.fault.is_some() {
            Box::pin(hold(exchange, route.settings().timeout)).await?;
        }
    }
    Ok(Passage::On)
}

/// Draws the faults of an exchange. Wishes for some are for us, whether or not they come true: they are taken out of
/// its fields.
fn draw(exchange: &mut Exchange, route: &ServedRoute<'_>, settings: &Fault) {
    let Some(headers) = exchange.message.as_mut().map(Request::headers_mut) else {
        return;
    };
    let request = fault::Request { headers, client: exchange.client.address, time: exchange.request.time };
    let draw = fault::draw(settings, &request, &mut exchange.worker.fork_rng());
    headers.remove(DELAY);
    headers.remove(ABORT);
    let handles = &route.handles;
    for ignored in draw.ignored.iter().flatten() {
        handles.faults().faults_ignored.count(ignored.word());
    }
    if let Some(ceiling) = route.faults.as_ref().filter(|_| !draw.is_empty()) {
        exchange.guards.fault = Some(Box::new(Injected {
            draw,
            max_active: settings.max_active,
            ceiling: Arc::clone(ceiling),
            handles: handles.clone(),
            active: None,
            delayed: false,
            aborted: false,
            events: None,
        }));
    }
}

/// Holds an exchange back, and aborts it, as drawn. Its `timeout` runs meanwhile.
async fn hold(exchange: &mut Exchange, timeout: Option<Duration>) -> Result<(), Error> {
    let started = exchange.request.started;
    let Some(injected) = &mut exchange.guards.fault else {
        return Ok(());
    };
    let (delay, abort) = (injected.draw.delay, injected.draw.abort);
    if delay.is_none() && abort.is_none() || !injected.begin() {
        return Ok(());
    }
    if let Some(delay) = delay {
        injected.delayed = true;
        injected.handles.faults().faults.count("delay");
        let delay = delay.min(timeout.unwrap_or(Duration::MAX));
        sleep_until(started + delay).await;
        if timeout == Some(delay) {
            return Err(Error::FaultDelay);
        }
    }
    if let Some(answer) = abort {
        injected.aborted = true;
        injected.handles.faults().faults.count("abort");
        return Err(Error::FaultAbort(answer));
    }
    injected.active = None;
    Ok(())
}

impl Injected {
    /// Takes a place among the active faults; false when there is none.
    fn begin(&mut self) -> bool {
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
