//! The IO of one downstream connection: the socket, perhaps TLS around it, and the scanner between them and the parser.
//! It must be `Send`, because an upgraded connection may leave the worker in principle; what it shares with its worker
//! is a [`IoProgress`] of relaxed atomics that no other core touches in practice.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::context::LINGER_BYTES;
use crate::listener::ceiling::Permit;
use crate::listener::frames::{CALM_DOWN, Frames, Traffic};
use crate::listener::io_progress::{IoProgress, Stage};
use crate::listener::scan::{Next, POISON, Phase, ScanLimits, Scanner};

/// A socket that counts its bytes and notes when it waits.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    progress: Arc<IoProgress>,
}

/// A socket with or without TLS.
#[derive(Debug)]
pub enum Stream {
    /// Cleartext.
    Plain(Socket),
    /// After a finished handshake. Boxed: a TLS session is a kilobyte.
    Tls(Box<TlsStream<Socket>>),
}

/// What hyper reads from and writes to.
#[derive(Debug)]
pub struct Io {
    stream: Stream,
    progress: Arc<IoProgress>,
    reader: Reader,
    /// Bytes taken from the stream to see which protocol it speaks.
    preface: Vec<u8>,
    /// The request line that the parser may have refused, once nothing more is scanned.
    odd: Option<Box<[u8]>>,
    /// How long a client that has closed its direction may wait for its answer.
    patience: Duration,
    /// Runs since it has.
    leaving: Option<Pin<Box<Sleep>>>,
    /// Counts the connection for as long as the IO lives, which may be longer than the HTTP on it.
    _permit: Permit,
}

#[derive(Debug)]
enum Reader {
    /// A tunnel: bytes pass.
    Raw,
    /// HTTP/2.
    Framed(Box<Frames>),
    /// HTTP/1.
    Scanned(Box<Scanner>),
    /// The parser gets the rest of these bytes, then nothing.
    Closing(&'static [u8]),
    /// The parser gets an error.
    Failed,
    /// Input is thrown away so that closing does not reset the connection under the answer.
    Lingering(u64),
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream, progress: Arc<IoProgress>) -> Self {
        Self { tcp, progress }
    }

    /// Whether the client has closed, or at least its direction, even if bytes from before that are unread.
    fn is_client_gone(&self) -> bool {
        let ready = pin!(self.tcp.ready(Interest::READABLE));
        // An answer for now is enough, because the caller asks again.
        let known = ready.poll(&mut Context::from_waker(Waker::noop()));
        matches!(known, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }
}

impl Io {
    pub(crate) fn new(stream: Stream, progress: Arc<IoProgress>, permit: Permit) -> Self {
        Self {
            stream,
            progress,
            reader: Reader::Raw,
            preface: Vec::new(),
            odd: None,
            patience: Duration::ZERO,
            leaving: None,
            _permit: permit,
        }
    }

    /// Waits for the first byte, without taking it: a silent connection should cost no HTTP machinery. `false` when the
    /// client closed instead. Nothing is lost when the future is dropped.
    pub(crate) async fn begun(&mut self) -> io::Result<bool> {
        if !self.preface.is_empty() {
            return Ok(true);
        }
        match &mut self.stream {
            Stream::Plain(socket) => {
                socket.tcp.readable().await?;
                Ok(true)
            }
            Stream::Tls(stream) => Ok(!stream.fill_buf().await?.is_empty()),
        }
    }

