//! HTTP/2 connections: each is driven by a task of its own and shared by many streams.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::io::{Heard, UpstreamIo};
use super::quota::{self, IdlePermits, Quotas};
use crate::body::RequestBody;
use crate::config::model::Http2Keepalive;
use crate::error::Error;

/// A connection many streams share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    sender: http2::SendRequest<RequestBody>,
    state: Rc<State>,
}

#[derive(Debug)]
struct State {
    streams: Cell<usize>,
    driver: Driven,
    /// What was heard of the endpoint.
    heard: Rc<Heard>,
    /// Whether it spoke HTTP/2 at all: its settings came.
    greeted: Rc<Cell<bool>>,
    terms: ConnectionSettings,
    /// Streams carried so far.
    served: Cell<u32>,
    /// Set while no stream is open.
    idle_permits: Rc<RefCell<IdlePermits>>,
    idle_since: Cell<Instant>,
    task: AbortHandle,
}

/// The settings of a connection from its start.
#[derive(Debug)]
pub(super) struct ConnectionSettings {
    /// The scheme of its requests.
    pub(super) https: bool,
    /// Streams it may carry in all.
    pub(super) max_requests: Option<u32>,
    /// The ceilings it falls under.
    pub(super) quotas: Quotas,
    /// PING frames while it is silent and has streams.
    pub(super) pings: Option<Http2Keepalive>,
}

/// A connection as hyper drives it; `None` once it has ended.
type Driven = Rc<RefCell<Option<Driver>>>;

impl Drop for State {
    /// The last owner is gone: no stream is open and the pool has let go of the connection.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Starts HTTP/2 on `io` and takes the place of a first stream.
    pub(super) async fn handshake(io: UpstreamIo, terms: ConnectionSettings) -> Result<Lease, Error> {
        let (io, heard) = io.heard();
        let (io, idle_permits) = io.resting();
        let mut builder = http2::Builder::new(LocalSpawn);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .adaptive_window(false)
            .max_header_list_size(MAX_HEAD)
            .initial_max_send_streams(UNKNOWN)
            .keep_alive_while_idle(false);
        if let Some(pings) = terms.pings {
            builder.keep_alive_interval(pings.interval).keep_alive_timeout(pings.timeout);
        }
        let (sender, driver) = builder.handshake(TokioIo::new(io)).await.map_err(Error::UpstreamReset)?;
        let driver = Rc::new(RefCell::new(Some(driver)));
        let greeted = Rc::new(Cell::new(false));
        let task = tokio::task::spawn_local(drive(Rc::clone(&driver), Rc::clone(&heard), Rc::clone(&greeted)));
        let idle_since = Cell::new(Instant::now());
        let state = State {
            streams: Cell::new(0),
            driver,
            heard,
            greeted,
            idle_since,
            terms,
            served: Cell::new(0),
            idle_permits,
            task: task.abort_handle(),
        };
        let shared = Self { sender, state: Rc::new(state) };
        Ok(shared.enter())
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed() && !self.state.heard.ended.get()
    }

    /// False when it is closed, or has carried no stream for `limit`.
    pub(super) fn is_worth_keeping(&self, now: Instant, limit: std::time::Duration) -> bool {
        let busy = !self.is_idle();
        self.is_open() && (busy || now.saturating_duration_since(self.state.idle_since.get()) < limit)
    }

    /// A place for one more stream, if there is room. More streams than the endpoint takes would wait inside h2 until
    /// others end, which event streams may never do; so until its settings are known there is room for one.
    pub(super) fn lease(&self) -> Option<Lease> {
        let room = self.room().unwrap_or(1);
        (self.state.streams.get() < room && !self.is_spent()).then(|| self.enter())
    }

    /// Whether no stream is open.
    pub(super) fn is_idle(&self) -> bool {
        self.state.streams.get() == 0
    }

    /// Whether it has carried all it may.
    pub(super) fn is_spent(&self) -> bool {
        let limit = self.state.terms.max_requests;
        limit.is_some_and(|limit| self.state.served.get() >= limit)
    }

