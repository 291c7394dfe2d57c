//! Refusals of a list in which the first that fits wins. In attache the most specific route wins, so a later route
//! would take requests that an earlier one refuses, unless it refuses them itself.

use std::cmp::Ordering;

use regex::{RegexSet, RegexSetBuilder};

use super::case::Case;
use super::model::{Item, Origin, Part, Section, Value};
use super::note::Note;
use super::words;

/// Earlier refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    known: Vec<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    case: Case,
    /// Its patterns, where they are legal.
    patterns: Option<RegexSet>,
    origin: Origin,
}

/// Refusals that are followed.
const MAX_REFUSALS: usize = 256;
/// Pairs of hosts and paths that are compared; of more, one counts as met.
const MAX_PAIRS: usize = 10_000;
/// Bytes that the patterns of one refusal may become.
const MAX_PATTERN: usize = 1 << 18;

impl Refusals {
    /// Remembers one. A note where there are more than are followed.
    pub(super) fn add(&mut self, case: &Case, origin: &Origin) -> Option<Note> {
        if self.known.len() >= MAX_REFUSALS {
            let text = format!(
                "{}: more than {MAX_REFUSALS} refusals: see that no route below it is more specific and takes its requests",
                origin.text
            );
            return Some(Note::danger(origin.line, text));
        }
        let patterns = case.paths.iter().filter(|(kind, _)| *kind == "regex");
        let patterns = patterns.map(|(_, pattern)| format!("^(?:{pattern})$"));
        let patterns = RegexSetBuilder::new(patterns).size_limit(MAX_PATTERN).build().ok();
        self.known.push(Refusal { case: case.clone(), patterns, origin: origin.clone() });
        None
    }

    /// Has a later route refuse what they do, where it would win. `counts` says which of them come before it, by their
    /// place in the order in which they were added.
    pub(super) fn guard(&self, cases: &[Case], part: &mut Part, counts: impl Fn(usize) -> bool) {
        let earlier = self.known.iter().enumerate().filter(|(at, _)| counts(*at));
        for (_, refusal) in earlier.filter(|(_, refusal)| cases.iter().any(|case| refusal.may_lose_to(case))) {
            let Refusal { case, origin, .. } = refusal;
            if !case.is_of_requests() || case.asks_for_fields() || case.tls.is_some() {
                let text = format!(
                    "{}: line {} refuses some of these requests first; here this route is more specific, and takes them",
                    part.origin.text, origin.line
                );
                part.notes.push(Note::danger(part.origin.line, text));
                continue;
            }
            let has_others = |later: &Case| {
                let is_refused = |host: &String| case.hosts.iter().any(|other| within(host, other));
                !case.hosts.is_empty() && (later.hosts.is_empty() || !later.hosts.iter().all(is_refused))
            };
            if cases.iter().any(has_others) {
                let text = format!("{}: refused for all hosts of a route that is more specific", origin.text);
                part.notes.push(Note::changed(origin.line, text));
            }
            refuse(case, origin, part);
        }
    }
}

impl Refusal {
    /// Whether there may be a request that fits both, and goes to the other here.
    fn may_lose_to(&self, other: &Case) -> bool {
        let are_apart = |one: &[String], other: &[String]| {
            !one.is_empty() && !other.is_empty() && !one.iter().any(|method| other.contains(method))
        };
        let is_other_side = matches!((self.case.tls, other.tls), (Some(ours), Some(theirs)) if ours != theirs);
        if are_apart(&self.case.methods, &other.methods) || is_other_side {
            return false;
        }
        if size(&self.case).saturating_mul(size(other)) > MAX_PAIRS {
            return true;
        }
        let (ours, theirs) = (places(&self.case), places(other));
        let is_lost = |ours: &Place<'_>, theirs: &Place<'_>| {
            ours.meets_host(theirs)
                && self.meets_path(ours, theirs)
                && self.order(ours, theirs, other) != Ordering::Greater
        };
        ours.iter().any(|place| theirs.iter().any(|their| is_lost(place, their)))
    }

    /// Whether there may be a path that fits both.
    fn meets_path(&self, ours: &Place<'_>, theirs: &Place<'_>) -> bool {
        match (ours.kind, theirs.kind) {
            ("exact", "exact") => ours.path == theirs.path,
            ("exact", "prefix") => is_below(ours.path, theirs.path),
            ("prefix", "exact") => is_below(theirs.path, ours.path),
            ("prefix", "prefix") => is_below(ours.path, theirs.path) || is_below(theirs.path, ours.path),
            ("regex", "exact") => self.patterns.as_ref().is_none_or(|patterns| patterns.is_match(theirs.path)),
            (one, other) => {
                let head = |kind: &str, path| if kind == "regex" { literal_head(path) } else { path };
                let (one, other) = (head(one, ours.path), head(other, theirs.path));
                one.starts_with(other) || other.starts_with(one)
            }
        }
    }

