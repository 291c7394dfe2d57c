//! What `balancer.rs` does, held to its promises.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::availability::AvailabilitySettings;
use super::super::endpoint::InFlight;
use super::*;
use crate::config::model::{HashKey, Panic, PanicAction};

const LEAST: LoadBalancer = LoadBalancer::LeastConnection;
const HASH: LoadBalancer = LoadBalancer::Hash(HashKey::ClientIp);
const POLICIES: [LoadBalancer; 5] =
    [LEAST, LoadBalancer::RoundRobin, LoadBalancer::Random, LoadBalancer::PeakEwma, HASH];

fn members(weights: &[u32]) -> Members {
    let endpoint = |(index, &weight): (usize, &u32)| {
        let [.., third, fourth] = u32::try_from(index).unwrap().to_be_bytes();
        let address = SocketAddr::from(([10, 0, third, fourth], 80));
        Arc::new(Endpoint::new(address, address.to_string(), weight, BTreeMap::new()))
    };
    Members::new(weights.iter().enumerate().map(endpoint).collect())
}

/// Guards that put the given load on each endpoint.
fn load(members: &Members, loads: &[u32]) -> Vec<InFlight<Arc<Endpoint>>> {
    let busy = members.endpoints.iter().zip(loads);
    busy.flat_map(|(endpoint, &load)| (0..load).map(|_| InFlight::new(Arc::clone(endpoint)))).collect()
}

fn pick_with(members: &Members, policy: &LoadBalancer, request: PickRequest<'_>, seed: u64) -> Option<usize> {
    members.pick(policy, &request, &mut fastrand::Rng::with_seed(seed), &Cell::new(0))
}

/// How often each endpoint is chosen in `rounds` picks that do not add load.
fn shares(members: &Members, policy: &LoadBalancer, rounds: u32) -> Vec<u32> {
    let mut rng = fastrand::Rng::with_seed(7);
    let turn = Cell::new(0);
    let mut counts = vec![0; members.endpoints.len()];
    for _ in 0..rounds {
        let request = PickRequest { hash: Some(rng.u64(..)), tried: &[], ..PickRequest::at(Instant::now()) };
        counts[members.pick(policy, &request, &mut rng, &turn).unwrap()] += 1;
    }
    counts
}

fn preference(endpoint: EndpointId, strength: Strength) -> Option<Preference> {
    Some(Preference { endpoint, strength })
}

#[test]
fn a_preferred_endpoint_is_chosen_while_it_may_be_used() {
    let members = members(&[1, 1, 0]);
    let _busy = load(&members, &[0, 50, 0]);
    let [idle, busy, draining] = [0, 1, 2].map(|index| members.endpoints[index].id);
    let now = Instant::now();
    let preferred = preference(busy, Strength::Likes);
    for policy in POLICIES {
        for seed in 0..20 {
            let request = PickRequest { preferred, hash: Some(seed), ..PickRequest::at(now) };
            assert_eq!(pick_with(&members, &policy, request, seed), Some(1), "{policy:?}");
            let again = PickRequest { tried: &[busy], ..request };
            assert_eq!(pick_with(&members, &policy, again, seed), Some(0), "one that failed: {policy:?}");
            let preferred = preference(draining, Strength::Likes);
            let drained = PickRequest { preferred, tried: &[idle], ..request };
            assert_eq!(pick_with(&members, &policy, drained, seed), Some(1), "one that drains: {policy:?}");
        }
    }
    members.endpoints[1].live.record.eject(members.endpoints[1].live.born, now + Duration::from_secs(9), true);
    let request = PickRequest { preferred, ..PickRequest::at(now) };
    assert_eq!(pick_with(&members, &LEAST, request, 1), Some(0), "one that is ejected");
}

