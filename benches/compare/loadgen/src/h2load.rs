//! A closed loop over HTTP/2 in TLS: connections with streams, each stream with one call on its way at any time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, StatusCode};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, spawn_local};

use crate::load::{Outcome, all};
use crate::{Failure, message, runtime, tls, wait_for_line};

pub struct Plan<'a> {
    pub port: u16,
    pub connections: usize,
    pub streams: usize,
    pub warmup: u64,
    pub requests: u64,
    pub ca_file: &'a str,
    pub spin: bool,
}

/// Connects and warms up, prints `ready`, waits for a line of input, then runs the measured part and prints its result.
pub fn run(plan: &Plan<'_>) -> Result<(), Failure> {
    let runtime = runtime()?;
    let connector = tls::connector(plan.ca_file, tls::Manner { resumes: false, is_h2: true })?;
    let local = LocalSet::new();
    let senders = local.block_on(&runtime, async {
        let mut senders = Vec::with_capacity(plan.connections);
        for _ in 0..plan.connections {
            let tcp = TcpStream::connect(("127.0.0.1", plan.port)).await?;
            tcp.set_nodelay(true)?;
            let (sender, connection) = h2::client::handshake(tls::connect(&connector, tcp).await?).await?;
            spawn_local(async move { connection.await.ok() });
            senders.push(sender);
        }
        Ok::<_, Failure>(senders)
    })?;
    let warmup = phase(&local, &runtime, plan, &senders, plan.warmup)?;
    println!("{{\"ready\":{},\"errors\":{}}}", senders.len(), warmup.errors);
    wait_for_line()?;
    println!("{}", phase(&local, &runtime, plan, &senders, plan.requests)?.to_json());
    Ok(())
}

fn phase(
    local: &LocalSet,
    runtime: &Runtime,
    plan: &Plan<'_>,
    senders: &[SendRequest<Bytes>],
    count: u64,
) -> Result<Outcome, Failure> {
    let left = Rc::new(Cell::new(count));
    let body = Bytes::from(message::call_body());
    let uri = format!("https://localhost:{}/", plan.port);
    let started = Instant::now();
    let latencies = local.block_on(runtime, async {
        let mut tasks = Vec::new();
        for sender in senders {
            for _ in 0..plan.streams {
                tasks.push(spawn_local(drive(sender.clone(), uri.clone(), body.clone(), Rc::clone(&left))));
            }
        }
        all(plan.spin, tasks).await
    })?;
    Ok(Outcome::of(latencies.concat(), started.elapsed(), count))
}

async fn drive(sender: SendRequest<Bytes>, uri: String, body: Bytes, left: Rc<Cell<u64>>) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while left.get() > 0 {
        left.set(left.get() - 1);
        let began = Instant::now();
        if let Err(error) = call(sender.clone(), &uri, body.clone()).await {
            eprintln!("loadgen: {error}");
            break;
        }
        latencies.push(began.elapsed());
    }
    latencies
}

async fn call(sender: SendRequest<Bytes>, uri: &str, body: Bytes) -> Result<(), Failure> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .header("a2a-version", "1.0")
        .header("content-length", body.len())
        .body(())?;
    let mut sender = sender.ready().await?;
    let (answer, mut sending) = sender.send_request(request, false)?;
    sending.send_data(body, true)?;
    let answer = answer.await?;
    let (status, mut body) = (answer.status(), answer.into_body());
    let mut come = 0;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        come += piece.len();
        body.flow_control().release_capacity(piece.len())?;
    }
    if status != StatusCode::OK || come != message::ANSWER_LEN {
        return Err(format!("unexpected answer: {status}, {come} bytes").into());
    }
    Ok(())
}
