//! What the listeners beside the traffic share: a small tower stack over one function from request to answer. One request per
//! connection and one deadline over all of it, so that neither a slow reader nor an idle client needs a limit of its own.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service, ServiceBuilder};
use tracing::{debug, warn};

use super::socket::Socket;

pub(super) type Answer = Response<Full<Bytes>>;

/// Limits of one listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// For the log.
    pub(super) name: &'static str,
    /// Answers being made at once; more are refused.
    pub(super) requests: usize,
    /// Time to make an answer.
    pub(super) answer: Duration,
    /// From accept to the last byte read by the client.
    pub(super) connection: Duration,
}

/// Serves until `shutdown`; then open answers get a moment to finish. Spawns nothing: dropping the future closes everything. Each
/// request carries its [`Caller`].
pub(super) async fn serve<S>(
    socket: &Socket,
    service: S,
    bounds: Bounds,
    shutdown: CancellationToken,
) where
    S: Service<Request<hyper::body::Incoming>, Response = Answer, Error = BoxError, Future: Send>
        + Clone,
{
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(()) = connections.next() => {}
            accepted = socket.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, caller)) => {
                    let mark = move |mut request: Request<_>| {
                        request.extensions_mut().insert(caller);
                        request
                    };
                    let service = ServiceBuilder::new().map_request(mark).service(service.clone());
                    let connection = AssertUnwindSafe(connection(stream, service, bounds));
                    // A defect in one answer must not end the listener. What panicked is told by the hook.
                    connections.push(connection.catch_unwind().map(drop));
                }
                Err(error) => {
                    warn!(%error, listener = bounds.name, "could not accept");
                    sleep(ACCEPT_BACKOFF).await;
                }
            },
        }
    }
    if timeout(GRACE, async { while connections.next().await.is_some() {} })
        .await
        .is_err()
    {
        debug!(
            listener = bounds.name,
            open = connections.len(),
            "connections cut by shutdown"
        );
    }
}

async fn connection<S>(stream: Either<TcpStream, UnixStream>, service: S, bounds: Bounds)
where
    S: Service<Request<hyper::body::Incoming>, Response = Answer, Error = BoxError> + Clone,
{
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    match timeout(bounds.connection, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, listener = bounds.name, "connection failed"),
        Err(_) => debug!(listener = bounds.name, "connection took too long"),
    }
}

/// The layers, outermost first: refusals become answers, too much at once is refused, an answer has its time.
pub(super) fn stack<B, F>(
    bounds: Bounds,
    answer: impl Fn(Request<B>) -> F + Clone,
) -> impl Service<Request<B>, Response = Answer, Error = BoxError, Future: Send> + Clone
where
    B: Send + 'static,
    F: Future<Output = Answer> + Send,
{
    ServiceBuilder::new()
        .map_result(move |outcome: Result<Answer, BoxError>| {
            Ok::<_, BoxError>(outcome.unwrap_or_else(|error| {
                debug!(%error, listener = bounds.name, "request refused");
                reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "busy, try again\n")
            }))
        })
        .load_shed()
        .concurrency_limit(bounds.requests)
        .timeout(bounds.answer)
        .service_fn(move |request: Request<B>| {
            let answer = answer(request);
            async move { Ok::<_, BoxError>(answer.await) }
        })
}

/// An answer of this kind.
pub(super) fn reply(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let fixed: [(HeaderName, &'static str); 3] = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
/// More wait in the kernel's queue.
pub(super) const MAX_CONNECTIONS: usize = 64;
const MAX_HEAD: usize = 16 * 1024;
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// For answers under way when the gateway ends.
const GRACE: Duration = Duration::from_secs(1);
