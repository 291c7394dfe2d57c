//! What is known of a request, in groups: the head, the client, the route, the destination, and what its answer is
//! given.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::claimed::Claimed;
use super::cors::Asks;
use super::seen::{HeadFields, Seen};
use crate::body::{Come, UploadState};
use crate::cluster::{Maker, Preference};
use crate::config::model::{ListenerId, RouteId};
use crate::context::{Connection, Identity};
use crate::observe::handles::RouteHandles;
use crate::observe::record::NotedFields;
use crate::observe::trace::TraceId;
use crate::policy::RateLimitHeaders;
use crate::upstream::WorkerCluster;

/// Facts of the head, and of the body as far as it came.
#[derive(Debug)]
pub(super) struct RequestFacts {
    pub(super) started: Instant,
    pub(super) time: Duration,
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) uri: Uri,
    pub(super) host: Option<HeaderValue>,
    /// The same as text, where it is any.
    host_text: Option<Rc<str>>,
    pub(super) length: Option<HeaderValue>,
    pub(super) user_agent: Option<HeaderValue>,
    /// Which fields the head carries.
    pub(super) seen: Seen,
    pub(super) id: Option<HeaderValue>,
    pub(super) trace_id: Option<TraceId>,
    /// Header fields that an access log wants, where one wants any.
    pub(super) noted_fields: Option<Box<NotedFields>>,
    pub(super) grpc: bool,
    pub(super) canonical: Canonical,
    /// How long the body shall be.
    pub(super) announced: Option<u64>,
    /// What became of the body.
    pub(super) upload: Rc<UploadState>,
    /// An agent card is asked for.
    pub(super) card: Option<Box<CardRequest>>,
    /// What it is to the rules of browsers.
    pub(super) asks: Asks,
    /// The page that may read its answer; `*` for all.
    pub(super) allowed_origin: Option<HeaderValue>,
    /// What the provider that knows the client tells agents.
    pub(super) vouched: Option<Arc<[(HeaderName, HeaderValue)]>>,
    /// Whether the client's tenant is what a token says, or none because it says none: it cannot choose another.
    pub(super) is_tenant_proven: bool,
}

/// An agent card is asked for, which will be mapped.
#[derive(Debug)]
pub(super) struct CardRequest {
    /// The client's `If-None-Match` fields.
    pub(super) known: Vec<HeaderValue>,
    /// How it is asked for.
    pub(super) by: CardBy,
}

/// How a card is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CardBy {
    /// By its well-known name: it is for everybody.
    Name,
    /// By a REST call for the card that the caller alone may see.
    Rest,
    /// By a JSON-RPC call for that card.
    JsonRpc,
    /// By a gRPC call for that card.
    Grpc,
}

/// Host and path in the one spelling they are matched by, as far as they differ from what the client wrote.
#[derive(Debug, Default)]
pub(super) struct Canonical {
    pub(super) host: Option<Box<str>>,
    /// Where the host does not differ: how much of the authority it is.
    pub(super) host_bytes: usize,
    pub(super) path: Option<Box<str>>,
}

/// Who sent it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// Whether the peer is a trusted proxy, and what it says about the address its client used.
    pub(super) trusted: bool,
    pub(super) claimed: Claimed,
    /// Whether the client uses HTTPS, as its route knows it.
    pub(super) https: bool,
    /// What was proven about it.
    pub(super) identity: Identity,
    /// What the rules and patterns of its route came to.
    pub(super) noted: Option<Rc<Noted>>,
    /// Which rules could not say yet.
    pub(super) undecided: Undecided,
}

/// What rules and patterns of a route came to, for the record. Requests share it, and each carries one pointer.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// The rule that decided whether the client may do this, `-` for none.
    pub(super) rule: Option<Rc<str>>,
    /// The pattern that was found in the request.
    pub(super) pattern: Option<Rc<str>>,
}

/// Which rules could not say yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Undecided {
    /// Those that refuse.
    pub(super) acting: bool,
    /// Those that only count.
    pub(super) counting: bool,
}

/// Which listener and route serve it.
#[derive(Debug)]
pub(super) struct RouteFacts {
    /// The listener whose routes are asked.
    pub(super) served_by: Option<ListenerId>,
    pub(super) id: Option<RouteId>,
    /// Which of the route's alternatives matched.
    pub(super) matched: usize,
    pub(super) handles: Option<RouteHandles>,
    pub(super) logged: bool,
}

/// Where it goes. Nothing of it outlives the response head.
#[derive(Debug, Default)]
pub(super) struct Destination {
    pub(super) cluster: Option<Rc<WorkerCluster>>,
    /// Key for a hash policy.
    pub(super) hash: Option<u64>,
    /// The cluster of the route that holds what it is about, by its position.
    pub(super) part: Option<usize>,
    /// The session it names.
    pub(super) session: Option<Box<Session>>,
    /// The endpoint it should go to.
    pub(super) preferred: Option<Preference>,
    /// Who makes what is new.
    pub(super) makes: Option<Box<Makes>>,
    /// The protocol is switched if the endpoint agrees.
    pub(super) upgrade: Option<OnUpgrade>,
}

