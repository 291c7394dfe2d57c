//! Locations that agents send (`Location`, `Content-Location`, `Refresh`) in the form that clients can use: a location
//! that leads back to the agent gets the public scheme, host, port and path. Any other location stays as it is. Pure.

use super::host::{host_of, split_port};
use super::path_mapping::{PathMapping, PublicPath};
use super::public::Face;
use crate::config::model::Scheme;

/// What a location of an agent is mapped by.
#[derive(Clone, Copy, Debug)]
pub struct LocationMap<'a, F> {
    /// How the client sees the gateway.
    pub face: Face<'a>,
    /// How the client's paths relate to the agent's.
    pub paths: &'a PathMapping,
    /// The scheme the agent is spoken to with.
    pub scheme: Scheme,
    /// `host[:port]` the agent was sent as its own; empty when it was sent none.
    pub host_sent: &'a str,
    /// Whether this canonical host and port are an address of the agent.
    pub is_agent: F,
}

impl<F: Fn(&str, u16) -> bool> LocationMap<'_, F> {
    /// The location for the client; `None` when the agent's own can stay.
    #[must_use]
    pub fn location(&self, location: &str) -> Option<String> {
        let (scheme, after_scheme) = split_scheme(location);
        if let Some(rest) = after_scheme.strip_prefix("//") {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, target) = rest.split_at_checked(end)?;
            return self.absolute(scheme, authority, target).filter(|mapped| mapped != location);
        }
        // A relative path leads to the same place on either side.
        if scheme.is_some() || !location.starts_with('/') {
            return None;
        }
        let (path, rest) = split_path(location)?;
        match self.public(path) {
            PublicPath::To(path) if is_ambiguous(&path) => Some(format!("{}{path}{rest}", self.face.origin())),
            PublicPath::To(path) => Some(format!("{path}{rest}")),
            PublicPath::Same | PublicPath::Unknown => None,
        }
    }

    /// The value of `Refresh` for the client: `5; url=/tasks/7` (as nginx does for its `proxy_redirect`).
    #[must_use]
    pub fn refresh(&self, value: &str) -> Option<String> {
        let (start, url) = split_refresh(value)?;
        let quote = url.chars().next().filter(|first| matches!(first, '"' | '\''));
        let Some(quote) = quote else {
            return Some(format!("{start}{}", self.location(url.trim_end())?));
        };
        let inner = url.get(1..)?;
        let end = inner.find(quote)?;
        let (inner, rest) = inner.split_at_checked(end)?;
        Some(format!("{start}{quote}{}{rest}", self.location(inner)?))
    }

    fn absolute(&self, scheme: Option<Scheme>, authority: &str, target: &str) -> Option<String> {
        // An authority with userinfo, or anything else that is not one plain host, is not the agent's.
        let host = host_of(authority).ok()?;
        let scheme = scheme.unwrap_or(self.scheme);
        let port = split_port(authority).1;
        let own = self.is_host_sent(&host, port, scheme)
            || (self.is_agent)(&host, port.unwrap_or_else(|| scheme.default_port()));
        if !own || self.face.host().is_empty() {
            return None;
        }
        let (path, rest) = split_path(target)?;
        let path = if path.is_empty() { "/" } else { path };
        match self.public(path) {
            PublicPath::Same => Some(format!("{}{path}{rest}", self.face.origin())),
            PublicPath::To(path) => Some(format!("{}{path}{rest}", self.face.origin())),
            PublicPath::Unknown => None,
        }
    }

    /// Whether this is the host that was sent to the agent. The agent does not know a port that the `Host` left out.
    fn is_host_sent(&self, host: &str, port: Option<u16>, scheme: Scheme) -> bool {
        let Ok(sent) = host_of(self.host_sent) else {
            return false;
        };
        let said = port.filter(|port| *port != scheme.default_port());
        match split_port(self.host_sent).1 {
            Some(sent_port) => *sent == *host && port.unwrap_or_else(|| scheme.default_port()) == sent_port,
            None => *sent == *host && said.is_none(),
        }
    }

    fn public(&self, path: &str) -> PublicPath {
        if climbs(path) {
            return PublicPath::Unknown;
        }
        self.paths.to_public(self.face.prefix(), path)
    }
}

/// The scheme of an HTTP URL and what follows its colon; other schemes and everything else stay whole.
fn split_scheme(location: &str) -> (Option<Scheme>, &str) {
    let Some((scheme, rest)) = location.split_once(':') else {
        return (None, location);
    };
    if scheme.eq_ignore_ascii_case("https") {
        (Some(Scheme::Https), rest)
    } else if scheme.eq_ignore_ascii_case("http") {
        (Some(Scheme::Http), rest)
    } else {
        (None, location)
    }
}

