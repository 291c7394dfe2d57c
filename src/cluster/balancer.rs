//! Choosing an endpoint. Pure: randomness and the turn counter come from the caller, load from the endpoints' counters.

use std::cell::Cell;
use std::cmp::Ordering;

use tokio::time::Instant;

use super::availability::{Availability, Eligible};
use super::ceilings::Kind;
use super::endpoint::{Endpoint, EndpointId, FULL, is_usable};
use super::hash::score;
use super::members::Members;
use crate::config::model::LoadBalancer;
use crate::error::LimitHit;

/// The parts of a request that a choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct PickRequest<'a> {
    /// From [`super::hash_key`]; without it a hash policy chooses at random.
    pub hash: Option<u64>,
    /// Endpoints this request has been sent to already: avoided while there is another.
    pub tried: &'a [EndpointId],
    /// The endpoint it should go to.
    pub preferred: Option<Preference>,
    /// What it is counted as.
    pub kind: Kind,
    /// Where the cluster stands.
    pub availability: Availability,
    /// The moment of the choice.
    pub now: Instant,
}

/// An endpoint that a request should go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preference {
    /// Which one.
    pub endpoint: EndpointId,
    /// How much that counts.
    pub strength: Strength,
}

/// How much a preference counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// The endpoint is chosen while it may be used.
    Likes,
    /// The endpoint holds what the request is about. It is also chosen while it drains or is ejected; another one is
    /// chosen when its checks say that it is down, its drain is over, or it was tried.
    Holds,
    /// The same, and no other endpoint will do.
    HoldsAlone,
}

impl PickRequest<'_> {
    /// A request that nothing is known of.
    #[must_use]
    pub fn at(now: Instant) -> Self {
        Self {
            hash: None,
            tried: &[],
            preferred: None,
            kind: Kind::default(),
            availability: Availability::default(),
            now,
        }
    }
}

/// The endpoints that may be chosen for one request, and their weights. The common case has a type of its own, so that
/// it skips the checks of the other cases for each endpoint.
trait Candidates: Copy {
    fn admit(&self, endpoint: &Endpoint) -> bool;

    /// Its share of the load. Only ever compared with others of the same choice.
    fn weight(&self, endpoint: &Endpoint) -> u64;

    /// How much of its weight it has, in 1/[`FULL`].
    fn warmth(&self, endpoint: &Endpoint) -> u64;

    fn are_warm(&self) -> bool;

    fn now(&self) -> Instant;

    /// Whether an endpoint chosen by its whole weight stands, given that it may warm up.
    #[inline]
    fn stands(&self, endpoint: &Endpoint, rng: &mut fastrand::Rng) -> bool {
        self.are_warm() || rng.u64(..FULL) < self.warmth(endpoint)
    }
}

/// Every usable endpoint, at its full weight.
#[derive(Clone, Copy)]
struct Plain {
    kind: Kind,
    now: Instant,
}

impl Candidates for Plain {
    #[inline]
    fn admit(&self, endpoint: &Endpoint) -> bool {
        is_usable(endpoint, self.now) && endpoint.full(self.kind).is_none()
    }

    #[inline]
    fn weight(&self, endpoint: &Endpoint) -> u64 {
        endpoint.weight.into()
    }

    #[inline]
    fn warmth(&self, _: &Endpoint) -> u64 {
        FULL
    }

    #[inline]
    fn are_warm(&self) -> bool {
        true
    }

    #[inline]
    fn now(&self) -> Instant {
        self.now
    }
}

/// Candidates by the availability of the cluster, without the endpoints of earlier tries.
#[derive(Clone, Copy)]
struct Particular<'a> {
    tried: &'a [EndpointId],
    kind: Kind,
    availability: Availability,
    now: Instant,
}

