//! Writes a draft as YAML with comments, and remembers which setting stands on which line.

use std::collections::HashSet;

use super::model::{Draft, Entry, Item, Origin, Part, Section, Value};
use super::note::Note;
use crate::visible::visible;

/// A step to a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The section of named parts, and which part.
    Part(&'static str, usize),
    Key(String),
    Index(usize),
}

/// A configuration as text.
#[derive(Debug, Default)]
pub(super) struct Printed {
    pub(super) text: String,
    /// The setting of each line, from line 1.
    lines: Vec<Option<Vec<Step>>>,
    file: String,
    /// What was said already: what many parts inherit is said once.
    said: HashSet<Note>,
}

/// Longer lines have their comment above them.
const MAX_LINE: usize = 120;

/// Writes everything down. `file` is the name of what was read, and `head` the first lines of the comment at the top.
pub(super) fn print(draft: &mut Draft, file: &str, head: &[String]) -> Printed {
    let mut printed = Printed { file: visible(file).into_owned(), ..Printed::default() };
    for line in head {
        printed.comment(0, line);
    }
    let (before, after): (Vec<&Note>, Vec<&Note>) = draft.notes.iter().partition(|note| note.line == 0);
    printed.notes(0, before);
    let mut settings = printed_section(&draft.settings);
    printed.blank_if(!settings.is_empty());
    printed.entries(0, &mut settings, &mut Vec::new());
    let after: Vec<Note> = after.into_iter().cloned().collect();
    for (section, parts) in draft.named() {
        if parts.is_empty() {
            continue;
        }
        printed.blank_if(true);
        printed.line(0, &format!("{section}:"), None, None);
        for (index, part) in parts.iter().enumerate() {
            printed.part(section, index, part);
        }
    }
    if !after.is_empty() {
        printed.blank_if(true);
        printed.comment(0, "What else stood there:");
        printed.notes(0, after.iter().collect());
    }
    printed
}

fn printed_section(section: &Section) -> Vec<&Entry> {
    section.entries.iter().collect()
}

impl Printed {
    /// The setting on a line of the text, or the nearest one above.
    pub(super) fn at(&self, line: usize) -> Option<&[Step]> {
        let lines = self.lines.get(..line.min(self.lines.len()))?;
        lines.iter().rev().find_map(|steps| steps.as_deref())
    }

    fn part(&mut self, section: &'static str, index: usize, part: &Part) {
        let mut path = vec![Step::Part(section, index)];
        self.notes(1, part.notes.iter().collect());
        let key = key(&part.name);
        if part.settings.entries.is_empty() {
            self.line(1, &format!("{key}: {{}}"), Some(&path), Some(&part.origin));
            return;
        }
        self.line(1, &format!("{key}:"), Some(&path), Some(&part.origin));
        self.entries(2, &mut printed_section(&part.settings), &mut path);
    }

    fn entries(&mut self, depth: usize, entries: &mut Vec<&Entry>, path: &mut Vec<Step>) {
        for entry in entries.drain(..) {
            path.push(Step::Key(entry.key.clone()));
            self.value(depth, &format!("{}:", key(&entry.key)), &entry.value, &entry.origin, path);
            path.pop();
        }
    }

    /// A value behind its key, or behind the dash of a list.
    fn value(&mut self, depth: usize, before: &str, value: &Value, origin: &Origin, path: &mut Vec<Step>) {
        match value {
            Value::Map(section) if !section.entries.is_empty() => {
                self.line(depth, before, Some(path), Some(origin));
                self.entries(depth + 1, &mut printed_section(section), path);
            }
            Value::List(items) if !items.is_empty() => {
                self.line(depth, before, Some(path), Some(origin));
                for (index, item) in items.iter().enumerate() {
                    path.push(Step::Index(index));
                    self.item(depth + 1, item, path);
                    path.pop();
                }
            }
            _ => self.line(depth, &format!("{before} {}", scalar(value)), Some(path), Some(origin)),
        }
    }

    fn item(&mut self, depth: usize, item: &Item, path: &mut Vec<Step>) {
        let Value::Map(section) = &item.value else {
            return self.value(depth, "-", &item.value, &item.origin, path);
        };
        let Some((first, others)) = section.entries.split_first() else {
            return self.line(depth, "- {}", Some(path), Some(&item.origin));
        };
        let origin = if first.origin.text.is_empty() { &item.origin } else { &first.origin };
        path.push(Step::Key(first.key.clone()));
        // What is below the first key is as deep as if its line began without the dash.
        self.value_of_first(depth, first, origin, path);
        path.pop();
        self.entries(depth + 1, &mut others.iter().collect(), path);
    }

    fn value_of_first(&mut self, depth: usize, first: &Entry, origin: &Origin, path: &mut Vec<Step>) {
        let before = format!("- {}:", key(&first.key));
        match &first.value {
            Value::Map(section) if !section.entries.is_empty() => {
                self.line(depth, &before, Some(path), Some(origin));
                self.entries(depth + 2, &mut printed_section(section), path);
            }
            Value::List(items) if !items.is_empty() => {
                self.line(depth, &before, Some(path), Some(origin));
                for (index, item) in items.iter().enumerate() {
                    path.push(Step::Index(index));
                    self.item(depth + 2, item, path);
                    path.pop();
                }
            }
            other => self.line(depth, &format!("{before} {}", scalar(other)), Some(path), Some(origin)),
        }
    }

