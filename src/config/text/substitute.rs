//! `${VAR}`, `${VAR:-default}`, `${VAR:?why}`, `${file:/path}` and `$$`, in parsed scalars only: a value that is
//! put in can never change the shape of the configuration. It counts as a secret unless `${plain:..}` says otherwise.

use std::path::{Path, PathBuf};

use super::looks::{REDACTED, is_plausible_path};
use super::node::{Node, Scalar, Span, Value};
use super::report::{Diagnostic, Report};
use crate::config::environment::Environment;
use crate::config::files::reason;

/// Size of a file named by `${file:..}`.
const MAX_FILE: usize = 1 << 20;
/// Bytes all substitutions of one file may add.
const MAX_TOTAL: usize = 16 << 20;

/// Substitutes in every scalar of a tree. `base` is the directory of the file the tree came from.
pub(in crate::config) fn substitute(node: &mut Node, env: &Environment, base: &Path, report: &mut Report) {
    let mut room = MAX_TOTAL;
    walk(node, &mut Scope { env, base, report, room: &mut room });
}

struct Scope<'a> {
    env: &'a Environment,
    base: &'a Path,
    report: &'a mut Report,
    room: &'a mut usize,
}

fn walk(node: &mut Node, scope: &mut Scope<'_>) {
    node.children_mut().for_each(|child| walk(child, scope));
    let Value::Scalar(scalar) = &mut node.value else { return };
    if scalar.text.contains('$') {
        match expand(scalar, scope) {
            Ok(expanded) => *scalar = expanded,
            Err(problem) => {
                scope.report.add(problem.diagnostic(node.span));
                node.value = Value::Blank;
            }
        }
    }
}

struct Problem {
    code: &'static str,
    message: String,
    hint: String,
}

impl Problem {
    fn new(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into() }
    }

    fn diagnostic(self, span: Span) -> Diagnostic {
        Diagnostic::error(self.code, self.message).at(span).hint(self.hint)
    }
}

fn expand(scalar: &Scalar, scope: &mut Scope<'_>) -> Result<Scalar, Problem> {
    let mut out = Scalar { text: String::new(), ..scalar.clone() };
    let mut rest = scalar.text.as_str();
    let mut written = String::new();
    while let Some((before, after)) = rest.split_once('$') {
        out.text.push_str(before);
        written.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            out.text.push('$');
            written.push_str("$$");
            after
        } else if let Some(after) = after.strip_prefix('{') {
            let (expression, after) = after.split_once('}').ok_or_else(|| {
                Problem::new("substitution", "`${` without `}`", "write `$${` for the characters themselves")
            })?;
            let (value, secret) = evaluate(expression, scope)?;
            written.push_str(&portable(expression, scope.base));
            *scope.room = scope.room.checked_sub(value.len()).ok_or_else(|| {
                Problem::new(
                    "too-large",
                    "the substitutions of this file add up to more than 16 MiB",
                    "use a `*File` key instead",
                )
            })?;
            out.text.push_str(&value);
            out.substituted = true;
            out.secret |= secret;
            after
        } else {
            // A lone `$` is itself: regular expressions end in one.
            out.text.push('$');
            written.push('$');
            after
        };
    }
    out.text.push_str(rest);
    written.push_str(rest);
    out.written = Some(written.into());
    Ok(out)
}

/// The expression as it can stand in a file elsewhere.
fn portable(expression: &str, base: &Path) -> String {
    let (plain, expression) = declared(expression);
    match expression.strip_prefix("file:") {
        Some(path) => format!("${{{plain}file:{}}}", absolute(&base.join(path)).display()),
        None => format!("${{{plain}{expression}}}"),
    }
}

/// Takes off what says that the value is no secret.
fn declared(expression: &str) -> (&str, &str) {
    match expression.strip_prefix(PLAIN) {
        Some(rest) => (PLAIN, rest),
        None => ("", expression),
    }
}

const PLAIN: &str = "plain:";

/// The path from the root, where the working directory is known.
pub(in crate::config) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_unknown| path.to_owned())
}