#[test]
fn an_endpoint_that_holds_a_task_is_chosen_whatever_else_holds_for_it() {
    use Strength::{Holds, HoldsAlone};
    let members = members(&[1, 1, 0]);
    let [_, ejected, draining] = [0, 1, 2].map(|index| members.endpoints[index].id);
    let (now, gone) = (Instant::now(), EndpointId::next());
    members.endpoints[1].live.record.eject(members.endpoints[1].live.born, now + Duration::from_secs(9), true);
    for (endpoint, strength, tried, expected) in [
        (ejected, Holds, false, Some(1)),
        (ejected, HoldsAlone, false, Some(1)),
        (draining, Holds, false, Some(2)),
        (draining, HoldsAlone, false, Some(2)),
        (ejected, Holds, true, Some(0)),
        (ejected, HoldsAlone, true, Some(1)),
        (gone, Holds, false, Some(0)),
        (gone, HoldsAlone, false, None),
    ] {
        let tried = if tried { &[endpoint][..] } else { &[] };
        let request = PickRequest { preferred: preference(endpoint, strength), tried, ..PickRequest::at(now) };
        let index = pick_with(&members, &LEAST, request, 1);
        assert_eq!(index, expected, "{strength:?}, tried: {tried:?}");
        assert_eq!(members.holder_is_full(&request), None);
    }
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
            let chosen = members.pick(&LEAST, &PickRequest::at(Instant::now()), &mut rng, &Cell::new(0)).unwrap();
            open.push(InFlight::new(Arc::clone(&members.endpoints[chosen])));
        }
        let counts: Vec<u32> = members.endpoints.iter().map(|endpoint| endpoint.in_flight()).collect();
        assert_eq!(counts, expected, "weights {weights:?}");
    }
}

#[test]
fn a_finished_stream_makes_room() {
    let members = members(&[1, 1]);
    let mut open = load(&members, &[5, 5]);
    let ended = open.remove(7).endpoint().id;
    let chosen = pick_with(&members, &LEAST, PickRequest::at(Instant::now()), 3).unwrap();
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
    let weights: Vec<u32> = (0..40).map(|index| if index % 2 == 0 { 1 } else { 3 }).collect();
    let counts = shares(&members(&weights), &LEAST, 80_000);
    for (count, weight) in counts.iter().zip(&weights) {
        assert!(count.abs_diff(weight * 1_000) < 250, "{counts:?}");
    }

    let members = members(&[1; 100]);
    let mut rng = fastrand::Rng::with_seed(5);
    let mut open = Vec::new();
    for _ in 0..10_000 {
        let chosen = members.pick(&LEAST, &PickRequest::at(Instant::now()), &mut rng, &Cell::new(0)).unwrap();
        open.push(InFlight::new(Arc::clone(&members.endpoints[chosen])));
    }
    let most = members.endpoints.iter().map(|endpoint| endpoint.in_flight()).max().unwrap();
    // The maximum of two choices is the mean plus about log2(ln n): far from the +35 of a blind draw.
    assert!(most <= 105, "busiest has {most}, mean is 100");
}

/// How often each endpoint is chosen while the second one has been back for so many seconds, of 30.
fn shares_while_warming(policy: &LoadBalancer, seconds: u32) -> Vec<u32> {
    let members = members(&[1, 1, 1]);
    let (window, start) = (Duration::from_secs(30), Instant::now());
    members.endpoints[1].warm_up(start);
    let now = start + Duration::from_secs(1) * seconds;
    let terms = AvailabilitySettings { panic: Panic::default(), slow_start: Some(window) };
    let availability = members.availability(&terms, now);
    let (mut rng, turn) = (fastrand::Rng::with_seed(11), Cell::new(0));
    let mut counts = vec![0; 3];
    for _ in 0..30_000 {
        let request = PickRequest { hash: Some(rng.u64(..)), availability, ..PickRequest::at(now) };
        counts[members.pick(policy, &request, &mut rng, &turn).unwrap()] += 1;
    }
    counts
}

#[test]
fn an_endpoint_that_is_back_gets_its_share_little_by_little() {
    for policy in POLICIES {
        for (seconds, weight) in [(0, 0.1), (15, 0.5), (27, 0.9), (30, 1.0)] {
            let counts = shares_while_warming(&policy, seconds);
            let expected = 30_000.0 * weight / (2.0 + weight);
            let off = (f64::from(counts[1]) - expected).abs();
            assert!(off < 400.0, "{policy:?} after {seconds} s: {counts:?}, not {expected}");
        }
    }
}

#[test]
fn the_keys_of_a_hash_move_once_while_an_endpoint_warms_up() {
    let members = members(&[1, 1, 1]);
    let (window, start) = (Duration::from_secs(30), Instant::now());
    members.endpoints[2].warm_up(start);
    let terms = AvailabilitySettings { panic: Panic::default(), slow_start: Some(window) };
    for key in 0..500 {
        let homes = (0..=30).map(|seconds| {
            let now = start + Duration::from_secs(seconds);
            let request = PickRequest {
                hash: Some(key),
                availability: members.availability(&terms, now),
                ..PickRequest::at(now)
            };
            pick_with(&members, &HASH, request, key).unwrap()
        });
        let mut homes: Vec<usize> = homes.collect();
        homes.dedup();
        let moved = homes.len() == 2 && homes[0] != 2 && homes[1] == 2;
        assert!(homes.len() == 1 || moved, "key {key}: {homes:?}");
    }
}