    fn notes(&mut self, depth: usize, notes: Vec<&Note>) {
        for note in notes {
            if !self.said.insert(note.clone()) {
                continue;
            }
            let placed = note.placed(&self.file);
            self.comment(depth, &placed);
        }
    }

    /// A comment, broken where a line would be too long.
    fn comment(&mut self, depth: usize, text: &str) {
        let text = visible(text).into_owned();
        let room = MAX_LINE - 2 * depth - 4;
        let (mut line, mut length, mut is_first) = (String::new(), 0, true);
        for word in text.split(' ') {
            let more = word.chars().count();
            if length > 0 && length + 1 + more > room {
                self.line(depth, &format!("# {line}"), None, None);
                (line, length, is_first) = (String::new(), 0, false);
            }
            if length > 0 || !is_first && line.is_empty() {
                line.push(' ');
                length += 1;
            }
            line.push_str(word);
            length += more;
        }
        self.line(depth, &format!("# {line}"), None, None);
    }

    fn blank_if(&mut self, wanted: bool) {
        if wanted && !self.text.is_empty() {
            self.text.push('\n');
            self.lines.push(None);
        }
    }

    fn line(&mut self, depth: usize, text: &str, path: Option<&[Step]>, origin: Option<&Origin>) {
        let origin = origin.map(|origin| visible(&origin.text)).filter(|text| !text.is_empty());
        if let Some(origin) = &origin
            && 2 * depth + text.chars().count() + 3 + origin.chars().count() > MAX_LINE
        {
            self.comment(depth, origin);
            return self.line(depth, text, path, None);
        }
        let comment = origin.map_or_else(String::new, |origin| format!(" # {origin}"));
        self.text.push_str(&"  ".repeat(depth));
        self.text.push_str(text);
        self.text.push_str(&comment);
        self.text.push('\n');
        self.lines.push(path.map(<[Step]>::to_vec));
    }
}

/// A key: words of the language and names are written as they are, header fields too.
fn key(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_plain);
    let is_switch = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if is_word && !is_switch.contains(&text.to_ascii_lowercase().as_str()) { text.to_owned() } else { quoted(text) }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Plain(text) => text.clone(),
        // What looks like a variable here was none there.
        Value::Text(text) => quoted(&text.replace("${", "$${")),
        Value::Template(text) => quoted(text),
        Value::List(_) => "[]".to_owned(),
        Value::Map(_) => "{}".to_owned(),
    }
}

/// Text between double quotes: a JSON string is a YAML string.
fn quoted(text: &str) -> String {
    let text = serde_json::Value::from(text).to_string();
    // JSON leaves these as they are; a text of YAML must not hold them.
    let is_legal = |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}');
    if text.chars().all(is_legal) {
        return text;
    }
    let write = |c: char| if is_legal(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
    text.chars().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::Kind;
    use super::*;

    fn example() -> Draft {
        let mut draft = Draft::default();
        let origin = Origin::new(3, "listen   80;");
        let name = draft.name(Kind::Listener, "HTTP in");
        let mut part = Part::new(name, origin.clone());
        part.put(&["address"], Value::text("0.0.0.0:80"), &origin);
        part.put(&["limits", "idleTimeout"], Value::plain("5s"), &Origin::default());
        part.notes.push(Note::changed(4, "x ".repeat(70)));
        draft.add(Kind::Listener, part).unwrap();
        let mut route = Part::new("a".to_owned(), Origin::default());
        let path = Section::of("prefix", Value::text("/${x}"));
        let one = Section::of("path", Value::Map(path)).with("method", Value::plain("GET"));
        route.settings.push(&["match"], Value::Map(one), &origin);
        draft.add(Kind::Route, route).unwrap();
        draft.note(Note::dropped(9, "line\nbreak"));
        draft
    }

    #[test]
    fn settings_comments_and_notes_are_written_and_lines_are_known() {
        let printed = print(&mut example(), "n.conf", &["Made by hand".to_owned()]);
        let expected = "# Made by hand\n\nlisteners:\n";
        assert!(printed.text.starts_with(expected), "{}", printed.text);
        assert!(printed.text.contains("  http-in: # listen 80;\n    address: \"0.0.0.0:80\" # listen 80;\n"));
        assert!(printed.text.contains("  - path: # listen 80;\n          prefix: \"/$${x}\"\n        method: GET\n"));
        assert!(printed.text.contains("# n.conf:9: dropped: line\\u000abreak\n"), "{}", printed.text);
        assert!(printed.text.lines().all(|line| line.chars().count() <= 120));
        let line = printed.text.lines().position(|line| line.contains("idleTimeout")).unwrap() + 1;
        let steps = [Step::Part("listeners", 0), Step::Key("limits".into()), Step::Key("idleTimeout".into())];
        assert_eq!(printed.at(line), Some(&steps[..]));
    }

    #[test]
    fn keys_are_quoted_where_yaml_would_read_something_else() {
        for (text, expected) in
            [("x-a.b", "x-a.b"), ("on", "\"on\""), ("8080", "\"8080\""), ("a: b", "\"a: b\""), ("", "\"\"")]
        {
            assert_eq!(key(text), expected);
        }
        assert_eq!(quoted("\u{2028}\u{85}a"), "\"\\u2028\\u0085a\"");
    }
}
