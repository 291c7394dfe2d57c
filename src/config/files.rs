//! Files as the configuration meets them: read with a limit, and known again under any name.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Reads at most `limit` bytes of a regular file; more is an error, and so is anything that is no file: a pipe or a
/// device could block for ever or never end.
///
/// # Errors
/// When it cannot be read, is larger or is something else.
pub fn read_regular(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

/// What is longer than `limit` bytes is not read.
pub(super) fn too_large(limit: usize) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {} KiB", limit / 1024))
}

/// Why a file could not be read, for people.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// A file however it is named: where its name stands, where links lead, and which one it is in its file system.
#[derive(Debug)]
pub(super) struct Identity {
    places: Vec<PathBuf>,
    number: Option<(u64, u64)>,
}

impl Identity {
    /// Of a file that may not be there yet.
    pub(super) fn of(path: &Path) -> Self {
        let mut places = Vec::new();
        let mut here = path.to_owned();
        for _ in 0..MAX_LINKS {
            places.extend(place(&here));
            let Some(target) = target_of(&here) else { break };
            here = target;
        }
        places.extend(fs::canonicalize(path).ok());
        let metadata = fs::metadata(path).ok();
        let number = metadata.filter(|metadata| metadata.is_file());
        Self { places, number: number.map(|metadata| (metadata.dev(), metadata.ino())) }
    }

    /// Every place the name leads through, and where it ends.
    pub(super) fn places(&self) -> &[PathBuf] {
        &self.places
    }

    /// Whether both are one file.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.number.is_some() && self.number == other.number)
            || self.places.iter().any(|place| other.places.contains(place))
    }
}

/// Where a link leads, if it is one.
pub(super) fn target_of(path: &Path) -> Option<PathBuf> {
    let target = fs::read_link(path).ok()?;
    Some(directory_of(path).join(target))
}

/// A file's name in its real directory. The file itself may be a link, or not be there.
pub(super) fn place(path: &Path) -> Option<PathBuf> {
    let directory = fs::canonicalize(directory_of(path)).ok()?;
    Some(directory.join(path.file_name()?))
}

pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// More links in a row than this lead nowhere.
pub(super) const MAX_LINKS: usize = 16;
