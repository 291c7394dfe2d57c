//! What is done for the stream that an agent answers with, besides passing it on: signs of life while the agent says
//! nothing, and a last word where the gateway has to break it off. Nothing is put in but between two events, and no
//! byte of the agent waits for it.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;

use super::continuity::{Again, Continuity};
use super::exchange::Exchange;
use super::farewell::Farewell;
use super::last_word::{self, Parting};
use crate::a2a::{BYTE_ORDER_MARK, Binding, Operation};
use crate::body::{FaultBody, IdleTimer};
use crate::error::Error;
use crate::pool;
use crate::upstream::WorkerEndpoint;

/// The care for one stream.
#[derive(Debug)]
pub(super) struct StreamCare {
    farewell: Rc<Farewell>,
    /// Runs while the agent says nothing.
    quiet: Option<IdleTimer>,
    parting: Option<Parting>,
    continuity: Option<Box<Continuity>>,
    /// How much of a byte order mark may still come from the agent that must not reach the middle of the stream.
    mark: &'static [u8],
}

impl StreamCare {
    /// For the answer of this exchange; `None` where it is no stream of a recognised call, or one into which nothing
    /// can be put: `is_open` says that its length is not announced.
    pub(super) fn of(exchange: &mut Exchange, keep_alive: Option<Duration>, is_open: bool) -> Option<Self> {
        let continuity = exchange.continuity.take();
        let scan = exchange.scan.as_ref().filter(|_| is_open)?;
        if !exchange.operation.is_some_and(Operation::is_streaming) || scan.between().is_none() {
            return None;
        }
        let (mark, quiet) =
            if scan.is_event_stream() { (BYTE_ORDER_MARK, keep_alive.map(IdleTimer::new)) } else { (&[][..], None) };
        Some(Self { farewell: exchange.worker.farewells.enter(), quiet, parting: None, continuity, mark })
    }

    /// A piece of the agent passes.
    pub(super) fn moved(&mut self) {
        if let Some(quiet) = &mut self.quiet {
            quiet.touch();
        }
    }

    /// A piece of the agent without the byte order mark that it begins with, where the client has got something before:
    /// a comment of the gateway, or the stream that broke off.
    pub(super) fn without_mark(&mut self, frame: Frame<Bytes>, has_begun: bool) -> Frame<Bytes> {
        if self.mark.is_empty() {
            return frame;
        }
        if !has_begun {
            // Here it is where it belongs.
            self.mark = &[];
            return frame;
        }
        match frame.into_data() {
            Ok(data) => Frame::data(cut_mark(&mut self.mark, data)),
            Err(frame) => frame,
        }
    }

    /// The comment that is due because the agent has said nothing for so long.
    pub(super) fn sign_of_life(&mut self, exchange: &Exchange, cx: &mut Context<'_>) -> Option<Bytes> {
        let quiet = self.quiet.as_mut()?;
        let is_between = exchange.scan.as_ref().is_some_and(|scan| scan.between().is_some());
        is_due(quiet, is_between, cx).then(|| Bytes::from_static(SIGN_OF_LIFE))
    }

    /// Whether the stream is to end, and stands where it can.
    pub(super) fn is_told_to_end(&self, exchange: &Exchange, cx: &Context<'_>) -> bool {
        self.farewell.poll_due(cx) && exchange.scan.as_ref().is_some_and(|scan| scan.between().is_some())
    }

    /// Whether it can go on after an end that the agent gives it here.
    pub(super) fn may_go_on(&self, exchange: &Exchange, is_polite: bool) -> bool {
        let continuity = self.continuity.as_ref();
        continuity.is_some_and(|continuity| continuity.has_tries())
            && exchange.scan.as_ref().is_some_and(|scan| scan.is_unfinished(is_polite))
    }

    /// Begins to go on after the endpoint has broken off.
    ///
    /// # Errors
    /// Why it broke off, where it cannot go on.
    pub(super) fn go_on(&mut self, exchange: &mut Exchange, broke: Error) -> Result<(), Error> {
        if !matches!(broke, Error::UpstreamAborted(_)) || !self.may_go_on(exchange, false) {
            return Err(broke);
        }
        exchange.attempts.note(&broke);
        let Some(continuity) = &mut self.continuity else { return Err(broke) };
        let Some(again) = again(exchange, continuity.cluster()) else { return Err(broke) };
        continuity.begin(again, broke)?;
        exchange.broke_off();
        Ok(())
    }

