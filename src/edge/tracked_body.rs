//! The body of an answer on its way to the client: passed on chunk by chunk as it comes. The exchange is inside, so
//! that its guards are released with the last byte.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::exchange::{ClientPlaces, Exchange};
use super::stall_detector::StallDetector;
use super::stream_care::StreamCare;
use crate::body::{FaultBody, IdleTimer, Several, clean_trailers};
use crate::error::Error;
use crate::observe::live::OpenStream;
use crate::pool;
use crate::route::rollout::RolloutSample;

/// A streamed answer.
#[derive(Debug)]
pub struct TrackedBody {
    inner: FaultBody<pool::ResponseBody>,
    exchange: Option<Box<Exchange>>,
    idle: Option<IdleTimer>,
    end: Option<End>,
    stall_detector: Option<Rc<StallDetector>>,
    /// Boxed, as the next: few answers have one, and all are moved.
    withdrawal: Option<Box<Withdrawal>>,
    /// What is done for a stream of an agent.
    care: Option<Box<StreamCare>>,
    /// Looks for a second message of gRPC until it has come.
    several: Option<Box<Several>>,
    /// Shown to operators while it is a stream.
    open: Option<Box<OpenStream>>,
    /// Whether the next move is the endpoint's.
    waits: bool,
}

/// Checks now and then whether the version of the answer is to be cut.
#[derive(Debug)]
struct Withdrawal {
    sample: RolloutSample,
    next: Pin<Box<Sleep>>,
}

impl Withdrawal {
    fn of(exchange: &Exchange) -> Option<Self> {
        let sample = exchange.guards.sample.as_deref().filter(|sample| sample.may_be_cut())?;
        Some(Self { sample: sample.clone(), next: Box::pin(sleep(WITHDRAWAL_LOOK)) })
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> bool {
        while self.next.as_mut().poll(cx).is_ready() {
            if self.sample.is_cut() {
                return true;
            }
            self.next.as_mut().reset(Instant::now() + WITHDRAWAL_LOOK);
        }
        false
    }
}

/// The moment a body is cut.
#[derive(Debug)]
struct End {
    at: Instant,
    stream: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl End {
    fn error(&self) -> Error {
        if self.stream { Error::StreamTooLong } else { Error::Timeout }
    }
}

/// Time limits of one body.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// Silence of both sides.
    pub(super) idle: Option<Duration>,
    /// Its end: of the whole exchange, or of a stream.
    pub(super) end: Option<Instant>,
    /// Whether it is a stream.
    pub(super) stream: bool,
    /// Whether it is gRPC, and so a stream only if there are several messages.
    pub(super) grpc: bool,
    /// For the client to take a piece.
    pub(super) taken: Duration,
    /// Time between two signs of life in a stream of an agent that says nothing.
    pub(super) keep_alive: Option<Duration>,
}

impl TrackedBody {
    pub(super) fn new(inner: pool::ResponseBody, mut exchange: Box<Exchange>, limits: BodyLimits) -> Self {
        let end = limits.end.map(|at| End { at, stream: limits.stream, sleep: None });
        let stall_detector = exchange.request.shares_connection().then(|| {
            let stall_detector = StallDetector::new(Rc::clone(&exchange.connection), limits.taken);
            exchange.worker.stall_detectors.watch(&stall_detector);
            stall_detector
        });
        // Where the length is announced, nothing can be put in.
        let is_open = inner.size_hint().exact().is_none();
        let care = StreamCare::of(&mut exchange, limits.keep_alive, is_open).map(Box::new);
        let inner = match (exchange.reply.come.take(), &mut exchange.guards.fault) {
            (Some(come), _) => FaultBody::begun(*come, inner),
            (None, Some(fault)) => fault.disturb(inner),
            (None, None) => FaultBody::Untouched(inner),
        };
        let open = exchange.show_stream().map(Box::new);
        Self {
            withdrawal: Withdrawal::of(&exchange).map(Box::new),
            care,
            inner,
            exchange: Some(exchange),
            idle: limits.idle.map(IdleTimer::new),
            end,
            stall_detector,
            several: limits.grpc.then(Box::default),
            open,
            waits: true,
        }
    }

