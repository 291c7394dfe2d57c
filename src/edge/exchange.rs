//! One request and its answer, from the head to the last byte. What is known and held about it lies in groups, so that
//! a new policy adds a field to one of them. Whatever the end is, dropping the exchange writes the one access record,
//! counts it once and lets go of the endpoint.

mod finish;
mod span;

use std::rc::Rc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::answer_scan::AnswerScan;
use super::call::{self, Call};
use super::continuity::Continuity;
use super::facts::{Client, Destination, ReplyFields, RequestFacts, RouteFacts};
use super::headers::ChangeFacts;
use super::injected::{Injected, blamed};
use super::told::{CallStream, Told};
use super::worker::Worker;
use super::worker_route::WorkerRoute;
use crate::a2a::Operation;
use crate::body::{RequestBody, Upload};
use crate::cluster::InFlight;
use crate::context::{Connection, Underway, network};
use crate::error::Error;
use crate::observe::handles::{GaugeGuard, RouteHandles};
use crate::outcome::{AgentFault, Application, Outcome, Phase, Transport};
use crate::policy::{Counted, Open, OpenCall, Run};
use crate::route::rollout::RolloutSample;
use crate::upstream::{Admission, Attempts, WorkerEndpoint};

/// What is known of one request, and the guards that end with it. Each fact is set once.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) worker: Rc<Worker>,
    pub(super) connection: Rc<Connection>,
    /// The request itself, until a connection takes it.
    pub(super) message: Option<Request<RequestBody>>,
    /// Apart, because the allocator is slow with what is larger than a kilobyte.
    pub(super) request: Box<RequestFacts>,
    pub(super) client: Client,
    /// What it asks of an agent, once that is known.
    pub(super) operation: Option<Operation>,
    /// The whole call of an agent, where it is one.
    pub(super) call: Option<Box<Call>>,
    /// Reads the answer of an agent.
    pub(super) scan: Option<Box<AnswerScan>>,
    /// With which its stream can go on.
    pub(super) continuity: Option<Box<Continuity>>,
    pub(super) route: RouteFacts,
    pub(super) destination: Destination,
    /// Kept here rather than with the attempts under way, which are gone when the client leaves.
    pub(super) attempts: Attempts,
    pub(super) outcome: Ending,
    pub(super) guards: Guards,
    /// What the answer is given on its way out.
    pub(super) reply: ReplyFields,
}

/// How it goes and ended.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) status: u16,
    pub(super) upstream_status: Option<u16>,
    /// Whether an endpoint's answer is gRPC.
    pub(super) grpc: bool,
    /// What the protocol inside the answer said.
    pub(super) application: Application,
    /// How the call of an agent failed inside its answer.
    pub(super) agent_fault: Option<AgentFault>,
    time_to_head: Option<Duration>,
    /// How long the endpoint took to the response head, without the time in which it waited for the client's body, and
    /// how long the client has waited for more of the answer since.
    endpoint_time: Duration,
    gaps: Duration,
    /// Since when the client waits for more of the answer, put back by its own part of the time before.
    paused: Option<Instant>,
    /// Whether the client left while it waited for the endpoint.
    left_waiting: bool,
    pub(super) sent: u64,
    /// How often its stream went on after the endpoint had broken it off.
    continued: u32,
    /// What may be a stream by its type has had one message so far (gRPC).
    pub(super) single: bool,
    end: End,
    /// How far it came. With it and `upstream_status` it is what became of the whole exchange.
    transport: Transport,
}

/// What is given back when it ends.
#[derive(Debug)]
pub(super) struct Guards {
    pub(super) in_flight: Option<InFlight<Rc<WorkerEndpoint>>>,
    pub(super) admission: Admission,
    /// Whether it waited for that, or for something before.
    pub(super) waited: bool,
    /// Its place among those its client has open.
    pub(super) open: Option<Open>,
    /// Which rate limits have counted it.
    pub(super) counted: Counted,
    /// The same among the calls of its operation.
    pub(super) open_call: Option<Box<OpenCall>>,
    /// It is the one that is sent of equal calls, and its answer is for it alone.
    pub(super) run: Option<Box<Run>>,
    /// What is done to it on purpose.
    pub(super) fault: Option<Box<Injected>>,
    /// Its place in a split whose outcomes are looked at.
    pub(super) sample: Option<Box<RolloutSample>>,
    stream: Option<GaugeGuard>,
    /// The same by what was asked of an agent.
    call_stream: Option<Box<CallStream>>,
    requests: Option<GaugeGuard>,
    _underway: Underway,
}

