//! The byte stream under an upstream connection.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::client::TlsStream;

use super::deferred_waker::Arrivals;
use super::quota::{ConnectionPermits, IdlePermits};
use super::scan::HeadScan;
use crate::observe::handles::GaugeGuard;

/// A connected socket, with or without TLS. Counted as open while it lives. While a response head is awaited its bytes
/// are looked at, because hyper takes lines that end in a bare LF, and interim heads without end.
#[derive(Debug)]
pub struct UpstreamIo {
    stream: Stream,
    /// Set on an HTTP/1 connection, as the next.
    scan: Option<Rc<HeadScan>>,
    arrivals: Option<Rc<Arrivals>>,
    heard: Option<Rc<Heard>>,
    /// Why writing failed. Bytes that the endpoint sent before are read first: an answer to an upload that it does not
    /// read, after which it closes (RFC 9112 section 9.5).
    broken: Option<io::Error>,
    /// How an HTTP/2 connection ended, until that is told; see [`Self::delay`].
    ending: Option<io::Result<()>>,
    /// Turns until then.
    turns: u32,
    /// The endpoint does not read the last bytes.
    blocked: bool,
    /// Something was written on an HTTP/1 connection since the endpoint last said anything.
    unanswered: bool,
    _open: GaugeGuard,
    /// Before what says that it lies idle: an idle connection never seems to be in use while it is closed.
    _places: ConnectionPermits,
    idle_permits: Option<Rc<RefCell<IdlePermits>>>,
}

/// What an HTTP/2 connection has heard of its endpoint.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Notified when something was read.
    pub(super) read: Notify,
    /// The endpoint has closed, which the connection learns a little later.
    pub(super) ended: Cell<bool>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl UpstreamIo {
    pub(super) fn plain(stream: TcpStream, open: GaugeGuard) -> Self {
        Self {
            stream: Stream::Plain(stream),
            scan: None,
            arrivals: None,
            heard: None,
            broken: None,
            ending: None,
            turns: 0,
            blocked: false,
            unanswered: false,
            _open: open,
            _places: ConnectionPermits::default(),
            idle_permits: None,
        }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, open: GaugeGuard) -> Self {
        Self {
            stream: Stream::Tls(Box::new(stream)),
            scan: None,
            arrivals: None,
            heard: None,
            broken: None,
            ending: None,
            turns: 0,
            blocked: false,
            unanswered: false,
            _open: open,
            _places: ConnectionPermits::default(),
            idle_permits: None,
        }
    }

    /// Holds its places under the ceilings until it is closed.
    pub(super) fn holding(mut self, places: ConnectionPermits) -> Self {
        self._places = places;
        self
    }

    /// What is put there says that it lies idle, at the longest until it is closed.
    pub(super) fn resting(mut self) -> (Self, Rc<RefCell<IdlePermits>>) {
        let idle_permits = Rc::<RefCell<IdlePermits>>::default();
        self.idle_permits = Some(Rc::clone(&idle_permits));
        (self, idle_permits)
    }

    /// Tells of everything that is read from now on.
    pub(super) fn heard(mut self) -> (Self, Rc<Heard>) {
        let heard = Rc::<Heard>::default();
        self.heard = Some(Rc::clone(&heard));
        (self, heard)
    }

    /// Looks at HTTP/1.1 response heads from now on.
    pub(super) fn scanned(mut self) -> (Self, Rc<HeadScan>) {
        let scan = Rc::new(HeadScan::default());
        self.scan = Some(Rc::clone(&scan));
        (self, scan)
    }

    /// Is read only where something may have come. Everybody who reads must be woken by the same connection.
    pub(super) fn attentive(mut self, arrivals: &Rc<Arrivals>) -> Self {
        self.arrivals = Some(Rc::clone(arrivals));
        self
    }

    /// Notes an attempt to write. A failure is held back: the reader gets the same failure and knows what it means.
    fn wrote<T>(&mut self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let written = match written {
            Poll::Ready(Err(error)) if self.scan.is_some() && is_end(&error) => {
                self.broken = Some(error);
                Poll::Pending
            }
            written => written,
        };
        self.blocked = written.is_pending();
        written
    }

    /// As [`Self::wrote`] for bytes of HTTP/2, which `all` are. After a failure the rest is thrown away: h2 reads only
    /// while what it has to write goes out.
    fn wrote_bytes(&mut self, written: Poll<io::Result<usize>>, all: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if self.heard.is_some() && is_end(&error) => {
                self.broken = Some(error);
                Poll::Ready(Ok(all))
            }
            written => self.wrote(written),
        }
    }

    /// Tells an end of HTTP/2 some turns of the other tasks after the last bytes. h2 takes a connection that is over as
    /// the end of every stream on it, also of one whose answer is complete and was not read yet. Those who read have
    /// been woken by then.
    fn delay(&mut self, cx: &Context<'_>, polled: Poll<io::Result<()>>, read: bool) -> Poll<io::Result<()>> {
        let Some(heard) = &self.heard else {
            return polled;
        };
        let end = ready!(polled);
        if read {
            self.turns = END_TURNS;
            return Poll::Ready(end);
        }
        heard.ended.set(true);
        let Some(left) = self.turns.checked_sub(1) else {
            return Poll::Ready(end);
        };
        self.turns = left;
        self.ending = Some(end);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What becomes of bytes that can no longer be written.
    fn swallow(&self, all: usize) -> Poll<io::Result<usize>> {
        if self.heard.is_some() { Poll::Ready(Ok(all)) } else { Poll::Pending }
    }

    fn tell(&self) {
        if let Some(heard) = &self.heard {
            heard.read.notify_waiters();
        }
    }
}

