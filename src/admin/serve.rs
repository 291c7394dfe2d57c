//! The server of metrics, probes and the admin API: a small tower stack around one function from request to answer.
//! Each connection has one request and one deadline for all of it, so slow readers and idle clients need no limits of
//! their own.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service, ServiceBuilder};
use tracing::{debug, warn};

use super::follow::{AdminBody, Pieces};
use super::slots::{Slot, Slots};
use super::socket::{Socket, Stream};

pub(super) type AdminResponse = Response<AdminBody>;

/// Marks a request that came when too many of its kind were there.
#[derive(Clone, Copy, Debug)]
struct NoSlot;

/// With which an answer may go on, for an hour: a page comes back by itself.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    place: Arc<Slot>,
    stop: CancellationToken,
}

impl Follower {
    /// An answer of these pieces; refused when too many go on already.
    pub(super) fn answer(self, pieces: impl FnOnce() -> Pieces) -> AdminResponse {
        if !self.place.follows() {
            return busy();
        }
        let (place, stop) = (self.place, self.stop);
        let end = async move {
            tokio::select! {
                () = stop.cancelled_owned() => {}
                () = sleep(FOLLOWED) => {}
            }
        };
        let pieces = pieces().take_until(end).inspect(move |_| place.moves());
        let mut answer = reply(StatusCode::OK, EVENTS, "");
        *answer.body_mut() = AdminBody::Following(Box::pin(pieces));
        answer
    }
}

/// Limits of one listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// For the log.
    pub(super) name: &'static str,
    /// Answers being made at once; more are refused.
    pub(super) requests: usize,
    /// Paths of probes, which have places of their own.
    pub(super) probes: &'static [&'static str],
    /// From accept to the end of the request's head.
    pub(super) head: Duration,
    /// Time to make an answer.
    pub(super) answer: Duration,
    /// From accept to the last byte read by the client.
    pub(super) connection: Duration,
}

/// Serves until `shutdown`; then open answers get a moment to finish. Spawns nothing: dropping the future closes
/// everything. Each request carries its [`Caller`](super::access::Caller).
pub(super) async fn serve<S>(socket: &Socket, service: S, bounds: Bounds, shutdown: CancellationToken)
where
    S: Service<Request<Incoming>, Response = AdminResponse, Error = BoxError, Future: Send> + Clone,
{
    let places = Slots::default();
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(()) = connections.next() => {}
            accepted = socket.accept() => match accepted {
                Ok((stream, peer, caller)) => {
                    let place = Arc::new(places.take(peer));
                    let marking = Arc::clone(&place);
                    let follower = Follower { place: Arc::clone(&place), stop: shutdown.clone() };
                    let mark = move |mut request: Request<_>| {
                        let is_probe = bounds.probes.contains(&request.uri().path());
                        request.extensions_mut().insert(caller);
                        request.extensions_mut().insert(follower.clone());
                        if !marking.asks(is_probe) {
                            request.extensions_mut().insert(NoSlot);
                        }
                        request
                    };
                    let service = ServiceBuilder::new().map_request(mark).service(service.clone());
                    let connection = AssertUnwindSafe(connection(stream, place, service, bounds));
                    // A panic in one answer must not end the listener. The panic hook logs it.
                    connections.push(connection.catch_unwind().map(drop));
                }
                Err(error) => {
                    warn!(%error, listener = bounds.name, "could not accept");
                    sleep(ACCEPT_BACKOFF).await;
                }
            },
        }
    }
    if timeout(GRACE, async { while connections.next().await.is_some() {} }).await.is_err() {
        debug!(listener = bounds.name, open = connections.len(), "connections cut by shutdown");
    }
}

async fn connection<S>(stream: Stream, place: Arc<Slot>, service: S, bounds: Bounds)
where
    S: Service<Request<Incoming>, Response = AdminResponse, Error = BoxError> + Clone,
{
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let silent = async {
        sleep(bounds.head).await;
        if !place.is_silent() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = place.cut.cancelled() => debug!(listener = bounds.name, "connection gave way to another"),
        served = serving => match served {
            Ok(()) => {}
            Err(error) => debug!(%error, listener = bounds.name, "connection failed"),
        },
        () = time(&place, bounds) => debug!(listener = bounds.name, "connection took too long"),
        () = silent => debug!(listener = bounds.name, "connection said nothing"),
    }
}

