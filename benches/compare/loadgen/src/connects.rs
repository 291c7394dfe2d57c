//! Handshakes: each call has a TLS connection of its own, which begins anew or uses the session of one before.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use rustls::HandshakeKind;
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsConnector;

use crate::load::{Outcome, all, exchange};
use crate::{Failure, message, runtime, tls, wait_for_line};

pub struct Plan<'a> {
    pub port: u16,
    /// Connections that are begun at the same time.
    pub at_once: usize,
    pub requests: u64,
    pub ca_file: &'a str,
    pub is_resumed: bool,
    pub spin: bool,
}

/// Warms up, prints `ready`, waits for a line of input, then runs the measured part and prints its result.
pub fn run(plan: &Plan<'_>) -> Result<(), Failure> {
    let manner = tls::Manner { resumes: plan.is_resumed, is_h2: false };
    // One for each task: a session is used once, and none may take that of another.
    let connectors: Vec<_> =
        (0..plan.at_once).map(|_| tls::connector(plan.ca_file, manner)).collect::<Result<_, _>>()?;
    // The first connections have nothing to resume.
    phase(plan, &connectors, plan.at_once as u64 * 4, false)?;
    println!("{{\"ready\":{},\"errors\":0}}", plan.at_once);
    wait_for_line()?;
    println!("{}", phase(plan, &connectors, plan.requests, true)?.to_json());
    Ok(())
}

fn phase(plan: &Plan<'_>, connectors: &[TlsConnector], count: u64, is_strict: bool) -> Result<Outcome, Failure> {
    let call: Rc<[u8]> = message::call(plan.port, "/").into();
    let left = Rc::new(Cell::new(count));
    let expected = if plan.is_resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
    let started = Instant::now();
    let latencies = LocalSet::new().block_on(&runtime()?, async {
        let tasks: Vec<_> = connectors
            .iter()
            .map(|connector| {
                let (call, left, connector, port) = (Rc::clone(&call), Rc::clone(&left), connector.clone(), plan.port);
                spawn_local(async move {
                    let mut latencies = Vec::new();
                    while left.get() > 0 {
                        left.set(left.get() - 1);
                        let began = Instant::now();
                        match one(&connector, port, &call).await {
                            Ok(kind) if !is_strict || kind == Some(expected) => latencies.push(began.elapsed()),
                            Ok(kind) => eprintln!("loadgen: a handshake of the other kind: {kind:?}"),
                            Err(error) => eprintln!("loadgen: {error}"),
                        }
                    }
                    latencies
                })
            })
            .collect();
        all(plan.spin, tasks).await
    })?;
    Ok(Outcome::of(latencies.concat(), started.elapsed(), count))
}

async fn one(connector: &TlsConnector, port: u16, call: &[u8]) -> io::Result<Option<HandshakeKind>> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tcp.set_nodelay(true)?;
    let mut stream = tls::connect(connector, tcp).await?;
    // Sessions to use again come with the first answer.
    exchange(&mut stream, call, &mut Vec::with_capacity(4096)).await?;
    Ok(stream.get_ref().1.handshake_kind())
}