    /// What came of it.
    pub(super) fn poll_going_on(
        &mut self,
        exchange: &mut Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Result<FaultBody<pool::ResponseBody>, Error>> {
        let Some(continuity) = &mut self.continuity else { return Poll::Pending };
        let came = ready!(continuity.poll(cx));
        let word = came.as_ref().map_or_else(|(word, _)| *word, |resumed| resumed.word);
        exchange.route.handles.iter().for_each(|handles| handles.agent().continued.count(word));
        Poll::Ready(match came {
            Ok(resumed) => {
                let endpoint = resumed.in_flight.handle().label();
                let result = word;
                tracing::info!(endpoint, result, "a stream goes on; its events since it broke off may be missing");
                exchange.continued(resumed.in_flight);
                if exchange.scan.as_ref().is_some_and(|scan| scan.is_event_stream()) {
                    self.mark = BYTE_ORDER_MARK;
                }
                Ok(resumed.body)
            }
            Err((_, broke)) => Err(broke),
        })
    }

    /// Whether a subscription is under way.
    pub(super) fn is_going_on(&self) -> bool {
        self.continuity.as_ref().is_some_and(|continuity| continuity.is_asking())
    }

    /// The last frame of a stream that `error` ends, where it may have one.
    pub(super) fn part(&self, exchange: &mut Exchange, error: &Error) -> Option<Frame<Bytes>> {
        let last = last_word::frame(exchange, error)?;
        exchange.outcome.sent += last.data_ref().map_or(0, |data| data.len() as u64);
        Some(last)
    }

    /// The last frame was handed over.
    pub(super) fn parts(&mut self, last: &Frame<Bytes>, error: Error) {
        self.parting = Some(Parting::after(last, error));
    }

    /// The way out, once the last word was said.
    pub(super) fn parting(&mut self) -> Option<&mut Parting> {
        self.parting.as_mut()
    }

    /// Whether the last word was said and nothing of the agent follows.
    pub(super) fn breaks(&self) -> bool {
        self.parting.is_some()
    }
}

/// Whom to ask to go on with the stream of this exchange; `None` where that is not known.
fn again<'e>(exchange: &'e Exchange, cluster: &str) -> Option<Again<'e>> {
    // Events of a call whose id is not known would not be the caller's.
    let call = exchange.call.as_deref().filter(|call| call.binding != Binding::JsonRpc || call.id().is_some())?;
    let task = exchange.scan.as_ref()?.told().task.as_deref().or_else(|| call.ids().task)?;
    let worker_endpoint = Rc::clone(exchange.guards.in_flight.as_ref()?.handle());
    let is_other = |other: &Rc<WorkerEndpoint>| other.endpoint().id != worker_endpoint.endpoint().id;
    let others = exchange.worker.cluster(cluster).map(|cluster| cluster.askable()).into_iter().flatten();
    let others = others.filter(is_other).take(MAX_OTHERS).collect();
    let places = Arc::clone(&exchange.worker.view().snapshot.agents.resumptions);
    Some(Again { call, task, worker_endpoint, others, places, rng: exchange.worker.fork_rng() })
}

/// Takes what may still come of a mark off the beginning of a body. What only began as one is given back.
fn cut_mark(mark: &mut &'static [u8], data: Bytes) -> Bytes {
    let common = mark.iter().zip(&data).take_while(|(expected, byte)| expected == byte).count();
    let came = BYTE_ORDER_MARK.len() - mark.len();
    if common < mark.len() && common < data.len() {
        *mark = &[];
        let held = BYTE_ORDER_MARK.get(..came).unwrap_or_default();
        return if held.is_empty() { data } else { Bytes::from([held, &data].concat()) };
    }
    *mark = mark.get(common..).unwrap_or_default();
    data.slice(common..)
}

/// Whether a sign of life is due. The time to the next one begins when the client has taken it and asks for more, so
/// there is never more than one on its way.
fn is_due(quiet: &mut IdleTimer, is_between: bool, cx: &mut Context<'_>) -> bool {
    let is_due = is_between && quiet.poll_expired(cx);
    if is_due {
        quiet.touch();
    }
    is_due
}

/// Endpoints that are asked for a task beside the one that held it.
const MAX_OTHERS: usize = 32;
/// Clients pass over comments (WHATWG HTML section 9.2.5).
const SIGN_OF_LIFE: &[u8] = b": keep-alive\n\n";

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_mark_is_taken_off_however_it_is_cut_and_nothing_else_is() {
        for (pieces, expected) in [
            (&["\u{feff}data".as_bytes()][..], "data".as_bytes()),
            (&[b"\xef", b"\xbb", b"\xbfdata"], b"data"),
            (&[b"", b"\xef\xbb", b"", b"\xbf", b"data"], b"data"),
            (&["\u{feff}\u{feff}".as_bytes()], "\u{feff}".as_bytes()),
            (&[b"data", "\u{feff}".as_bytes()], "data\u{feff}".as_bytes()),
            (&[b"\xef", b"\xbbdata"], b"\xef\xbbdata"),
            (&[b"\xef\xbb", b"\xef\xbb\xbf"], b"\xef\xbb\xef\xbb\xbf"),
        ] {
            let mut mark = BYTE_ORDER_MARK;
            let passed = |piece: &&'static [u8]| {
                let piece = Bytes::from_static(piece);
                if mark.is_empty() { piece } else { cut_mark(&mut mark, piece) }
            };
            assert_eq!(pieces.iter().map(passed).collect::<Vec<_>>().concat(), expected, "{pieces:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_agent_is_covered_for_every_fifteen_seconds() {
        let start = Instant::now();
        let mut quiet = IdleTimer::new(Duration::from_secs(15));
        for turn in 1..=4 {
            poll_fn(|cx| if is_due(&mut quiet, true, cx) { Poll::Ready(()) } else { Poll::Pending }).await;
            assert_eq!(start.elapsed().as_secs(), turn * 15);
        }
        // An event begins the silence anew, and in the middle of one nothing is put in.
        tokio::time::advance(Duration::from_secs(14)).await;
        quiet.touch();
        poll_fn(|cx| {
            assert!(!is_due(&mut quiet, true, cx));
            Poll::Ready(())
        })
        .await;
        tokio::time::advance(Duration::from_secs(15)).await;
        poll_fn(|cx| {
            assert!(!is_due(&mut quiet, false, cx));
            assert!(is_due(&mut quiet, true, cx));
            Poll::Ready(())
        })
        .await;
    }
}
