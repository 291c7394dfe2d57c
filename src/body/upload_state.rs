//! What is known of an upload and its answer while the body is in the hands of an upstream connection.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::Error;

/// What the exchange knows about its request body while the upstream connection owns the body.
#[derive(Debug, Default)]
pub struct UploadState {
    received: Cell<u64>,
    /// Whether the gateway waits for the endpoint: a piece is on its way, and the endpoint has not asked for more.
    owed: Cell<bool>,
    /// Since when the gateway waits for the client: the endpoint has asked for a piece that has not come.
    awaited: Cell<Option<Instant>>,
    /// How long the endpoint waited for the client before that.
    waited: Cell<Duration>,
    /// Whether the client has not sent all of it yet.
    pub(super) unfinished: Cell<bool>,
    /// How often that began.
    handed: Cell<u64>,
    /// How far the answer is.
    pub(super) answer: Cell<AnswerProgress>,
    /// When a piece of the answer passed last while the endpoint waited for the client.
    pub(super) passed: Cell<Option<Instant>>,
    /// When a piece of the body came last beside an answer.
    pub(super) came: Cell<Option<Instant>>,
    /// Whether the answer is over, or there will be none.
    over: Cell<bool>,
    pub(super) failure: Cell<Option<Failure>>,
}

/// How far an answer is while its request is still sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AnswerProgress {
    #[default]
    Awaited,
    Begun,
    /// It has begun and is a stream: a client that is silent listens.
    Streams,
}

/// Why a request body could not be forwarded to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    TooLarge,
    Idle,
    /// Its framing is broken.
    Invalid,
    ClientGone,
}

impl UploadState {
    /// Bytes received from the client so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    /// The answer has begun. From the head of a stream on the client's silence has no limit of its own: that of the
    /// stream holds, for both directions together.
    pub fn answered(&self, streams: bool) {
        self.answer.set(if streams { AnswerProgress::Streams } else { AnswerProgress::Begun });
    }

    /// A piece of the answer has passed.
    pub fn passed(&self) {
        if self.awaits_client() {
            self.passed.set(Some(Instant::now()));
        }
    }

    /// When the client last sent something beside the answer, since this was last asked.
    #[must_use]
    pub fn came(&self) -> Option<Instant> {
        self.came.take()
    }

    /// Counts bytes that came some other way (a tunnel).
    pub fn add(&self, bytes: u64) {
        self.received.set(self.received.get() + bytes);
    }

    /// Ends when the endpoint has not asked for more of the body for `limit` (at most twice that), although there is
    /// more.
    pub fn stalled(&self, limit: Duration) -> impl Future<Output = ()> {
        self.owed.set(false);
        async move {
            loop {
                let before = self.handed.get();
                sleep(limit).await;
                if self.owed.get() && self.handed.get() == before {
                    return;
                }
            }
        }
    }

    pub(super) fn handed(&self) {
        self.owed.set(true);
        self.settle();
        self.handed.set(self.handed.get() + 1);
    }

    /// The endpoint has asked: it waits for the client, or has it all.
    pub(super) fn asked(&self, waits: bool) {
        self.owed.set(false);
        if !waits {
            self.settle();
        } else if self.awaited.get().is_none() {
            self.awaited.set(Some(Instant::now()));
        }
    }

    /// Adds up how long the endpoint has waited.
    fn settle(&self) {
        if let Some(since) = self.awaited.take() {
            self.waited.set(self.waited.get() + since.elapsed());
        }
    }

    /// The part of the time so far in which the endpoint waited for the client.
    #[must_use]
    pub fn client_time(&self) -> Duration {
        let now = self.awaited.get().map(|since| since.elapsed());
        self.waited.get() + now.unwrap_or_default()
    }

    /// Whether the client has not sent all of its body yet.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.get()
    }

    /// Whether the endpoint waits for the client.
    #[must_use]
    pub fn awaits_client(&self) -> bool {
        self.awaited.get().is_some()
    }

    /// The answer is over.
    pub fn end(&self) {
        self.over.set(true);
    }

    /// Whether the answer is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    /// The client's part in a failed exchange, if it had one.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.failure.get().map(|failure| match failure {
            Failure::TooLarge => Error::BodyTooLarge,
            Failure::Idle => Error::BodyTimeout,
            Failure::Invalid => Error::BadRequest("body_invalid"),
            Failure::ClientGone => Error::ClientGone,
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_stops_asking_is_noticed() {
        let state = UploadState::default();
        let stalled = state.stalled(LIMIT);
        state.handed();
        let start = Instant::now();
        stalled.await;
        let waited = start.elapsed();
        assert!(waited >= LIMIT && waited <= 2 * LIMIT, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_goes_on_asking_is_not_stalled() {
        let state = UploadState::default();
        state.handed();
        let stalled = state.stalled(LIMIT);
        let asking = async {
            assert!(!state.owed.get(), "each try starts anew");
            sleep(10 * LIMIT).await;
            for _ in 0..100 {
                state.handed();
                sleep(LIMIT / 2).await;
            }
        };
        tokio::select! {
            () = stalled => panic!("neither a silent client nor a slow endpoint is meant"),
            () = asking => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_client_is_waited_for_is_the_clients() {
        let state = UploadState::default();
        assert_eq!(state.client_time(), Duration::ZERO);
        state.asked(true);
        sleep(LIMIT).await;
        state.asked(true);
        assert_eq!(state.client_time(), LIMIT, "also while it lasts");
        state.handed();
        sleep(LIMIT).await;
        assert_eq!(state.client_time(), LIMIT, "then it is the endpoint's");
        state.asked(true);
        sleep(LIMIT).await;
        state.asked(false);
        sleep(LIMIT).await;
        assert_eq!(state.client_time(), 2 * LIMIT);
        assert!(!state.awaits_client());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_was_taken_whole_does_not_stall() {
        let state = UploadState::default();
        let stalled = state.stalled(LIMIT);
        state.handed();
        state.owed.set(false);
        assert!(timeout(100 * LIMIT, stalled).await.is_err());
    }
}
