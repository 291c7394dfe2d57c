//! Sockets that a parent bound and hands over, as systemd does for a `.socket` unit. A shell stands for systemd: it
//! moves its standard input to where the first handed socket is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, which is what it is for")]

mod command;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use command::{Running, attache, written};
use tempfile::TempDir;

fn config(listener: &str, address: SocketAddr) -> String {
    format!(
        "metrics: {{ address: off }}\nworkers: 2\nlisteners: {{ {listener}: {{ address: \"{address}\" }} }}\n\
         routes: {{ all: {{ respond: {{ status: 200, body: hello }} }} }}\n"
    )
}

/// `attache run` of a file, with a socket as descriptor 3.
fn activated(file: &str, socket: impl Into<OwnedFd>) -> Command {
    let plain = attache(&["run", "-c", file]);
    let script = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(plain.get_program()).args(plain.get_args()).stdin(Stdio::from(socket.into()));
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn asks(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    write!(client, "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    client
}

fn assert_answered(client: TcpStream) {
    let answer = std::io::read_to_string(client).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer}");
}

#[test]
fn clients_that_come_while_no_gateway_runs_are_answered_by_the_next_one() {
    let directory = TempDir::new().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let file = written(&directory, "gateway.yaml", &config("web", address));
    let early = asks(address);
    let mut gateway = Running::started(activated(&file, socket.try_clone().unwrap()), true);
    assert_eq!(gateway.web(), address);
    assert_answered(early);
    // The socket outlives the listener that had it.
    written(&directory, "gateway.yaml", &config("other", address));
    gateway.send("HUP");
    gateway.until("configuration reloaded");
    (0..8).for_each(|_| assert_answered(asks(address)));
    assert_eq!(gateway.signal("TERM"), 0);
    let between = asks(address);
    let mut next = Running::started(activated(&file, socket), true);
    next.listener("other");
    assert_answered(between);
    assert_eq!(next.signal("TERM"), 0);
}

#[test]
fn a_socket_that_no_listener_has_is_told_of() {
    let directory = TempDir::new().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let file = written(&directory, "gateway.yaml", &config("web", "127.0.0.1:0".parse().unwrap()));
    let mut gateway = Running::started(activated(&file, socket), true);
    let said = gateway.until("clients wait there in vain");
    assert!(said.last().unwrap().contains(&address.to_string()), "{said:?}");
    assert_eq!(gateway.signal("TERM"), 0);
}

#[test]
fn what_is_no_listening_socket_is_refused() {
    let directory = TempDir::new().unwrap();
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let file = written(&directory, "gateway.yaml", &config("web", address));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&address.into()).unwrap();
    let datagrams = std::net::UdpSocket::bind(address).unwrap();
    for handed in [OwnedFd::from(socket), OwnedFd::from(datagrams)] {
        let mut gateway = Running::started(activated(&file, handed), true);
        let said = gateway.until("`ListenStream=`").join("\n");
        assert!(said.contains("a socket that was handed over cannot be used"), "{said}");
        assert_eq!(gateway.wait(), 1);
    }
}
