//! Makes a draft one that can be loaded. The configuration's own reader says what it does not take; that is taken out
//! with a note, until it has nothing more to say. Nothing that kept somebody out is taken out without closing what it
//! stood before.

use std::time::SystemTime;

use super::model::{Draft, Origin, Part, Section, Value};
use super::note::Note;
use super::print::{Printed, Step, print};
use crate::config::{Environment, Report, parse};

/// Rounds of taking out. Each takes out everything that was said at once, which is not all where much is wrong.
const MAX_ROUNDS: usize = 64;
/// After so many rounds a whole key goes with what is wrong in it, and later a whole part.
const MAX_SINGLE: usize = 3;
const MAX_KEYS: usize = 12;

/// Prints a draft that its own reader takes.
///
/// # Errors
/// What the reader says in the end, where taking out did not help.
pub(super) fn settle(draft: &mut Draft, file: &str, head: &[String]) -> Result<Printed, Report> {
    let environment = Environment::empty(SystemTime::now()).without_certificates();
    let mut rounds = 0;
    loop {
        let printed = print(draft, file, head);
        let Err(report) = parse(&printed.text, "attache.yaml", &environment) else { return Ok(printed) };
        rounds += 1;
        if rounds > MAX_ROUNDS {
            return Err(report);
        }
        let mut taken: Vec<(Vec<Step>, String)> = Vec::new();
        for diagnostic in report.diagnostics() {
            let line = report.place(diagnostic).map(|(_, line, ..)| line);
            let path = line.and_then(|line| printed.at(line));
            if let Some(path) = path.filter(|_| diagnostic.severity == crate::config::Severity::Error) {
                let most = if rounds <= MAX_SINGLE { path.len() } else { depth(path, rounds) };
                let path = path.get(..most).unwrap_or(path);
                taken.push((path.to_vec(), diagnostic.message.clone()));
            }
        }
        // From the end, so that the numbers of what is before stay.
        taken.sort_by_key(|(path, _)| std::cmp::Reverse(rank(path)));
        taken.dedup_by(|(one, _), (other, _)| one == other);
        let mut has_helped = false;
        for (path, why) in taken {
            has_helped |= take_out(draft, &path, &why);
        }
        if !has_helped {
            return Err(report);
        }
    }
}

/// How many steps of a path are taken where single values were too many.
fn depth(path: &[Step], rounds: usize) -> usize {
    let is_part = matches!(path.first(), Some(Step::Part(..)));
    1 + usize::from(is_part && rounds <= MAX_KEYS)
}

/// Sorts places so that later members of a list come after earlier ones.
fn rank(path: &[Step]) -> Vec<(usize, String)> {
    let step = |step: &Step| match step {
        Step::Part(section, index) => (*index, (*section).to_owned()),
        Step::Key(key) => (0, key.clone()),
        Step::Index(index) => (*index, String::new()),
    };
    path.iter().map(step).collect()
}

/// Takes a setting out. Returns false when it is not there any more.
fn take_out(draft: &mut Draft, path: &[Step], why: &str) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match first {
        Step::Key(_) => {
            let Some(origin) = remove(&mut draft.settings, path) else { return false };
            draft.notes.push(Note::dropped(origin.line, refused(path, &origin, why)));
            true
        }
        Step::Part(section, index) => {
            let (mut orphans, section) = (Vec::new(), *section);
            let Some((_, parts)) = draft.named().into_iter().find(|(name, _)| *name == section) else { return false };
            let Some(part) = parts.get_mut(*index) else { return false };
            if is_whole(section, rest) || is_last_of_clients(section, part, rest) {
                let part = parts.remove(*index);
                orphans.extend(part.notes);
                orphans.push(without(section, &part.name, &part.origin, why));
            } else {
                let Some(origin) = remove(&mut part.settings, rest) else { return false };
                mend(section, part, rest, &origin, why);
            }
            draft.notes.extend(orphans);
            true
        }
        Step::Index(_) => false,
    }
}

