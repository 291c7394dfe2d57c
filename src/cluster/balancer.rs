//! Choosing an endpoint. Pure: randomness and the turn counter come from the caller, load from the endpoints' counters.

use std::cell::Cell;

use super::endpoint::{Endpoint, EndpointId};
use super::hash::score;
use super::members::Members;
use crate::config::model::LoadBalancer;

/// What a choice depends on besides the endpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickRequest<'a> {
    /// From [`super::hash_key`]; without it a hash policy chooses at random.
    pub hash: Option<u64>,
    /// Endpoints this request has been sent to already: avoided while there is another.
    pub tried: &'a [EndpointId],
}

impl Members {
    /// Index of the endpoint the request should go to, or `None` when no endpoint may be used. `turn` is the caller's place in
    /// the round robin; start it at a random number so that workers and replicas do not march in step.
    ///
    /// Nothing is counted here: make an [`super::InFlight`] at once.
    #[must_use]
    pub fn pick(
        &self,
        policy: &LoadBalancer,
        request: &PickRequest<'_>,
        rng: &mut fastrand::Rng,
        turn: &Cell<usize>,
    ) -> Option<usize> {
        let untried = |endpoint: &Endpoint| is_usable(endpoint) && !request.tried.contains(&endpoint.id);
        let choice = self.choose(policy, request.hash, rng, turn, untried);
        if choice.is_some() || request.tried.is_empty() {
            return choice;
        }
        self.choose(policy, request.hash, rng, turn, is_usable)
    }

    fn choose(
        &self,
        policy: &LoadBalancer,
        hash: Option<u64>,
        rng: &mut fastrand::Rng,
        turn: &Cell<usize>,
        allowed: impl Fn(&Endpoint) -> bool,
    ) -> Option<usize> {
        match (policy, hash) {
            (LoadBalancer::LeastConnection, _) if self.endpoints.len() <= FULL_SCAN => self.least_loaded(rng, allowed),
            (LoadBalancer::LeastConnection, _) => self.less_loaded_of_two(rng, allowed),
            (LoadBalancer::RoundRobin, _) => self.next_in_turn(turn, allowed),
            (LoadBalancer::Hash(_), Some(key)) => self.highest_score(key, allowed),
            (LoadBalancer::Random | LoadBalancer::Hash(_), _) => self.sample(rng, allowed),
        }
    }

    /// The smallest load; among equals at random by weight, so that an idle cluster is still split by weight.
    fn least_loaded(&self, rng: &mut fastrand::Rng, allowed: impl Fn(&Endpoint) -> bool) -> Option<usize> {
        let mut least: Option<(usize, Load)> = None;
        let mut tied_weight = 0_u64;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if !allowed(endpoint) {
                continue;
            }
            let load = Load::of(endpoint);
            let weight = u64::from(endpoint.weight);
            match least.map(|(_, least)| load.cmp(least)) {
                None | Some(std::cmp::Ordering::Less) => {
                    least = Some((index, load));
                    tied_weight = weight;
                }
                // Keeping the n-th of the tied with a chance of its share of the weight so far makes all shares fair.
                Some(std::cmp::Ordering::Equal) => {
                    tied_weight = tied_weight.saturating_add(weight);
                    if rng.u64(..tied_weight) < weight {
                        least = Some((index, load));
                    }
                }
                Some(std::cmp::Ordering::Greater) => {}
            }
        }
        least.map(|(index, _)| index)
    }

    /// Power of two choices. Both are drawn by weight, so that on equal load the first draw may simply stand.
    fn less_loaded_of_two(&self, rng: &mut fastrand::Rng, allowed: impl Fn(&Endpoint) -> bool) -> Option<usize> {
        let first = self.sample(rng, &allowed)?;
        let first_endpoint = self.endpoints.get(first)?;
        let another = |endpoint: &Endpoint| endpoint.id != first_endpoint.id && allowed(endpoint);
        let Some(second) = self.sample(rng, another) else {
            return Some(first);
        };
        let second_is_less = Load::of(self.endpoints.get(second)?).cmp(Load::of(first_endpoint)).is_lt();
        Some(if second_is_less { second } else { first })
    }

    fn next_in_turn(&self, turn: &Cell<usize>, allowed: impl Fn(&Endpoint) -> bool) -> Option<usize> {
        for _ in 0..self.sequence.len() {
            let place = turn.get() % self.sequence.len();
            turn.set(place + 1);
            let index = *self.sequence.get(place)?;
            if self.endpoints.get(index).is_some_and(|endpoint| allowed(endpoint)) {
                return Some(index);
            }
        }
        None
    }

    /// Weighted rendezvous hash: the endpoint with the highest score for this key. An endpoint's score depends on nothing
    /// but itself and the key, so when one leaves only its own keys move.
    fn highest_score(&self, key: u64, allowed: impl Fn(&Endpoint) -> bool) -> Option<usize> {
        let candidates = self.endpoints.iter().zip(&self.seeds).enumerate();
        let candidates = candidates.filter(|(_, (endpoint, _))| allowed(endpoint));
        if self.is_uniform {
            // With equal weights the order of the scores is that of the hashes: spare the logarithms.
            return candidates.max_by_key(|(_, (_, seed))| score::hash(key, **seed)).map(|(index, _)| index);
        }
        let scored = candidates.map(|(index, (endpoint, seed))| (index, score::weighted(key, *seed, endpoint.weight)));
        scored.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(index, _)| index)
    }

    /// At random by weight. A few draws nearly always hit an allowed endpoint; when they do not, a scan settles it.
    fn sample(&self, rng: &mut fastrand::Rng, allowed: impl Fn(&Endpoint) -> bool) -> Option<usize> {
        let total = self.cumulative.last().copied().filter(|&total| total > 0)?;
        for _ in 0..DRAWS {
            let point = rng.u64(..total);
            let index = self.cumulative.partition_point(|&sum| sum <= point);
            if self.endpoints.get(index).is_some_and(|endpoint| allowed(endpoint)) {
                return Some(index);
            }
        }
        let mut chosen = None;
        let mut weight_so_far = 0_u64;
        for (index, endpoint) in self.endpoints.iter().enumerate().filter(|(_, endpoint)| allowed(endpoint)) {
            let weight = u64::from(endpoint.weight);
            weight_so_far = weight_so_far.saturating_add(weight);
            if rng.u64(..weight_so_far) < weight {
                chosen = Some(index);
            }
        }
        chosen
    }
}

/// The one place that decides whether an endpoint may get new work. Always false for weight zero (draining), on which the
/// arithmetic above relies.
fn is_usable(endpoint: &Endpoint) -> bool {
    endpoint.weight > 0
}

/// Exchanges in flight per weight, compared as fractions without rounding.
#[derive(Clone, Copy)]
struct Load {
    in_flight: u64,
    weight: u64,
}

impl Load {
    fn of(endpoint: &Endpoint) -> Self {
        Self { in_flight: endpoint.in_flight().into(), weight: endpoint.weight.into() }
    }

    fn cmp(self, other: Self) -> std::cmp::Ordering {
        // Both factors come from 32 bits: no overflow.
        (self.in_flight * other.weight).cmp(&(other.in_flight * self.weight))
    }
}

/// Up to this many endpoints the least loaded of all is looked for; above, two are compared.
const FULL_SCAN: usize = 32;

/// Draws before falling back to a scan.
const DRAWS: usize = 8;
