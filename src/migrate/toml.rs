//! TOML as the same tree as YAML, and texts of several documents of both. `toml_parser` reads; which table a key
//! belongs to is decided here, because every value needs its line.

use std::collections::HashMap;

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, ParseError, Source, Span};

use super::directive::Wrong;
use crate::config::Report;
use crate::config::foreign::{self, Foreign, ForeignKind, Place, unreadable};

/// Documents of one text that holds TOML.
const MAX_DOCUMENTS: usize = 32;
/// Keys, tables and arrays within each other.
const MAX_DEPTH: usize = 64;
/// Keys and values of one document.
const MAX_VALUES: usize = 100_000;

/// Every document of a text in YAML, JSON or TOML, with `---` between them.
///
/// # Errors
/// A report of what cannot be read.
pub(super) fn documents(text: &str, name: &str) -> Result<Vec<Foreign>, Report> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parts = parts(text);
    if !parts.iter().any(|(_, part)| is_toml(part)) {
        return foreign::documents(text, name);
    }
    let refused = |wrong: Wrong| unreadable(text, name, wrong.place, &wrong.message, &wrong.hint);
    if let Some((line, _)) = parts.get(MAX_DOCUMENTS) {
        let place = Place { line: *line, column: 1, length: 1 };
        let message = format!("there are more than {MAX_DOCUMENTS} documents");
        return Err(refused(Wrong::new(place, message, "migrate the file in parts")));
    }
    let mut found = Vec::new();
    for (line, part) in parts {
        if is_toml(part) {
            found.push(read(part, line).map_err(refused)?);
        } else {
            // Its lines keep their numbers.
            found.extend(foreign::documents(&format!("{}{part}", "\n".repeat(line)), name)?);
        }
    }
    Ok(found)
}

/// The documents of a text, each with the number of lines before it.
fn parts(text: &str) -> Vec<(usize, &str)> {
    let (mut parts, mut begin, mut at, mut first) = (Vec::new(), 0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_end() == "---" {
            parts.push((first, text.get(begin..at).unwrap_or_default()));
            (begin, first) = (at + line.len(), number + 1);
        }
        at += line.len();
    }
    parts.push((first, text.get(begin..).unwrap_or_default()));
    parts
}

/// Whether a document is one in TOML: the first line that says something is `[table]` or `key = value`.
fn is_toml(document: &str) -> bool {
    let line = document.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    line.is_some_and(|line| {
        let equals = line.find('=');
        line.starts_with('[')
            || equals.is_some_and(|at| !line.starts_with('{') && line.find(':').is_none_or(|colon| at < colon))
    })
}

/// The tree of a document with so many lines before it.
fn read(text: &str, lines_before: usize) -> Result<Foreign, Wrong> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut reader = Reader::new(source, lines_before);
    let mut wrong: Option<ParseError> = None;
    parse_document(&tokens, &mut reader, &mut wrong);
    let refused = wrong.as_ref().map(|wrong| {
        let span = wrong.unexpected().or_else(|| wrong.context());
        (span.map_or(0, |span| span.start()), span.map_or(1, |span| span.len()), wrong.description().to_owned())
    });
    // What is wrong first counts: the rest follows from it.
    let first = [refused, reader.wrong.take()].into_iter().flatten().min_by_key(|(at, ..)| *at);
    match first {
        Some((at, length, message)) => Err(Wrong::new(reader.place(at, length), message, "see the TOML of this line")),
        None => Ok(foreign_of(Value { line: lines_before + 1, kind: Kind::Table(reader.root) })),
    }
}

/// A value with its line.
struct Value {
    line: usize,
    kind: Kind,
}

enum Kind {
    Scalar(String),
    Array { items: Vec<Value>, is_of_tables: bool },
    Table(Table),
}

/// A table in the order in which it is written.
#[derive(Default)]
struct Table {
    entries: Vec<(String, usize, Value)>,
    by_key: HashMap<String, usize>,
    /// Whether it has a header, or braces, so that no other can have them too.
    is_whole: bool,
}

