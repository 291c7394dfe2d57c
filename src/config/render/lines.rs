//! The lines of a file as a report may show them: keys, signs, and the values that the configuration itself would show
//! and that the language knows. Everything else is blotted out, each character by one `*` so that carets still fit.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use crate::config::node::{Node, Scalar, Span, Value};
use crate::config::report::Report;
use crate::config::schema;
use crate::config::text::conceal::{SECTIONS, conceal, is_empty};
use crate::config::text::looks::{is_plausible_path, looks_secret, mask_parts, shown_key, value_in_key};
use crate::config::yaml;

/// Where in a line something stands: its line, its first column and the one behind it, in characters from 1.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    line: usize,
    from: usize,
    to: usize,
}

/// What may be shown of a file.
pub(in crate::config) enum Lines {
    /// A configuration.
    Known(Places),
    /// No YAML: only what stands before the first colon of a line is shown.
    Broken,
    /// A text of another program: all but what looks like a secret.
    Foreign,
}

#[derive(Default)]
pub(in crate::config) struct Places {
    keys: Vec<Stretch>,
    shown: Vec<Stretch>,
    hidden: Vec<Stretch>,
    /// Where what is written over several lines begins.
    long: Vec<(usize, usize)>,
    /// Where any key or value begins.
    starts: Vec<(usize, usize)>,
}

/// Mappings whose keys users choose.
const FREE: [&str; 5] = ["set", "add", "headers", "labels", "cost"];

impl Lines {
    /// Reads a file's text again. `unknown` are the places of keys that are reported as unknown.
    pub(in crate::config) fn of(text: &str, unknown: &HashSet<(usize, usize)>) -> Self {
        let Some(mut root) = yaml::parse(text, 0, &mut Report::default()) else { return Self::Broken };
        conceal(&mut root, &mut [], text.contains('&'));
        let mut places = Places::default();
        places.walk(&root, &Above { key: "", is_known: true, level: 0 }, unknown);
        places.finish();
        Self::Known(places)
    }

    /// A line as it may be shown, for what is said about `own`.
    pub(in crate::config) fn shown(&self, line: &str, number: usize, own: Span) -> String {
        match self {
            Self::Known(places) => places.mask(line, number, own),
            Self::Broken => mask_values(line),
            Self::Foreign if looks_secret(line) => mask_values(line),
            Self::Foreign => mask_parts(line).into_owned(),
        }
    }
}

struct Above<'a> {
    key: &'a str,
    is_known: bool,
    level: usize,
}

impl Places {
    fn walk(&mut self, node: &Node, above: &Above<'_>, unknown: &HashSet<(usize, usize)>) {
        match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    let key = entry.key.as_str();
                    self.starts.push(start(entry.key_span));
                    self.keys.push(stretch(entry.key_span));
                    let is_given = above.level == 1 && SECTIONS.contains(&above.key) || FREE.contains(&above.key);
                    let is_aside = above.level == 0 && key.starts_with("x-");
                    let is_known = above.is_known
                        && !unknown.contains(&start(entry.key_span))
                        && (is_given || is_aside || schema::keys().contains(key));
                    self.walk(&entry.value, &Above { key, is_known, level: above.level + 1 }, unknown);
                }
            }
            Value::List(items) => {
                items.iter().for_each(|item| self.walk(item, &Above { level: above.level + 1, ..*above }, unknown));
            }
            Value::Scalar(scalar) => {
                self.starts.push(start(node.span));
                // What is written over several lines has the length one.
                if node.span.len() == 1 && !(scalar.plain && scalar.text.chars().count() == 1) {
                    self.long.push(start(node.span));
                } else if is_shown(scalar, above.is_known) {
                    self.shown.push(stretch(node.span));
                } else {
                    self.hidden.push(stretch(node.span));
                }
            }
            Value::Blank => {}
        }
    }

    fn finish(&mut self) {
        self.starts.sort_unstable();
        self.long.sort_unstable();
        for stretches in [&mut self.keys, &mut self.shown, &mut self.hidden] {
            stretches.sort_unstable_by_key(|stretch| (stretch.line, stretch.from));
        }
        // An alias has the place of what it repeats, which is shown only if it is everywhere.
        let hidden: HashSet<(usize, usize)> = self.hidden.iter().map(|one| (one.line, one.from)).collect();
        self.shown.retain(|one| !hidden.contains(&(one.line, one.from)));
    }

    /// Whether a place lies in something that is written over several lines.
    fn is_long(&self, here: (usize, usize)) -> bool {
        let before = self.starts.partition_point(|start| *start <= here);
        let last = before.checked_sub(1).and_then(|at| self.starts.get(at));
        last.is_some_and(|start| self.long.binary_search(start).is_ok())
    }

    fn mask(&self, line: &str, number: usize, own: Span) -> String {
        let chars: Vec<char> = line.chars().collect();
        let mut open = vec![false; chars.len()];
        let mut closed = vec![false; chars.len()];
        for stretch in on_line(&self.hidden, number) {
            fill(&mut closed, stretch);
        }
        for stretch in on_line(&self.shown, number) {
            fill(&mut open, stretch);
        }
        let is_own = own.line() == number && !on_line(&self.hidden, number).any(|one| one.from == own.column());
        let own = is_own.then(|| stretch(own)).filter(|_| !self.is_long(start(own)));
        for key in on_line(&self.keys, number).copied().chain(own) {
            fill_key(&mut open, &mut closed, &chars, key);
        }
        let mut out = String::with_capacity(line.len());
        let mut before = ' ';
        for (index, c) in chars.iter().copied().enumerate() {
            let is = |marks: &[bool]| marks.get(index).copied().unwrap_or(false);
            let (is_open, is_closed) = (is(&open), is(&closed));
            let is_long = !is_open && !is_closed && self.is_long((number, index + 1));
            if c == '#' && before.is_whitespace() && !is_open && !is_closed && !is_long {
                break;
            }
            let is_mark = before == '&' || before == '*' || c == '<';
            let is_sign = if is_closed { matches!(c, '"' | '\'') } else { !is_long && (SIGNS.contains(c) || is_mark) };
            let is_kept = c.is_whitespace() || is_open || is_sign;
            // The name of an anchor is kept as its sign is.
            before = if is_mark && !c.is_whitespace() && !is_closed && !SIGNS.contains(c) { before } else { c };
            out.push(if is_kept { c } else { '*' });
        }
        out.trim_end().to_owned()
    }
}

