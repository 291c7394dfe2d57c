//! Escapes lines of the log: text from clients and agents must not end a line, turn it around or hide in it, in any
//! field.

use std::borrow::Cow;
use std::io::{self, Write};
use std::str;

use tracing_subscriber::fmt::MakeWriter;

use crate::visible::visible_but;

/// Writes its input with hidden characters escaped. Ends of lines and colours for a terminal stay; the formatting layer
/// removes colours that came from outside.
#[derive(Clone, Debug)]
pub struct Harmless<T>(pub T);

impl<'a, T: MakeWriter<'a>> MakeWriter<'a> for Harmless<T> {
    type Writer = Harmless<T::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Harmless(self.0.make_writer())
    }
}

impl<T: Write> Write for Harmless<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An event comes in one piece, which is text.
        match str::from_utf8(bytes).map(|text| visible_but(text, KEPT)) {
            Ok(Cow::Owned(text)) => self.0.write_all(text.as_bytes())?,
            Ok(Cow::Borrowed(_)) | Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

const KEPT: &[char] = &['\n', '\t', '\u{1b}'];

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn said(json: bool, name: &str) -> String {
        let out = Arc::new(Mutex::new(Vec::new()));
        let writer = {
            let out = Arc::clone(&out);
            move || Shared(Arc::clone(&out))
        };
        let events = tracing_subscriber::fmt().with_writer(Harmless(writer)).with_ansi(false);
        if json {
            tracing::subscriber::with_default(events.json().flatten_event(true).finish(), || {
                tracing::info!(name, "{name}");
            });
        } else {
            tracing::subscriber::with_default(events.finish(), || tracing::info!(name, "{name}"));
        }
        String::from_utf8(std::mem::take(&mut *out.lock().unwrap())).unwrap()
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_field_and_no_message_of_the_log_steers_its_reader() {
        let name = "\u{202e}evil\u{2028}\u{2066}\u{200b}\u{9b}31m";
        for json in [true, false] {
            let line = said(json, name);
            assert!(line.contains("\\u202eevil\\u2028\\u2066\\u200b"), "{line}");
            assert!(!line.trim_end().chars().any(crate::visible::is_hidden), "{line:?}");
            if json {
                let event: serde_json::Value = serde_json::from_str(&line).unwrap();
                assert_eq!(event["name"], name, "the same string for programs");
            }
        }
    }
}
