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
    /// The caller wants so many bytes.
    Download(usize),
    /// So many bytes follow the head.
    Upload(usize),
    Unexpected,
}

async fn converse(mut connection: TcpStream, answers: &Answers) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(2048);
    while connection.read_buf(&mut buffer).await? > 0 {
        while let Some((request, len)) = next_request(&buffer) {
            match request {
                Request::Call => connection.write_all(&answers.call).await?,
                Request::Stream => connection.write_all(&answers.stream).await?,
                Request::Download(bytes) => download(&mut connection, bytes).await?,
                Request::Upload(bytes) => {
                    let come = (buffer.len() - len).min(bytes);
                    discard(&mut connection, bytes - come).await?;
                    connection.write_all(&answers.call).await?;
                    buffer.drain(..len + come);
                    continue;
                }
                Request::Unexpected => return connection.write_all(REFUSAL).await,
            }
            buffer.drain(..len);
        }
    }
    Ok(())
}

async fn download(connection: &mut TcpStream, bytes: usize) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {bytes}\r\n\r\n");
    connection.write_all(head.as_bytes()).await?;
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(PIECE.len());
        connection.write_all(&PIECE[..piece]).await?;
        left -= piece;
    }
    Ok(())
}

async fn discard(connection: &mut TcpStream, bytes: usize) -> std::io::Result<()> {
    let mut room = vec![0; PIECE.len()];
    let mut left = bytes;
    while left > 0 {
        let most = left.min(room.len());
        match connection.read(&mut room[..most]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => left -= read,
        }
    }
    Ok(())
}

/// What large bodies are made of.
pub static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// The first request in `buffer` and its whole length, once its body is there too.
fn next_request(buffer: &[u8]) -> Option<(Request, usize)> {
    let head_len = http::head_len(buffer)?;
    let head = &buffer[..head_len];
    let announced = http::content_length(head);
    if let Some(wanted) = head.strip_prefix(message::DOWNLOAD.as_bytes()) {
        let digits: Vec<u8> = wanted.iter().copied().take_while(u8::is_ascii_digit).collect();
        let bytes = String::from_utf8_lossy(&digits).parse();
        return Some((bytes.map_or(Request::Unexpected, Request::Download), head_len));
    }
    if head.starts_with(message::UPLOAD.as_bytes()) {
        return Some((announced.map_or(Request::Unexpected, Request::Upload), head_len));
    }
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
    fn large_bodies_are_not_waited_for() {
        let up = message::upload(1, 70_000);
        assert!(matches!(next_request(&up), Some((Request::Upload(70_000), len)) if len == up.len()));
        let down = message::download(1, 70_000);
        assert!(matches!(next_request(&down), Some((Request::Download(70_000), len)) if len == down.len()));
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
