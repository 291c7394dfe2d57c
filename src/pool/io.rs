//! The byte stream under an upstream connection.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::client::TlsStream;

use super::quota::{Places, Rests};
use super::scan::HeadScan;
use crate::observe::handles::GaugeGuard;

/// A connected socket, with or without TLS. Counted as open while it lives. While a response head is awaited its bytes are
/// looked at, because hyper takes lines that end in a bare LF, and interim heads without end.
#[derive(Debug)]
pub struct UpstreamIo {
    stream: Stream,
    scan: Option<Rc<HeadScan>>,
    heard: Option<Rc<Notify>>,
    /// The endpoint does not take what was to be written last.
    blocked: bool,
    /// Something was written on an HTTP/1 connection since the endpoint last said anything.
    unanswered: bool,
    _open: GaugeGuard,
    /// Before what says that it lies idle: an idle connection never seems to be in use while it is closed.
    _places: Places,
    rests: Option<Rc<RefCell<Rests>>>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl UpstreamIo {
    pub(super) fn plain(stream: TcpStream, open: GaugeGuard) -> Self {
        Self {
            stream: Stream::Plain(stream),
            scan: None,
            heard: None,
            blocked: false,
            unanswered: false,
            _open: open,
            _places: Places::default(),
            rests: None,
        }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, open: GaugeGuard) -> Self {
        Self {
            stream: Stream::Tls(Box::new(stream)),
            scan: None,
            heard: None,
            blocked: false,
            unanswered: false,
            _open: open,
            _places: Places::default(),
            rests: None,
        }
    }

    /// Holds its places under the ceilings until it is closed.
    pub(super) fn holding(mut self, places: Places) -> Self {
        self._places = places;
        self
    }

    /// What is put there says that it lies idle, at the longest until it is closed.
    pub(super) fn resting(mut self) -> (Self, Rc<RefCell<Rests>>) {
        let rests = Rc::<RefCell<Rests>>::default();
        self.rests = Some(Rc::clone(&rests));
        (self, rests)
    }

    /// Tells of everything that is read from now on.
    pub(super) fn heard(mut self) -> (Self, Rc<Notify>) {
        let heard = Rc::new(Notify::new());
        self.heard = Some(Rc::clone(&heard));
        (self, heard)
    }

    /// Looks at HTTP/1.1 response heads from now on.
    pub(super) fn scanned(mut self) -> (Self, Rc<HeadScan>) {
        let scan = Rc::new(HeadScan::default());
        self.scan = Some(Rc::clone(&scan));
        (self, scan)
    }

    fn wrote(&mut self, blocked: bool) {
        self.blocked = blocked;
        self.unanswered = self.scan.is_some();
    }
}

macro_rules! on_stream {
    ($self:expr, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().stream {
            Stream::Plain($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if polled.is_ready() && buf.filled().len() > before {
            this.unanswered = false;
        }
        if let (Poll::Ready(_), Some(heard)) = (&polled, &this.heard) {
            heard.notify_waiters();
        }
        if let (Poll::Ready(Ok(())), Some(scan)) = (&polled, &this.scan)
            && scan.is_awaiting()
            && !scan.accepts(buf.filled().get(before..).unwrap_or_default())
        {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a response head",
            )));
        }
        polled
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        this.wrote(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        this.wrote(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        this.blocked = polled.is_pending();
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl Drop for UpstreamIo {
    /// An endpoint that is given up before it answered may not read either, and would not hear of an orderly close: that waits behind
    /// what the kernel still holds, and the kernel would hold it for as long as the endpoint likes.
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

/// A connection taken out of HTTP after a 101: what was already read comes first.
#[derive(Debug)]
pub struct Detached {
    io: UpstreamIo,
    read: Bytes,
}

impl Detached {
    pub(super) fn new(mut io: UpstreamIo, read: Bytes) -> Self {
        // From here on nobody asks and answers: what was written last shall arrive.
        io.scan = None;
        io.unanswered = false;
        Self { io, read }
    }
}

impl AsyncRead for Detached {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let size = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read.copy_to_bytes(size));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Detached {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
