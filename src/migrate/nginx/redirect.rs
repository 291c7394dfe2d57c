//! `return`: redirects and direct answers, also those that `if ($scheme ..)` holds.

use crate::migrate::directive::{Block, Directive};
use crate::migrate::model::{Origin, Part, Section, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

pub(super) fn translate(directive: &Directive, part: &mut Part) {
    let (code, text) = match (directive.argument(0), directive.argument(1)) {
        (url, "") if url.contains("://") || url.starts_with(['/', '$']) => ("302", url),
        both => both,
    };
    let origin = directive.origin();
    match code {
        "301" | "302" | "303" | "307" | "308" => redirect(code, text, &origin, part),
        "444" => {
            let note = "return 444: nginx closes the connection; here the answer is 403";
            part.notes.push(Note::changed(directive.place.line, note));
            part.put(&["respond", "status"], Value::plain(403), &origin);
        }
        _ => respond(code, text, directive, part),
    }
}

fn respond(code: &str, text: &str, directive: &Directive, part: &mut Part) {
    let mut answer = Section::of("status", Value::plain(code));
    if text.contains('$') {
        let note = format!("{}: the text of an answer has no variables here", directive.shown());
        part.notes.push(Note::dropped(directive.place.line, note));
    } else if !text.is_empty() && !matches!(code, "204" | "304") {
        answer = answer.with("body", Value::text(text));
    }
    part.put(&["respond"], Value::Map(answer), &directive.origin());
}

/// A redirect to a URL in which the variables of the request stand for what stays.
fn redirect(code: &str, target: &str, origin: &Origin, part: &mut Part) {
    let mut redirect = Section::default();
    let uri = URIS.iter().find_map(|uri| target.strip_suffix(uri));
    let (before, is_whole) = (uri.unwrap_or(target), uri.is_some());
    let (place, path) = match words::url(before) {
        Some((scheme, authority, path)) => {
            if scheme != "$scheme" {
                redirect = redirect.with("scheme", Value::text(scheme));
            }
            (authority, path)
        }
        None => ("$host", before),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, Some(port)),
        _ => (place, None),
    };
    if !HOSTS.contains(&host) {
        redirect = redirect.with("host", Value::text(host));
    }
    if let Some(port) = port {
        redirect = redirect.with("port", Value::plain(port));
    }
    let path = path.strip_suffix('?').unwrap_or(path);
    if path.contains(['$', '?']) || is_whole && !path.is_empty() {
        return part.unserved(origin, &format!("{}: a redirect keeps the query, and has no variables", origin.text));
    }
    if !is_whole {
        redirect = redirect.with("path", Value::text(if path.is_empty() { "/" } else { path }));
        part.notes.push(Note::changed(origin.line, format!("{}: the query of the request is kept here", origin.text)));
    }
    part.put(&["redirect"], Value::Map(redirect.with("status", Value::plain(code))), origin);
}

/// `if ($scheme != https) { return 301 .. }`, which many servers have, with what it returns.
pub(super) fn scheme_condition<'a>(block: &Block<'a>) -> Option<(&'a Directive, &'a Directive)> {
    block.named("if").iter().find_map(|condition| {
        let text: String = condition.arguments.concat();
        let is_plain = matches!(text.as_str(), "($scheme=http)" | "($scheme!=https)" | "($https=)" | "($https!=on)");
        let [target] = condition.children() else { return None };
        let is_target = target.name == "return" && target.arguments.iter().any(|one| one.starts_with("https://"));
        (is_plain && is_target).then_some((*condition, target))
    })
}

/// Whether a redirect only changes to HTTPS: the host, the path and the query stay.
pub(super) fn keeps_all(directive: &Directive) -> bool {
    let url = directive.arguments.last().and_then(|url| url.strip_prefix("https://"));
    url.is_some_and(|url| HOSTS.iter().any(|host| url.strip_prefix(host).is_some_and(|uri| URIS.contains(&uri))))
}

/// The host of the request.
const HOSTS: [&str; 3] = ["$host", "$http_host", "$server_name"];
/// Path and query of the request.
const URIS: [&str; 3] = ["$request_uri", "$uri$is_args$args", "$uri"];