fn eject(endpoint: &Endpoint, now: Instant) {
    let until = now + Duration::from_secs(30);
    endpoint.live.record.eject(endpoint.live.born, until, true);
}

#[test]
fn an_ejected_endpoint_gets_nothing_until_it_is_back() {
    for policy in POLICIES {
        let members = members(&[1, 1]);
        let now = Instant::now();
        eject(&members.endpoints[0], now);
        let back = now + Duration::from_secs(30);
        let picks = |now| {
            let request = move |seed| PickRequest { hash: Some(seed), ..PickRequest::at(now) };
            let pick = |seed| pick_with(&members, &policy, request(seed), seed).unwrap();
            (0..50).map(pick).collect::<std::collections::BTreeSet<_>>()
        };
        assert!(picks(now).iter().eq([&1]), "{policy:?}");
        if policy != LoadBalancer::RoundRobin {
            assert_eq!(picks(back).len(), 2, "{policy:?}");
        }
    }
}

#[test]
fn preferences_hold_until_they_leave_only_what_was_tried() {
    for policy in POLICIES {
        let mut endpoints = members(&[1, 1, 1]).endpoints;
        for (index, (priority, local)) in [(0, true), (0, false), (1, false)].into_iter().enumerate() {
            let endpoint = Arc::get_mut(&mut endpoints[index]).unwrap();
            (endpoint.priority, endpoint.local) = (priority, local);
        }
        let members = Members::new(endpoints);
        let now = Instant::now();
        let terms = AvailabilitySettings { panic: Panic::default(), slow_start: None };
        let ids: Vec<EndpointId> = members.endpoints.iter().map(|one| one.id).collect();
        for seed in 0..50 {
            let pick = |tried| {
                let request = PickRequest {
                    preferred: None,
                    kind: Kind::default(),
                    hash: Some(seed),
                    tried,
                    availability: members.availability(&terms, now),
                    now,
                };
                pick_with(&members, &policy, request, seed)
            };
            assert_eq!(pick(&[]), Some(0), "{policy:?}: its own zone");
            assert_ne!(pick(&ids[..1]), Some(0), "{policy:?}: anywhere but there again");
            assert_eq!(pick(&ids[..2]), Some(2), "{policy:?}: the backup");
            assert_eq!(pick(&ids), Some(0), "{policy:?}: again");
        }
    }
}

#[test]
fn panic_uses_all_that_work_or_none() {
    for policy in POLICIES {
        let members = members(&[1, 1, 1, 0]);
        let now = Instant::now();
        eject(&members.endpoints[0], now);
        eject(&members.endpoints[1], now);
        let picks = |action| {
            let terms = AvailabilitySettings { panic: Panic { threshold: 50, action }, slow_start: None };
            let availability = members.availability(&terms, now);
            assert!(availability.is_panic());
            let (mut rng, turn) = (fastrand::Rng::with_seed(3), Cell::new(0));
            let mut found = std::collections::BTreeSet::new();
            for key in 0..100 {
                let request = PickRequest { hash: Some(key), availability, ..PickRequest::at(now) };
                found.insert(members.pick(&policy, &request, &mut rng, &turn));
            }
            found
        };
        let everybody = [Some(0), Some(1), Some(2)];
        assert!(picks(PanicAction::Balance).into_iter().eq(everybody), "{policy:?}");
        assert!(picks(PanicAction::Fail).into_iter().eq([None]), "{policy:?}");
    }
}

#[test]
fn peak_ewma_prefers_the_fast_until_they_are_busy() {
    let ewma = LoadBalancer::PeakEwma;
    let members = members(&[1, 1, 1]);
    let now = Instant::now();
    let measure = |index: usize, millis| {
        let live = &members.endpoints[index].live;
        live.latency.observe(Duration::from_millis(millis), live.born, now);
    };
    measure(0, 10);
    measure(1, 100);
    let pick = |seed| pick_with(&members, &ewma, PickRequest::at(now), seed);
    assert_eq!(pick(1), Some(2), "one that nothing is known of is tried");
    let probing = load(&members, &[0, 0, 1]);
    assert_eq!(pick(1), Some(0), "with one request");
    let _busy = load(&members, &[8, 0, 0]);
    assert_eq!(pick(1), Some(0), "nine at 10 ms are less than one at 100 ms");
    let _busier = load(&members, &[2, 0, 0]);
    assert_eq!(pick(1), Some(1));
    drop(probing);
    measure(2, 1);
    assert_eq!(pick(1), Some(2));
}