impl Table {
    /// The table under a key, made where nothing is; the last one of an array of tables.
    fn below(&mut self, key: &str, line: usize) -> Option<&mut Self> {
        let at = match self.by_key.get(key) {
            Some(at) => *at,
            None => self.insert(key, line, Value { line, kind: Kind::Table(Self::default()) })?,
        };
        match &mut self.entries.get_mut(at)?.2.kind {
            Kind::Table(table) => Some(table),
            Kind::Array { items, is_of_tables: true } => match &mut items.last_mut()?.kind {
                Kind::Table(table) => Some(table),
                Kind::Scalar(_) | Kind::Array { .. } => None,
            },
            Kind::Scalar(_) | Kind::Array { .. } => None,
        }
    }

    /// Where it stands now; none where the key is there already.
    fn insert(&mut self, key: &str, line: usize, value: Value) -> Option<usize> {
        let at = self.entries.len();
        if self.by_key.insert(key.to_owned(), at).is_some() {
            return None;
        }
        self.entries.push((key.to_owned(), line, value));
        Some(at)
    }

    /// Opens the table, or the next table of an array, that a header names. None where there is something else.
    fn open(&mut self, key: &str, line: usize, is_array: bool) -> Option<()> {
        let Some(there) = self.by_key.get(key).and_then(|at| self.entries.get_mut(*at)) else {
            let table = Value { line, kind: Kind::Table(Self { is_whole: true, ..Self::default() }) };
            let kind = if is_array { Kind::Array { items: vec![table], is_of_tables: true } } else { table.kind };
            return self.insert(key, line, Value { line, kind }).map(|_| ());
        };
        match &mut there.2.kind {
            Kind::Array { items, is_of_tables: true } if is_array => {
                items.push(Value { line, kind: Kind::Table(Self { is_whole: true, ..Self::default() }) });
                Some(())
            }
            Kind::Table(table) if !is_array && !table.is_whole => {
                table.is_whole = true;
                Some(())
            }
            Kind::Table(_) | Kind::Array { .. } | Kind::Scalar(_) => None,
        }
    }
}

/// Keys with their lines, the last one innermost.
type Path = Vec<(String, usize)>;

/// An array, or a table between braces, that is not closed yet, and the keys it will stand under.
struct Open {
    path: Path,
    value: Value,
}

struct Reader<'t> {
    source: Source<'t>,
    lines_before: usize,
    /// Where lines begin.
    lines: Vec<usize>,
    root: Table,
    /// The header that the next keys stand below.
    header: Path,
    /// Keys of a header or before a value, as far as they are read.
    keys: Path,
    open: Vec<Open>,
    count: usize,
    /// Start, length and message of the first thing that is wrong with the tree.
    wrong: Option<(usize, usize, String)>,
}

impl<'t> Reader<'t> {
    fn new(source: Source<'t>, lines_before: usize) -> Self {
        let ends = source.input().match_indices('\n').map(|(at, _)| at + 1);
        Self {
            source,
            lines_before,
            lines: std::iter::once(0).chain(ends).collect(),
            root: Table::default(),
            header: Path::new(),
            keys: Path::new(),
            open: Vec::new(),
            count: 0,
            wrong: None,
        }
    }

    /// Line of a byte, counted in the whole text.
    fn line(&self, at: usize) -> usize {
        self.lines_before + self.lines.partition_point(|begin| *begin <= at)
    }

    fn place(&self, at: usize, length: usize) -> Place {
        let line = self.line(at);
        let begin = self.lines.get((line - self.lines_before).saturating_sub(1)).copied().unwrap_or(0);
        let before = self.source.input().get(begin..at).map_or(0, |before| before.chars().count());
        Place { line, column: before + 1, length: length.max(1) }
    }

    fn refuse(&mut self, span: Span, message: impl Into<String>) {
        self.wrong.get_or_insert_with(|| (span.start(), span.len(), message.into()));
    }

    /// Whether another value, or another level, is within the bounds.
    fn has_room(&mut self, span: Span) -> bool {
        self.count += 1;
        let within: usize = self.open.iter().map(|open| open.path.len() + 1).sum();
        if self.header.len() + self.keys.len() + within > MAX_DEPTH {
            self.refuse(span, format!("tables and arrays are nested deeper than {MAX_DEPTH}"));
        } else if self.count > MAX_VALUES {
            self.refuse(span, format!("there are more than {MAX_VALUES} values"));
        }
        self.wrong.is_none()
    }

