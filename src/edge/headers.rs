//! Header fields on their way through: hop-by-hop fields go (RFC 9110 section 7.6.1), forwarding fields are ours to
//! set.

use std::net::IpAddr;

use http::header::{self, Entry};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::call::{self, Call};
use super::seen::Seen;
use crate::a2a::Operation;
use crate::config::model::{HeaderChanges, RequestFact, Scheme};
use crate::context::{Connection, Identity, address_value};

/// Removes hop-by-hop fields and the fields that `Connection` names. Returns whether the sender understands trailers
/// (`TE: trailers`).
pub fn strip_hop_by_hop(headers: &mut HeaderMap, seen: Seen) -> bool {
    if !seen.any_hop_by_hop() {
        return false;
    }
    let trailers = seen.te && wants_trailers(headers);
    if seen.connection {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    if seen.te {
        headers.remove(header::TE);
    }
    if seen.transfer_encoding || seen.expect || seen.upgrade || seen.hop_by_hop {
        for name in &RARE {
            headers.remove(name);
        }
    }
    trailers
}

/// Fields that go whether or not `Connection` names them. `Expect` is answered here: the client is asked for its body
/// when an endpoint is ready to take it.
const RARE: [HeaderName; 8] = [
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("http2-settings"),
    header::EXPECT,
];

fn wants_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(header::TE).iter().any(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(b"trailers")))
}

/// The entries of a list. One that is no text does not take the others with it.
fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Fields `Connection` names, but for those that frame, route or authorise a message: a client must not be able to make
/// the gateway drop them.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let named = headers.get_all(header::CONNECTION).iter().flat_map(tokens);
    let names = named.filter_map(|token| HeaderName::from_bytes(token).ok());
    names.filter(|name| !PROTECTED.contains(&name.as_str())).collect()
}

const PROTECTED: [&str; 21] = [
    "authorization", "a2a-version", "a2a-extensions", "cache-control", "content-encoding", "content-length",
    "content-type", "cookie", "forwarded", "host", "set-cookie", "traceparent", "via", "x-forwarded-for",
    "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-proto", "x-real-ip", "x-request-id",
    "date",
];

/// The facts for the forwarding fields.
#[derive(Debug)]
pub struct Forwarded<'a> {
    /// The connection it came on.
    pub connection: &'a Connection,
    /// The client, as far as it is believed.
    pub client: IpAddr,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    /// How the client sees the gateway.
    pub shown: Shown,
}

/// How a client sees the gateway, as the forwarding fields say it. They agree with each other: the port is that of the
/// host.
#[derive(Clone, Debug)]
pub struct Shown {
    /// `X-Forwarded-Proto`.
    pub scheme: Scheme,
    /// `X-Forwarded-Host`; `None` when the request names no host.
    pub host: Option<HeaderValue>,
    /// `X-Forwarded-Port`.
    pub port: HeaderValue,
    /// `X-Forwarded-Prefix`; `None` when the agent sees the paths that clients use.
    pub prefix: Option<HeaderValue>,
}

/// Sets the forwarding fields. Such fields of an untrusted peer are dropped, underscore spellings included; a trusted
/// proxy's `X-Forwarded-For` is kept, and its address is added.
pub fn set_forwarded(headers: &mut HeaderMap, seen: Seen, facts: Forwarded<'_>) {
    if seen.underscore {
        drop_disguised(headers);
    }
    if seen.forwarded && !facts.trusted {
        headers.remove(header::FORWARDED);
    }
    if seen.forwarded_other && !facts.trusted {
        drop_other_forwarded(headers);
    }
    let shown = facts.shown;
    let scheme = HeaderValue::from_static(shown.scheme.as_str());
    headers.insert(X_FORWARDED_PROTO, scheme);
    if let Some(host) = shown.host {
        headers.insert(X_FORWARDED_HOST, host);
    }
    headers.insert(X_FORWARDED_PORT, shown.port);
    match shown.prefix {
        Some(prefix) => {
            headers.insert(X_FORWARDED_PREFIX, prefix);
        }
        None if seen.forwarded_other => {
            headers.remove(X_FORWARDED_PREFIX);
        }
        None => {}
    }
    let text = facts.connection.text();
    let client =
        if facts.client == facts.connection.peer_ip() { text.peer.clone() } else { address_value(facts.client) };
    headers.insert(X_REAL_IP, client);
    if facts.trusted
        && let Entry::Occupied(mut entry) = headers.entry(X_FORWARDED_FOR)
    {
        append_to_list(&mut entry, &text.peer);
    } else {
        headers.insert(X_FORWARDED_FOR, text.peer.clone());
    }
}

