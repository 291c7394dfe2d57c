//! Choosing an endpoint. Pure: randomness and the turn counter come from the caller, load from the endpoints' counters.

use std::cell::Cell;

use super::ceilings::Kind;
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
    /// What it is counted as.
    pub kind: Kind,
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
        let usable = |endpoint: &Endpoint| is_usable(endpoint, request.kind);
        let untried =
            |endpoint: &Endpoint| usable(endpoint) && !request.tried.contains(&endpoint.id);
        let choice = self.choose(policy, request.hash, rng, turn, untried);
        if choice.is_some() || request.tried.is_empty() {
            return choice;
        }
        self.choose(policy, request.hash, rng, turn, usable)
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
            (LoadBalancer::LeastConnection, _) if self.endpoints.len() <= FULL_SCAN => {
                self.least_loaded(rng, allowed)
            }
            (LoadBalancer::LeastConnection, _) => self.less_loaded_of_two(rng, allowed),
            (LoadBalancer::RoundRobin, _) => self.next_in_turn(turn, allowed),
            (LoadBalancer::Hash(_), Some(key)) => self.best_score(key, allowed),
            (LoadBalancer::Random | LoadBalancer::Hash(_), _) => self.sample(rng, allowed),
        }
    }

    /// The smallest load; among equals at random by weight, so that an idle cluster is still split by weight.
    fn least_loaded(
        &self,
        rng: &mut fastrand::Rng,
        allowed: impl Fn(&Endpoint) -> bool,
    ) -> Option<usize> {
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
    fn less_loaded_of_two(
        &self,
        rng: &mut fastrand::Rng,
        allowed: impl Fn(&Endpoint) -> bool,
    ) -> Option<usize> {
        let first = self.sample(rng, &allowed)?;
        let first_endpoint = self.endpoints.get(first)?;
        let another = |endpoint: &Endpoint| endpoint.id != first_endpoint.id && allowed(endpoint);
        let Some(second) = self.sample(rng, another) else {
            return Some(first);
        };
        let second_is_less = Load::of(self.endpoints.get(second)?)
            .cmp(Load::of(first_endpoint))
            .is_lt();
        Some(if second_is_less { second } else { first })
    }

    fn next_in_turn(
        &self,
        turn: &Cell<usize>,
        allowed: impl Fn(&Endpoint) -> bool,
    ) -> Option<usize> {
        for _ in 0..self.sequence.len() {
            let place = turn.get() % self.sequence.len();
            turn.set(place + 1);
            let index = *self.sequence.get(place)?;
            if self
                .endpoints
                .get(index)
                .is_some_and(|endpoint| allowed(endpoint))
            {
                return Some(index);
            }
        }
        None
    }

    /// Weighted rendezvous hash: the endpoint with the best score for this key. An endpoint's score depends on nothing
    /// but itself and the key, so when one leaves only its own keys move.
    fn best_score(&self, key: u64, allowed: impl Fn(&Endpoint) -> bool) -> Option<usize> {
        let candidates = self.endpoints.iter().zip(&self.seeds).enumerate();
        let candidates = candidates.filter(|(_, (endpoint, _))| allowed(endpoint));
        if self.is_uniform {
            // With equal weights the order of the scores is that of the hashes: spare the logarithms.
            return candidates
                .max_by_key(|(_, (_, seed))| score::hash(key, **seed))
                .map(|(index, _)| index);
        }
        let mut best: Option<(usize, f64)> = None;
        for (index, (endpoint, seed)) in candidates {
            let weight = f64::from(endpoint.weight);
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
        allowed: impl Fn(&Endpoint) -> bool,
    ) -> Option<usize> {
        let total = self.cumulative.last().copied().filter(|&total| total > 0)?;
        for _ in 0..DRAWS {
            let point = rng.u64(..total);
            let index = self.cumulative.partition_point(|&sum| sum <= point);
            if self
                .endpoints
                .get(index)
                .is_some_and(|endpoint| allowed(endpoint))
            {
                return Some(index);
            }
        }
        let mut chosen = None;
        let mut weight_so_far = 0_u64;
        for (index, endpoint) in self
            .endpoints
            .iter()
            .enumerate()
            .filter(|(_, endpoint)| allowed(endpoint))
        {
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
fn is_usable(endpoint: &Endpoint, kind: Kind) -> bool {
    endpoint.weight > 0 && !endpoint.is_unhealthy() && endpoint.full(kind).is_none()
}

/// Exchanges in flight per weight, compared as fractions without rounding.
#[derive(Clone, Copy)]
struct Load {
    in_flight: u64,
    weight: u64,
}

impl Load {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            in_flight: endpoint.in_flight().into(),
            weight: endpoint.weight.into(),
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::endpoint::InFlight;
    use super::*;
    use crate::config::model::HashKey;

    const LEAST: LoadBalancer = LoadBalancer::LeastConnection;
    const HASH: LoadBalancer = LoadBalancer::Hash(HashKey::ClientIp);
    const POLICIES: [LoadBalancer; 4] =
        [LEAST, LoadBalancer::RoundRobin, LoadBalancer::Random, HASH];

    fn members(weights: &[u32]) -> Members {
        let endpoint = |(index, &weight): (usize, &u32)| {
            let [.., third, fourth] = u32::try_from(index).unwrap().to_be_bytes();
            let address = SocketAddr::from(([10, 0, third, fourth], 80));
            Arc::new(Endpoint::new(
                address,
                address.to_string(),
                weight,
                BTreeMap::new(),
            ))
        };
        Members::new(weights.iter().enumerate().map(endpoint).collect())
    }

    /// Guards that put the given load on each endpoint.
    fn load(members: &Members, loads: &[u32]) -> Vec<InFlight<Arc<Endpoint>>> {
        let busy = members.endpoints.iter().zip(loads);
        busy.flat_map(|(endpoint, &load)| (0..load).map(|_| InFlight::new(Arc::clone(endpoint))))
            .collect()
    }

    fn pick_with(
        members: &Members,
        policy: &LoadBalancer,
        request: PickRequest<'_>,
        seed: u64,
    ) -> Option<usize> {
        members.pick(
            policy,
            &request,
            &mut fastrand::Rng::with_seed(seed),
            &Cell::new(0),
        )
    }

    /// How often each endpoint is chosen in `rounds` picks that do not add load.
    fn shares(members: &Members, policy: &LoadBalancer, rounds: u32) -> Vec<u32> {
        let mut rng = fastrand::Rng::with_seed(7);
        let turn = Cell::new(0);
        let mut counts = vec![0; members.endpoints.len()];
        for _ in 0..rounds {
            let request = PickRequest {
                hash: Some(rng.u64(..)),
                tried: &[],
                ..PickRequest::default()
            };
            counts[members.pick(policy, &request, &mut rng, &turn).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn open_streams_are_spread_exactly() {
        for (weights, streams, expected) in [
            (vec![1, 1, 1], 300, vec![100, 100, 100]),
            (vec![2, 1], 300, vec![200, 100]),
            (vec![5, 0, 1], 60, vec![50, 0, 10]),
            (vec![1; 32], 320, vec![10; 32]),
        ] {
            let members = members(&weights);
            let mut rng = fastrand::Rng::with_seed(1);
            let mut open = Vec::new();
            for _ in 0..streams {
                let chosen = members
                    .pick(&LEAST, &PickRequest::default(), &mut rng, &Cell::new(0))
                    .unwrap();
                open.push(InFlight::new(Arc::clone(&members.endpoints[chosen])));
            }
            let counts: Vec<u32> = members
                .endpoints
                .iter()
                .map(|endpoint| endpoint.in_flight())
                .collect();
            assert_eq!(counts, expected, "weights {weights:?}");
        }
    }

    #[test]
    fn a_finished_stream_makes_room() {
        let members = members(&[1, 1]);
        let mut open = load(&members, &[5, 5]);
        let ended = open.remove(7).endpoint().id;
        let chosen = pick_with(&members, &LEAST, PickRequest::default(), 3).unwrap();
        assert_eq!(members.endpoints[chosen].id, ended);
    }

    #[test]
    fn an_idle_cluster_is_split_by_weight() {
        for policy in POLICIES {
            let counts = shares(&members(&[1, 2, 0, 7]), &policy, 20_000);
            for (count, expected) in counts.iter().zip([2_000_u32, 4_000, 0, 14_000]) {
                assert!(count.abs_diff(expected) < 400, "{policy:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn two_choices_split_by_weight_and_even_out() {
        let weights: Vec<u32> = (0..40)
            .map(|index| if index % 2 == 0 { 1 } else { 3 })
            .collect();
        let counts = shares(&members(&weights), &LEAST, 80_000);
        for (count, weight) in counts.iter().zip(&weights) {
            assert!(count.abs_diff(weight * 1_000) < 250, "{counts:?}");
        }

        let members = members(&[1; 100]);
        let mut rng = fastrand::Rng::with_seed(5);
        let mut open = Vec::new();
        for _ in 0..10_000 {
            let chosen = members
                .pick(&LEAST, &PickRequest::default(), &mut rng, &Cell::new(0))
                .unwrap();
            open.push(InFlight::new(Arc::clone(&members.endpoints[chosen])));
        }
        let most = members
            .endpoints
            .iter()
            .map(|endpoint| endpoint.in_flight())
            .max()
            .unwrap();
        // The maximum of two choices is the mean plus about log2(ln n): far from the +35 of a blind draw.
        assert!(most <= 105, "busiest has {most}, mean is 100");
    }

    #[test]
    fn turns_follow_the_sequence() {
        let members = members(&[5, 1, 1]);
        let turn = Cell::new(0);
        let mut rng = fastrand::Rng::with_seed(0);
        let mut next = || {
            members.pick(
                &LoadBalancer::RoundRobin,
                &PickRequest::default(),
                &mut rng,
                &turn,
            )
        };
        let picks: Vec<usize> = (0..14).filter_map(|_| next()).collect();
        assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn turn_may_start_anywhere() {
        let members = members(&[1, 1, 1]);
        let turn = Cell::new(usize::MAX);
        let mut rng = fastrand::Rng::with_seed(0);
        for _ in 0..5 {
            assert!(
                members
                    .pick(
                        &LoadBalancer::RoundRobin,
                        &PickRequest::default(),
                        &mut rng,
                        &turn
                    )
                    .is_some()
            );
        }
    }

    #[test]
    fn tried_endpoints_are_avoided_while_there_is_another() {
        for policy in POLICIES {
            let members = members(&[1, 1, 0]);
            let ids: Vec<EndpointId> = members
                .endpoints
                .iter()
                .map(|endpoint| endpoint.id)
                .collect();
            for seed in 0..50 {
                let request = PickRequest {
                    hash: Some(seed),
                    tried: &ids[..1],
                    ..PickRequest::default()
                };
                assert_eq!(
                    pick_with(&members, &policy, request, seed),
                    Some(1),
                    "{policy:?}"
                );
                let all = PickRequest {
                    hash: Some(seed),
                    tried: &ids,
                    ..PickRequest::default()
                };
                assert!(
                    matches!(pick_with(&members, &policy, all, seed), Some(0 | 1)),
                    "{policy:?}"
                );
            }
        }
    }

    #[test]
    fn nothing_usable_is_none() {
        for policy in POLICIES {
            for weights in [vec![], vec![0], vec![0; 40]] {
                let request = PickRequest {
                    hash: Some(1),
                    tried: &[],
                    ..PickRequest::default()
                };
                assert_eq!(
                    pick_with(&members(&weights), &policy, request, 1),
                    None,
                    "{policy:?} {weights:?}"
                );
            }
        }
    }

    #[test]
    fn a_hash_policy_without_a_key_is_random() {
        let members = members(&[1; 10]);
        let picks: Vec<_> = (0..100)
            .map(|seed| pick_with(&members, &HASH, PickRequest::default(), seed))
            .collect();
        assert!(picks.iter().any(|pick| *pick != picks[0]));
    }

    /// A changed choice here means that after an upgrade every client lands on another endpoint.
    #[test]
    fn hash_choices_are_pinned() {
        for (weights, expected) in [
            (vec![1; 5], PINNED_UNIFORM),
            (vec![1, 2, 3, 4, 5], PINNED_WEIGHTED),
        ] {
            let members = members(&weights);
            let pick = |key| {
                pick_with(
                    &members,
                    &HASH,
                    PickRequest {
                        hash: Some(key),
                        tried: &[],
                        ..PickRequest::default()
                    },
                    key,
                )
                .unwrap()
            };
            let picks: Vec<usize> = (0..8).map(pick).collect();
            assert_eq!(picks, expected, "weights {weights:?}");
        }
    }

    const PINNED_UNIFORM: [usize; 8] = [2, 4, 1, 2, 0, 1, 1, 3];
    const PINNED_WEIGHTED: [usize; 8] = [2, 4, 1, 2, 3, 1, 1, 3];

    fn weights() -> impl Strategy<Value = Vec<u32>> {
        let weight = prop_oneof![Just(0), Just(1), 1..10_u32, any::<u32>()];
        prop_oneof![
            prop::collection::vec(weight.clone(), 0..=32),
            prop::collection::vec(weight, 33..60)
        ]
    }

    proptest! {
        #[test]
        fn full_scan_finds_a_minimum(
            pairs in prop::collection::vec((0..5_u32, 0..20_u32), 1..=32),
            seed: u64,
        ) {
            let (weights, loads): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
            let members = members(&weights);
            let _busy = load(&members, &loads);
            let minimum = pairs.iter().filter(|(weight, _)| *weight > 0)
                .map(|(weight, load)| f64::from(*load) / f64::from(*weight)).reduce(f64::min);
            let chosen = pick_with(&members, &LEAST, PickRequest::default(), seed);
            prop_assert_eq!(chosen.map(|index| f64::from(loads[index]) / f64::from(weights[index])), minimum);
        }

        #[test]
        fn draining_or_tried_endpoints_get_nothing(weights in weights(), seed: u64, tried in any::<prop::sample::Index>()) {
            let members = members(&weights);
            let tried: Vec<EndpointId> = members.endpoints.iter().take(tried.index(weights.len() + 1)).map(|endpoint| endpoint.id).collect();
            for policy in POLICIES {
                let request = PickRequest { hash: Some(seed), tried: &tried, ..PickRequest::default() };
                let chosen = pick_with(&members, &policy, request, seed);
                prop_assert_eq!(chosen.is_some(), weights.iter().any(|weight| *weight > 0));
                if let Some(index) = chosen {
                    prop_assert!(weights[index] > 0);
                    let another = weights.iter().skip(tried.len()).any(|weight| *weight > 0);
                    prop_assert!(!another || index >= tried.len(), "{:?} chose a tried endpoint", policy);
                }
            }
        }

        #[test]
        fn when_an_endpoint_leaves_only_its_keys_move(
            weights in prop::collection::vec(1..6_u32, 2..40),
            leaving in any::<prop::sample::Index>(),
            keys in prop::collection::vec(any::<u64>(), 50),
        ) {
            let before = members(&weights);
            let leaving = leaving.index(weights.len());
            let gone = before.endpoints[leaving].id;
            let rest = before.endpoints.iter().filter(|endpoint| endpoint.id != gone).cloned().collect();
            let after = Members::new(rest);
            for key in keys {
                let request = PickRequest { hash: Some(key), tried: &[], ..PickRequest::default() };
                let was = before.endpoints[pick_with(&before, &HASH, request, 0).unwrap()].id;
                let is = after.endpoints[pick_with(&after, &HASH, request, 0).unwrap()].id;
                prop_assert!(was == gone || was == is, "key {} moved from an endpoint that stayed", key);
            }
        }
    }
}
