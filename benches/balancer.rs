//! Choosing an endpoint: every policy over 3, 32 and 1,000 endpoints, weighted and busy, and the guard that counts.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use attache::cluster::{Endpoint, InFlight, Members, PickRequest};
use attache::config::model::{HashKey, LoadBalancer};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tokio::time::Instant;

fn members(count: u32) -> Members {
    let endpoint = |index: u32| {
        let address = SocketAddr::from(((0x0a00_0000 + index).to_be_bytes(), 80));
        Arc::new(Endpoint::new(address, address.to_string(), 1 + index % 3, BTreeMap::new()))
    };
    Members::new((0..count).map(endpoint).collect())
}

/// Different loads, so that neither ties nor a clear winner decide everything.
fn load(members: &Members) -> Vec<InFlight<Arc<Endpoint>>> {
    let busy = members.endpoints.iter().enumerate();
    busy.flat_map(|(index, endpoint)| (0..index % 7).map(|_| InFlight::new(Arc::clone(endpoint)))).collect()
}

fn pick(criterion: &mut Criterion) {
    let policies = [
        ("least-connection", LoadBalancer::LeastConnection),
        ("round-robin", LoadBalancer::RoundRobin),
        ("random", LoadBalancer::Random),
        ("hash", LoadBalancer::Hash(HashKey::ClientIp)),
        ("peak-ewma", LoadBalancer::PeakEwma),
    ];
    let now = Instant::now();
    let mut group = criterion.benchmark_group("pick");
    for count in [3, 32, 1_000] {
        let members = members(count);
        let _busy = load(&members);
        for (name, policy) in &policies {
            let mut rng = fastrand::Rng::with_seed(1);
            let turn = Cell::new(0);
            group.bench_function(BenchmarkId::new(*name, count), |bencher| {
                bencher.iter(|| {
                    let request = PickRequest { hash: Some(rng.u64(..)), ..PickRequest::at(now) };
                    black_box(&members).pick(policy, &request, &mut rng, &turn)
                });
            });
        }
    }
    group.finish();
}

fn guard(criterion: &mut Criterion) {
    let endpoint = members(1).endpoints.pop().map(Rc::new);
    let Some(endpoint) = endpoint else { return };
    criterion.bench_function("guard", |bencher| {
        bencher.iter(|| InFlight::new(Rc::clone(black_box(&endpoint))));
    });
}

criterion_group!(benches, pick, guard);
criterion_main!(benches);
