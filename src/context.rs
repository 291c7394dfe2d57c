//! Facts that travel with a request: `Connection`, shared by every request of one connection, and (in time) `Context`,
//! owned by one request. Created early, each fact set once.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::task::{self, AbortHandle};

use crate::config::model::{ListenerId, TlsVersion};

mod client_certificate;
mod held_wakes;
mod identity;
mod lingering;
mod protected_fields;

pub use client_certificate::ClientCertificate;
pub use held_wakes::HeldWakes;
pub use identity::{Identity, Principal, PrincipalKind};
pub use lingering::Lingering;
pub use protected_fields::{ProtectedFields, all_spellings, strip_spellings};

/// Facts of one downstream connection.
#[derive(Debug)]
pub struct Connection {
    /// Listener it came in through.
    pub listener: ListenerId,
    /// The socket's peer, or the client that a trusted PROXY header named.
    pub peer: SocketAddr,
    /// Our address on this connection.
    pub local: SocketAddr,
    /// Facts of the TLS session, if there is one.
    pub tls: Option<TlsFacts>,
    /// Bytes a request head arrived with that must be refused although hyper accepts it; see `listener::scan`.
    pub verdict: Cell<Option<ScannerRefusal>>,
    /// The beginning of the first line of a head that the parser refused by itself.
    pub refused: RefCell<Option<Box<[u8]>>>,
    /// Set when nothing more is to be served on this connection, because the policy that admitted it has changed.
    pub spent: Cell<bool>,
    /// It carries HTTP where TLS is spoken, to be refused.
    pub plain_on_tls: Cell<bool>,
    /// Set when the connection is cut because the time to drain is over: the gateway then ended what was under way.
    pub cut: Cell<bool>,
    /// Requests answered so far.
    pub requests: Cell<u64>,
    /// Exchanges under way, from the request head to the end of the answer's body. A connection with any is never idle.
    pub active: Cell<u32>,
    /// Of those, streams: event streams, gRPC streams.
    pub streams: Cell<u32>,
    /// What clients still send of requests that nobody reads any more; only where streams end one by one (HTTP/2).
    pub lingering: OnceCell<Box<Lingering>>,
    /// By which it is woken; only where one exchange runs at a time (HTTP/1).
    pub wakes: OnceCell<HeldWakes>,
    /// The last host that was asked for.
    host: RefCell<Option<Rc<str>>>,
    text: OnceCell<ConnectionText>,
    port: OnceCell<(u16, HeaderValue)>,
    tasks: RefCell<Tasks>,
}

/// The tasks of an HTTP/2 connection's streams.
#[derive(Debug, Default)]
struct Tasks {
    running: HashMap<task::Id, AbortHandle>,
    tidy_at: usize,
}

/// Facts of a connection as header values, made once.
#[derive(Debug)]
pub struct ConnectionText {
    /// The peer's address.
    pub peer: HeaderValue,
}

impl Connection {
    /// A connection without requests yet.
    #[must_use]
    pub fn new(listener: ListenerId, peer: SocketAddr, local: SocketAddr, tls: Option<TlsFacts>) -> Self {
        Self {
            listener,
            peer,
            local,
            tls,
            verdict: Cell::new(None),
            refused: RefCell::default(),
            spent: Cell::new(false),
            plain_on_tls: Cell::new(false),
            cut: Cell::new(false),
            requests: Cell::new(0),
            active: Cell::new(0),
            streams: Cell::new(0),
            lingering: OnceCell::new(),
            wakes: OnceCell::new(),
            host: RefCell::default(),
            text: OnceCell::new(),
            port: OnceCell::new(),
            tasks: RefCell::default(),
        }
    }

    /// Takes note of the task of one of its streams.
    pub fn own(&self, task: AbortHandle) {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.running.len() >= tasks.tidy_at {
            tasks.running.retain(|_, task| !task.is_finished());
            tasks.tidy_at = tasks.running.len() * 2 + 8;
        }
        tasks.running.insert(task.id(), task);
    }

    /// Ends the task of one of its streams.
    pub fn abort(&self, task: task::Id) {
        let task = self.tasks.borrow_mut().running.remove(&task);
        if let Some(task) = task {
            task.abort();
        }
    }

    /// Lets go of tasks that are over, and of the present one, which is about to be: a handle keeps the memory of its
    /// task.
    fn forget_finished(&self) {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.running.is_empty() {
            return;
        }
        let present = task::try_id();
        tasks.running.retain(|id, task| Some(*id) != present && !task.is_finished());
        if tasks.running.is_empty() {
            *tasks = Tasks::default();
        }
    }

    /// Its facts as header values.
    #[must_use]
    pub fn text(&self) -> &ConnectionText {
        self.text.get_or_init(|| ConnectionText { peer: address_value(self.peer_ip()) })
    }

    /// A `Host` field as text; `None` when it is none. The last value is kept, because nearly all requests of a
    /// connection ask for the same host, and text is looked at byte by byte.
    #[must_use]
    pub fn host_text(&self, value: &HeaderValue) -> Option<Rc<str>> {
        let mut last = self.host.borrow_mut();
        if let Some(known) = last.as_ref().filter(|known| known.as_bytes() == value.as_bytes()) {
            return Some(Rc::clone(known));
        }
        let text: Rc<str> = value.to_str().ok()?.into();
        if text.len() <= KEPT_HOST {
            *last = Some(Rc::clone(&text));
        }
        Some(text)
    }

