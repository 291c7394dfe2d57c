//! The public address of the gateway: scheme, host, port and path prefix as the client of one request sees them. They
//! may differ from those of every socket. Only this file decides them; redirects, forwarding fields, cookies, HSTS and
//! mapped locations ask it. Pure.

use super::host::split_port;
use crate::config::model::{Authority, PublicUrl, Scheme};

/// The sources of the public address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// `publicUrl` of the route.
    pub route: Option<&'a PublicUrl>,
    /// `publicUrl` of the listener.
    pub listener: Option<&'a PublicUrl>,
    /// Whether the route names hosts: it is reached under these, whichever the listener's URL has.
    pub names_hosts: bool,
    /// The claims of a trusted proxy. Empty when the peer is not one.
    pub claimed: Claimed<'a>,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// `host[:port]` the request is for, already checked; empty when it names none.
    pub asked: &'a str,
    /// Our port on the connection.
    pub local_port: u16,
}

/// The claims of a trusted proxy about the address that its client used; already checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claimed<'a> {
    /// `X-Forwarded-Proto`.
    pub scheme: Option<Scheme>,
    /// `X-Forwarded-Host`: `host[:port]`.
    pub host: Option<&'a str>,
    /// `X-Forwarded-Port`.
    pub port: Option<u16>,
    /// `X-Forwarded-Prefix`, without a slash at its end.
    pub prefix: Option<&'a str>,
}

impl<'a> Sources<'a> {
    /// The public URL that holds, if one is configured.
    #[must_use]
    pub fn url(&self) -> Option<&'a PublicUrl> {
        self.route.or(self.listener)
    }

    /// The scheme clients use.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.url().map(PublicUrl::scheme).or(self.claimed.scheme).unwrap_or_else(|| Scheme::of_tls(self.tls))
    }

    /// The whole face.
    #[must_use]
    pub fn face(&self) -> Face<'a> {
        let scheme = self.scheme();
        let default_port = scheme.default_port();
        let in_full = |spelled: Option<u16>, port| spelled.unwrap_or(default_port) == port;
        let (asked, asked_port) = split_port(self.asked);
        if let Some(url) = self.url() {
            let keeps = self.route.is_none() && self.names_hosts && !asked.is_empty();
            return Face {
                scheme,
                host: if keeps { asked } else { url.host() },
                port: url.port(),
                prefix: url.prefix(),
                origin: if keeps { Origin::Asked } else { Origin::Url },
                in_full: !keeps || in_full(asked_port, url.port()),
            };
        }
        let prefix = self.claimed.prefix.unwrap_or_default();
        if let Some(claimed) = self.claimed.host {
            // A port belongs to its host. Proxies that leave it out of the host give it apart.
            let (host, spelled) = split_port(claimed);
            let port = spelled.or(self.claimed.port).unwrap_or(default_port);
            return Face { scheme, host, port, prefix, origin: Origin::Claimed, in_full: in_full(spelled, port) };
        }
        let unnamed = if asked.is_empty() { self.local_port } else { default_port };
        let port = self.claimed.port.or(asked_port).unwrap_or(unnamed);
        Face { scheme, host: asked, port, prefix, origin: Origin::Asked, in_full: in_full(asked_port, port) }
    }
}

/// How the client of one request sees the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Face<'a> {
    scheme: Scheme,
    host: &'a str,
    port: u16,
    prefix: &'a str,
    origin: Origin,
    in_full: bool,
}

/// Where the host of a face comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A configured public URL.
    Url,
    /// A trusted proxy.
    Claimed,
    /// The request.
    Asked,
}

