//! Which of the fields that need attention a head carries, found in one pass, so that nothing is looked up that is not
//! there or was found already.

use http::{HeaderMap, HeaderValue};

/// The findings, with the values of fields that are always needed; of several fields of a name, the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadFields<'a> {
    /// Which fields there are.
    pub seen: Seen,
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) content_type: Option<&'a HeaderValue>,
    pub(super) content_length: Option<&'a HeaderValue>,
    pub(super) user_agent: Option<&'a HeaderValue>,
}

/// The fields there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub(super) connection: bool,
    pub(super) te: bool,
    pub(super) transfer_encoding: bool,
    pub(super) content_length: bool,
    pub(super) several_lengths: bool,
    pub(super) several_hosts: bool,
    pub(super) expect: bool,
    pub(super) upgrade: bool,
    pub(super) forwarded: bool,
    /// A forwarding field besides those that are always set.
    pub(super) forwarded_other: bool,
    /// Fields that claim the public address.
    pub(super) public: bool,
    /// In an answer: a location.
    pub(super) location: bool,
    pub(super) cookie: bool,
    /// Trace context.
    pub(super) trace: bool,
    /// Other fields that belong to one connection only.
    pub(super) hop_by_hop: bool,
    /// The field with the number of the try, which only the gateway sets.
    pub(super) attempts: bool,
    /// A session of MCP.
    pub(super) session: bool,
    /// A name with an underscore.
    pub(super) underscore: bool,
}

impl<'a> HeadFields<'a> {
    /// Looks through `headers` once.
    #[must_use]
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut found = Self::default();
        let seen = &mut found.seen;
        for (name, value) in headers {
            let name = name.as_str();
            // By length first: most names are then compared with one other or two instead of with twenty.
            match (name.len(), name) {
                (4, "host") => seen.several_hosts |= is_another(&mut found.host, value),
                (12, "content-type") => {
                    is_another(&mut found.content_type, value);
                }
                (10, "user-agent") => {
                    is_another(&mut found.user_agent, value);
                }
                (14, "content-length") => {
                    seen.content_length = true;
                    seen.several_lengths |= is_another(&mut found.content_length, value);
                }
                (11, "traceparent") | (10, "tracestate") => seen.trace = true,
                (10, "connection") => seen.connection = true,
                (2, "te") => seen.te = true,
                (17, "transfer-encoding") => seen.transfer_encoding = true,
                (6, "expect") => seen.expect = true,
                (7, "upgrade") => seen.upgrade = true,
                (9, "forwarded") => seen.forwarded = true,
                (6, "cookie") => seen.cookie = true,
                (18, "x-attache-attempts") => seen.attempts = true,
                (14, "mcp-session-id") => seen.session = true,
                (10, "keep-alive")
                | (16, "proxy-connection")
                | (19, "proxy-authorization")
                | (18, "proxy-authenticate")
                | (14, "http2-settings") => seen.hop_by_hop = true,
                (15, "x-forwarded-for") => {}
                (17, "x-forwarded-proto") | (16, "x-forwarded-host" | "x-forwarded-port") => {
                    seen.public = true;
                }
                (18, "x-forwarded-prefix") => {
                    seen.public = true;
                    seen.forwarded_other = true;
                }
                (8, "location") | (16, "content-location") | (7, "refresh") => {
                    seen.location = true;
                }
                (_, other) if other.starts_with("x-forwarded-") => seen.forwarded_other = true,
                (_, other) => seen.underscore |= other.as_bytes().contains(&b'_'),
            }
        }
        found
    }
}

/// Keeps the first value; whether there was one.
fn is_another<'a>(first: &mut Option<&'a HeaderValue>, value: &'a HeaderValue) -> bool {
    let another = first.is_some();
    if !another {
        *first = Some(value);
    }
    another
}

impl Seen {
    /// Looks through `headers` once.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        HeadFields::of(headers).seen
    }

    /// Whether anything in it belongs to one connection only.
    pub(super) fn any_hop_by_hop(self) -> bool {
        self.connection || self.te || self.transfer_encoding || self.expect || self.upgrade || self.hop_by_hop
    }
}
