//! YAML text to a tree. The parser is pulled event by event, so limits on depth and size hold before anything is built
//! from them; an alias is paid for with the size of what it repeats. Only the core of YAML: one document, string keys,
//! no tags but those of strings.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::node::{Entry, Node, Scalar, Span, Value};
use super::report::{Diagnostic, Report};

/// Nesting beyond this is refused.
pub(in crate::config) const MAX_DEPTH: usize = 64;
/// Values in one file, aliases expanded.
pub(in crate::config) const MAX_NODES: usize = 1_000_000;

/// Parses one file. `None` when the text has no usable tree; then the report says why.
pub(in crate::config) fn parse(text: &str, file: usize, report: &mut Report) -> Option<Node> {
    read(text, file, false, report).pop()
}

/// Parses a file of any number of documents. Empty when the report says why.
pub(in crate::config) fn parse_all(text: &str, file: usize, report: &mut Report) -> Vec<Node> {
    read(text, file, true, report)
}

fn read(text: &str, file: usize, is_several: bool, report: &mut Report) -> Vec<Node> {
    if let Some(span) = first_illegal(text, file) {
        report
            .add(Diagnostic::error("yaml", "the file holds a control character").at(span).hint("is this a text file?"));
        return Vec::new();
    }
    let mut builder = Builder {
        file,
        is_several,
        report,
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        roots: Vec::new(),
        documents: 0,
    };
    let mut parser = Parser::new_from_str(text);
    match builder.run(&mut parser) {
        Ok(()) => builder.roots,
        Err(diagnostic) => {
            report.add(*diagnostic);
            Vec::new()
        }
    }
}

type Stop = Result<(), Box<Diagnostic>>;

struct Builder<'a> {
    file: usize,
    is_several: bool,
    report: &'a mut Report,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    roots: Vec<Node>,
    documents: usize,
}

/// A list or mapping whose end is still to come.
struct Open {
    span: Span,
    anchor: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: Keys, key: Option<Key>, merges: Vec<Node> },
}

/// The keys of a mapping, to know one that comes again. Most mappings are small and keep no second copy of them.
#[derive(Default)]
struct Keys(HashSet<String>);

/// Keys that are compared one by one.
const FEW_KEYS: usize = 16;

impl Keys {
    /// Whether `key` is not in `entries`, which is all that was added before, and so is taken.
    fn insert(&mut self, key: &str, entries: &[Entry]) -> bool {
        if entries.len() < FEW_KEYS {
            return entries.iter().all(|entry| entry.key != key);
        }
        if self.0.is_empty() {
            self.0.extend(entries.iter().map(|entry| entry.key.clone()));
        }
        self.0.insert(key.to_owned())
    }
}

enum Key {
    Named(String, Span),
    /// A key with a reported problem; its value is skipped.
    Refused,
    /// `<<`: the value's entries are defaults for this mapping.
    Merge(Span),
}