impl Candidates for Particular<'_> {
    fn admit(&self, endpoint: &Endpoint) -> bool {
        let reached = match self.availability.eligible {
            Eligible::Usable => is_usable(endpoint, self.now),
            Eligible::Some { priority, local } => {
                is_usable(endpoint, self.now) && endpoint.priority <= priority && (endpoint.local || !local)
            }
            Eligible::All => endpoint.weight > 0,
            Eligible::Nobody => false,
        };
        reached && endpoint.full(self.kind).is_none() && !self.tried.contains(&endpoint.id)
    }

    fn weight(&self, endpoint: &Endpoint) -> u64 {
        u64::from(endpoint.weight) * self.warmth(endpoint)
    }

    fn warmth(&self, endpoint: &Endpoint) -> u64 {
        let warmth = |window| endpoint.warmth(window, self.now);
        self.availability.warming.map_or(FULL, warmth)
    }

    fn are_warm(&self) -> bool {
        self.availability.warming.is_none()
    }

    fn now(&self) -> Instant {
        self.now
    }
}

impl Members {
    /// Index of the endpoint the request should go to, or `None` when no endpoint may be used. `turn` is the caller's
    /// place in the round robin; start it at a random number so that workers and replicas do not march in step.
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
        if let Some(preference) = request.preferred {
            let index = self.preferred(preference, request);
            if index.is_some() || preference.strength == Strength::HoldsAlone {
                return index;
            }
        }
        if request.tried.is_empty() && request.availability == Availability::default() {
            let plain = Plain { kind: request.kind, now: request.now };
            return self.choose(policy, request.hash, rng, turn, plain);
        }
        self.pick_particular(policy, request, rng, turn)
    }

    /// Where the preferred endpoint is, if it may be used.
    fn preferred(&self, preference: Preference, request: &PickRequest<'_>) -> Option<usize> {
        let (index, endpoint) = self.find(preference.endpoint)?;
        let was_tried = request.tried.contains(&endpoint.id);
        let may_be_used = match preference.strength {
            Strength::Likes => is_usable(endpoint, request.now) && !was_tried,
            Strength::Holds => !endpoint.is_unhealthy() && !was_tried && !endpoint.is_gone(request.now),
            Strength::HoldsAlone => !endpoint.is_gone(request.now),
        };
        (may_be_used && endpoint.full(request.kind).is_none()).then_some(index)
    }

    /// The ceiling that keeps a request from the endpoint that holds what it is about. It waits for that one, because
    /// no other can do its work.
    #[must_use]
    pub fn holder_is_full(&self, request: &PickRequest<'_>) -> Option<LimitHit> {
        let preference = request.preferred.filter(|preference| preference.strength != Strength::Likes)?;
        let (_, endpoint) = self.find(preference.endpoint).filter(|(_, endpoint)| !endpoint.is_gone(request.now))?;
        let is_tried = request.tried.contains(&endpoint.id) || endpoint.is_unhealthy();
        let is_wanted = preference.strength == Strength::HoldsAlone || !is_tried;
        if is_wanted { endpoint.full(request.kind) } else { None }
    }

    fn find(&self, id: EndpointId) -> Option<(usize, &Endpoint)> {
        let mut endpoints = self.endpoints.iter().enumerate();
        endpoints.find(|(_, endpoint)| endpoint.id == id).map(|(index, endpoint)| (index, &**endpoint))
    }

    /// One elsewhere is better than one that was tried.
    #[inline(never)]
    fn pick_particular(
        &self,
        policy: &LoadBalancer,
        request: &PickRequest<'_>,
        rng: &mut fastrand::Rng,
        turn: &Cell<usize>,
    ) -> Option<usize> {
        let tries = [
            (request.tried, Some(request.availability)),
            (request.tried, request.availability.widened()),
            (&[], Some(request.availability)),
            (&[], request.availability.widened()),
        ];
        tries.into_iter().find_map(|(tried, availability)| {
            let candidates = Particular { tried, kind: request.kind, availability: availability?, now: request.now };
            self.choose(policy, request.hash, rng, turn, candidates)
        })
    }

    #[inline]
    fn choose(
        &self,
        policy: &LoadBalancer,
        hash: Option<u64>,
        rng: &mut fastrand::Rng,
        turn: &Cell<usize>,
        candidates: impl Candidates,
    ) -> Option<usize> {
        match (policy, hash) {
            (LoadBalancer::LeastConnection, _) => {
                let load = |endpoint: &Endpoint| Load::of(endpoint, candidates);
                self.least(rng, candidates, load, Load::cmp)
            }
            (LoadBalancer::PeakEwma, _) => {
                let cost = |endpoint: &Endpoint| cost(endpoint, candidates);
                self.least(rng, candidates, cost, f64::total_cmp)
            }
            (LoadBalancer::RoundRobin, _) => self.next_in_turn(rng, turn, candidates),
            (LoadBalancer::Hash(_), Some(key)) => self.best_score(key, candidates),
            (LoadBalancer::Random | LoadBalancer::Hash(_), _) => self.sample(rng, candidates, None),
        }
    }

    #[inline]
    fn least<L: Copy>(
        &self,
        rng: &mut fastrand::Rng,
        candidates: impl Candidates,
        load: impl Fn(&Endpoint) -> L,
        compare: impl Fn(&L, &L) -> Ordering,
    ) -> Option<usize> {
        if self.endpoints.len() <= FULL_SCAN {
            self.least_of_all(rng, candidates, load, compare)
        } else {
            self.less_of_two(rng, candidates, load, compare)
        }
    }

    /// The smallest load; among equals at random by weight, so that an idle cluster is still split by weight.
    #[inline]
    fn least_of_all<L: Copy>(
        &self,
        rng: &mut fastrand::Rng,
        candidates: impl Candidates,
        load: impl Fn(&Endpoint) -> L,
        compare: impl Fn(&L, &L) -> Ordering,
    ) -> Option<usize> {
        let mut least: Option<(usize, L)> = None;
        let mut tied_weight = 0_u64;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if !candidates.admit(endpoint) {
                continue;
            }
            let load = load(endpoint);
            let weight = candidates.weight(endpoint);
            match least.map(|(_, least)| compare(&load, &least)) {
                None | Some(Ordering::Less) => {
                    least = Some((index, load));
                    tied_weight = weight;
                }
                // Keeping the n-th of the tied with a chance of its share of the weight so far makes all shares fair.
                Some(Ordering::Equal) => {
                    tied_weight = tied_weight.saturating_add(weight);
                    if rng.u64(..tied_weight) < weight {
                        least = Some((index, load));
                    }
                }
                Some(Ordering::Greater) => {}
            }
        }
        least.map(|(index, _)| index)
    }

    /// Power of two choices. Both are drawn by weight, so that on equal load the first draw may simply stand.
    fn less_of_two<L>(
        &self,
        rng: &mut fastrand::Rng,
        candidates: impl Candidates,
        load: impl Fn(&Endpoint) -> L,
        compare: impl Fn(&L, &L) -> Ordering,
    ) -> Option<usize> {
        let first = self.sample(rng, candidates, None)?;
        let first_endpoint = self.endpoints.get(first)?;
        let Some(second) = self.sample(rng, candidates, Some(first_endpoint.id)) else {
            return Some(first);
        };
        let second_load = load(self.endpoints.get(second)?);
        let second_is_less = compare(&second_load, &load(first_endpoint)).is_lt();
        Some(if second_is_less { second } else { first })
    }

    fn next_in_turn(&self, rng: &mut fastrand::Rng, turn: &Cell<usize>, candidates: impl Candidates) -> Option<usize> {
        let mut passed_over = None;
        for _ in 0..self.sequence.len() {
            let place = turn.get() % self.sequence.len();
            turn.set(place + 1);
            let index = *self.sequence.get(place)?;
            let endpoint = self.endpoints.get(index)?;
            if !candidates.admit(endpoint) {
                continue;
            }
            if candidates.stands(endpoint, rng) {
                return Some(index);
            }
            passed_over = Some(index);
        }
        passed_over
    }

    /// Weighted rendezvous hash: the endpoint with the best score for this key. An endpoint's score depends on nothing
    /// but itself and the key, so when one leaves only its own keys move.
    fn best_score(&self, key: u64, candidates: impl Candidates) -> Option<usize> {
        let all = self.endpoints.iter().zip(&self.seeds).enumerate();
        let admitted = all.filter(|(_, (endpoint, _))| candidates.admit(endpoint));
        if self.is_uniform && candidates.are_warm() {
            // With equal weights the order of the scores is that of the hashes: spare the logarithms.
            return admitted.max_by_key(|(_, (_, seed))| score::hash(key, **seed)).map(|(index, _)| index);
        }
        let mut best: Option<(usize, f64)> = None;
        for (index, (endpoint, seed)) in admitted {
            let weight = candidates.weight(endpoint) as f64;
            let uniform = score::uniform(key, *seed);
            // -ln(u) is never below 1 - u: nearly all candidates are out without a logarithm.
            if best.is_some_and(|(_, least)| 1.0 - uniform > least * weight) {
                continue;
            }
            let cost = score::cost(uniform, weight);
            if best.is_none_or(|(_, least)| cost < least) {
                best = Some((index, cost));
            }
        }
        best.map(|(index, _)| index)
    }

    /// At random by weight. A few draws nearly always hit an allowed endpoint; when they do not, a scan settles it.
    fn sample(
        &self,
        rng: &mut fastrand::Rng,
        candidates: impl Candidates,
        except: Option<EndpointId>,
    ) -> Option<usize> {
        let total = self.cumulative.last().copied().filter(|&total| total > 0)?;
        let allowed = |endpoint: &Endpoint| Some(endpoint.id) != except && candidates.admit(endpoint);
        for _ in 0..DRAWS {
            let point = rng.u64(..total);
            let index = self.cumulative.partition_point(|&sum| sum <= point);
            let endpoint = self.endpoints.get(index)?;
            if allowed(endpoint) && candidates.stands(endpoint, rng) {
                return Some(index);
            }
        }
        let mut chosen = None;
        let mut weight_so_far = 0_u64;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if !allowed(endpoint) {
                continue;
            }
            let weight = candidates.weight(endpoint);
            weight_so_far = weight_so_far.saturating_add(weight);
            if rng.u64(..weight_so_far) < weight {
                chosen = Some(index);
            }
        }
        chosen
    }
}