    /// Greater where the refusal is the more specific one of two places.
    fn order(&self, ours: &Place<'_>, theirs: &Place<'_>, other: &Case) -> Ordering {
        let methods = |case: &Case| !case.methods.is_empty();
        let numbers = |case: &Case| (case.headers.len(), case.query.len());
        let host = host_rank(ours.host).cmp(&host_rank(theirs.host));
        host.then_with(|| ours.path_rank().cmp(&theirs.path_rank()))
            .then_with(|| methods(&self.case).cmp(&methods(other)))
            .then_with(|| numbers(&self.case).cmp(&numbers(other)))
    }
}

/// A host with a path.
struct Place<'c> {
    host: Option<&'c str>,
    kind: &'static str,
    path: &'c str,
}

/// How many places a case has.
fn size(case: &Case) -> usize {
    case.hosts.len().max(1).saturating_mul(case.paths.len().max(1))
}

/// Every host of a case with every path.
fn places(case: &Case) -> Vec<Place<'_>> {
    let hosts: Vec<Option<&str>> =
        if case.hosts.is_empty() { vec![None] } else { case.hosts.iter().map(|host| Some(host.as_str())).collect() };
    let mut paths: Vec<(&'static str, &str)> = Vec::new();
    if case.is_every_path() {
        paths.push(("prefix", ""));
    } else {
        let bare = |kind, path: &str| if kind == "prefix" { path.trim_end_matches('/').len() } else { path.len() };
        paths.extend(case.paths.iter().filter_map(|(kind, path)| Some((*kind, path.get(..bare(*kind, path))?))));
    }
    hosts.iter().flat_map(|host| paths.iter().map(|(kind, path)| Place { host: *host, kind, path })).collect()
}

impl Place<'_> {
    fn meets_host(&self, other: &Self) -> bool {
        match (self.host, other.host) {
            (Some(one), Some(other)) => within(one, other) || within(other, one),
            _ => true,
        }
    }

    /// As routes are sorted: exact paths, then prefixes of more segments, then longer patterns.
    fn path_rank(&self) -> (u8, usize, usize) {
        match self.kind {
            "exact" => (2, 0, 0),
            "prefix" => (1, self.path.matches('/').count(), self.path.len()),
            _ => (0, self.path.len(), 0),
        }
    }
}

/// Whether a path is a prefix, or below it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Exact names before wildcards, longer wildcards before shorter ones, and all of them before none.
fn host_rank(host: Option<&str>) -> (u8, usize) {
    match host {
        Some(host) if host.starts_with('*') => (1, host.len()),
        Some(_) => (2, 0),
        None => (0, 0),
    }
}

/// Whether every host of one pattern is one of another.
fn within(host: &str, pattern: &str) -> bool {
    let (host, pattern) = (host.to_ascii_lowercase(), pattern.to_ascii_lowercase());
    match pattern.strip_prefix('*') {
        Some(end) => host.trim_start_matches('*').ends_with(end),
        None => host == pattern,
    }
}

/// What every text begins with that a pattern matches, as far as that is plain.
fn literal_head(pattern: &str) -> &str {
    let is_special =
        |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '~' | '%' | ':' | '@' | ' '));
    if pattern.contains('|') {
        return "";
    }
    let head = pattern.find(is_special).map_or(pattern, |end| pattern.get(..end).unwrap_or_default());
    match pattern.get(head.len()..).and_then(|rest| rest.chars().next()) {
        // What may be there no time is no head.
        Some('*' | '?' | '{') => head.get(..head.len().saturating_sub(1)).unwrap_or_default(),
        _ => head,
    }
}

/// A case of requests that are refused, whose prefixes end anywhere, as those of other proxies do: a route that refuses
/// must not leave what they take to another.
pub(super) fn whole(mut case: Case) -> Case {
    let loose = case.paths.iter().filter(|(kind, path)| *kind == "prefix" && !path.is_empty() && !path.ends_with('/'));
    let patterns: Vec<_> = loose.map(|(_, path)| ("regex", format!("{}.*", words::literal(path)))).collect();
    case.paths.extend(patterns);
    case
}