    /// Its client has these places until it has the answer.
    pub(super) fn put_back(&mut self, places: ClientPlaces) {
        if let Some(exchange) = &mut self.exchange {
            exchange.guards.put_back(places);
        }
    }

    fn complete(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.complete();
        }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let (Some(care), Some(exchange)) = (&mut self.care, &mut self.exchange)
            && let Some(last) = care.part(exchange, &error)
        {
            exchange.failed(&error);
            care.parts(&last, error);
            // A client that takes nothing must not keep the rest waiting.
            self.handed();
            return Poll::Ready(Some(Ok(last)));
        }
        if let Some(mut exchange) = self.exchange.take() {
            exchange.failed(&error);
        }
        Poll::Ready(Some(Err(error)))
    }

    /// A piece was handed to the client.
    fn handed(&self) {
        if let Some(stall_detector) = &self.stall_detector {
            stall_detector.handed();
        }
    }

    /// Whether the stream can go on although the agent ends it here.
    fn may_go_on(&self) -> bool {
        let (Some(care), Some(exchange)) = (&self.care, &self.exchange) else { return false };
        care.is_going_on() || care.may_go_on(exchange, true)
    }

    /// The agent ended it too early: it goes on, or it fails.
    fn broke_off(&mut self, error: Error, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let (Some(care), Some(exchange)) = (&mut self.care, &mut self.exchange) else { return self.fail(error) };
        match care.go_on(exchange, error) {
            Ok(()) => {
                // The next move is the agent's, whatever came from it before.
                self.waits = true;
                self.poll_going_on(cx)
            }
            Err(error) => self.fail(error),
        }
    }

    /// While the agent is asked to go on.
    fn poll_going_on(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let (Some(care), Some(exchange)) = (&mut self.care, &mut self.exchange) else { return Poll::Ready(None) };
        match care.poll_going_on(exchange, cx) {
            Poll::Pending if self.is_over(cx) => self.fail(Error::StreamTooLong),
            Poll::Pending => self.poll_quiet(cx),
            Poll::Ready(Err(error)) => self.fail(error),
            Poll::Ready(Ok(body)) => {
                self.inner = body;
                let in_flight = self.exchange.as_ref().and_then(|exchange| exchange.guards.in_flight.as_ref());
                if let (Some(open), Some(in_flight)) = (&mut self.open, in_flight) {
                    open.goes_on_at(in_flight.handle().label());
                }
                self.idle.iter_mut().for_each(IdleTimer::touch);
                Pin::new(self).poll_frame(cx)
            }
        }
    }

