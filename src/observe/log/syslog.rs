//! Lines for a server of syslog: messages of RFC 5424, one for each line; as datagrams to a socket or a port, or over a
//! connection with their length before them (RFC 6587 section 3.4.1). A server that is gone or does not read costs
//! lines, and a second at most for each batch.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::config::model::SyslogServer;
use crate::observe::clock::Clock;

/// A way to one server.
#[derive(Debug)]
pub(super) struct Syslog {
    server: SyslogServer,
    socket: Option<Socket>,
    /// When the last attempt to connect failed.
    failed: Option<Instant>,
    /// What stands in each message between its time and its text.
    sender: String,
    clock: Clock,
    message: Vec<u8>,
}

#[derive(Debug)]
enum Socket {
    Local(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Syslog {
    /// Connects when there is something to send.
    pub(super) fn new(server: SyslogServer) -> Self {
        let system = rustix::system::uname();
        let host = system.nodename().to_string_lossy();
        // Printable ASCII without spaces, at most 255 characters (section 6.2.4).
        let host: String = host.chars().filter(char::is_ascii_graphic).take(255).collect();
        let host = if host.is_empty() { "-" } else { &host };
        let sender = format!(" {host} attache {} ", std::process::id());
        Self { server, socket: None, failed: None, sender, clock: Clock::default(), message: Vec::new() }
    }

    /// Sends each line as a message of the log with this `id`; why the first failed and how many did.
    pub(super) fn send(&mut self, lines: &[u8], id: &str) -> Result<(), (io::Error, u64)> {
        let mut failure = None;
        let mut lost = 0;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // One that is down is asked once for all of them.
            let sent = if failure.is_some() && self.socket.is_none() {
                Err(io::ErrorKind::NotConnected.into())
            } else {
                self.line(line, id)
            };
            if let Err(error) = sent {
                failure.get_or_insert(error);
                lost += 1;
            }
        }
        failure.map_or(Ok(()), |error| Err((error, lost)))
    }

    fn line(&mut self, line: &[u8], id: &str) -> io::Result<()> {
        self.compose(line, id);
        if self.socket.is_none() {
            self.connect()?;
        }
        let Some(socket) = &mut self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        let sent = match socket {
            Socket::Local(socket) => socket.send(&self.message).map(drop),
            Socket::Udp(socket) => socket.send(&self.message).map(drop),
            Socket::Tcp(stream) => {
                let framed = [self.message.len().to_string().as_bytes(), b" ", &self.message].concat();
                stream.write_all(&framed)
            }
        };
        // A datagram that is too long says nothing about the way; half a message on a connection spoils the rest.
        let is_too_long =
            sent.as_ref().is_err_and(|error| error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()));
        if sent.is_err() && !is_too_long {
            self.socket = None;
        }
        sent
    }

    /// Facility local0 and severity informational, version 1 (section 6.2).
    fn compose(&mut self, line: &[u8], id: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.message.clear();
        self.message.extend_from_slice(b"<134>1 ");
        self.message.extend_from_slice(self.clock.stamp(now));
        self.message.extend_from_slice(self.sender.as_bytes());
        self.message.extend_from_slice(id.as_bytes());
        self.message.extend_from_slice(b" - ");
        self.message.extend_from_slice(line);
    }

    fn connect(&mut self) -> io::Result<()> {
        if self.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let socket = match &self.server {
            SyslogServer::Local(path) => local(path).map(Socket::Local),
            SyslogServer::Udp(place) => udp(place).map(Socket::Udp),
            SyslogServer::Tcp(place) => tcp(place).map(Socket::Tcp),
        };
        self.failed = socket.is_err().then(Instant::now);
        self.socket = Some(socket?);
        Ok(())
    }
}

fn local(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(path)?;
    Ok(socket)
}

fn udp(place: &str) -> io::Result<UdpSocket> {
    let mut refused = io::ErrorKind::NotFound.into();
    for address in place.to_socket_addrs()? {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        match UdpSocket::bind(any).and_then(|socket| socket.connect(address).map(|()| socket)) {
            Ok(socket) => {
                socket.set_write_timeout(Some(PATIENCE))?;
                return Ok(socket);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn tcp(place: &str) -> io::Result<TcpStream> {
    let mut refused = io::ErrorKind::NotFound.into();
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// How long connecting or sending may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    fn parts(message: &str) -> (&str, &str) {
        message.split_once(" access - ").unwrap()
    }

    #[test]
    fn each_line_is_a_datagram_of_rfc_5424() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(SyslogServer::Local(path));
        syslog.send(b"{\"status\":200}\n{\"status\":503}\n", "access").unwrap();
        let mut buffer = [0; 1024];
        for expected in ["{\"status\":200}", "{\"status\":503}"] {
            let length = server.recv(&mut buffer).unwrap();
            let message = std::str::from_utf8(&buffer[..length]).unwrap();
            let (head, text) = parts(message);
            assert_eq!(text, expected);
            let head: Vec<_> = head.split(' ').collect();
            assert_eq!((head[0], head[1].len(), head[3]), ("<134>1", 24, "attache"), "{head:?}");
            assert_eq!(head[4], std::process::id().to_string());
        }
    }

    #[test]
    fn over_a_connection_each_message_has_its_length_and_a_broken_one_is_opened_again() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut syslog = Syslog::new(SyslogServer::Tcp(server.local_addr().unwrap().to_string().into()));
        syslog.send(b"one\ntwo\n", "access").unwrap();
        let mut connection = server.accept().unwrap().0;
        let mut read = || {
            let mut digits = String::new();
            let mut byte = [0];
            while connection.read_exact(&mut byte).is_ok() && byte != *b" " {
                digits.push(char::from(byte[0]));
            }
            let mut message = vec![0; digits.parse().unwrap()];
            connection.read_exact(&mut message).unwrap();
            String::from_utf8(message).unwrap()
        };
        assert_eq!((parts(&read()).1, parts(&read()).1), ("one", "two"));
        drop(connection);
        // What goes into a connection that the other side has closed is lost, once it is known.
        while syslog.send(b"lost\n", "access").is_ok() {}
        syslog.send(b"after\n", "access").unwrap();
        assert!(server.accept().is_ok(), "opened again");
    }

    #[test]
    fn a_server_that_is_not_there_costs_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut syslog = Syslog::new(SyslogServer::Local(folder.path().join("nobody")));
        let (error, lost) = syslog.send(b"one\ntwo\nthree\n", "access").unwrap_err();
        assert_eq!((error.kind(), lost), (io::ErrorKind::NotFound, 3));
    }
}
