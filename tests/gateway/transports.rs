//! Connections to endpoints under changing circumstances: limits of the endpoint, reloads, neighbours at the same
//! address.

use serde_json::json;

use crate::support::{Backend, Ca, Gw, Speak, Sse, chunk, empty, eventually, get, post, request, within};

/// Every stream of a burst is answered, although each connection takes only a few and says so when it is already in
/// use.
#[tokio::test]
async fn rfc9113_5_1_2_a_burst_respects_the_endpoints_stream_limit() {
    let speak = Speak { http2: true, max_streams: Some(4), ..Speak::default() };
    let sse = Sse::speaking(speak, "text/event-stream").await;
    let template =
        "workers: 1\nroutes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], protocol: h2c } }";
    let gw = Gw::with(template, &[&sse]).await;
    let client = gw.h2().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let mut client = client.fork();
        asking.spawn(async move { client.send(get("/")).await.unwrap().into_body() });
    }
    let (mut bodies, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..12 {
        streams.push(sse.stream().await);
        bodies.push(within("an answer", asking.join_next()).await.unwrap().unwrap());
    }
    for stream in &streams {
        stream.event("x").await;
    }
    for body in &mut bodies {
        assert_eq!(chunk(body).await.unwrap().unwrap(), "data: x\n\n");
    }
    let connections = sse.backend().connections();
    assert!((3..=4).contains(&connections), "{connections} connections for 12 streams, 4 on each");
}

#[tokio::test]
async fn a_burst_on_a_cold_h2_pool_shares_one_connection() {
    let sse = Sse::h2c().await;
    let template =
        "workers: 1\nroutes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], protocol: h2c } }";
    let gw = Gw::with(template, &[&sse]).await;
    let client = gw.h2().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut client = client.fork();
        asking.spawn(async move { client.send(get("/")).await.unwrap().into_body() });
    }
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push((sse.stream().await, within("an answer", asking.join_next()).await.unwrap().unwrap()));
    }
    assert_eq!(sse.backend().connections(), 1);
}

#[tokio::test]
async fn a_reload_to_tls_does_not_use_cleartext_connections() {
    let (ca, backend) = (Ca::new(), Backend::replying(200).await);
    let mut gw = Gw::with(
        "workers: 1\nroutes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'] } }",
        &[&backend],
    )
    .await;
    assert_eq!(gw.get("/").await.status, 200);
    let after = "workers: 1\nroutes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], tls: { caFile: '{1}' } } }";
    gw.reload(after, &[&backend, &ca]).await.unwrap();
    let reply = gw.send(post("/", "secret")).await;
    assert_eq!((reply.status, reply.reason()), (502, "upstream_tls"), "nothing goes out in the clear");
    assert_eq!(backend.hits(), 1);
}

#[tokio::test]
async fn a_reload_to_another_authority_does_not_use_old_sessions() {
    let (ca, other) = (Ca::new(), Ca::new());
    let identity = ca.issue(&["127.0.0.1"]);
    for protocol in ["http/1.1", "h2"] {
        let speak = Speak { tls: Some(identity.server(&[protocol], None)), ..Speak::default() };
        let backend = Backend::replying_as(speak, 200).await;
        let template = format!(
            "workers: 1
routes: {{ all: {{ cluster: one }} }}
clusters: {{ one: {{ endpoints: ['{{0}}'], protocol: {protocol}, tls: {{ caFile: '{{1}}' }} }} }}"
        );
        let mut gw = Gw::with(&template, &[&backend, &ca]).await;
        assert_eq!(gw.get("/").await.status, 200);
        gw.reload(&template, &[&backend, &other]).await.unwrap();
        assert_eq!(gw.get("/").await.reason(), "upstream_tls", "{protocol}: the endpoint is no longer trusted");
    }
}

#[tokio::test]
async fn a_reload_to_another_protocol_opens_connections_of_that() {
    let backend = Backend::replying(200).await;
    let mut gw = Gw::with(
        "workers: 1\nroutes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'] } }",
        &[&backend],
    )
    .await;
    assert_eq!(gw.get("/").await.status, 200);
    let after =
        "workers: 1\nroutes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], protocol: h2c } }";
    gw.reload(after, &[&backend]).await.unwrap();
    assert_eq!(gw.send(post("/", "x")).await.status, 502, "it does not speak HTTP/2");
}

#[tokio::test]
async fn clusters_at_the_same_address_do_not_share_connections() {
    let (ca, backend) = (Ca::new(), Backend::replying(200).await);
    let template = "
        workers: 1
        routes:
          clear: { cluster: clear }
          safe: { cluster: safe, match: { path: { prefix: /safe } } }
          new: { cluster: new, match: { path: { prefix: /new } } }
        clusters:
          clear: { endpoints: ['{0}'] }
          safe: { endpoints: ['{0}'], tls: { caFile: '{1}' } }
          new: { endpoints: ['{0}'], protocol: h2c }
    ";
    let gw = Gw::with(template, &[&backend, &ca]).await;
    for _ in 0..2 {
        assert_eq!(gw.get("/").await.status, 200);
        assert_eq!(gw.get("/safe").await.reason(), "upstream_tls");
        assert_eq!(gw.send(post("/new", "x")).await.status, 502);
    }
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn a_request_under_way_finishes_after_a_reload() {
    let (backend, release) = Backend::held().await;
    let mut gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let mut client = gw.h1().await;
    let asking = tokio::spawn(async move { client.reply(post("/", "x")).await });
    eventually("the endpoint works", || async { backend.hits() == 1 }).await;
    gw.reload("routes: { none: { respond: { status: 204 } } }", &[]).await.unwrap();
    assert_eq!(gw.get("/").await.status, 204);
    release.send(()).unwrap();
    assert_eq!(within("the answer", asking).await.unwrap().text(), "done");
    let records = gw.records(2).await;
    assert!(records.iter().any(|record| record["route"] == "all" && record["status"] == 200), "{records:?}");
}

#[tokio::test]
async fn rfc9110_9_3_2_a_head_of_a_stream_is_over_at_once() {
    let sse = Sse::new().await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&sse]).await;
    for (turn, mut client) in [gw.h1().await, gw.h2().await].into_iter().enumerate() {
        let reply = client.reply(request("HEAD", "/", empty())).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, "text/event-stream"));
        let record = gw.records(turn + 1).await.remove(turn);
        assert_eq!(record["reason"], json!(null), "{record}");
    }
}