/// Ends when a connection has had its time. An answer that goes on has it anew with each piece that its reader takes.
async fn time(place: &Slot, bounds: Bounds) {
    sleep(bounds.connection).await;
    while place.stalled().is_some_and(|stalled| stalled < STALLED) {
        sleep(LOOK).await;
    }
}

fn busy() -> AdminResponse {
    reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "busy, try again\n")
}

/// The layers, outermost first: refusals become answers, too much at once is refused, an answer has its time.
pub(super) fn stack<B, F>(
    bounds: Bounds,
    answer: impl Fn(Request<B>) -> F + Clone,
) -> impl Service<Request<B>, Response = AdminResponse, Error = BoxError, Future: Send> + Clone
where
    B: Send + 'static,
    F: Future<Output = AdminResponse> + Send,
{
    ServiceBuilder::new()
        .map_result(move |outcome: Result<AdminResponse, BoxError>| {
            Ok::<_, BoxError>(outcome.unwrap_or_else(|error| {
                debug!(%error, listener = bounds.name, "request refused");
                busy()
            }))
        })
        .load_shed()
        .concurrency_limit(bounds.requests)
        .timeout(bounds.answer)
        .service_fn(move |request: Request<B>| {
            let has_place = request.extensions().get::<NoSlot>().is_none();
            let answer = has_place.then(|| answer(request));
            async move {
                Ok::<_, BoxError>(match answer {
                    Some(answer) => answer.await,
                    None => busy(),
                })
            }
        })
}

/// An answer of this kind.
pub(super) fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> AdminResponse {
    let mut answer = Response::new(AdminBody::Whole(Full::new(body.into())));
    *answer.status_mut() = status;
    let fixed: [(HeaderName, &'static str); 3] =
        [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    for (name, value) in fixed {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const MAX_HEAD: usize = 16 * 1024;
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Long enough for a caller far away, and nothing that a silent one gains by.
pub(super) const HEAD: Duration = Duration::from_secs(5);
/// How long a reader of an answer that goes on may take nothing.
const STALLED: Duration = Duration::from_secs(60);
/// How long an answer goes on.
const FOLLOWED: Duration = Duration::from_secs(3600);
/// Time between two looks at it.
const LOOK: Duration = Duration::from_secs(5);
/// For answers under way when the gateway ends.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;
    use tokio::time::Instant;
    use tokio_util::either::Either;

    use super::super::follow;
    use super::super::slots::Peer;
    use super::*;

    const BOUNDS: Bounds = Bounds {
        name: "test",
        requests: 1,
        probes: &[],
        head: Duration::from_secs(5),
        answer: Duration::from_secs(60),
        connection: Duration::from_secs(90),
    };

    fn states() -> Pieces {
        follow::states(Duration::from_secs(30), || async { Arc::from("{}") })
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_goes_on_ends_properly_after_its_hour() {
        let place = Arc::new(Slots::default().take(Peer::User(1)));
        let follower = Follower { place: Arc::clone(&place), stop: CancellationToken::new() };
        let asked = Arc::clone(&place);
        let service = stack(BOUNDS, move |_: Request<Incoming>| {
            let follower = follower.clone();
            asked.asks(false);
            async move { follower.answer(states) }
        });
        let (mut client, server) = UnixStream::pair().unwrap();
        let begun = Instant::now();
        let read = async {
            client.write_all(b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (answer, ()) = tokio::join!(read, connection(Either::Right(server), place, service, BOUNDS));
        assert!(answer.ends_with("\r\n0\r\n\r\n"), "it has no end: {:?}", answer.get(answer.len() - 40..));
        assert_eq!(answer.matches("event: state").count(), 120);
        assert_eq!(begun.elapsed().as_secs(), 3600);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_goes_on_ends_with_the_gateway() {
        let place = Arc::new(Slots::default().take(Peer::User(1)));
        let stop = CancellationToken::new();
        let answer = Follower { place, stop: stop.clone() }.answer(states);
        stop.cancel();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "");
    }
}
