//! The agent behind the proxies: answers calls, and opens event streams that stay silent until the caller leaves.

use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use crate::{Failure, http, message};

const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Serves until the process is stopped.
pub fn serve(port: u16, spin: bool) -> Result<(), Failure> {
    let answers = Rc::new(Answers { call: message::answer(), stream: message::stream_opening() });
    LocalSet::new().block_on(&crate::runtime()?, async move {
        if spin {
            spawn_local(crate::spin());
        }
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (connection, _) = listener.accept().await?;
            connection.set_nodelay(true)?;
            let answers = Rc::clone(&answers);
            // A caller that leaves is normal here; what it missed is the caller's to count.
            spawn_local(async move { converse(connection, &answers).await.ok() });
        }
    })
}

struct Answers {
    call: Vec<u8>,
    stream: Vec<u8>,
}

enum Request {
    Call,
    Stream,
    Unexpected,
}

async fn converse(mut connection: TcpStream, answers: &Answers) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(2048);
    while connection.read_buf(&mut buffer).await? > 0 {
        while let Some((request, len)) = next_request(&buffer) {
            match request {
                Request::Call => connection.write_all(&answers.call).await?,
                Request::Stream => connection.write_all(&answers.stream).await?,
                Request::Unexpected => return connection.write_all(REFUSAL).await,
            }
            buffer.drain(..len);
        }
    }
    Ok(())
}

/// The first request in `buffer` and its whole length, once its body is there too.
fn next_request(buffer: &[u8]) -> Option<(Request, usize)> {
    let head_len = http::head_len(buffer)?;
    let head = &buffer[..head_len];
    let announced = http::content_length(head);
    if head.starts_with(b"GET ") && announced.is_none() {
        return Some((Request::Call, head_len));
    }
    if announced != Some(message::CALL_LEN) {
        return Some((Request::Unexpected, buffer.len()));
    }
    let len = head_len + message::CALL_LEN;
    if buffer.len() < len {
        return None;
    }
    let streaming = head.strip_prefix(b"POST ").is_some_and(|rest| rest.starts_with(message::STREAM_PATH.as_bytes()));
    let request = if streaming { Request::Stream } else { Request::Call };
    Some((request, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_once_its_body_is_there() {
        let bytes = message::call(1, "/");
        assert!(next_request(&bytes[..bytes.len() - 1]).is_none());
        assert!(matches!(next_request(&bytes), Some((Request::Call, len)) if len == bytes.len()));
        assert!(matches!(next_request(&message::stream_call(1)), Some((Request::Stream, _))));
    }

    #[test]
    fn a_get_has_no_body() {
        let bytes = message::get(1, "/").repeat(2);
        let request = next_request(&bytes);
        assert!(matches!(request, Some((Request::Call, len)) if len * 2 == bytes.len()));
    }

    #[test]
    fn a_body_of_another_length_is_refused() {
        let bytes = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
        assert!(matches!(next_request(bytes), Some((Request::Unexpected, _))));
    }
}