fn evaluate(expression: &str, scope: &Scope<'_>) -> Result<(String, bool), Problem> {
    let (plain, expression) = declared(expression);
    let secret = plain.is_empty();
    if let Some(path) = expression.strip_prefix("file:") {
        return read(path, scope).map(|text| (text, secret));
    }
    let end = expression.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(expression.len());
    let (name, operator) = expression.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        let message = "`${..}` does not begin with the name of a variable";
        return Err(Problem::new("substitution", message, "write `$${` for the characters themselves"));
    }
    let value = scope.env.variable(name);
    if operator.is_empty() {
        return value.map(|value| (value, secret)).ok_or_else(|| {
            Problem::new(
                "unset-variable",
                format!("the variable `{name}` is not set"),
                format!("set it, or write `${{{name}:-default}}`"),
            )
        });
    }
    // As in a shell, `:-` and `:?` treat an empty variable as unset.
    let value = value.filter(|value| !value.is_empty());
    if let Some(default) = operator.strip_prefix(":-") {
        // A default is written in the file, where its place says whether it is a secret.
        return Ok(value.map_or_else(|| (default.to_owned(), false), |value| (value, secret)));
    }
    if let Some(why) = operator.strip_prefix(":?") {
        let why = if why.is_empty() { "set it" } else { why };
        return value
            .map(|value| (value, secret))
            .ok_or_else(|| Problem::new("unset-variable", format!("the variable `{name}` is not set"), why));
    }
    Err(Problem::new(
        "substitution",
        format!("`${{{name}..}}` is not understood"),
        "`${VAR}`, `${VAR:-default}`, `${VAR:?why}`, `${file:/path}` or `${plain:VAR}`",
    ))
}

fn read(path: &str, scope: &Scope<'_>) -> Result<String, Problem> {
    let full = scope.base.join(path);
    let shown = if is_plausible_path(path) { full.display().to_string() } else { REDACTED.to_owned() };
    let problem = |why: String| {
        Problem::new("missing-file", format!("cannot read `{shown}`: {why}"), "a path is relative to this file")
    };
    let bytes = scope.env.read(&full, MAX_FILE).map_err(|error| problem(reason(&error)))?;
    let text = String::from_utf8(bytes).map_err(|_not_text| problem("it is not UTF-8 text".to_owned()))?;
    // Editors and `echo` end a file with a line break that is not part of the secret.
    Ok(text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn expanded(text: &str) -> Result<String, &'static str> {
        let env = Environment::empty(SystemTime::UNIX_EPOCH).with_variable("A", "one").with_variable("EMPTY", "");
        let mut report = Report::default();
        let scalar = Scalar { text: text.to_owned(), ..Scalar::default() };
        let mut node = Node { span: Span::default(), value: Value::Scalar(scalar) };
        substitute(&mut node, &env, Path::new(""), &mut report);
        match node.value {
            Value::Scalar(scalar) => Ok(scalar.text),
            _ => Err(report.diagnostics()[0].code),
        }
    }

    #[test]
    fn forms() {
        for (text, expected) in [
            ("${A}", Ok("one")),
            ("x-${A}-${A}", Ok("x-one-one")),
            ("${B:-two}", Ok("two")),
            ("${EMPTY:-two}", Ok("two")),
            ("${EMPTY}", Ok("")),
            ("${B:-}", Ok("")),
            ("${plain:A}", Ok("one")),
            ("${plain:B:-two}", Ok("two")),
            ("${plain}", Err("unset-variable")),
            ("$$", Ok("$")),
            ("$${A}", Ok("${A}")),
            ("^/x$", Ok("^/x$")),
            ("$1", Ok("$1")),
            ("${B}", Err("unset-variable")),
            ("${B:?needed}", Err("unset-variable")),
            ("${1}", Err("substitution")),
            ("${", Err("substitution")),
            ("${A", Err("substitution")),
            ("${A!x}", Err("substitution")),
            ("${file:/does/not/exist}", Err("missing-file")),
        ] {
            assert_eq!(expanded(text).as_deref(), expected.as_ref().copied(), "{text}");
        }
    }

    #[test]
    fn what_was_put_in_is_not_expanded_again() {
        let env = Environment::empty(SystemTime::UNIX_EPOCH).with_variable("A", "${A}");
        let scalar = Scalar { text: "${A}".to_owned(), ..Scalar::default() };
        let mut node = Node { span: Span::default(), value: Value::Scalar(scalar) };
        substitute(&mut node, &env, Path::new(""), &mut Report::default());
        assert!(matches!(node.value, Value::Scalar(scalar) if scalar.text == "${A}"));
    }
}