impl Builder<'_> {
    fn run(&mut self, parser: &mut Parser<'_, StrInput<'_>>) -> Stop {
        while let Some(next) = parser.next_event() {
            let (event, at) = next.map_err(|error| self.syntax(&error))?;
            let span = self.span(at);
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) => self.document(span)?,
                Event::Alias(anchor) => self.alias(anchor, span)?,
                Event::Scalar(text, style, anchor, tag) => {
                    self.charge(1, span)?;
                    let plain = style == ScalarStyle::Plain && !self.tagged(tag.as_deref(), span)?;
                    let scalar = Scalar { text: text.into_owned(), plain, ..Scalar::default() };
                    self.finish(Node { span, value: Value::Scalar(scalar) }, anchor)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.tagged(tag.as_deref(), span)?;
                    self.open(Open { span, anchor, kind: Kind::List(Vec::new()) })?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.tagged(tag.as_deref(), span)?;
                    let kind = Kind::Map { entries: Vec::new(), seen: Keys::default(), key: None, merges: Vec::new() };
                    self.open(Open { span, anchor, kind })?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close()?,
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn span(&self, at: saphyr_parser::Span) -> Span {
        let one_line = at.end.line() == at.start.line();
        let len = if one_line { at.end.index().saturating_sub(at.start.index()) } else { 1 };
        Span::new(self.file, at.start.line(), at.start.col() + 1, len)
    }

    fn syntax(&self, error: &saphyr_parser::ScanError) -> Box<Diagnostic> {
        let at = error.marker();
        let span = Span::new(self.file, at.line(), at.col() + 1, 1);
        let info = error.info();
        if info.contains("recursion limit") {
            // The scanner reads ahead of the events and has a limit of its own, above ours.
            return Box::new(too_deep(span));
        }
        let diagnostic = Diagnostic::error("yaml", format!("this is not YAML: {info}")).at(span);
        Box::new(if info.contains("tab") {
            diagnostic.hint("indent with spaces")
        } else if info.contains("escape") {
            diagnostic.hint("a backslash is itself between single quotes: '\\d+'")
        } else {
            diagnostic
        })
    }

    fn document(&mut self, span: Span) -> Stop {
        self.documents += 1;
        if self.is_several || self.documents < 2 {
            return Ok(());
        }
        let diagnostic = Diagnostic::error("yaml", "a file holds one document").at(span);
        Err(Box::new(diagnostic.hint("put what follows `---` into a file of its own and `include` it")))
    }

    /// Whether a tag says "string"; any other tag ends the parse.
    fn tagged(&self, tag: Option<&saphyr_parser::Tag>, span: Span) -> Result<bool, Box<Diagnostic>> {
        match tag {
            None => Ok(false),
            Some(tag) if (tag.handle.is_empty() || tag.handle == "!") && tag.suffix.is_empty() => Ok(true),
            Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix == "str"),
            Some(tag) => {
                let name: String = tag.to_string().chars().take(60).collect();
                Err(Box::new(
                    Diagnostic::error("yaml", format!("the tag `{name}` has no meaning here"))
                        .at(span)
                        .hint("take the tag out"),
                ))
            }
        }
    }

    fn charge(&mut self, nodes: usize, span: Span) -> Stop {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let diagnostic = Diagnostic::error("too-large", format!("more than {MAX_NODES} values")).at(span);
        Err(Box::new(diagnostic.hint("aliases count with everything they repeat")))
    }

    fn open(&mut self, open: Open) -> Stop {
        self.charge(1, open.span)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(Box::new(too_deep(open.span)));
        }
        self.stack.push(open);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Stop {
        let Some(size) = self.anchors.get(&anchor).map(Node::size) else {
            return Err(Box::new(Diagnostic::error("yaml", "an alias inside what it names").at(span)));
        };
        self.charge(size, span)?;
        let depth = self.anchors.get(&anchor).map_or(0, depth);
        if self.stack.len() + depth > MAX_DEPTH {
            return Err(Box::new(too_deep(span)));
        }
        match self.anchors.get(&anchor).cloned() {
            Some(node) => self.finish(node, 0),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> Stop {
        let Some(Open { span, anchor, kind }) = self.stack.pop() else { return Ok(()) };
        let value = match kind {
            Kind::List(mut items) => {
                items.shrink_to_fit();
                Value::List(items)
            }
            Kind::Map { mut entries, mut seen, merges, .. } => {
                for merge in merges {
                    let Value::Map(more) = merge.value else { continue };
                    for entry in more {
                        if seen.insert(&entry.key, &entries) {
                            entries.push(entry);
                        }
                    }
                }
                // Most mappings have one or two keys, and a vector begins with room for four.
                entries.shrink_to_fit();
                Value::Map(entries)
            }
        };
        self.finish(Node { span, value }, anchor)
    }

    /// Puts a complete node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Stop {
        if anchor != 0 {
            self.charge(node.size(), node.span)?; // the copy kept for aliases is memory too
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => self.roots.push(node),
            Some(Kind::List(items)) => items.push(node),
            Some(Kind::Map { entries, seen, key, merges }) => match key.take() {
                None => *key = Some(key_of(node, entries, seen, self.report)),
                Some(Key::Refused) => {}
                Some(Key::Merge(span)) => collect_merges(node, merges, self.report, span),
                Some(Key::Named(name, key_span)) => {
                    entries.push(Entry { key: name, key_span, value: node });
                }
            },
        }
        Ok(())
    }
}

/// Judges a key: it must be a scalar and new in its mapping.
fn key_of(node: Node, entries: &[Entry], seen: &mut Keys, report: &mut Report) -> Key {
    let span = node.span;
    let Value::Scalar(scalar) = node.value else {
        report.add(Diagnostic::error("yaml", "a key must be a word").at(span));
        return Key::Refused;
    };
    if scalar.plain && scalar.text == "<<" {
        return Key::Merge(span);
    }
    if seen.insert(&scalar.text, entries) {
        return Key::Named(scalar.text, span);
    }
    let diagnostic =
        Diagnostic::error("duplicate-key", format!("`{}` is already given in this mapping", scalar.text)).at(span);
    let first = entries.iter().find(|entry| entry.key == scalar.text);
    report.add(match first {
        Some(first) => diagnostic.related(first.key_span, "first given here"),
        None => diagnostic,
    });
    Key::Refused
}

fn collect_merges(node: Node, merges: &mut Vec<Node>, report: &mut Report, span: Span) {
    match node.value {
        Value::Map(_) => merges.push(node),
        Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
            merges.extend(items);
        }
        _ => report.add(Diagnostic::error("yaml", "`<<` takes a mapping or a list of mappings").at(span)),
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error("too-deep", format!("nested deeper than {MAX_DEPTH} levels")).at(span)
}

fn depth(node: &Node) -> usize {
    let is_open = matches!(node.value, Value::List(_) | Value::Map(_));
    usize::from(is_open) + node.children().map(depth).max().unwrap_or(0)
}

/// The place of the first character that YAML does not allow in a text.
fn first_illegal(text: &str, file: usize) -> Option<Span> {
    let illegal = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
    // A text without these bytes has no such character, and the search for bytes is much faster.
    let suspect = |byte: &u8| match *byte {
        b'\n' | b'\r' | b'\t' => false,
        byte => byte < b' ' || byte == 0x7f || byte == 0xc2,
    };
    let suspects = text.as_bytes().iter().filter(|byte| suspect(byte)).count();
    let at = (suspects > 0).then(|| text.find(illegal))??;
    let before = text.get(..at)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    Some(Span::new(file, line, column, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<&'static str> {
        let mut report = Report::default();
        parse(text, 0, &mut report);
        report.diagnostics().iter().map(|diagnostic| diagnostic.code).collect()
    }

    #[test]
    fn positions_are_those_of_the_tokens() {
        let mut report = Report::default();
        let root = parse("a:\n  bé: [1, \"x y\"]\n", 0, &mut report).unwrap();
        let list = root.get("a").unwrap().get("bé").unwrap();
        let Value::List(items) = &list.value else { panic!("a list") };
        assert_eq!(items[1].span, Span::new(0, 2, 11, 5));
        assert_eq!(root.get("a").unwrap().entries()[0].key_span, Span::new(0, 2, 3, 2));
    }

    #[test]
    fn aliases_and_merges() {
        let mut report = Report::default();
        let root = parse("a: &x { p: 1, q: 2 }\nb: { <<: *x, q: 3 }\nc: *x\n", 0, &mut report).unwrap();
        assert!(report.is_empty(), "{report}");
        let b = root.get("b").unwrap();
        assert_eq!(b.entries().len(), 2);
        assert!(matches!(&b.get("q").unwrap().value, Value::Scalar(s) if s.text == "3"));
        assert_eq!(root.get("c").unwrap().value, root.get("a").unwrap().value);
    }

    #[test]
    fn refusals() {
        for (text, expected) in [
            ("a: 1\na: 2\n", "duplicate-key"),
            ("a: &x [*x]\n", "yaml"),
            ("a: !!python/object x\n", ""),
            ("a: !thing x\n", "yaml"),
            ("a: 1\n---\nb: 2\n", "yaml"),
            ("a:\n\t- b\n", "yaml"),
            ("a: [1, 2\n", "yaml"),
            ("? [a]\n: b\n", "yaml"),
            ("a: \u{0}\n", "yaml"),
        ] {
            assert_eq!(codes(text).first().copied().unwrap_or(""), expected, "{text:?}");
        }
    }

    #[test]
    fn depth_is_bounded_in_both_styles() {
        for open in ["[", "{a: ", "- ", "? "] {
            let mut report = Report::default();
            parse(&open.repeat(20_000), 0, &mut report);
            assert_eq!(codes(&open.repeat(20_000)), ["too-deep"], "{open:?} {report}");
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
        for (name, of) in ["b", "c", "d", "e", "f", "g", "h"].iter().zip(["a", "b", "c", "d", "e", "f", "g"]) {
            let items = vec![format!("*{of}"); 10].join(", ");
            text.push_str(&format!("{name}: &{name} [{items}]\n"));
        }
        assert_eq!(codes(&text), ["too-large"]);
    }
}