/// The path, and query and fragment with what introduces them.
pub(super) fn split_path(target: &str) -> Option<(&str, &str)> {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    target.split_at_checked(end)
}

/// Seconds and what introduces the URL, and the URL.
fn split_refresh(value: &str) -> Option<(&str, &str)> {
    let at = value.find([';', ','])?;
    let after = value.get(at + 1..)?;
    let word = after.trim_start();
    let name = word.get(..3).filter(|name| name.eq_ignore_ascii_case("url"))?;
    let equals = word.get(name.len()..)?.trim_start().strip_prefix('=')?;
    let url = equals.trim_start();
    value.split_at_checked(value.len() - url.len())
}

/// Whether a path has dot segments, in any spelling that clients resolve, so that its beginning says nothing about
/// where it leads.
pub(super) fn climbs(path: &str) -> bool {
    let is_dots = |segment: &str| {
        let decoded = segment.replace("%2e", ".").replace("%2E", ".");
        matches!(decoded.as_str(), "." | "..")
    };
    path.split(['/', '\\']).any(is_dots)
}

/// Whether browsers would take what follows the first slash for a host.
fn is_ambiguous(path: &str) -> bool {
    path.get(1..).is_some_and(|rest| rest.starts_with(['/', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::public::Sources;

    /// An agent at `10.0.0.5:8080` behind `https://agents.example`, where `/planner` is taken away.
    fn mapped(sources: &Sources<'_>, host_sent: &str, location: &str, paths: &PathMapping) -> Option<String> {
        let is_agent =
            |host: &str, port: u16| matches!((host, port), ("10.0.0.5" | "agent.internal", 8080) | ("[fd00::5]", 80));
        let map = LocationMap { face: sources.face(), paths, scheme: Scheme::Http, host_sent, is_agent };
        map.location(location)
    }

    fn mappings() -> Vec<crate::route::PathMappings> {
        crate::route::path_mapping::of_text(
            "
            planner: { match: { path: { prefix: /planner } }, rewrite: { prefix: / }, respond: {} }
            straight: { match: { path: { prefix: /s } }, respond: {} }
            whole: { match: { path: { prefix: /w } }, rewrite: { path: /only }, respond: {} }
            ",
        )
    }

    const PLANNER: usize = 0;
    const STRAIGHT: usize = 1;
    const WHOLE: usize = 2;

    const PUBLIC: Sources<'static> = Sources {
        route: None,
        listener: None,
        names_hosts: false,
        claimed: crate::route::public::Claimed { scheme: None, host: None, port: None, prefix: None },
        tls: true,
        asked: "agents.example",
        local_port: 8443,
    };

    #[test]
    fn what_leads_back_to_the_agent_leads_through_the_gateway() {
        let mappings = mappings();
        for (location, expected) in [
            ("/tasks/7", Some("/planner/tasks/7")),
            ("/tasks/7?x=/y#z", Some("/planner/tasks/7?x=/y#z")),
            ("/", Some("/planner/")),
            ("/?x", Some("/planner/?x")),
            ("/planner/tasks/7", None),
            ("/planner", None),
            ("tasks/7", None),
            ("../tasks", None),
            ("?page=2", None),
            ("", None),
            ("/../admin", None),
            ("/%2e%2e/admin", None),
            ("/a%20b/caf\u{e9}", Some("/planner/a%20b/caf\u{e9}")),
            ("/a/.%2E/b", None),
            ("/a\\..\\b", None),
            ("/a/...", Some("/planner/a/...")),
            ("/caf\u{e9}", Some("/planner/caf\u{e9}")),
        ] {
            let found = mapped(&PUBLIC, "agents.example", location, mappings[PLANNER].get(0));
            assert_eq!(found.as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn the_agents_own_origins_become_the_public_one_and_others_stay() {
        let mappings = mappings();
        for (location, expected) in [
            // The agent's own addresses, and the host it was asked for.
            ("http://10.0.0.5:8080/tasks", Some("https://agents.example/planner/tasks")),
            ("http://agent.internal:8080", Some("https://agents.example/planner/")),
            ("http://agent.internal:8080?x", Some("https://agents.example/planner/?x")),
            ("HTTP://Agent.Internal.:8080/a#b", Some("https://agents.example/planner/a#b")),
            ("http://[FD00::5]/a", Some("https://agents.example/planner/a")),
            ("//10.0.0.5:8080/a", Some("https://agents.example/planner/a")),
            ("http://agents.example/a", Some("https://agents.example/planner/a")),
            ("https://agents.example/a", Some("https://agents.example/planner/a")),
            ("http://10.0.0.5:8080/planner/a", Some("https://agents.example/planner/a")),
            ("https://agents.example/planner/a", None),
            // Anybody else's.
            ("http://10.0.0.5/a", None),
            ("http://10.0.0.5:8081/a", None),
            ("http://agents.example:81/a", None),
            ("https://elsewhere.example/a", None),
            ("//elsewhere.example/a", None),
            ("http://10.0.0.5:8080@elsewhere.example/", None),
            ("http://user@10.0.0.5:8080/", None),
            ("http://10.0.0.5:8080.elsewhere.example/", None),
            ("http://10.0.0.5:8080\\@elsewhere.example/", None),
            ("ftp://10.0.0.5:8080/a", None),
            ("mailto:a@10.0.0.5", None),
            ("http:/a", None),
        ] {
            let found = mapped(&PUBLIC, "agents.example", location, mappings[PLANNER].get(0));
            assert_eq!(found.as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn without_a_rewrite_only_the_origin_is_another() {
        let mappings = mappings();
        for (host_sent, location, expected) in [
            ("", "/tasks/7", None),
            ("", "http://10.0.0.5:8080/tasks", Some("https://agents.example/tasks")),
            ("agents.example", "http://agents.example/a", Some("https://agents.example/a")),
            ("agents.example", "https://agents.example/a", None),
            ("a.example:81", "http://a.example:81/a", Some("https://agents.example/a")),
            ("a.example:81", "http://a.example/a", None),
            ("a.example:80", "http://a.example/a", Some("https://agents.example/a")),
            ("", "https://agents.example/a", None),
        ] {
            let found = mapped(&PUBLIC, host_sent, location, mappings[STRAIGHT].get(0));
            assert_eq!(found.as_deref(), expected, "{host_sent} {location}");
        }
    }

    #[test]
    fn a_replacement_that_cannot_be_undone_leaves_locations_alone() {
        let mappings = mappings();
        for location in ["/only", "/a", "http://10.0.0.5:8080/a"] {
            let found = mapped(&PUBLIC, "", location, mappings[WHOLE].get(0));
            assert_eq!(found, None, "{location}");
        }
    }

    #[test]
    fn a_path_of_the_agent_cannot_become_another_host() {
        let mappings = crate::route::path_mapping::of_text(
            " a: { match: { path: { prefix: / } }, rewrite: { prefix: /in }, respond: {} }",
        );
        for (location, expected) in [
            ("/in//evil.example/", "https://agents.example//evil.example/"),
            ("/in/\\evil.example/", "https://agents.example/\\evil.example/"),
            ("/in/a", "/a"),
        ] {
            let found = mapped(&PUBLIC, "", location, mappings[PLANNER].get(0));
            assert_eq!(found.as_deref(), Some(expected), "{location}");
        }
    }

    #[test]
    fn refresh_is_mapped_like_a_location() {
        let mappings = mappings();
        let map = LocationMap {
            face: PUBLIC.face(),
            paths: mappings[PLANNER].get(0),
            scheme: Scheme::Http,
            host_sent: "",
            is_agent: |_: &str, _| false,
        };
        for (value, expected) in [
            ("5; url=/tasks/7", Some("5; url=/planner/tasks/7")),
            ("0;URL = /a", Some("0;URL = /planner/a")),
            ("1, url=\"/a\"", Some("1, url=\"/planner/a\"")),
            ("1; url='/a' ", Some("1; url='/planner/a' ")),
            ("1; url=\"/a", None),
            ("1; url=/planner/a", None),
            ("1; url=https://elsewhere.example/", None),
            ("5", None),
            ("5;", None),
            ("5; u", None),
            ("5; \u{e9}\u{e9}", None),
        ] {
            assert_eq!(map.refresh(value).as_deref(), expected, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_location_breaks_it_and_what_comes_out_stays(
            location in "(https?:)?(//)?[a-z0-9.:@/\\\\?#%\\[\\]-]{0,30}",
        ) {
            static MAPPINGS: std::sync::LazyLock<Vec<crate::route::PathMappings>> = std::sync::LazyLock::new(mappings);
            let mappings = &*MAPPINGS;
            if let Some(found) = mapped(&PUBLIC, "agents.example", &location, mappings[PLANNER].get(0)) {
                proptest::prop_assert!(
                    found.starts_with("/planner") || found.starts_with("https://agents.example/planner"),
                    "{}", found
                );
                let again = mapped(&PUBLIC, "agents.example", &found, mappings[PLANNER].get(0));
                proptest::prop_assert_eq!(again, None);
            }
        }
    }
}
