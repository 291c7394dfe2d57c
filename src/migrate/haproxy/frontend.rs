//! `frontend` sections: routes to backends, redirects, refusals.

use super::condition::{Acls, split};
use super::{Frontend, Proxy, Redirect, World, bind, headers, limits};
use crate::migrate::case::{self, Case};
use crate::migrate::directive::Directive;
use crate::migrate::model::{Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::refusal::{self, Refusals};
use crate::migrate::words;

pub(super) fn translate(proxy: &Proxy<'_>, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    let entrances = bind::translate(proxy, world)?;
    let shared = Part::new(proxy.name.to_owned(), proxy.directive.origin());
    let acls = Acls::new(proxy.block.named("acl"));
    let mut frontend = Frontend { acls, entrances, shared, refusals: Refusals::default() };
    redirects_to_tls(proxy, &mut frontend, world);
    headers::of_section(proxy, &mut frontend.shared);
    limits::translate(proxy, &mut frontend, world)?;
    answers(proxy, &mut frontend, world)?;
    let uses = proxy.block.named("use_backend");
    if uses.len() > 1 {
        let text = "use_backend: HAProxy takes the first that fits; here the most specific route wins";
        world.draft.note(Note::changed(uses.first().map_or(0, |one| one.place.line), text));
    }
    for one in uses {
        use_backend(one.mark(), &frontend, world)?;
    }
    let default = world.sections.last(proxy, "default_backend", "");
    match (default, proxy.directive.name.as_str()) {
        (Some(default), _) => to_backend(default, default.argument(0), &Case::default(), &frontend, world),
        (None, "listen") => to_backend(proxy.directive, proxy.name, &Case::default(), &frontend, world),
        (None, _) => Ok(()),
    }
}

/// `redirect scheme https` for what comes in without TLS.
fn redirects_to_tls(proxy: &Proxy<'_>, frontend: &mut Frontend<'_>, world: &mut World<'_, '_>) {
    let mut is_redirecting = false;
    for rule in rules(proxy) {
        let (words, terms, is_unless) = split(rule);
        let words = redirect_words(rule, &words);
        if words.first().copied() != Some("scheme") || words.get(1).copied() != Some("https") {
            continue;
        }
        let cases = frontend.acls.cases(terms, is_unless);
        let [case] = cases.as_slice() else { continue };
        let is_plain = frontend.entrances.iter().all(|entrance| !entrance.is_tls);
        let is_meant = case.tls == Some(false) || is_plain && case.tls.is_none();
        if !is_meant || !case.is_everything() || !case.is_of_requests() {
            continue;
        }
        rule.mark();
        let status = words.iter().position(|word| *word == "code").and_then(|at| words.get(at + 1));
        let secure = frontend.entrances.iter().find(|entrance| entrance.is_tls).map(|entrance| entrance.name.clone());
        for entrance in frontend.entrances.iter().filter(|entrance| !entrance.is_tls) {
            world.redirects.push(Redirect {
                listener: entrance.index,
                secure: secure.clone(),
                status: status.map(|status| (*status).to_owned()),
                origin: rule.origin(),
            });
        }
        is_redirecting = true;
    }
    if is_redirecting {
        frontend.entrances.retain(|entrance| entrance.is_tls);
    }
}

/// Rules about requests in their order.
fn rules<'a>(proxy: &Proxy<'a>) -> impl Iterator<Item = &'a Directive> {
    proxy.block.all.iter().filter(|one| matches!(one.name.as_str(), "redirect" | "http-request"))
}

/// What stands behind `redirect` or `http-request redirect`.
fn redirect_words<'w>(rule: &Directive, words: &[&'w str]) -> Vec<&'w str> {
    match (rule.name.as_str(), words) {
        ("redirect", words) => words.to_vec(),
        (_, ["redirect", rest @ ..]) => rest.to_vec(),
        _ => Vec::new(),
    }
}

/// Redirects, refusals and answers that the frontend gives by itself, in their order: what comes before a refusal is
/// not refused.
fn answers(proxy: &Proxy<'_>, frontend: &mut Frontend<'_>, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    if let Some(monitor) = proxy.block.last("monitor-uri") {
        let mut part = route(monitor.argument(0), monitor, frontend, world);
        let paths = vec![("exact", monitor.argument(0).to_owned())];
        match_on(&Case { paths, ..Case::default() }, monitor, &mut part);
        part.put(&["respond", "status"], Value::plain(200), &monitor.origin());
        world.draft.add(Kind::Route, part)?;
    }
    for rule in rules(proxy) {
        let (words, terms, is_unless) = split(rule);
        let redirect = redirect_words(rule, &words);
        let action = words.first().copied().unwrap_or_default();
        let is_refusal = status_of(&words).is_some_and(|status| status.starts_with(['4', '5']));
        if redirect.is_empty() && action != "return" && !is_refusal || rule.is_used() {
            continue;
        }
        for case in frontend.acls.cases(terms, is_unless) {
            rule.mark();
            if is_refusal {
                refuse(rule, &words, case, frontend, world)?;
                continue;
            }
            let is_askable = case.is_of_requests() && case.tls.is_none();
            if !is_askable || case.is_everything() && redirect.is_empty() {
                let text = format!("{}: no route can ask for this condition", rule.origin().text);
                world.draft.note(Note::danger(rule.place.line, text));
                continue;
            }
            let mut part = route(&format!("{}-{action}", frontend.shared.name), rule, frontend, world);
            match_on(&case, rule, &mut part);
            frontend.refusals.guard(std::slice::from_ref(&case), &mut part, |_| true);
            if redirect.is_empty() {
                answer(rule, &words, &mut part);
            } else {
                lead(rule, &redirect, &mut part);
            }
            world.draft.add(Kind::Route, part)?;
        }
    }
    Ok(())
}