/// The places of an exchange among those its client has open.
#[derive(Debug)]
pub(super) struct ClientPlaces {
    of_route: Option<Open>,
    of_operation: Option<Open>,
}

/// How it ended for the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    /// Not over; dropped like this, the client left or we cut it.
    #[default]
    Open,
    /// To the last byte.
    Complete,
    /// Ended by an error of this flag and reason.
    Failed { flag: &'static str, reason: &'static str },
}

impl Guards {
    /// Takes out the places that the client gives back when it leaves, though the exchange goes on.
    pub(super) fn take_places(&mut self) -> ClientPlaces {
        let of_operation = self.open_call.as_mut().and_then(|call| call.of_client.take());
        ClientPlaces { of_route: self.open.take(), of_operation }
    }

    /// The client is still there: they end with the exchange again.
    pub(super) fn put_back(&mut self, places: ClientPlaces) {
        self.open = places.of_route;
        if let Some(call) = &mut self.open_call {
            call.of_client = places.of_operation;
        }
    }
}

impl Exchange {
    pub(super) fn begin(worker: Rc<Worker>, connection: Rc<Connection>, request: Request<Incoming>) -> Box<Self> {
        worker.enter();
        let facts = Box::new(RequestFacts::of(&request, &connection));
        let upload = Rc::clone(&facts.upload);
        let guards = Guards {
            in_flight: None,
            admission: Admission::default(),
            waited: false,
            open: None,
            counted: Counted::default(),
            open_call: None,
            run: None,
            fault: None,
            sample: None,
            stream: None,
            call_stream: None,
            requests: None,
            _underway: connection.begin(),
        };
        Box::new(Self {
            message: Some(request.map(|body| RequestBody::new(Upload::new(body, &connection, &upload), upload))),
            client: Client::of(&connection),
            request: facts,
            operation: None,
            call: None,
            scan: None,
            continuity: None,
            route: RouteFacts::default(),
            destination: Destination::default(),
            attempts: Attempts::default(),
            outcome: Ending::default(),
            guards,
            reply: ReplyFields::default(),
            worker,
            connection,
        })
    }

    /// The request, while no connection has it.
    pub(super) fn message(&self) -> Result<&Request<RequestBody>, Error> {
        self.message.as_ref().ok_or_else(|| Error::Internal)
    }