    /// Ends when it is known how many streams there is room for, or the connection has ended.
    pub(super) async fn settled(&self) {
        loop {
            // h2 takes the settings in before it lets go of the thread that read them.
            let heard = self.state.heard.read.notified();
            if self.is_settled() {
                return;
            }
            heard.await;
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.room().is_some()
    }

    /// Streams the endpoint takes at once; `None` until it has told its settings.
    fn room(&self) -> Option<usize> {
        let driver = self.state.driver.try_borrow().ok()?;
        let streams = driver.as_ref().map_or(0, Driver::current_max_send_streams);
        (streams != UNKNOWN).then(|| streams.min(MAX_STREAMS))
    }

    fn enter(&self) -> Lease {
        let state = &self.state;
        state.streams.set(state.streams.get() + 1);
        state.served.set(state.served.get().saturating_add(1));
        drop(state.idle_permits.take());
        Lease { shared: self.clone() }
    }
}

/// Runs a connection.
async fn drive(driver: Driven, heard: Rc<Heard>, greeted: Rc<Cell<bool>>) {
    let end = poll_fn(|cx| match driver.borrow_mut().as_mut() {
        Some(driver) => {
            let polled = Pin::new(&mut *driver).poll(cx);
            if !greeted.get() {
                greeted.set(driver.current_max_send_streams() != UNKNOWN);
            }
            polled
        }
        None => Poll::Ready(Ok(())),
    })
    .await;
    driver.take();
    heard.read.notify_waiters();
    if let Err(error) = end {
        tracing::debug!(%error, "upstream HTTP/2 connection ended");
    }
}

type Driver = http2::Connection<TokioIo<UpstreamIo>, RequestBody, LocalSpawn>;

/// The place of one stream on a connection; given back when dropped, at the end of the response body.
#[derive(Debug)]
pub(super) struct Lease {
    shared: Shared,
}

impl Lease {
    pub(super) fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Sends the request in `slot` and waits for the response head, with which the place comes back.
    pub(super) async fn send(
        mut self,
        slot: &mut Option<Request<RequestBody>>,
    ) -> Result<(Response<Incoming>, Self), Error> {
        let mut request = slot.take().ok_or_else(|| Error::Internal)?;
        to_http2(&mut request, self.shared.state.terms.https);
        // HTTP/1.1 asks for the body at once, HTTP/2 only when there is room for it.
        request.body().offer();
        match self.shared.sender.try_send_request(request).await {
            Ok(response) => Ok((response, self)),
            Err(mut refused) => {
                *slot = refused.take_message().map(|mut request| {
                    to_origin_form(&mut request);
                    request
                });
                let state = &self.shared.state;
                Err(classify(refused.into_error(), state.greeted.get(), state.terms.https))
            }
        }
    }
}

/// The target and the Host field become pseudo-fields (RFC 9113 section 8.3.1).
fn to_http2(request: &mut Request<RequestBody>, https: bool) {
    *request.version_mut() = http::Version::HTTP_2;
    request.headers_mut().remove(http::header::CONNECTION);
    let host = request.headers_mut().remove(http::header::HOST);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if https { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP });
    parts.authority = host
        .and_then(|host| http::uri::Authority::from_maybe_shared(host).ok())
        .or(parts.authority)
        .or_else(|| Some(http::uri::Authority::from_static("localhost")));
    if let Ok(uri) = http::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// The way back, for a request that goes elsewhere: the next connection may speak HTTP/1.1.
fn to_origin_form(request: &mut Request<RequestBody>) {
    *request.version_mut() = http::Version::HTTP_11;
    let parts = std::mem::take(request.uri_mut()).into_parts();
    if let Some(authority) = parts.authority
        && let Ok(host) = http::HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(http::header::HOST, host);
    }
    if request.headers().contains_key(http::header::TE) {
        let option = http::HeaderValue::from_static("te");
        request.headers_mut().insert(http::header::CONNECTION, option);
    }
    if let Some(target) = parts.path_and_query {
        *request.uri_mut() = http::Uri::from(target);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let state = &self.shared.state;
        state.streams.set(state.streams.get() - 1);
        if state.streams.get() > 0 {
            // There is room again.
            quota::ring(&state.terms.quotas);
        } else {
            state.idle_since.set(Instant::now());
            state.idle_permits.replace(quota::rest(&state.terms.quotas));
        }
    }
}

/// Sorts hyper's errors into ours. A stream the endpoint refused, or that came after its GOAWAY, was never worked on
/// (RFC 9113 sections 6.8 and 8.7).
fn classify(error: hyper::Error, greeted: bool, https: bool) -> Error {
    let refused = h2_error(&error).is_some_and(|cause| {
        // Only streams above the one a GOAWAY names end with it, whatever its code; the others end with the connection.
        cause.reason() == Some(h2::Reason::REFUSED_STREAM) || (cause.is_go_away() && cause.is_remote())
    });
    if refused {
        Error::StreamRefused(error)
    } else if h2_error(&error).is_some_and(is_nonsense) {
        if !greeted {
            let advice = if https { NO_HTTP2_OVER_TLS } else { NO_HTTP2 };
            return Error::UpstreamInvalid(advice, Some(error));
        }
        Error::UpstreamInvalid("not a valid HTTP/2 response", Some(error))
    } else if !greeted && io_error(&error).is_some_and(is_end) {
        Error::UpstreamInvalid(CLOSED, Some(error))
    } else {
        Error::UpstreamReset(error)
    }
}

/// Whether we gave a connection up because what came is no HTTP/2. The first bytes of an HTTP/1.1 answer are taken for
/// a frame far too large.
pub(super) fn is_nonsense(error: &h2::Error) -> bool {
    let nonsense = [h2::Reason::PROTOCOL_ERROR, h2::Reason::FRAME_SIZE_ERROR];
    !error.is_remote() && error.reason().is_some_and(|reason| nonsense.contains(&reason))
}

