//! How a report is printed: for people, as JSON, and as GitHub annotations.

mod lines;

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};

use serde_json::{Map, Value, json};

use super::node::Span;
use super::report::{Diagnostic, Report, Severity};
use crate::visible::is_hidden;
use lines::Lines;

impl Report {
    /// The report for people: place, source line and caret for each problem, then a count.
    #[must_use]
    pub fn human(&self, color: bool) -> String {
        let paint = Paint { color };
        let mut out = String::new();
        let shown = self.lines();
        for diagnostic in self.diagnostics() {
            self.write_human(&mut out, diagnostic, &shown, &paint);
        }
        out.push_str(&self.summary());
        out.push('\n');
        out
    }

    /// `2 errors, 1 warning`.
    #[must_use]
    pub fn summary(&self) -> String {
        let errors = plural(self.errors(), "error");
        let more = if self.dropped() > 0 { format!(" and {} more not shown", self.dropped()) } else { String::new() };
        match self.warnings() {
            0 => format!("{errors}{more}"),
            warnings => format!("{errors}, {}{more}", plural(warnings, "warning")),
        }
    }

    /// The report as one JSON object.
    #[must_use]
    pub fn json(&self) -> String {
        let diagnostics: Vec<_> = self
            .diagnostics()
            .iter()
            .map(|diagnostic| {
                let place = self.place(diagnostic);
                json!({
                    "severity": diagnostic.severity.to_string(),
                    "code": diagnostic.code,
                    "message": diagnostic.message,
                    "path": diagnostic.path,
                    "hint": diagnostic.hint,
                    "file": place.map(|(file, ..)| file.display().to_string()),
                    "line": place.map(|(_, line, ..)| line),
                    "column": place.map(|(_, _, column, _)| column),
                    "length": place.map(|(.., length)| length),
                })
            })
            .collect();
        json!({ "errors": self.errors(), "warnings": self.warnings(), "dropped": self.dropped(), "diagnostics": diagnostics }).to_string()
    }

    /// What there is to say about a diagnostic of this report beside its message, by name.
    #[must_use]
    pub fn facts(&self, diagnostic: &Diagnostic) -> Map<String, Value> {
        let mut facts = Map::new();
        let mut fact = |name: &str, value: Value| {
            facts.insert(name.to_owned(), value);
        };
        fact("code", diagnostic.code.into());
        if !diagnostic.path.is_empty() {
            fact("path", (&*diagnostic.path).into());
        }
        if let Some(hint) = &diagnostic.hint {
            fact("hint", (&**hint).into());
        }
        if let Some((file, line, column, _)) = self.place(diagnostic) {
            fact("file", file.display().to_string().into());
            fact("line", line.into());
            fact("column", column.into());
        }
        if let Some((span, label)) = &diagnostic.related {
            let file = self.sources.get(span.file());
            let file = file.map(|source| source.path.display().to_string());
            let place = json!({ "file": file, "line": span.line(), "column": span.column(), "what": label });
            fact("related", place);
        }
        facts
    }

    /// The report as GitHub workflow commands, one per line.
    #[must_use]
    pub fn github(&self) -> String {
        let mut out = String::new();
        for diagnostic in self.diagnostics() {
            let place = self.place(diagnostic).map(|(file, line, column, length)| {
                let file = github_property(&file.display().to_string());
                format!("file={file},line={line},col={column},endColumn={},", column + length.max(1))
            });
            let hint = diagnostic.hint.as_deref().map(|hint| format!(": {hint}"));
            let _infallible = writeln!(
                out,
                "::{} {}title={}::{}",
                diagnostic.severity,
                place.unwrap_or_default(),
                diagnostic.code,
                github_message(&format!("{}{}", diagnostic.message, hint.unwrap_or_default()))
            );
        }
        out
    }

