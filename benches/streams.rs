//! What it costs to look at the events of a stream as they pass: the CPU time of a whole gateway for one small event,
//! on a route that follows agents and on one with `a2a: off`. The agent and the client are one thread, whose time is
//! taken out; so no event meets the next, unless several are written at once.
//!
//! `taskset -c 1 cargo bench --bench streams`: on one core. On two, where the kernel happens to wake whom changes the
//! time of an event by more than what is measured.

#![allow(clippy::expect_used, reason = "a bench that cannot be set up has to stop")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use attache::config::{self, Environment};
use attache::gateway::Gateway;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const CALL: &str = concat!(
    r#"{"method":"SendStreamingMessage","params":{"message":{"messageId":"1b4e28ba","role":"ROLE_USER","#,
    r#""parts":[{"text":"hello"}]}},"id":"7d0a7c86","jsonrpc":"2.0"}"#
);
const EVENT: &str = concat!(
    r#"data: {"result":{"statusUpdate":{"taskId":"9f2c1f0a-54a7-4f0e-8a53-51f7e4c3ab72","#,
    r#""contextId":"c0a8012e-7b1f-4e1c-9d55-93ac10bb7f10","status":{"state":"TASK_STATE_WORKING","#,
    r#""message":{"parts":[{"text":"step 17"}]}}}},"id":"7d0a7c86","jsonrpc":"2.0"}"#,
    "\r\n\r\n"
);
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// The two ends of one stream that does not end.
struct Stream {
    agent: TcpStream,
    client: TcpStream,
    piece: Vec<u8>,
    come: Vec<u8>,
}

impl Stream {
    /// Opens a stream at `path`, of which each piece has so many events.
    fn open(gateway: SocketAddr, backend: &TcpListener, path: &str, events: usize) -> Self {
        let mut client = TcpStream::connect(gateway).expect("the gateway listens");
        let length = CALL.len();
        write!(
            client,
            "POST {path} HTTP/1.1\r\nhost: agent.test\r\ncontent-type: application/json\r\na2a-version: 1.0\r\n\
             content-length: {length}\r\n\r\n{CALL}"
        )
        .expect("the gateway reads");
        let (mut agent, _) = backend.accept().expect("the gateway connects");
        let mut asked = [0; 4096];
        let mut read = 0;
        while !asked.get(..read).is_some_and(|asked| asked.ends_with(CALL.as_bytes())) {
            read += agent.read(asked.get_mut(read..).expect("a small request")).expect("the gateway sends");
        }
        agent.set_nodelay(true).expect("a socket");
        agent.write_all(HEAD).expect("the gateway reads");
        let body = EVENT.repeat(events);
        let piece = format!("{:x}\r\n{body}\r\n", body.len()).into_bytes();
        let mut stream = Self { agent, client, piece, come: vec![0; 64 * 1024] };
        stream.pass();
        stream
    }

    /// Lets one piece pass, to its last byte.
    fn pass(&mut self) {
        self.agent.write_all(&self.piece).expect("the gateway reads");
        let end = b"\r\n\r\n\r\n";
        let wanted = self.piece.len();
        let mut come = 0;
        // The head of the answer, before the first piece, only makes it longer.
        while come < wanted || !self.come.get(..come).is_some_and(|come| come.ends_with(end)) {
            let room = self.come.get_mut(come..).expect("pieces are small");
            let read = self.client.read(room).expect("the gateway sends");
            assert!(read > 0, "the gateway closed the stream");
            come += read;
        }
    }
}

/// CPU time of the process without this thread.
fn others() -> Duration {
    let time = |clock| {
        let time = clock_gettime(clock);
        let seconds = u64::try_from(time.tv_sec).expect("time runs forward");
        Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).expect("a part of a second"))
    };
    time(ClockId::ProcessCPUTime).saturating_sub(time(ClockId::ThreadCPUTime))
}

fn start(runtime: &Runtime, backend: SocketAddr) -> (Gateway, SocketAddr) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("gateway.yaml");
    let text = format!(
        "workers: 1\naccessLog: {{ output: off }}\nmetrics: {{ address: \"127.0.0.1:0\" }}\n\
         listeners: {{ http: {{ address: \"127.0.0.1:0\" }} }}\nroutes:\n  \
         plain: {{ match: {{ path: {{ prefix: /plain }} }}, cluster: agent, a2a: off }}\n  \
         agent: {{ match: {{ path: {{ prefix: /agent }} }}, cluster: agent }}\n\
         clusters: {{ agent: {{ endpoints: [\"{backend}\"] }} }}\n"
    );
    std::fs::write(&path, text).expect("a file");
    let loaded = config::read(&path, &Environment::process()).outcome.expect("the text is valid");
    let gateway = runtime.block_on(Box::pin(Gateway::start(loaded.config))).expect("it can be started");
    let address = *gateway.addresses().get("http").expect("it listens");
    (gateway, address)
}

fn streams(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let backend = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (gateway, address) = start(&runtime, backend.local_addr().expect("it is bound"));
    for events in [1, 10] {
        let mut group = criterion.benchmark_group(format!("stream-by-{events}"));
        group.throughput(Throughput::Elements(events as u64));
        for path in ["/plain", "/agent"] {
            let mut stream = Stream::open(address, &backend, path, events);
            group.bench_function(BenchmarkId::from_parameter(path), |bencher| {
                bencher.iter_custom(|count| {
                    let before = others();
                    (0..count).for_each(|_| stream.pass());
                    others().saturating_sub(before)
                });
            });
        }
        group.finish();
    }
    runtime.block_on(gateway.shutdown(CancellationToken::new()));
}

criterion_group!(benches, streams);
criterion_main!(benches);
