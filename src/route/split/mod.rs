//! A route's traffic divided over clusters: the current shares, and the choice for a request. Pure but for the
//! counters: time and randomness come from the caller.

mod weights;

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicU64, Ordering};

pub use weights::Weights;

/// The current weights of one split. Shared by all workers and the task that moves them.
#[derive(Debug)]
pub struct Shares {
    weights: ArcSwap<Weights>,
    generation: AtomicU64,
}

impl Shares {
    /// Starts with these weights.
    #[must_use]
    pub fn new(weights: Weights) -> Self {
        Self { weights: ArcSwap::from_pointee(weights), generation: AtomicU64::new(1) }
    }

    /// The weights of the moment.
    #[must_use]
    pub fn current(&self) -> Arc<Weights> {
        self.weights.load_full()
    }

    /// Changes the weights from now on, and returns their generation.
    pub fn set(&self, weights: Weights) -> u64 {
        self.weights.store(Arc::new(weights));
        self.generation.fetch_add(1, Ordering::Release) + 1
    }

    /// Counts the changes.
    #[must_use]
    pub fn generation(&self) -> u64 {
        // Acquire: a reader that sees the number finds at least those weights.
        self.generation.load(Ordering::Acquire)
    }
}

/// The hints of a request about its version.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoutingHints<'a> {
    /// Index of the part that holds what the request is about.
    pub part: Option<usize>,
    /// Name of a cluster, from a tester's header or cookie.
    pub named: Option<&'a [u8]>,
    /// The value of the gateway's cookie from an earlier answer.
    pub held: Option<&'a [u8]>,
    /// Hash of the caller's address or header.
    pub key: Option<u64>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Index of the part.
    pub part: usize,
    /// Whether it was drawn by weight, rather than named or held.
    pub drawn: bool,
    /// By weights of this generation.
    pub generation: u64,
}

/// One worker's hand in the draw.
#[derive(Debug)]
pub struct Chooser {
    shares: Arc<Shares>,
    local: RefCell<Local>,
}

#[derive(Debug)]
struct Local {
    generation: u64,
    weights: Arc<Weights>,
    credit: Vec<i64>,
}

impl Chooser {
    /// Draws from `shares`, beginning at a random place of the sequence, so that workers and replicas do not march in
    /// step.
    #[must_use]
    pub fn new(shares: Arc<Shares>, rng: &mut fastrand::Rng) -> Self {
        let generation = shares.generation();
        let weights = shares.current();
        let mut local = Local { generation, credit: vec![0; weights.len()], weights };
        for _ in 0..rng.usize(..HEAD_START) {
            let _ = local.draw();
        }
        Self { shares, local: RefCell::new(local) }
    }

    /// The part for a request with these hints; `None` when every weight is 0.
    pub fn choose(&self, hints: RoutingHints<'_>) -> Option<Choice> {
        let mut local = self.local.borrow_mut();
        let generation = self.shares.generation();
        if local.generation != generation {
            local.generation = generation;
            local.take(self.shares.current());
        }
        let weights = &local.weights;
        let known = hints
            .part
            .filter(|part| *part < weights.len())
            .or_else(|| weights.named(hints.named?))
            .or_else(|| weights.held(hints.held?))
            .or_else(|| weights.by_key(hints.key?));
        if let Some(part) = known {
            return Some(Choice { part, drawn: false, generation });
        }
        let part = local.draw()?;
        Some(Choice { part, drawn: true, generation })
    }
}

impl Local {
    /// Continues with other weights. The lead or lag of a part stays the same share of a cycle, whatever the new length
    /// of a cycle.
    fn take(&mut self, weights: Arc<Weights>) {
        let (before, after): (i64, i64) = (self.weights.iter().sum(), weights.iter().sum());
        if before != after {
            for credit in &mut self.credit {
                *credit = credit.saturating_mul(after).checked_div(before).unwrap_or(0);
            }
        }
        self.weights = weights;
    }

    /// nginx's smooth weighted round robin: exact over every cycle, and evenly spread within it.
    fn draw(&mut self) -> Option<usize> {
        let mut richest: Option<(usize, i64)> = None;
        let mut total = 0;
        for (index, (credit, weight)) in self.credit.iter_mut().zip(self.weights.iter()).enumerate() {
            if weight == 0 {
                continue;
            }
            *credit = credit.saturating_add(weight);
            total += weight;
            if richest.is_none_or(|(_, most)| *credit > most) {
                richest = Some((index, *credit));
            }
        }
        let (index, _) = richest?;
        if let Some(credit) = self.credit.get_mut(index) {
            *credit -= total;
        }
        Some(index)
    }
}

