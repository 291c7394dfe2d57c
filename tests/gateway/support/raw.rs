//! Bytes as they are: a client and a backend that know no HTTP.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{Place, within};

/// One connection and what was read from it beyond what was asked for.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
    log: Option<Arc<Mutex<Vec<u8>>>>,
    /// Which connection of its backend it is, from zero.
    pub(crate) index: usize,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(within("connect", TcpStream::connect(address)).await.unwrap())
    }

    /// A connection that buffers as little as the kernel allows.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::new(within("connect", socket.connect(address)).await.unwrap())
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), log: None, index: 0 }
    }

    /// The socket, once nothing is left in the buffer.
    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(self.buffer.is_empty(), "bytes would be lost: {}", text(&self.buffer));
        self.stream
    }

    /// Writes everything; panics when the peer does not take it.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        within("write", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Writes what the peer takes; false when it has closed.
    pub(crate) async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within("write", self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Everything up to and with `mark`. Panics when the peer closes first.
    pub(crate) async fn read_until(&mut self, mark: &str) -> String {
        match self.try_read_until(mark).await {
            Some(found) => found,
            None => panic!("closed before {mark:?}; got {:?}", text(&self.buffer)),
        }
    }

    /// As `read_until`; `None` when the peer closes first.
    pub(crate) async fn try_read_until(&mut self, mark: &str) -> Option<String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, mark.as_bytes()) {
                let rest = self.buffer.split_off(at + mark.len());
                return Some(text(&std::mem::replace(&mut self.buffer, rest)));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// A message head with its blank line.
    pub(crate) async fn read_head(&mut self) -> String {
        self.read_until("\r\n\r\n").await
    }

    /// A message with `Content-Length`, as head and body.
    pub(crate) async fn read_message(&mut self) -> (String, String) {
        let head = self.read_head().await;
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = self.read_exact(length).await;
        (head, text(&body))
    }

    pub(crate) async fn read_exact(&mut self, size: usize) -> Vec<u8> {
        while self.buffer.len() < size {
            let more = self.fill().await;
            assert!(more, "closed after {} of {size} bytes", self.buffer.len());
        }
        let rest = self.buffer.split_off(size);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// As `read_exact`; `None` when the peer closes first.
    pub(crate) async fn try_read_exact(&mut self, size: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < size {
            if !self.fill().await {
                return None;
            }
        }
        let rest = self.buffer.split_off(size);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    /// Waits, for as long as it takes, until the peer has closed or reset, and reads nothing.
    pub(crate) async fn left(&self) {
        while let Ok(ready) = self.stream.ready(Interest::READABLE).await
            && !ready.is_read_closed()
        {
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    }

    /// Everything until the peer closes or resets.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// As `read_to_end`, as text.
    pub(crate) async fn rest(&mut self) -> String {
        text(&self.read_to_end().await)
    }

    /// Waits until the peer has closed, and forgets what it says until then.
    pub(crate) async fn closed(&mut self) {
        self.read_to_end().await;
    }

    /// Reads once; false at the end.
    async fn fill(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        let size = within("read", self.stream.read(&mut piece)).await.unwrap_or(0);
        self.buffer.extend_from_slice(&piece[..size]);
        if let Some(log) = &self.log {
            log.lock().unwrap().extend_from_slice(&piece[..size]);
        }
        size > 0
    }

    /// Ends our direction only.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.ok();
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A field of a message head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// What came in on each connection.
type Received = Arc<Mutex<Vec<Arc<Mutex<Vec<u8>>>>>>;

/// A backend that runs a script on each connection.
#[derive(Debug)]
pub(crate) struct RawBackend {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    received: Received,
    task: JoinHandle<()>,
}

impl RawBackend {
    /// Runs `script` on each connection; when it returns, the connection is closed.
    pub(crate) async fn script<F, R>(script: F) -> Self
    where
        F: Fn(Raw) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::script_at(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), script)
    }

    /// The same, whose connections take only a few kilobytes that the script does not read.
    pub(crate) fn script_of_small_buffer<F, R>(script: F) -> Self
    where
        F: Fn(Raw) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self::script_at(socket.listen(64).unwrap(), script)
    }

    fn script_at<F, R>(listener: TcpListener, script: F) -> Self
    where
        F: Fn(Raw) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let (connections, received) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, logs) = (Arc::clone(&connections), Arc::clone(&received));
        let task = tokio::spawn(async move {
            let mut scripts = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let log = Arc::new(Mutex::new(Vec::new()));
                logs.lock().unwrap().push(Arc::clone(&log));
                let mut connection = Raw::new(stream);
                connection.log = Some(log);
                connection.index = count.fetch_add(1, Ordering::SeqCst);
                scripts.spawn(script(connection));
            }
        });
        Self { address, connections, received, task }
    }

    /// Answers every request with these bytes and keeps the connection open.
    pub(crate) async fn answering(bytes: &'static str) -> Self {
        Self::script(move |mut connection| async move {
            loop {
                let mut piece = [0; 16 * 1024];
                while memchr::memmem::find(&connection.buffer, b"\r\n\r\n").is_none() {
                    match connection.stream.read(&mut piece).await {
                        Ok(size) if size > 0 => {
                            connection.buffer.extend_from_slice(&piece[..size]);
                            if let Some(log) = &connection.log {
                                log.lock().unwrap().extend_from_slice(&piece[..size]);
                            }
                        }
                        _ => return,
                    }
                }
                connection.buffer.clear();
                connection.write(bytes).await;
            }
        })
        .await
    }

    /// Takes connections and says nothing.
    pub(crate) async fn silent() -> Self {
        Self::script(|mut connection| async move { connection.closed().await }).await
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What each connection's script has read so far.
    pub(crate) fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().iter().map(|log| text(&log.lock().unwrap())).collect()
    }
}

impl Drop for RawBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place for RawBackend {
    fn place(&self) -> String {
        self.address.to_string()
    }
}

/// An address where connections are refused for as long as the value lives: bound, but nobody listens.
pub(crate) fn refusing() -> Refusing {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    Refusing(socket)
}

/// See [`refusing`].
#[derive(Debug)]
pub(crate) struct Refusing(socket2::Socket);

impl Place for Refusing {
    fn place(&self) -> String {
        self.0.local_addr().unwrap().as_socket().unwrap().to_string()
    }
}