/// Whether the endpoint closed in order. Some servers answer so to a version they do not speak.
pub(super) fn is_close(error: &h2::Error) -> bool {
    error.get_io().is_some_and(is_end)
}

/// h2's word for the end of what is read; the system's own has a number.
fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe && error.raw_os_error().is_none()
}

/// hyper takes errors of the connection out of those of h2.
fn io_error(error: &hyper::Error) -> Option<&io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref() {
            return Some(found);
        }
        cause = current.source();
    }
    None
}

/// Spawns hyper's helper futures on this worker.
#[derive(Clone, Copy, Debug)]
struct LocalSpawn;

impl<F> hyper::rt::Executor<F> for LocalSpawn
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(future));
    }
}

/// What to do about an endpoint that answers in HTTP/1.1.
pub(super) const NO_HTTP2: &str = "the endpoint does not speak HTTP/2: take `protocol: h2c` out";
/// The same, where it only closes.
pub(super) const CLOSED: &str = "closed without a word of HTTP/2; if it speaks none, take `protocol: h2c` out";
const NO_HTTP2_OVER_TLS: &str = "the endpoint does not speak HTTP/2: take `protocol: h2` out";
/// Unread bytes an endpoint may have under way on one stream.
const STREAM_WINDOW: u32 = 64 * 1024;
/// h2 ends a whole connection when too many small unread DATA frames pile up on it, and derives that budget from half
/// of this window. With 64 streams of 64 KiB a reader that stalls on small events must not cut the other streams, so
/// the window is far larger than what the streams can fill.
const CONNECTION_WINDOW: u32 = 256 * 1024 * 1024;
/// Stands for a stream limit the endpoint has not told yet. No endpoint can mean it: limits have 32 bits.
const UNKNOWN: usize = usize::MAX - 1;
/// Streams per connection; beyond that another connection is opened.
const MAX_STREAMS: usize = 64;
/// A response head may be this large.
const MAX_HEAD: u32 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::pool::tests::transport;

    /// An endpoint that answers SETTINGS and PING and nothing else, and counts the PINGs.
    async fn silent(mut socket: TcpStream, pings: Rc<Cell<u32>>) {
        let mut preface = [0; 24];
        socket.read_exact(&mut preface).await.unwrap();
        socket.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        loop {
            let mut head = [0; 9];
            if socket.read_exact(&mut head).await.is_err() {
                return;
            }
            let mut payload = vec![0; u16::from_be_bytes([head[1], head[2]]).into()];
            socket.read_exact(&mut payload).await.unwrap();
            let (kind, flags) = (head[3], head[4]);
            if flags & 1 == 1 || !matches!(kind, 4 | 6) {
                continue;
            }
            pings.set(pings.get() + u32::from(kind == 6));
            head[4] = 1;
            if kind == 4 {
                (head[1], head[2]) = (0, 0);
                payload.clear();
            }
            let answer = [&head[..], &payload].concat();
            socket.write_all(&answer).await.unwrap();
        }
    }

    /// Lets seconds of a paused clock pass, with time between two for what comes over sockets: a runtime that sleeps
    /// would not wait for that.
    async fn pass(seconds: u32) {
        for _ in 0..seconds {
            tokio::time::advance(Duration::from_secs(1)).await;
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// That PINGs are sent where they are asked for is tested through the front door: hyper reckons by a clock that is
    /// not paused.
    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_silent_for_long_meets_no_ping() {
        let count = Rc::new(Cell::new(0));
        let counted = Rc::clone(&count);
        let call = async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let tcp = TcpStream::connect(address).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(silent(server, counted));
            let io = UpstreamIo::plain(tcp, transport().handles.connected());
            let terms = ConnectionSettings { https: false, max_requests: None, quotas: Quotas::default(), pings: None };
            let lease = Shared::handshake(io, terms).await.unwrap();
            let mut slot = Some(Request::new(RequestBody::Empty));
            tokio::select! {
                biased;
                sent = lease.send(&mut slot) => panic!("the call ended: {sent:?}"),
                () = pass(600) => {}
            }
        };
        tokio::task::LocalSet::new().run_until(call).await;
        assert_eq!(count.get(), 0);
    }

    #[test]
    fn a_request_that_comes_back_is_what_it_was() {
        for target in ["/a?b=c", "/", "*"] {
            let mut request = Request::new(RequestBody::Empty);
            *request.uri_mut() = target.parse().unwrap();
            let host = http::HeaderValue::from_static("agent.example:8080");
            request.headers_mut().insert(http::header::HOST, host);
            for _ in 0..2 {
                to_http2(&mut request, true);
                assert_eq!(request.uri().host(), Some("agent.example"), "{target}");
                to_http2(&mut request, true);
                assert_eq!(request.uri().host(), Some("agent.example"), "kept");
                to_origin_form(&mut request);
                assert_eq!(request.uri(), target);
                assert_eq!(request.version(), http::Version::HTTP_11);
                assert_eq!(request.headers()[http::header::HOST], "agent.example:8080");
            }
        }
    }
}
