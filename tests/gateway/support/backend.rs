//! A backend that speaks HTTP: scripted statuses, or any handler.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{Body, Place, full};

/// One request as a backend saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Seen {
    /// A field's value; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Every value of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    async fn read(request: Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        let collected = body.collect().await;
        let trailers = collected.as_ref().ok().and_then(|body| body.trailers().cloned());
        let body = collected.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Self { method: head.method, uri: head.uri, version: head.version, headers: head.headers, body, trailers }
    }
}

/// A running backend; dropped, it stops and closes its connections.
#[derive(Debug)]
pub(crate) struct Backend {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
    requests: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
}

#[derive(Debug, Default)]
struct Script {
    answers: Vec<(u16, HeaderMap, Bytes)>,
    next: usize,
}

/// How a backend's connections are made.
#[derive(Clone, Default)]
pub(crate) struct Speak {
    pub(crate) http2: bool,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// Bytes of the kernel's receive buffer.
    pub(crate) narrow: Option<usize>,
    /// Streams allowed on one HTTP/2 connection.
    pub(crate) max_streams: Option<u32>,
}

type Handler = Arc<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync>;

impl Backend {
    /// Answers every request with `status`, with a body that says which backend it is.
    pub(crate) async fn replying(status: u16) -> Self {
        Self::replying_as(Speak::default(), status).await
    }

    /// As `replying`, over another protocol.
    pub(crate) async fn replying_as(speak: Speak, status: u16) -> Self {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let handler: Handler = Arc::new(move |request| {
            let state = Arc::clone(&shared);
            Box::pin(async move {
                let seen = Seen::read(request).await;
                state.seen.lock().unwrap().push(seen);
                state.answer()
            })
        });
        let backend = Self::start(speak, state, handler).await;
        backend.then(status)
    }

    /// The answer after those given so far; the last one is repeated.
    pub(crate) fn then(self, status: u16) -> Self {
        let body =
            if matches!(status, 204 | 304) { Bytes::new() } else { Bytes::from(format!("from {}", self.address)) };
        self.state.script.lock().unwrap().answers.push((status, HeaderMap::new(), body));
        self
    }

    /// A field of the answer given last.
    pub(crate) fn header(self, name: &'static str, value: &str) -> Self {
        let mut script = self.state.script.lock().unwrap();
        let (_, headers, _) = script.answers.last_mut().unwrap();
        headers.append(name, value.parse().unwrap());
        drop(script);
        self
    }

    /// Body of the answer given last.
    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        let mut script = self.state.script.lock().unwrap();
        script.answers.last_mut().unwrap().2 = body.into();
        drop(script);
        self
    }

    /// Answers with whatever `handler` returns.
    pub(crate) async fn handling<F, R>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::handling_as(Speak::default(), handler).await
    }

    /// As `handling`, over another protocol.
    pub(crate) async fn handling_as<F, R>(speak: Speak, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::start(speak, Arc::default(), Arc::new(move |request| Box::pin(handler(request)))).await
    }

    /// Answers once the test says so, and at once from then on.
    pub(crate) async fn held() -> (Self, oneshot::Sender<()>) {
        let (release, released) = oneshot::channel::<()>();
        let released = Mutex::new(Some(released));
        let backend = Self::handling(move |_| {
            let released = released.lock().unwrap().take();
            async move {
                if let Some(released) = released {
                    released.await.ok();
                }
                Response::new(full("done"))
            }
        })
        .await;
        (backend, release)
    }

    async fn start(speak: Speak, state: Arc<State>, handler: Handler) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        if let Some(size) = speak.narrow {
            socket2::SockRef::from(&listener).set_recv_buffer_size(size).unwrap();
            socket2::SockRef::from(&listener).set_send_buffer_size(size).unwrap();
        }
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, speak, Arc::clone(&state), handler));
        Self { address, state, task }
    }

    /// Requests whose head has arrived.
    pub(crate) fn hits(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Requests that have arrived in full (of a replying backend).
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The one request that has arrived.
    pub(crate) fn request(&self) -> Seen {
        let mut seen = self.requests();
        assert_eq!(seen.len(), 1, "exactly one request reached the backend");
        seen.remove(0)
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place for Backend {
    fn place(&self) -> String {
        self.address.to_string()
    }
}

impl State {
    fn answer(&self) -> Response<Body> {
        let mut script = self.script.lock().unwrap();
        let index = script.next.min(script.answers.len() - 1);
        script.next += 1;
        let (status, headers, body) = script.answers[index].clone();
        let mut response = Response::new(full(body));
        *response.status_mut() = status.try_into().unwrap();
        response.headers_mut().extend(headers);
        response
    }
}

async fn accept(listener: TcpListener, speak: Speak, state: Arc<State>, handler: Handler) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        state.connections.fetch_add(1, Ordering::SeqCst);
        let (speak, state, handler) = (speak.clone(), Arc::clone(&state), Arc::clone(&handler));
        connections.spawn(async move {
            let _open = Open::new(&state);
            match speak.tls {
                None => serve(stream, (speak.http2, speak.max_streams), &state, handler).await,
                Some(tls) => {
                    let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else {
                        return;
                    };
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    serve(stream, (http2, speak.max_streams), &state, handler).await;
                }
            }
        });
    }
}

async fn serve<T>(io: T, (http2, max_streams): (bool, Option<u32>), state: &Arc<State>, handler: Handler)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let state = Arc::clone(state);
    let service = service_fn(move |request| {
        state.requests.fetch_add(1, Ordering::SeqCst);
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let io = TokioIo::new(io);
    if http2 {
        http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(max_streams)
            // Many streams cancelled at once are what some tests are about, and this thread is slow to hear of it.
            .max_pending_accept_reset_streams(10_000)
            .max_header_list_size(MAX_FIELDS)
            .serve_connection(io, service)
            .await
            .ok();
    } else {
        http1::Builder::new().serve_connection(io, service).with_upgrades().await.ok();
    }
}

/// Bytes of a head, in HTTP/2's measure.
const MAX_FIELDS: u32 = 1 << 20;

struct Open(Arc<State>);

impl Open {
    fn new(state: &Arc<State>) -> Self {
        state.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(state))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
