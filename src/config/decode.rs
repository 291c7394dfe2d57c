//! Tree to sections, without stopping at the first problem: report it, blank what it is about, and read again.

use serde::Deserialize;

use super::de::{Error, ErrorKind};
use super::keys::{OUT_OF_RANGE, Root};
use super::node::{Node, NodePath, Step};
use super::report::{Diagnostic, Report};
use super::suggest::{self, Advice};
use super::text::looks::{REDACTED, shown_key};

/// Problems of form that are found in one run.
const MAX_ROUNDS: usize = 100;

/// Reads the tree. `None` when it has more problems than are worth listing.
pub(super) fn decode(root: &mut Node, report: &mut Report) -> Option<Root> {
    for _ in 0..MAX_ROUNDS {
        let mut error = match Root::deserialize(&*root) {
            Ok(raw) => return Some(raw),
            Err(error) => error,
        };
        error.steps.reverse();
        let place = root.locate(&error.steps);
        // A mapping that lacks something only because that something was blanked has no problem of its own.
        let follows = place.blank_below && matches!(error.kind, ErrorKind::Value { .. });
        if !follows {
            report.add(diagnostic(&error, place, root));
        }
        if !root.blank(&error.steps) {
            return None;
        }
    }
    None
}

fn diagnostic(error: &Error, place: NodePath, root: &Node) -> Diagnostic {
    let mut diagnostic = match &error.kind {
        ErrorKind::Unknown { expected, within } => {
            return unknown(&error.steps, expected, within, place, root);
        }
        ErrorKind::Type { message } => Diagnostic::error("wrong-type", message.clone()),
        ErrorKind::Value { message, hint } => Diagnostic { hint: hint.clone(), ..Diagnostic::invalid(message.clone()) },
    };
    if let ErrorKind::Type { .. } = &error.kind {
        diagnostic.hint = type_hint(&diagnostic.message).or_else(|| shape_hint(&error.steps, &diagnostic.message));
    }
    if !place.path.is_empty() {
        // Some sentences begin with the place itself.
        let colon = if diagnostic.message == OUT_OF_RANGE { "" } else { ":" };
        diagnostic.message = format!("`{}`{colon} {}", place.path, diagnostic.message);
    }
    redact(&mut diagnostic, &place);
    diagnostic.path = place.path;
    diagnostic.at(place.span)
}

fn replace(diagnostic: &mut Diagnostic, text: &str, by: &str) {
    diagnostic.message = diagnostic.message.replace(text, by);
    let hint = diagnostic.hint.as_ref();
    diagnostic.hint = hint.map(|hint| hint.replace(text, by));
}

/// Takes the secrets of a place out of what is said about it.
pub(super) fn redact(diagnostic: &mut Diagnostic, place: &NodePath) {
    for secret in &place.secrets {
        let (quoted, shown) = (format!("`{secret}`"), format!("`{REDACTED}`"));
        replace(diagnostic, &quoted, &shown);
    }
    let is_long = |secret: &&String| place.is_value && secret.len() >= SHORT;
    let Some(secret) = place.secrets.first().filter(is_long) else { return };
    replace(diagnostic, secret, REDACTED);
    // A message may show the value cut short or in another case; only a message without it is safe then.
    let hint = diagnostic.hint.as_deref().unwrap_or("");
    let shown = format!("{} {hint}", diagnostic.message).to_lowercase();
    let start: String = secret.to_lowercase().chars().take(8).collect();
    if shown.contains(&start) {
        diagnostic.message = format!("`{}`: the value {REDACTED} is not legal here", place.path);
        diagnostic.hint = None;
    }
}

/// A secret with fewer bytes than this may be part of any word.
const SHORT: usize = 4;

fn type_hint(message: &str) -> Option<String> {
    if !message.contains("true or false") {
        return None;
    }
    let yes = ["`yes`", "`on`", "`y`"].iter().any(|word| message.ends_with(word));
    let no = ["`no`", "`off`", "`n`"].iter().any(|word| message.ends_with(word));
    (yes || no).then(|| format!("write `{yes}`"))
}

/// What to write where a mapping was wanted and one value was found.
fn shape_hint(steps: &[Step], message: &str) -> Option<String> {
    let (wanted, found) = message.rsplit_once(", found ")?;
    let found = found.strip_prefix("the ").unwrap_or(found);
    let found = found.strip_prefix("text ").or_else(|| found.strip_prefix("number "));
    let found = found.unwrap_or_default().trim_matches('`');
    let found = match message.rsplit_once(", found `") {
        // `true` and `false` stand there by themselves.
        Some((_, word)) => word.trim_end_matches('`'),
        None => found,
    };
    let (Step::Key(section), Step::Key(key)) = (steps.first()?, steps.last()?) else { return None };
    let is_form = !found.is_empty() && !wanted.contains("true or false");
    is_form.then(|| suggest::long_form(section, key, found))?
}

fn unknown(steps: &[Step], expected: &[&str], within: &str, place: NodePath, root: &Node) -> Diagnostic {
    let Some((Step::Key(field), parent)) = steps.split_last() else {
        return Diagnostic::error("unknown-field", "unknown field").at(place.span);
    };
    let parent = root.locate(parent).path;
    let owner = if parent.is_empty() { "the configuration".to_owned() } else { format!("`{parent}`") };
    let shown: String = shown_key(field).chars().take(60).collect();
    let mut diagnostic = Diagnostic::error("unknown-field", format!("{owner} has no field `{shown}`"));
    match suggest::unknown_field(field, within, expected) {
        Advice::None => {}
        Advice::Hint(hint) => diagnostic.hint = Some(hint),
        Advice::Later => {
            diagnostic.message = format!("this version does not have `{}`", place.path);
            diagnostic.hint = Some("take it out".to_owned());
        }
    }
    diagnostic.path = place.path;
    diagnostic.at(place.key_span)
}
