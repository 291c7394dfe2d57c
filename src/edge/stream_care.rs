//! What is done for the stream that an agent answers with, besides passing it on: signs of life while the agent says
//! nothing, and a last word where the gateway has to break it off. Nothing is put in but between two events, and no
//! byte of the agent waits for it.

use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;

use super::exchange::Exchange;
use super::farewell::Farewell;
use super::last_word::{self, Parting};
use crate::a2a::Operation;
use crate::body::IdleTimer;
use crate::error::Error;

/// The care for one stream.
#[derive(Debug)]
pub(super) struct StreamCare {
    farewell: Rc<Farewell>,
    /// Runs while the agent says nothing.
    quiet: Option<IdleTimer>,
    parting: Option<Parting>,
}

impl StreamCare {
    /// For the answer of this exchange; `None` where it is no stream of a recognised call.
    pub(super) fn of(exchange: &Exchange, keep_alive: Option<Duration>) -> Option<Self> {
        let scan = exchange.scan.as_ref()?;
        if !exchange.operation.is_some_and(Operation::is_streaming) || scan.between().is_none() {
            return None;
        }
        let quiet = keep_alive.filter(|_| scan.is_event_stream()).map(IdleTimer::new);
        Some(Self { farewell: exchange.worker.farewells.enter(), quiet, parting: None })
    }

    /// A piece of the agent passes.
    pub(super) fn moved(&mut self) {
        if let Some(quiet) = &mut self.quiet {
            quiet.touch();
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

/// Whether a sign of life is due. The time to the next one begins when the client has taken it and asks for more, so
/// there is never more than one on its way.
fn is_due(quiet: &mut IdleTimer, is_between: bool, cx: &mut Context<'_>) -> bool {
    let is_due = is_between && quiet.poll_expired(cx);
    if is_due {
        quiet.touch();
    }
    is_due
}

/// Clients pass over comments (WHATWG HTML section 9.2.5).
const SIGN_OF_LIFE: &[u8] = b": keep-alive\n\n";

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::time::Instant;

    use super::*;

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