    /// What may be shown of each file that a problem stands in. The text is parsed again here, so that a report
    /// that is not printed costs nothing.
    fn lines(&self) -> Shown {
        let mut unknown: HashMap<usize, HashSet<(usize, usize)>> = HashMap::new();
        for diagnostic in self.diagnostics() {
            if let Some(span) = diagnostic.span {
                let places = unknown.entry(span.file()).or_default();
                if diagnostic.code == "unknown-field" {
                    places.insert((span.line(), span.column()));
                }
            }
            if let Some((span, _)) = diagnostic.related {
                unknown.entry(span.file()).or_default();
            }
        }
        let read = |(file, unknown): (usize, HashSet<_>)| {
            let source = self.sources.get(file)?;
            Some((file, if source.is_foreign { Lines::Foreign } else { Lines::of(&source.text, &unknown) }))
        };
        unknown.into_iter().filter_map(read).collect()
    }

    fn write_human(&self, out: &mut String, diagnostic: &Diagnostic, shown: &Shown, paint: &Paint) {
        let severity = format!("{}[{}]", diagnostic.severity, diagnostic.code);
        let severity = paint.paint(severity_color(diagnostic.severity), &severity);
        let _infallible = writeln!(out, "{severity}: {}", paint.paint("1", &diagnostic.message));
        let Some(span) = diagnostic.span else {
            if let Some(hint) = &diagnostic.hint {
                let _infallible = writeln!(out, "  = {hint}");
            }
            out.push('\n');
            return;
        };
        let related = diagnostic.related.as_ref();
        let last = related.map_or_else(|| span.line(), |(other, _)| span.line().max(other.line()));
        let width = last.to_string().len();
        let label = diagnostic.hint.as_deref().unwrap_or("");
        let snippet = Snippet { span, arrow: "-->", label, color: severity_color(diagnostic.severity) };
        self.write_snippet(out, &snippet, width, shown, paint);
        if let Some((span, label)) = related {
            let snippet = Snippet { span: *span, arrow: ":::", label, color: "1;34" };
            self.write_snippet(out, &snippet, width, shown, paint);
        }
        out.push('\n');
    }

    fn write_snippet(&self, out: &mut String, snippet: &Snippet<'_>, width: usize, shown: &Shown, paint: &Paint) {
        let Snippet { span, arrow, label, color } = *snippet;
        let Some(source) = self.sources.get(span.file()) else { return };
        let blank = " ".repeat(width);
        let _infallible = writeln!(out, "{blank}{arrow} {}:{}:{}", source.path.display(), span.line(), span.column());
        let Some(line) = source.text.lines().nth(span.line().saturating_sub(1)) else { return };
        let line = shown.get(&span.file()).map_or_else(String::new, |lines| lines.shown(line, span.line(), span));
        let (line, column) = window(&line, span.column());
        let room = line.chars().count().saturating_sub(column.saturating_sub(1)).max(1);
        let carets = paint.paint(color, &"^".repeat(span.len().clamp(1, room)));
        let indent = " ".repeat(column.saturating_sub(1));
        let _infallible = writeln!(out, "{blank} |\n{:>width$} | {line}", span.line());
        let row = format!("{blank} | {indent}{carets} {label}");
        let _infallible = writeln!(out, "{}", row.trim_end());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.human(false))
    }
}

impl std::error::Error for Report {}

/// What may be shown of each file, by its number.
type Shown = HashMap<usize, Lines>;

/// One source line with a mark under it.
struct Snippet<'a> {
    span: Span,
    arrow: &'static str,
    label: &'a str,
    color: &'static str,
}

/// A long line is cut around the column, so that the caret stays on the screen. Tabs count as one column.
fn window(line: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 140;
    let clean = |c: char| if is_hidden(c) { ' ' } else { c };
    let length = line.chars().count();
    if length <= WIDTH {
        return (line.chars().map(clean).collect(), column);
    }
    let start = column.saturating_sub(WIDTH / 2).min(length - WIDTH);
    (line.chars().skip(start).take(WIDTH).map(clean).collect(), column.saturating_sub(start))
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

fn github_message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn github_property(text: &str) -> String {
    github_message(text).replace(':', "%3A").replace(',', "%2C")
}

fn severity_color(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "1;31",
        Severity::Warning => "1;33",
    }
}

struct Paint {
    color: bool,
}

impl Paint {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
