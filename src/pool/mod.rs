//! Connections to one endpoint, owned by one worker: opened, kept while idle, checked before reuse, lent to one
//! exchange at a time (HTTP/1.1) or shared by streams (HTTP/2). It must never know which cluster or request it serves.

mod addresses;
mod claim;
mod connect;
mod deferred_waker;
mod dial;
mod exchange;
mod h1;
mod h2;
mod io;
mod kept_client;
mod long_head;
mod pinned;
mod promise;
mod queue;
mod quota;
pub(crate) mod scan;
pub mod tcp;
mod tls;
mod tls_words;
mod web_client;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, timeout};

use crate::body::RequestBody;
use crate::config::model::{Http2Keepalive, TcpKeepalive, UpstreamProtocol};
use crate::error::Error;
use crate::observe::handles::ClusterHandles;
use claim::Acquired;

pub use dial::{DialError, DialLimits, DialedResponse, Dialer, Peer, Question, UnusedConnection};
pub use exchange::ResponseBody;
pub use io::{Detached, UpstreamIo};
pub use kept_client::KeptClient;
pub use queue::{Line, Queue};
pub use quota::{ConnectionPermit, Quota};
pub use tls::{ClientTls, ClientTlsError};
pub use web_client::WebClient;

/// How connections of a cluster are made; shared by this worker's pools of its endpoints.
#[derive(Debug)]
pub struct Transport {
    /// HTTP version spoken.
    pub version: Version,
    /// TLS settings, if connections use it.
    pub tls: Option<ClientTls>,
    /// TCP connect.
    pub connect_timeout: Duration,
    /// TLS handshake.
    pub handshake_timeout: Duration,
    /// An idle connection is closed after this.
    pub idle_timeout: Duration,
    /// Idle connections kept.
    pub max_idle: usize,
    /// How the kernel notices an endpoint that vanished.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// PING frames on HTTP/2 connections.
    pub http2_keepalive: Option<Http2Keepalive>,
    /// Requests one connection carries before it is closed.
    pub max_requests: Option<u32>,
    /// The cluster's ceiling on connections.
    pub quota: Option<Arc<Quota>>,
    /// Counts connections.
    pub handles: ClusterHandles,
}

/// HTTP version towards an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, whether agreed on by ALPN or known beforehand.
    Http2,
    /// The version from ALPN; without TLS HTTP/1.1.
    Negotiated,
}

impl From<UpstreamProtocol> for Version {
    fn from(protocol: UpstreamProtocol) -> Self {
        match protocol {
            UpstreamProtocol::Http1 => Self::Http1,
            UpstreamProtocol::H2 | UpstreamProtocol::H2c => Self::Http2,
            UpstreamProtocol::Auto => Self::Negotiated,
        }
    }
}

/// The connections of one worker to one endpoint.
#[derive(Debug)]
pub struct Pool {
    address: SocketAddr,
    host: Box<str>,
    transport: RefCell<Rc<Transport>>,
    /// The endpoint's own ceiling on connections.
    quota: RefCell<Option<Arc<Quota>>>,
    /// The queue for a connection to this endpoint.
    line: Line,
    waiting: Cell<usize>,
    idle: RefCell<Vec<h1::Idle>>,
    shared: RefCell<Vec<h2::Shared>>,
    /// No cluster has the endpoint any more.
    retired: Cell<bool>,
    opening: tokio::sync::Mutex<()>,
    /// Results of opening connections one after the other, for the requests that waited.
    outcome: RefCell<DialHistory>,
}

/// Facts from opening connections whose version is not known beforehand.
#[derive(Debug, Default)]
struct DialHistory {
    /// ALPN chose HTTP/1.1, so no request waits for a connection to share.
    http1: bool,
    /// Failures so far, and the last of them.
    failures: u64,
    last: Option<connect::Failure>,
}

impl Pool {
    /// A pool for the endpoint at `address`, called `host` (for TLS; without a port), with its own ceiling on
    /// connections if it has one.
    #[must_use]
    pub fn new(address: SocketAddr, host: &str, transport: Rc<Transport>, quota: Option<Arc<Quota>>) -> Self {
        Self {
            address,
            host: host.into(),
            transport: RefCell::new(transport),
            quota: RefCell::new(quota),
            line: Line::default(),
            waiting: Cell::new(0),
            idle: RefCell::default(),
            shared: RefCell::default(),
            retired: Cell::new(false),
            opening: tokio::sync::Mutex::default(),
            outcome: RefCell::default(),
        }
    }

    /// Opens connections by these settings from now on, and keeps them.
    pub fn update(&self, transport: Rc<Transport>, quota: Option<Arc<Quota>>) {
        self.retired.set(false);
        self.transport.replace(transport);
        self.quota.replace(quota);
    }

