//! Reload after reload under constant traffic: no request fails, no stream is cut, nothing grows. `benches/reload` runs
//! the same at full size, alone in an optimised process, and there the figures count too.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::{
    Backend, Ca, Client, Identity, Live, Place, Raw, RawBackend, Tls, channel, chunk, eventually, full, get,
};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Size {
    reloads: usize,
    routes: usize,
    event_streams: usize,
    tunnels: usize,
    clients: usize,
    /// Between two events of a stream and two lines of a tunnel.
    beat: Duration,
    /// Between two requests of a client.
    pause: Duration,
    /// Whether this process does nothing else, so that its figures are this test's.
    alone: bool,
}

const SMALL: Size = Size {
    reloads: 60,
    routes: 200,
    event_streams: 200,
    tunnels: 20,
    clients: 4,
    beat: Duration::from_millis(250),
    pause: Duration::from_millis(2),
    alone: false,
};

/// Few enough that by the fiftieth reload each worker has connections to all their endpoints, or those yet to come
/// would look like growth.
const CLUSTERS: usize = 20;

impl Size {
    /// The size the environment asks for.
    fn wanted() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse::<usize>().ok();
        let Some(reloads) = number("ATTACHE_BENCH_RELOADS") else {
            return SMALL;
        };
        let routes = number("ATTACHE_BENCH_ROUTES").unwrap_or(2000);
        let beat = Duration::from_millis(50);
        Self { reloads, routes, beat, alone: true, ..SMALL }
    }
}

/// Everything a configuration of this test names.
struct World {
    agents: Vec<Backend>,
    streams: Vec<Backend>,
    tunnels: RawBackend,
    identity: Identity,
    size: Size,
}

impl World {
    /// The configuration number `turn`: weights, endpoints and limits differ from the one before.
    fn text(&self, turn: usize) -> String {
        let Size { routes, .. } = self.size;
        let mut text = format!(
            "reload: {{ watch: false }}
listeners:
  http: {{ address: '127.0.0.1:0', protocols: [http/1.1, h2], limits: {{ maxHeaders: {}, maxConnections: {} }} }}
  https: {{ address: '127.0.0.1:0', tls: {{ certificates: [{{ {} }}] }} }}
routes:
  version: {{ match: {{ path: {{ exact: /version }} }}, respond: {{ body: '{turn}' }} }}
  streams: {{ match: {{ path: {{ prefix: /stream }} }}, cluster: streams, streaming: {{ idleTimeout: {}s }} }}
  tunnels: {{ match: {{ path: {{ prefix: /chat }} }}, cluster: tunnels, websocket: true }}\n",
            50 + turn % 50,
            1000 + turn,
            self.identity.place(),
            60 + turn % 60
        );
        for route in 0..routes {
            writeln!(text, "  r{route:05}: {{ match: {{ path: {{ prefix: /r/{route:05} }} }}, cluster: c{:04}, maxBodyBytes: {}KiB }}", route % CLUSTERS, 1 + (route + turn) % 64).unwrap();
        }
        let (a, b) = (turn % self.agents.len(), (turn + 1) % self.agents.len());
        writeln!(
            text,
            "clusters:\n  streams: {{ endpoints: ['{}'] }}\n  tunnels: {{ endpoints: ['{}'], connectTimeout: {}s }}",
            self.streams[turn % self.streams.len()].place(),
            self.tunnels.place(),
            2 + turn % 7
        )
        .unwrap();
        for cluster in 0..CLUSTERS {
            writeln!(
                text,
                "  c{cluster:04}: {{ endpoints: [{{ address: '{}', weight: {} }}, {{ address: '{}', weight: 2 }}] }}",
                self.agents[a].place(),
                1 + (turn + cluster) % 9,
                self.agents[b].place()
            )
            .unwrap();
        }
        text
    }
}

/// An agent that says something on every beat, for ever.
async fn streaming(beat: Duration) -> Backend {
    Backend::handling(move |_: Request<Incoming>| async move {
        let (sender, body) = channel();
        tokio::spawn(async move {
            while sender.send_patiently("data: x\n\n").await {
                sleep(beat).await;
            }
        });
        Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
    })
    .await
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

async fn echoing() -> RawBackend {
    RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write(SWITCHED).await;
        while let Some(line) = connection.try_read_until("\n").await {
            connection.write(line).await;
        }
    })
    .await
}

/// What the traffic saw.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    requests: AtomicUsize,
    beats: AtomicUsize,
    /// Longest time between two beats of one stream.
    gap: Mutex<Duration>,
    latencies: Mutex<Vec<Duration>>,
}

impl Seen {
    fn beat(&self, last: &mut Instant) {
        let now = Instant::now();
        self.beats.fetch_add(1, Relaxed);
        let mut gap = self.gap.lock().unwrap();
        *gap = (*gap).max(now - *last);
        *last = now;
    }

    fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }
}

/// Reads a stream until the test is over; it must not end before.
async fn follow(mut client: Client, opened: oneshot::Sender<()>, seen: Arc<Seen>) {
    let mut body = client.send(get("/stream")).await.unwrap().into_body();
    let mut last = Instant::now();
    let mut opened = Some(opened);
    while !seen.is_over() {
        let piece = chunk(&mut body).await.expect("a stream ended").expect("a stream was cut");
        assert!(piece.starts_with(b"data: x"), "{piece:?}");
        if let Some(opened) = opened.take() {
            opened.send(()).unwrap();
            last = Instant::now();
        }
        seen.beat(&mut last);
    }
}

/// Talks through a tunnel until the test is over.
async fn talk(address: SocketAddr, beat: Duration, opened: oneshot::Sender<()>, seen: Arc<Seen>) {
    let mut raw = Raw::connect(address).await;
    raw.write(HANDSHAKE).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
    opened.send(()).unwrap();
    while !seen.is_over() {
        raw.write("ping\n").await;
        let mut sent = Instant::now();
        assert_eq!(raw.read_until("\n").await, "ping\n");
        seen.beat(&mut sent);
        sleep(beat).await;
    }
}

/// Sends requests until the test is over: on one connection, on a new one each time, and over TLS.
async fn request(which: usize, ports: (SocketAddr, SocketAddr), tls: Tls, size: Size, seen: Arc<Seen>) {
    let mut client = Client::h1(ports.0).await;
    let mut turn = which;
    while !seen.is_over() {
        turn += 1;
        match which % 4 {
            0 | 1 => {}
            2 => client = Client::h1(ports.0).await,
            _ => client = tls.connect(ports.1, "a.test").await.expect("a handshake"),
        }
        let path = format!("/r/{:05}/x", turn * 7919 % size.routes);
        let sent = Instant::now();
        let reply = client.reply(get(&path)).await;
        seen.latencies.lock().unwrap().push(sent.elapsed());
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        seen.requests.fetch_add(1, Relaxed);
        sleep(size.pause).await;
    }
}

/// What the process holds.
#[derive(Clone, Copy, Debug)]
struct Holdings {
    resident: usize,
    descriptors: usize,
    threads: usize,
    tasks: usize,
}

impl Holdings {
    fn now(gw: &Live) -> Self {
        let count = |path: &str| std::fs::read_dir(path).unwrap().count();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.unwrap().trim().trim_end_matches(" kB").parse::<usize>().unwrap();
        Self {
            resident,
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            tasks: gw.tasks() + Handle::current().metrics().num_alive_tasks(),
        }
    }

    /// The most of each, now and `before`: what an endpoint that just went leaves behind is there until the next sweep.
    fn most(before: Option<Self>, gw: &Live) -> Option<Self> {
        let now = Self::now(gw);
        let Some(before) = before else {
            return Some(now);
        };
        Some(Self {
            resident: now.resident.max(before.resident),
            descriptors: now.descriptors.max(before.descriptors),
            threads: now.threads.max(before.threads),
            tasks: now.tasks.max(before.tasks),
        })
    }
}

