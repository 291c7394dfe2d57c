//! How the paths clients use relate to those an agent sees, where a route replaces a prefix. Made once for each configuration:
//! forwarding fields need it for every request, mapped locations for some answers.

use http::HeaderValue;

use super::rewrite::after_prefix;
use super::table::canonical_path;
use crate::config::model::{Config, ListenerId, PathMatch, PublicUrl, Rewrite, Route, RouteId};

/// The ways of every route of a configuration.
#[derive(Debug, Default)]
pub struct Ways {
    /// By [`RouteId`], and there by alternative; nothing for routes that do not rewrite.
    routes: Vec<Option<Box<[Way]>>>,
}

impl Ways {
    /// Works out the ways of `config`.
    #[must_use]
    pub fn build(config: &Config) -> Self {
        let ways = |route: &Route| {
            let rewrite = route.rewrite.as_ref()?;
            let outer = outer_prefixes(config, route);
            let alternatives = route.matches.iter();
            Some(
                alternatives
                    .map(|alternative| Way::of(rewrite, &alternative.path, &outer))
                    .collect(),
            )
        };
        Self {
            routes: config.routes.iter().map(ways).collect(),
        }
    }

    /// The way of a route's alternative; the straight one where the route does not rewrite.
    #[must_use]
    pub fn get(&self, route: RouteId, matched: usize) -> &Way {
        let ways = self.routes.get(route.0).and_then(Option::as_deref);
        ways.and_then(|ways| ways.get(matched)).unwrap_or(&STRAIGHT)
    }
}

/// What may stand before a route's paths by configuration.
fn outer_prefixes<'c>(config: &'c Config, route: &'c Route) -> Vec<&'c str> {
    let of_listener = |id: &ListenerId| config.listeners.get(id.0)?.public_url.as_deref();
    let urls: Vec<&PublicUrl> = match &route.public_url {
        Some(url) => vec![url],
        None => route.listeners.iter().filter_map(of_listener).collect(),
    };
    let mut prefixes: Vec<_> = urls.into_iter().map(PublicUrl::prefix).collect();
    prefixes.push("");
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

/// The way between the client's paths and the agent's for one alternative of a route.
#[derive(Debug)]
pub struct Way {
    kind: Kind,
    /// `X-Forwarded-Prefix` for each prefix that may stand before by configuration.
    forwarded: Vec<(Box<str>, HeaderValue)>,
}

#[derive(Debug)]
enum Kind {
    /// Both see the same path.
    Straight,
    /// One prefix stands for another; both without a slash at the end.
    Prefix {
        public: Box<str>,
        inner: Box<str>,
        /// What was taken away, where the agent's paths are the ends of the client's.
        stripped: Option<Box<str>>,
    },
    /// A replacement that cannot be undone.
    OneWay,
}

static STRAIGHT: Way = Way {
    kind: Kind::Straight,
    forwarded: Vec::new(),
};

impl Way {
    fn of(rewrite: &Rewrite, matched: &PathMatch, outer: &[&str]) -> Self {
        let kind = match (rewrite, canonical_path(matched)) {
            (Rewrite::Prefix(replacement), PathMatch::Prefix(public)) => {
                let inner = replacement.strip_suffix('/').unwrap_or(replacement);
                let stripped = public.strip_suffix(inner).map(Box::from);
                Kind::Prefix {
                    public: public.into(),
                    inner: inner.into(),
                    stripped,
                }
            }
            _ => Kind::OneWay,
        };
        let mut way = Self {
            kind,
            forwarded: Vec::new(),
        };
        let value = |outer: &&str| Some((Box::from(*outer), way.make(outer)?));
        way.forwarded = outer.iter().filter_map(value).collect();
        way
    }

    /// What stands before the paths the agent sees, as the client sees them: the value of `X-Forwarded-Prefix` where `outer` stands
    /// before the gateway's own paths. `None` when it is empty, or when the two cannot be told in one prefix.
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
            Kind::Straight | Kind::OneWay => outer.to_owned(),
            Kind::Prefix { stripped, .. } => format!("{outer}{}", stripped.as_deref()?),
        };
        if prefix.is_empty() {
            return None;
        }
        HeaderValue::try_from(prefix).ok()
    }

    /// Whether both see the same paths.
    #[must_use]
    pub fn is_straight(&self) -> bool {
        matches!(self.kind, Kind::Straight)
    }

    /// The path a client must use for one that the agent names, where `outer` stands before the gateway's own paths.
    pub(super) fn back(&self, outer: &str, path: &str) -> Back {
        let (public, inner) = match &self.kind {
            Kind::Straight => ("", ""),
            Kind::Prefix { public, inner, .. } => (&**public, &**inner),
            Kind::OneWay => return Back::Unknown,
        };
        if outer.is_empty() && public == inner {
            return Back::Same;
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
            _ if is_public && !(rest.is_some() && inner.len() > before) => Back::Same,
            Some("") if before == 0 => Back::To("/".to_owned()),
            Some(rest) => Back::To(format!("{outer}{public}{rest}")),
            None => Back::Unknown,
        }
    }
}