    /// Reads until it is clear whether the client speaks HTTP/2 with prior knowledge (RFC 9113 section 3.3). The parser
    /// reads the same bytes again.
    pub(crate) async fn speaks_h2(&mut self) -> io::Result<bool> {
        self.progress.enter(Stage::Head);
        let mut buffer = [0; H2_PREFACE.len()];
        while self.preface.len() < H2_PREFACE.len() {
            let room = buffer.get_mut(self.preface.len()..).unwrap_or_default();
            let count = match &mut self.stream {
                Stream::Plain(socket) => socket.read(room).await?,
                Stream::Tls(stream) => stream.read(room).await?,
            };
            self.preface.extend_from_slice(room.get(..count).unwrap_or_default());
            if count == 0 || !H2_PREFACE.starts_with(&self.preface) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// From here on the bytes are HTTP/1. Where they were already, the scanner goes on. A client that closes its
    /// direction is taken as gone after `patience`.
    pub(crate) fn scan(&mut self, limits: ScanLimits, patience: Duration) {
        self.patience = patience;
        if let Reader::Raw = self.reader {
            self.reader = Reader::Scanned(Box::new(Scanner::new(limits)));
        }
    }

    /// From here on the bytes are HTTP/1 in the clear where TLS is spoken: one head is read, to be refused.
    pub(crate) fn refuse_plain(&mut self, limits: ScanLimits) {
        self.reader = Reader::Scanned(Box::new(Scanner::refusing(limits)));
    }

    /// Whether the first bytes, as far as [`Self::speaks_h2`] has read them, are a TLS record with a handshake.
    pub(crate) fn begins_tls(&self) -> bool {
        self.preface.starts_with(&[TLS_HANDSHAKE])
    }

    /// Says `farewell` to a client that speaks what is not spoken here, and closes. What it sent is for nobody.
    pub(crate) async fn turn_away(&mut self, farewell: &[u8]) -> io::Result<()> {
        self.reader = Reader::Failed;
        self.write_all(farewell).await?;
        self.shutdown().await
    }

    /// From here on the bytes are HTTP/2.
    pub(crate) fn follow_frames(&mut self) {
        self.reader = Reader::Framed(Box::default());
    }

    /// The request line that the parser may have refused just now.
    pub(crate) fn odd_line(&self) -> Option<&[u8]> {
        match &self.reader {
            Reader::Scanned(scanner) => scanner.odd_line(),
            _ => self.odd.as_deref(),
        }
    }

    fn socket(&self) -> &Socket {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.preface.is_empty() {
            let count = self.preface.len().min(buf.remaining());
            buf.put_slice(self.preface.get(..count).unwrap_or_default());
            self.preface.drain(..count);
            return Poll::Ready(Ok(()));
        }
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }

    /// Reads and scans; `false` when something was read of which the parser sees nothing.
    fn poll_scanned(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(self.poll_stream(cx, buf))?;
        let Reader::Scanned(scanner) = &mut self.reader else {
            return Poll::Ready(Ok(true));
        };
        let read = buf.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            let waits = scanner.phase() == Phase::Start && self.progress.owes_answer();
            if waits {
                self.progress.half_close();
                ready!(self.poll_gone(cx));
            }
            return Poll::Ready(Ok(true));
        }
        let scanned = scanner.scan(read);
        self.progress.note(scanner);
        let next = match scanned.next {
            Next::More => return Poll::Ready(Ok(true)),
            Next::Silence => Reader::Closing(b""),
            Next::Poison => Reader::Closing(POISON),
            Next::Error => Reader::Failed,
        };
        self.odd = scanner.odd_line().map(Into::into);
        self.reader = next;
        buf.set_filled(before + scanned.keep);
        Poll::Ready(Ok(scanned.keep > 0))
    }

    /// Ends when a client that has closed its direction counts as gone. A client that waits for its answer looks the
    /// same as one that has left, so it gets a little time.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.patience.is_zero() {
            return Poll::Ready(());
        }
        let patience = self.patience;
        let leaving = self.leaving.get_or_insert_with(|| Box::pin(sleep(patience)));
        leaving.as_mut().poll(cx)
    }

