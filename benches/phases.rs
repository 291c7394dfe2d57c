//! Where the time of a reload goes: a gateway without traffic takes configurations of 10,000 routes in turn, and each
//! phase is timed by the wall and by the CPU of its thread. The best of all runs is shown, because others use the
//! machine too.
//!
//! `cargo bench --bench phases -- [ROUTES [RUNS]]`

#![allow(clippy::disallowed_types, reason = "phases take real time, also where a runtime's clock is paused")]
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot be set up has to stop, and has something to say"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use attache::admin::journal::{ReloadResult, Trigger};
use attache::config::{self, Document, Environment};
use attache::gateway::{Gateway, Source};
use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;
use tracing::span::Id;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Wall and CPU time of each phase within the present run. A phase that happens more than once is its longest.
static PHASES: Mutex<BTreeMap<&'static str, Times>> = Mutex::new(BTreeMap::new());

#[derive(Clone, Copy, Debug)]
struct Times {
    wall: Duration,
    cpu: Duration,
    count: usize,
}

thread_local! {
    /// When the spans this thread is in were entered.
    static ENTERED: RefCell<Vec<(Instant, Duration)>> = const { RefCell::new(Vec::new()) };
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("time runs forward");
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).expect("a part of a second"))
}

/// Times the spans of the gateway.
struct Timer;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Timer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_span() && metadata.target().starts_with("attache")
    }

    fn on_enter(&self, _: &Id, _: Context<'_, S>) {
        ENTERED.with_borrow_mut(|entered| entered.push((Instant::now(), cpu())));
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let Some((began, used)) = ENTERED.with_borrow_mut(Vec::pop) else {
            return;
        };
        let times = (began.elapsed(), cpu().saturating_sub(used));
        let name = context.span(id).expect("it was entered").name();
        let mut phases = PHASES.lock().expect("no thread has panicked");
        let known = phases.entry(name).or_insert(Times { wall: Duration::ZERO, cpu: Duration::ZERO, count: 0 });
        known.wall = known.wall.max(times.0);
        known.cpu = known.cpu.max(times.1);
        known.count += 1;
    }
}

/// What differs from one configuration to the next.
#[derive(Clone, Copy, Debug)]
enum Change {
    OneWeight,
    EveryRoute,
}

fn text(routes: usize, turn: usize, change: Change) -> String {
    let (all, one) = match change {
        Change::OneWeight => (0, turn),
        Change::EveryRoute => (turn, 0),
    };
    let mut text = String::from(
        "workers: 2\naccessLog: { output: off }\nreload: { watch: false }\n\
         listeners: { http: { address: \"127.0.0.1:0\" } }\nroutes:\n",
    );
    for route in 0..routes {
        writeln!(
            text,
            "  r{route:05}: {{ match: {{ path: {{ prefix: /r/{route:05} }} }}, cluster: c{:04}, maxBodyBytes: {}KiB }}",
            route / 10,
            1 + (route + all) % 64
        )
        .expect("a string can be written to");
    }
    text.push_str("clusters:\n");
    for cluster in 0..routes.div_ceil(10) {
        let weight = 1 + (all + cluster + usize::from(cluster == 0) * one) % 9;
        let (high, low) = (cluster / 250, cluster % 250);
        writeln!(
            text,
            "  c{cluster:04}: {{ endpoints: [{{ address: \"10.0.{high}.{low}:80\", weight: {weight} }}, {{ address: \"10.1.{high}.{low}:80\", weight: 2 }}] }}"
        )
        .expect("a string can be written to");
    }
    text
}

async fn start(path: &Path) -> Gateway {
    let reading = config::read(path, &Environment::process());
    let loaded = reading.outcome.expect("the text is valid");
    let mut gateway = Gateway::start(loaded.config).await.expect("it can be started");
    gateway.follow(Source::Files { document: Document::at(path), inputs: reading.inputs }, false);
    gateway
}

async fn measure(routes: usize, runs: usize, change: Change) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("gateway.yaml");
    std::fs::write(&path, text(routes, 0, change)).expect("a file");
    let mut gateway = Box::pin(start(&path)).await;
    let mut best: BTreeMap<&'static str, Times> = BTreeMap::new();
    let mut took = Vec::new();
    for turn in 1..=runs {
        std::fs::write(&path, text(routes, turn, change)).expect("a file");
        PHASES.lock().expect("no thread has panicked").clear();
        let began = Instant::now();
        let done = gateway.reload_source(Trigger::Signal).await;
        took.push(began.elapsed());
        assert_eq!(done.entry.verdict, ReloadResult::Applied);
        // For workers to notice and the old configuration to be freed.
        tokio::time::sleep(Duration::from_millis(600)).await;
        for (name, times) in PHASES.lock().expect("no thread has panicked").iter() {
            let known = best.entry(name).or_insert(*times);
            known.wall = known.wall.min(times.wall);
            known.cpu = known.cpu.min(times.cpu);
            known.count = times.count;
        }
    }
    gateway.shutdown(CancellationToken::new()).await;
    took.sort_unstable();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{routes} routes, {change:?}, {runs} reloads: best {:.1?}, median {:.1?}, worst {:.1?}; load {}",
        took.first().copied().unwrap_or_default(),
        took.get(took.len() / 2).copied().unwrap_or_default(),
        took.last().copied().unwrap_or_default(),
        load.trim()
    );
    for (name, Times { wall, cpu, count }) in best {
        println!("  {name:<14} {count} x  wall {wall:>9.1?}  cpu {cpu:>9.1?}");
    }
}

fn main() {
    let subscriber = tracing_subscriber::registry().with(Timer);
    tracing::subscriber::set_global_default(subscriber).expect("there is no other");
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let routes = numbers.next().unwrap_or(10_000);
    let runs = numbers.next().unwrap_or(20);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for change in [Change::OneWeight, Change::EveryRoute] {
            Box::pin(measure(routes, runs, change)).await;
        }
    });
}
