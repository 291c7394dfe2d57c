//! Large bodies in one direction, over connections that are kept.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

use crate::backend::PIECE;
use crate::load::{Outcome, all, exchange};
use crate::{Failure, http, message, runtime, wait_for_line};

#[derive(Clone, Copy)]
pub struct Plan {
    pub port: u16,
    pub connections: usize,
    pub requests: u64,
    pub bytes: usize,
    pub is_upload: bool,
    pub spin: bool,
}

/// Passes one body on each connection, prints `ready`, waits for a line of input, then runs the measured part and
/// prints its result.
pub fn run(plan: &Plan) -> Result<(), Failure> {
    let runtime = runtime()?;
    let streams = LocalSet::new().block_on(&runtime, async {
        let mut streams = Vec::with_capacity(plan.connections);
        for _ in 0..plan.connections {
            let mut stream = TcpStream::connect(("127.0.0.1", plan.port)).await?;
            stream.set_nodelay(true)?;
            one(&mut stream, *plan).await?;
            streams.push(stream);
        }
        io::Result::Ok(streams)
    })?;
    println!("{{\"ready\":{},\"errors\":0}}", streams.len());
    wait_for_line()?;
    let left = Rc::new(Cell::new(plan.requests));
    let started = Instant::now();
    let latencies = LocalSet::new().block_on(&runtime, async {
        let drivers = streams.into_iter().map(|stream| drive(stream, *plan, Rc::clone(&left)));
        all(plan.spin, drivers.map(spawn_local).collect()).await
    })?;
    println!("{}", Outcome::of(latencies.concat(), started.elapsed(), plan.requests).to_json());
    Ok(())
}

async fn drive(mut stream: TcpStream, plan: Plan, left: Rc<Cell<u64>>) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while left.get() > 0 {
        left.set(left.get() - 1);
        let began = Instant::now();
        if let Err(error) = one(&mut stream, plan).await {
            eprintln!("loadgen: {error}");
            break;
        }
        latencies.push(began.elapsed());
    }
    latencies
}

async fn one(stream: &mut TcpStream, plan: Plan) -> io::Result<()> {
    if !plan.is_upload {
        return download(stream, plan).await;
    }
    stream.write_all(&message::upload(plan.port, plan.bytes)).await?;
    let mut left = plan.bytes;
    while left > PIECE.len() {
        stream.write_all(&PIECE).await?;
        left -= PIECE.len();
    }
    exchange(stream, &PIECE[..left], &mut Vec::with_capacity(4096)).await
}

async fn download(stream: &mut TcpStream, plan: Plan) -> io::Result<()> {
    stream.write_all(&message::download(plan.port, plan.bytes)).await?;
    let mut buffer = vec![0; PIECE.len()];
    let mut filled = 0;
    let head_len = loop {
        filled += some(stream, &mut buffer[filled..]).await?;
        if let Some(len) = http::head_len(&buffer[..filled]) {
            break len;
        }
    };
    let head = &buffer[..head_len];
    if !head.starts_with(b"HTTP/1.1 200 ") || http::content_length(head) != Some(plan.bytes) {
        return Err(io::Error::other(format!("unexpected answer: {}", String::from_utf8_lossy(head))));
    }
    let mut come = filled - head_len;
    while come < plan.bytes {
        come += some(stream, &mut buffer).await?;
    }
    if come > plan.bytes { Err(io::Error::other("bytes after the end of the answer")) } else { Ok(()) }
}

async fn some(stream: &mut TcpStream, room: &mut [u8]) -> io::Result<usize> {
    match stream.read(room).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => Ok(read),
    }
}
