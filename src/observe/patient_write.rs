//! Writing to a file, pipe or terminal that may be non-blocking.

use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

/// Like `write_all`, but a pipe that somebody made non-blocking gets a second to be read before its lines are lost.
pub(super) fn write_patiently(output: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    let mut patience = 100;
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && patience > 0 => {
                patience -= 1;
                thread::park_timeout(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_reader_that_went_away_is_an_error_and_nothing_worse() {
        let (mut here, there) = UnixStream::pair().unwrap();
        drop(there);
        assert_eq!(write_patiently(&mut here, b"line\n").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