    fn close_header(&mut self, span: Span, is_array: bool) {
        self.header.clear();
        if !self.has_room(span) {
            return;
        }
        self.header = std::mem::take(&mut self.keys);
        let Some(((last, line), above)) = self.header.split_last() else { return };
        let table = above.iter().try_fold(&mut self.root, |table, (key, line)| table.below(key, *line));
        if table.and_then(|table| table.open(last, *line, is_array)).is_none() {
            let message = format!("`{last}` is there already");
            self.refuse(span, message);
        }
    }

    fn begin(&mut self, span: Span, kind: Kind) -> bool {
        if !self.has_room(span) {
            return false;
        }
        let (path, line) = (std::mem::take(&mut self.keys), self.line(span.start()));
        self.open.push(Open { path, value: Value { line, kind } });
        true
    }

    fn end(&mut self, span: Span) {
        if self.wrong.is_some() {
            return;
        }
        if let Some(Open { path, value }) = self.open.pop() {
            self.keys = path;
            self.put(span, value);
        }
    }

    /// Puts a value where it belongs: into the array that is open, or under the keys before it.
    fn put(&mut self, span: Span, value: Value) {
        let keys = std::mem::take(&mut self.keys);
        let table = match self.open.last_mut().map(|open| &mut open.value.kind) {
            Some(Kind::Array { items, .. }) => return items.push(value),
            Some(Kind::Table(table)) => Some(table),
            Some(Kind::Scalar(_)) => None,
            None => self.header.iter().try_fold(&mut self.root, |table, (key, line)| table.below(key, *line)),
        };
        let Some(((last, line), above)) = keys.split_last() else { return };
        let table = table.and_then(|table| above.iter().try_fold(table, |table, (key, line)| table.below(key, *line)));
        if table.and_then(|table| table.insert(last, *line, value)).is_none() {
            self.refuse(span, format!("`{last}` is there already"));
        }
    }
}

impl EventReceiver for Reader<'_> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header.clear();
        self.keys.clear();
    }

    fn std_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.close_header(span, false);
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header.clear();
        self.keys.clear();
    }

    fn array_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.close_header(span, true);
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.begin(span, Kind::Table(Table { is_whole: true, ..Table::default() }))
    }

    fn inline_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.end(span);
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.begin(span, Kind::Array { items: Vec::new(), is_of_tables: false })
    }

    fn array_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.end(span);
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let (mut key, line) = (String::new(), self.line(span.start()));
        if let Some(raw) = self.source.get(span) {
            let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
            raw.decode_key(&mut key, error);
        }
        if self.has_room(span) {
            self.keys.push((key, line));
        }
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        if !self.has_room(span) {
            return;
        }
        let Some(raw) = self.source.get(span) else { return };
        let mut text = String::new();
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
        if let ScalarKind::Integer(radix) = raw.decode_scalar(&mut text, error)
            && radix.value() != 10
            && let Ok(number) = i64::from_str_radix(text.trim_start_matches(['0', 'x', 'o', 'b']), radix.value())
        {
            text = number.to_string();
        }
        let line = self.line(span.start());
        self.put(span, Value { line, kind: Kind::Scalar(text) });
    }
}