    fn transport(&self) -> Rc<Transport> {
        Rc::clone(&self.transport.borrow())
    }

    /// Sends the request in `slot` over a kept or a new connection and waits for the response head. `now` is the
    /// worker's clock; after `end` it waits no longer for a place of a connection, so that what runs out then is not
    /// the endpoint's time. A request that asks to switch protocols (`upgrade`) needs HTTP/1.1, also where ALPN would
    /// come to HTTP/2 (RFC 9110 section 7.8). Dropping the future cancels the exchange: an HTTP/1.1 connection is
    /// closed, an HTTP/2 stream reset.
    ///
    /// # Errors
    /// The request is in `slot` again when nothing of it can have been sent.
    pub async fn send(
        self: &Rc<Self>,
        slot: &mut Option<Request<RequestBody>>,
        now: Instant,
        upgrade: bool,
        end: Option<Instant>,
    ) -> Result<Response<ResponseBody>, Error> {
        let kept = if self.line.is_empty() { self.take_idle(now) } else { None };
        match kept {
            Some(kept) => Ok(ResponseBody::h1(kept.send(slot).await?, self)),
            // The rest is large and rare, or shares a connection: a box costs it little.
            None => Box::pin(self.send_otherwise(slot, now, upgrade, end)).await,
        }
    }

    async fn send_otherwise(
        self: &Rc<Self>,
        slot: &mut Option<Request<RequestBody>>,
        now: Instant,
        upgrade: bool,
        end: Option<Instant>,
    ) -> Result<Response<ResponseBody>, Error> {
        let http1 = upgrade && self.transport.borrow().version == Version::Negotiated;
        if !http1
            && self.line.is_empty()
            && let Some(shared) = self.take_shared()
        {
            return Ok(ResponseBody::h2(shared.send(slot).await?));
        }
        match self.open(http1, now, end).await? {
            connect::Opened::H1(fresh) => Ok(ResponseBody::h1(fresh.send(slot).await?, self)),
            connect::Opened::H2(shared) => Ok(ResponseBody::h2(shared.send(slot).await?)),
        }
    }

    /// Closes connections that have been idle for too long or that the endpoint closed. Called now and then.
    pub fn sweep(&self, now: Instant) {
        let limit = self.transport().idle_timeout;
        let mut idle = self.idle.borrow_mut();
        unbudgeted(|| {
            idle.retain_mut(|idle| idle.is_fresh(now, limit) && idle.conn.is_alive());
        });
        self.shared.borrow_mut().retain(|shared| shared.is_worth_keeping(now, limit));
    }

