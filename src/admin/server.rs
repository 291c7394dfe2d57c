//! The server behind the metrics listener: a small tower stack over one function from path to answer. One request per connection
//! and one deadline over all of it, so that neither a slow reader nor an idle client needs a limit of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service, ServiceBuilder};
use tracing::{debug, warn};

use super::health::{Health, Report};
use crate::observe::metrics::Metrics;

type Answer = Response<Full<Bytes>>;

/// Serves until `shutdown`; then open answers get a moment to finish. Spawns nothing: dropping the future closes everything.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    shutdown: CancellationToken,
) {
    let service = stack(metrics, health);
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(()) = connections.next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => connections.push(connection(stream, service.clone())),
                Err(error) => {
                    warn!(%error, "metrics listener could not accept");
                    sleep(ACCEPT_BACKOFF).await;
                }
            },
        }
    }
    drop(listener);
    if timeout(GRACE, async { while connections.next().await.is_some() {} })
        .await
        .is_err()
    {
        debug!(
            open = connections.len(),
            "metrics connections cut by shutdown"
        );
    }
}

async fn connection<B, S>(stream: TcpStream, service: S)
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<B>, Error = BoxError> + Clone,
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    match timeout(CONNECTION_LIFE, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "metrics connection failed"),
        Err(_) => debug!("metrics connection took too long"),
    }
}

/// The layers, outermost first: refusals become answers, too much at once is refused, an answer has its time.
fn stack<B: Send + 'static>(
    metrics: Arc<Metrics>,
    health: Arc<Health>,
) -> impl Service<Request<B>, Response = Answer, Error = BoxError, Future: Send> + Clone {
    ServiceBuilder::new()
        .map_result(|outcome: Result<Answer, BoxError>| {
            Ok::<_, BoxError>(outcome.unwrap_or_else(|error| refusal(&error)))
        })
        .load_shed()
        .concurrency_limit(MAX_REQUESTS)
        .timeout(ANSWER_TIME)
        .service_fn(move |req: Request<B>| {
            let (metrics, health) = (Arc::clone(&metrics), Arc::clone(&health));
            async move {
                Ok::<_, BoxError>(answer(req.method(), req.uri().path(), metrics, &health).await)
            }
        })
}

