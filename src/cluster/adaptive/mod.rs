//! A limit on what a cluster carries at once that is found out: all workers count into one window, and the one whose
//! answer ends it sets the limit anew. Nobody waits for a lock.

mod gradient;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use self::gradient::{Gradient, KINDS, Rules, Window};
use super::atomic_instant::AtomicInstant;
use super::fill::CeilingStatus;
use crate::bounded::{Count, Permit};
use crate::config::model::AdaptiveConcurrency;

/// What kind of answer a request waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerKind {
    /// One that comes soon.
    #[default]
    Soon,
    /// That of an agent which works for as long as it takes.
    Work,
}

/// The limit of one cluster. Shared by all workers; survives a reload that does not change it. One that does keeps the
/// count of what is under way, and what was found out.
#[derive(Debug)]
pub struct Adaptive {
    settings: AdaptiveConcurrency,
    under_way: Arc<Count>,
    /// How many there may be.
    limit: AtomicUsize,
    base: Instant,
    /// When the window ends.
    ends: AtomicInstant,
    kinds: [Answers; KINDS],
    most: AtomicUsize,
    /// Held by the one that ends the window, over all that it reads and writes.
    ending: AtomicBool,
    /// A [`Gradient`] in bits.
    exact_limit: AtomicU64,
    usual: [AtomicU64; KINDS],
}

/// Answers of one kind in the window.
#[derive(Debug, Default)]
struct Answers {
    count: AtomicU32,
    micros: AtomicU64,
}

impl Adaptive {
    /// The limit that `settings` describe, with what `previous` has found out as far as they allow it. Requests under
    /// way count on. Another `initial` begins there. `None` without settings.
    #[must_use]
    pub fn build(settings: Option<&AdaptiveConcurrency>, previous: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let settings = settings?;
        Some(match previous {
            Some(previous) if previous.settings == *settings => Arc::clone(previous),
            Some(previous) => Arc::new(previous.under(settings, Instant::now())),
            None => Arc::new(Self::new(settings, Instant::now())),
        })
    }

    /// The same under other settings.
    fn under(&self, settings: &AdaptiveConcurrency, now: Instant) -> Self {
        let mut next = Self { under_way: Arc::clone(&self.under_way), ..Self::new(settings, now) };
        if self.settings.initial == settings.initial {
            let limit = f64::from_bits(self.exact_limit.load(Ordering::Relaxed));
            next.set_limit(limit.clamp(exact(settings.min), exact(settings.max)));
        }
        next.usual = self.usual.each_ref().map(|usual| AtomicU64::new(usual.load(Ordering::Relaxed)));
        next
    }

    fn new(settings: &AdaptiveConcurrency, now: Instant) -> Self {
        let ends = AtomicInstant::default();
        ends.set(now, now + settings.window);
        Self {
            under_way: Count::new(()),
            limit: AtomicUsize::new(settings.initial),
            base: now,
            ends,
            kinds: Default::default(),
            most: AtomicUsize::new(0),
            ending: AtomicBool::new(false),
            exact_limit: AtomicU64::new(exact(settings.initial).to_bits()),
            usual: Default::default(),
            settings: settings.clone(),
        }
    }

    /// The limit at the moment.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// How full it is.
    #[must_use]
    pub fn fill(&self) -> CeilingStatus {
        CeilingStatus { what: "adaptive", taken: self.under_way.taken(), limit: self.limit() }
    }

    /// A place for one request, to the end of its answer; `None` at the limit.
    #[must_use]
    pub fn enter(&self) -> Option<Permit> {
        let limit = self.limit();
        let permit = self.under_way.enter(limit);
        let most = if permit.is_some() { self.under_way.taken() } else { limit };
        if self.most.load(Ordering::Relaxed) < most {
            self.most.fetch_max(most, Ordering::Relaxed);
        }
        permit
    }

    /// Takes in how long an answer took. The new limit, where that sets one.
    pub fn answered(&self, kind: AnswerKind, took: Duration, now: Instant) -> Option<usize> {
        let [soon, work] = &self.kinds;
        let answers = match kind {
            AnswerKind::Soon => soon,
            AnswerKind::Work => work,
        };
        answers.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).min(LONGEST), Ordering::Relaxed);
        answers.count.fetch_add(1, Ordering::Relaxed);
        if self.ends.is_after(self.base, now) {
            return None;
        }
        let count: u32 = self.kinds.iter().map(|kind| kind.count.load(Ordering::Relaxed)).sum();
        let is_mine = count >= ENOUGH && !self.ending.swap(true, Ordering::Acquire);
        is_mine.then(|| {
            let limit = self.end_window(now);
            self.ending.store(false, Ordering::Release);
            limit
        })
    }

    /// Sets the limit anew. What comes meanwhile counts in this window or in the next.
    fn end_window(&self, now: Instant) -> usize {
        let taken = |kind: &Answers| {
            let (count, micros) = (kind.count.swap(0, Ordering::Relaxed), kind.micros.swap(0, Ordering::Relaxed));
            (count, Duration::from_micros(micros).as_secs_f64())
        };
        let read = |bits: &AtomicU64| f64::from_bits(bits.load(Ordering::Relaxed));
        let window = Window { answers: self.kinds.each_ref().map(taken), most: self.most.swap(0, Ordering::Relaxed) };
        let before = Gradient { limit: read(&self.exact_limit), usual: self.usual.each_ref().map(read) };
        let (min, max) = (exact(self.settings.min), exact(self.settings.max));
        let next = before.after(&window, Rules { min, max, tolerance: self.settings.tolerance() });
        for (kept, usual) in self.usual.iter().zip(next.usual) {
            kept.store(usual.to_bits(), Ordering::Relaxed);
        }
        let limit = self.set_limit(next.limit);
        self.ends.set(self.base, now + self.settings.window);
        limit
    }

    fn set_limit(&self, exact: f64) -> usize {
        self.exact_limit.store(exact.to_bits(), Ordering::Relaxed);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds of the settings")]
        let limit = exact as usize;
        self.limit.store(limit, Ordering::Relaxed);
        limit
    }
}

