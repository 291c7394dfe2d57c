//! The service behind the metrics listener: one function from path to answer.

use std::sync::Arc;
use std::time::Duration;

use http::header::ALLOW;
use http::{HeaderValue, Method, Request, StatusCode};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service, ServiceExt, service_fn};
use tracing::warn;

use super::health::{Health, Report};
use super::serve::{self, AdminResponse, Bounds, HEAD, JSON, TEXT, reply};
use super::slots::MOST;
use super::socket::Socket;
use crate::observe::metrics::Metrics;

/// Serves until `shutdown`; then open answers get a moment to finish. Spawns nothing: dropping the future closes
/// everything.
pub async fn serve(socket: &Socket, metrics: Arc<Metrics>, health: Arc<Health>, shutdown: CancellationToken) {
    serve::serve(socket, stack(metrics, health), BOUNDS, shutdown).await;
}

fn stack<B: Send + 'static>(
    metrics: Arc<Metrics>,
    health: Arc<Health>,
) -> impl Service<Request<B>, Response = AdminResponse, Error = BoxError, Future: Send> + Clone {
    let stack = move |bounds| {
        let (metrics, health) = (Arc::clone(&metrics), Arc::clone(&health));
        serve::stack(bounds, move |req: Request<B>| {
            let (metrics, health) = (Arc::clone(&metrics), Arc::clone(&health));
            async move { answer(req.method(), req.uri().path(), metrics, &health).await }
        })
    };
    let (probes, others) = (stack(PROBE_BOUNDS), stack(BOUNDS));
    service_fn(move |request: Request<B>| {
        let service = if PROBES.contains(&request.uri().path()) { probes.clone() } else { others.clone() };
        service.oneshot(request)
    })
}

async fn answer(method: &Method, path: &str, metrics: Arc<Metrics>, health: &Health) -> AdminResponse {
    if method != Method::GET && method != Method::HEAD {
        let mut answer = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are served here\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
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
async fn scrape(metrics: Arc<Metrics>) -> AdminResponse {
    match spawn_blocking(move || metrics.render()).await {
        Ok(Ok(text)) => reply(StatusCode::OK, PROMETHEUS, text),
        Ok(Err(error)) => {
            warn!(%error, "metrics could not be rendered");
            reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "metrics could not be rendered\n")
        }
        Err(error) => {
            warn!(%error, "rendering metrics ended early");
            reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "metrics could not be rendered\n")
        }
    }
}