async fn world(size: Size, ca: &Ca) -> World {
    let (mut agents, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        agents.push(Backend::handling(|_| async { Response::new(full("answer")) }).await);
        streams.push(streaming(size.beat).await);
    }
    World { agents, streams, tunnels: echoing().await, identity: ca.issue(&["a.test"]), size }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_are_not_noticed() {
    let size = Size::wanted();
    let ca = Ca::new();
    let world = Arc::new(world(size, &ca).await);
    let gw = Live::with(&world.text(0)).await;
    let texts = texts(&world);
    let ports = (gw.address("http").await, gw.address("https").await);
    let tls = Tls::new(&ca, &["http/1.1"]);
    let seen = Arc::new(Seen::default());
    let mut traffic = JoinSet::new();
    let mut opened = Vec::new();
    let shared = [Client::h2c(ports.0).await, Client::h2c(ports.0).await];
    for index in 0..size.event_streams {
        let client = if index % 2 == 0 { Client::h1(ports.0).await } else { shared[index / 2 % 2].fork() };
        let (tell, told) = oneshot::channel();
        traffic.spawn(follow(client, tell, Arc::clone(&seen)));
        opened.push(told);
    }
    for _ in 0..size.tunnels {
        let (tell, told) = oneshot::channel();
        traffic.spawn(talk(ports.0, size.beat, tell, Arc::clone(&seen)));
        opened.push(told);
    }
    for told in opened {
        told.await.expect("it is open");
    }
    for which in 0..size.clients {
        traffic.spawn(request(which, ports, tls.clone(), size, Arc::clone(&seen)));
    }
    let quiet = calm(size, &seen).await;
    let mut hashes = std::collections::HashSet::new();
    let (mut took, mut early, mut late) = (Vec::new(), None, None);
    let mut kept = Client::h1(ports.0).await;
    for turn in 1..=size.reloads {
        gw.rewrite(&texts.recv().unwrap());
        ca.renew(&world.identity, &["a.test"]);
        let (status, answer) = gw.ask_reload().await;
        assert_eq!(status, 200, "{answer}");
        took.push(Duration::from_millis(answer["milliseconds"].as_u64().unwrap()));
        assert!(hashes.insert(answer["hash"].as_str().unwrap().to_owned()), "a hash of its own");
        for client in [&mut kept, &mut Client::h1(ports.0).await] {
            assert_eq!(client.reply(get("/version")).await.text(), turn.to_string(), "in force");
        }
        // Without a session to resume, which would vouch for the old one.
        let fresh = Tls::new(&ca, &["http/1.1"]);
        let fresh = fresh.connect(ports.1, "a.test").await.unwrap();
        let served = fresh.certificates[0].clone();
        assert_eq!(served, world.identity.load().0[0], "the certificate of turn {turn}");
        if let Some(ended) = traffic.try_join_next() {
            panic!("something ended at turn {turn}: {ended:?}");
        }
        if size.alone && (41..=50).contains(&turn) {
            early = Holdings::most(early, &gw);
        } else if size.alone && turn > 50 && turn + 10 > size.reloads {
            late = Holdings::most(late, &gw);
        }
    }
    let busy = std::mem::take(&mut *seen.latencies.lock().unwrap());
    eventually("only the last configuration is in memory", || async {
        gw.metric("attache_config_snapshots").await == Some(1.0)
    })
    .await;
    seen.over.store(true, Relaxed);
    while let Some(ended) = traffic.join_next().await {
        ended.expect("no stream was cut, no request failed");
    }
    assert!(seen.requests.load(Relaxed) > size.reloads, "there was traffic");
    let errors = gw.metric("attache_config_reloads_total{result=\"failed\"}").await;
    assert_eq!(errors, None);
    check(size, &seen, (quiet, busy), took, early.zip(late));
    drop((kept, shared));
    gw.stop().await;
}

/// The configurations to come, each written while the one before comes into force, by a thread that takes no core from
/// what is measured.
fn texts(world: &Arc<World>) -> Receiver<String> {
    let (give, take) = sync_channel(1);
    let world = Arc::clone(world);
    std::thread::spawn(move || {
        rustix::process::nice(19).unwrap();
        let texts = (1..=world.size.reloads).map(|turn| world.text(turn));
        texts.for_each(|text| drop(give.send(text)));
    });
    take
}

/// Latencies of a while without reloads, to compare with.
async fn calm(size: Size, seen: &Seen) -> Vec<Duration> {
    if !size.alone {
        return Vec::new();
    }
    sleep(Duration::from_secs(1)).await;
    seen.latencies.lock().unwrap().clear();
    *seen.gap.lock().unwrap() = Duration::ZERO;
    sleep(Duration::from_secs(10)).await;
    std::mem::take(&mut *seen.latencies.lock().unwrap())
}

/// Prints the figures and holds them against what is promised, where they are this test's alone.
#[expect(clippy::print_stdout, reason = "a bench has something to say")]
fn check(
    size: Size,
    seen: &Seen,
    (mut quiet, mut busy): (Vec<Duration>, Vec<Duration>),
    mut took: Vec<Duration>,
    held: Option<(Holdings, Holdings)>,
) {
    if !size.alone {
        return;
    }
    let gap = *seen.gap.lock().unwrap();
    let (requests, beats) = (seen.requests.load(Relaxed), seen.beats.load(Relaxed));
    println!("{size:?}");
    println!("reload   {}", spread(&mut took));
    println!("quiet    {}", spread(&mut quiet));
    println!("reloads  {}", spread(&mut busy));
    println!("{requests} requests without a failure, {beats} beats of streams, longest gap {gap:?}");
    if let Some((early, late)) = held {
        println!("at 50    {early:?}\nat last  {late:?}");
        // Threads that block for a moment come and go, and with them what they hold.
        assert!(late.descriptors <= early.descriptors + 20, "descriptors grow");
        assert!(late.tasks <= early.tasks + 20, "tasks grow");
        assert!(late.threads <= early.threads + 20, "threads grow");
        assert!(late.resident <= early.resident + early.resident / 4, "memory grows");
    }
    assert!(gap <= size.beat + Duration::from_millis(100), "a stream was delayed");
}

/// Quantiles of some times.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |permille: usize| {
        let index = (times.len() * permille / 1000).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or_default()
    };
    format!("p50 {:?}  p99 {:?}  p99.9 {:?}  worst {:?}", at(500), at(990), at(999), at(1000))
}
