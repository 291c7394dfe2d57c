//! Writing to the terminal. A reader that leaves early (`attache man | head`) is not an error, so nothing here panics as
//! the print macros would.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use crate::config::visible::visible_but;

/// One line, or several, of a verb's result on standard output. What others named or said in it steers nothing.
pub(super) fn print(text: impl Display) {
    let text = text.to_string();
    writeln!(io::stdout().lock(), "{}", visible_but(&text, &['\n', '\t'])).ok();
}

/// The bytes of a verb's result on standard output, as they are.
pub(super) fn print_bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).ok();
}

/// A line for the person at the terminal, on standard error; as [`print`], but it may be coloured.
pub(super) fn note(text: impl Display) {
    let text = text.to_string();
    let text = visible_but(&text, &['\n', '\t', '\u{1b}']);
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// Whether diagnostics on standard error may be coloured (<https://no-color.org>).
pub(super) fn has_color() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stderr().is_terminal()
}

/// `1 route`, `2 routes`.
pub(super) fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