/// `x-forwarded-prefix`, `-ssl`, `-server` and other fields that frameworks trust.
fn drop_other_forwarded(headers: &mut HeaderMap) {
    let names: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("x-forwarded-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn append_to_list(entry: &mut header::OccupiedEntry<'_, HeaderValue>, peer: &HeaderValue) {
    let mut list = Vec::with_capacity(64);
    for value in entry.iter() {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(peer.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        entry.insert(value);
    }
}

/// Many servers read `x_real_ip` as `x-real-ip`: a spelling with underscores must not get past us.
fn drop_disguised(headers: &mut HeaderMap) {
    let disguised = |name: &HeaderName| {
        let name = name.as_str();
        memchr::memchr(b'_', name.as_bytes()).is_some() && is_guarded(&name.replace('_', "-"))
    };
    if headers.keys().any(disguised) {
        let names: Vec<_> = headers.keys().filter(|name| disguised(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

fn is_guarded(name: &str) -> bool {
    name.starts_with("x-forwarded-") || GUARDED.contains(&name)
}

const GUARDED: [&str; 5] = ["content-length", "proxy-authorization", "x-real-ip", "x-request-id", "transfer-encoding"];

/// The client's address: the peer's, unless that is a trusted proxy; then the last untrusted address of
/// `X-Forwarded-For`, walking from the right and stopping at the first entry that is not an address.
pub fn client_ip(headers: &HeaderMap, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    walk(headers, peer, trusted).0
}

/// How many trusted proxies stand between the one that the client spoke to and the peer, which is trusted.
pub(crate) fn hops(headers: &HeaderMap, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> usize {
    walk(headers, peer, trusted).1.saturating_sub(1)
}

/// The client, and how many entries the walk to it took.
fn walk(headers: &HeaderMap, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> (IpAddr, usize) {
    let (mut client, mut taken) = (peer, 0);
    if !trusted(peer) {
        return (client, taken);
    }
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    for line in lines.into_iter().rev() {
        for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
            let Some(address) = parse_entry(entry.trim_ascii()) else {
                return (client, taken);
            };
            client = address;
            taken += 1;
            if !trusted(address) {
                return (client, taken);
            }
        }
    }
    (client, taken)
}

/// An address, also with a port and in brackets.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?;
    let parsed =
        entry.parse::<IpAddr>().ok().or_else(|| entry.parse::<std::net::SocketAddr>().ok().map(|addr| addr.ip()));
    let bare = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    parsed.or_else(bare).map(|address: IpAddr| address.to_canonical())
}

/// Puts the crumbs of an HTTP/2 cookie together: HTTP/1 has one line for them (RFC 9113 section 8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(mut joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        joined.set_sensitive(true);
        headers.insert(header::COOKIE, joined);
    }
}

/// Asks an agent for an answer that can be read. Messages of gRPC have codings of their own; its stream has none.
pub(super) fn ask_uncoded(headers: &mut HeaderMap, is_grpc: bool) {
    let name = if is_grpc { GRPC_ACCEPT_ENCODING } else { header::ACCEPT_ENCODING };
    headers.insert(name, HeaderValue::from_static("identity"));
}

/// Adds ourselves to `Via` (RFC 9110 section 7.6.3).
pub fn append_via(headers: &mut HeaderMap, version: Version) {
    let ours = HeaderValue::from_static(match version {
        Version::HTTP_2 => "2 attache",
        Version::HTTP_10 => "1.0 attache",
        _ => "1.1 attache",
    });
    headers.append(header::VIA, ours);
}

/// Whether a request asks about its path and has come to the end of it: `OPTIONS` with `Max-Forwards: 0` (RFC 9110
/// section 7.6.2).
pub(super) fn ends_here(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && forwards_left(headers) == Some(0)
}

/// Takes one off `Max-Forwards`.
pub(super) fn count_down(headers: &mut HeaderMap) {
    if let Some(left) = forwards_left(headers) {
        let left = HeaderValue::from(left.saturating_sub(1));
        headers.insert(header::MAX_FORWARDS, left);
    }
}

/// A value that is no number is ignored.
fn forwards_left(headers: &HeaderMap) -> Option<u32> {
    let value = headers.get(header::MAX_FORWARDS)?.as_bytes();
    let digits = value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits)?;
    // More than we can count is far away.
    Some(number.parse().unwrap_or(u32::MAX)).filter(|_| !value.is_empty())
}

/// What header changes may depend on.
#[derive(Clone, Copy, Debug)]
pub struct ChangeFacts<'a> {
    /// Whether the fields go to a client that uses HTTPS.
    pub https: bool,
    /// Who the client is.
    pub identity: &'a Identity,
    /// What the request asks of an agent.
    pub operation: Option<Operation>,
    /// The whole call.
    pub(super) call: Option<&'a Call>,
}

impl ChangeFacts<'_> {
    fn value(&self, fact: RequestFact) -> Option<HeaderValue> {
        let text = match fact {
            RequestFact::Principal => self.identity.name()?,
            RequestFact::Tenant => call::tenant(self.identity, self.call)?,
            RequestFact::Operation => self.operation?.name(),
        };
        HeaderValue::from_str(text).ok()
    }
}

/// Applies a route's changes. HSTS goes out to clients that use HTTPS only (RFC 6797 section 7.2), whoever ends their
/// TLS.
pub fn apply(headers: &mut HeaderMap, changes: &HeaderChanges, facts: ChangeFacts<'_>) {
    for name in &changes.remove {
        headers.remove(name);
    }
    for (name, value) in &changes.set {
        headers.insert(name, value.clone());
    }
    for (name, fact) in &changes.tell {
        match facts.value(*fact) {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        }
    }
    if let Some(hsts) = changes.hsts.as_ref().filter(|_| facts.https) {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    for (name, value) in &changes.add {
        headers.append(name, value.clone());
    }
}

const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

#[cfg(test)]
mod tests;