/// Whether a part makes no sense, or too much, without what is to be taken out.
fn is_whole(section: &str, rest: &[Step]) -> bool {
    let Some(Step::Key(key)) = rest.first() else { return true };
    match section {
        "routes" => matches!(key.as_str(), "match" | "hosts" | "listeners"),
        "listeners" => matches!(key.as_str(), "address" | "ipAccess" | "proxyProtocol") || is_client_auth(rest),
        "authorizationPolicies" | "authProviders" | "rateLimits" => true,
        _ => false,
    }
}

/// Whether a listener would be open to clients without the certificate that it asked them for.
fn is_last_of_clients(section: &str, part: &Part, rest: &[Step]) -> bool {
    section == "listeners" && *rest == [Step::Key("tls".to_owned())] && part.has(&["tls", "clientAuth"])
}

fn is_client_auth(rest: &[Step]) -> bool {
    rest.get(1) == Some(&Step::Key("clientAuth".to_owned()))
}

/// The note about a part that is gone.
fn without(section: &str, name: &str, origin: &Origin, why: &str) -> Note {
    let text = format!("`{section}.{name}` is left out ({}): {why}", origin.text);
    match section {
        "routes" => Note::danger(origin.line, format!("{text}. Its requests go to other routes now, or get 404")),
        "listeners" | "authorizationPolicies" | "authProviders" | "rateLimits" => Note::danger(origin.line, text),
        _ => Note::dropped(origin.line, text),
    }
}

/// Says what a part lacks now, and closes it where that let nobody in.
fn mend(section: &str, part: &mut Part, rest: &[Step], origin: &Origin, why: &str) {
    let key = match rest.first() {
        Some(Step::Key(key)) => key.as_str(),
        _ => "",
    };
    let text = refused(rest, origin, why);
    match (section, key) {
        ("routes", "auth" | "authorization" | "ipAccess") => part.close(origin, &text),
        ("routes", "cluster" | "split" | "respond" | "redirect" | "rollout") => {
            let answer = Section::of("status", Value::plain(503)).with("body", Value::text("not migrated"));
            part.settings.entries.retain(|entry| !ACTIONS.contains(&entry.key.as_str()));
            part.put(&["respond"], Value::Map(answer), origin);
            part.notes.push(Note::danger(origin.line, format!("{text}. Until you write what happens, it is 503")));
        }
        ("routes", "rateLimit" | "maxConcurrentPerClient") | ("listeners", "tls" | "httpsRedirect") => {
            part.notes.push(Note::danger(origin.line, text));
        }
        _ => part.notes.push(Note::dropped(origin.line, text)),
    }
}

/// What a route can do, and what needs it to forward.
const ACTIONS: [&str; 7] = ["cluster", "split", "respond", "redirect", "rollout", "rewrite", "mirror"];

fn refused(path: &[Step], origin: &Origin, why: &str) -> String {
    let keys = path.iter().filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Part(..) | Step::Index(_) => None,
    });
    let path = keys.collect::<Vec<_>>().join(".");
    let origin = if origin.text.is_empty() { String::new() } else { format!("{}: ", origin.text) };
    format!("{origin}attache does not take this as `{path}`: {why}")
}

/// Removes what is at the end of a path, with what is empty without it. Its origin, if it was there.
fn remove(section: &mut Section, path: &[Step]) -> Option<Origin> {
    let (first, rest) = path.split_first()?;
    let Step::Key(key) = first else { return None };
    let at = section.entries.iter().position(|entry| entry.key == *key)?;
    if rest.is_empty() {
        return Some(section.entries.remove(at).origin);
    }
    let entry = section.entries.get_mut(at)?;
    let above = entry.origin.clone();
    let removed = remove_in(&mut entry.value, rest)?;
    if is_empty(&entry.value) {
        section.entries.remove(at);
    }
    Some(if removed.text.is_empty() { above } else { removed })
}

