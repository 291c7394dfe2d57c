//! Serves HTTP on one connection: waits for the first byte, picks the version, and drives hyper until the connection is
//! over, is told to drain, or is cut. hyper's own timers stay off; the watchdog has them.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;

use crate::config::model::{Http2Keepalive, HttpVersion, Limits};
use crate::context::{Connection, HeldWakes, Lingering};
use crate::listener::command::{Cut, Expiry};
use crate::listener::connection_handle::ConnectionHandle;
use crate::listener::io::Io;
use crate::listener::io_progress::Stage;
use crate::listener::odd;
use crate::listener::scan::ScanLimits;
use crate::listener::strict_service::StrictService;

/// The service of a connection: the edge, or one of a test.
pub trait Serves:
    Service<
        Request<Incoming>,
        Response = Response<Self::Body>,
        Error: Into<Box<dyn StdError + Send + Sync>>,
        Future: 'static,
    > + 'static
{
    /// Body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + 'static;
}

impl<S, B> Serves for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Future: 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Body = B;
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionEnd {
    /// Both sides were done.
    Closed,
    /// It became a tunnel.
    Upgraded,
    /// The watchdog ended it.
    Expired(Expiry),
    /// The head of a request was not HTTP; hyper answered with this status.
    Refused(StatusCode),
    /// The client left or broke the protocol in the middle of something.
    Broken,
    /// Cut when the time to drain was over.
    Aborted,
}

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Agreed on by ALPN, or the only one served.
    Agreed(HttpVersion),
    /// To be seen from the first bytes.
    Unknown,
}

/// What holds on one connection.
#[derive(Clone, Copy, Debug)]
pub struct ServeSettings<'a> {
    /// Its limits.
    pub limits: &'a Limits,
    /// PING frames to a client that is silent.
    pub pings: Option<Http2Keepalive>,
}

/// Serves `service` on a connection. Everything but the IO stays on this worker. When the future is dropped, the
/// connection is closed and with it the futures of its requests.
pub async fn serve<S>(
    io: Io,
    speaks: Speaks,
    connection: Rc<Connection>,
    service: S,
    handle: Rc<ConnectionHandle>,
    settings: ServeSettings<'_>,
) -> ConnectionEnd
where
    S: Serves,
{
    handle.hand_over(Rc::clone(&connection));
    let service = StrictService::new(service, connection, Rc::clone(&handle));
    let end = serve_opened(io, speaks, service, &handle, settings).await;
    match end {
        ConnectionEnd::Closed if handle.is_retired() => ConnectionEnd::Expired(Expiry::Idle),
        ConnectionEnd::Closed | ConnectionEnd::Broken if handle.progress().lingers_no_more() => {
            ConnectionEnd::Expired(Expiry::Linger)
        }
        end => end,
    }
}

async fn serve_opened<S>(
    mut io: Io,
    mut speaks: Speaks,
    mut service: StrictService<S>,
    handle: &ConnectionHandle,
    ServeSettings { limits, pings }: ServeSettings<'_>,
) -> ConnectionEnd
where
    S: Serves,
{
    // The rest is boxed separately, so that a connection without a request is small.
    loop {
        match opened(&mut io, speaks, handle).await {
            Ok(Some(HttpVersion::H2)) => {
                return Box::pin(serve_h2(io, service, handle, limits, pings)).await;
            }
            Ok(Some(HttpVersion::Http1)) if io.begins_tls() => {
                return Box::pin(turn_away(io, &service, Farewell { sent: UNEXPECTED_MESSAGE, line: CLIENT_HELLO }))
                    .await;
            }
            Ok(Some(HttpVersion::Http1)) => match Box::pin(serve_http1(io, service, handle, limits)).await {
                Http1::Ended(end) => return end,
                Http1::Resting(again) => (io, service) = *again,
            },
            Ok(None) => return ConnectionEnd::Closed,
            Err(_) => return ConnectionEnd::Broken,
        }
        speaks = Speaks::Agreed(HttpVersion::Http1);
    }
}

