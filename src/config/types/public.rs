//! The public address of a listener or route: the URL under which clients reach it (`publicUrl`). It may differ from
//! every socket of the gateway, because a balancer ends TLS, a container publishes another port, or a proxy strips a
//! path.

use std::fmt;

use http::HeaderValue;

/// The scheme of an HTTP URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`.
    #[default]
    Http,
    /// `https`.
    Https,
}

impl Scheme {
    /// The scheme of a connection that uses TLS, or does not.
    #[must_use]
    pub const fn of_tls(tls: bool) -> Self {
        if tls { Self::Https } else { Self::Http }
    }

    /// As it stands in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none (RFC 9110 section 4.2).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A public URL in one spelling, with what requests need of it made once.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
    prefix: Box<str>,
    authority: HeaderValue,
    prefix_value: Option<HeaderValue>,
}

impl PublicUrl {
    /// A URL of these parts: a host in lower case (IPv6 in brackets), a port unless it is the scheme's, and the path
    /// before the gateway's own, without a slash at its end. `None` when they could not stand in a header.
    #[must_use]
    pub fn new(scheme: Scheme, host: &str, port: Option<u16>, prefix: &str) -> Option<Self> {
        let port = port.unwrap_or_else(|| scheme.default_port());
        let authority = Authority { scheme, host, port }.to_string();
        let prefix_value = match prefix {
            "" => None,
            _ => Some(HeaderValue::from_str(prefix).ok()?),
        };
        Some(Self {
            scheme,
            host: host.into(),
            port,
            prefix: prefix.into(),
            authority: HeaderValue::try_from(authority).ok()?,
            prefix_value,
        })
    }

    /// Its scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its host, lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port, given or the scheme's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path before the gateway's own, without a slash at its end; usually empty.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Host, and port where it is not the scheme's, as a header value.
    #[must_use]
    pub fn authority_value(&self) -> &HeaderValue {
        &self.authority
    }

    /// The prefix as a header value, if there is one.
    #[must_use]
    pub fn prefix_value(&self) -> Option<&HeaderValue> {
        self.prefix_value.as_ref()
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, prefix, .. } = self;
        let authority = Authority { scheme: *scheme, host, port: *port };
        write!(f, "{scheme}://{authority}{prefix}")
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host and its port, which is left out where it is the scheme's.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'a> {
    /// The scheme it is used with.
    pub scheme: Scheme,
    /// The host; IPv6 in brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host)?;
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}
