//! The sockets of a demo agent: HTTP/1.1 and HTTP/2 with prior knowledge on one port.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::handler::Handler;

/// Accepts until the future is dropped, which ends every connection too.
pub(super) async fn serve(listener: TcpListener, handler: Arc<Handler>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, Arc::clone(&handler)));
            }
            // Out of descriptors, most likely: trying again at once would spin.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(stream: TcpStream, handler: Arc<Handler>) {
    let Ok(Ok(is_http2)) = tokio::time::timeout(FIRST_BYTES, speaks_http2(&stream)).await else {
        return;
    };
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { handler.handle(request).await }
    });
    let io = TokioIo::new(stream);
    // Errors are the peer's leaving or the hang-ups this agent plays; nobody waits for them.
    let ended = if is_http2 {
        http2::Builder::new(TokioExecutor::new()).timer(TokioTimer::new()).serve_connection(io, service).await
    } else {
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, service).await
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "demo connection ended");
    }
}

/// Looks at the first bytes without taking them: no HTTP/1 method in use starts like the HTTP/2 preface.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        let (head, preface) = (first.get(..seen).unwrap_or_default(), PREFACE.get(..seen).unwrap_or_default());
        if seen == 0 || head != preface || seen == PREFACE.len() {
            return Ok(seen == PREFACE.len() && head == preface);
        }
        // The rest of three bytes is on its way; a peek cannot wait for more than there is.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

const PREFACE: &[u8; 3] = b"PRI";
const MAX_CONNECTIONS: usize = 1_000;
const FIRST_BYTES: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
