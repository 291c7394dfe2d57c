//! What requests look like in one case of a condition, and how a route asks for it.

use std::collections::HashSet;

use super::model::{Item, Origin, Part, Section, Value};

/// What holds in one case: everything in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Case {
    pub(super) hosts: Vec<String>,
    /// Kind and value of paths of which any may fit.
    pub(super) paths: Vec<(&'static str, String)>,
    pub(super) methods: Vec<String>,
    /// Names, kinds and values of header fields.
    pub(super) headers: Vec<(String, &'static str, String)>,
    pub(super) query: Vec<(String, &'static str, String)>,
    /// Whether the client uses TLS, or must not.
    pub(super) tls: Option<bool>,
    /// Networks of clients, and whether they must be in one of them.
    pub(super) clients: Option<(bool, Vec<String>)>,
    /// More requests than this in the time of a table.
    pub(super) rate: Option<u64>,
    /// More connections than this.
    pub(super) connections: Option<u64>,
    /// What no route can ask for.
    pub(super) unknown: Vec<String>,
}

impl Case {
    /// Whether it asks for nothing that a route cannot ask for.
    pub(super) fn is_of_requests(&self) -> bool {
        self.unknown.is_empty() && self.clients.is_none() && self.rate.is_none() && self.connections.is_none()
    }

    /// Whether it asks for nothing at all of the request itself.
    pub(super) fn is_everything(&self) -> bool {
        self.hosts.is_empty() && self.is_every_path() && self.methods.is_empty() && !self.asks_for_fields()
    }

    /// Whether any path will do.
    pub(super) fn is_every_path(&self) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|path| *path == ("prefix", "/".to_owned()))
    }

    /// Both at once. Of two lists of one kind, of which both would have to hold, the first stays, and `unknown` says
    /// that there was another.
    pub(super) fn and(mut self, other: Self) -> Self {
        join(&mut self.hosts, other.hosts, "hosts", &mut self.unknown);
        join(&mut self.paths, other.paths, "paths", &mut self.unknown);
        join(&mut self.methods, other.methods, "methods", &mut self.unknown);
        for (name, kind, text) in other.headers {
            self.header(name, kind, text);
        }
        for (name, kind, text) in other.query {
            self.parameter(name, kind, text);
        }
        one_of(&mut self.tls, other.tls, "tls", &mut self.unknown);
        one_of(&mut self.clients, other.clients, "clients", &mut self.unknown);
        one_of(&mut self.rate, other.rate, "rates", &mut self.unknown);
        one_of(&mut self.connections, other.connections, "connections", &mut self.unknown);
        self.unknown.extend(other.unknown);
        self.unknown.truncate(MAX_FIELDS);
        self
    }

    /// Asks for a header field too. A route asks for each once.
    pub(super) fn header(&mut self, name: String, kind: &'static str, text: String) {
        add_field(&mut self.headers, (name, kind, text), &mut self.unknown);
    }

    /// Asks for a parameter of the query too. A route asks for each once.
    pub(super) fn parameter(&mut self, name: String, kind: &'static str, text: String) {
        add_field(&mut self.query, (name, kind, text), &mut self.unknown);
    }

    /// Whether it asks for header fields or the query.
    pub(super) fn asks_for_fields(&self) -> bool {
        self.fields().next().is_some()
    }

    fn fields(&self) -> impl Iterator<Item = &(String, &'static str, String)> {
        self.headers.iter().chain(&self.query)
    }

    /// The first path that is the beginning of one and ends within a segment.
    pub(super) fn loose_prefix(&self) -> Option<&str> {
        let loose = |(kind, path): &&(&str, String)| *kind == "prefix" && !path.ends_with('/');
        self.paths.iter().find(loose).map(|(_, path)| path.as_str())
    }

    /// The members of `match` that it is, none where any request will do.
    fn members(&self) -> Vec<Section> {
        let mut rest = Section::default();
        if !self.methods.is_empty() {
            rest = rest.with("methods", Value::texts(self.methods.iter().cloned()));
        }
        for (key, fields) in [("headers", &self.headers), ("query", &self.query)] {
            for (name, kind, text) in fields {
                let value = if *kind == "present" { Value::plain(text) } else { Value::text(text) };
                rest.put(&[key, name, kind], value, &Origin::default());
            }
        }
        if self.is_every_path() {
            return if rest.entries.is_empty() { Vec::new() } else { vec![rest] };
        }
        let of = |(kind, path): &(&str, String)| {
            let path = Value::Map(Section::of(kind, Value::text(path)));
            let mut one = Section::of("path", path);
            one.entries.extend(rest.entries.iter().cloned());
            one
        };
        self.paths.iter().map(of).collect()
    }
}

/// Header fields, or parameters, of one case; with more nothing can ask for it.
const MAX_FIELDS: usize = 64;

/// Takes the other list where one is empty.
fn join<T: PartialEq>(one: &mut Vec<T>, other: Vec<T>, what: &str, unknown: &mut Vec<String>) {
    if one.is_empty() {
        *one = other;
    } else if !other.is_empty() && *one != other {
        unknown.push(format!("two lists of {what} at once"));
    }
}

fn one_of<T: PartialEq>(one: &mut Option<T>, other: Option<T>, what: &str, unknown: &mut Vec<String>) {
    match (&one, &other) {
        (Some(this), Some(that)) if this != that => unknown.push(format!("two conditions on {what} at once")),
        (Some(_), _) => {}
        (None, _) => *one = other,
    }
}

