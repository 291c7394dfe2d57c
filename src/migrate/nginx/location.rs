//! `location` blocks: routes.

use super::site::{Match, Server};
use super::{Levels, World, access, headers, limits, proxy, redirect};
use crate::migrate::directive::{Block, Directive};
use crate::migrate::model::{Item, Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

/// `within` is the prefix of the location around it, if that has one.
pub(super) fn translate(
    location: &Directive,
    outer: &Levels<'_, '_>,
    server: &Server,
    within: &str,
    world: &mut World<'_>,
) -> Result<(), TooLarge> {
    let block = Block::new(location.children());
    let levels = Levels { block: &block, outer: Some(outer) };
    let matched = matched(location);
    let inside = if let Match::Prefix(path) = matched { path } else { within };
    for nested in block.named("location") {
        translate(nested.mark(), &levels, server, inside, world)?;
    }
    if matched == Match::Named {
        location.mark_all();
        let text = format!("{}: requests are not passed from route to route", location.origin().text);
        world.draft.note(Note::dropped(location.place.line, text));
        return Ok(());
    }
    let path = location.arguments.last().map_or("", String::as_str);
    let name = world.draft.name(Kind::Route, path);
    let mut part = Part::new(name, location.origin());
    server.serve(&mut part);
    if match_on(matched, location, server, within, &mut part) {
        world.loose.push((world.draft.routes.len(), part.notes.len() - 1));
    }
    methods(&block, &mut part);
    if let Some(internal) = block.last("internal") {
        block.all.iter().for_each(Directive::mark_all);
        let note =
            format!("{}: internal, so clients get 404; there are no requests inside attache", location.origin().text);
        part.notes.push(Note::changed(location.place.line, note));
        part.put(&["respond", "status"], Value::plain(404), &internal.origin());
    } else if let Some(directive) = block.last("return") {
        redirect::translate(directive, &mut part);
    } else if !proxy::translate(&levels, matched, server, &mut part, world)? {
        part.notes.push(Note::dropped(location.place.line, format!("{}: {}", location.origin().text, FILES)));
        let answer = Section::of("status", Value::plain(404)).with("body", Value::text("not migrated"));
        part.put(&["respond"], Value::Map(answer), &location.origin());
    }
    headers::response(&levels, &mut part);
    access::translate(&levels, &mut part);
    limits::translate(&levels, &mut part, world)?;
    world.draft.add(Kind::Route, part)
}

const FILES: &str = "nginx serves files here, or another kind of upstream; attache serves none. The answer is 404";

/// How a location is matched. Its sign may stand before the path without a space.
pub(super) fn matched(location: &Directive) -> Match<'_> {
    let (sign, path) = match location.arguments.as_slice() {
        [sign, path, ..] => (sign.as_str(), path.as_str()),
        [both] => {
            let sign = SIGNS.into_iter().find(|sign| both.starts_with(sign)).unwrap_or("");
            (sign, both.strip_prefix(sign).unwrap_or(both))
        }
        [] => ("", "/"),
    };
    match sign {
        "=" => Match::Exact(path),
        "~" => Match::Pattern { pattern: path, ignores_case: false },
        "~*" => Match::Pattern { pattern: path, ignores_case: true },
        _ if path.starts_with('@') => Match::Named,
        _ => Match::Prefix(path),
    }
}

/// What stands before a path; longer ones first.
const SIGNS: [&str; 4] = ["=", "^~", "~*", "~"];

/// Has a route ask for every path, after all patterns of its server.
pub(super) fn everything(server: &Server, origin: &Origin, part: &mut Part) {
    if server.has_patterns {
        ask("regex", EVERYTHING.to_owned(), origin, part);
    }
}

/// No pattern is shorter, and the longest pattern wins.
const EVERYTHING: &str = ".*";

fn ask(kind: &str, path: String, origin: &Origin, part: &mut Part) {
    let path = Value::Map(Section::of(kind, Value::text(path)));
    let item = Item { value: Value::Map(Section::of("path", path)), origin: origin.clone() };
    part.put(&["match"], Value::List(vec![item]), &Origin::default());
}

/// Returns whether the last note says that the route takes less than the location.
fn match_on(matched: Match<'_>, location: &Directive, server: &Server, within: &str, part: &mut Part) -> bool {
    let (line, origin) = (location.place.line, location.origin());
    match matched {
        Match::Named => false,
        Match::Prefix("/") => {
            everything(server, &origin, part);
            false
        }
        Match::Exact(path) => {
            ask("exact", path.to_owned(), &origin, part);
            false
        }
        Match::Prefix(path) => {
            part.notes.push(Note::changed(line, prefix_note(path)));
            ask("prefix", path.to_owned(), &origin, part);
            !path.ends_with('/')
        }
        Match::Pattern { pattern, ignores_case } => {
            let text = format!(
                "{}: nginx takes the first pattern that fits and prefers it to a prefix; here a prefix wins, then the \
                 longest pattern",
                location.origin().text
            );
            part.notes.push(Note::changed(line, text));
            ask("regex", whole(pattern, ignores_case, within), &origin, part);
            true
        }
    }
}

/// A pattern that stands in a location with a prefix holds below it alone.
fn whole(pattern: &str, ignores_case: bool, within: &str) -> String {
    let within = within.trim_end_matches('/');
    let whole = if within.is_empty() || pattern.contains('^') {
        words::whole_pattern(pattern, ignores_case)
    } else {
        let flag = if ignores_case { "(?i)" } else { "" };
        format!("{flag}{}(?:{})", words::literal(within), words::whole_pattern(pattern, false))
    };
    // A longer pattern wins over the one for everything.
    if whole.len() > EVERYTHING.len() { whole } else { format!("(?:{whole})") }
}

/// `limit_except`, which refuses other methods.
fn methods(block: &Block<'_>, part: &mut Part) {
    let Some(limit) = block.last("limit_except") else { return };
    let is_deny_all = matches!(limit.children(), [one] if one.name == "deny" && one.argument(0) == "all");
    limit.mark_all();
    if !is_deny_all {
        let why = format!("{}: write an authorization policy for these methods", limit.origin().text);
        return part.close(&limit.origin(), &why);
    }
    let mut methods: Vec<&str> = limit.arguments.iter().map(String::as_str).collect();
    if methods.contains(&"GET") && !methods.contains(&"HEAD") {
        methods.push("HEAD");
    }
    let rule = Section::of("notMethods", Value::texts(methods))
        .with("name", Value::plain("limit-except"))
        .with("action", Value::plain("deny"));
    part.put(&["authorization", "rules"], Value::List(vec![Item::of(Value::Map(rule))]), &limit.origin());
}

fn prefix_note(path: &str) -> String {
    match path.strip_suffix('/') {
        Some(bare) => format!("location {path}: nginx redirects {bare} to {path}; here {bare} is served as it is"),
        None => format!("location {path}: a prefix ends where a segment ends here; nginx takes {path}x too"),
    }
}
