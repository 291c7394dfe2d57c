//! One handler of a site: a route.

use super::fields::{field, put};
use super::matcher::split;
use super::precedence::Precedence;
use super::{Site, World, guard, proxy};
use crate::migrate::case;
use crate::migrate::directive::{Block, Directive};
use crate::migrate::model::{Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::{refusal, words};

/// A handler with what stands in it and what the site says for all.
pub(super) struct Unit<'a, 'b> {
    pub(super) handler: &'a Directive,
    pub(super) is_block: bool,
    pub(super) own: Vec<&'a Directive>,
    pub(super) shared: &'b [&'a Directive],
}

/// Returns whether every request of the site comes here.
pub(super) fn translate(
    unit: &Unit<'_, '_>,
    site: &Site<'_>,
    precedence: &Precedence,
    world: &mut World<'_, '_>,
) -> Result<bool, TooLarge> {
    let handler = unit.handler;
    if handler.name == "handle_errors" {
        handler.mark_all();
        world.draft.note(Note::dropped(handler.place.line, "handle_errors: refusals have a short text and a reason"));
        return Ok(false);
    }
    let (case, _) = split(handler, &site.matchers);
    // A path that `handle_path` takes off is one to match on too.
    let mut case = case.unwrap_or_default();
    if !case.unknown.is_empty() || case.connections.is_some() {
        handler.mark_all();
        let text = format!("{}: no route can ask for this matcher, so it is left out", handler.origin().text);
        world.draft.note(Note::danger(handler.place.line, text));
        return Ok(false);
    }
    if case.hosts.is_empty() {
        case.hosts.clone_from(&site.hosts);
    }
    let is_refusal = precedence.is_refusal(handler);
    if is_refusal {
        case = refusal::whole(case);
    }
    let wanted = case.paths.first().map_or("", |(_, path)| path).to_owned();
    let wanted = if wanted.len() > 1 { wanted } else { site.hosts.first().cloned().unwrap_or_default() };
    let mut part = Part::new(world.draft.name(Kind::Route, &wanted), handler.origin());
    part.put(&["listeners"], Value::texts(site.listeners.iter().cloned()), &Origin::default());
    case::ask(std::slice::from_ref(&case), &site.origin, &mut part);
    if let Some((_, networks)) = &case.clients {
        part.put(&["ipAccess", "allow"], Value::texts(networks.iter().cloned()), &handler.origin());
        part.notes.push(Note::changed(
            handler.place.line,
            "remote_ip: other clients are refused here, no other handler gets them",
        ));
    }
    if !is_refusal {
        precedence.guard(handler, &case, &mut part);
    }
    if let Some(path) = case.loose_prefix().filter(|_| handler.argument(0).contains('*') && !is_refusal) {
        let text = format!("{path}*: a prefix ends where a segment ends here; Caddy takes {path}x too");
        part.notes.push(Note::changed(handler.place.line, text));
    }
    if handler.name == "handle_path" {
        part.put(
            &["rewrite", "prefix"],
            Value::text("/"),
            &Origin::new(handler.place.line, "handle_path takes the prefix off"),
        );
    }
    contents(unit, site, &mut part, world)?;
    guard::close(unit.shared, &unit.own, &case, site, &mut part);
    let is_everything = case.is_every_path() && case.clients.is_none();
    world.draft.add(Kind::Route, part)?;
    Ok(is_everything)
}

fn contents(unit: &Unit<'_, '_>, site: &Site<'_>, part: &mut Part, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    for one in unit.shared.iter().chain(&unit.own) {
        let is_handler = std::ptr::eq(*one, unit.handler);
        let (case, arguments) = split(one, &site.matchers);
        if case.is_some_and(|case| !case.is_everything()) && !is_handler {
            if unit.own.iter().any(|own| std::ptr::eq(*own, *one)) {
                let text = format!("{}: a condition within a handler: give it a route of its own", one.origin().text);
                part.notes.push(Note::danger(one.mark().place.line, text));
            }
            continue;
        }
        directive(one, arguments, part, world)?;
    }
    let has_action = ["cluster", "respond", "redirect", "split"].iter().any(|key| part.has(&[key]));
    if !has_action {
        let text = format!(
            "{}: Caddy serves files here, or nothing; attache serves none. The answer is 404",
            unit.handler.origin().text
        );
        part.notes.push(Note::dropped(unit.handler.place.line, text));
        let answer = Section::of("status", Value::plain(404)).with("body", Value::text("not migrated"));
        part.put(&["respond"], Value::Map(answer), &unit.handler.origin());
    }
    if !unit.is_block {
        unit.handler.mark();
    }
    Ok(())
}