/// Draws a worker may be ahead of another at the start.
const HEAD_START: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::model::CookieKey;

    fn shares(weights: &[i64]) -> Arc<Shares> {
        Arc::new(Shares::new(named(weights)))
    }

    fn named(weights: &[i64]) -> Weights {
        let parts = weights.iter().enumerate().map(|(index, weight)| (format!("v{index}"), *weight, *weight > 0));
        Weights::new(parts, &CookieKey::of(b"key"))
    }

    fn counts(chooser: &Chooser, draws: usize, parts: usize) -> Vec<usize> {
        let mut counts = vec![0; parts];
        for _ in 0..draws {
            counts[chooser.choose(RoutingHints::default()).unwrap().part] += 1;
        }
        counts
    }

    #[test]
    fn shares_are_exact_over_a_cycle_and_zero_gets_nothing() {
        for (weights, expected) in [
            (vec![90, 10], vec![90, 10]),
            (vec![70, 30, 0], vec![70, 30, 0]),
            (vec![0, 100], vec![0, 100]),
            (vec![1, 1, 1], vec![34, 33, 33]),
        ] {
            let chooser = Chooser::new(shares(&weights), &mut fastrand::Rng::with_seed(3));
            let mut got = counts(&chooser, 100, weights.len());
            if weights == [1, 1, 1] {
                got.sort_by(|a, b| b.cmp(a));
            }
            assert_eq!(got, expected, "{weights:?}");
        }
    }

    #[test]
    fn a_small_share_is_spread_evenly() {
        let chooser = Chooser::new(shares(&[95, 5]), &mut fastrand::Rng::with_seed(1));
        for _ in 0..50 {
            assert_eq!(counts(&chooser, 20, 2), [19, 1]);
        }
    }

    #[test]
    fn shares_are_exact_at_once_when_the_weights_change_their_scale() {
        for (before, after, expected) in [
            ([9_000, 1_000], [90, 10], [90, 10]),
            ([500_000, 500_000], [1, 1], [50, 50]),
            ([1, 1], [1_000_000, 1_000_000], [50, 50]),
            ([1_600_000_000, 0], [1, 99], [1, 99]),
        ] {
            for seed in 0..20 {
                let shares = shares(&before);
                let chooser = Chooser::new(Arc::clone(&shares), &mut fastrand::Rng::with_seed(seed));
                drop(counts(&chooser, 7, 2));
                let _ = shares.set(named(&after));
                let got = counts(&chooser, 100, 2);
                assert!(got[0].abs_diff(expected[0]) <= 1, "{before:?} {after:?} {got:?}");
            }
        }
    }

    #[test]
    fn a_name_wins_over_weight_zero_and_an_unknown_one_is_ignored() {
        let chooser = Chooser::new(shares(&[100, 0]), &mut fastrand::Rng::with_seed(1));
        let named = |name: &'static str| RoutingHints { named: Some(name.as_bytes()), ..RoutingHints::default() };
        let choice = |part, drawn| Some(Choice { part, drawn, generation: 1 });
        assert_eq!(chooser.choose(named("v1")), choice(1, false));
        assert_eq!(chooser.choose(named("v7")), choice(0, true));
    }

    #[test]
    fn what_a_cookie_holds_stays_while_the_weights_move() {
        let shares = shares(&[99, 1]);
        let chooser = Chooser::new(Arc::clone(&shares), &mut fastrand::Rng::with_seed(1));
        let token = shares.current().token(1).unwrap().to_owned();
        let held = RoutingHints { held: Some(token.as_bytes()), ..RoutingHints::default() };
        let choose = || chooser.choose(held).unwrap().part;
        assert_eq!(choose(), 1);
        let _ = shares.set(named(&[50, 50]));
        assert_eq!(choose(), 1);
        let _ = shares.set(named(&[100, 0]));
        assert_eq!(choose(), 0, "weight 0 gets nothing");
        let finishing = [("v0", 100, true), ("v1", 0, true)];
        let finishing = finishing.map(|(name, weight, held)| (name.to_owned(), weight, held));
        let _ = shares.set(Weights::new(finishing.into_iter(), &CookieKey::of(b"key")));
        assert_eq!(choose(), 1, "a side that lost may finish what it began");
    }

    #[test]
    fn without_weights_there_is_no_choice() {
        let chooser = Chooser::new(shares(&[0, 0]), &mut fastrand::Rng::with_seed(1));
        assert_eq!(chooser.choose(RoutingHints::default()), None);
        let key = RoutingHints { key: Some(7), ..RoutingHints::default() };
        assert_eq!(chooser.choose(key), None);
    }

    proptest! {
        #[test]
        fn shares_never_drift(weights in prop::collection::vec(0..100_i64, 1..6), draws in 1..2_000_usize, seed: u64) {
            let total: i64 = weights.iter().sum();
            prop_assume!(total > 0);
            let chooser = Chooser::new(shares(&weights), &mut fastrand::Rng::with_seed(seed));
            let counts = counts(&chooser, draws, weights.len());
            for (count, weight) in counts.iter().zip(&weights) {
                let fair = draws as f64 * *weight as f64 / total as f64;
                prop_assert!((*count as f64 - fair).abs() <= weights.len() as f64, "{} of {}", count, fair);
            }
        }

        #[test]
        fn a_growing_canary_only_takes_keys(
            keys in prop::collection::vec(any::<u64>(), 200),
            from in 0..100_i64,
            to in 0..100_i64,
        ) {
            let (from, to) = (from.min(to), from.max(to));
            let (before, after) = (named(&[100 - from, from]), named(&[100 - to, to]));
            for key in keys {
                let moved = (before.by_key(key), after.by_key(key));
                prop_assert!(moved != (Some(1), Some(0)), "key {} went back", key);
            }
        }
    }
}
