//! `routes.X.screening`: the patterns of a route, put together so that each part of a request is searched once. Routes
//! with the same settings, as those that have theirs from `defaults`, share them.

use std::collections::HashMap;
use std::sync::Arc;

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::Scope;
use super::shipped_patterns::SHIPPED;
use crate::config::keys::screening as raw;
use crate::config::model::{ScreenedPart, Screening, ScreeningId, Search, UNREAD};
use crate::config::node::{Step, below, steps};
use crate::config::report::Diagnostic;

/// What requests are searched for, as far as routes have said.
#[derive(Debug, Default)]
pub(super) struct Found {
    screenings: Vec<Arc<Screening>>,
    known: HashMap<raw::Screening, Option<ScreeningId>>,
}

/// One pattern on its way into the searches.
struct Pattern {
    name: String,
    regex: String,
    parts: Vec<ScreenedPart>,
}

impl Found {
    /// Resolves that of a route; `forwards` is false for routes that answer by themselves, and search nothing.
    pub(super) fn of_route(
        &mut self,
        route: &str,
        given: Option<Box<raw::Screening>>,
        forwards: bool,
        scope: &mut Scope<'_>,
    ) -> Option<ScreeningId> {
        let raw = *given?;
        if !forwards {
            return None;
        }
        let at = steps!["routes", route, "screening"];
        if let Some(known) = self.known.get(&raw) {
            return *known;
        }
        let made = make(&raw, &at, scope);
        let id = made.map(|screening| {
            self.screenings.push(Arc::new(screening));
            ScreeningId(self.screenings.len() - 1)
        });
        self.known.insert(raw, id);
        id
    }

    /// All of them.
    pub(super) fn finish(self) -> Vec<Arc<Screening>> {
        self.screenings
    }
}

fn make(raw: &raw::Screening, at: &[Step], scope: &mut Scope<'_>) -> Option<Screening> {
    check_exceptions(raw, at, scope);
    let patterns = patterns(raw, at, scope);
    if patterns.is_empty() {
        scope.missing(at, Diagnostic::invalid("there is nothing to search for").hint("write `screening: off`"));
        return None;
    }
    let headers = raw.headers.clone();
    let in_order = [ScreenedPart::Path, ScreenedPart::Query, ScreenedPart::Headers, ScreenedPart::Body];
    let mut searches = Vec::new();
    for part in in_order.into_iter().filter(|part| raw.parts.contains(part)) {
        let numbers: Vec<usize> = (0..patterns.len())
            .filter(|number| patterns.get(*number).is_some_and(|one| one.parts.contains(&part)))
            .collect();
        if numbers.is_empty() || part == ScreenedPart::Headers && headers.is_empty() {
            continue;
        }
        let regexes = numbers.iter().filter_map(|number| patterns.get(*number)).map(|one| one.regex.as_str());
        let Some(patterns) = compile(regexes) else {
            let diagnostic = Diagnostic::invalid("the patterns together are too large");
            scope.add_key(&below(at, "patterns"), diagnostic.hint("take some out, or make repetitions shorter"));
            return None;
        };
        searches.push(Search { part, patterns, numbers });
    }
    if searches.is_empty() {
        let diagnostic = Diagnostic::invalid("none of the patterns is for a part that is searched");
        scope.missing(&below(at, "parts"), diagnostic.hint("name more `parts`, or write `screening: off`"));
        return None;
    }
    let names = patterns.into_iter().map(|pattern| pattern.name).collect();
    Some(Screening { mode: raw.mode, names, searches, headers })
}

/// One set that finds all of them in one pass; `None` where it would be too large.
fn compile<'a>(regexes: impl Iterator<Item = &'a str>) -> Option<RegexSet> {
    RegexSetBuilder::new(regexes).size_limit(SET_BYTES).dfa_size_limit(CACHE_BYTES).build().ok()
}

/// The patterns of the sets, then those of one's own.
fn patterns(raw: &raw::Screening, at: &[Step], scope: &mut Scope<'_>) -> Vec<Pattern> {
    let is_wanted = |name: &str| !raw.except.iter().any(|except| except == name);
    let shipped = SHIPPED.iter().filter(|shipped| raw.sets.contains(&shipped.set) && is_wanted(shipped.name));
    let mut patterns: Vec<Pattern> = shipped
        .map(|shipped| Pattern {
            name: shipped.name.to_owned(),
            // Text is searched as bytes, for what is no UTF-8 as well.
            regex: format!("(?i-u:{})", shipped.regex),
            parts: shipped.parts.to_vec(),
        })
        .collect();
    let path = below(at, "patterns");
    if raw.patterns.len() > MAX_PATTERNS {
        let diagnostic = Diagnostic::invalid(format!("there are {} patterns", raw.patterns.len()));
        scope.add_key(&path, diagnostic.hint(format!("{MAX_PATTERNS} are possible")));
    }
    for (index, given) in raw.patterns.iter().enumerate() {
        let at = below(&path, index);
        let (Some(name), Some(regex)) = (&given.name, &given.regex) else {
            scope.lacks(&at, "a pattern has a name and a `regex`", "write `{ name: no-php, regex: '[.]php$' }`");
            continue;
        };
        check_name(name, &patterns, &at, scope);
        let parts = given.parts.clone().unwrap_or_else(|| raw.parts.clone());
        if !parts.iter().any(|part| raw.parts.contains(part)) {
            let message = format!("the pattern `{name}` is for nothing that is searched");
            scope.warn(&below(&at, "parts"), "without-effect", message, "add its parts to `parts` of the screening");
        }
        patterns.push(Pattern { name: name.clone(), regex: regex.clone(), parts });
    }
    patterns
}

fn check_name(name: &str, others: &[Pattern], at: &[Step], scope: &mut Scope<'_>) {
    scope.own_name("pattern", name, at);
    if others.iter().any(|other| other.name == name) || name == UNREAD {
        scope.add(&below(at, "name"), Diagnostic::invalid(format!("another pattern is called `{name}`")));
    }
}

/// What is left out must be there: a mistake in a name would leave a pattern in, and what it finds is refused.
fn check_exceptions(raw: &raw::Screening, at: &[Step], scope: &mut Scope<'_>) {
    for (index, except) in raw.except.iter().enumerate() {
        let at = scope.one_of(&below(at, "except"), index);
        match SHIPPED.iter().find(|shipped| shipped.name == except) {
            None => scope.dangling(&at, "pattern", except, SHIPPED.iter().map(|shipped| shipped.name)),
            Some(shipped) if !raw.sets.contains(&shipped.set) => {
                let message = format!("`{except}` is not in a set that is searched for");
                scope.warn(&at, "without-effect", message, "take it out");
            }
            Some(_) => {}
        }
    }
}

/// Patterns of one's own, in one screening.
const MAX_PATTERNS: usize = 64;
/// Memory of a compiled set.
const SET_BYTES: usize = 32 << 20;
/// Memory in which one search keeps what it has worked out.
const CACHE_BYTES: usize = 4 << 20;
