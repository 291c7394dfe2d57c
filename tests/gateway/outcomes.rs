//! What a try came to means the same to whoever asks: outlier detection, the breaker, metrics and the log.

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;

use crate::support::{Backend, Body, Gw, Speak, empty, full, get, request, with_field, with_trailers};

const SPEAK: Speak = Speak { http2: true, tls: None, narrow: None, max_streams: None };

/// How a scripted agent says its gRPC status.
#[derive(Clone, Copy, Debug)]
enum Says {
    InTrailers(&'static str),
    InTheHead(&'static str),
}

async fn agent(says: Says) -> Backend {
    Backend::handling_as(SPEAK, move |request| async move {
        // An endpoint that answers while it waits for the body may be well, and counts for nothing.
        request.into_body().collect().await.unwrap();
        let answer = Response::builder().header("content-type", "application/grpc");
        match says {
            Says::InTrailers(status) => {
                let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
                answer.body(with_trailers("message", trailers)).unwrap()
            }
            Says::InTheHead(status) => answer.header("grpc-status", status).body(empty()).unwrap(),
        }
    })
    .await
}

fn call() -> Request<Body> {
    let request = with_field("te", "trailers", request("POST", "/a2a.v1.Agent/Send", full("message")));
    with_field("content-type", "application/grpc", request)
}

/// Two agents in turn.
fn in_turn(protocol: &str, rest: &str) -> String {
    format!(
        "workers: 1\nroutes: {{ all: {{ cluster: all }} }}\n\
         clusters: {{ all: {{ endpoints: ['{{0}}', '{{1}}'], protocol: {protocol}, loadBalancer: round-robin, \
         slowStart: off, {rest} }} }}"
    )
}

/// How often the bad one of two agents is asked in 20 calls, with these settings.
async fn asked(says: Says, settings: &str) -> usize {
    let (bad, good) = (agent(says).await, agent(Says::InTrailers("0")).await);
    let gw = Gw::with(&in_turn("h2c", settings), &[&bad, &good]).await;
    let mut client = gw.h2().await;
    for _ in 0..20 {
        assert_eq!(client.reply(call()).await.status, 200);
    }
    bad.hits()
}

#[tokio::test]
async fn a_grpc_status_ejects_wherever_it_stands() {
    const BLOCK: &str = "outlierDetection: { consecutive5xxErrors: 3 }";
    const LENIENT: &str = "outlierDetection: { consecutive5xxErrors: 3, count500: false }";
    for (says, settings, expected) in [
        (Says::InTrailers("14"), BLOCK, 3),
        (Says::InTheHead("14"), BLOCK, 3),
        // What holds without a block: five that show it down.
        (Says::InTrailers("14"), "", 5),
        (Says::InTrailers("13"), BLOCK, 3),
        (Says::InTheHead("13"), BLOCK, 3),
        (Says::InTrailers("13"), LENIENT, 10),
        (Says::InTrailers("13"), "", 10),
        // One client's mistake, or one bad input, is no reason to leave an endpoint out.
        (Says::InTrailers("2"), BLOCK, 10),
        (Says::InTrailers("3"), BLOCK, 10),
        (Says::InTheHead("12"), BLOCK, 10),
    ] {
        assert_eq!(asked(says, settings).await, expected, "{says:?} {settings}");
    }
}

#[tokio::test]
async fn a_grpc_status_is_in_the_log_and_counted() {
    let (trailers, head) = (agent(Says::InTrailers("5")).await, agent(Says::InTheHead("14")).await);
    let gw = Gw::with(&in_turn("h2c", "outlierDetection: off"), &[&trailers, &head]).await;
    let mut client = gw.h2().await;
    for _ in 0..4 {
        assert_eq!(client.reply(call()).await.status, 200);
    }
    let mut statuses: Vec<_> = gw.records(4).await.iter().map(|record| record["grpc_status"].clone()).collect();
    statuses.sort_by_key(ToString::to_string);
    assert_eq!(statuses, [14, 14, 5, 5]);
    for status in ["5", "14"] {
        let labels = [("route", "all"), ("cluster", "all"), ("grpc_status", status)];
        assert_eq!(gw.metric("attache_grpc_responses_total", &labels).await, 2.0, "{status}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_gateway_has_its_grpc_status_in_the_log() {
    let gw = Gw::with("routes: { all: { match: { path: { prefix: /x } }, respond: {} } }", &[]).await;
    let reply = gw.h2().await.reply(call()).await;
    assert_eq!((reply.status, reply.header("grpc-status")), (200, "12"));
    assert_eq!(gw.record().await["grpc_status"], 12);
}

#[tokio::test]
async fn what_is_not_grpc_has_no_grpc_status() {
    let backend = Backend::replying(200).await.header("grpc-status", "14");
    let gw =
        Gw::with("routes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'] } }", &[&backend]).await;
    assert_eq!(gw.get("/").await.status, 200);
    let record = gw.record().await;
    assert!(record.get("grpc_status").is_none(), "{record}");
}

/// A status means the same to outlier detection and to the breaker. 501 and 505 say what an agent cannot do, not that
/// it is unwell; a status nobody knows is a 500.
#[tokio::test]
async fn a_status_ejects_when_it_opens_the_breaker() {
    for (status, fails) in
        [(500, true), (501, false), (503, true), (505, false), (507, true), (599, true), (429, false)]
    {
        let (bad, good) = (Backend::replying(status).await, Backend::replying(200).await);
        let template = in_turn("http1", "outlierDetection: { consecutive5xxErrors: 3 }");
        let gw = Gw::with(&template, &[&bad, &good]).await;
        let mut client = gw.h1().await;
        for _ in 0..20 {
            client.reply(get("/")).await;
        }
        assert_eq!(bad.hits(), if fails { 3 } else { 10 }, "{status} ejects");

        let alone = Backend::replying(status).await;
        let template = "workers: 1\nroutes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], \
                        outlierDetection: off, circuitBreaker: { halfOpen: { failureThreshold: 3 } } } }";
        let gw = Gw::with(template, &[&alone]).await;
        let mut client = gw.h1().await;
        for _ in 0..10 {
            client.reply(get("/")).await;
        }
        assert_eq!(alone.hits(), if fails { 3 } else { 10 }, "{status} opens the breaker");
    }
}

#[tokio::test]
async fn a_grpc_status_opens_the_breaker() {
    for (says, expected) in [(Says::InTheHead("14"), 3), (Says::InTrailers("13"), 3), (Says::InTrailers("3"), 10)] {
        let alone = agent(says).await;
        let template = "workers: 1\nroutes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], \
                        protocol: h2c, outlierDetection: off, circuitBreaker: { halfOpen: { failureThreshold: 3 } } } }";
        let gw = Gw::with(template, &[&alone]).await;
        let mut client = gw.h2().await;
        for _ in 0..10 {
            assert_eq!(client.reply(call()).await.status, 200);
        }
        assert_eq!(alone.hits(), expected, "{says:?}");
    }
}
