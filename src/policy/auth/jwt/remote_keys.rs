//! Keys that an issuer publishes on a server of its own. A task outside of this room fetches them, hands them over and
//! learns from here when it is time. Requests that need a key that is not here may wait for that, a bounded number of
//! them for a bounded time. Old keys are kept when the server fails, up to a limit; without keys nobody gets in.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::bounded::Count;
use crate::config::model::RemoteJwks;
use crate::jose::{Algorithm, KeySet};

/// The keys of one issuer.
#[derive(Debug)]
pub struct RemoteKeys {
    settings: RemoteJwks,
    algorithms: Vec<Algorithm>,
    current: ArcSwapOption<Fetched>,
    // Sequentially consistent: who waits subscribes and then looks whether a fetch is to end; who fetches says that it
    // is over and then tells.
    /// Whether a fetch is under way, or about to begin.
    expected: AtomicBool,
    /// When a request asked for a fetch, in milliseconds since `epoch`, from 1 on.
    asked: AtomicU64,
    /// When the next one is due anyway, in the same way.
    due: AtomicU64,
    /// Fetches that failed since the last that did not.
    failures: AtomicU64,
    /// How many fetches are over.
    done: watch::Sender<u64>,
    wanted: Notify,
    waiting: Arc<Count>,
    epoch: Instant,
}

/// Keys as they were fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    /// Another number for other keys.
    pub(super) generation: u64,
    since: Instant,
}

impl RemoteKeys {
    /// No keys yet, and the first fetch is due.
    #[must_use]
    pub fn new(settings: RemoteJwks, algorithms: Vec<Algorithm>, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            settings,
            algorithms,
            current: ArcSwapOption::empty(),
            expected: AtomicBool::new(true),
            asked: AtomicU64::new(0),
            due: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            done: watch::Sender::new(0),
            wanted: Notify::new(),
            waiting: Count::new(()),
            epoch: now,
        })
    }

    /// Whether keys that are fetched like this are the same keys.
    pub(super) fn serves(&self, settings: &RemoteJwks, algorithms: &[Algorithm]) -> bool {
        self.settings == *settings && self.algorithms == algorithms
    }

    /// Where the keys are.
    #[must_use]
    pub fn settings(&self) -> &RemoteJwks {
        &self.settings
    }

    /// What the keys are for.
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Seconds since the keys that count were fetched; `None` where there are none.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.current(now).map(|fetched| now.saturating_duration_since(fetched.since))
    }

    /// Requests that wait for keys.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.taken()
    }

    /// The keys there are, if there are any.
    pub(super) fn load(&self) -> Guard<Option<Arc<Fetched>>> {
        self.current.load()
    }

    /// Whether keys still count.
    pub(super) fn counts(&self, fetched: &Fetched, now: Instant) -> bool {
        let longest = self.settings.refresh.saturating_add(self.settings.stale_for);
        now.saturating_duration_since(fetched.since) <= longest
    }

    fn current(&self, now: Instant) -> Option<Arc<Fetched>> {
        self.current.load_full().filter(|fetched| self.counts(fetched, now))
    }

    /// Ends when a fetch is due: because the time has come, because a request asked for an unknown key, or because the
    /// last fetch was given up.
    pub async fn is_due(&self) {
        while !self.expected.load(SeqCst) {
            tokio::select! {
                () = tokio::time::sleep_until(self.at(self.due.load(SeqCst))) => break,
                () = self.wanted.notified() => {}
            }
        }
    }

    /// A fetch begins.
    pub fn begin(&self) {
        self.expected.store(true, SeqCst);
    }

    /// A fetch is over. `spread` is a random number from 0 to 1, so that many gateways do not ask at once. Says
    /// whether there are other keys than before.
    pub fn end(&self, fetched: Option<KeySet>, now: Instant, spread: f64) -> bool {
        let before = self.current.load_full();
        let failures = if fetched.is_some() { 0 } else { self.failures.load(SeqCst).saturating_add(1) };
        self.failures.store(failures, SeqCst);
        let mut is_other = false;
        if let Some(keys) = fetched {
            let before = before.as_deref();
            is_other = before.is_none_or(|before| before.keys != keys);
            let generation = before.map_or(0, |before| before.generation) + u64::from(is_other);
            self.current.store(Some(Arc::new(Fetched { keys, generation, since: now })));
        }
        let pause = pause(self.settings.refresh, failures, spread);
        self.due.store(self.millis(now + pause), SeqCst);
        self.expected.store(false, SeqCst);
        self.done.send_modify(|done| *done += 1);
        is_other
    }

    /// What a request waits for that needs other keys than there are: the end of the next fetch. `None` when none is
    /// to be expected, or too many wait already.
    pub(super) fn others(&self, now: Instant) -> Option<impl Future<Output = ()> + use<>> {
        let mut done = self.done.subscribe();
        let place = self.waiting.enter(MAX_WAITING)?;
        if !self.expected.load(SeqCst) {
            if self.current(now).is_none() || !self.may_ask(now) {
                return None;
            }
            self.expected.store(true, SeqCst);
            self.wanted.notify_one();
        }
        Some(async move {
            let _place = place;
            // Whatever comes of it, the keys there are then decide.
            let _over = timeout(LONGEST_WAIT, done.changed()).await.is_ok();
        })
    }

    /// Whether a request may ask for a fetch now; then others may not for a while.
    fn may_ask(&self, now: Instant) -> bool {
        let asked = self.asked.load(SeqCst);
        let is_long_ago = asked == 0 || now >= self.at(asked) + BETWEEN;
        is_long_ago && self.asked.compare_exchange(asked, self.millis(now), SeqCst, SeqCst).is_ok()
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn at(&self, millis: u64) -> Instant {
        self.epoch + Duration::from_millis(millis.saturating_sub(1))
    }
}

