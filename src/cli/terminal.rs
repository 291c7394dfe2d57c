//! Writing to the terminal. A reader that leaves early (`attache man | head`) is not an error, and nothing here panics
//! as the print macros would. A result that could not be written for another reason is a failure of the verb.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use super::failure::Failure;
use crate::visible::visible_but;

/// One line, or several, of a verb's result on standard output. Text from outside in it cannot steer the terminal.
pub(super) fn print(text: impl Display) -> Result<(), Failure> {
    let text = text.to_string();
    print_bytes(format!("{}\n", visible_but(&text, &['\n', '\t'])).as_bytes())
}

/// As [`print`], for a verb whose result is what it did and its exit code: a line that cannot be written is a note and
/// does not change the code.
pub(super) fn mention(text: impl Display) {
    if let Err(failure) = print(text) {
        note(failure);
    }
}

/// The bytes of a verb's result on standard output, as they are.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// The result of a verb from the result of writing its output.
pub(super) fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            format_args!("standard output cannot be written to: {error}"),
            "what was written of the result may be cut; make room, or send it elsewhere",
        )),
        _ => Ok(()),
    }
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