#[allow(clippy::cast_precision_loss, reason = "at most 100000")]
fn exact(count: usize) -> f64 {
    count as f64
}

/// Answers that are enough to judge by.
const ENOUGH: u32 = 10;
/// What one answer counts at most, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> AdaptiveConcurrency {
        AdaptiveConcurrency { initial: 10, min: 2, max: 100, ..AdaptiveConcurrency::default() }
    }

    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn there_are_as_many_as_the_limit_says() {
        let adaptive = Adaptive::new(&settings(), Instant::now());
        let mut held: Vec<_> = (0..10).map(|_| adaptive.enter()).collect();
        assert!(held.iter().all(Option::is_some) && adaptive.enter().is_none());
        held.pop();
        assert!(adaptive.enter().is_some());
    }

    #[test]
    fn a_window_ends_when_its_time_is_over_and_enough_is_known() {
        let start = Instant::now();
        let adaptive = Adaptive::new(&settings(), start);
        let full: Vec<_> = (0..10).map(|_| adaptive.enter()).collect();
        let later = start + Duration::from_secs(2);
        for _ in 0..20 {
            assert_eq!(adaptive.answered(AnswerKind::Soon, TENTH, start + TENTH), None, "within the window");
        }
        assert_eq!(adaptive.answered(AnswerKind::Soon, TENTH, later), Some(11), "fast answers, and all places taken");
        assert_eq!(adaptive.limit(), 11);
        assert_eq!(adaptive.answered(AnswerKind::Soon, TENTH, later), None, "the next has begun");
        let next = later + Duration::from_secs(2);
        for count in 2..10 {
            assert_eq!(adaptive.answered(AnswerKind::Soon, TENTH * 20, next), None, "{count} are not enough");
        }
        assert!(adaptive.enter().is_some(), "the eleventh place");
        let limit = adaptive.answered(AnswerKind::Soon, TENTH * 20, next).unwrap();
        assert!(limit < 11, "slow answers: {limit}");
        drop(full);
    }

    #[test]
    fn a_reload_keeps_what_was_found_out() {
        let before = Adaptive::build(Some(&settings()), None).unwrap();
        let held = before.enter();
        let same = Adaptive::build(Some(&settings()), Some(&before)).unwrap();
        assert!(Arc::ptr_eq(&before, &same));
        let other = AdaptiveConcurrency { initial: 5, ..settings() };
        assert_eq!(Adaptive::build(Some(&other), Some(&before)).unwrap().limit(), 5);
        assert!(Adaptive::build(None, Some(&before)).is_none());
        drop(held);
    }

    #[test]
    fn a_reload_that_changes_the_settings_forgets_neither_what_is_under_way_nor_what_was_found_out() {
        let start = Instant::now();
        let before = Arc::new(Adaptive::new(&settings(), start));
        let held: Vec<_> = (0..10).map(|_| before.enter()).collect();
        for _ in 0..10 {
            assert_eq!(before.answered(AnswerKind::Soon, TENTH, start + TENTH), None);
        }
        assert_eq!(before.answered(AnswerKind::Soon, TENTH, start + Duration::from_secs(2)), Some(11));
        for (changed, limit) in [
            (AdaptiveConcurrency { max: 50, ..settings() }, 11),
            (AdaptiveConcurrency { max: 10, ..settings() }, 10),
            (AdaptiveConcurrency { min: 20, ..settings() }, 20),
            (AdaptiveConcurrency { initial: 5, ..settings() }, 5),
        ] {
            let after = Adaptive::build(Some(&changed), Some(&before)).unwrap();
            assert_eq!((after.limit(), after.under_way.taken()), (limit, 10), "{changed:?}");
            assert_eq!(after.enter().is_some(), limit > 10, "{changed:?}");
            let usual = |adaptive: &Adaptive| adaptive.usual.each_ref().map(|usual| usual.load(Ordering::Relaxed));
            assert_eq!(usual(&after), usual(&before));
        }
        drop(held);
    }

    #[test]
    fn threads_together_never_pass_the_limit_and_end_each_window_once() {
        let start = Instant::now();
        let adaptive = Adaptive::new(&settings(), start);
        let (most, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Some(permit) = adaptive.enter() {
                            most.fetch_max(adaptive.under_way.taken(), Ordering::SeqCst);
                            let over = start + Duration::from_millis(1_500);
                            if adaptive.answered(AnswerKind::Work, TENTH, over).is_some() {
                                ended.fetch_add(1, Ordering::SeqCst);
                            }
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 100);
        assert_eq!(ended.load(Ordering::SeqCst), 1, "at one moment one window ends");
        assert_eq!(adaptive.under_way.taken(), 0);
    }
}
