//! Sockets of the admin API and the metrics listener. The gateway replaces, opens to others or removes the file of a
//! unix socket only after it identified the file as a dead socket, or as its own.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use super::access::Caller;
use super::slots::Peer;

/// An accepted connection.
pub(super) type Stream = Either<TcpStream, UnixStream>;

/// A bound socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixSocket),
}

/// A unix socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    file: OwnFile,
    owner: u32,
}

/// The file of a socket that this gateway bound, known by its place in the file system and not by its name alone.
#[derive(Clone, Debug)]
pub struct OwnFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl UnixSocket {
    /// Binds. Replaces the socket of a process that has ended, but no live socket and no other file. Users other than
    /// the owner can connect only with `for_others`.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub fn bind(path: &Path, for_others: bool) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                clear(path)?;
                UnixListener::bind(path)?
            }
            other => other?,
        };
        let metadata = fs::symlink_metadata(path)?;
        let file = OwnFile { path: path.to_owned(), identity: identity(&metadata) };
        let socket = Self { listener, file, owner: metadata.uid() };
        socket.file.open_to_others(for_others)?;
        Ok(socket)
    }

    /// The file it is bound to.
    #[must_use]
    pub fn file(&self) -> OwnFile {
        self.file.clone()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // The number cannot have passed to another file: the socket holds it until it is closed, which is after this.
        if self.file.is_there() {
            fs::remove_file(&self.file.path).ok();
        }
    }
}

impl OwnFile {
    /// Lets other users connect, or only the owner.
    ///
    /// # Errors
    /// When the mode cannot be set, or something else has the name now.
    pub fn open_to_others(&self, others: bool) -> io::Result<()> {
        if !self.is_there() {
            return Err(io::Error::other("the socket is gone from its place"));
        }
        let mode = if others { 0o666 } else { 0o600 };
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
    }

    /// Where it was bound.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| is_socket(&found) && identity(&found) == self.identity)
    }
}

/// Removes a socket at which no process answers.
fn clear(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !is_socket(&found) {
        let why = "there is a file that is no socket; it was left as it is";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    if !is_left_over(path) {
        let why = "another process answers there, or may";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
    }
    // Another gateway may do the same and have bound its own socket by now. So the file is renamed first, and asked
    // under its new name.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.old", fastrand::u64(..)));
    let aside = path.with_file_name(name);
    fs::rename(path, &aside)?;
    let same = fs::symlink_metadata(&aside).is_ok_and(|now| identity(&now) == identity(&found));
    if same && is_left_over(&aside) {
        return fs::remove_file(&aside);
    }
    fs::hard_link(&aside, path)?;
    fs::remove_file(&aside)?;
    let why = "another process bound it at the same time";
    Err(io::Error::new(io::ErrorKind::AddrInUse, why))
}

/// Whether no process answers at a socket's file. A socket whose queue is full belongs to a live process; this does not
/// wait for it.
fn is_left_over(path: &Path) -> bool {
    let asked = || {
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    asked().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn is_socket(file: &Metadata) -> bool {
    file.file_type().is_socket()
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Socket {
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer, Caller)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let peer = Peer::at(address.ip());
                Ok((Either::Left(stream), peer, Caller::Network))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.listener.accept().await?;
                let user = stream.peer_cred()?.uid();
                let caller = if user == socket.owner || user == 0 { Caller::Owner(user) } else { Caller::Other(user) };
                Ok((Either::Right(stream), Peer::User(user), caller))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener as StdListener;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn only_a_socket_that_nobody_answers_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(at("file"), "text").unwrap();
        fs::create_dir(at("directory")).unwrap();
        drop(StdListener::bind(at("left-over")).unwrap());
        symlink(at("left-over"), at("link")).unwrap();
        symlink(at("file"), at("link-to-file")).unwrap();
        symlink(at("nowhere"), at("link-to-nowhere")).unwrap();
        let _alive = StdListener::bind(at("alive")).unwrap();
        let _other_kind = std::os::unix::net::UnixDatagram::bind(at("datagrams")).unwrap();
        let before = names(root.path());
        for (name, why) in [
            ("file", "no socket"),
            ("directory", "no socket"),
            ("link", "no socket"),
            ("link-to-file", "no socket"),
            ("link-to-nowhere", "no socket"),
            ("alive", "another process"),
            ("datagrams", "another process"),
        ] {
            let error = UnixSocket::bind(&at(name), false).unwrap_err().to_string();
            assert!(error.contains(why), "{name}: {error}");
            assert_eq!(names(root.path()), before, "{name}");
        }
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "text");
        let socket = UnixSocket::bind(&at("left-over"), false).unwrap();
        assert_eq!(names(root.path()), before, "nothing is left aside");
        drop(socket);
        assert!(!at("left-over").exists());
    }

    #[tokio::test]
    async fn a_socket_with_a_full_queue_is_somebodys() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("busy");
        let busy = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        busy.listen(0).unwrap();
        let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let error = UnixSocket::bind(&path, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
        assert!(path.exists());
    }

    #[tokio::test]
    async fn what_took_the_place_of_ones_own_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("admin");
        let first = UnixSocket::bind(&path, false).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        fs::remove_file(&path).unwrap();
        fs::write(&path, "text").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        first.file().open_to_others(true).unwrap_err();
        assert_eq!(mode(), 0o640, "the mode of a file that is not its own");
        drop(first);
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        fs::remove_file(&path).unwrap();
        let first = UnixSocket::bind(&path, false).unwrap();
        fs::remove_file(&path).unwrap();
        let second = UnixSocket::bind(&path, true).unwrap();
        drop(first);
        assert!(second.file().is_there(), "the second's is not the first's");
        drop(second);
        assert!(!path.exists());
    }
}
