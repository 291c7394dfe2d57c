//! The endpoints of a cluster at one moment, with what the balancers need computed in advance.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use xxhash_rust::xxh3::Xxh3;

use super::endpoint::Endpoint;

/// An immutable list of endpoints. A change makes a new list.
#[derive(Debug)]
pub struct Members {
    /// Every endpoint, draining ones included, in configuration order and by address within a name.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Unique for the process: a worker's copy is up to date while this equals [`super::Cluster::generation`].
    pub generation: u64,
    /// How many more there would be if a cluster had no bound.
    pub(super) left_out: usize,
    /// `cumulative[i]` is the sum of the weights up to and including endpoint `i`.
    pub(super) cumulative: Box<[u64]>,
    /// Endpoint indices in smooth weighted order; empty when all weights are zero.
    pub(super) sequence: Box<[usize]>,
    /// Per endpoint, a number that is the same in every gateway with this endpoint.
    pub(super) seeds: Box<[u64]>,
    /// Whether all weights above zero are the same.
    pub(super) is_uniform: bool,
    /// Groups that have an endpoint with a weight, the one to use first in front.
    pub(super) priorities: Box<[u32]>,
}

impl Members {
    /// Prepares a list for selection.
    #[must_use]
    pub fn new(endpoints: Vec<Arc<Endpoint>>) -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let mut total = 0_u64;
        let cumulative = weights.iter().map(|&weight| {
            total = total.saturating_add(weight.into());
            total
        });
        Self {
            left_out: 0,
            generation: GENERATION.fetch_add(1, Relaxed),
            cumulative: cumulative.collect(),
            sequence: smooth_sequence(&weights),
            seeds: endpoints.iter().map(|endpoint| seed(endpoint)).collect(),
            is_uniform: is_uniform(&weights),
            priorities: priorities(&endpoints),
            endpoints,
        }
    }
}

fn priorities(endpoints: &[Arc<Endpoint>]) -> Box<[u32]> {
    let working = endpoints.iter().filter(|endpoint| endpoint.weight > 0);
    let found: BTreeSet<u32> = working.map(|endpoint| endpoint.priority).collect();
    found.into_iter().collect()
}

fn is_uniform(weights: &[u32]) -> bool {
    let mut above_zero = weights.iter().filter(|&&weight| weight > 0);
    let first = above_zero.next();
    above_zero.all(|weight| Some(weight) == first)
}

/// From the name and the address, not from the identity: every replica of the gateway must send a key to the same
/// endpoint.
fn seed(endpoint: &Endpoint) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(endpoint.name.as_bytes());
    match endpoint.address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => hasher.update(&ip.octets()),
        std::net::IpAddr::V6(ip) => hasher.update(&ip.octets()),
    }
    hasher.update(&endpoint.address.port().to_be_bytes());
    hasher.digest()
}

/// nginx's smooth weighted round robin, one whole cycle of it: weights 5, 1, 1 give a a b a c a a rather than a a a a a
/// b c.
fn smooth_sequence(weights: &[u32]) -> Box<[usize]> {
    if is_uniform(weights) {
        let working = weights.iter().enumerate().filter(|(_, weight)| **weight > 0);
        return working.map(|(index, _)| index).collect();
    }
    let shares = shares(weights);
    let total: i64 = shares.iter().sum();
    let mut credit = vec![0_i64; shares.len()];
    let mut sequence = Vec::new();
    for _ in 0..total {
        let mut richest: Option<(usize, i64)> = None;
        for (index, (credit, share)) in credit.iter_mut().zip(&shares).enumerate() {
            *credit += share;
            if *share > 0 && richest.is_none_or(|(_, most)| *credit > most) {
                richest = Some((index, *credit));
            }
        }
        let Some((index, _)) = richest else { break };
        if let Some(credit) = credit.get_mut(index) {
            *credit -= total;
        }
        sequence.push(index);
    }
    sequence.into()
}

/// Weights made small enough for a sequence of bounded length: divided by their common divisor and, where that is not
/// enough, scaled and rounded, but never down to nothing.
fn shares(weights: &[u32]) -> Vec<i64> {
    let limit = MIN_SEQUENCE.max(weights.len().saturating_mul(SEQUENCE_PER_ENDPOINT)) as u64;
    let divisor = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let total: u64 = weights.iter().map(|&weight| u64::from(weight / divisor)).sum();
    let share = |weight: u32| {
        let reduced = u64::from(weight / divisor);
        if total <= limit || reduced == 0 {
            return reduced;
        }
        let scaled = (u128::from(reduced) * u128::from(limit) + u128::from(total / 2)) / u128::from(total);
        u64::try_from(scaled).unwrap_or(limit).max(1)
    };
    weights.iter().map(|&weight| i64::try_from(share(weight)).unwrap_or(i64::MAX)).collect()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Cycles up to this long are exact whatever the number of endpoints.
const MIN_SEQUENCE: usize = 1024;

/// Cycles up to this many turns per endpoint are exact; making one costs turns times endpoints.
const SEQUENCE_PER_ENDPOINT: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sequence_is_smooth() {
        for (weights, expected) in [
            (vec![5, 1, 1], vec![0, 0, 1, 0, 2, 0, 0]),
            (vec![1, 1, 1], vec![0, 1, 2]),
            (vec![100, 100], vec![0, 1]),
            (vec![0, 3], vec![1]),
            (vec![0, 0], vec![]),
            (vec![], vec![]),
        ] {
            assert_eq!(*smooth_sequence(&weights), *expected, "weights {weights:?}");
        }
    }

    proptest! {
        #[test]
        fn sequence_is_bounded_and_fair(weights in prop::collection::vec(any::<u32>(), 0..40)) {
            let sequence = smooth_sequence(&weights);
            prop_assert!(sequence.len() <= 2 * MIN_SEQUENCE + weights.len());
            let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
            for (index, &weight) in weights.iter().enumerate() {
                let turns = sequence.iter().filter(|&&turn| turn == index).count();
                prop_assert_eq!(turns == 0, weight == 0);
                let fair = f64::from(weight) / total.max(1.0) * sequence.len() as f64;
                // Rounding up a tiny weight takes from the large ones: at most one turn per endpoint.
                prop_assert!((turns as f64 - fair).abs() <= 2.0 + weights.len() as f64, "{} of {}", turns, fair);
            }
        }
    }
}
