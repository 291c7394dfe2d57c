//! After a 101: bytes in both directions until one side ends, or both have been silent for too long.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep, sleep_until};

use super::ResponseBody;
use super::exchange::Exchange;
use super::stage::Switched;
use super::tracked_body::WITHDRAWAL_LOOK;
use crate::body::Body;
use crate::error::Error;
use crate::observe::live::OpenStream;
use crate::route::rollout::RolloutSample;

/// Answers 101 and passes bytes on in a task of its own, which the worker owns.
pub(super) fn start(mut exchange: Box<Exchange>, switched: Switched) -> Response<ResponseBody> {
    let (head, body) = switched.response.into_parts();
    exchange.streams();
    let worker = Rc::clone(&exchange.worker);
    let connection = Rc::clone(&exchange.connection);
    let (client, idle, end) = (switched.client, switched.idle, switched.end);
    let sample = exchange.guards.sample.clone().filter(|sample| sample.may_be_cut());
    let task = tokio::task::spawn_local(async move {
        let open = exchange.show_stream();
        let mut tunnel = Tunnel { exchange, traffic: Rc::new(Traffic { open, ..Traffic::default() }) };
        let Some(mut upstream) = body.detach() else {
            return tunnel.exchange.failed(&Error::Internal);
        };
        let Ok(client) = client.await else { return };
        let mut client = Noted { io: TokioIo::new(client), traffic: Rc::clone(&tunnel.traffic) };
        let ended = tokio::select! {
            copied = copy_bidirectional(&mut client, &mut upstream) => copied.map(|_sizes| ()),
            () = silence(&tunnel.traffic, idle) => return tunnel.exchange.failed(&Error::StreamIdle),
            () = moment(end) => return tunnel.exchange.failed(&Error::StreamTooLong),
            () = withdrawn(sample.as_deref()) => return tunnel.exchange.failed(&Error::Withdrawn),
        };
        // A side that just closes its socket is how many tunnels end.
        if let Err(error) = ended {
            tracing::debug!(%error, "tunnel ended");
        }
        tunnel.exchange.complete();
    });
    worker.own(task.abort_handle(), connection);
    Response::from_parts(head, Body::Empty)
}

/// An exchange that became a tunnel; its bytes are recorded however it ends.
struct Tunnel {
    exchange: Box<Exchange>,
    traffic: Rc<Traffic>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.exchange.outcome.sent = self.traffic.to_client.get();
        self.exchange.request.upload.add(self.traffic.from_client.get());
    }
}

/// The bytes that passed through a tunnel.
struct Traffic {
    last: Cell<Instant>,
    from_client: Cell<u64>,
    to_client: Cell<u64>,
    /// Shown to operators.
    open: Option<OpenStream>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { last: Cell::new(Instant::now()), from_client: Cell::default(), to_client: Cell::default(), open: None }
    }
}

impl Traffic {
    fn note(&self, direction: &Cell<u64>, size: usize) {
        direction.set(direction.get() + size as u64);
        self.last.set(Instant::now());
        if let Some(open) = &self.open {
            open.passes(size);
        }
    }
}

/// Ends once nothing has passed for `limit`.
async fn silence(traffic: &Traffic, limit: Option<Duration>) {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    loop {
        let deadline = traffic.last.get() + limit;
        if deadline <= Instant::now() {
            return;
        }
        sleep_until(deadline).await;
    }
}

/// Ends at `end`, if there is one.
async fn moment(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Ends when the tunnel's version is to be cut.
async fn withdrawn(sample: Option<&RolloutSample>) {
    let Some(sample) = sample else {
        return std::future::pending().await;
    };
    while !sample.is_cut() {
        sleep(WITHDRAWAL_LOOK).await;
    }
}

/// The client's side, with its traffic noted.
struct Noted<T> {
    io: T,
    traffic: Rc<Traffic>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Noted<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if polled.is_ready() {
            self.traffic.note(&self.traffic.from_client, buf.filled().len() - before);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(size)) = &polled {
            self.traffic.note(&self.traffic.to_client, *size);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
