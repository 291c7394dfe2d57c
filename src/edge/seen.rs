//! Which of the fields that need attention a head carries, found in one pass, so that nothing is looked up that is not there or was
//! found already.

use http::{HeaderMap, HeaderValue};

/// What was found, with the values of those fields that are always asked for; of several of a name the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found<'a> {
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
    pub(super) cookie: bool,
    /// Trace context.
    pub(super) trace: bool,
    /// Other fields that belong to one connection only.
    pub(super) hop_by_hop: bool,
    /// What says which try this is, which only we say.
    pub(super) attempts: bool,
    /// A name with an underscore.
    pub(super) underscore: bool,
}

impl<'a> Found<'a> {
    /// Looks through `headers` once.
    #[must_use]
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut found = Self::default();
        let seen = &mut found.seen;
        for (name, value) in headers {
            match name.as_str() {
                "host" => seen.several_hosts |= is_another(&mut found.host, value),
                "content-type" => {
                    is_another(&mut found.content_type, value);
                }
                "user-agent" => {
                    is_another(&mut found.user_agent, value);
                }
                "content-length" => {
                    seen.content_length = true;
                    seen.several_lengths |= is_another(&mut found.content_length, value);
                }
                "traceparent" | "tracestate" => seen.trace = true,
                "connection" => seen.connection = true,
                "te" => seen.te = true,
                "transfer-encoding" => seen.transfer_encoding = true,
                "expect" => seen.expect = true,
                "upgrade" => seen.upgrade = true,
                "forwarded" => seen.forwarded = true,
                "cookie" => seen.cookie = true,
                "x-attache-attempts" => seen.attempts = true,
                "keep-alive"
                | "proxy-connection"
                | "proxy-authorization"
                | "proxy-authenticate"
                | "http2-settings" => {
                    seen.hop_by_hop = true;
                }
                "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host"
                | "x-forwarded-port" => {}
                other if other.starts_with("x-forwarded-") => seen.forwarded_other = true,
                other => seen.underscore |= other.as_bytes().contains(&b'_'),
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
        Found::of(headers).seen
    }

    /// Whether anything in it belongs to one connection only.
    pub(super) fn any_hop_by_hop(self) -> bool {
        self.connection
            || self.te
            || self.transfer_encoding
            || self.expect
            || self.upgrade
            || self.hop_by_hop
    }
}