fn remove_in(value: &mut Value, path: &[Step]) -> Option<Origin> {
    match (value, path.split_first()?) {
        (Value::Map(section), (Step::Key(_), _)) => remove(section, path),
        (Value::List(items), (Step::Index(index), rest)) => {
            if rest.is_empty() {
                return (*index < items.len()).then(|| items.remove(*index).origin);
            }
            let item = items.get_mut(*index)?;
            let removed = remove_in(&mut item.value, rest)?;
            if is_empty(&item.value) {
                items.remove(*index);
            }
            Some(removed)
        }
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Map(section) => section.entries.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Plain(_) | Value::Text(_) | Value::Template(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Item, Kind};
    use super::*;

    fn draft(route: impl FnOnce(&mut Part)) -> Draft {
        let mut draft = Draft::default();
        let mut listener = Part::new("http".to_owned(), Origin::default());
        listener.put(&["address"], Value::text("0.0.0.0:80"), &Origin::default());
        draft.add(Kind::Listener, listener).unwrap();
        let mut part = Part::new("one".to_owned(), Origin::new(5, "location"));
        part.put(&["respond", "status"], Value::plain(200), &Origin::default());
        route(&mut part);
        draft.add(Kind::Route, part).unwrap();
        draft
    }

    fn settled(mut draft: Draft) -> String {
        settle(&mut draft, "x", &[]).unwrap().text
    }

    #[test]
    fn what_is_not_taken_is_taken_out_with_a_note() {
        let origin = Origin::new(7, "timeout 5 parsecs");
        let text = settled(draft(|route| route.put(&["timeout"], Value::plain("5parsecs"), &origin)));
        assert!(text.contains("# x:7: dropped: timeout 5 parsecs: attache does not take this as `timeout`"), "{text}");
        assert!(!text.contains("timeout: 5"), "{text}");
        let text = settled(draft(|route| {
            for wrong in ["a b", "good", "c d", "also good"] {
                route.settings.push(&["hosts"], Value::text(wrong), &origin);
            }
        }));
        assert!(!text.contains("one:"), "a route without its host would serve all of them: {text}");
    }

    #[test]
    fn what_kept_somebody_out_is_not_lost() {
        let origin = Origin::new(7, "allow x");
        let text = settled(draft(|route| {
            route.put(&["ipAccess", "allow"], Value::List(vec![Item::of(Value::text("x"))]), &origin);
        }));
        assert!(text.contains("action: deny") && text.contains("x:7: unsafe: "), "{text}");
        let text = settled(draft(|route| {
            route.put(
                &["match"],
                Value::List(vec![Item::of(Value::Map(Section::of("path", Value::text("(?=x)"))))]),
                &origin,
            );
        }));
        assert!(text.contains("unsafe: `routes.one` is left out"), "{text}");
    }

    #[test]
    fn a_listener_that_asks_for_certificates_goes_as_a_whole() {
        let mut draft = draft(|_| ());
        let mut listener = Part::new("https".to_owned(), Origin::new(3, "listen 443 ssl"));
        listener.put(&["address"], Value::text("0.0.0.0:443"), &Origin::default());
        listener.put(&["tls", "clientAuth", "mode"], Value::plain("require"), &Origin::default());
        listener.put(&["tls", "clientAuth", "caFile"], Value::text("ca"), &Origin::default());
        draft.add(Kind::Listener, listener).unwrap();
        let text = settled(draft);
        assert!(!text.contains("0.0.0.0:443"), "nobody may come in without TLS: {text}");
        assert!(text.contains("x:3: unsafe: `listeners.https` is left out"), "{text}");
    }

    #[test]
    fn thousands_of_wrong_values_are_taken_out_together() {
        let origin = Origin::new(7, "deny x");
        let text = settled(draft(|route| {
            (0..4_000).for_each(|index| {
                route.settings.push(&["ipAccess", "deny"], Value::text(format!("x{index}")), &origin);
            });
        }));
        assert!(text.contains("action: deny") && !text.contains("ipAccess:"), "{text}");
    }

    #[test]
    fn what_has_no_place_to_go_answers_503() {
        let text = settled(draft(|route| {
            route.settings.entries.clear();
            route.put(&["cluster"], Value::plain("nobody"), &Origin::new(9, "proxy_pass"));
        }));
        assert!(text.contains("status: 503"), "{text}");
    }
}