    /// As [`Self::poll_scanned`] for HTTP/2.
    fn poll_framed(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(self.poll_stream(cx, buf))?;
        let Reader::Framed(frames) = &mut self.reader else {
            return Poll::Ready(Ok(true));
        };
        let read = buf.filled().get(before..).unwrap_or_default();
        let keep = match frames.look(read, self.progress.bytes_written()) {
            Traffic::Fine => {
                if frames.is_open() {
                    self.progress.enter(Stage::Streams);
                }
                return Poll::Ready(Ok(true));
            }
            Traffic::Flood(keep) => {
                tracing::debug!("flood of HTTP/2 frames");
                self.reader = Reader::Closing(CALM_DOWN);
                keep
            }
            Traffic::Broken => {
                self.reader = Reader::Failed;
                0
            }
        };
        buf.set_filled(before + keep);
        Poll::Ready(Ok(keep > 0))
    }

    /// The bytes for the parser.
    fn poll_parser(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.reader {
                Reader::Scanned(_) if self.progress.is_tunnel() => {
                    self.reader = Reader::Raw;
                }
                Reader::Raw => return self.poll_stream(cx, buf),
                Reader::Framed(_) => {
                    if ready!(self.poll_framed(cx, buf))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Reader::Scanned(_) => {
                    if ready!(self.poll_scanned(cx, buf))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                // This needs no waker: the service or the parser is about to answer and close.
                Reader::Closing([]) if !self.progress.is_tunnel() => return Poll::Pending,
                Reader::Closing(rest) if !rest.is_empty() => {
                    let (now, later) = rest.split_at(rest.len().min(buf.remaining()));
                    buf.put_slice(now);
                    *rest = later;
                    return Poll::Ready(Ok(()));
                }
                Reader::Closing(_) | Reader::Failed | Reader::Lingering(_) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "invalid framing")));
                }
            }
        }
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>, seen: u64) -> Poll<io::Result<()>> {
        let mut seen = seen;
        let mut scratch = [0; 4096];
        while seen < LINGER_BYTES && !self.progress.lingers_no_more() {
            let mut buf = ReadBuf::new(&mut scratch);
            let read = self.poll_stream(cx, &mut buf);
            let count = buf.filled().len();
            seen += count as u64;
            self.reader = Reader::Lingering(seen);
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if count > 0 => {}
                Poll::Ready(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let read = me.poll_parser(cx, buf);
        me.progress.parser_read(read.is_pending());
        read
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Is called by hyper whenever its connection is polled, also when nothing is read or written. That is where a
    /// client is noticed that leaves meanwhile.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let closed = me.progress.takes_question() && me.socket().is_client_gone();
        // Half an upload is nothing to wait for an answer with.
        let whole = matches!(&me.reader, Reader::Scanned(scanner) if scanner.phase() == Phase::Start);
        let gone = if whole {
            let waits = (closed || me.leaving.is_some()) && me.progress.owes_answer();
            waits && me.poll_gone(cx).is_ready()
        } else {
            closed
        };
        if gone {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match &mut me.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    /// Closes for writing. Where the client may still send a message that is not read, also waits until it stops, for a
    /// bounded time and number of bytes: closing a socket with unread input resets it, and the reset overtakes the
    /// answer.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if let Reader::Lingering(seen) = me.reader {
            return me.poll_linger(cx, seen);
        }
        ready!(match &mut me.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        })?;
        let unread = match &me.reader {
            Reader::Raw | Reader::Framed(_) | Reader::Lingering(_) => false,
            Reader::Scanned(scanner) => scanner.phase() != Phase::Start && !me.progress.is_tunnel(),
            Reader::Closing(_) | Reader::Failed => true,
        };
        if !unread {
            return Poll::Ready(Ok(()));
        }
        me.progress.enter(Stage::Linger);
        me.poll_linger(cx, 0)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut me.tcp).poll_read(cx, buf);
        me.progress.read(buf.filled().len() - before);
        read
    }
}

impl Socket {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let count = if let Poll::Ready(Ok(count)) = &written { *count } else { 0 };
        self.progress.wrote(written.is_pending(), count);
        written
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let written = Pin::new(&mut me.tcp).poll_write(cx, bytes);
        me.wrote(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let written = Pin::new(&mut me.tcp).poll_write_vectored(cx, bytes);
        me.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first byte of a TLS record that carries a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;