/// Whether a value that is no secret may be shown: under a key of the language, or where nothing can be in it.
fn is_shown(scalar: &Scalar, is_known: bool) -> bool {
    let text = scalar.text.as_str();
    if text.contains("${") {
        return is_references(text) && (is_known || !looks_secret(text)) && (!scalar.secret || is_reference(text));
    }
    let is_open = is_known && matches!(mask_parts(text), std::borrow::Cow::Borrowed(_));
    !scalar.secret && (is_open || is_plain_amount(text)) || is_empty(scalar)
}

/// A small number with a unit, a switch, or an IP address.
fn is_plain_amount(text: &str) -> bool {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let unit = text.get(digits..).unwrap_or_default();
    matches!(text, "on" | "off" | "yes" | "no")
        || text.parse::<IpAddr>().is_ok()
        || text.parse::<SocketAddr>().is_ok()
        || (1..=4).contains(&digits)
            && unit.len() <= 3
            && unit.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'%')
}

/// Whether text is `${..}` alone, without a default that could be a secret itself.
fn is_reference(text: &str) -> bool {
    let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| !inner.contains(['$', '{', '}'])) && is_references(text)
}

/// Whether every `${..}` names what is put in and says nothing else.
fn is_references(text: &str) -> bool {
    text.split("${").skip(1).all(|part| {
        let inner = part.split('}').next().unwrap_or_default();
        let inner = inner.strip_prefix("plain:").unwrap_or(inner);
        match inner.strip_prefix("file:") {
            Some(path) => is_plausible_path(path),
            None => {
                let name = inner.split_once(":?").map_or(inner, |(name, _why)| name);
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !looks_secret(name)
            }
        }
    })
}

fn start(span: Span) -> (usize, usize) {
    (span.line(), span.column())
}

fn stretch(span: Span) -> Stretch {
    Stretch { line: span.line(), from: span.column(), to: span.column() + span.len() }
}

/// Those of a line, in a list in order of the lines.
fn on_line(stretches: &[Stretch], number: usize) -> impl Iterator<Item = &Stretch> {
    let first = stretches.partition_point(|stretch| stretch.line < number);
    stretches.get(first..).unwrap_or_default().iter().take_while(move |stretch| stretch.line == number)
}

fn fill(marks: &mut [bool], stretch: &Stretch) {
    let length = stretch.to.saturating_sub(stretch.from);
    marks.iter_mut().skip(stretch.from.saturating_sub(1)).take(length).for_each(|mark| *mark = true);
}