    /// Keeps no connection from now on, because the endpoint gets no more requests. Running exchanges go on to their
    /// end.
    pub fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        self.shared.borrow_mut().clear();
    }

    /// Whether no connection is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty() && self.shared.borrow().is_empty()
    }

    /// Takes the most recently used connection that is still alive.
    fn take_idle(&self, now: Instant) -> Option<h1::Connection> {
        let limit = self.transport.borrow().idle_timeout;
        loop {
            let idle = self.idle.borrow_mut().pop()?;
            let fresh = idle.is_fresh(now, limit);
            let (mut conn, idle_permits) = (idle.conn, idle.idle_permits);
            if fresh && conn.is_alive() {
                return Some(conn);
            }
            drop(conn);
            drop(idle_permits);
        }
    }

    fn take_shared(&self) -> Option<h2::Lease> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(h2::Shared::is_open);
        let lease = shared.iter().filter_map(h2::Shared::lease).next();
        // A connection that may carry no more requests belongs to its streams, and ends with them.
        shared.retain(|shared| !shared.is_spent());
        lease
    }

    /// As `take_shared`, but first lets a connection that was opened just now learn how much room it has.
    async fn take_settled(&self, limit: Duration) -> Option<h2::Lease> {
        let fresh = |shared: &&h2::Shared| !shared.is_settled();
        let unsettled = self.shared.borrow().iter().find(fresh).cloned();
        if let Some(unsettled) = unsettled {
            // An endpoint that never tells gets another connection for each stream.
            timeout(limit, unsettled.settled()).await.ok();
        }
        self.take_shared()
    }

    fn keep(&self, conn: h1::Connection) {
        let mut idle = self.idle.borrow_mut();
        let transport = self.transport.borrow();
        let spent = transport.max_requests.is_some_and(|limit| conn.served() >= limit);
        let has_room = !self.retired.get() && idle.len() < transport.max_idle;
        if has_room && !spent && conn.is_kept() && !self.is_wanted_elsewhere() {
            conn.rest();
            idle.push(h1::Idle { conn, since: Instant::now(), idle_permits: quota::rest(&self.quotas()) });
        }
    }

    async fn open(&self, http1: bool, now: Instant, end: Option<Instant>) -> Result<connect::Opened, Error> {
        let transport = self.transport();
        let waits = transport.may_share() && !self.outcome.borrow().http1;
        if http1 || !waits {
            return match self.way(http1, now, end).await? {
                Acquired::Kept(kept) => Ok(kept),
                Acquired::New(places) => self.connect(&transport, http1, places).await,
            };
        }
        // One at a time: the next caller most likely finds room on the connection opened by this one.
        let failures = self.outcome.borrow().failures;
        let turn = self.opening.lock().await;
        if let Some(lease) = self.take_settled(transport.handshake_timeout).await {
            return Ok(connect::Opened::H2(lease));
        }
        if let Some(failure) = self.outcome.borrow().since(failures) {
            return Err(failure);
        }
        let mut turn = Some(turn);
        let places = match self.places() {
            Some(places) => places,
            None => {
                // A request that waits for a permit must not keep others from one.
                drop(turn.take());
                match self.way(http1, now, end).await? {
                    Acquired::Kept(kept) => return Ok(kept),
                    Acquired::New(places) => places,
                }
            }
        };
        if self.outcome.borrow().http1 {
            drop(turn.take());
        }
        let opened = self.connect(&transport, http1, places).await;
        if let Err(error) = &opened {
            self.outcome.borrow_mut().failed(error);
        }
        drop(turn);
        opened
    }

    async fn connect(
        &self,
        transport: &Transport,
        http1: bool,
        places: quota::ConnectionPermits,
    ) -> Result<connect::Opened, Error> {
        let quotas = self.quotas();
        let permit = connect::NewConnectionPermit { places, quotas };
        let opened = connect::open(self.address, &self.host, transport, http1, permit).await?;
        if http1 {
            return Ok(opened);
        }
        if let connect::Opened::H2(lease) = &opened
            && !lease.shared().is_spent()
        {
            self.shared.borrow_mut().push(lease.shared());
        }
        self.outcome.borrow_mut().http1 = matches!(opened, connect::Opened::H1(_));
        Ok(opened)
    }
}

impl Transport {
    /// Whether a new connection may turn out to be one that streams share.
    fn may_share(&self) -> bool {
        match self.version {
            Version::Http1 => false,
            Version::Http2 => true,
            Version::Negotiated => self.tls.is_some(),
        }
    }
}

impl DialHistory {
    fn failed(&mut self, error: &Error) {
        self.failures += 1;
        self.last = connect::Failure::of(error);
    }

    /// The failure that happened while someone waited who had seen so many `failures`.
    fn since(&self, failures: u64) -> Option<Error> {
        let last = self.last.as_ref().filter(|_| self.failures != failures)?;
        Some(last.again())
    }
}

/// Runs `look` without tokio's budget for one task, beyond which every socket says that nothing has happened on it.
fn unbudgeted(look: impl FnOnce()) {
    let mut look = Some(look);
    let task = poll_fn(|_| {
        if let Some(look) = look.take() {
            look();
        }
        Poll::Ready(())
    });
    let done = pin!(unconstrained(task)).poll(&mut Context::from_waker(Waker::noop()));
    debug_assert!(done.is_ready(), "it waits for nothing");
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::observe::metrics::Metrics;

    pub(super) const LONG: Duration = Duration::from_secs(20);

    pub(super) fn transport() -> Transport {
        Transport {
            version: Version::Http1,
            tls: None,
            connect_timeout: LONG,
            handshake_timeout: LONG,
            idle_timeout: LONG,
            max_idle: 1000,
            tcp_keepalive: None,
            http2_keepalive: None,
            max_requests: None,
            quota: None,
            handles: ClusterHandles::new(&Metrics::new(&[1.0]).unwrap(), "one"),
        }
    }

    #[tokio::test]
    async fn one_sweep_sees_every_idle_connection() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let transport = transport();
        let pool = Pool::new(address, "agent", Rc::new(transport), None);
        for _ in 0..300 {
            let tcp = TcpStream::connect(address).await.unwrap();
            drop(listener.accept().await.unwrap());
            tcp.readable().await.unwrap();
            let io = UpstreamIo::plain(tcp, pool.transport().handles.connected());
            pool.keep(h1::Connection::handshake(io).await.unwrap());
        }
        pool.sweep(Instant::now());
        assert_eq!(pool.idle.borrow().len(), 0, "all had been closed");
    }
}