/// From the end of a fetch to the next: about a tenth more or less than the interval; after a failure sooner.
fn pause(refresh: Duration, failures: u64, spread: f64) -> Duration {
    let usual = match failures {
        0 => refresh,
        _ => AFTER_FAILURE.saturating_mul(1 << failures.min(6).saturating_sub(1)).min(LONGEST_PAUSE).min(refresh),
    };
    usual.mul_f64(0.9 + 0.2 * spread.clamp(0.0, 1.0))
}

/// Between two fetches that requests ask for.
const BETWEEN: Duration = Duration::from_secs(10);
/// After one failure; twice as long after each more.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Requests that wait for the keys of one issuer.
const MAX_WAITING: usize = 256;
/// How long they do; a fetch takes no longer.
const LONGEST_WAIT: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: u8) -> KeySet {
        KeySet::secret(&[secret; 64], &[Algorithm::Hs256]).unwrap()
    }

    fn remote(now: Instant) -> Arc<RemoteKeys> {
        let settings = RemoteJwks {
            url: serde_json::from_str("\"https://login.example/keys\"").unwrap(),
            ca_file: None,
            refresh: Duration::from_secs(600),
            stale_for: Duration::from_secs(3600),
        };
        RemoteKeys::new(settings, vec![Algorithm::Es256], now)
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_kept_for_a_while_when_the_server_fails() {
        let start = Instant::now();
        let remote = remote(start);
        remote.is_due().await;
        assert!(remote.current(start).is_none());
        remote.begin();
        assert!(remote.end(Some(keys(1)), start, 0.5));
        remote.begin();
        assert!(!remote.end(Some(keys(1)), start, 0.5), "the same keys");
        assert_eq!(remote.current(start).unwrap().generation, 1);
        remote.begin();
        assert!(remote.end(Some(keys(2)), start, 0.5));
        let later = start + Duration::from_secs(4200);
        assert!(!remote.end(None, later, 0.5));
        assert_eq!(remote.current(later).unwrap().generation, 2);
        assert_eq!(remote.age(later), Some(Duration::from_secs(4200)));
        assert!(remote.current(later + Duration::from_millis(1)).is_none(), "nobody gets in with older ones");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_key_makes_one_fetch_in_ten_seconds() {
        let remote = remote(Instant::now());
        let first = remote.others(Instant::now()).expect("the first fetch is still to come");
        remote.begin();
        let second = remote.others(Instant::now()).expect("one is under way");
        remote.end(Some(keys(1)), Instant::now(), 0.5);
        tokio::join!(first, second);
        let begun = Instant::now();
        let third = remote.others(Instant::now()).expect("it may be a new one");
        let fourth = remote.others(Instant::now()).expect("the same fetch is for all");
        remote.is_due().await;
        remote.begin();
        remote.end(None, Instant::now(), 0.5);
        tokio::join!(third, fourth);
        assert!(begun.elapsed() < Duration::from_millis(100), "a failure is told too");
        assert!(remote.others(Instant::now()).is_none(), "that was just now");
        tokio::time::advance(BETWEEN).await;
        let lost = remote.others(Instant::now()).expect("that was long ago");
        let begun = Instant::now();
        lost.await;
        assert!(begun.elapsed() >= LONGEST_WAIT, "nobody waits for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_was_given_up_is_made_again() {
        let remote = remote(Instant::now());
        remote.begin();
        remote.end(Some(keys(1)), Instant::now(), 0.5);
        let begun = Instant::now();
        let waiting = remote.others(Instant::now()).expect("it may be a new one");
        remote.is_due().await;
        remote.begin();
        // A reload ends the task that fetches, and another one begins.
        remote.is_due().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        remote.begin();
        remote.end(Some(keys(2)), Instant::now(), 0.5);
        waiting.await;
        remote.is_due().await;
        assert!(begun.elapsed() >= Duration::from_secs(600), "and no other one is due before its time");
    }

    #[tokio::test(start_paused = true)]
    async fn not_many_wait() {
        let remote = remote(Instant::now());
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| remote.others(Instant::now()).unwrap()).collect();
        assert!(remote.others(Instant::now()).is_none());
        waiting.pop();
        assert!(remote.others(Instant::now()).is_some());
        remote.begin();
        remote.end(None, Instant::now(), 0.5);
        drop(waiting);
        assert!(remote.others(Instant::now()).is_none(), "without keys nobody waits while the server is down");
    }

    #[test]
    fn pauses() {
        let refresh = Duration::from_secs(600);
        for (failures, spread, expected) in
            [(0, 0.5, 600.0), (0, 0.0, 540.0), (0, 1.0, 660.0), (1, 0.5, 1.0), (4, 0.5, 8.0), (900, 0.5, 30.0)]
        {
            let found = pause(refresh, failures, spread).as_secs_f64();
            assert!((found - expected).abs() < 0.001, "{failures} {spread}: {found}");
        }
        assert_eq!(pause(Duration::from_secs(2), 9, 0.5), Duration::from_secs(2));
    }
}
