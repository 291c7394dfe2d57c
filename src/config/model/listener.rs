//! Entry points: addresses, TLS, and where they redirect to.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use ipnet::IpNet;

use super::{
    Catalog, HeaderChanges, HostPattern, Http2Keepalive, HttpVersion, IpAccess, Limits, ListenerId, ListenerTls,
    PathPolicy, PublicUrl, TcpKeepalive,
};

/// One entry point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the file.
    pub name: String,
    /// Where it binds.
    pub address: SocketAddr,
    /// HTTP versions spoken, in ALPN order. On cleartext, `H2` means prior knowledge (h2c).
    pub protocols: Vec<HttpVersion>,
    /// Where clients see it. A listener that redirects without one of its own has that of the listener it leads to.
    pub public_url: Option<Box<PublicUrl>>,
    /// Set when the listener redirects to HTTPS.
    pub https_redirect: Option<HttpsRedirect>,
    /// Set when the listener terminates TLS.
    pub tls: Option<ListenerTls>,
    /// Ceilings and time limits.
    pub limits: Limits,
    /// How the kernel notices a client that vanished; `None` means it does not.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// PING frames over HTTP/2; `None` means none.
    pub http2_keepalive: Option<Http2Keepalive>,
    /// Peers whose PROXY protocol header is required and believed; empty means off.
    pub proxy_protocol: Vec<IpNet>,
    /// How paths are normalised before matching and forwarding.
    pub paths: PathPolicy,
    /// Which addresses of clients are served; `None` means all.
    pub ip_access: Option<Box<IpAccess>>,
    /// Header changes of answers that no route made: what its routes have in common.
    pub unrouted_headers: HeaderChanges,
    /// The list of agents it serves.
    pub catalog: Option<Catalog>,
}

/// A redirect of requests over HTTP to HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// Port of the HTTPS listener, where no public URL says what clients use; left out of `Location` when it is 443.
    pub port: u16,
    /// The listener with the routes for clients that a trusted proxy reports to be on HTTPS already.
    pub serves: ListenerId,
    /// A fixed status; `None` means 301 for GET and HEAD and 308 for the rest.
    pub status: Option<StatusCode>,
    /// Hosts that may be redirected to: the hosts of the target's routes and certificates. Empty means any valid host.
    pub hosts: Vec<HostPattern>,
}

impl HttpsRedirect {
    /// The status for a request with this method: 308 keeps method and body.
    #[must_use]
    pub fn status_for(&self, method: &Method) -> StatusCode {
        let is_safe = matches!(*method, Method::GET | Method::HEAD);
        self.status.unwrap_or(if is_safe { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT })
    }

    /// The answer to a request with this method, in words; `public_url` is that of the listener.
    #[must_use]
    pub fn answer(&self, method: &Method, public_url: Option<&PublicUrl>) -> String {
        let status = self.status_for(method).as_u16();
        match public_url {
            Some(url) => format!("{status}, the same path at {url}, under the same host where a route names it"),
            None => format!("{status}, the same URL with https and port {}", self.port),
        }
    }
}
