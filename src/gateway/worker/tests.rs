//! Worker threads: panics, commands and cuts.

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::task::yield_now;

use super::*;
use crate::cluster::discovery::dns::Resolutions;
use crate::config::model::ListenerId;
use crate::config::{self, Environment};
use crate::listener::Settings;
use crate::snapshot::Snapshot;

const TEXT: &str = "
listeners: { http: { address: '127.0.0.1:0' } }
routes: { all: { respond: { body: here } } }
";

fn state() -> State {
    let config = Arc::new(config::parse(TEXT, "test.yaml", &Environment::process()).unwrap().config);
    let metrics = Arc::new(Metrics::new(&config.metrics.latency_buckets).unwrap());
    let snapshot = Snapshot::build(config, None, &Resolutions::new()).unwrap();
    let hub = Arc::new(Hub::new(snapshot));
    State {
        worker: Worker::new(hub, Arc::clone(&metrics), Sinks::default(), 1),
        handles: WorkerHandles::new(&metrics, "0"),
        metrics,
        watchdog: Watchdog::start(),
        open: HashMap::new(),
        closing: Vec::new(),
        drained: None,
        lost: CancellationToken::new(),
    }
}

#[tokio::test]
async fn a_panic_in_a_worker_is_noticed() {
    let lost = CancellationToken::new();
    let metrics = Arc::new(Metrics::new(&[1.0]).unwrap());
    let fine = watch(thread::spawn(|| ()), Arc::clone(&metrics), lost.clone());
    fine.await.unwrap();
    assert!(!lost.is_cancelled());
    let broken = thread::spawn(|| std::panic::resume_unwind(Box::new(())));
    watch(broken, Arc::clone(&metrics), lost.clone()).await.unwrap();
    assert!(lost.is_cancelled());
}

#[tokio::test(flavor = "local")]
async fn an_accept_loop_that_ends_by_itself_is_noticed() {
    let mut state = state();
    open(&mut state);
    state.tick(false);
    assert!(!state.lost.is_cancelled());
    state.open.values().for_each(|open| open.running.end_early());
    yield_now().await;
    state.tick(false);
    assert!(state.lost.is_cancelled());
}

/// Opens the listener here and says where it is.
fn open(state: &mut State) -> net::SocketAddr {
    let config = config::parse(TEXT, "test.yaml", &Environment::process()).unwrap();
    let listener = &config.config.listeners[0];
    let settings = Settings::load(ListenerId(0), listener, None).unwrap();
    let socket = listener::bind(listener.address, 1).unwrap().remove(0);
    let address = socket.local_addr().unwrap();
    let shared = Shared::new(settings);
    state.open(1, "http".to_owned(), socket, shared).unwrap();
    address
}

/// A client in the kernel's queue, with its request.
fn queued(address: net::SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    client
}

#[tokio::test(flavor = "local")]
async fn a_drain_is_not_over_before_the_accept_queue_is_empty() {
    let mut state = state();
    let address = open(&mut state);
    let mut client = queued(address);
    let (done, mut finished) = oneshot::channel();
    state.perform(WorkerCommand::Drain(done));
    assert!(finished.try_recv().is_err(), "a client is in the queue");
    while finished.try_recv().is_err() {
        yield_now().await;
        state.tick(false);
    }
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test(flavor = "local")]
async fn a_closed_listener_stays_until_its_accept_queue_is_empty() {
    let mut state = state();
    let address = open(&mut state);
    let mut client = queued(address);
    state.perform(WorkerCommand::Close(1));
    state.tick(false);
    while !state.closing.is_empty() {
        yield_now().await;
        state.tick(false);
    }
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}