/// Opens a key, but not a value that was written into it.
fn fill_key(open: &mut [bool], closed: &mut [bool], line: &[char], key: Stretch) {
    let length = key.to.saturating_sub(key.from);
    let text: String = line.iter().skip(key.from.saturating_sub(1)).take(length).collect();
    let bare = text.trim_matches(['"', '\'']);
    if matches!(shown_key(bare), std::borrow::Cow::Borrowed(shown) if shown == bare) {
        return fill(open, &key);
    }
    fill(closed, &key);
    let shift = text.chars().take_while(|c| matches!(c, '"' | '\'')).count();
    if let Some(at) = value_in_key(bare).filter(|_| !bare.contains("://")) {
        let to = key.from + shift + bare.get(..at).unwrap_or_default().chars().count();
        fill(open, &Stretch { to, ..key });
    }
}

/// Masks everything behind the first key of a line, or the whole line where it has no key. The signs of YAML stay.
fn mask_values(line: &str) -> String {
    let after_key = line
        .char_indices()
        .find(|(at, c)| {
            let rest = line.get(at + 1..).unwrap_or_default();
            *c == ':' && (rest.is_empty() || rest.starts_with(char::is_whitespace))
        })
        .map_or(0, |(at, _)| at);
    let (key, value) = line.split_at_checked(after_key).unwrap_or(("", line));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ' ' | '{' | '"' | '\'' | '.');
    let is_key = key.chars().all(is_plain) && !looks_secret(key);
    let blotted = |c: char| if c.is_whitespace() || SIGNS.contains(c) { c } else { '*' };
    let key = key.chars().map(|c| if is_key { c } else { blotted(c) });
    key.chain(value.chars().map(blotted)).collect()
}

const SIGNS: &str = "{}[],:\"'#&*|>-";

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let lines = Lines::of(text, &HashSet::new());
        let own = Span::new(0, usize::MAX, 1, 0);
        let shown = text.lines().enumerate().map(|(index, line)| lines.shown(line, index + 1, own));
        shown.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn lines_are_masked_where_the_parser_says() {
        let text = "\
routes:
  one:
    match:
      headers: { x-any: { exact: 'S1', regex: \"S2\" }, x-b: S3 }
      path: { exact: /open }
    requestHeaders: { set: { x-api-key: \"S 4\", x-any: S5, vary: open } }
  x-api-key:
    deep: [S4, { er: S5 }]
    unheard: |
      S6 S6
      S6
    timeout: \"Bearer
      S8\"
    hosts: [open] # S9
  by-token: { endpoints: ['open:80', 'user:S10@host:80'], unheard: [S11], timout: 30s }
x-common: &common { timeout: &shared S12, password: *shared, hosts: &hosts open }
clusters:
  c: { healthCheck: { path: /a;t=S13?u=S14 }, labels: { zone: open, \"authorization:S15\": 1, ghp_SSSSSSSS: 2 } }
  d: { <<: *common, hash: { cookie: open }, token: '${TOKEN}', host: '${NAME:-S16}', zone: '${A!S17}', key: S18 }
  e: { host: '${NAME}:80', requestHeaders: { add: [{ name: x-a, value: S19 }], set: { authorization:S20 } } }
  f: { retries: open, retries: S22 }
";
        let masked = shown(text);
        let secrets: Vec<_> = masked.match_indices('S').collect();
        assert!(secrets.is_empty(), "{masked}");
        for open in [
            "x-any: { exact: '**', regex: \"**\"",
            "exact: /open",
            "x-api-key: \"* *\", x-any: **, vary: open",
            "hosts: [open]",
            "endpoints: ['open:80', '****************'], unheard: [***], timout: 30s",
            "&common { timeout: ******* ***, password: *shared, hosts: &hosts open }",
            "zone: open, \"authorization:***\": *, ************: 2",
            "<<: *common, hash: { cookie: open }, token: '${TOKEN}'",
            "host: '${NAME}:80'",
            "set: { authorization:*** }",
        ] {
            assert!(masked.contains(open), "{open} in {masked}");
        }
        for (line, shown) in text.lines().zip(masked.lines()) {
            let line = line.split(" #").next().unwrap_or(line);
            assert_eq!(line.chars().count(), shown.chars().count(), "{line}");
        }
    }

    #[test]
    fn a_file_that_is_no_yaml_shows_its_keys_only() {
        for (line, masked) in [
            ("  x-auth: a: b # c", "  x-auth: *: * # *"),
            ("  exact: \"SECRET", "  exact: \"******"),
            ("SECRET", "******"),
            ("  - SECRET", "  - ******"),
            ("a: { b: c", "a: { *: *"),
            ("key:value", "***:*****"),
            ("x:SECRET: b", "*:******: *"),
        ] {
            assert_eq!(mask_values(line), masked);
        }
    }
}
