//! Matchers: a path, or a name with conditions.

use std::collections::HashMap;

use crate::migrate::case::Case;
use crate::migrate::directive::Directive;
use crate::migrate::words;

/// The named matchers of a site.
pub(super) type Matchers<'a> = HashMap<&'a str, &'a Directive>;

/// The case of a directive's matcher, and what stands behind it. One without a matcher holds for everything.
pub(super) fn split<'a>(directive: &'a Directive, matchers: &Matchers<'_>) -> (Option<Case>, &'a [String]) {
    let Some((first, rest)) = directive.arguments.split_first() else { return (None, &[]) };
    if first == "*" {
        return (Some(Case::default()), rest);
    }
    if first.starts_with('/') {
        let mut case = Case::default();
        case.paths.push(path(first));
        return (Some(case), rest);
    }
    match first.strip_prefix('@') {
        Some(name) => (Some(matchers.get(name).map_or_else(|| unknown(first), |found| named(found))), rest),
        None => (None, &directive.arguments),
    }
}

fn unknown(what: &str) -> Case {
    Case { unknown: vec![what.to_owned()], ..Case::default() }
}

/// `@name path /x` or `@name { .. }`.
fn named(matcher: &Directive) -> Case {
    let mut case = Case::default();
    matcher.mark_all();
    if matcher.block.is_none() {
        if let Some((kind, values)) = matcher.arguments.split_first() {
            ask(kind, values, &mut case);
        }
        return case;
    }
    for one in matcher.children() {
        ask(&one.name, &one.arguments, &mut case);
        if one.block.is_some() {
            case.unknown.push(one.name.clone());
        }
    }
    if ["path", "path_regexp"].iter().all(|kind| matcher.children().iter().any(|one| one.name == *kind)) {
        case.unknown.push("path and path_regexp at once".to_owned());
    }
    case
}

fn ask(kind: &str, values: &[String], case: &mut Case) {
    let pair = || Some((values.first()?.to_owned(), values.get(1)?.to_owned()));
    match kind {
        "path" => case.paths.extend(values.iter().map(|value| path(value))),
        "host" => case.hosts.extend(values.iter().cloned()),
        "method" => case.methods.extend(values.iter().cloned()),
        "path_regexp" if case.paths.is_empty() => {
            let pattern = values.last().map_or("", String::as_str);
            case.paths.push(("regex", words::whole_pattern(pattern, false)));
        }
        "header" => match pair() {
            Some((name, _)) if name.starts_with('!') => case.unknown.push(kind.to_owned()),
            Some((name, value)) => {
                let (kind, text) = wildcard(&value);
                case.header(name.to_ascii_lowercase(), kind, text);
            }
            None => case.unknown.push(kind.to_owned()),
        },
        "query" => {
            for value in values {
                match value.split_once('=') {
                    Some((name, value)) => {
                        let (kind, text) = wildcard(value);
                        case.parameter(name.to_owned(), kind, text);
                    }
                    None => case.unknown.push(kind.to_owned()),
                }
            }
        }
        "remote_ip" | "client_ip" if case.clients.is_none() => {
            let networks = values.iter().filter(|value| *value != "forwarded");
            case.clients = Some((true, networks.cloned().collect()));
        }
        _ => case.unknown.push(kind.to_owned()),
    }
}

/// `a*`, `*a`, `*` or a text.
fn wildcard(text: &str) -> (&'static str, String) {
    match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(""), _) => ("present", "true".to_owned()),
        (None, Some(start)) => ("prefix", start.to_owned()),
        (Some(_), _) => ("regex", text.split('*').map(words::literal).collect::<Vec<_>>().join(".*")),
        (None, None) => ("exact", text.to_owned()),
    }
}

/// `/x/*` and `/x*` are prefixes, `/x` is the whole path, other stars are patterns.
fn path(text: &str) -> (&'static str, String) {
    let stars = text.matches('*').count();
    match text.strip_suffix('*') {
        Some(start) if stars == 1 => ("prefix", if start.is_empty() { "/".to_owned() } else { start.to_owned() }),
        _ if stars == 0 => ("exact", text.to_owned()),
        _ => ("regex", text.split('*').map(words::literal).collect::<Vec<_>>().join(".*")),
    }
}