/// The status of a rule that answers by itself.
fn status_of<'w>(words: &[&'w str]) -> Option<&'w str> {
    let after = |wanted: &str| words.iter().position(|word| *word == wanted).and_then(|at| words.get(at + 1).copied());
    match *words.first()? {
        "return" => Some(after("status").unwrap_or("200")),
        "deny" | "reject" | "tarpit" | "silent-drop" => {
            Some(after("deny_status").or_else(|| after("status")).unwrap_or("403"))
        }
        _ => None,
    }
}

/// A refusal. What asks for paths and methods alone holds for all routes that come behind it, however specific they
/// are; the rest is a route, and those behind it that are more specific refuse the same as far as they can.
fn refuse(
    rule: &Directive,
    words: &[&str],
    case: Case,
    frontend: &mut Frontend<'_>,
    world: &mut World<'_, '_>,
) -> Result<(), TooLarge> {
    let origin = rule.origin();
    let is_askable = case.is_of_requests() && case.tls.is_none();
    if case.is_everything() && !is_askable {
        let text = format!("{}: no route can ask for this condition", origin.text);
        world.draft.note(Note::danger(rule.place.line, text));
        return Ok(());
    }
    if !is_askable {
        let text = format!(
            "{}: no route can ask for all of this condition, so this one refuses everybody until you write who may",
            origin.text
        );
        world.draft.note(Note::danger(rule.place.line, text));
    }
    let case =
        refusal::whole(Case { tls: None, clients: None, rate: None, connections: None, unknown: Vec::new(), ..case });
    let action = words.first().copied().unwrap_or_default();
    let is_plain = action != "return" && status_of(words) == Some("403");
    let is_by_path = case.hosts.is_empty() && !case.asks_for_fields();
    if !is_by_path || !is_plain && !case.is_everything() {
        let mut part = route(&format!("{}-{action}", frontend.shared.name), rule, frontend, world);
        case::ask(std::slice::from_ref(&case), &origin, &mut part);
        answer(rule, words, &mut part);
        world.draft.add(Kind::Route, part)?;
    } else if matches!(action, "reject" | "silent-drop" | "tarpit") {
        world.draft.note(Note::changed(rule.place.line, closes(rule, "403")));
    }
    if !is_by_path {
        world.draft.notes.extend(frontend.refusals.add(&case, &origin));
        return Ok(());
    }
    if !is_plain {
        let text = format!("{}: where another route is more specific, the answer is 403", origin.text);
        world.draft.note(Note::changed(rule.place.line, text));
    }
    world.draft.count(1 + case.paths.len() + case.methods.len())?;
    refusal::refuse(&case, &origin, &mut frontend.shared);
    Ok(())
}

/// Says that a connection is kept which HAProxy closes.
fn closes(rule: &Directive, status: &str) -> String {
    format!("{}: HAProxy closes the connection; here the answer is {status}", rule.origin().text)
}

/// `http-request return` and refusals.
fn answer(rule: &Directive, words: &[&str], part: &mut Part) {
    let after = |wanted: &str| words.iter().position(|word| *word == wanted).and_then(|at| words.get(at + 1).copied());
    let status = status_of(words).unwrap_or("403");
    let mut value = Section::of("status", Value::plain(status));
    if let Some(text) = after("string").or_else(|| after("lf-string")) {
        value = value.with("body", Value::text(text));
    }
    if let Some(kind) = after("content-type") {
        value = value.with("contentType", Value::text(kind));
    }
    part.put(&["respond"], Value::Map(value), &rule.origin());
    if matches!(words.first().copied(), Some("reject" | "silent-drop" | "tarpit")) {
        part.notes.push(Note::changed(rule.place.line, closes(rule, status)));
    }
}