/// What becomes of a path that an agent names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// It is the client's too.
    Same,
    /// The client's is this one.
    To(String),
    /// The route does not lead there.
    Unknown,
}

/// The ways of a configuration with these routes.
#[cfg(test)]
pub(super) fn of_text(routes: &str) -> Ways {
    use crate::config::{self, Environment};

    let text = format!("listeners: {{ a: {{ address: '127.0.0.1:0' }} }}\nroutes:\n{routes}");
    let environment = Environment::empty(std::time::UNIX_EPOCH);
    let loaded = config::parse(&text, "test.yaml", &environment);
    Ways::build(&loaded.unwrap_or_else(|report| panic!("{report}")).config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route;

    fn way(public: &str, inner: &str) -> Way {
        let matched = PathMatch::Prefix(public.trim_end_matches('/').to_owned());
        Way::of(&Rewrite::Prefix(inner.to_owned()), &matched, &["", "/team"])
    }

    fn forwarded(way: &Way, outer: &str) -> String {
        let value = way.forwarded(outer);
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
            let found = forwarded(&way(public, inner), outer);
            assert_eq!(found, expected, "{outer} {public} -> {inner}");
        }
        assert_eq!(forwarded(&STRAIGHT, "/team"), "/team");
        assert_eq!(forwarded(&STRAIGHT, ""), "");
        let whole = Way::of(
            &Rewrite::Path("/only".to_owned()),
            &PathMatch::Prefix("/a".to_owned()),
            &[""],
        );
        assert_eq!(forwarded(&whole, ""), "");
        assert_eq!(forwarded(&whole, "/team"), "/team");
    }

    #[test]
    fn what_is_known_by_configuration_is_made_once() {
        let way = way("/planner", "/");
        let kept: Vec<_> = way.forwarded.iter().map(|(outer, _)| &**outer).collect();
        assert_eq!(kept, ["", "/team"]);
    }

    #[test]
    fn paths_come_back_by_whole_segments() {
        let to = |path: &str| Back::To(path.to_owned());
        for (public, inner, outer, path, expected) in [
            ("/planner", "/", "", "/tasks/7", to("/planner/tasks/7")),
            ("/planner", "/", "", "/", to("/planner/")),
            ("/planner", "/", "", "/planner", Back::Same),
            ("/planner", "/", "", "/planner/tasks", Back::Same),
            ("/planner", "/", "", "/planners", to("/planner/planners")),
            ("/planner", "/", "/team", "/x", to("/team/planner/x")),
            ("/planner", "/", "/team", "/team/planner/x", Back::Same),
            (
                "/planner",
                "/",
                "/team",
                "/planner/x",
                to("/team/planner/planner/x"),
            ),
            ("/foo", "/xyz", "", "/xyz", to("/foo")),
            ("/foo", "/xyz/", "", "/xyz/a", to("/foo/a")),
            ("/foo", "/xyz", "", "/xyza", Back::Unknown),
            ("/foo", "/xyz", "", "/", Back::Unknown),
            ("/foo", "/xyz", "", "/foo/a", Back::Same),
            // The agent's own prefix is the longer one, so it is that.
            ("/foo", "/foo/bar", "", "/foo/bar/a", to("/foo/a")),
            ("/foo", "/foo/bar", "", "/foo/a", Back::Same),
            ("/", "/xyz", "", "/xyz/a", to("/a")),
            ("/", "/xyz", "", "/xyz", to("/")),
            ("/", "/xyz", "", "/a", Back::Unknown),
            ("/v1", "/v1", "", "/anything", Back::Same),
            ("/v1", "/v1", "/team", "/v1/a", to("/team/v1/a")),
        ] {
            let found = way(public, inner).back(outer, path);
            assert_eq!(found, expected, "{outer} {public} -> {inner}: {path}");
        }
        assert_eq!(STRAIGHT.back("", "/a"), Back::Same);
        assert_eq!(STRAIGHT.back("/team", "/a"), to("/team/a"));
        assert_eq!(STRAIGHT.back("/team", "/team"), Back::Same);
        assert_eq!(STRAIGHT.back("/team", "/team/a"), Back::Same);
        assert_eq!(STRAIGHT.back("/team", "/teams"), to("/team/teams"));
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
            let back = match Way::of(&rewrite, &matched, &[]).back("", sent.path()) {
                Back::Same => sent.path().to_owned(),
                Back::To(path) => path,
                Back::Unknown => panic!("{path} became {sent}"),
            };
            // An empty rest is a slash to the agent.
            proptest::prop_assert!(back == path || back == format!("{path}/"), "{} {} {}", path, sent, back);
        }
    }
}
