//! Binding: one socket per worker on the same address, so that the kernel spreads new connections over the workers. A
//! bound socket does not listen yet: no client can be in the queue of one that is given up again.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Whether `address` is free. Sockets that share their port would bind even where another process listens that shares
/// it too, and the kernel would give it half of our clients. Ask before the first [`bind`], unless we listen there
/// ourselves.
///
/// # Errors
/// When the address is taken or cannot be bound.
pub fn probe(address: SocketAddr) -> io::Result<()> {
    new_socket(address)?.bind(&address.into())
}

/// Binds `address` once per worker. With port 0 the first socket decides the port of the rest.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::with_capacity(workers);
    let mut address = address;
    for _ in 0..workers {
        let socket = bind_one(address)?;
        if address.port() == 0 {
            address.set_port(socket.local_addr()?.port());
        }
        sockets.push(socket);
    }
    Ok(sockets)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = new_socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Lets clients into the queue of a bound socket.
pub(crate) fn listen(socket: &TcpListener) -> io::Result<()> {
    SockRef::from(socket).listen(BACKLOG)
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // Sockets that an earlier process left in TIME_WAIT do not matter.
    socket.set_reuse_address(true)?;
    if let SocketAddr::V6(v6) = address
        && v6.ip().is_unspecified()
    {
        // `[::]` means every address, of either family.
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

/// The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_socket_decides_the_port_of_the_rest() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn an_unspecified_v6_address_takes_v4_clients_too() {
        let sockets = bind("[::]:0".parse().unwrap(), 1).unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        let connect = || std::net::TcpStream::connect(("127.0.0.1", port));
        assert!(connect().is_err(), "nobody listens yet");
        listen(&sockets[0]).unwrap();
        connect().expect("a v4 client gets in");
    }

    #[test]
    fn an_address_where_somebody_listens_is_not_free() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = sockets[0].local_addr().unwrap();
        listen(&sockets[0]).unwrap();
        assert!(bind(address, 1).is_ok(), "shared without a word");
        let error = probe(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(sockets);
        probe(address).unwrap();
    }

    #[test]
    fn a_foreign_address_is_an_error() {
        assert!(bind("192.0.2.1:0".parse().unwrap(), 1).is_err());
    }
}
