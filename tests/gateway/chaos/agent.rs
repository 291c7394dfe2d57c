//! An agent that can be put into any state an agent gets into, and out of it again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::{Place, pass};

/// What an agent does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Fine,
    /// Its process is gone: connections are refused, open ones reset.
    Killed,
    /// Takes the connection and resets it.
    ResetBefore,
    /// Reads the request and resets.
    ResetAfter,
    /// Reads and never answers.
    Hang,
    /// Answers after two seconds.
    SlowHead,
    /// Sends its body byte by byte, but all of it.
    SlowBody,
    /// Sends half of its body and resets.
    BreaksOff,
    /// Answers with something that is no HTTP.
    Garbage,
    /// Answers 503.
    Unavailable,
    /// Answers 503 and 200 in turns of four.
    Flapping,
}

/// One agent on a port of its own, which stays its own while it is dead.
#[derive(Debug)]
pub(super) struct Agent {
    address: SocketAddr,
    mood: watch::Sender<Mood>,
    hits: Arc<AtomicUsize>,
    /// Bound and never listening: nobody else gets the port.
    _reserved: Socket,
    task: JoinHandle<()>,
}

impl Agent {
    pub(super) fn new(mood: Mood) -> Self {
        let reserved = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = reserved.local_addr().unwrap().as_socket().unwrap();
        let (sender, receiver) = watch::channel(mood);
        let hits = Arc::default();
        let first = (mood != Mood::Killed).then(|| listen(address));
        let task = tokio::spawn(run((address, first), receiver, Arc::clone(&hits)));
        Self { address, mood: sender, hits, _reserved: reserved, task }
    }

    pub(super) fn become_(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Requests it has read.
    pub(super) fn hits(&self) -> usize {
        self.hits.load(SeqCst)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place for Agent {
    fn place(&self) -> String {
        self.address.to_string()
    }
}

fn socket(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

fn listen(address: SocketAddr) -> TcpListener {
    let listening = socket(address);
    listening.listen(1024).unwrap();
    listening.set_nonblocking(true).unwrap();
    TcpListener::from_std(listening.into()).unwrap()
}

async fn run(
    (address, first): (SocketAddr, Option<TcpListener>),
    mut mood: watch::Receiver<Mood>,
    hits: Arc<AtomicUsize>,
) {
    let mut first = first;
    loop {
        if mood.wait_for(|mood| *mood != Mood::Killed).await.is_err() {
            return;
        }
        let listener = first.take().unwrap_or_else(|| listen(address));
        let mut killed = mood.clone();
        tokio::select! {
            _ = killed.wait_for(|mood| *mood == Mood::Killed) => {}
            () = accept(&listener, &mood, &hits) => {}
        }
    }
}

async fn accept(listener: &TcpListener, mood: &watch::Receiver<Mood>, hits: &Arc<AtomicUsize>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true).unwrap();
        let (mood, hits) = (mood.clone(), Arc::clone(hits));
        tokio::spawn(async move {
            let mut killed = mood.clone();
            let mut stream = stream;
            let reset = tokio::select! {
                _ = killed.wait_for(|mood| *mood == Mood::Killed) => true,
                reset = serve(&mut stream, &mood, &hits) => reset,
            };
            if reset {
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        });
    }
}

/// Serves one connection; whether it is to be reset at the end.
async fn serve(stream: &mut TcpStream, mood: &watch::Receiver<Mood>, hits: &AtomicUsize) -> bool {
    loop {
        if *mood.borrow() == Mood::ResetBefore {
            return true;
        }
        if !read_head(stream).await {
            return false;
        }
        let hit = hits.fetch_add(1, SeqCst);
        let now = *mood.borrow();
        let written = match now {
            Mood::ResetBefore | Mood::ResetAfter => return true,
            Mood::Hang => {
                std::future::pending::<()>().await;
                return false;
            }
            Mood::SlowHead => {
                pass(Duration::from_secs(2)).await;
                stream.write_all(OK).await
            }
            Mood::SlowBody => slowly(stream).await,
            Mood::BreaksOff => {
                drop(stream.write_all(&OK[..OK.len() - 1]).await);
                return true;
            }
            Mood::Garbage => {
                drop(stream.write_all(b"\x16\x03garbage\0\r\n\r\nmore garbage").await);
                return false;
            }
            Mood::Unavailable => stream.write_all(UNAVAILABLE).await,
            Mood::Flapping if hit % 8 < 4 => stream.write_all(UNAVAILABLE).await,
            Mood::Fine | Mood::Killed | Mood::Flapping => stream.write_all(OK).await,
        };
        if written.is_err() {
            return false;
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while memchr::memmem::find(&head, b"\r\n\r\n").is_none() {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return false,
            Ok(size) => head.extend_from_slice(&piece[..size]),
        }
    }
    true
}

async fn slowly(stream: &mut TcpStream) -> std::io::Result<()> {
    let (head, body) = OK.split_at(OK.len() - 2);
    stream.write_all(head).await?;
    for byte in body {
        pass(Duration::from_millis(20)).await;
        stream.write_all(&[*byte]).await?;
    }
    Ok(())
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
