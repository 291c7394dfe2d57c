//! A closed loop: N keep-alive connections, each with one call on its way at any time, until the count is used up.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use crate::{Failure, http, message, runtime, spin, tls, wait_for_line};

pub struct Plan<'a> {
    pub port: u16,
    pub path: &'a str,
    pub method: &'a str,
    pub connections: usize,
    pub warmup: u64,
    pub requests: u64,
    pub ca_file: Option<&'a str>,
    pub spin: bool,
}

/// Connects and warms up, prints `ready`, waits for a line of input, then runs the measured part and prints its result.
pub fn run(plan: &Plan<'_>) -> Result<(), Failure> {
    let runtime = runtime()?;
    match plan.ca_file {
        None => measure(&runtime, plan, runtime.block_on(connect_all(plan))?),
        Some(ca_file) => {
            let connector = tls::connector(ca_file, tls::Manner::default())?;
            let streams = runtime.block_on(async {
                let mut streams = Vec::with_capacity(plan.connections);
                for tcp in connect_all(plan).await? {
                    streams.push(tls::connect(&connector, tcp).await?);
                }
                io::Result::Ok(streams)
            })?;
            measure(&runtime, plan, streams)
        }
    }
}

async fn connect_all(plan: &Plan<'_>) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        let stream = TcpStream::connect(("127.0.0.1", plan.port)).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    Ok(streams)
}

fn measure<S>(runtime: &Runtime, plan: &Plan<'_>, streams: Vec<S>) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let call: Rc<[u8]> = match plan.method {
        "POST" => message::call(plan.port, plan.path),
        "GET" => message::get(plan.port, plan.path),
        other => return Err(format!("--method {other}: POST or GET").into()),
    }
    .into();
    let (streams, warmup) = phase(runtime, plan, &call, streams, plan.warmup)?;
    println!("{{\"ready\":{},\"errors\":{}}}", streams.len(), warmup.errors);
    wait_for_line()?;
    let (_, outcome) = phase(runtime, plan, &call, streams, plan.requests)?;
    println!("{}", outcome.to_json());
    Ok(())
}

/// What all of these tasks come to. Meanwhile the thread looks for work over and over, if it `spins`.
pub async fn all<T: 'static>(spins: bool, tasks: Vec<JoinHandle<T>>) -> Result<Vec<T>, Failure> {
    let spinner = spins.then(|| spawn_local(spin()));
    let mut done = Vec::with_capacity(tasks.len());
    for task in tasks {
        done.push(task.await?);
    }
    spinner.inspect(JoinHandle::abort);
    Ok(done)
}

/// What one phase saw. Calls that were never made because every connection had failed count as errors.
pub struct Outcome {
    latencies: Vec<Duration>,
    elapsed: Duration,
    pub errors: u64,
}

impl Outcome {
    /// Of latencies in any order, out of so many requests that were to be made.
    pub fn of(mut latencies: Vec<Duration>, elapsed: Duration, wanted: u64) -> Self {
        latencies.sort_unstable();
        let errors = wanted - latencies.len() as u64;
        Self { latencies, elapsed, errors }
    }

    pub fn to_json(&self) -> String {
        let done = self.latencies.len();
        let (p50, p99) = (self.percentile(50).as_micros(), self.percentile(99).as_micros());
        let (seconds, errors) = (self.elapsed.as_secs_f64(), self.errors);
        format!("{{\"done\":{done},\"errors\":{errors},\"seconds\":{seconds:.6},\"p50_us\":{p50},\"p99_us\":{p99}}}")
    }

    fn percentile(&self, percent: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * percent / 100).copied().unwrap_or_default()
    }
}

/// Makes `count` calls over all connections and hands the surviving connections back.
fn phase<S>(
    runtime: &Runtime,
    plan: &Plan<'_>,
    call: &Rc<[u8]>,
    streams: Vec<S>,
    count: u64,
) -> Result<(Vec<S>, Outcome), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let left = Rc::new(Cell::new(count));
    let started = Instant::now();
    let drivers = LocalSet::new().block_on(runtime, async {
        let drivers = streams.into_iter().map(|stream| drive(stream, Rc::clone(call), Rc::clone(&left)));
        all(plan.spin, drivers.map(spawn_local).collect()).await
    })?;
    let elapsed = started.elapsed();

    let mut survivors = Vec::with_capacity(drivers.len());
    let mut latencies = Vec::with_capacity(usize::try_from(count)?);
    for (stream, mut own) in drivers {
        survivors.extend(stream);
        latencies.append(&mut own);
    }
    Ok((survivors, Outcome::of(latencies, elapsed, count)))
}

/// One connection's loop. The connection is dropped at its first failure.
async fn drive<S>(mut stream: S, call: Rc<[u8]>, left: Rc<Cell<u64>>) -> (Option<S>, Vec<Duration>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = Vec::with_capacity(4096);
    let mut latencies = Vec::new();
    while left.get() > 0 {
        left.set(left.get() - 1);
        let started = Instant::now();
        if let Err(error) = exchange(&mut stream, &call, &mut buffer).await {
            eprintln!("loadgen: {error}");
            return (None, latencies);
        }
        latencies.push(started.elapsed());
    }
    (Some(stream), latencies)
}

/// One call and its whole answer, which must be a 200 with a body of the announced and expected length.
pub async fn exchange<S>(stream: &mut S, call: &[u8], buffer: &mut Vec<u8>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(call).await?;
    stream.flush().await?;
    buffer.clear();
    let head_len = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(len) = http::head_len(buffer) {
            break len;
        }
    };
    let head = &buffer[..head_len];
    if !head.starts_with(b"HTTP/1.1 200 ") || http::content_length(head) != Some(message::ANSWER_LEN) {
        return Err(io::Error::other(format!("unexpected answer: {}", String::from_utf8_lossy(head))));
    }
    while buffer.len() < head_len + message::ANSWER_LEN {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if buffer.len() > head_len + message::ANSWER_LEN {
        return Err(io::Error::other("bytes after the end of the answer"));
    }
    Ok(())
}
