//! Rate limits: what a request costs by how well its client is known, from one thread and from all cores at once; and
//! what a million clients cost in memory, which is printed and checked before the timing starts.

#![allow(clippy::print_stdout, reason = "a figure is there to be read")]

use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use attache::config::model::{Buckets, LimitKey, LimitScope, Quota};
use attache::policy::{Caller, Key, LimitDecision, Limiter};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;

const MILLION: u32 = 1_000_000;
const HOUR: Duration = Duration::from_secs(3600);
/// A time in which a million requests come back faster than they can be sent.
const EVER: Duration = Duration::from_millis(1);
/// Memory a million clients may take.
const BOUND: usize = 100 << 20;

fn limiter(key: LimitKey, requests: u32, per: Duration, max_keys: usize) -> Limiter {
    let requests = NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN);
    let buckets =
        Buckets { key: vec![key], ipv6_prefix: 64, quota: Quota { requests, per, capacity: requests }, max_keys };
    Limiter::new(LimitScope::Shared("bench".to_owned()), buckets)
}

fn client(index: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + index).into()
}

fn key(limiter: &Limiter, index: u32, headers: &HeaderMap) -> Key {
    limiter.key(&Caller::new(client(index), &Method::GET, headers))
}

fn passes(limiter: &Limiter, key: &Key) -> bool {
    matches!(limiter.take(key, NonZeroU32::MIN), LimitDecision::Passed { .. })
}

/// A line of `/proc/self/status` in bytes.
fn status(name: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().nth(1)?.parse::<usize>().ok());
    kilobytes.unwrap_or(0) << 10
}

/// Each of a million clients gets its three requests and not a fourth. Whoever comes then shares one bucket.
fn a_million_clients(_: &mut Criterion) {
    let headers = HeaderMap::new();
    let before = status("VmRSS");
    let limiter = limiter(LimitKey::ClientIp, 3, HOUR, MILLION as usize);
    for turn in 0..4 {
        let passed = (0..MILLION).filter(|index| passes(&limiter, &key(&limiter, *index, &headers)));
        let expected = if turn < 3 { MILLION as usize } else { 0 };
        assert_eq!(passed.count(), expected, "turn {turn}");
    }
    let strangers = MILLION..2 * MILLION;
    let passed = strangers.filter(|index| passes(&limiter, &key(&limiter, *index, &headers)));
    assert_eq!(passed.count(), 3, "clients beyond share a bucket");
    let (grown, peak) = (status("VmRSS").saturating_sub(before), status("VmHWM").saturating_sub(before));
    let start = Instant::now();
    limiter.sweep();
    let swept = start.elapsed();
    assert_eq!(limiter.clients(), MILLION as usize);
    println!(
        "a million clients: {} MiB, {} MiB at the most while the table grew; one sweep {swept:?}",
        grown >> 20,
        peak >> 20,
    );
    assert!(peak < BOUND, "{peak} bytes");
}

fn take(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("take");
    let none = HeaderMap::new();
    let name = HeaderName::from_static("x-api-key");
    let value = HeaderValue::from_static("k-0123456789abcdef0123456789abcdef");
    let with_key = HeaderMap::from_iter([(name.clone(), value)]);
    for (name, kind, headers) in [("address", LimitKey::ClientIp, &none), ("header", LimitKey::Header(name), &with_key)]
    {
        let limiter = limiter(kind, MILLION, EVER, 100_000);
        group.bench_function(name, |bencher| {
            bencher.iter(|| passes(&limiter, &key(&limiter, 1, black_box(headers))));
        });
    }
    let many = limiter(LimitKey::ClientIp, MILLION, EVER, MILLION as usize);
    for index in 0..MILLION {
        black_box(passes(&many, &key(&many, index, &none)));
    }
    let mut rng = fastrand::Rng::with_seed(1);
    group.bench_function("one-of-a-million", |bencher| {
        bencher.iter(|| passes(&many, &key(&many, rng.u32(..MILLION), &none)));
    });
    group.bench_function("no-room", |bencher| {
        bencher.iter(|| passes(&many, &key(&many, MILLION + rng.u32(..MILLION), &none)));
    });
    let spent = limiter(LimitKey::ClientIp, 1, HOUR, 10);
    group.bench_function("refused", |bencher| {
        bencher.iter(|| passes(&spent, &key(&spent, 1, &none)));
    });
    group.bench_function("new-client", |bencher| {
        let fresh = || limiter(LimitKey::ClientIp, 1, HOUR, 2000);
        let fill = |limiter: Limiter| {
            for index in 0..1000 {
                black_box(passes(&limiter, &key(&limiter, index, &none)));
            }
            limiter
        };
        bencher.iter_batched(fresh, fill, BatchSize::SmallInput);
    });
    group.finish();
}

/// The time of one request on each of so many threads at once. Where they share no lock it stays the same.
fn together(criterion: &mut Criterion) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut group = criterion.benchmark_group("together");
    for threads in [1, cores] {
        let limiter = Arc::new(limiter(LimitKey::ClientIp, MILLION, EVER, 100_000));
        group.bench_function(format!("{threads}-threads"), |bencher| {
            bencher.iter_custom(|turns| {
                let start = Instant::now();
                thread::scope(|scope| {
                    for seed in 0..threads {
                        let limiter = Arc::clone(&limiter);
                        scope.spawn(move || {
                            let headers = HeaderMap::new();
                            let mut rng = fastrand::Rng::with_seed(seed as u64);
                            for _ in 0..turns {
                                let key = key(&limiter, rng.u32(..50_000), &headers);
                                black_box(passes(&limiter, &key));
                            }
                        });
                    }
                });
                start.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, a_million_clients, take, together);
criterion_main!(benches);