    /// A port as a header value. The first value is kept, because nearly all requests of a connection need the same
    /// one.
    #[must_use]
    pub fn port_value(&self, port: u16) -> HeaderValue {
        let made = || (port, HeaderValue::from(port));
        match self.port.get_or_init(made) {
            (known, value) if *known == port => value.clone(),
            _ => HeaderValue::from(port),
        }
    }

    /// Address of the peer with an IPv4-mapped IPv6 address unmapped.
    #[must_use]
    pub fn peer_ip(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    /// Marks an exchange as under way until the guard is dropped. The guard must live as long as the answer's body, so
    /// it belongs into it: a connection without one is taken to be idle, gives its buffers back and is closed in time.
    #[must_use]
    pub fn begin(self: &Rc<Self>) -> Underway {
        self.active.set(self.active.get().saturating_add(1));
        Underway(Rc::clone(self))
    }
}

/// A name of 253 bytes with its port.
const KEPT_HOST: usize = 260;

/// An exchange under way; see [`Connection::begin`].
#[derive(Debug)]
pub struct Underway(Rc<Connection>);

impl Drop for Underway {
    fn drop(&mut self) {
        let active = self.0.active.get().saturating_sub(1);
        self.0.active.set(active);
        self.0.requests.set(self.0.requests.get().saturating_add(1));
        if active == 0 {
            self.0.forget_finished();
        }
    }
}

/// What tells clients apart by their addresses: the address, or the network of IPv6, whose addresses one client can all
/// use.
#[must_use]
pub fn network(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or_default(),
    }
}

/// Facts of a finished downstream TLS handshake.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// Server name the client asked for, lower case.
    pub server_name: Option<Box<str>>,
    /// Version agreed on.
    pub version: TlsVersion,
    /// Whether the session was resumed.
    pub resumed: bool,
    /// Whether a client certificate was verified.
    pub client_verified: bool,
    /// The names in that certificate.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// A refusal found in the raw head of the request at position `request` (counted from zero) of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannerRefusal {
    /// Which request of the connection.
    pub request: u64,
    /// Reason word, for example `length_and_encoding`.
    pub reason: &'static str,
    /// What the answer is.
    pub refusal: Refusal,
}

/// Reason word of a request that came in the clear where TLS is spoken.
pub const PLAIN_ON_TLS: &str = "plain_http_on_tls_port";
/// Reason word of a TLS handshake that came where HTTP is spoken in the clear.
pub const TLS_ON_CLEARTEXT: &str = "tls_on_cleartext_port";

/// How long a client may go on sending after its answer is over, before its connection or stream is closed.
pub const LINGER_TIME: Duration = Duration::from_secs(2);
/// How much of that is read and thrown away.
pub const LINGER_BYTES: u64 = 16 * 1024 * 1024;

/// Status of the answer to a head that must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400.
    BadRequest,
    /// 414.
    TargetTooLong,
    /// 431.
    HeadTooLarge,
}

/// An address as a header value.
#[must_use]
pub fn address_value(address: IpAddr) -> HeaderValue {
    // An address is digits, letters, dots and colons, which every header value may hold.
    HeaderValue::try_from(address.to_string()).unwrap_or_else(|_illegal| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use tokio::task::{spawn_local, yield_now};

    use super::*;

    #[test]
    fn a_host_is_what_was_asked_for_this_time() {
        let address = ([127, 0, 0, 1], 1).into();
        let connection = Connection::new(ListenerId(0), address, address, None);
        let long = "x".repeat(10_000);
        for host in ["a.example", "a.example", "b.example:80", "a.example", "", &long, "a.example"] {
            let text = connection.host_text(&HeaderValue::from_str(host).unwrap());
            assert_eq!(text.as_deref(), Some(host));
            assert!(connection.host.borrow().as_ref().is_some_and(|kept| kept.len() <= KEPT_HOST));
        }
        assert_eq!(connection.host_text(&HeaderValue::from_bytes(b"\xe4").unwrap()), None);
    }

    #[tokio::test(flavor = "local")]
    async fn no_task_is_kept_once_nothing_is_under_way() {
        let address = ([127, 0, 0, 1], 1).into();
        let connection = Rc::new(Connection::new(ListenerId(0), address, address, None));
        let begin = |hold: bool| {
            let exchange = connection.begin();
            let task = spawn_local(async move {
                if hold {
                    std::future::pending::<()>().await;
                }
                drop(exchange);
            });
            let id = task.id();
            connection.own(task.abort_handle());
            id
        };
        let stuck = begin(true);
        for _ in 0..5 {
            begin(false);
        }
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(connection.active.get(), 1);
        connection.abort(stuck);
        begin(false);
        yield_now().await;
        yield_now().await;
        assert_eq!(connection.active.get(), 0);
        assert!(connection.tasks.borrow().running.is_empty());
    }
}