    /// Whether its time is over, of which its task is told.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.end.as_mut().is_some_and(|end| {
            let at = end.at;
            end.sleep.get_or_insert_with(|| Box::pin(sleep_until(at))).as_mut().poll(cx).is_ready()
        })
    }

    /// What is due of itself in the stream of an agent that says nothing.
    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let (Some(care), Some(exchange)) = (&mut self.care, &mut self.exchange) else { return Poll::Pending };
        if care.is_told_to_end(exchange, cx) {
            exchange.worker.farewells.note_end();
            return self.fail(Error::Draining);
        }
        let Some(sign) = care.sign_of_life(exchange, cx) else { return Poll::Pending };
        exchange.outcome.sent += sign.len() as u64;
        self.handed();
        Poll::Ready(Some(Ok(Frame::data(sign))))
    }

    fn passed(&mut self, mut frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(idle) = &mut self.idle {
            idle.touch();
        }
        if let (Some(care), Some(exchange)) = (&mut self.care, &self.exchange) {
            care.moved();
            frame = care.without_mark(frame, exchange.outcome.sent > 0);
        }
        self.handed();
        if let (Some(data), Some(exchange)) = (frame.data_ref(), &mut self.exchange) {
            exchange.outcome.sent += data.len() as u64;
            if let Some(scan) = &mut exchange.scan {
                scan.passes(data);
            }
            exchange.request.upload.passed();
            let several = self.several.as_mut();
            if several.is_some_and(|several| several.has_begun(data)) {
                exchange.outcome.single = false;
                self.several = None;
                self.open = exchange.show_stream().map(Box::new);
            }
            if let Some(open) = &self.open {
                open.passes(data.len());
                open.is_of_task(exchange.told_task());
            }
        }
        if let (Some(fields), Some(exchange)) = (frame.trailers_ref(), &mut self.exchange)
            && exchange.outcome.grpc
        {
            exchange.outcome.application = exchange.outcome.application.or_trailers(fields);
        }
        // Nothing follows trailers: what they say is known before the client can act on it.
        if frame.is_trailers() || self.inner.is_end_stream() && !self.may_go_on() {
            self.complete();
        }
        match frame.into_trailers() {
            Ok(fields) => Frame::trailers(clean_trailers(fields)),
            Err(frame) => frame,
        }
    }

    /// The time limit that has passed, if one has. Timers are armed only while there is nothing to pass on.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        if self.is_over(cx) {
            return self.end.as_ref().map(End::error);
        }
        if self.inner.is_holding() {
            return None;
        }
        self.is_silent(cx).then_some(Error::StreamIdle)
    }

    /// Whether nothing has moved for too long, in either direction: an agent that takes an upload listens.
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(idle) = &mut self.idle else {
            return false;
        };
        while idle.poll_expired(cx) {
            let exchange = self.exchange.as_ref();
            match exchange.and_then(|exchange| exchange.request.upload.came()) {
                Some(at) => idle.moved(at),
                None => return true,
            }
        }
        false
    }
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Some(stall_detector) = &this.stall_detector {
            stall_detector.asked();
        }
        if let Some(parting) = this.care.as_mut().and_then(|care| care.parting()) {
            return parting.poll(cx);
        }
        if let Some(end) = &this.end
            && Instant::now() >= end.at
        {
            // Also while there is always something to pass on.
            let error = end.error();
            if let Some(exchange) = this.exchange.as_mut().filter(|_| !this.waits) {
                exchange.overrun(&error);
                this.exchange = None;
            }
            return this.fail(error);
        }
        let withdrawal = this.withdrawal.as_mut();
        if withdrawal.is_some_and(|withdrawal| withdrawal.poll_cut(cx)) {
            return this.fail(Error::Withdrawn);
        }
        if this.care.as_ref().is_some_and(|care| care.is_going_on()) {
            return this.poll_going_on(cx);
        }
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        this.waits = polled.is_pending();
        if let Some(exchange) = &mut this.exchange {
            exchange.waits_for_more(this.waits);
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(this.passed(frame)))),
            Poll::Ready(Some(Err(error))) => {
                // What the client did to its own upload is not the endpoint's failure.
                let cause = this.exchange.as_ref().and_then(|exchange| exchange.request.upload.failure());
                this.broke_off(cause.unwrap_or(error), cx)
            }
            Poll::Ready(None) if this.may_go_on() => this.broke_off(Error::UpstreamAborted(None), cx),
            Poll::Ready(None) => {
                this.complete();
                Poll::Ready(None)
            }
            Poll::Pending => match this.poll_expired(cx) {
                Some(error) => this.fail(error),
                None => this.poll_quiet(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.care.as_ref().is_none_or(|care| !care.breaks() && !self.may_go_on())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        // hyper drops a body it knows to be over without asking it once more; over HTTP/1.1 it knows by the length.
        if self.care.as_ref().is_some_and(|care| care.breaks() || self.may_go_on()) {
            return;
        }
        if self.inner.is_end_stream() || self.inner.size_hint().exact() == Some(0) {
            self.complete();
        } else if self.stall_detector.as_ref().is_some_and(|stall_detector| stall_detector.is_stalled())
            && let Some(mut exchange) = self.exchange.take()
        {
            exchange.failed(&Error::ClientStalled);
        }
    }
}

/// Time between two looks at whether a version was withdrawn.
pub(super) const WITHDRAWAL_LOOK: Duration = Duration::from_millis(500);
