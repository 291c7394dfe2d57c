//! Which URL of an agent card becomes which: one that leads to the agent itself gets the public scheme, host and port,
//! and the path that clients must use. Any other stays as it is. Pure.

use std::borrow::Cow;

use super::host::{host_of, split_port};
use super::location::{climbs, split_path};
use super::path_mapping::{PathMapping, PathMappings, PublicPath};
use super::public::Face;
use crate::a2a::card::{Transport, Verdict};
use crate::config::model::{HostPattern, Scheme};

/// What the URLs of an agent's card are mapped by.
#[derive(Clone, Copy, Debug)]
pub struct CardMap<'a, A, G> {
    /// How the client sees the gateway.
    pub face: Face<'a>,
    /// Hosts that the route names.
    pub hosts: &'a [HostPattern],
    /// How the client's paths relate to the agent's.
    pub paths: &'a PathMappings,
    /// The alternative of the route by which the card was asked for.
    pub matched: usize,
    /// Whether this canonical host and port are an address of the agent.
    pub is_agent: A,
    /// What the gateway makes of gRPC at this canonical host and port.
    pub grpc: G,
}

/// What the gateway makes of gRPC calls for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcAt {
    /// Calls that come through the gateway get there.
    Served,
    /// It is the agent's, and calls that come through the gateway do not get there.
    NotServed,
    /// It is not the agent's.
    Elsewhere,
}

/// A URL of a card, taken apart.
struct Url<'u> {
    /// As it is written; none where a gRPC address stands alone.
    scheme: Option<(&'u str, Scheme)>,
    host: Cow<'u, str>,
    port: u16,
    path: &'u str,
    /// Query and fragment.
    rest: &'u str,
}

impl<A: Fn(&str, u16) -> bool, G: Fn(&str, u16) -> GrpcAt> CardMap<'_, A, G> {
    /// What becomes of a URL.
    #[must_use]
    pub fn verdict(&self, transport: Transport, url: &str) -> Verdict {
        let Some(url) = Url::parse(url) else {
            return Verdict::UnknownHost;
        };
        if self.is_public(&url) {
            return Verdict::Public;
        }
        let grpc = match transport {
            Transport::Grpc => (self.grpc)(&url.host, url.port),
            Transport::Http if (self.is_agent)(&url.host, url.port) => GrpcAt::Served,
            Transport::Http => GrpcAt::Elsewhere,
        };
        match grpc {
            GrpcAt::NotServed => Verdict::NotServed,
            GrpcAt::Elsewhere => Verdict::UnknownHost,
            // Clients that named no host have nothing to be led to.
            GrpcAt::Served if self.face.host().is_empty() => Verdict::UnknownHost,
            GrpcAt::Served => self.mapped(transport, &url),
        }
    }

    /// Whether the URL leads through the gateway already: to the address the client uses, or to a host of the route.
    fn is_public(&self, url: &Url<'_>) -> bool {
        let face = &self.face;
        let is_same = |host: &str| host_of(host).is_ok_and(|host| host == url.host);
        let is_tls = url.scheme.is_none_or(|(_, scheme)| scheme == face.scheme());
        let is_face = is_tls && url.port == face.port() && is_same(face.host());
        is_face || self.hosts.iter().any(|pattern| matches!(pattern, HostPattern::Exact(host) if is_same(host)))
    }

    fn mapped(&self, transport: Transport, url: &Url<'_>) -> Verdict {
        let Some((scheme, _)) = url.scheme else {
            // gRPC clients take 443 for the port that is not named, whatever they speak.
            return Verdict::Mapped(format!("{}:{}", self.face.host(), self.face.port()));
        };
        let path = match transport {
            // Their paths are those of the services: nothing can stand before.
            Transport::Grpc if matches!(url.path, "" | "/") => Some(url.path.to_owned()),
            Transport::Grpc => None,
            Transport::Http => self.public_path(url.path),
        };
        let Some(path) = path else {
            return Verdict::UnknownPath;
        };
        let scheme = spelled_like(scheme, self.face.scheme());
        Verdict::Mapped(format!("{scheme}://{}{path}{}", self.face.authority(), url.rest))
    }

    /// The path for clients, by the first alternative of the route that leads there.
    fn public_path(&self, path: &str) -> Option<String> {
        if climbs(path) {
            return None;
        }
        let by = |mapping: &PathMapping| {
            let slashed = if path.is_empty() { "/" } else { path };
            match mapping.to_public(self.face.prefix(), slashed) {
                PublicPath::Same => Some(path.to_owned()),
                // Clients add to what they get, so a slash must not come out of nothing.
                PublicPath::To(public) if path.is_empty() => Some(public.trim_end_matches('/').to_owned()),
                PublicPath::To(public) => Some(public),
                PublicPath::Unknown => None,
            }
        };
        by(self.paths.get(self.matched)).or_else(|| self.paths.all().find_map(by))
    }
}

