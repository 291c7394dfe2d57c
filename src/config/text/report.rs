//! Diagnostics: every problem found in a configuration, collected instead of thrown, each with its place.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::looks::mask_quoted;
use super::node::Span;
use crate::visible::visible_but;

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

/// One problem.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Its kind in kebab-case, such as `unknown-field`; stable.
    pub code: &'static str,
    /// What is wrong, one line.
    pub message: String,
    /// What to do, shown beside the caret.
    pub hint: Option<String>,
    /// Path inside the configuration, such as `routes.research.match`; empty for problems of a whole file.
    pub path: String,
    pub(in crate::config) span: Option<Span>,
    /// A second place that takes part, such as the first definition of a name.
    pub(in crate::config) related: Option<(Span, String)>,
}

/// A file that was read, kept so that diagnostics can show its lines.
#[derive(Clone, Debug)]
pub(in crate::config) struct Source {
    pub(in crate::config) path: PathBuf,
    pub(in crate::config) text: Arc<str>,
    /// Whether it is a text of another program.
    pub(in crate::config) is_foreign: bool,
}

/// All problems of one configuration. Nothing in it holds a secret.
#[derive(Clone, Debug, Default)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    pub(in crate::config) sources: Vec<Source>,
    dropped: usize,
}

/// More problems than this are counted, not kept.
const MAX_DIAGNOSTICS: usize = 200;

impl Report {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// Number of errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// Number of warnings.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// Whether problems were left out because there were too many.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The problems, in the order of files and lines.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// File, line, column (both from 1) and length of a diagnostic of this report; `None` when it has no place.
    #[must_use]
    pub fn place(&self, diagnostic: &Diagnostic) -> Option<(&std::path::Path, usize, usize, usize)> {
        let span = diagnostic.span?;
        let source = self.sources.get(span.file())?;
        Some((&source.path, span.line(), span.column(), span.len()))
    }

    /// The first error in one line, with its place.
    #[must_use]
    pub fn first_error(&self) -> Option<String> {
        let error = |diagnostic: &&Diagnostic| diagnostic.severity == Severity::Error;
        let diagnostic = self.diagnostics.iter().find(error)?;
        let place = self.place(diagnostic);
        let place = place.map(|(file, line, column, _)| format!("{}:{line}:{column}: ", file.display()));
        let more = self.errors() + self.dropped - 1;
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        Some(format!("{}{}{more}", place.unwrap_or_default(), diagnostic.message))
    }

    pub(in crate::config) fn add(&mut self, mut diagnostic: Diagnostic) {
        diagnostic.clean();
        // What `defaults` spreads over many routes is one mistake at one place.
        let known = |other: &Diagnostic| {
            other.code == diagnostic.code
                && other.span == diagnostic.span
                && other.span.is_some()
                && other.hint == diagnostic.hint
        };
        if self.diagnostics.iter().any(known) {
            return;
        }
        if self.diagnostics.len() == MAX_DIAGNOSTICS {
            self.dropped += 1;
            let is_warning = |other: &Diagnostic| other.severity == Severity::Warning;
            let least = self.diagnostics.iter().rposition(is_warning);
            match least.filter(|_| !is_warning(&diagnostic)) {
                // However much there is to warn of, an error among it must not go unnoticed.
                Some(least) => drop(self.diagnostics.remove(least)),
                None => return,
            }
        }
        self.diagnostics.push(diagnostic);
    }

    pub(in crate::config) fn clear(&mut self) {
        self.diagnostics.clear();
        self.dropped = 0;
    }

    pub(in crate::config) fn sort(&mut self) {
        self.diagnostics.sort_by_key(|diagnostic| (diagnostic.span, diagnostic.severity));
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }
}

impl Diagnostic {
    pub(in crate::config) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            hint: None,
            path: String::new(),
            span: None,
            related: None,
        }
    }

    /// A value that cannot be meant.
    pub(in crate::config) fn invalid(message: impl Into<String>) -> Self {
        Self::error("invalid-value", message)
    }

    /// Something that has to be there is not.
    pub(in crate::config) fn lacks(message: impl Into<String>) -> Self {
        Self::error("missing-field", message)
    }

    /// Values that cannot be meant together.
    pub(in crate::config) fn conflict(message: impl Into<String>) -> Self {
        Self::error("conflict", message)
    }

    pub(in crate::config) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    pub(in crate::config) fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    pub(in crate::config) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(in crate::config) fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }

    /// Names and values of a file are quoted in messages. They must neither steer a terminal nor show a text that looks
    /// like a credential.
    fn clean(&mut self) {
        let label = self.related.as_mut().map(|(_, label)| label);
        let texts = [Some(&mut self.message), self.hint.as_mut(), label];
        for text in texts.into_iter().flatten().chain([&mut self.path]) {
            if let Cow::Owned(clean) = visible_but(text, &['\n']) {
                *text = clean;
            }
            if text.contains('`') {
                *text = mask_quoted(text);
            }
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_not_lost_among_warnings() {
        let mut report = Report::default();
        for index in 0..MAX_DIAGNOSTICS + 10 {
            report.add(Diagnostic::warning("unused", index.to_string()));
        }
        assert_eq!((report.errors(), report.warnings(), report.dropped()), (0, 200, 10));
        report.add(Diagnostic::error("wrong", "at last"));
        assert_eq!((report.errors(), report.warnings(), report.dropped()), (1, 199, 11));
    }
}
