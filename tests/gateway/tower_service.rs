//! The edge as a tower service, called without a socket and with a tower layer around it.

use std::rc::Rc;
use std::sync::Arc;

use attache::config::model::ListenerId;
use attache::config::{self, Environment};
use attache::context::Connection;
use attache::edge::{self, Worker};
use attache::observe::audit::Sinks;
use attache::observe::metrics::Metrics;
use attache::snapshot::{Hub, Snapshot};
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::task::LocalSet;
use tower::ServiceBuilder;

use crate::support::{Place, RawBackend, at_host, full, get, within};

/// A service behind a connection of its own, and what it counts.
fn service(yaml: &str) -> (Rc<Worker>, Rc<Connection>, Arc<Metrics>) {
    let loaded = config::parse(yaml, "tower.yaml", &Environment::process()).unwrap();
    let config = Arc::new(loaded.config);
    let snapshot = Snapshot::build(Arc::clone(&config), None, &Default::default()).unwrap();
    let metrics = Arc::new(Metrics::new(&config.metrics.latency_buckets).unwrap());
    let worker = Worker::new(Arc::new(Hub::new(snapshot)), Arc::clone(&metrics), Sinks::default(), 7);
    let peer = "192.0.2.7:4711".parse().unwrap();
    (worker, Rc::new(Connection::new(ListenerId(0), peer, peer, None)), metrics)
}

const YAML: &str = "
    listeners: { http: { address: '127.0.0.1:0' } }
    routes: { hello: { respond: { status: 418, body: hello } } }
";

#[tokio::test]
async fn the_edge_answers_as_a_tower_service_behind_a_layer() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let (worker, connection, _) = service(YAML);
            let layered = ServiceBuilder::new()
                .map_response(|mut answer: http::Response<edge::ResponseBody>| {
                    answer.headers_mut().insert("x-layer", "1".parse().unwrap());
                    answer
                })
                .service(edge::service(worker, connection, "http".into()));
            let (ours, theirs) = tokio::io::duplex(4096);
            let serving =
                http1::Builder::new().serve_connection(TokioIo::new(theirs), TowerToHyperService::new(layered));
            tokio::task::spawn_local(async move { serving.await.unwrap() });
            let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.unwrap();
            tokio::task::spawn_local(async move { driver.await.unwrap() });
            let request = at_host("a.example", get("/anything").map(|_| full("")));
            let answer = within("an answer", sender.send_request(request)).await.unwrap();
            assert_eq!(answer.status(), 418);
            assert_eq!(answer.headers()["x-layer"], "1");
            assert!(answer.headers().contains_key("x-request-id"));
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        })
        .await;
}

#[tokio::test]
async fn a_panic_ends_one_request_which_is_counted() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let agent = RawBackend::answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
            let yaml =
                YAML.replace("respond: { status: 418, body: hello }", &format!("endpoints: ['{}']", agent.place()));
            let (worker, connection, metrics) = service(&yaml);
            let broken = ServiceBuilder::new()
                .map_response(|answer: http::Response<edge::ResponseBody>| -> http::Response<edge::ResponseBody> {
                    panic!("on purpose, with {}", answer.status())
                })
                .service(edge::service(Rc::clone(&worker), Rc::clone(&connection), "http".into()));
            let (ours, theirs) = tokio::io::duplex(4096);
            let serving =
                http1::Builder::new().serve_connection(TokioIo::new(theirs), TowerToHyperService::new(broken));
            let served = tokio::task::spawn_local(serving);
            let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.unwrap();
            tokio::task::spawn_local(driver);
            let request = at_host("a.example", get("/anything").map(|_| full("")));
            within("an end", sender.send_request(request)).await.unwrap_err();
            assert!(served.await.unwrap_err().is_panic());
            let shown = metrics.render().unwrap();
            let line = shown.lines().find(|line| line.starts_with("attache_errors_total{"));
            assert!(line.is_some_and(|line| line.contains("\"internal\"") && line.ends_with(" 1")), "{line:?}");
        })
        .await;
}