    /// What header changes may tell of it.
    pub(super) fn change_facts(&self, https: bool) -> ChangeFacts<'_> {
        let call = self.call.as_deref();
        ChangeFacts { https, identity: &self.client.identity, operation: self.operation, call }
    }

    /// On whose behalf it acts.
    pub(super) fn tenant(&self) -> Option<&str> {
        call::tenant(&self.client.identity, self.call.as_deref())
    }

    /// The route is known: from now on the request counts as in flight on it.
    pub(super) fn routed(&mut self, handles: &RouteHandles) {
        self.guards.requests = Some(handles.in_flight());
        self.route.handles = Some(handles.clone());
    }

    /// It is a stream: it may last.
    pub(super) fn streams(&mut self) {
        self.guards.stream = self.route.handles.as_ref().map(RouteHandles::stream);
        self.request.detach();
        self.client.claimed.detach();
        if self.guards.stream.is_some() {
            self.connection.streams.set(self.connection.streams.get() + 1);
        }
        self.guards.call_stream = CallStream::of(self.call.as_deref(), self.route.handles.as_ref());
    }

    /// Whether what came was a stream; of gRPC that is known when the second message comes.
    fn is_stream(&self) -> bool {
        self.guards.stream.is_some() && !self.outcome.single
    }

    /// The response head came, at that moment.
    pub(super) fn answered(&mut self, status: u16, at: Instant) {
        let took = at.saturating_duration_since(self.request.started);
        let outcome = &mut self.outcome;
        outcome.status = status;
        outcome.time_to_head = Some(took);
        outcome.endpoint_time = took.saturating_sub(self.request.upload.client_time());
    }

    /// Whether the client waits for more of the answer, or has got some. The clock is read only where a rollout
    /// measures the version.
    pub(super) fn waits_for_more(&mut self, waits: bool) {
        if self.guards.sample.is_none() {
            return;
        }
        let (outcome, own) = (&mut self.outcome, self.request.upload.client_time());
        if !waits {
            if let Some(since) = outcome.paused.take() {
                outcome.gaps += since.elapsed().saturating_sub(own);
            }
        } else if outcome.paused.is_none() {
            let now = Instant::now();
            outcome.paused = now.checked_sub(own).or(Some(now));
        }
    }

    /// The last byte has been handed over.
    pub(super) fn complete(&mut self) {
        if self.outcome.end == End::Open {
            self.read_to_the_end();
            self.outcome.end = End::Complete;
            self.outcome.transport = Transport::Complete;
            // Dropped, it may be tried again.
            let is_good = self.outcome.agent_fault.is_none() && (200..300).contains(&self.outcome.status);
            if let Some(run) = self.guards.run.take().filter(|_| is_good) {
                run.complete(Instant::now());
            }
        }
    }

    /// What the answer of an agent said, now that it is whole.
    fn read_to_the_end(&mut self) {
        let Some(scan) = &mut self.scan else { return };
        let said = scan.end(self.operation.is_some_and(Operation::is_streaming)).fault;
        self.outcome.agent_fault = said;
        if let (Some(fault), Application::Silent) = (said, self.outcome.application) {
            self.outcome.application = Application::Agent(fault);
        }
    }

    /// When the whole of it must be over. The work of agents and their streams have limits of their own.
    pub(super) fn deadline(&self, route: &WorkerRoute) -> Option<Instant> {
        let own = self.operation.zip(route.call_limits.as_ref());
        let own = own.and_then(|(operation, limits)| limits.timeout(operation));
        let of_route = || route.settings().timeout.filter(|_| !self.operation.is_some_and(Operation::has_time));
        Some(self.request.started + own.or_else(of_route)?)
    }

    /// What the answer of an agent told.
    fn told(&self) -> Option<&Told> {
        self.scan.as_deref().map(AnswerScan::told)
    }

    /// Whether it was held back on purpose.
    pub(super) fn is_delayed(&self) -> bool {
        self.guards.fault.as_ref().is_some_and(|fault| fault.is_delayed())
    }

    /// The endpoint broke its stream off, which need not be the end for the client.
    pub(super) fn broke_off(&mut self) {
        if let Some(in_flight) = self.guards.in_flight.take() {
            let (client, outcome) = (network(self.client.address), Outcome::ended(Transport::BrokenOff));
            let ejected = in_flight.handle().report_seen_by(Some(client), outcome, Instant::now());
            self.attempts.ejected(ejected);
        }
    }

    /// Its stream goes on, from this endpoint.
    pub(super) fn continued(&mut self, in_flight: InFlight<Rc<WorkerEndpoint>>) {
        if let Some(scan) = &mut self.scan {
            scan.moves_to(in_flight.handle());
        }
        self.guards.in_flight = Some(in_flight);
        self.outcome.continued += 1;
    }

    /// It ended early.
    pub(super) fn failed(&mut self, error: &Error) {
        let error = blamed(error, self.is_delayed());
        let outcome = &mut self.outcome;
        outcome.end = End::Failed { flag: error.flag(), reason: error.reason() };
        let phase = if outcome.upstream_status.is_some() { Phase::Answered } else { Phase::Sent };
        outcome.transport = Transport::of(error, phase);
        self.attempts.note(error);
        if outcome.status == 0 {
            outcome.status = error.status().as_u16();
        }
    }

    /// Its time ran out while there was something to pass on: how fast that goes is the client's affair.
    pub(super) fn overrun(&mut self, error: &Error) {
        self.failed(error);
        self.outcome.transport = Transport::ByClient;
    }
}

impl Ending {
    /// What became of it.
    fn outcome(&self) -> Outcome {
        let status = self.upstream_status.and_then(|status| StatusCode::from_u16(status).ok());
        Outcome { transport: self.transport, status, application: self.application }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failed(&Error::Internal);
        }
        self.request.upload.end();
        self.finish();
        if self.guards.stream.is_some() {
            self.connection.streams.set(self.connection.streams.get() - 1);
        }
        self.worker.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_enough_for_the_allocators_fast_path() {
        // glibc keeps blocks up to this size apart for each thread. What is rare in an exchange is boxed for that.
        assert!(size_of::<Exchange>() <= 1032, "{}", size_of::<Exchange>());
    }
}
