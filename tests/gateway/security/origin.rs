//! An endpoint that keeps every byte it is sent and reads it as strictly as the standard allows.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use memchr::memmem::find;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::{Place, eventually};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    /// Up to and with the blank line.
    pub(super) head: String,
    /// Decoded.
    pub(super) body: Vec<u8>,
    /// Trailer lines.
    pub(super) trailers: String,
    /// Whether its end arrived.
    pub(super) whole: bool,
}

impl Arrived {
    /// The request line.
    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The request target.
    pub(super) fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// Every value of a field.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The only value of a field; empty when it is not there.
    pub(super) fn field(&self, name: &str) -> &str {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} comes once: {}", self.head);
        all.first().copied().unwrap_or_default()
    }

    /// What must hold of everything that is ever forwarded.
    fn is_sound(&self) {
        let head = &self.head;
        for line in head.trim_end_matches("\r\n").split("\r\n") {
            assert!(!line.bytes().any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f), "control bytes: {head:?}");
        }
        assert_eq!(self.line().split(' ').count(), 3, "three words: {head:?}");
        assert!(self.line().ends_with(" HTTP/1.1"), "{head:?}");
        assert!(self.target().starts_with('/') || self.target() == "*", "origin form: {head:?}");
        assert!(self.line().is_ascii() && !self.target().contains('#'), "a clean target: {head:?}");
        assert_eq!(self.all("host").len(), 1, "one host: {head:?}");
        assert!(self.all("content-length").len() + self.all("transfer-encoding").len() <= 1, "one length: {head:?}");
        for name in head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, _)| name) {
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)),
                "token names: {head:?}"
            );
        }
        for gone in ["keep-alive", "proxy-connection", "proxy-authorization", "http2-settings", "expect"] {
            assert!(self.all(gone).is_empty(), "{gone} belongs to one connection: {head:?}");
        }
    }
}

/// The endpoint. It answers 200 to everything, with the target as body.
#[derive(Debug)]
pub(super) struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    arrived: Mutex<Vec<Arrived>>,
    open: AtomicUsize,
}

impl Origin {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.open.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    serve(stream, &state).await;
                    state.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, state, task }
    }

    /// Everything that arrived, once nobody is connected any more. Each of it has been checked.
    pub(super) async fn arrived(&self) -> Vec<Arrived> {
        eventually("nobody is connected to the endpoint", || async { self.state.open.load(Ordering::SeqCst) == 0 })
            .await;
        self.so_far()
    }

    /// Everything that has arrived so far.
    pub(super) fn so_far(&self) -> Vec<Arrived> {
        let arrived = self.state.arrived.lock().unwrap().clone();
        arrived.iter().for_each(Arrived::is_sound);
        arrived
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place for Origin {
    fn place(&self) -> String {
        self.address.to_string()
    }
}

async fn serve(mut stream: TcpStream, state: &State) {
    let (mut buffer, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        while let Some((arrived, size)) = parse(&buffer) {
            buffer.drain(..size);
            let answer = answer(&arrived);
            state.arrived.lock().unwrap().push(arrived);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        match stream.read(&mut piece).await {
            Ok(size) if size > 0 => buffer.extend_from_slice(&piece[..size]),
            _ => break,
        }
    }
    if let Some(end) = find(&buffer, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&buffer[..end + 4]).into_owned();
        let arrived = Arrived { head, body: buffer.split_off(end + 4), trailers: String::new(), whole: false };
        state.arrived.lock().unwrap().push(arrived);
    } else {
        assert!(buffer.is_empty(), "half a head: {:?}", String::from_utf8_lossy(&buffer));
    }
}

fn answer(arrived: &Arrived) -> String {
    let body = arrived.target();
    let (length, body) = (body.len(), if arrived.line().starts_with("HEAD ") { "" } else { body });
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// The first message of these bytes and its size; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Option<(Arrived, usize)> {
    let start = find(bytes, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..start]).into_owned();
    let mut arrived = Arrived { head, body: Vec::new(), trailers: String::new(), whole: true };
    let rest = &bytes[start..];
    if !arrived.all("transfer-encoding").is_empty() {
        let size = chunks(rest, &mut arrived)?;
        return Some((arrived, start + size));
    }
    let length = arrived.all("content-length").first().map_or(0, |length| length.parse().unwrap());
    arrived.body = rest.get(..length)?.to_vec();
    Some((arrived, start + length))
}

/// Decodes chunks as the gateway must write them: digits, no extension, exact ends.
fn chunks(bytes: &[u8], arrived: &mut Arrived) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let end = find(rest, b"\r\n")?;
        let digits = std::str::from_utf8(&rest[..end]).unwrap();
        assert!(
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "a chunk's size: {digits:?}"
        );
        let size = usize::from_str_radix(digits, 16).unwrap();
        let data = end + 2;
        if size == 0 {
            let trailers = &rest[end..];
            let last = find(trailers, b"\r\n\r\n")?;
            arrived.trailers = String::from_utf8_lossy(&trailers[2.min(last)..last]).into_owned();
            return Some(at + end + last + 4);
        }
        assert_eq!(rest.get(data + size..data + size + 2)?, b"\r\n", "the end of a chunk");
        arrived.body.extend_from_slice(&rest[data..data + size]);
        at += data + size + 2;
    }
}