fn add_field(
    fields: &mut Vec<(String, &'static str, String)>,
    field: (String, &'static str, String),
    unknown: &mut Vec<String>,
) {
    match fields.iter().find(|(name, ..)| *name == field.0) {
        Some(there) if *there == field => {}
        None if fields.len() < MAX_FIELDS => fields.push(field),
        Some(_) | None => unknown.push(format!("two conditions on {}", field.0)),
    }
}

/// What earlier routes of a list take, where the first that fits wins.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Hosts, none for all, with the prefixes below which every request is taken.
    prefixes: HashSet<(Option<String>, String)>,
}

impl Taken {
    pub(super) fn add(&mut self, case: &Case) {
        let is_plain = case.methods.is_empty() && !case.asks_for_fields() && case.is_of_requests();
        if !is_plain {
            return;
        }
        let all = [("prefix", String::new())];
        let paths = if case.is_every_path() { &all[..] } else { &case.paths };
        for (kind, path) in paths {
            for host in hosts_of(case).filter(|_| *kind == "prefix") {
                self.prefixes.insert((host.map(str::to_owned), path.trim_end_matches('/').to_owned()));
            }
        }
    }

    /// Whether no request of a case is left, as far as that is plain.
    pub(super) fn has_all(&self, case: &Case) -> bool {
        let is_every = case.is_every_path();
        let paths: Vec<&str> = case.paths.iter().map(|(_, path)| path.as_str()).collect();
        let paths = if is_every { vec![""] } else { paths };
        let is_pattern = !is_every && case.paths.iter().any(|(kind, _)| *kind == "regex");
        let everywhere = [""];
        let paths = if is_pattern { &everywhere[..] } else { &paths };
        paths.iter().all(|path| hosts_of(case).all(|host| self.is_taken(host, path)))
    }

    fn is_taken(&self, host: Option<&str>, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).take(MAX_SEGMENTS);
        let mut prefixes = ends.filter_map(|at| path.get(..at)).chain([path.trim_end_matches('/')]);
        prefixes.any(|prefix| {
            let of = |host: Option<&str>| self.prefixes.contains(&(host.map(str::to_owned), prefix.to_owned()));
            of(host) || of(None)
        })
    }
}

/// Segments of a path that are looked at.
const MAX_SEGMENTS: usize = 64;

/// The hosts of a case; none of them are all.
fn hosts_of(case: &Case) -> impl Iterator<Item = Option<&str>> {
    let all = case.hosts.is_empty().then_some(None);
    all.into_iter().chain(case.hosts.iter().map(|host| Some(host.as_str())))
}

/// Has a route ask for any of some cases, which have the same hosts.
pub(super) fn ask(cases: &[Case], origin: &Origin, part: &mut Part) {
    let Some(first) = cases.first() else { return };
    if !first.hosts.is_empty() {
        let mut hosts = first.hosts.clone();
        hosts.sort();
        hosts.dedup();
        part.put(&["hosts"], Value::texts(hosts), origin);
    }
    let mut items: Vec<Item> = Vec::new();
    for case in cases {
        let members = case.members();
        if members.is_empty() {
            return;
        }
        let of = |one| Item { value: Value::Map(one), origin: origin.clone() };
        items.extend(members.into_iter().map(of));
    }
    part.put(&["match"], Value::List(items), &Origin::default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lists_of_one_kind_are_not_one_that_is_wider() {
        let paths = |path: &str| Case { paths: vec![("prefix", path.to_owned())], ..Case::default() };
        let methods = |method: &str| Case { methods: vec![method.to_owned()], ..Case::default() };
        let clients = |network: &str| Case { clients: Some((true, vec![network.to_owned()])), ..Case::default() };
        let field = |value: &str| {
            let mut case = Case::default();
            case.header("x".to_owned(), "exact", value.to_owned());
            case
        };
        for (one, other) in [
            (paths("/a"), paths("/b")),
            (methods("GET"), methods("POST")),
            (clients("10.0.0.0/8"), clients("11.0.0.0/8")),
            (field("a"), field("b")),
            (Case { rate: Some(1), ..Case::default() }, Case { rate: Some(2), ..Case::default() }),
        ] {
            let (same, both) = (one.clone().and(one.clone()), one.clone().and(other.clone()));
            assert_eq!(same, one, "a condition that is written twice is one");
            assert!(!both.unknown.is_empty(), "{one:?} and {other:?} became {both:?}");
            assert_eq!(Case { unknown: Vec::new(), ..both }, one);
        }
        let both = paths("/a").and(methods("GET")).and(field("a"));
        assert!(both.unknown.is_empty() && both.paths.len() + both.methods.len() + both.headers.len() == 3, "{both:?}");
    }

    #[test]
    fn what_earlier_routes_take_is_known() {
        let case = |host: &str, kind: &'static str, path: &str| Case {
            hosts: if host.is_empty() { Vec::new() } else { vec![host.to_owned()] },
            paths: vec![(kind, path.to_owned())],
            ..Case::default()
        };
        let mut taken = Taken::default();
        taken.add(&case("a.com", "prefix", "/x/"));
        taken.add(&Case { methods: vec!["GET".to_owned()], ..case("a.com", "prefix", "/y") });
        for (host, kind, path, expected) in [
            ("a.com", "prefix", "/x/deep", true),
            ("a.com", "exact", "/x", true),
            ("a.com", "prefix", "/xy", false),
            ("a.com", "regex", "/x/.*", false),
            ("b.com", "prefix", "/x", false),
            ("", "prefix", "/x", false),
            ("a.com", "prefix", "/y", false),
        ] {
            assert_eq!(taken.has_all(&case(host, kind, path)), expected, "{host} {kind} {path}");
        }
        taken.add(&Case::default());
        assert!(taken.has_all(&case("b.com", "regex", "/.*")), "everything is taken");
    }
}