/// What is said to a client that speaks something else than its connection serves.
struct Farewell<'a> {
    /// What such a client understands.
    sent: &'a [u8],
    /// What stands for its first line in the record.
    line: &'a [u8],
}

/// Ends a connection on which something else is spoken than it serves.
async fn turn_away<S>(mut io: Io, service: &StrictService<S>, farewell: Farewell<'_>) -> ConnectionEnd {
    if let Err(error) = io.turn_away(farewell.sent).await {
        tracing::debug!(%error, "the client left first");
    }
    service.connection().refused.replace(Some(farewell.line.into()));
    ConnectionEnd::Refused(StatusCode::BAD_REQUEST)
}

/// How far an HTTP/1 connection was served.
enum Http1<S> {
    Ended(ConnectionEnd),
    /// It is between two requests; everything but this was given back.
    Resting(Box<(Io, StrictService<S>)>),
}

/// How a connection that was cut ended.
#[must_use]
pub fn cut(cut: Cut) -> ConnectionEnd {
    match cut {
        Cut::Expired(expiry) => ConnectionEnd::Expired(expiry),
        Cut::Aborted => ConnectionEnd::Aborted,
    }
}

/// As [`serve`] for a client that begins HTTP in the clear where TLS is spoken. One head of HTTP/1 is read and refused.
/// A client of HTTP/2 is told to use HTTP/1.1, in which it can read the refusal.
pub(super) async fn refuse_plain<S>(
    mut io: Io,
    connection: Rc<Connection>,
    service: S,
    handle: Rc<ConnectionHandle>,
    limits: &Limits,
) -> ConnectionEnd
where
    S: Serves,
{
    handle.hand_over(Rc::clone(&connection));
    connection.plain_on_tls.set(true);
    match Box::pin(io.speaks_h2()).await {
        Ok(true) => {
            let service = StrictService::new(service, connection, Rc::clone(&handle));
            Box::pin(turn_away(io, &service, Farewell { sent: &go_away(), line: H2_LINE })).await
        }
        Ok(false) => {
            io.refuse_plain(ScanLimits::of(limits));
            let settings = ServeSettings { limits, pings: None };
            serve(io, Speaks::Agreed(HttpVersion::Http1), connection, service, handle, settings).await
        }
        Err(_) => ConnectionEnd::Broken,
    }
}

/// Empty SETTINGS, and a GOAWAY that no stream was before (RFC 9113 section 6.8).
fn go_away() -> Vec<u8> {
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let length = u8::try_from(8 + SPEAKS_TLS.len()).unwrap_or(u8::MAX);
    let head = [0, 0, length, 7, 0, 0, 0, 0, 0];
    let reason = [0, 0, 0, 0, 0, 0, 0, HTTP_1_1_REQUIRED];
    [&settings[..], &head, &reason, SPEAKS_TLS].concat()
}

/// Waits for the first bytes; `None` when none will come.
async fn opened(io: &mut Io, speaks: Speaks, handle: &ConnectionHandle) -> io::Result<Option<HttpVersion>> {
    if speaks == Speaks::Agreed(HttpVersion::H2) {
        // The client speaks first and at once (RFC 9113 section 3.4), so its silence is not idleness.
        handle.progress().enter(Stage::Head);
        return Ok(Some(HttpVersion::H2));
    }
    let begun = tokio::select! {
        begun = io.begun() => begun?,
        // A request may be on its way, above all on a connection that was in the kernel's queue.
        () = handle.drained() => matches!(Box::pin(timeout(DRAIN_GRACE, io.begun())).await, Ok(Ok(true))),
    };
    if !begun {
        return Ok(None);
    }
    match speaks {
        Speaks::Agreed(version) => Ok(Some(version)),
        Speaks::Unknown if Box::pin(io.speaks_h2()).await? => Ok(Some(HttpVersion::H2)),
        Speaks::Unknown => Ok(Some(HttpVersion::Http1)),
    }
}