/// Exchanges in flight per weight, compared as fractions without rounding.
#[derive(Clone, Copy)]
struct Load {
    in_flight: u64,
    weight: u64,
}

impl Load {
    #[inline]
    fn of(endpoint: &Endpoint, candidates: impl Candidates) -> Self {
        Self { in_flight: endpoint.in_flight().into(), weight: candidates.weight(endpoint) }
    }

    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        // 32 bits of requests and, while one warms up, 20 of weight and 10 of warmth: no overflow.
        let mine = self.in_flight.wrapping_mul(other.weight);
        mine.cmp(&other.in_flight.wrapping_mul(self.weight))
    }
}

/// How long a request would wait: the expected time of each before it and its own, per weight. One that was never
/// measured is tried with a single request first.
fn cost(endpoint: &Endpoint, candidates: impl Candidates) -> f64 {
    let in_flight = f64::from(endpoint.in_flight());
    let weight = candidates.weight(endpoint) as f64;
    let live = &endpoint.live;
    match live.latency.expected(live.born, candidates.now()) {
        Some(expected) => expected * (in_flight + 1.0) / weight,
        None => UNKNOWN * in_flight / weight,
    }
}

/// More nanoseconds than anything takes.
const UNKNOWN: f64 = 1e18;

/// Up to this many endpoints the least loaded of all is looked for; above, two are compared.
const FULL_SCAN: usize = 32;

/// Draws before falling back to a scan.
const DRAWS: usize = 8;

#[cfg(test)]
mod tests;
