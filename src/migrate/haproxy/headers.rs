//! Header fields and paths that a section changes.

use super::Proxy;
use super::condition::split;
use crate::migrate::directive::Directive;
use crate::migrate::model::{Origin, Part, Section, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

/// Puts what a frontend or backend changes without a condition into a route.
pub(super) fn of_section(proxy: &Proxy<'_>, part: &mut Part) {
    for rule in proxy.block.all {
        let section = match rule.name.as_str() {
            "http-request" => "requestHeaders",
            "http-response" | "http-after-response" => "responseHeaders",
            _ => continue,
        };
        let (words, terms, _) = split(rule);
        let is_change = words.first().is_some_and(|action| CHANGES.contains(action));
        if !is_change {
            continue;
        }
        if !terms.is_empty() {
            // What tells the scheme is always told.
            let is_forwarded = words.get(1).is_some_and(|name| name.to_ascii_lowercase().starts_with("x-forwarded-"));
            let text = if is_forwarded {
                "always sent, there is nothing to write"
            } else {
                "a route changes fields of all its requests"
            };
            let text = format!("{}: {text}", rule.origin().text);
            let line = rule.mark().place.line;
            part.notes.push(if is_forwarded { Note::changed(line, text) } else { Note::dropped(line, text) });
            continue;
        }
        rule.mark();
        change(rule, &words, section, part);
    }
}

const CHANGES: [&str; 5] = ["set-header", "add-header", "del-header", "set-path", "replace-path"];

fn change(rule: &Directive, words: &[&str], section: &str, part: &mut Part) {
    let (action, name) = (words.first().copied().unwrap_or_default(), words.get(1).copied().unwrap_or_default());
    let value = words.get(2..).unwrap_or_default().join(" ");
    let line = rule.place.line;
    let field = name.to_ascii_lowercase();
    match action {
        "del-header" => part.settings.push(&[section, "remove"], Value::text(field), &rule.origin()),
        "set-path" if !name.contains("%[") => part.put(&["rewrite", "path"], Value::text(name), &rule.origin()),
        "replace-path" => {
            let value = value.replace('\\', "$");
            let value =
                Section::of("pattern", Value::text(name)).with("replacement", Value::text(words::replacement(&value)));
            part.put(&["rewrite", "regex"], Value::Map(value), &rule.origin());
        }
        _ if field == "x-xss-protection" => {
            let text = "X-XSS-Protection: obsolete, and a danger in the browsers that knew it: not sent";
            part.notes.push(Note::danger(line, text));
        }
        _ if field.starts_with("x-forwarded-") || field == "x-real-ip" => {
            part.notes
                .push(Note::changed(line, format!("{}: always sent, there is nothing to write", rule.origin().text)));
        }
        _ if value.contains("%[") || name.contains("%[") || value.contains("%{") => {
            part.notes.push(Note::dropped(line, format!("{}: values have no variables here", rule.origin().text)));
        }
        "set-header" if field == "host" => part.put(&["upstreamHost"], Value::text(value), &rule.origin()),
        "set-header" => part.put(&[section, "set", &field], Value::text(value), &Origin::new(line, "set-header")),
        "add-header" => part.put(&[section, "add", &field], Value::text(value), &Origin::new(line, "add-header")),
        _ => part.notes.push(Note::dropped(line, format!("{}: values have no variables here", rule.origin().text))),
    }
}