fn directive(
    one: &Directive,
    arguments: &[String],
    part: &mut Part,
    world: &mut World<'_, '_>,
) -> Result<(), TooLarge> {
    let word = |index: usize| arguments.get(index).map_or("", String::as_str);
    let origin = one.origin();
    match one.name.as_str() {
        "reverse_proxy" => return proxy::translate(one.mark(), arguments, part, world),
        "respond" => respond(one.mark(), arguments, part),
        "redir" => redirect(one.mark(), arguments, part),
        "abort" => {
            part.put(&["respond", "status"], Value::plain(403), &one.mark().origin());
            part.notes.push(Note::changed(origin.line, "abort: Caddy closes the connection; here the answer is 403"));
        }
        "error" => {
            let status = arguments.iter().find(|word| word.parse::<u16>().is_ok()).map_or("500", String::as_str);
            part.put(&["respond", "status"], Value::plain(status), &one.mark().origin());
        }
        "header" => header(one.mark(), arguments, part),
        "request_header" => field(arguments, "requestHeaders", &one.mark().origin(), part),
        "log_skip" | "skip_log" => part.put(&["accessLog"], Value::plain("false"), &one.mark().origin()),
        "log" => {
            one.mark_all();
            world.draft.settings.put(&["accessLog", "output"], Value::plain("stdout"), &origin);
            world.draft.settings.put(&["accessLog", "format"], Value::plain("json"), &Origin::default());
        }
        "request_body" => {
            let block = Block::new(one.mark().children());
            if let Some(most) = block.last("max_size")
                && let Some(size) = words::size(most.argument(0))
            {
                part.put(&["maxBodyBytes"], Value::plain(size), &most.origin());
            }
        }
        "rewrite" if !word(0).contains(['{', '?']) => put(&["rewrite", "path"], word(0), &one.mark().origin(), part),
        "uri" => uri(one.mark(), arguments, part),
        "basic_auth" | "basicauth" | "forward_auth" | "authenticate" | "authorize" | "jwtauth" => {
            one.mark_all();
            let provider = if one.name == "forward_auth" { "external" } else { "basic" };
            part.close(&origin, &format!("{}: write `authProviders`: `{provider}`, and `auth` in the route", one.name));
        }
        _ => {}
    }
    Ok(())
}

fn respond(one: &Directive, arguments: &[String], part: &mut Part) {
    let (body, status) = match arguments {
        [status] if status.len() == 3 && status.parse::<u16>().is_ok() => (None, status.as_str()),
        [body] => (Some(body), "200"),
        [body, status, ..] => (Some(body), status.as_str()),
        [] => (None, "200"),
    };
    let block = Block::new(one.children());
    let body = body.map(String::as_str).or_else(|| block.last("body").map(|body| body.argument(0)));
    part.put(&["respond", "status"], Value::plain(status), &one.origin());
    if let Some(body) = body {
        put(&["respond", "body"], body, &one.origin(), part);
    }
}

fn redirect(one: &Directive, arguments: &[String], part: &mut Part) {
    let origin = one.origin();
    let target = arguments.first().map_or("", String::as_str);
    let status = match arguments.get(1).map(String::as_str) {
        Some("permanent") => "301",
        Some("temporary") | None => "302",
        Some(status) => status,
    };
    let (before, is_whole) = match target.strip_suffix("{uri}") {
        Some(before) => (before, true),
        None => (target, false),
    };
    let mut value = Section::default();
    let (place, path) = match words::url(before) {
        Some((scheme, authority, path)) => {
            if scheme != "{scheme}" {
                value = value.with("scheme", Value::text(scheme));
            }
            (authority, path)
        }
        None => ("{host}", before),
    };
    if !matches!(place, "{host}" | "{hostport}") {
        let (host, port) = place.rsplit_once(':').unwrap_or((place, ""));
        value = value.with("host", Value::text(host));
        if !port.is_empty() {
            value = value.with("port", Value::plain(port));
        }
    }
    if path.contains(['{', '?']) || is_whole && !path.is_empty() {
        return part
            .unserved(&origin, &format!("{}: a redirect keeps the query, and has no placeholders", origin.text));
    }
    if !is_whole {
        value = value.with("path", Value::text(if path.is_empty() { "/" } else { path }));
        part.notes.push(Note::changed(origin.line, format!("{}: the query of the request is kept here", origin.text)));
    }
    part.put(&["redirect"], Value::Map(value.with("status", Value::plain(status))), &origin);
}

fn header(one: &Directive, arguments: &[String], part: &mut Part) {
    if one.block.is_none() {
        return field(arguments, "responseHeaders", &one.origin(), part);
    }
    for line in one.children() {
        let mut words = vec![line.mark().name.clone()];
        words.extend(line.arguments.iter().cloned());
        if line.name != "defer" {
            field(&words, "responseHeaders", &line.origin(), part);
        }
    }
}

fn uri(one: &Directive, arguments: &[String], part: &mut Part) {
    let word = |index: usize| arguments.get(index).map_or("", String::as_str);
    let (pattern, replacement) = match word(0) {
        "strip_prefix" => (format!("^{}(.*)$", words::literal(word(1))), "${1}".to_owned()),
        "strip_suffix" => (format!("^(.*){}$", words::literal(word(1))), "${1}".to_owned()),
        "path_regexp" => (word(1).to_owned(), words::replacement(word(2))),
        _ => {
            let text = format!("{}: paths are changed by `rewrite`", one.origin().text);
            return part.notes.push(Note::dropped(one.place.line, text));
        }
    };
    let value = Section::of("pattern", Value::text(pattern)).with("replacement", Value::text(replacement));
    part.put(&["rewrite", "regex"], Value::Map(value), &one.origin());
}
