//! A silence timer that costs nothing while a body flows: it is armed when the body first has to wait, and activity
//! only notes the time. When it fires too early because there was activity since, it is armed again for the remaining
//! time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Fires after `limit` without [`IdleTimer::touch`].
#[derive(Debug)]
pub struct IdleTimer {
    limit: Duration,
    waiting_since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    /// A timer that is not armed yet.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, waiting_since: None, sleep: None }
    }

    /// How long a silence may last.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Something moved: the silence, if there was one, is over.
    pub fn touch(&mut self) {
        self.waiting_since = None;
    }

    /// Something else moved at that moment, which counts as well.
    pub fn moved(&mut self, at: Instant) {
        if let Some(since) = &mut self.waiting_since {
            *since = at.max(*since);
        }
    }

    /// Call while nothing moves; `true` once the silence has lasted for the whole limit. Registers for a wake-up.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let deadline = since + self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            match sleep.as_mut().poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(()) if sleep.deadline() >= deadline => return true,
                Poll::Ready(()) => sleep.as_mut().reset(deadline),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn expired(timer: &mut IdleTimer) {
        std::future::poll_fn(|cx| if timer.poll_expired(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn fires_after_silence_and_not_before() {
        let start = Instant::now();
        let mut timer = IdleTimer::new(Duration::from_secs(5));
        expired(&mut timer).await;
        assert_eq!(start.elapsed().as_secs(), 5, "the whole limit passed");
    }

    #[tokio::test(start_paused = true)]
    async fn what_moved_elsewhere_counts_from_its_own_moment() {
        let start = Instant::now();
        let mut timer = IdleTimer::new(Duration::from_secs(5));
        expired(&mut timer).await;
        timer.moved(start + Duration::from_secs(2));
        expired(&mut timer).await;
        assert_eq!(start.elapsed().as_secs(), 7, "five after that moment");
        timer.moved(start + Duration::from_secs(1));
        expired(&mut timer).await;
        assert_eq!(start.elapsed().as_secs(), 7, "what is older says nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn activity_starts_the_silence_anew() {
        let start = Instant::now();
        let mut timer = IdleTimer::new(Duration::from_secs(5));
        let early = tokio::time::timeout(Duration::from_secs(3), expired(&mut timer)).await;
        assert!(early.is_err(), "not expired after three seconds");
        timer.touch();
        expired(&mut timer).await;
        assert_eq!(start.elapsed().as_secs(), 8, "five seconds after the activity");
    }
}