async fn answer(method: &Method, path: &str, metrics: Arc<Metrics>, health: &Health) -> Answer {
    if method != Method::GET && method != Method::HEAD {
        let mut answer = reply(
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "only GET and HEAD are served here\n",
        );
        answer
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match path {
        "/metrics" | "/stats/prometheus" => scrape(metrics).await,
        "/health" | "/live" => status(true, &health.report()),
        "/ready" => {
            let report = health.report();
            status(report.ready, &report)
        }
        "/startup" => {
            let report = health.report();
            status(report.started, &report)
        }
        _ => reply(StatusCode::NOT_FOUND, TEXT, PATHS),
    }
}

/// Off this thread: with thousands of routes the text takes long enough to keep a probe waiting.
async fn scrape(metrics: Arc<Metrics>) -> Answer {
    match spawn_blocking(move || metrics.render()).await {
        Ok(Ok(text)) => reply(StatusCode::OK, PROMETHEUS, text),
        Ok(Err(error)) => {
            warn!(%error, "metrics could not be rendered");
            reply(
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                "metrics could not be rendered\n",
            )
        }
        Err(error) => {
            warn!(%error, "rendering metrics ended early");
            reply(
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                "metrics could not be rendered\n",
            )
        }
    }
}

fn status(good: bool, report: &Report) -> Answer {
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    match serde_json::to_vec(report) {
        Ok(mut body) => {
            body.push(b'\n');
            reply(status, JSON, body)
        }
        Err(error) => {
            warn!(%error, "health report could not be written");
            reply(status, TEXT, "")
        }
    }
}

fn refusal(error: &BoxError) -> Answer {
    debug!(%error, "metrics request refused");
    reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "busy, try again\n")
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
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

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PATHS: &str =
    "not found; here are:\n/metrics (/stats/prometheus)\n/health (/live)\n/ready\n/startup\n";
/// More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// Answers being made at once; a scrape costs memory.
const MAX_REQUESTS: usize = 8;
const MAX_HEAD: usize = 16 * 1024;
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// From accept to the last byte read by the client.
const CONNECTION_LIFE: Duration = Duration::from_secs(30);
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// For answers under way when the gateway ends.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tower::ServiceExt;

    use super::*;
    use crate::admin::health::{Check, Status};
    use crate::admin::probe::probe;
    use crate::observe::exposition::Exposition;

    fn parts() -> (Arc<Metrics>, Arc<Health>) {
        let check = Check {
            name: "cluster a".to_owned(),
            status: Status::Degraded,
            detail: "no endpoints".to_owned(),
        };
        (
            Arc::new(Metrics::new(&[1.0]).unwrap()),
            Arc::new(Health::new(move || vec![check.clone()])),
        )
    }

    async fn ask(
        service: impl Service<Request<()>, Response = Answer, Error = BoxError>,
        method: &str,
        path: &str,
    ) -> (StatusCode, http::HeaderMap, String) {
        let req = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        let (head, body) = service.oneshot(req).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (
            head.status,
            head.headers,
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    #[tokio::test]
    async fn probes_follow_the_life_of_the_gateway() {
        let (metrics, health) = parts();
        let service = stack(metrics, Arc::clone(&health));
        let probes = async || {
            let mut statuses = Vec::new();
            for path in ["/health", "/live", "/ready", "/startup"] {
                statuses.push(ask(service.clone(), "GET", path).await.0.as_u16());
            }
            statuses
        };
        assert_eq!(probes().await, [200, 200, 503, 503], "starting");
        health.set_started();
        assert_eq!(
            probes().await,
            [200, 200, 200, 200],
            "started, one cluster without endpoints"
        );
        health.set_draining();
        assert_eq!(probes().await, [200, 200, 503, 200], "draining");
    }

    #[tokio::test]
    async fn a_probe_gets_the_detail_as_json() {
        let (metrics, health) = parts();
        health.set_started();
        let (status, headers, body) = ask(stack(metrics, health), "GET", "/ready").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        let report: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(report["status"], "degraded");
        assert_eq!(report["checks"][0]["detail"], "no endpoints");
    }

    #[tokio::test]
    async fn metrics_are_served_under_both_paths() {
        let (metrics, health) = parts();
        for path in ["/metrics", "/stats/prometheus", "/metrics?name=x"] {
            let (status, headers, body) = ask(
                stack(Arc::clone(&metrics), Arc::clone(&health)),
                "GET",
                path,
            )
            .await;
            assert_eq!(
                (status, headers[CONTENT_TYPE].as_bytes()),
                (StatusCode::OK, PROMETHEUS.as_bytes()),
                "{path}"
            );
            assert_eq!(
                Exposition::parse(&body).value("attache_draining", &[]),
                Some(0.0),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let (metrics, health) = parts();
        let service = stack(metrics, health);
        for method in ["POST", "DELETE", "OPTIONS", "BREW"] {
            let (status, headers, _) = ask(service.clone(), method, "/metrics").await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(headers[ALLOW], "GET, HEAD", "{method}");
        }
        for path in ["/", "/metrics/", "/ready/x", "/Health"] {
            let (status, _, body) = ask(service.clone(), "GET", path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(body.contains("/startup"), "{body}");
        }
    }

    #[tokio::test]
    async fn too_much_at_once_is_refused_not_queued() {
        let (metrics, health) = parts();
        let service = stack(metrics, health);
        let mut busy: Vec<_> = (0..MAX_REQUESTS).map(|_| service.clone()).collect();
        for service in &mut busy {
            service.ready().await.unwrap();
        }
        assert_eq!(
            ask(service.clone(), "GET", "/health").await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        drop(busy);
        assert_eq!(ask(service, "GET", "/health").await.0, StatusCode::OK);
    }

    /// Runs `client` against a real server and stops that.
    async fn with_server<F: Future>(client: impl FnOnce(std::net::SocketAddr) -> F) -> F::Output {
        let (metrics, health) = parts();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let _stop = shutdown.clone().drop_guard();
        let client = async {
            let output = client(address).await;
            shutdown.cancel();
            output
        };
        tokio::join!(client, serve(listener, metrics, health, shutdown.clone())).0
    }

    async fn exchange(stream: &mut TcpStream, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_head_request_gets_the_head_only() {
        let answer = with_server(|address| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            exchange(&mut stream, "HEAD /health HTTP/1.1\r\nhost: x\r\n\r\n").await
        })
        .await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains("connection: close\r\n"),
            "one request per connection: {answer}"
        );
        assert!(!answer.contains("content-length: 0"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_say_nothing_are_cut_and_let_others_in() {
        with_server(|address| async move {
            let mut silent = Vec::new();
            for _ in 0..MAX_CONNECTIONS {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(b"GET /hea").await.unwrap();
                silent.push(stream);
            }
            let status = probe(&format!("http://{address}/health"), 2 * CONNECTION_LIFE).await;
            assert_eq!(status.unwrap(), 200);
            for stream in &mut silent {
                assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "cut");
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_does_not_wait_for_a_silent_client() {
        let (metrics, health) = parts();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let shutdown = CancellationToken::new();
        let started = tokio::time::Instant::now();
        let stop = async {
            sleep(Duration::from_millis(10)).await;
            shutdown.cancel();
        };
        tokio::join!(stop, serve(listener, metrics, health, shutdown.clone()));
        assert!(started.elapsed() < CONNECTION_LIFE);
    }
}