impl<'u> Url<'u> {
    /// `None` where it is not a URL with one plain host: no userinfo, nothing relative, no other schemes.
    fn parse(text: &'u str) -> Option<Self> {
        let (scheme, after) = match text.split_once("://") {
            Some((scheme, after)) => (Some((scheme, kind(scheme)?)), after),
            None => (None, text),
        };
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, target) = after.split_at_checked(end)?;
        if scheme.is_none() && !target.is_empty() {
            return None;
        }
        let host = host_of(authority).ok()?;
        let usual = scheme.map_or(Scheme::Https, |(_, scheme)| scheme).default_port();
        let (path, rest) = split_path(target)?;
        Some(Self { scheme, host, port: split_port(authority).1.unwrap_or(usual), path, rest })
    }
}

/// Whether a scheme is one with TLS; `None` for those that cannot come through the gateway.
fn kind(scheme: &str) -> Option<Scheme> {
    let is = |word: &str| scheme.eq_ignore_ascii_case(word);
    if ["http", "ws", "grpc"].into_iter().any(is) {
        Some(Scheme::Http)
    } else if ["https", "wss", "grpcs"].into_iter().any(is) {
        Some(Scheme::Https)
    } else {
        None
    }
}

/// The scheme for the same protocol with TLS or without.
fn spelled_like(scheme: &str, public: Scheme) -> &'static str {
    let starts = |word: &str| scheme.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    match (starts("ws"), starts("grpc"), public) {
        (true, _, Scheme::Http) => "ws",
        (true, _, Scheme::Https) => "wss",
        (_, true, Scheme::Http) => "grpc",
        (_, true, Scheme::Https) => "grpcs",
        _ => public.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::public::{Claimed, Sources};

    /// An agent at `10.0.0.5:8080`, `[fd00::5]:80` and `agent.internal:443` whose gRPC is at `10.0.0.5:50051`, and not
    /// led to at `10.0.0.5:50052`.
    fn verdict_at(sources: &Sources<'_>, paths: &PathMappings, transport: Transport, url: &str) -> Verdict {
        let is_agent = |host: &str, port: u16| {
            matches!((host, port), ("10.0.0.5", 8080) | ("[fd00::5]", 80) | ("agent.internal", 443))
        };
        let grpc = |host: &str, port: u16| match (host, port) {
            ("10.0.0.5" | "[fd00::5]", 50051) | ("agent.internal", 443) => GrpcAt::Served,
            ("10.0.0.5", 50052) => GrpcAt::NotServed,
            _ => GrpcAt::Elsewhere,
        };
        let hosts = [HostPattern::Exact("named.example".to_owned())];
        let map = CardMap { face: sources.face(), hosts: &hosts, paths, matched: 0, is_agent, grpc };
        map.verdict(transport, url)
    }

    const PUBLIC: Sources<'static> = Sources {
        route: None,
        listener: None,
        names_hosts: false,
        claimed: Claimed { scheme: None, host: None, port: None, prefix: None },
        tls: true,
        asked: "agents.example",
        local_port: 8443,
    };

    fn mappings() -> Vec<PathMappings> {
        crate::route::path_mapping::of_text(
            "
            planner: { match: { path: { prefix: /planner } }, rewrite: { prefix: / }, respond: {} }
            straight: { match: { path: { prefix: /s } }, respond: {} }
            inner: { match: { path: { prefix: /foo } }, rewrite: { prefix: /in }, respond: {} }
            two:
              match: [{ path: { exact: /.well-known/agent-card.json } }, { path: { prefix: /two } }]
              rewrite: { prefix: / }
              respond: {}
            ",
        )
    }

    /// By the order of their names.
    const INNER: usize = 0;
    const PLANNER: usize = 1;
    const STRAIGHT: usize = 2;
    const TWO: usize = 3;

    fn is_mapped(expected: &str) -> Verdict {
        Verdict::Mapped(expected.to_owned())
    }

    #[test]
    fn own_addresses_become_the_public_one_with_the_path_of_clients() {
        let mappings = mappings();
        for (route, url, expected) in [
            (PLANNER, "http://10.0.0.5:8080/", is_mapped("https://agents.example/planner/")),
            (PLANNER, "http://10.0.0.5:8080", is_mapped("https://agents.example/planner")),
            (PLANNER, "http://10.0.0.5:8080/a2a?x=/y#z", is_mapped("https://agents.example/planner/a2a?x=/y#z")),
            (PLANNER, "HTTP://10.0.0.5:8080/v1/", is_mapped("https://agents.example/planner/v1/")),
            (PLANNER, "https://Agent.Internal./a", is_mapped("https://agents.example/planner/a")),
            (PLANNER, "http://[FD00::5]/a", is_mapped("https://agents.example/planner/a")),
            (PLANNER, "ws://10.0.0.5:8080/a", is_mapped("wss://agents.example/planner/a")),
            // An agent that knows its prefix.
            (PLANNER, "http://10.0.0.5:8080/planner/a", is_mapped("https://agents.example/planner/a")),
            (PLANNER, "http://10.0.0.5:8080/planners", is_mapped("https://agents.example/planner/planners")),
            (STRAIGHT, "http://10.0.0.5:8080/s/a", is_mapped("https://agents.example/s/a")),
            (STRAIGHT, "http://10.0.0.5:8080", is_mapped("https://agents.example")),
            (INNER, "http://10.0.0.5:8080/in/a", is_mapped("https://agents.example/foo/a")),
            (INNER, "http://10.0.0.5:8080/in", is_mapped("https://agents.example/foo")),
            (INNER, "http://10.0.0.5:8080/ink", Verdict::UnknownPath),
            (INNER, "http://10.0.0.5:8080/", Verdict::UnknownPath),
            (INNER, "http://10.0.0.5:8080/in/../b", Verdict::UnknownPath),
            // The card is asked for by an alternative that cannot be undone.
            (TWO, "http://10.0.0.5:8080/a", is_mapped("https://agents.example/two/a")),
        ] {
            let found = verdict_at(&PUBLIC, &mappings[route], Transport::Http, url);
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn what_is_public_or_nobodys_stays() {
        let mappings = mappings();
        for (url, expected) in [
            ("https://agents.example/planner/", Verdict::Public),
            ("https://AGENTS.example:443/", Verdict::Public),
            ("wss://agents.example/", Verdict::Public),
            ("agents.example:443", Verdict::Public),
            ("https://named.example:8443/x", Verdict::Public),
            ("http://agents.example/", Verdict::UnknownHost),
            ("https://agents.example:8443/", Verdict::UnknownHost),
            ("http://10.0.0.5/", Verdict::UnknownHost),
            ("http://10.0.0.5:8081/", Verdict::UnknownHost),
            ("https://elsewhere.example/", Verdict::UnknownHost),
            ("http://user@10.0.0.5:8080/", Verdict::UnknownHost),
            ("http://10.0.0.5:8080@elsewhere.example/", Verdict::UnknownHost),
            ("http://10.0.0.5:8080.elsewhere.example/", Verdict::UnknownHost),
            ("http://10.0.0.5:8080\\@elsewhere.example/", Verdict::UnknownHost),
            ("ftp://10.0.0.5:8080/", Verdict::UnknownHost),
            ("//10.0.0.5:8080/", Verdict::UnknownHost),
            ("/a2a", Verdict::UnknownHost),
            ("10.0.0.5:8080/a2a", Verdict::UnknownHost),
            ("", Verdict::UnknownHost),
        ] {
            let found = verdict_at(&PUBLIC, &mappings[PLANNER], Transport::Http, url);
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn grpc_is_a_host_and_a_port_without_a_prefix() {
        let mappings = mappings();
        for (url, expected) in [
            ("10.0.0.5:50051", is_mapped("agents.example:443")),
            ("[fd00:0::5]:50051", is_mapped("agents.example:443")),
            ("agent.internal", is_mapped("agents.example:443")),
            ("http://10.0.0.5:50051", is_mapped("https://agents.example")),
            ("https://10.0.0.5:50051/", is_mapped("https://agents.example/")),
            ("grpc://10.0.0.5:50051", is_mapped("grpcs://agents.example")),
            ("http://10.0.0.5:50051/svc", Verdict::UnknownPath),
            ("10.0.0.5:50052", Verdict::NotServed),
            ("10.0.0.5:50053", Verdict::UnknownHost),
            ("agents.example:443", Verdict::Public),
            ("user@10.0.0.5:50051", Verdict::UnknownHost),
        ] {
            let found = verdict_at(&PUBLIC, &mappings[PLANNER], Transport::Grpc, url);
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn the_public_address_has_its_own_prefix_port_and_scheme() {
        let mappings = mappings();
        let claimed = Claimed { prefix: Some("/team"), ..Claimed::default() };
        let sources = Sources { tls: false, asked: "[::1]:8080", claimed, ..PUBLIC };
        for (transport, url, expected) in [
            (Transport::Http, "http://10.0.0.5:8080/a", is_mapped("http://[::1]:8080/team/planner/a")),
            (Transport::Http, "https://agent.internal", is_mapped("http://[::1]:8080/team/planner")),
            (Transport::Grpc, "10.0.0.5:50051", is_mapped("[::1]:8080")),
            (Transport::Http, "http://[0:0::1]:8080/", Verdict::Public),
        ] {
            assert_eq!(verdict_at(&sources, &mappings[PLANNER], transport, url), expected, "{url}");
        }
        let unnamed = Sources { asked: "", ..PUBLIC };
        let found = verdict_at(&unnamed, &mappings[PLANNER], Transport::Http, "http://10.0.0.5:8080/");
        assert_eq!(found, Verdict::UnknownHost, "a client that names no host");
    }

    proptest::proptest! {
        #[test]
        fn what_was_mapped_is_public(
            grpc in proptest::bool::ANY,
            scheme in "(https?://|wss?://|grpcs?://|)",
            authority in "(10\\.0\\.0\\.5:8080|10\\.0\\.0\\.5:50051|agent\\.internal|agents\\.example)",
            target in "[a-z0-9.:@/\\\\?#%\\[\\]-]{0,20}",
        ) {
            static MAPPINGS: std::sync::LazyLock<Vec<PathMappings>> = std::sync::LazyLock::new(mappings);
            let transport = if grpc { Transport::Grpc } else { Transport::Http };
            let url = format!("{scheme}{authority}{target}");
            if let Verdict::Mapped(found) = verdict_at(&PUBLIC, &MAPPINGS[PLANNER], transport, &url) {
                let again = verdict_at(&PUBLIC, &MAPPINGS[PLANNER], transport, &found);
                proptest::prop_assert_eq!(again, Verdict::Public, "{} became {}", url, found);
            }
        }
    }
}