#[test]
fn turns_follow_the_sequence() {
    let members = members(&[5, 1, 1]);
    let turn = Cell::new(0);
    let mut rng = fastrand::Rng::with_seed(0);
    let mut next = || members.pick(&LoadBalancer::RoundRobin, &PickRequest::at(Instant::now()), &mut rng, &turn);
    let picks: Vec<usize> = (0..14).filter_map(|_| next()).collect();
    assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn turn_may_start_anywhere() {
    let members = members(&[1, 1, 1]);
    let turn = Cell::new(usize::MAX);
    let mut rng = fastrand::Rng::with_seed(0);
    for _ in 0..5 {
        assert!(members.pick(&LoadBalancer::RoundRobin, &PickRequest::at(Instant::now()), &mut rng, &turn).is_some());
    }
}

#[test]
fn tried_endpoints_are_avoided_while_there_is_another() {
    for policy in POLICIES {
        let members = members(&[1, 1, 0]);
        let ids: Vec<EndpointId> = members.endpoints.iter().map(|endpoint| endpoint.id).collect();
        for seed in 0..50 {
            let request = PickRequest { hash: Some(seed), tried: &ids[..1], ..PickRequest::at(Instant::now()) };
            assert_eq!(pick_with(&members, &policy, request, seed), Some(1), "{policy:?}");
            let all = PickRequest { hash: Some(seed), tried: &ids, ..PickRequest::at(Instant::now()) };
            assert!(matches!(pick_with(&members, &policy, all, seed), Some(0 | 1)), "{policy:?}");
        }
    }
}

#[test]
fn nothing_usable_is_none() {
    for policy in POLICIES {
        for weights in [vec![], vec![0], vec![0; 40]] {
            let request = PickRequest { hash: Some(1), tried: &[], ..PickRequest::at(Instant::now()) };
            assert_eq!(pick_with(&members(&weights), &policy, request, 1), None, "{policy:?} {weights:?}");
        }
    }
}

#[test]
fn a_hash_policy_without_a_key_is_random() {
    let members = members(&[1; 10]);
    let picks: Vec<_> =
        (0..100).map(|seed| pick_with(&members, &HASH, PickRequest::at(Instant::now()), seed)).collect();
    assert!(picks.iter().any(|pick| *pick != picks[0]));
}

/// A changed choice here means that after an upgrade every client lands on another endpoint.
#[test]
fn hash_choices_are_pinned() {
    for (weights, expected) in [(vec![1; 5], PINNED_UNIFORM), (vec![1, 2, 3, 4, 5], PINNED_WEIGHTED)] {
        let members = members(&weights);
        let pick = |key| {
            pick_with(
                &members,
                &HASH,
                PickRequest { hash: Some(key), tried: &[], ..PickRequest::at(Instant::now()) },
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
    prop_oneof![prop::collection::vec(weight.clone(), 0..=32), prop::collection::vec(weight, 33..60)]
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
        let chosen = pick_with(&members, &LEAST, PickRequest::at(Instant::now()), seed);
        prop_assert_eq!(chosen.map(|index| f64::from(loads[index]) / f64::from(weights[index])), minimum);
    }

    #[test]
    fn draining_or_tried_endpoints_get_nothing(
        weights in weights(),
        seed: u64,
        tried in any::<prop::sample::Index>(),
    ) {
        let members = members(&weights);
        let count = tried.index(weights.len() + 1);
        let tried: Vec<EndpointId> = members.endpoints.iter().take(count).map(|endpoint| endpoint.id).collect();
        for policy in POLICIES {
            let request = PickRequest { hash: Some(seed), tried: &tried, ..PickRequest::at(Instant::now()) };
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
            let request = PickRequest { hash: Some(key), tried: &[], ..PickRequest::at(Instant::now()) };
            let was = before.endpoints[pick_with(&before, &HASH, request, 0).unwrap()].id;
            let is = after.endpoints[pick_with(&after, &HASH, request, 0).unwrap()].id;
            prop_assert!(was == gone || was == is, "key {} moved from an endpoint that stayed", key);
        }
    }
}