fn foreign_of(value: Value) -> Foreign {
    let kind = match value.kind {
        Kind::Scalar(text) => ForeignKind::Scalar(text),
        Kind::Array { items, .. } => ForeignKind::List(items.into_iter().map(foreign_of).collect()),
        Kind::Table(table) => {
            let entries = table.entries.into_iter().map(|(key, line, value)| (key, line, foreign_of(value)));
            ForeignKind::Map(entries.collect())
        }
    };
    Foreign::new(value.line, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in one line, with lines of keys where they are wanted.
    fn shown(value: &Foreign) -> String {
        match &value.kind {
            ForeignKind::Scalar(text) => text.clone(),
            ForeignKind::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
            ForeignKind::Map(entries) => {
                let entries = entries.iter().map(|(key, line, value)| format!("{key}@{line}={}", shown(value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn tables_arrays_and_keys_become_the_tree_that_yaml_has() {
        for (text, expected) in [
            ("a = 1\nb.c = \"x\"\n", "{a@1=1 b@2={c@2=x}}"),
            ("[a.b]\nc = true\n[a]\nd = 1.5\n", "{a@1={b@1={c@2=true} d@4=1.5}}"),
            ("[[s]]\nu = 'x'\n[[s]]\n[s.t]\nv = 2\n", "{s@1=[{u@2=x} {t@4={v@5=2}}]}"),
            ("a = [1, [2], { b = 3, c.d = 4 }]\n", "{a@1=[1 [2] {b@1=3 c@1={d@1=4}}]}"),
            ("\"a.b\" = \"\"\"\nx\ny\"\"\"\n", "{a.b@1=x\ny}"),
            ("a = 1_000\nb = 0xff\nc = 0\nd = 0b0\n", "{a@1=1000 b@2=255 c@3=0 d@4=0}"),
            ("[a.b.tls]\n[a.b]\nc = []\n", "{a@1={b@1={tls@1={} c@3=[]}}}"),
        ] {
            assert_eq!(
                shown(&read(text, 0).unwrap_or_else(|wrong| panic!("{text}: {}", wrong.message))),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (text, line, column) in [
            ("a = 1\na = 2\n", 2, 5),
            ("[a]\n[b]\n[a]\n", 3, 3),
            ("a = 1\n[a]\n", 2, 3),
            ("a = {}\n[a]\nb = 1\n", 2, 3),
            ("[[a]]\n[a]\n", 2, 3),
            ("a = [{}]\n[[a]]\n", 2, 4),
            ("a = \n", 1, 5),
            ("x\n", 1, 2),
            ("a = \"x\n", 1, 7),
            ("a = [1\n", 1, 7),
        ] {
            let Err(wrong) = read(text, 0) else { panic!("{text} was read") };
            assert_eq!((wrong.place.line, wrong.place.column), (line, column), "{text}: {}", wrong.message);
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = [
            format!("a = {}", "[".repeat(100_000)),
            format!("a = {}", "{a=".repeat(100_000)),
            format!("[{}a]", "a.".repeat(100_000)),
            format!("{}a = 1", "a.".repeat(100_000)),
            format!("[{0}a]\n{0}a = [{{ {0}a = 1 }}]", "a.".repeat(30)),
        ];
        for text in deep {
            let Err(wrong) = read(&text, 0) else { panic!("it was read") };
            assert!(wrong.message.contains("deeper"), "{}", wrong.message);
        }
    }

    #[test]
    fn documents_of_both_kinds_keep_their_lines() {
        let text = "# static\n[entryPoints.web]\naddress = \":80\"\n---\nhttp:\n  routers: {}\n---\nx = 1\n";
        let found: Vec<String> = documents(text, "x").unwrap().iter().map(shown).collect();
        assert_eq!(found, ["{entryPoints@2={web@2={address@3=:80}}}", "{http@5={routers@6={}}}", "{x@8=1}"]);
        for (text, line) in
            [("a: 1\n---\nb = \n", "x:3:5"), ("b = 1\n---\na: [\n", "x:4"), ("a = 1\n---\nb = 2\nb = 3", "x:4:5")]
        {
            let report = documents(text, "x").unwrap_err().human(false);
            assert!(report.contains(line), "{report}");
        }
        assert!(
            documents(&"a = 1\n---\n".repeat(40), "x").unwrap_err().human(false).contains("more than 32 documents")
        );
    }

    #[test]
    fn yaml_is_not_taken_for_toml() {
        for (text, expected) in [
            ("a: b = c", false),
            ("{ \"a\": \"=\" }", false),
            ("# c = d\n\nhttp:\n  x: 1", false),
            ("", false),
            ("[http]", true),
            ("  [[a]]", true),
            ("# x: y\na = \"b:c\"", true),
            ("rule: Query(`a=b`)", false),
        ] {
            assert_eq!(is_toml(text), expected, "{text}");
        }
    }
}
