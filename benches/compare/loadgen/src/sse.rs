//! Opens event streams and holds them: each must have brought its head and first event, and still be open at the end.

use std::io;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Failure, http, message, runtime, wait_for_line};

/// Opens them, prints `open`, waits for a line of input, then prints how many were closed meanwhile.
pub fn hold(port: u16, count: usize) -> Result<(), Failure> {
    let call = message::stream_call(port);
    let runtime = runtime()?;
    let streams = runtime.block_on(async {
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            streams.push(open(port, &call).await?);
        }
        io::Result::Ok(streams)
    })?;
    println!("{{\"open\":{}}}", streams.len());
    wait_for_line()?;
    let lost = runtime.block_on(async { streams.iter().filter(|stream| has_ended(stream)).count() });
    println!("{{\"lost\":{lost}}}");
    Ok(())
}

async fn open(port: u16, call: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(call).await?;
    let mut buffer = Vec::with_capacity(1024);
    while !first_event_arrived(&buffer)? {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(stream)
}

fn first_event_arrived(buffer: &[u8]) -> io::Result<bool> {
    let Some(head_len) = http::head_len(buffer) else {
        return Ok(false);
    };
    let (head, body) = buffer.split_at(head_len);
    let is_stream = http::header(head, "content-type") == Some(b"text/event-stream");
    if !head.starts_with(b"HTTP/1.1 200 ") || !is_stream {
        return Err(io::Error::other(format!("unexpected answer: {}", String::from_utf8_lossy(head))));
    }
    Ok(memmem::find(body, message::FIRST_EVENT).is_some())
}

/// Whether the other side has closed; a silent or a talking stream has not.
fn has_ended(stream: &TcpStream) -> bool {
    let mut some = [0; 1024];
    match stream.try_read(&mut some) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}
