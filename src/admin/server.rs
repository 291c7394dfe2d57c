//! The service behind the metrics listener: one function from path to answer.

use std::sync::Arc;
use std::time::Duration;

use http::header::ALLOW;
use http::{HeaderValue, Method, Request, StatusCode};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};
use tracing::warn;

use super::health::{Health, Report};
use super::serve::{self, Answer, Bounds, JSON, TEXT, reply};
use super::socket::Socket;
use crate::observe::metrics::Metrics;

/// Serves until `shutdown`; then open answers get a moment to finish. Spawns nothing: dropping the future closes everything.
pub async fn serve(
    socket: &Socket,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    shutdown: CancellationToken,
) {
    serve::serve(socket, stack(metrics, health), BOUNDS, shutdown).await;
}

fn stack<B: Send + 'static>(
    metrics: Arc<Metrics>,
    health: Arc<Health>,
) -> impl Service<Request<B>, Response = Answer, Error = BoxError, Future: Send> + Clone {
    serve::stack(BOUNDS, move |req: Request<B>| {
        let (metrics, health) = (Arc::clone(&metrics), Arc::clone(&health));
        async move { answer(req.method(), req.uri().path(), metrics, &health).await }
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

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PATHS: &str =
    "not found; here are:\n/metrics (/stats/prometheus)\n/health (/live)\n/ready\n/startup\n";
const BOUNDS: Bounds = Bounds {
    name: "metrics",
    // A scrape costs memory.
    requests: 8,
    answer: Duration::from_secs(10),
    connection: Duration::from_secs(30),
};

#[cfg(test)]
mod tests {
    use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::sleep;
    use tower::ServiceExt;

    use super::*;
    use crate::admin::health::{Check, Status};
    use crate::admin::probe::probe;
    use crate::admin::serve::MAX_CONNECTIONS;
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
        let mut busy: Vec<_> = (0..BOUNDS.requests).map(|_| service.clone()).collect();
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
        let socket = Socket::Tcp(listener);
        tokio::join!(client, serve(&socket, metrics, health, shutdown.clone())).0
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
            let status = probe(&format!("http://{address}/health"), 2 * BOUNDS.connection).await;
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
        let socket = Socket::Tcp(listener);
        tokio::join!(stop, serve(&socket, metrics, health, shutdown.clone()));
        assert!(started.elapsed() < BOUNDS.connection);
    }
}
