//! From text to a state that can be put in force, with 10, 1,000 and 10,000 routes: reading and resolving, building the
//! snapshot, building it again beside the one before (what a reload does).

#![allow(clippy::expect_used, reason = "a bench that cannot be set up has to stop")]
#![allow(missing_docs, reason = "the macro of criterion writes a function without them")]

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use attache::cluster::discovery::dns::Resolutions;
use attache::config::model::Config;
use attache::config::{self, Environment};
use attache::snapshot::Snapshot;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Each route matches one host and one prefix; ten routes share a cluster of two endpoints.
fn text(routes: usize) -> String {
    let mut text = String::from("listeners: { http: { address: \"127.0.0.1:8080\" } }\nroutes:\n");
    for at in 0..routes {
        let cluster = at / 10;
        writeln!(
            text,
            "  agent-{at:05}:\n    hosts: [agents.example]\n    match: {{ path: {{ prefix: /agents/{at:05} }} }}\n    \
             rewrite: {{ prefix: / }}\n    cluster: agents-{cluster:04}"
        )
        .expect("a string can be written to");
    }
    text.push_str("clusters:\n");
    for cluster in 0..routes.div_ceil(10) {
        let (high, low) = (cluster / 250, cluster % 250);
        writeln!(text, "  agents-{cluster:04}: {{ endpoints: [\"10.0.{high}.{low}:80\", \"10.1.{high}.{low}:80\"] }}")
            .expect("a string can be written to");
    }
    text
}

fn read(text: &str) -> Config {
    let environment = Environment::empty(SystemTime::UNIX_EPOCH);
    match config::parse(text, "bench.yaml", &environment) {
        Ok(loaded) => loaded.config,
        Err(report) => fail(&report.human(false)),
    }
}

#[expect(clippy::panic, reason = "a bench that cannot be set up has to stop")]
fn fail(report: &str) -> ! {
    panic!("the text is not valid:\n{report}")
}

fn snapshot(config: &Arc<Config>, previous: Option<&Snapshot>) -> Snapshot {
    Snapshot::build(Arc::clone(config), previous, &Resolutions::new()).expect("nothing in it can fail")
}

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("config");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for routes in [10_usize, 1_000, 10_000] {
        group.throughput(Throughput::Elements(routes as u64));
        let text = text(routes);
        let config = Arc::new(read(&text));
        assert_eq!(config.routes.len(), routes, "no route was lost");
        group.bench_function(BenchmarkId::new("read", routes), |bencher| {
            bencher.iter_with_large_drop(|| read(&text));
        });
        group.bench_function(BenchmarkId::new("snapshot", routes), |bencher| {
            bencher.iter_with_large_drop(|| snapshot(&config, None));
        });
        let before = snapshot(&config, None);
        group.bench_function(BenchmarkId::new("again", routes), |bencher| {
            bencher.iter_with_large_drop(|| snapshot(&config, Some(&before)));
        });
        group.bench_function(BenchmarkId::new("whole", routes), |bencher| {
            bencher.iter_with_large_drop(|| snapshot(&Arc::new(read(&text)), None));
        });
    }
    group.finish();
}

criterion_group!(benches, build);
criterion_main!(benches);
