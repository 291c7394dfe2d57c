//! How the paths clients use relate to those an agent sees, where a route replaces a prefix. Made once for each
//! configuration: forwarding fields need it for every request, mapped locations for some answers.

use http::HeaderValue;

use super::path_match::canonical_path;
use crate::config::model::{Config, Listener, ListenerId, PathMatch, PublicUrl, Rewrite, Route, after_prefix};

/// The mappings of one route.
#[derive(Debug, Default)]
pub struct PathMappings {
    /// By alternative; empty where the route does not rewrite.
    alternatives: Box<[PathMapping]>,
}

impl PathMappings {
    /// Works out the mappings of `route`, which is one of `config`.
    #[must_use]
    pub fn of(config: &Config, route: &Route) -> Self {
        let Some(rewrite) = &route.rewrite else {
            return Self::default();
        };
        let outer = outer_prefixes(config, route);
        let alternatives = route.matches.iter();
        Self {
            alternatives: alternatives.map(|alternative| PathMapping::of(rewrite, &alternative.path, &outer)).collect(),
        }
    }

    /// The mappings of all alternatives; none where both see the same paths.
    pub(super) fn all(&self) -> impl Iterator<Item = &PathMapping> {
        self.alternatives.iter()
    }

    /// The mapping of an alternative; where the route does not rewrite, both see the same paths.
    #[must_use]
    pub fn get(&self, matched: usize) -> &PathMapping {
        self.alternatives.get(matched).unwrap_or(&SAME_PATHS)
    }
}

/// The prefixes that may precede a route's paths by configuration.
fn outer_prefixes<'c>(config: &'c Config, route: &'c Route) -> Vec<&'c str> {
    let leads_here = |(at, listener): &(usize, &Listener)| {
        let redirect = listener.https_redirect.as_ref();
        let served = redirect.map_or(ListenerId(*at), |redirect| redirect.serves);
        route.listeners.contains(&served)
    };
    let listeners = config.listeners.iter().enumerate().filter(leads_here);
    let urls: Vec<&PublicUrl> = match &route.public_url {
        Some(url) => vec![url],
        None => listeners.filter_map(|(_, listener)| listener.public_url.as_deref()).collect(),
    };
    let mut prefixes: Vec<_> = urls.into_iter().map(PublicUrl::prefix).collect();
    prefixes.push("");
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

/// How the client's paths relate to the agent's for one alternative of a route.
#[derive(Debug)]
pub struct PathMapping {
    kind: Kind,
    /// `X-Forwarded-Prefix` for each prefix that may stand before by configuration.
    forwarded: Vec<(Box<str>, HeaderValue)>,
}

#[derive(Debug)]
enum Kind {
    /// Both see the same path.
    Same,
    /// One prefix stands for another; both without a slash at the end.
    Prefix {
        public: Box<str>,
        inner: Box<str>,
        /// The removed prefix, where the agent's paths are the ends of the client's.
        stripped: Option<Box<str>>,
    },
    /// A replacement that cannot be undone.
    OneWay,
}

static SAME_PATHS: PathMapping = PathMapping { kind: Kind::Same, forwarded: Vec::new() };

impl PathMapping {
    fn of(rewrite: &Rewrite, matched: &PathMatch, outer: &[&str]) -> Self {
        let kind = match (rewrite, canonical_path(matched)) {
            (Rewrite::Prefix(replacement), PathMatch::Prefix(public)) => {
                let inner = replacement.strip_suffix('/').unwrap_or(replacement);
                let stripped = public.strip_suffix(inner).map(Box::from);
                Kind::Prefix { public: public.into(), inner: inner.into(), stripped }
            }
            _ => Kind::OneWay,
        };
        let mut mapping = Self { kind, forwarded: Vec::new() };
        let value = |outer: &&str| Some((Box::from(*outer), mapping.make(outer)?));
        mapping.forwarded = outer.iter().filter_map(value).collect();
        mapping
    }

    /// The part of the client's path that the agent does not see: the value of `X-Forwarded-Prefix`, where `outer`
    /// precedes the gateway's own paths. `None` when it is empty, or when no one prefix makes the client's paths out of
    /// the agent's.
    #[must_use]
    pub fn forwarded(&self, outer: &str) -> Option<HeaderValue> {
        let known = self.forwarded.iter().find(|(known, _)| **known == *outer);
        match known {
            Some((_, value)) => Some(value.clone()),
            None => self.make(outer),
        }
    }

    fn make(&self, outer: &str) -> Option<HeaderValue> {
        let prefix = match &self.kind {
            Kind::Same | Kind::OneWay => outer.to_owned(),
            Kind::Prefix { stripped, .. } => format!("{outer}{}", stripped.as_deref()?),
        };
        if prefix.is_empty() {
            return None;
        }
        HeaderValue::try_from(prefix).ok()
    }

    /// Whether both see the same paths.
    #[must_use]
    pub fn are_same(&self) -> bool {
        matches!(self.kind, Kind::Same)
    }

    /// The path a client must use for one that the agent names, where `outer` stands before the gateway's own paths.
    pub(super) fn to_public(&self, outer: &str, path: &str) -> PublicPath {
        let (public, inner) = match &self.kind {
            Kind::Same => ("", ""),
            Kind::Prefix { public, inner, .. } => (&**public, &**inner),
            Kind::OneWay => return PublicPath::Unknown,
        };
        if outer.is_empty() && public == inner {
            return PublicPath::Same;
        }
        let rest = after_prefix(path, inner);
        // An agent that heeds X-Forwarded-Prefix, or knows where it is, names the client's path already.
        let before = outer.len() + public.len();
        let is_whole = |rest: &str| rest.is_empty() || rest.starts_with('/');
        let is_public = path
            .strip_prefix(outer)
            .and_then(|within| within.strip_prefix(public))
            .is_some_and(|rest| before > 0 && is_whole(rest));
        match rest {
            _ if is_public && !(rest.is_some() && inner.len() > before) => PublicPath::Same,
            Some("") if before == 0 => PublicPath::To("/".to_owned()),
            Some(rest) => PublicPath::To(format!("{outer}{public}{rest}")),
            None => PublicPath::Unknown,
        }
    }
}

/// The public form of a path that an agent names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicPath {
    /// It is the client's too.
    Same,
    /// The client's is this one.
    To(String),
    /// The route does not lead there.
    Unknown,
}

