//! Where the thread of a log writes to: a file or standard stream, or a server of syslog. Says once when writing begins
//! to fail and once when it works again.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::time::Instant;
use tracing::{info, warn};

use super::syslog::Syslog;
use crate::config::Untouchable;
use crate::config::model::LogOutput;
use crate::observe::patient_write::write_patiently;

/// Where the thread writes to.
#[derive(Debug)]
pub(super) struct Output {
    place: Place,
    is_failing: bool,
    /// Which log it is, for people.
    name: &'static str,
}

#[derive(Debug)]
enum Place {
    Stream(File),
    Named(NamedFile),
    Syslog(Box<Syslog>),
}

/// A file with a name to be opened again by.
#[derive(Debug)]
struct NamedFile {
    file: File,
    path: PathBuf,
    looked: Instant,
    /// Whether it has been told that it cannot be opened again.
    is_told: bool,
}

impl Output {
    /// Opens what `target` names. A collector has no such output.
    pub(super) fn open(target: &LogOutput, name: &'static str) -> io::Result<Self> {
        // Standard streams are duplicated: std's own handles buffer and lock, and one writer of whole lines needs
        // neither.
        let place = match target {
            LogOutput::Stdout => Place::Stream(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
            LogOutput::Stderr => Place::Stream(File::from(io::stderr().as_fd().try_clone_to_owned()?)),
            LogOutput::File(path) => Place::Named(NamedFile::open(path).map_err(|error| named(path, &error))?),
            LogOutput::Syslog(server) => Place::Syslog(Box::new(Syslog::new(server.clone()))),
            LogOutput::Otlp => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Self { place, is_failing: false, name })
    }

    /// Whether it is read by people.
    pub(super) fn is_terminal(&self) -> bool {
        match &self.place {
            Place::Stream(file) | Place::Named(NamedFile { file, .. }) => file.is_terminal(),
            Place::Syslog(_) => false,
        }
    }

    /// Opens the file again under its name. What is not to be touched is left alone.
    pub(super) fn reopen(&mut self, not: &Untouchable) {
        let Place::Named(named) = &mut self.place else { return };
        let opened = match not.what_is_at(&named.path) {
            Some(what) => Err(io::Error::other(what)),
            None => append_to(&named.path),
        };
        named.is_told = false;
        named.take(opened, self.name);
    }

    /// Writes whole lines of the log with this `id`; how many of them were lost.
    pub(super) fn write(&mut self, bytes: &[u8], lines: u64, id: &str) -> u64 {
        let written = match &mut self.place {
            Place::Stream(file) => write_patiently(file, bytes).map_err(|error| (error, lines)),
            Place::Named(named) => {
                named.follow(Instant::now(), self.name);
                write_patiently(&mut named.file, bytes).map_err(|error| (error, lines))
            }
            Place::Syslog(server) => server.send(bytes, id),
        };
        match written {
            Ok(()) => {
                if std::mem::take(&mut self.is_failing) {
                    info!("{} works again", self.name);
                }
                0
            }
            Err((error, lost)) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    warn!(%error, "{} lines are lost", self.name);
                }
                lost
            }
        }
    }
}

impl NamedFile {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: append_to(path)?, path: path.to_owned(), looked: Instant::now(), is_told: false })
    }

    /// Notices that the file was moved away, as log rotation does: then there is none of its name any more, or a new
    /// one that is empty. Anything else that stands there, such as a link, is left alone until somebody says that the
    /// file is to be opened again.
    fn follow(&mut self, now: Instant, name: &'static str) {
        if now.saturating_duration_since(self.looked) < LOOK {
            return;
        }
        self.looked = now;
        let Ok(own) = self.file.metadata() else { return };
        if !own.is_file() {
            return;
        }
        let was_moved = match self.path.symlink_metadata() {
            Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => false,
            Ok(there) => there.is_file() && there.len() == 0,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if was_moved {
            let opened = append_to(&self.path);
            self.take(opened, name);
        }
    }

    fn take(&mut self, opened: io::Result<File>, name: &'static str) {
        match opened {
            Ok(file) => {
                self.file = file;
                self.is_told = false;
                info!(file = %self.path.display(), "{name} opened again");
            }
            // It may be tried each second.
            Err(error) if !std::mem::replace(&mut self.is_told, true) => {
                warn!(file = %self.path.display(), %error, "{name} not opened again, the old file is kept");
            }
            Err(_told) => {}
        }
    }
}

/// An error that says which file it is about, and what it means for a pipe (open(2), ENXIO).
fn named(path: &Path, error: &io::Error) -> io::Error {
    let is_pipe = path.metadata().is_ok_and(|there| there.file_type().is_fifo());
    let why = if is_pipe { "it is a pipe that nobody reads".to_owned() } else { error.to_string() };
    io::Error::new(error.kind(), format!("{}: {why}", path.display()))
}

/// Never waits: a pipe that nobody reads is an error, and a device without a carrier is opened at once.
pub(super) fn append_to(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    if file.metadata()?.file_type().is_block_device() {
        return Err(io::Error::other("it is a device"));
    }
    Ok(file)
}

/// Between two looks whether the file is still the one of its name.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_again_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut log = NamedFile::open(&at("log")).unwrap();
        let mut now = log.looked;
        let mut line = |text: &str, later: Duration| {
            now += later;
            log.follow(now, "log");
            log.file.write_all(text.as_bytes()).unwrap();
        };
        let read = |name: &str| fs::read_to_string(at(name)).unwrap();
        fs::rename(at("log"), at("log.1")).unwrap();
        line("a", Duration::ZERO);
        assert_eq!(read("log.1"), "a", "it does not look with each line");
        line("b", LOOK);
        assert_eq!((read("log.1").as_str(), read("log").as_str()), ("a", "b"));
        // Somebody made the new one, as logrotate's `create` does.
        fs::rename(at("log"), at("log.2")).unwrap();
        fs::write(at("log"), "").unwrap();
        line("c", LOOK);
        assert_eq!((read("log.2").as_str(), read("log").as_str()), ("b", "c"));
        fs::rename(at("log"), at("log.3")).unwrap();
        fs::write(at("log"), "theirs").unwrap();
        line("d", LOOK);
        assert_eq!((read("log.3").as_str(), read("log").as_str()), ("cd", "theirs"), "what is not empty is left alone");
        fs::remove_file(at("log")).unwrap();
        symlink(at("elsewhere"), at("log")).unwrap();
        line("e", LOOK);
        assert!(!at("elsewhere").exists(), "a link is not followed to where nothing is");
        assert_eq!(read("log.3"), "cde");
    }
}