/// Has a route, or all that share a part, refuse what a case asks for by path and method.
pub(super) fn refuse(case: &Case, origin: &Origin, part: &mut Part) {
    let number = match part.settings.get(&["authorization", "rules"]) {
        Some(Value::List(rules)) => rules.len() + 1,
        _ => 1,
    };
    let mut rule = Section::of("name", Value::plain(format!("refused-{number}"))).with("action", Value::plain("deny"));
    if !case.methods.is_empty() {
        rule = rule.with("methods", Value::texts(case.methods.iter().cloned()));
    }
    if !case.is_every_path() {
        let of = |(kind, path): &(&str, String)| Item::of(Value::Map(Section::of(kind, Value::text(path))));
        rule = rule.with("paths", Value::List(case.paths.iter().map(of).collect()));
    }
    part.settings.push(&["authorization", "rules"], Value::Map(rule), origin);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(host: &str, kind: &'static str, path: &str) -> Case {
        Case {
            hosts: if host.is_empty() { Vec::new() } else { vec![host.to_owned()] },
            paths: if kind.is_empty() { Vec::new() } else { vec![(kind, path.to_owned())] },
            ..Case::default()
        }
    }

    /// What a later route does about an earlier refusal: it has the rule, a note, or neither.
    fn guarded(refusal: &Case, later: &Case) -> (bool, Vec<String>) {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.add(refusal, &Origin::new(3, "deny")), None);
        let mut part = Part::new("later".to_owned(), Origin::new(9, "use"));
        refusals.guard(std::slice::from_ref(later), &mut part, |_| true);
        (part.has(&["authorization", "rules"]), part.notes.iter().map(|note| note.placed("f")).collect())
    }

    #[test]
    fn a_more_specific_route_refuses_what_an_earlier_one_did() {
        let admin = || case("", "prefix", "/admin");
        for (refusal, later, expected, why) in [
            (admin(), case("a.com", "", ""), true, "a host counts more than a path"),
            (admin(), case("", "prefix", "/admin/api"), true, "a longer prefix"),
            (admin(), case("", "exact", "/admin/x"), true, "an exact path"),
            (admin(), case("", "prefix", "/"), false, "the refusal is longer"),
            (admin(), case("", "prefix", "/other"), false, "no path fits both"),
            (admin(), case("", "prefix", "/administrators"), false, "another segment"),
            (whole(admin()), case("", "prefix", "/administrators"), true, "their prefix ends anywhere"),
            (whole(admin()), case("", "", ""), true, "a route for the rest takes /adminx"),
            (whole(case("a.com", "prefix", "/admin")), case("", "", ""), false, "the refusal's host counts more"),
            (whole(case("", "prefix", "/admin/")), case("", "", ""), false, "the prefix ends with a segment"),
            (admin(), case("", "regex", "/admin/x.*"), false, "a prefix counts more than a pattern"),
            (
                case("", "regex", "/api/admin.*"),
                case("", "prefix", "/api/"),
                true,
                "a prefix counts more than a pattern",
            ),
            (case("", "regex", "/api/admin.*"), case("", "prefix", "/web/"), false, "the pattern begins otherwise"),
            (case("", "regex", "/a[0-9]"), case("", "exact", "/a7"), true, "the pattern fits"),
            (case("", "regex", "/a[0-9]"), case("", "exact", "/ab"), false, "the pattern does not fit"),
            (case("", "regex", "/a?b"), case("", "prefix", "/"), true, "the pattern may begin otherwise"),
            (case("*.a.com", "prefix", "/x"), case("b.a.com", "", ""), true, "an exact host counts more"),
            (
                case("b.a.com", "prefix", "/x"),
                case("*.a.com", "prefix", "/x/y"),
                false,
                "the refusal's host counts more",
            ),
            (case("a.com", "prefix", "/x"), case("b.com", "prefix", "/x/y"), false, "no host fits both"),
        ] {
            let (is_guarded, notes) = guarded(&refusal, &later);
            assert_eq!(is_guarded, expected, "{why}: {refusal:?} before {later:?}");
            assert_eq!(notes, [""; 0], "{why}");
        }
    }

    #[test]
    fn what_no_rule_can_refuse_has_a_note_with_both_lines() {
        let mut refusal = case("", "prefix", "/x");
        refusal.header("x-bad".to_owned(), "present", "true".to_owned());
        let (is_guarded, notes) = guarded(&refusal, &case("", "prefix", "/x/y"));
        assert!(!is_guarded);
        assert_eq!(
            notes,
            [
                "f:9: unsafe: use: line 3 refuses some of these requests first; here this route is more specific, and takes them"
            ]
        );
        let two = Case { hosts: vec!["a.com".to_owned(), "b.com".to_owned()], ..case("", "prefix", "/x/y") };
        let (is_guarded, notes) = guarded(&case("a.com", "prefix", "/x"), &two);
        assert!(is_guarded && notes.len() == 1 && notes[0].contains("f:3: changed"), "{notes:?}");
    }

    #[test]
    fn many_refusals_are_followed_up_to_a_bound_and_no_further_in_silence() {
        let mut refusals = Refusals::default();
        let added =
            (0..=MAX_REFUSALS).map(|at| refusals.add(&case("", "exact", &format!("/{at}")), &Origin::new(at, "x")));
        assert_eq!(added.flatten().map(|note| note.line).collect::<Vec<_>>(), [MAX_REFUSALS]);
        let many = |start: usize| Case {
            paths: (start..start + 900).map(|at| ("exact", format!("/{at}"))).collect(),
            ..Case::default()
        };
        assert!(guarded(&many(0), &many(10_000)).0, "what is not looked at counts as met");
    }
}