async fn serve_http1<S>(mut io: Io, service: StrictService<S>, handle: &ConnectionHandle, limits: &Limits) -> Http1<S>
where
    S: Serves,
{
    io.scan(ScanLimits::of(limits), limits.half_close_timeout);
    let mut builder = http1::Builder::new();
    builder
        // The IO keeps the end of a client's direction from hyper for a while.
        .half_close(false)
        .max_header_size(limits.max_header_bytes)
        .max_buf_size(limits.max_header_bytes.max(HTTP1_BUFFER))
        .header_read_timeout(None)
        // The connection is told to end and serves one more request, which was on its way; the answer announces the
        // close.
        .keep_alive(!handle.is_draining());
    if limits.max_headers != HYPER_MAX_HEADERS {
        // Any explicit number costs an initialised array per request.
        builder.max_headers(limits.max_headers);
    }
    let facts = service.connection();
    let connection = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
    let mut connection = Box::pin(connection);
    handle.set_serving(true);
    let driven = {
        let wakes = facts.wakes.get_or_init(HeldWakes::default);
        let mut driven = pin!(drive(&mut connection, http1::UpgradeableConnection::graceful_shutdown, handle));
        std::future::poll_fn(|cx| wakes.poll(cx, |cx| driven.as_mut().poll(cx))).await
    };
    handle.set_serving(false);
    Http1::Ended(match driven {
        Driven::Resting => match Pin::into_inner(connection).into_parts() {
            Some(parts) if parts.read_buf.is_empty() => {
                return Http1::Resting(Box::new((parts.io.into_inner(), parts.service)));
            }
            _ => ConnectionEnd::Broken,
        },
        Driven::Ended(Ok(())) if handle.progress().is_tunnel() => ConnectionEnd::Upgraded,
        Driven::Ended(Ok(())) => ConnectionEnd::Closed,
        Driven::Ended(Err(error)) => {
            let end = refused(&error);
            if let (ConnectionEnd::Refused(_), Some(parts)) = (end, Pin::into_inner(connection).into_parts()) {
                // A head that is refused as a whole is still in the buffer, one with a bad target is not.
                let io = parts.io.into_inner();
                let line = io.odd_line().unwrap_or(&parts.read_buf);
                facts.refused.replace(Some(first_line(line).into()));
            }
            end
        }
    })
}

/// As much of the first line as is worth showing.
fn first_line(head: &[u8]) -> &[u8] {
    let head = head.trim_ascii_start();
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    odd::shown(head.get(..end).unwrap_or(head))
}

