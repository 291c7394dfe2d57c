//! The state that the workers of one listener share: the settings of the current configuration, which a reload replaces
//! without rebinding, and the ceilings, which outlive reloads.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::config::model::{Http2Keepalive, HttpVersion, Limits, Listener, ListenerId, TcpKeepalive};
use crate::listener::ceiling::Ceiling;
use crate::listener::tls::Tls;
use crate::listener::tls_error::TlsError;

/// Settings of a listener. A connection keeps those it began with.
#[derive(Debug)]
pub struct Settings {
    /// Which listener of the configuration.
    pub id: ListenerId,
    /// HTTP versions spoken.
    pub protocols: Vec<HttpVersion>,
    /// Ceilings and time limits.
    pub limits: Limits,
    /// How the kernel notices a client that vanished.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// PING frames to clients that speak HTTP/2.
    pub http2_keepalive: Option<Http2Keepalive>,
    /// Peers that must send a PROXY header.
    pub proxy_protocol: Vec<IpNet>,
    /// TLS termination.
    pub tls: Option<Arc<Tls>>,
}

impl Settings {
    /// Loads what `listener` asks for. The session tickets of `previous`, the same listener's settings before a reload,
    /// stay valid when its client certificate policy is unchanged.
    ///
    /// # Errors
    /// When a certificate, a key or a certificate authority cannot be used.
    pub fn load(id: ListenerId, listener: &Listener, previous: Option<&Self>) -> Result<Self, TlsError> {
        let before = previous.and_then(|settings| settings.tls.as_deref());
        let tls = match &listener.tls {
            Some(tls) => Some(Arc::new(Tls::load(tls, &listener.protocols, before)?)),
            None => None,
        };
        Ok(Self {
            id,
            protocols: listener.protocols.clone(),
            limits: listener.limits.clone(),
            tcp_keepalive: listener.tcp_keepalive,
            http2_keepalive: listener.http2_keepalive,
            proxy_protocol: listener.proxy_protocol.clone(),
            tls,
        })
    }

    /// Whether a peer must send a PROXY header, which is then believed.
    #[must_use]
    pub fn believes(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.proxy_protocol.iter().any(|net| net.contains(&peer))
    }
}

/// One listener as all workers see it. Made once per bound address.
#[derive(Debug)]
pub struct Shared {
    settings: ArcSwap<Settings>,
    pub(crate) ceiling: Arc<Ceiling>,
    held: AtomicBool,
}

impl Shared {
    /// A listener that starts with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings: ArcSwap::from_pointee(settings),
            ceiling: Arc::new(Ceiling::default()),
            held: AtomicBool::new(false),
        })
    }

    /// A listener whose clients wait in the kernel's queue until [`Shared::admit`].
    #[must_use]
    pub fn held(settings: Settings) -> Arc<Self> {
        let shared = Self::new(settings);
        shared.held.store(true, Ordering::Relaxed);
        shared
    }

    /// Lets the clients in.
    pub fn admit(&self) {
        // Release: a worker that accepts finds the settings that were stored before.
        self.held.store(false, Ordering::Release);
        self.ceiling.wake();
    }

    /// Accepts no more connections: another listener has the sockets, and accepts those in their queue.
    pub fn hold(&self) {
        self.held.store(true, Ordering::Release);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Replaces the settings for connections accepted from now on.
    pub fn replace(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
        // A ceiling may have been raised.
        self.ceiling.wake();
    }

    /// The settings of now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Connections open over all workers, tunnels included.
    #[must_use]
    pub fn open(&self) -> usize {
        self.ceiling.open()
    }
}
