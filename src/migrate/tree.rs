//! What the readers of YAML share: settings out of trees, and notes about what nobody looked at.

use super::model::{Draft, Origin, Part, Value};
use super::note::Note;
use super::words;
use crate::config::foreign::Foreign;

/// How a text becomes a value; `None` where it is none of that kind.
pub(super) type Convert = fn(&str) -> Option<Value>;

/// A word as it is.
pub(super) fn word(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| Value::text(text))
}

/// A number or a switch.
pub(super) fn plain(text: &str) -> Option<Value> {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    is_plain.then(|| Value::plain(text))
}

/// A time such as `30s` or `1.5s`.
pub(super) fn time(text: &str) -> Option<Value> {
    words::time(text, 1_000).map(Value::plain)
}

/// A time, of which 0 is none.
pub(super) fn off_or_time(text: &str) -> Option<Value> {
    match words::millis(text, 1_000)? {
        0 => Some(Value::plain("off")),
        millis => Some(Value::plain(words::duration(millis))),
    }
}

/// The origin of a value: its key and its text.
pub(super) fn origin(value: &Foreign, key: &str) -> Origin {
    let text = value.text().map_or_else(|| key.to_owned(), |text| format!("{key}: {text}"));
    Origin::new(value.line, text)
}

/// Settings of ours, where they are in the tree, and how they are converted.
pub(super) type Table<'t> = &'t [(&'t [&'t str], &'t [&'t str], Convert)];

/// Puts every setting of a table that is in the tree into a part.
pub(super) fn take(from: &Foreign, table: Table<'_>, part: &mut Part) {
    for (path, at, convert) in table {
        let Some(value) = from.at(at) else { continue };
        let origin = origin(value, &at.join("."));
        match value.text().and_then(convert) {
            Some(value) => part.put(path, value, &origin),
            None => {
                part.notes.push(Note::dropped(value.line, format!("{}: this value has no counterpart", origin.text)));
            }
        }
    }
}

/// Marks the name and namespace of a document as looked at.
pub(super) fn named(documents: &[Foreign]) {
    for metadata in documents.iter().filter_map(|document| document.get("metadata")) {
        let _known = (metadata.text_at(&["name"]), metadata.text_at(&["namespace"]));
    }
}

/// Notes whatever nobody looked at. `why` knows some keys by their ends.
pub(super) fn note_unseen(documents: &[Foreign], why: &[(&str, &str)], draft: &mut Draft) {
    for (path, line) in documents.iter().flat_map(Foreign::unseen) {
        let last = path.rsplit('.').next().unwrap_or_default();
        let known = why.iter().find(|(keys, _)| keys.split(' ').any(|key| key == last || path == key));
        let why = known.map_or("attache has nothing that is known to do this", |(_, why)| why);
        let shown: String = path.chars().take(160).collect();
        draft.note(Note::dropped(line, format!("{shown}: {why}")));
    }
}

/// Adds and removes fields: mappings of names and values, and a list of names.
pub(super) fn fields(from: &Foreign, actions: [(&str, &str); 3], section: &str, part: &mut Part) {
    for (theirs, ours) in actions {
        let Some(value) = from.get(theirs) else { continue };
        for (name, line, field) in value.entries() {
            let text = field.text().unwrap_or_default();
            let name = name.to_ascii_lowercase();
            if name == "x-xss-protection" {
                let text = "X-XSS-Protection: obsolete, and a danger in the browsers that knew it: not sent";
                part.notes.push(Note::danger(*line, text));
            } else if section == "requestHeaders" && name == "host" {
                part.put(&["upstreamHost"], Value::text(text), &Origin::new(*line, format!("{theirs}: Host")));
            } else {
                part.put(&[section, ours, &name], Value::text(text), &Origin::new(*line, theirs));
            }
        }
        for name in value.items() {
            let text = name.text().unwrap_or_default().to_ascii_lowercase();
            part.settings.push(&[section, ours], Value::text(text), &Origin::new(name.line, theirs));
        }
    }
}
