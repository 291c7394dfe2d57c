//! Writing to the terminal. A reader that leaves early (`attache man | head`) is not an error, and nothing here panics
//! as the print macros would. A result that could not be written for another reason is a failure of the verb.

use std::fmt::Display;
use std::future::Future;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;
use tokio::time::timeout;

use super::failure::Failure;
use crate::visible::visible_but;

/// One line, or several, of a verb's result on standard output. Text from outside in it cannot steer the terminal.
pub(super) fn print(text: impl Display) -> Result<(), Failure> {
    offer(text).map(drop)
}

/// As [`print`], for a verb that goes on: whether anybody reads it still.
pub(super) fn offer(text: impl Display) -> Result<bool, Failure> {
    let text = text.to_string();
    offer_bytes(format!("{}\n", visible_but(&text, &['\n', '\t'])).as_bytes())
}

/// As [`offer`], and above that the terminal is cleared.
pub(super) fn offer_anew(text: impl Display) -> Result<bool, Failure> {
    // To the top left, and nothing below.
    Ok(offer_bytes(b"\x1b[H\x1b[J")? && offer(text)?)
}

/// Ends when nobody reads standard output any more: a reader may leave while there is nothing to print. Never ends
/// where that cannot be known, as of a file.
pub(super) async fn nobody_reads() {
    // Unchecked, because it need not be a pipe and stays as it is: nothing is written through this.
    let output = io::stdout().as_fd().try_clone_to_owned();
    if let Ok(output) = output.and_then(Sender::from_owned_fd_unchecked)
        && output.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
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
    offer_bytes(bytes).map(drop)
}

fn offer_bytes(bytes: &[u8]) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    taken(out.write_all(bytes).and_then(|()| out.flush()))
}

/// The result of a verb from the result of writing its output.
pub(super) fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    taken(outcome).map(drop)
}

/// Whether somebody reads what was written.
fn taken(outcome: io::Result<()>) -> Result<bool, Failure> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(
            format_args!("standard output cannot be written to: {error}"),
            "what was written of the result may be cut; make room, or send it elsewhere",
        )),
    }
}

/// A line for the person at the terminal, on standard error; as [`print`], but it may be coloured.
pub(super) fn note(text: impl Display) {
    let text = text.to_string();
    let text = visible_but(&text, &['\n', '\t', '\u{1b}']);
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// Waits for what takes its time. After a second a person at the terminal is told what for.
pub(super) fn waiting<F: Future>(what: impl Display, work: F) -> impl Future<Output = F::Output> {
    // Not part of the future that is returned, which callers hold in theirs.
    let mut work = Box::pin(work);
    async move {
        if let Ok(done) = timeout(SECOND, &mut work).await {
            return done;
        }
        if io::stderr().is_terminal() {
            note(format_args!("waiting for {what} ..."));
        }
        work.await
    }
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

/// What a person waits for without asking why.
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_leaves_is_no_failure_and_is_noticed() {
        for (outcome, expected) in [
            (Ok(()), Some(true)),
            (Err(ErrorKind::BrokenPipe.into()), Some(false)),
            (Err(ErrorKind::StorageFull.into()), None),
        ] {
            assert_eq!(taken(outcome).ok(), expected);
        }
    }
}