/// The mappings of each route of a configuration with these routes.
#[cfg(test)]
pub(super) fn of_text(routes: &str) -> Vec<PathMappings> {
    use crate::config::{self, Environment};

    let text = format!("listeners: {{ a: {{ address: '127.0.0.1:0' }} }}\nroutes:\n{routes}");
    let environment = Environment::empty(std::time::UNIX_EPOCH);
    let loaded = config::parse(&text, "test.yaml", &environment);
    let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
    config.routes.iter().map(|route| PathMappings::of(&config, route)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route;

    fn mapping(public: &str, inner: &str) -> PathMapping {
        let matched = PathMatch::Prefix(public.trim_end_matches('/').to_owned());
        PathMapping::of(&Rewrite::Prefix(inner.to_owned()), &matched, &["", "/team"])
    }

    fn forwarded(mapping: &PathMapping, outer: &str) -> String {
        let value = mapping.forwarded(outer);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_forwarded_prefix_is_what_the_agent_does_not_see() {
        for (public, inner, outer, expected) in [
            ("/planner", "/", "", "/planner"),
            ("/planner/", "/", "", "/planner"),
            ("/planner", "/", "/team", "/team/planner"),
            ("/planner", "/", "/elsewhere", "/elsewhere/planner"),
            ("/a/v1", "/v1", "", "/a"),
            ("/a/v1", "/v1/", "/team", "/team/a"),
            ("/v1", "/v1", "", ""),
            // There is no prefix that makes the client's path out of the agent's.
            ("/foo", "/xyz", "", ""),
            ("/foo", "/xyz", "/team", ""),
            ("/", "/xyz", "/team", ""),
            ("/", "/", "/team", "/team"),
        ] {
            let found = forwarded(&mapping(public, inner), outer);
            assert_eq!(found, expected, "{outer} {public} -> {inner}");
        }
        assert_eq!(forwarded(&SAME_PATHS, "/team"), "/team");
        assert_eq!(forwarded(&SAME_PATHS, ""), "");
        let whole = PathMapping::of(&Rewrite::Path("/only".to_owned()), &PathMatch::Prefix("/a".to_owned()), &[""]);
        assert_eq!(forwarded(&whole, ""), "");
        assert_eq!(forwarded(&whole, "/team"), "/team");
    }

    #[test]
    fn what_is_known_by_configuration_is_made_once() {
        let mapping = mapping("/planner", "/");
        let kept: Vec<_> = mapping.forwarded.iter().map(|(outer, _)| &**outer).collect();
        assert_eq!(kept, ["", "/team"]);
    }

    #[test]
    fn paths_come_back_by_whole_segments() {
        let to = |path: &str| PublicPath::To(path.to_owned());
        for (public, inner, outer, path, expected) in [
            ("/planner", "/", "", "/tasks/7", to("/planner/tasks/7")),
            ("/planner", "/", "", "/", to("/planner/")),
            ("/planner", "/", "", "/planner", PublicPath::Same),
            ("/planner", "/", "", "/planner/tasks", PublicPath::Same),
            ("/planner", "/", "", "/planners", to("/planner/planners")),
            ("/planner", "/", "/team", "/x", to("/team/planner/x")),
            ("/planner", "/", "/team", "/team/planner/x", PublicPath::Same),
            ("/planner", "/", "/team", "/planner/x", to("/team/planner/planner/x")),
            ("/foo", "/xyz", "", "/xyz", to("/foo")),
            ("/foo", "/xyz/", "", "/xyz/a", to("/foo/a")),
            ("/foo", "/xyz", "", "/xyza", PublicPath::Unknown),
            ("/foo", "/xyz", "", "/", PublicPath::Unknown),
            ("/foo", "/xyz", "", "/foo/a", PublicPath::Same),
            // The agent's own prefix is the longer one, so it is that.
            ("/foo", "/foo/bar", "", "/foo/bar/a", to("/foo/a")),
            ("/foo", "/foo/bar", "", "/foo/a", PublicPath::Same),
            ("/", "/xyz", "", "/xyz/a", to("/a")),
            ("/", "/xyz", "", "/xyz", to("/")),
            ("/", "/xyz", "", "/a", PublicPath::Unknown),
            ("/v1", "/v1", "", "/anything", PublicPath::Same),
            ("/v1", "/v1", "/team", "/v1/a", to("/team/v1/a")),
        ] {
            let found = mapping(public, inner).to_public(outer, path);
            assert_eq!(found, expected, "{outer} {public} -> {inner}: {path}");
        }
        assert_eq!(SAME_PATHS.to_public("", "/a"), PublicPath::Same);
        assert_eq!(SAME_PATHS.to_public("/team", "/a"), to("/team/a"));
        assert_eq!(SAME_PATHS.to_public("/team", "/team"), PublicPath::Same);
        assert_eq!(SAME_PATHS.to_public("/team", "/team/a"), PublicPath::Same);
        assert_eq!(SAME_PATHS.to_public("/team", "/teams"), to("/team/teams"));
    }

    proptest::proptest! {
        #[test]
        fn back_undoes_the_rewrite(
            public in "(/[ab]){0,2}",
            inner in "(/[cd]){0,2}",
            rest in "(/[ef]{1,2}){0,2}/?",
        ) {
            let matched = PathMatch::Prefix(public.clone());
            let rewrite = Rewrite::Prefix(if inner.is_empty() { "/".to_owned() } else { inner });
            let path = match format!("{public}{rest}") {
                empty if empty.is_empty() => "/".to_owned(),
                path => path,
            };
            let sent = route::rewrite(&rewrite, &matched, &path, None).unwrap();
            let back = match PathMapping::of(&rewrite, &matched, &[]).to_public("", sent.path()) {
                PublicPath::Same => sent.path().to_owned(),
                PublicPath::To(path) => path,
                PublicPath::Unknown => panic!("{path} became {sent}"),
            };
            // An empty rest is a slash to the agent.
            proptest::prop_assert!(back == path || back == format!("{path}/"), "{} {} {}", path, sent, back);
        }
    }
}
