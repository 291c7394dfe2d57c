//! `location` blocks: routes.

use super::site::{Match, Server};
use super::{Levels, World, access, headers, limits, proxy, redirect};
use crate::migrate::directive::{Block, Directive};
use crate::migrate::model::{Item, Kind, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

pub(super) fn translate(
    location: &Directive,
    outer: &Levels<'_, '_>,
    server: &Server,
    world: &mut World<'_>,
) -> Result<(), TooLarge> {
    let block = Block::new(location.children());
    let levels = Levels { block: &block, outer: Some(outer) };
    let matched = matched(location);
    for nested in block.named("location") {
        translate(nested.mark(), &levels, server, world)?;
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
    match_on(matched, location, server, &mut part);
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
        if !block.named("location").is_empty() {
            return Ok(());
        }
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

fn matched(location: &Directive) -> Match<'_> {
    let (sign, path) = match location.arguments.as_slice() {
        [sign, path, ..] => (sign.as_str(), path.as_str()),
        [both] => {
            let at = both.find(|c| !matches!(c, '=' | '^' | '~' | '*')).unwrap_or(both.len());
            both.split_at_checked(at).unwrap_or(("", both))
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

fn match_on(matched: Match<'_>, location: &Directive, server: &Server, part: &mut Part) {
    let line = location.place.line;
    let (kind, value) = match matched {
        Match::Exact(path) => ("exact", path.to_owned()),
        Match::Prefix("/") if server.has_patterns => ("regex", "/.*".to_owned()),
        Match::Prefix("/") | Match::Named => return,
        Match::Prefix(path) => {
            part.notes.push(Note::changed(line, prefix_note(path)));
            ("prefix", path.to_owned())
        }
        Match::Pattern { pattern, ignores_case } => {
            let text = format!(
                "{}: nginx takes the first pattern that fits and prefers it to a prefix; here a prefix wins, then the \
                 longest pattern",
                location.origin().text
            );
            part.notes.push(Note::changed(line, text));
            ("regex", words::whole_pattern(pattern, ignores_case))
        }
    };
    let path = Value::Map(Section::of(kind, Value::text(value)));
    let item = Item { value: Value::Map(Section::of("path", path)), origin: location.origin() };
    part.put(&["match"], Value::List(vec![item]), &crate::migrate::model::Origin::default());
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
