//! Which of the fields that need attention a head carries, found in one pass, so that nothing is looked up that is not there.

use http::HeaderMap;

/// The fields found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub(super) connection: bool,
    pub(super) te: bool,
    pub(super) transfer_encoding: bool,
    pub(super) content_length: bool,
    pub(super) expect: bool,
    pub(super) upgrade: bool,
    pub(super) forwarded: bool,
    /// A forwarding field besides those that are always set.
    pub(super) forwarded_other: bool,
    pub(super) cookie: bool,
    /// Other fields that belong to one connection only.
    pub(super) hop_by_hop: bool,
    /// What says which try this is, which only we say.
    pub(super) attempts: bool,
    /// A name with an underscore.
    pub(super) underscore: bool,
}

impl Seen {
    /// Looks through the names of `headers` once.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "connection" => seen.connection = true,
                "te" => seen.te = true,
                "transfer-encoding" => seen.transfer_encoding = true,
                "content-length" => seen.content_length = true,
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
        seen
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