/// A session that a request names.
#[derive(Debug)]
pub(super) struct Session {
    /// Which of the headers that its route follows.
    pub(super) header: usize,
    pub(super) id: HeaderValue,
}

/// Who has made what an answer tells of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Makes {
    pub(super) maker: Maker,
    /// Whether the context is new as well.
    pub(super) context: bool,
}

/// What the answer is given on its way out.
#[derive(Debug, Default)]
pub(super) struct ReplyFields {
    /// How the client stands with its limits.
    pub(super) rate_limit_headers: Option<Box<RateLimitHeaders>>,
    /// Keeps the caller with the version it was given.
    pub(super) set_cookie: Option<HeaderValue>,
    /// What has been read of the body that is passed on.
    pub(super) come: Option<Box<Come>>,
}

impl RequestFacts {
    pub(super) fn of(request: &Request<Incoming>, connection: &Connection) -> Self {
        let found = HeadFields::of(request.headers());
        Self {
            started: Instant::now(),
            time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            method: request.method().clone(),
            version: request.version(),
            uri: request.uri().clone(),
            host: found.host.cloned(),
            host_text: found.host.and_then(|host| connection.host_text(host)),
            length: found.content_length.cloned(),
            user_agent: found.user_agent.cloned(),
            seen: found.seen,
            id: None,
            trace_id: None,
            noted_fields: None,
            grpc: is_grpc(found.content_type),
            canonical: Canonical::default(),
            announced: None,
            upload: Rc::default(),
            card: None,
            asks: Asks::default(),
            allowed_origin: None,
            vouched: None,
            is_tenant_proven: false,
        }
    }

    /// `host[:port]` it is for: of the target, else of `Host` (RFC 9112 section 3.2.2); empty when neither names one.
    pub(super) fn asked(&self) -> &str {
        let target = self.uri.authority().map(http::uri::Authority::as_str);
        target.or(self.host_text.as_deref()).unwrap_or_default()
    }

    /// Its host in the one spelling it is matched by; empty when it names none.
    pub(super) fn host(&self) -> &str {
        let borrowed = || self.asked().get(..self.canonical.host_bytes).unwrap_or_default();
        self.canonical.host.as_deref().unwrap_or_else(borrowed)
    }

    /// Its path in the one spelling it is matched and forwarded by.
    pub(super) fn path(&self) -> &str {
        self.canonical.path.as_deref().unwrap_or_else(|| self.uri.path())
    }

    /// Whether other requests run on its connection at the same time.
    pub(super) fn shares_connection(&self) -> bool {
        self.version == Version::HTTP_2
    }

    /// The facts taken from the head are slices of the buffer it was read into, 8 KiB at least. What lasts copies them,
    /// so that the buffer is given back.
    pub(super) fn detach(&mut self) {
        let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
        self.host = self.host.as_ref().and_then(copy);
        self.user_agent = self.user_agent.as_ref().and_then(copy);
        self.id = self.id.as_ref().and_then(copy);
        self.length = None;
        if let Ok(uri) = self.uri.to_string().parse() {
            self.uri = uri;
        }
    }
}

impl Client {
    /// Notes what rules or patterns came to, beside what is noted already.
    pub(super) fn note(&mut self, noted: Rc<Noted>) {
        self.noted = Some(match self.noted.take() {
            None => noted,
            Some(before) => Rc::new(Noted {
                rule: noted.rule.as_ref().or(before.rule.as_ref()).cloned(),
                pattern: noted.pattern.as_ref().or(before.pattern.as_ref()).cloned(),
            }),
        });
    }

    pub(super) fn of(connection: &Connection) -> Self {
        Self {
            address: connection.peer_ip(),
            trusted: false,
            claimed: Claimed::default(),
            https: connection.tls.is_some(),
            identity: Identity::default(),
            noted: None,
            undecided: Undecided::default(),
        }
    }
}

impl Default for RouteFacts {
    fn default() -> Self {
        Self { served_by: None, id: None, matched: 0, handles: None, logged: true }
    }
}

/// What a client asked for may hold a name and a password, which are refused, and nobody's to keep (RFC 9110 section
/// 4.2.4).
pub(super) fn without_userinfo(authority: &str) -> &str {
    // Nearly every authority is a host and perhaps a port.
    if !authority.bytes().any(|byte| matches!(byte, b'@' | b'/' | b'?' | b'#')) {
        return authority;
    }
    let host = authority.rsplit_once('@').map_or(authority, |(_secret, host)| host);
    host.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether a message is gRPC by its content type.
pub(super) fn is_grpc(content_type: Option<&HeaderValue>) -> bool {
    content_type.is_some_and(|value| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// Whether a message is an event stream by its content type.
pub(super) fn is_event_stream(content_type: Option<&HeaderValue>) -> bool {
    let essence = |value: &HeaderValue| {
        value.as_bytes().get(..EVENT_STREAM.len()).is_some_and(|start| start.eq_ignore_ascii_case(EVENT_STREAM))
    };
    content_type.is_some_and(essence)
}

const EVENT_STREAM: &[u8] = b"text/event-stream";
