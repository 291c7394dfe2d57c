//! Addresses as people type them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;

/// Where an agent is: `127.0.0.1:9101`, `agent.local:9101`, `9101` on this machine, or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Agent {
    /// Without brackets around an IPv6 address.
    host: String,
    port: u16,
    pub(in crate::cli) is_https: bool,
}

impl Agent {
    /// Host and port as an endpoint has them.
    pub(in crate::cli) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Its base URL.
    pub(in crate::cli) fn url(&self) -> String {
        format!("{}://{}", if self.is_https { "https" } else { "http" }, self.authority())
    }

    /// Whether `host` is this agent's, in whatever way this machine is called.
    pub(in crate::cli) fn is_at(&self, host: &str) -> bool {
        let is_here = |host: &str| {
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
        };
        host.eq_ignore_ascii_case(&self.host) || is_here(host) && is_here(&self.host)
    }

    pub(in crate::cli) const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Agent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(port) = lone_port(text) {
            return Ok(Self { host: Ipv4Addr::LOCALHOST.to_string(), port: port?, is_https: false });
        }
        let is_https = text.starts_with("https://");
        let is_url = is_https || text.starts_with("http://");
        let authority = if is_url {
            let uri: Uri = text.parse().map_err(|_illegal| WHERE.to_owned())?;
            if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
                return Err(format!("an agent below a path needs a route: leave out `{}`", uri.path()));
            }
            uri.authority().cloned().ok_or(WHERE)?
        } else {
            text.parse::<Authority>().map_err(|_illegal| WHERE.to_owned())?
        };
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(WHERE.to_owned());
        }
        let port = match authority.port() {
            Some(port) => port.as_str().parse().ok().filter(|port| *port > 0).ok_or(PORT)?,
            None if authority.as_str() != authority.host() => return Err(PORT.to_owned()),
            None => {
                if is_https {
                    443
                } else {
                    80
                }
            }
        };
        Ok(Self { host: crate::host::bare(authority.host()).to_owned(), port, is_https })
    }
}

/// Where a gateway listens: `:8080` for every address of the machine, `8080` or `localhost:8080` for this machine
/// alone, or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Listen(SocketAddr);

impl Listen {
    /// This machine alone.
    pub(in crate::cli) const fn here(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    pub(in crate::cli) fn is_loopback(self) -> bool {
        self.0.ip().is_loopback()
    }

    /// The address, where it is one of this machine's and not all of them.
    pub(in crate::cli) fn ip(self) -> Option<IpAddr> {
        Some(self.0.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
    }

    /// What a client on this machine calls.
    pub(super) fn nearby(self) -> String {
        match self.ip() {
            Some(_) => self.0.to_string(),
            None => format!("localhost:{}", self.0.port()),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let every = text.strip_prefix(':').and_then(lone_port);
        if let Some(port) = every {
            return Ok(Self(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port?))));
        }
        if let Some(port) = lone_port(text).or_else(|| text.strip_prefix("localhost:").and_then(lone_port)) {
            return Ok(Self::here(port?));
        }
        text.parse().map(Self).map_err(|_illegal| LISTEN.to_owned())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number alone, which is a port; `None` for any other text.
fn lone_port(text: &str) -> Option<Result<u16, String>> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok().filter(|port| *port > 0).ok_or_else(|| PORT.to_owned()))
}

const WHERE: &str = "write host and port, such as 127.0.0.1:9101, or a URL such as https://agent.example.com";
const LISTEN: &str = "write :8080 for every address of this machine, 127.0.0.1:8080 for this machine alone, or another \
                      address with its port";
const PORT: &str = "a port is a number from 1 to 65535";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_read_as_people_write_them() {
        for (text, authority, url) in [
            ("9101", "127.0.0.1:9101", "http://127.0.0.1:9101"),
            ("127.0.0.1:9101", "127.0.0.1:9101", "http://127.0.0.1:9101"),
            ("agent.local", "agent.local:80", "http://agent.local:80"),
            ("http://agent.local/", "agent.local:80", "http://agent.local:80"),
            ("https://agent.example.com", "agent.example.com:443", "https://agent.example.com:443"),
            ("https://[2001:db8::1]:8443/", "[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
            ("[::1]:80", "[::1]:80", "http://[::1]:80"),
        ] {
            let agent: Agent = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((agent.authority().as_str(), agent.url().as_str()), (authority, url), "{text}");
        }
        for text in [
            "", "0", "70000", "a b", "ftp://agent", "http://agent/path", "http://", "u@h:80", "h:", "h:0", "h:x", ":80",
        ] {
            assert!(text.parse::<Agent>().is_err(), "{text}");
        }
    }

    #[test]
    fn listeners_are_read_as_people_write_them() {
        for (text, expected, nearby) in [
            (":8080", "0.0.0.0:8080", "localhost:8080"),
            ("8080", "127.0.0.1:8080", "localhost:8080"),
            ("localhost:8080", "127.0.0.1:8080", "localhost:8080"),
            ("10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:80"),
            ("[::]:80", "[::]:80", "localhost:80"),
        ] {
            let listen: Listen = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((listen.to_string().as_str(), listen.nearby().as_str()), (expected, nearby), "{text}");
        }
        for text in ["", ":", ":x", "0", ":70000", "agent.test:80", "127.0.0.1", "http://127.0.0.1:80"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