/// Turns between the last bytes of an HTTP/2 connection and its end. An answer takes three: hyper's task, the one of
/// the exchange for the head, and again for the body.
const END_TURNS: u32 = 16;

/// Whether the reader gets this failure too, because the endpoint has closed.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

macro_rules! on_stream {
    ($self:expr, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().stream {
            Stream::Plain($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl UpstreamIo {
    /// Reads from the endpoint; tells those who want to know.
    fn poll_stream(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let stream = &mut self.stream;
        let polled = match (self.ending.take(), &self.arrivals) {
            (Some(end), _) => Poll::Ready(end),
            (None, Some(arrivals)) => arrivals.poll(|cx| stream.poll_read(cx, buf)),
            (None, None) => stream.poll_read(cx, buf),
        };
        let polled = self.delay(cx, polled, buf.filled().len() > before);
        if polled.is_ready() {
            self.tell();
            if buf.filled().len() > before {
                self.unanswered = false;
            } else if let Some(error) = self.broken.take() {
                // Not an end in order, even where the kernel has nothing more to say about it.
                return Poll::Ready(Err(error));
            }
        }
        polled
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.scan.as_ref().is_some_and(|scan| scan.give(buf)) {
            return Poll::Ready(Ok(()));
        }
        loop {
            let before = buf.filled().len();
            ready!(this.poll_stream(cx, buf))?;
            let Some(scan) = this.scan.as_ref().filter(|scan| scan.is_awaiting()) else {
                return Poll::Ready(Ok(()));
            };
            let read = buf.filled().get(before..).unwrap_or_default();
            if scan.is_at_start() && is_http2(read) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, SPEAKS_HTTP2)));
            }
            let (all, seen) = (read.len(), scan.accepts(read));
            let seen = seen.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a response head"))?;
            buf.set_filled(before + seen);
            // Nothing would be the end of the connection.
            if seen == all || seen > 0 || scan.give(buf) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return this.swallow(buf.len());
        }
        let written = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        this.unanswered = this.scan.is_some();
        this.wrote_bytes(written, buf.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let all = || bufs.iter().map(|buf| buf.len()).sum();
        if this.broken.is_some() {
            return this.swallow(all());
        }
        let written = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        this.unanswered = this.scan.is_some();
        if this.heard.is_some() { this.wrote_bytes(written, all()) } else { this.wrote(written) }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return this.swallow(0).map_ok(drop);
        }
        let flushed = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        this.wrote(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl Drop for UpstreamIo {
    /// The connection is reset instead of closed, because an endpoint that was given up before it answered may not read
    /// either. An orderly close would wait behind the bytes in the kernel's buffer for as long as the endpoint does not
    /// read.
    fn drop(&mut self) {
        if !self.blocked && !self.unanswered {
            return;
        }
        let tcp = match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        if let Err(error) = tcp.set_zero_linger() {
            tracing::debug!(%error, "closed in order, not reset");
        }
    }
}

/// A connection taken out of HTTP after a 101: bytes that were already read come first.
#[derive(Debug)]
pub struct Detached {
    io: UpstreamIo,
    read: Bytes,
}

impl Detached {
    pub(super) fn new(mut io: UpstreamIo, read: Bytes) -> Self {
        // From here on the bytes are no requests and answers, and the last bytes must arrive.
        let held = io.scan.take().map(|scan| scan.rest()).unwrap_or_default();
        let read = if held.is_empty() { read } else { [read, held].concat().into() };
        io.unanswered = false;
        // A tunnel has a task of its own.
        io.arrivals = None;
        Self { io, read }
    }
}

impl AsyncRead for Detached {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let size = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read.copy_to_bytes(size));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Detached {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Whether this begins as a connection of HTTP/2 does: with the head of a SETTINGS frame of fewer than 256 bytes (RFC
/// 9113 sections 3.4 and 4.1).
fn is_http2(read: &[u8]) -> bool {
    matches!(read, [0, 0, _, 4, 0, 0, 0, 0, 0, ..])
}

/// What to do about an endpoint that answers in HTTP/2.
pub(super) const SPEAKS_HTTP2: &str = "the endpoint speaks HTTP/2 only: set `protocol: h2c`, or `h2` with TLS";

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
    use tokio::net::TcpListener;

    use super::*;
    use crate::pool::tests::{LONG, transport};

    /// A connection whose endpoint said `answer` and closed with what we had written unread, so that the kernel reset
    /// it.
    async fn reset(answer: &[u8]) -> UpstreamIo {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        tcp.write_all(b"an upload").await.unwrap();
        server.readable().await.unwrap();
        server.write_all(answer).await.unwrap();
        drop(server);
        while !tcp.ready(Interest::READABLE).await.unwrap().is_read_closed() {
            tokio::task::yield_now().await;
        }
        UpstreamIo::plain(tcp, transport().handles.connected())
    }

    async fn write(io: &mut UpstreamIo) -> Poll<io::Result<usize>> {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *io).poll_write(cx, b"more"))).await
    }

    #[tokio::test]
    async fn what_was_answered_is_read_before_a_failure_to_write_counts() {
        for answer in ["HTTP/1.1 413 Too Large\r\n\r\n", ""] {
            let mut io = reset(answer.as_bytes()).await.scanned().0;
            for _ in 0..2 {
                assert!(write(&mut io).await.is_pending());
            }
            let mut read = Vec::new();
            let end = tokio::time::timeout(LONG, io.read_to_end(&mut read)).await;
            let error = end.unwrap().expect_err("not the end of a whole answer");
            assert!(is_end(&error), "{error:?}");
            assert_eq!(read, answer.as_bytes());
        }
        // A tunnel has nothing to wait for.
        let mut io = reset(b"").await;
        assert!(matches!(write(&mut io).await, Poll::Ready(Err(_))));
    }
}