impl<'a> Face<'a> {
    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, as configured or as the client wrote it; IPv6 in brackets. Empty when an HTTP/1.0 request names none
    /// and none is configured.
    #[must_use]
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The port, also where it is the scheme's own.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The prefix before the gateway's own paths: empty, or a path without a slash at its end.
    #[must_use]
    pub fn prefix(&self) -> &'a str {
        self.prefix
    }

    /// Where its host comes from.
    #[must_use]
    pub fn host_is_from(&self) -> Origin {
        self.origin
    }

    /// Whether the text of its host is its whole authority: it names the port, or leaves out the scheme's own.
    #[must_use]
    pub fn is_in_full(&self) -> bool {
        self.in_full
    }

    /// Host, and port where it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        Authority { scheme: self.scheme, host: self.host, port: self.port }.to_string()
    }

    /// Scheme and authority: `https://agents.example.com`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority())
    }

    /// The whole URL of one of the gateway's own paths, which begins with a slash.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(scheme: Scheme, host: &str, port: Option<u16>, prefix: &str) -> PublicUrl {
        PublicUrl::new(scheme, host, port, prefix).unwrap()
    }

    fn joined(sources: &Sources<'_>) -> String {
        sources.face().join("/x")
    }

    #[test]
    fn the_request_says_it_where_nobody_else_does() {
        for (tls, asked, expected) in [
            (false, "a.example", "http://a.example/x"),
            (true, "a.example", "https://a.example/x"),
            // A container published as 443: the bound port is of no interest.
            (true, "a.example:443", "https://a.example/x"),
            (false, "a.example:443", "http://a.example:443/x"),
            (false, "a.example:8080", "http://a.example:8080/x"),
            (false, "A.example.:80", "http://A.example./x"),
            (true, "[::1]:8443", "https://[::1]:8443/x"),
            (true, "[::1]", "https://[::1]/x"),
            (false, "a.example:", "http://a.example/x"),
        ] {
            let sources = Sources { tls, asked, local_port: 8443, ..Sources::default() };
            assert_eq!(joined(&sources), expected, "{tls} {asked}");
        }
    }

    #[test]
    fn only_a_request_without_a_host_has_the_port_of_the_socket() {
        let sources = Sources { local_port: 8080, ..Sources::default() };
        let face = sources.face();
        assert_eq!((face.host(), face.port()), ("", 8080));
    }

    /// What a proxy says of scheme, host, port and prefix; `-` where it says nothing.
    fn claimed(text: &str) -> Claimed<'_> {
        let parts: Vec<_> = text.split(' ').collect();
        let part = |at: usize| Some(parts[at]).filter(|part| *part != "-");
        Claimed {
            scheme: part(0).map(|scheme| Scheme::of_tls(scheme == "https")),
            host: part(1),
            port: part(2).map(|port| port.parse().unwrap()),
            prefix: part(3),
        }
    }

    #[test]
    fn a_trusted_proxy_knows_better_than_the_connection() {
        for (said, asked, expected) in [
            ("https - - -", "a.example", "https://a.example/x"),
            ("https - 443 -", "a.example", "https://a.example/x"),
            ("https - 8443 -", "a.example", "https://a.example:8443/x"),
            // The proxy wrote its own idea of the host into Host, and knows the port.
            ("https - 443 -", "gw:8080", "https://gw/x"),
            ("https a.example - -", "gw:8080", "https://a.example/x"),
            ("https a.example 8443 -", "gw", "https://a.example:8443/x"),
            // A node port: the proxy gives the port of its own socket, the client's is in the host.
            ("https a.example:30443 443 -", "gw", "https://a.example:30443/x"),
            ("- a.example - -", "gw:8080", "http://a.example/x"),
            ("https [::1]:1 - /team", "gw", "https://[::1]:1/team/x"),
            ("- - - /team", "gw:81", "http://gw:81/team/x"),
            ("http - - -", "a.example", "http://a.example/x"),
        ] {
            let sources = Sources { claimed: claimed(said), asked, local_port: 8080, ..Sources::default() };
            assert_eq!(joined(&sources), expected, "{said} {asked}");
        }
    }

    #[test]
    fn what_is_configured_wins_the_routes_before_the_listeners() {
        let listener = url(Scheme::Https, "agents.example", None, "/team");
        let route = url(Scheme::Http, "planner.example", Some(8080), "");
        let claimed = claimed("http claimed.example:1 2 /claimed");
        let whole = Sources {
            route: Some(&route),
            listener: Some(&listener),
            names_hosts: true,
            claimed,
            tls: false,
            asked: "asked.example:8443",
            local_port: 8443,
        };
        assert_eq!(joined(&whole), "http://planner.example:8080/x");
        let by_listener = Sources { route: None, names_hosts: false, ..whole };
        assert_eq!(joined(&by_listener), "https://agents.example/team/x");
        let named = Sources { names_hosts: true, ..by_listener };
        assert_eq!(joined(&named), "https://asked.example/team/x", "a route that names hosts is reached under these");
        let unnamed = Sources { asked: "", ..named };
        assert_eq!(joined(&unnamed), "https://agents.example/team/x");
    }
}
