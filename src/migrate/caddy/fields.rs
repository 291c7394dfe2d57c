//! Texts and header fields of a Caddyfile.

use crate::migrate::model::{Origin, Part, Value};
use crate::migrate::note::Note;

/// A text of a Caddyfile: `{env.NAME}` and `{$NAME}` are variables of the environment. `None` where it holds another
/// placeholder.
pub(super) fn text(word: &str) -> Option<Value> {
    if !word.contains('{') {
        return Some(Value::text(word));
    }
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}')?;
        let name = inside.strip_prefix("env.").or_else(|| inside.strip_prefix('$'))?;
        let (name, default) = name.split_once(':').unwrap_or((name, ""));
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || before.contains("${") || default.contains(['$', '{', '}']) {
            return None;
        }
        out.push_str(&before.replace("${", "$${"));
        // Without the variable Caddy takes nothing.
        out.push_str(&format!("${{{name}:-{default}}}"));
        rest = after;
    }
    (!rest.contains("${")).then(|| Value::Template(out + rest))
}

/// A text with its origin, or a note.
pub(super) fn put(path: &[&str], word: &str, origin: &Origin, part: &mut Part) {
    match text(word) {
        Some(value) => part.put(path, value, origin),
        None => {
            let note = format!("{}: values have no placeholders here but `{{env.NAME}}`", origin.text);
            part.notes.push(Note::dropped(origin.line, note));
        }
    }
}

/// `+name value` adds, `-name` removes, `name value` sets.
pub(super) fn field(words: &[String], section: &str, origin: &Origin, part: &mut Part) {
    let name = words.first().map_or("", String::as_str);
    let value = words.get(1).map_or("", String::as_str);
    let lower = name.trim_start_matches(['+', '-', '?', '>']).to_ascii_lowercase();
    if lower == "x-xss-protection" {
        let text = "X-XSS-Protection: obsolete, and a danger in the browsers that knew it: not sent";
        return part.notes.push(Note::danger(origin.line, text));
    }
    if words.len() > 2 {
        let text = format!("{}: fields are set and not searched here", origin.text);
        return part.notes.push(Note::dropped(origin.line, text));
    }
    if name.starts_with('-') {
        return part.settings.push(&[section, "remove"], Value::text(lower), origin);
    }
    let how = if name.starts_with('+') { "add" } else { "set" };
    put(&[section, how, &lower], value, &Origin::new(origin.line, "header"), part);
}
