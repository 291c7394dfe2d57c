//! Sockets that somebody else bound and handed over when this process was started, as systemd does for a `.socket` unit
//! (sd_listen_fds(3)): clients that come while the gateway is down wait in their queues. There is one for an address,
//! so every worker accepts from the same queue; who is idle takes the next connection.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::SockRef;

/// The sockets that were handed over.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(SocketAddr, TcpListener)>,
}

impl Inherited {
    /// Takes the sockets that `LISTEN_FDS` and `LISTEN_PID` tell of, and both out of the environment. Must be called
    /// before other threads are there, which may be reading it.
    ///
    /// # Errors
    /// When one of them is no socket of TCP that listens: a `.socket` unit with `Accept=yes`, or for datagrams.
    pub fn from_environment() -> io::Result<Self> {
        let mut handed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..handed.len() {
            sockets.extend(handed.take_tcp_listener(index)?);
        }
        Self::new(sockets)
    }

    fn new(sockets: Vec<TcpListener>) -> io::Result<Self> {
        let with_address = |socket: TcpListener| {
            if !SockRef::from(&socket).is_listener()? {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket does not listen"));
            }
            socket.set_nonblocking(true)?;
            Ok((socket.local_addr()?, socket))
        };
        let sockets = sockets.into_iter().map(with_address).collect::<io::Result<_>>()?;
        Ok(Self { sockets })
    }

    /// The socket at this address, once for each worker; `None` when none was handed over for it.
    #[must_use]
    pub fn at(&self, address: SocketAddr, workers: usize) -> Option<io::Result<Vec<TcpListener>>> {
        let (_, socket) = self.sockets.iter().find(|(at, _)| *at == address)?;
        Some((0..workers).map(|_| socket.try_clone()).collect())
    }

    /// Where sockets are that none of these addresses asks for.
    pub fn beside(&self, addresses: &[SocketAddr]) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|(at, _)| *at).filter(|at| !addresses.contains(at))
    }

    /// Gives them back to whoever handed them over.
    pub fn let_go(&mut self) {
        self.sockets.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening() -> (SocketAddr, TcpListener) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        (socket.local_addr().unwrap(), socket)
    }

    #[test]
    fn every_worker_has_the_socket_of_its_address() {
        let ((first, one), (second, two)) = (listening(), listening());
        let inherited = Inherited::new(vec![one, two]).unwrap();
        let sockets = inherited.at(second, 3).unwrap().unwrap();
        assert_eq!(sockets.len(), 3);
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == second));
        assert!(inherited.at("127.0.0.1:1".parse().unwrap(), 1).is_none());
        assert_eq!(inherited.beside(&[second]).collect::<Vec<_>>(), [first]);
        let client = std::net::TcpStream::connect(second).unwrap();
        let waiting = sockets.iter().filter_map(|socket| socket.accept().ok());
        let peers: Vec<_> = waiting.map(|(_, peer)| peer).collect();
        assert_eq!(peers, [client.local_addr().unwrap()], "one of them has it, and none waits for it");
    }

    #[test]
    fn a_socket_that_does_not_listen_is_refused() {
        let [bound] = &super::super::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap()[..] else { panic!("one") };
        let error = Inherited::new(vec![bound.try_clone().unwrap()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn the_environment_of_a_test_hands_over_nothing() {
        assert!(Inherited::from_environment().unwrap().sockets.is_empty());
    }
}