async fn serve_h2<S>(
    mut io: Io,
    service: StrictService<S>,
    handle: &ConnectionHandle,
    limits: &Limits,
    pings: Option<Http2Keepalive>,
) -> ConnectionEnd
where
    S: Serves,
{
    io.follow_frames();
    let facts = service.connection();
    let lingering = CloseLingering(facts.lingering.get_or_init(Box::default));
    let mut builder = http2::Builder::new(Local(service.connection()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .header_table_size(4096)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_send_buf_size(H2_SEND_BUFFER)
        // The limit on calls that were reset before h2 accepted them, because both came in one read: as many as may be
        // open at once. The budget of resets in `frames` covers the others.
        .max_pending_accept_reset_streams(
            usize::try_from(limits.max_concurrent_streams.max(H2_DROPPED)).unwrap_or(usize::MAX),
        )
        .max_local_error_reset_streams(100);
    if let Some(pings) = pings {
        builder.keep_alive_interval(pings.interval).keep_alive_timeout(pings.timeout);
    }
    let mut connection = Box::pin(builder.serve_connection(TokioIo::new(io), service));
    let driven = pin!(drive(&mut connection, http2::Connection::graceful_shutdown, handle));
    match while_lingering(driven, lingering.0, handle).await {
        Driven::Ended(Ok(())) | Driven::Resting => ConnectionEnd::Closed,
        Driven::Ended(Err(error)) => refused(&error),
    }
}

/// The uploads a connection discards, which end with it.
struct CloseLingering<'a>(&'a Lingering);

impl Drop for CloseLingering<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Drives a connection, and what it discards as long as it is not told to end.
async fn while_lingering(
    mut driven: Pin<&mut impl Future<Output = Driven>>,
    lingering: &Lingering,
    handle: &ConnectionHandle,
) -> Driven {
    std::future::poll_fn(|cx| {
        let polled = driven.as_mut().poll(cx);
        if handle.is_draining() {
            lingering.close();
        } else {
            lingering.poll(cx);
        }
        polled
    })
    .await
}

/// Why driving a connection stopped.
enum Driven {
    Ended(hyper::Result<()>),
    /// The connection is between two requests, has nothing left to write, and was told to rest or to end. A connection
    /// that is told to end rests first, because a request may be on its way.
    Resting,
}

/// Polls a connection to its end, and once tells it to end gracefully when the leash says so. It is polled first each
/// time, and not told while a head is half read: a request that has arrived is then answered, where hyper would close a
/// connection that it believes idle. And a request refused just now says so by draining its own connection.
async fn drive<C>(connection: &mut Pin<Box<C>>, end: fn(Pin<&mut C>), handle: &ConnectionHandle) -> Driven
where
    C: Future<Output = hyper::Result<()>>,
{
    let last = handle.is_draining();
    let mut ending = false;
    std::future::poll_fn(|cx| {
        let before = handle.has_answered_all();
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Driven::Ended(ended));
        }
        if handle.has_answered_all()
            && !before
            && let Poll::Ready(ended) = connection.as_mut().poll(cx)
        {
            return Poll::Ready(Driven::Ended(ended));
        }
        let may_rest = handle.takes_rest() || (handle.is_draining() && !ending);
        if may_rest && !last && handle.is_between_requests() {
            return Poll::Ready(Driven::Resting);
        }
        if ending || !handle.is_draining() || handle.is_about_to_begin() {
            return Poll::Pending;
        }
        ending = true;
        end(connection.as_mut());
        connection.as_mut().poll(cx).map(Driven::Ended)
    })
    .await
}

fn refused(error: &hyper::Error) -> ConnectionEnd {
    tracing::debug!(%error, "connection ended with an error");
    if error.is_parse_too_large() {
        ConnectionEnd::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else if error.is_parse() {
        ConnectionEnd::Refused(StatusCode::BAD_REQUEST)
    } else {
        ConnectionEnd::Broken
    }
}

/// Runs the streams of an HTTP/2 connection as tasks of this worker. They end with their connection.
#[derive(Clone, Debug)]
struct Local(Rc<Connection>);

impl<F> Executor<F> for Local
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        self.0.own(tokio::task::spawn_local(future).abort_handle());
    }
}

/// A TLS record with the fatal alert 10 (RFC 8446 section 6.2): no handshake was expected.
const UNEXPECTED_MESSAGE: &[u8] = &[21, 3, 3, 0, 2, 2, 10];
/// How a TLS handshake begins.
const CLIENT_HELLO: &[u8] = &[22, 3];
/// How HTTP/2 begins.
const H2_LINE: &[u8] = b"PRI * HTTP/2.0";
const HTTP_1_1_REQUIRED: u8 = 13;
const SPEAKS_TLS: &[u8] = b"this port speaks TLS: use https";
const DRAIN_GRACE: Duration = Duration::from_millis(50);
/// hyper's own, for which it needs no allocation.
const HYPER_MAX_HEADERS: usize = 100;
/// Read ahead of, and written behind, one HTTP/1 connection at most, each.
const HTTP1_BUFFER: usize = 256 * 1024;
const H2_STREAM_WINDOW: u32 = 64 * 1024;
/// h2 ends a whole connection when too many small unread DATA frames pile up on it: half of this window, in frames of
/// 256 bytes, that is 8,192.
const H2_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Calls that a client may begin and drop in one breath where it may have fewer open.
const H2_DROPPED: u32 = 100;
const H2_SEND_BUFFER: usize = 64 * 1024;