/// `redirect location`, `prefix` and `scheme`.
fn lead(rule: &Directive, words: &[&str], part: &mut Part) {
    let origin = rule.origin();
    let target = words.get(1).copied().unwrap_or_default();
    let code = words.iter().position(|word| *word == "code").and_then(|at| words.get(at + 1)).copied();
    let mut value = Section::default();
    if target.contains("%[") || target.contains('?') {
        return part.unserved(&origin, &format!("{}: a redirect keeps the query, and has no variables", origin.text));
    }
    if words.first().copied() == Some("scheme") {
        value = value.with("scheme", Value::text(target));
    } else {
        let path = match words::url(target) {
            Some((scheme, authority, path)) => {
                value = value.with("scheme", Value::text(scheme));
                let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
                value = value.with("host", Value::text(host));
                if !port.is_empty() {
                    value = value.with("port", Value::plain(port));
                }
                path
            }
            None => target,
        };
        let is_prefix = words.first().copied() == Some("prefix");
        if !is_prefix || !matches!(path, "" | "/") {
            value = value.with("path", Value::text(if path.is_empty() { "/" } else { path }));
        }
        if is_prefix && !matches!(path, "" | "/") {
            part.notes.push(Note::changed(origin.line, format!("{}: leads to this very path here", origin.text)));
        }
    }
    let value = value.with("status", Value::plain(code.unwrap_or("302")));
    part.put(&["redirect"], Value::Map(value), &origin);
}

fn use_backend(rule: &Directive, frontend: &Frontend<'_>, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    let (words, terms, is_unless) = split(rule);
    let name = words.first().copied().unwrap_or_default();
    if name.contains("%[") {
        let text = format!("{}: a route names its cluster", rule.origin().text);
        world.draft.note(Note::dropped(rule.place.line, text));
        return Ok(());
    }
    for case in frontend.acls.cases(terms, is_unless) {
        if !case.is_of_requests() {
            let unknown: Vec<&str> = case.unknown.iter().map(String::as_str).take(3).collect();
            let unknown = unknown.join(" ");
            let text = format!("{}: no route can ask for this condition {unknown}", rule.origin().text);
            world.draft.note(Note::dropped(rule.place.line, text));
            continue;
        }
        to_backend(rule, name, &case, frontend, world)?;
    }
    Ok(())
}

/// A route to a backend for one case.
fn to_backend(
    rule: &Directive,
    name: &str,
    case: &Case,
    frontend: &Frontend<'_>,
    world: &mut World<'_, '_>,
) -> Result<(), TooLarge> {
    let mut part = route(name, rule, frontend, world);
    if let Some(wanted) = case.tls {
        let entrances = frontend.entrances.iter().filter(|entrance| entrance.is_tls == wanted);
        part.put(&["listeners"], Value::texts(entrances.map(|entrance| &entrance.name)), &rule.origin());
    }
    match_on(case, rule, &mut part);
    frontend.refusals.guard(std::slice::from_ref(case), &mut part, |_| true);
    match world.backends.get(name) {
        Some(backend) => {
            part.put(&["cluster"], Value::plain(&backend.cluster), &rule.origin());
            for entry in &backend.route.settings.entries {
                merge(&mut part, entry.key.as_str(), &entry.value, &entry.origin);
            }
            part.notes.extend(backend.route.notes.iter().cloned());
        }
        None => part.unserved(&rule.origin(), &format!("{}: there is no such backend", rule.origin().text)),
    }
    world.draft.add(Kind::Route, part)
}

/// Puts a setting of the backend beside those of the frontend.
fn merge(part: &mut Part, key: &str, value: &Value, origin: &Origin) {
    let Value::Map(section) = value else {
        part.settings.put_new(&[key], value.clone(), origin);
        return;
    };
    for entry in &section.entries {
        match &entry.value {
            Value::List(items) => {
                items.iter().for_each(|item| part.settings.push(&[key, &entry.key], item.value.clone(), &item.origin));
            }
            Value::Map(inner) => {
                for one in &inner.entries {
                    part.settings.put_new(&[key, &entry.key, &one.key], one.value.clone(), &one.origin);
                }
            }
            other => {
                part.settings.put_new(&[key, &entry.key], other.clone(), &entry.origin);
            }
        }
    }
}

/// A route with what all of the frontend share.
fn route(wanted: &str, rule: &Directive, frontend: &Frontend<'_>, world: &mut World<'_, '_>) -> Part {
    let mut part = Part::new(world.draft.name(Kind::Route, wanted), rule.origin());
    let listeners = frontend.entrances.iter().map(|entrance| &entrance.name);
    part.put(&["listeners"], Value::texts(listeners), &Origin::default());
    part.settings.entries.extend(frontend.shared.settings.entries.iter().cloned());
    part.notes.extend(frontend.shared.notes.iter().cloned());
    part
}

/// Has a route ask for what a case asks for.
fn match_on(case: &Case, rule: &Directive, part: &mut Part) {
    case::ask(std::slice::from_ref(case), &rule.origin(), part);
    if let Some(path) = case.loose_prefix() {
        let text = format!("path_beg {path}: a prefix ends where a segment ends here; HAProxy takes {path}x too");
        part.notes.push(Note::changed(rule.place.line, text));
    }
}