fn status(good: bool, report: &Report) -> AdminResponse {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
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

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PATHS: &str = "not found; here are:\n/metrics (/stats/prometheus)\n/health (/live)\n/ready\n/startup\n";
const PROBES: &[&str] = &["/health", "/live", "/ready", "/startup"];
/// As many as there are places; an answer is short.
const PROBE_BOUNDS: Bounds = Bounds { requests: MOST, ..BOUNDS };
const BOUNDS: Bounds = Bounds {
    name: "metrics",
    // A scrape costs memory.
    requests: 8,
    probes: PROBES,
    head: HEAD,
    answer: Duration::from_secs(10),
    connection: Duration::from_secs(30),
};

#[cfg(test)]
mod tests {
    use futures_util::stream::FuturesUnordered;
    use futures_util::{FutureExt, StreamExt};
    use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::sleep;
    use tower::ServiceExt;

    use super::*;
    use crate::admin::health::{Check, Status};
    use crate::admin::probe::probe;
    use crate::observe::exposition::Exposition;

    fn parts() -> (Arc<Metrics>, Arc<Health>) {
        let check = Check { name: "cluster a".to_owned(), status: Status::Degraded, detail: "no endpoints".to_owned() };
        (Arc::new(Metrics::new(&[1.0]).unwrap()), Arc::new(Health::new(move || vec![check.clone()])))
    }

    async fn ask(
        service: impl Service<Request<()>, Response = AdminResponse, Error = BoxError>,
        method: &str,
        path: &str,
    ) -> (StatusCode, http::HeaderMap, String) {
        let req = Request::builder().method(method).uri(path).body(()).unwrap();
        let (head, body) = service.oneshot(req).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
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
        assert_eq!(probes().await, [200, 200, 200, 200], "started, one cluster without endpoints");
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
            let (status, headers, body) = ask(stack(Arc::clone(&metrics), Arc::clone(&health)), "GET", path).await;
            assert_eq!((status, headers[CONTENT_TYPE].as_bytes()), (StatusCode::OK, PROMETHEUS.as_bytes()), "{path}");
            assert_eq!(Exposition::parse(&body).value("attache_draining", &[]), Some(0.0), "{path}");
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
        let open = Arc::new(tokio::sync::Semaphore::new(0));
        let bounds = Bounds { requests: 2, ..BOUNDS };
        let service = serve::stack(bounds, |_: Request<()>| {
            let open = Arc::clone(&open);
            async move {
                drop(open.acquire().await);
                reply(StatusCode::OK, TEXT, "")
            }
        });
        let mut busy = FuturesUnordered::new();
        for _ in 0..bounds.requests {
            busy.push(ask(service.clone(), "GET", "/"));
        }
        assert!(busy.next().now_or_never().is_none(), "under way");
        let refused = ask(service.clone(), "GET", "/").await.0;
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
        open.add_permits(bounds.requests + 1);
        assert_eq!(busy.next().await.unwrap().0, StatusCode::OK);
        assert_eq!(ask(service.clone(), "GET", "/").await.0, StatusCode::OK);
    }

    /// Runs `client` against a real server and stops that.
    async fn with_server<F: Future>(bounds: Bounds, client: impl FnOnce(std::net::SocketAddr) -> F) -> F::Output {
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
        let socket = Socket::Tcp(listener);
        let serving = serve::serve(&socket, stack(metrics, health), bounds, shutdown.clone());
        tokio::join!(client, serving).0
    }

    async fn exchange(stream: &mut TcpStream, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_head_request_gets_the_head_only() {
        let answer = with_server(BOUNDS, |address| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            exchange(&mut stream, "HEAD /health HTTP/1.1\r\nhost: x\r\n\r\n").await
        })
        .await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "one request per connection: {answer}");
        assert!(!answer.contains("content-length: 0"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_say_nothing_are_cut() {
        with_server(BOUNDS, |address| async move {
            let began = tokio::time::Instant::now();
            for text in [&b""[..], b"GET /hea"] {
                let mut silent = TcpStream::connect(address).await.unwrap();
                silent.write_all(text).await.unwrap();
                assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0, "cut");
            }
            assert!(began.elapsed() < BOUNDS.connection);
        })
        .await;
    }

    #[tokio::test]
    async fn silent_connections_do_not_shut_a_probe_out() {
        let patient = Bounds { head: Duration::from_secs(3600), connection: Duration::from_secs(3600), ..BOUNDS };
        with_server(patient, |address| async move {
            let mut silent = Vec::new();
            for _ in 0..MOST + 6 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(b"GET /hea").await.unwrap();
                silent.push(stream);
            }
            let url = format!("http://{address}/health");
            assert_eq!(probe(&url, patient.head).await.unwrap(), 200);
            let oldest = silent.first_mut().unwrap();
            assert_eq!(oldest.read(&mut [0]).await.unwrap_or(0), 0, "gave way");
            let youngest = silent.last_mut().unwrap();
            let answer = exchange(youngest, "lth HTTP/1.1\r\nhost: x\r\n\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_does_not_wait_for_a_silent_client() {
        let (metrics, health) = parts();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let shutdown = CancellationToken::new();
        let started = tokio::time::Instant::now();
        let stop = async {
            sleep(Duration::from_millis(10)).await;
            shutdown.cancel();
        };
        let socket = Socket::Tcp(listener);
        tokio::join!(stop, serve(&socket, metrics, health, shutdown.clone()));
        assert!(started.elapsed() < BOUNDS.connection);
    }
}
