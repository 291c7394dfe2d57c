//! Starting, reloading and ending, with traffic under way.

use attache::gateway::Drained;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{Backend, Client, Gw, Sse, chunk, eventually, get, post, soon, within};

const TO_ONE: &str = "shutdown: { drainTimeout: 15s }\nroutes: { all: { endpoints: ['{0}'] } }";

#[tokio::test]
async fn an_idle_gateway_ends_at_once() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut idle = gw.h1().await;
    assert_eq!(idle.reply(get("/")).await.status, 200);
    let mut idle_h2 = gw.h2().await;
    assert_eq!(idle_h2.reply(get("/")).await.status, 200);
    let address = gw.address();
    let (drained, ended) = gw.shutdown().await;
    assert_eq!(drained, Drained { cut: 0 });
    idle.closed().await;
    idle_h2.closed().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
    assert_eq!(ended.records().len(), 2, "the log is written to its end");
}

#[tokio::test]
async fn rfc9112_9_6_a_request_under_way_is_finished_and_its_connection_closed() {
    let (backend, release) = Backend::held().await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let address = gw.address();
    let mut client = gw.raw().await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("the endpoint works", || async { backend.hits() == 1 }).await;
    let ending = tokio::spawn(gw.shutdown());
    eventually("nobody listens any more", || async { tokio::net::TcpStream::connect(address).await.is_err() }).await;
    release.send(()).unwrap();
    let (head, body) = client.read_message().await;
    assert!(head.to_lowercase().contains("connection: close\r\n"), "{head}");
    assert_eq!(body, "done");
    client.closed().await;
    let (drained, ended) = ending.await.unwrap();
    assert_eq!(drained.cut, 0);
    assert_eq!(ended.records()[0]["reason"], json!(null));
}

#[tokio::test]
async fn rfc9113_6_8_a_draining_connection_says_goaway() {
    let (backend, release) = Backend::held().await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.h2().await;
    let mut late = client.fork();
    let asking = tokio::spawn(async move { client.reply(get("/")).await });
    eventually("the endpoint works", || async { backend.hits() == 1 }).await;
    let ending = tokio::spawn(gw.shutdown());
    eventually("new requests are refused", || {
        let mut late = late.fork();
        async move { late.send_patiently(get("/")).await.is_err() }
    })
    .await;
    let refused = late.send(get("/")).await.unwrap_err();
    assert!(refused.is_closed() || std::error::Error::source(&refused).is_some(), "{refused:?}");
    release.send(()).unwrap();
    assert_eq!(within("the answer", asking).await.unwrap().text(), "done");
    assert_eq!(ending.await.unwrap().0.cut, 0);
}

#[tokio::test]
async fn a_stream_may_finish_while_draining() {
    let sse = Sse::new().await;
    let gw = Gw::with(TO_ONE, &[&sse]).await;
    let address = gw.address();
    let (mut h1, mut h2) = (gw.h1().await, gw.h2().await);
    let mut streams = Vec::new();
    for client in [&mut h1, &mut h2] {
        let (answer, stream) = tokio::join!(client.send(get("/")), sse.stream());
        streams.push((answer.unwrap().into_body(), stream));
    }
    let ending = tokio::spawn(gw.shutdown());
    eventually("nobody listens any more", || async { tokio::net::TcpStream::connect(address).await.is_err() }).await;
    for (mut body, stream) in streams {
        for turn in 0..5 {
            stream.event(&turn.to_string()).await;
            assert_eq!(chunk(&mut body).await.expect("the stream goes on").unwrap(), format!("data: {turn}\n\n"));
        }
        stream.end();
        assert!(chunk(&mut body).await.is_none(), "and ends as it should");
    }
    let (drained, ended) = ending.await.unwrap();
    assert_eq!(drained.cut, 0);
    assert!(ended.records().iter().all(|record| record["reason"].is_null()));
}

#[tokio::test]
async fn what_is_not_over_in_time_is_cut_and_counted() {
    let sse = Sse::new().await;
    let gw = Gw::with("shutdown: { drainTimeout: 300ms }\nroutes: { all: { endpoints: ['{0}'] } }", &[&sse]).await;
    let (mut h1, mut h2) = (gw.h1().await, gw.h2().await);
    let mut streams = Vec::new();
    for client in [&mut h1, &mut h2] {
        let (answer, stream) = tokio::join!(client.send(get("/")), sse.stream());
        streams.push((answer.unwrap().into_body(), stream));
    }
    let (drained, ended) = gw.shutdown().await;
    assert_eq!(drained, Drained { cut: 2 });
    for (mut body, stream) in streams {
        let end = chunk(&mut body).await;
        assert!(matches!(end, Some(Err(_))), "the client sees that it was cut, not {end:?}");
        stream.closed().await;
    }
    let records = ended.records();
    assert_eq!(records.len(), 2, "{records:?}");
    for record in records {
        assert_eq!((&record["reason"], &record["status"]), (&json!("draining"), &json!(200)), "{record}");
    }
}

#[tokio::test]
async fn requests_and_streams_have_limits_of_their_own() {
    let sse = Sse::new().await;
    let (held, _release) = Backend::held().await;
    let template = "
        shutdown: { drainTimeout: 300ms, streamGrace: 15s }
        routes:
          stream: { endpoints: ['{0}'] }
          slow: { endpoints: ['{1}'], match: { path: { prefix: /slow } } }
    ";
    let gw = Gw::with(template, &[&sse, &held]).await;
    let mut streaming = gw.h1().await;
    let (answer, stream) = tokio::join!(streaming.send(get("/")), sse.stream());
    let mut body = answer.unwrap().into_body();
    let mut slow = gw.h1().await;
    let asking = tokio::spawn(async move { slow.send(get("/slow")).await.map(|answer| answer.status()) });
    eventually("the endpoint works", || async { held.hits() == 1 }).await;
    let ending = tokio::spawn(gw.shutdown());
    assert!(within("the request is cut", asking).await.unwrap().is_err());
    stream.event("still here").await;
    assert_eq!(chunk(&mut body).await.expect("the stream goes on").unwrap(), "data: still here\n\n");
    stream.end();
    assert!(chunk(&mut body).await.is_none());
    assert_eq!(ending.await.unwrap().0.cut, 1);
}

#[tokio::test]
async fn a_second_signal_ends_the_waiting() {
    let sse = Sse::new().await;
    let gw = Gw::with("shutdown: { drainTimeout: 10m }\nroutes: { all: { endpoints: ['{0}'] } }", &[&sse]).await;
    let mut client = gw.h1().await;
    let (answer, _stream) = tokio::join!(client.send(get("/")), sse.stream());
    let mut body = answer.unwrap().into_body();
    let hurry = CancellationToken::new();
    let ending = tokio::spawn(gw.shutdown_with(hurry.clone()));
    hurry.cancel();
    assert!(matches!(chunk(&mut body).await, Some(Err(_))));
    assert_eq!(ending.await.unwrap().0.cut, 1);
}

#[tokio::test]
async fn readiness_fails_while_traffic_is_still_taken() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("shutdown: { drainDelay: 10m }\nroutes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    for path in ["/ready", "/health", "/startup"] {
        assert_eq!(gw.admin(path).await.status, 200, "{path}");
    }
    let (address, admin) = (gw.address(), gw.metrics_address());
    let hurry = CancellationToken::new();
    let ending = tokio::spawn(gw.shutdown_with(hurry.clone()));
    let reply = soon("not ready", || async {
        let reply = Client::h1(admin).await.reply(get("/ready")).await;
        (reply.status != 200).then_some(reply)
    })
    .await;
    assert_eq!(reply.status, 503);
    assert_eq!(Client::h1(admin).await.reply(get("/health")).await.status, 200, "alive all the same");
    assert_eq!(Client::h1(address).await.reply(get("/")).await.status, 200, "requests are still answered");
    let metrics = Client::h1(admin).await.reply(get("/metrics")).await;
    assert!(metrics.text().contains("\nattache_draining 1\n"));
    hurry.cancel();
    ending.await.unwrap();
}

#[tokio::test]
async fn a_tunnel_is_cut_at_the_end_of_a_drain() {
    let backend = crate::support::RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
        connection.closed().await;
    })
    .await;
    let gw = Gw::with(
        "shutdown: { drainTimeout: 300ms }\nroutes: { all: { endpoints: ['{0}'], websocket: true } }",
        &[&backend],
    )
    .await;
    let mut client = gw.raw().await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    client.read_head().await;
    let (drained, ended) = gw.shutdown().await;
    assert_eq!(drained.cut, 1);
    client.closed().await;
    assert_eq!(ended.records()[0]["reason"], "draining");
}

#[tokio::test]
async fn a_reload_changes_routes_and_leaves_streams_alone() {
    let (sse, other) = (Sse::new().await, Backend::replying(200).await);
    let before = "
        routes:
          all: { endpoints: ['{0}'] }
          old: { endpoints: ['{1}'], match: { path: { prefix: /old } } }
    ";
    let mut gw = Gw::with(before, &[&sse, &other]).await;
    let address = gw.address();
    assert_eq!(gw.get("/old").await.status, 200);
    gw.records(1).await;
    let (mut h1, mut h2) = (gw.h1().await, gw.h2().await);
    let mut streams = Vec::new();
    for client in [&mut h1, &mut h2] {
        let (answer, stream) = tokio::join!(client.send(get("/")), sse.stream());
        streams.push((answer.unwrap().into_body(), stream));
    }
    let after = "routes: { new: { endpoints: ['{1}'], match: { path: { prefix: /new } } } }";
    gw.reload(after, &[&sse, &other]).await.unwrap();
    assert_eq!(gw.address(), address, "the listener stays open");
    assert_eq!(gw.get("/").await.status, 404, "the old route is gone");
    assert_eq!(gw.get("/new").await.status, 200, "the new one is there");
    assert_eq!(h2.reply(get("/new")).await.status, 200, "on old connections as well");
    for (mut body, stream) in streams {
        stream.event("still").await;
        assert_eq!(chunk(&mut body).await.expect("the stream goes on").unwrap(), "data: still\n\n");
        stream.end();
        assert!(chunk(&mut body).await.is_none());
    }
    assert_eq!(gw.metric("attache_config_reloads_total", &[("result", "ok")]).await, 1.0);
    eventually("series of the old route are gone", || async { !gw.metrics().await.contains("route=\"old\"") }).await;
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_about_endpoints() {
    let agents = [Sse::new().await, Sse::new().await];
    let before = "routes: { all: { cluster: two } }\nclusters: { two: { endpoints: ['{0}', '{1}'] } }";
    let mut gw = Gw::with(before, &[&agents[0], &agents[1]]).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = gw.h1().await;
        let body = client.send(get("/")).await.unwrap().into_body();
        clients.push((client, body));
    }
    // Two streams at each; the second agent's end, so the first one is the busier.
    let kept = [agents[0].stream().await, agents[0].stream().await];
    drop([agents[1].stream().await, agents[1].stream().await]);
    gw.records(2).await;
    let after = "routes: { other: { cluster: two } }\nclusters: { two: { endpoints: ['{0}', { address: '{1}', labels: { zone: b } }] } }";
    gw.reload(after, &[&agents[0], &agents[1]]).await.unwrap();
    for _ in 0..2 {
        let mut client = gw.h1().await;
        let body = client.send(get("/after")).await.unwrap().into_body();
        clients.push((client, body));
        assert_eq!(agents[1].stream().await.path, "/after", "the busy one is known to be busy");
    }
    drop(kept);
}

#[tokio::test]
async fn a_reload_keeps_kept_connections() {
    let backend = Backend::replying(200).await;
    let mut gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    gw.get("/").await;
    gw.reload("workers: 1\nroutes: { all: { endpoints: ['{0}'], timeout: 5s } }", &[&backend]).await.unwrap();
    gw.get("/").await;
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_reload_opens_and_closes_listeners() {
    let backend = Backend::replying(200).await;
    let before = "
        listeners: { http: { address: '127.0.0.1:0' }, old: { address: '127.0.0.1:0' } }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    let mut gw = Gw::with(before, &[&backend]).await;
    let old = gw.at("old");
    let mut kept = Client::h1(old).await;
    assert_eq!(kept.reply(get("/")).await.status, 200);
    let after = "
        listeners: { http: { address: '127.0.0.1:0' }, new: { address: '127.0.0.1:0' } }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    gw.reload(after, &[&backend]).await.unwrap();
    assert!(!gw.has("old"));
    assert_eq!(Client::h1(gw.at("new")).await.reply(get("/")).await.status, 200);
    assert_eq!(gw.get("/").await.status, 200);
    kept.closed().await;
    eventually("the old one is closed", || async { tokio::net::TcpStream::connect(old).await.is_err() }).await;
}

#[tokio::test]
async fn a_listener_may_move() {
    let backend = Backend::replying(200).await;
    let (before, after) = ("127.0.0.1:0", "127.0.0.2:0");
    let template = |address| {
        format!("listeners: {{ http: {{ address: '{address}' }} }}\nroutes: {{ all: {{ endpoints: ['{{0}}'] }} }}")
    };
    let mut gw = Gw::with(&template(before), &[&backend]).await;
    let old = gw.address();
    let mut kept = gw.h1().await;
    assert_eq!(kept.reply(get("/")).await.status, 200);
    gw.reload(&template(after), &[&backend]).await.unwrap();
    assert_eq!(gw.address().ip().to_string(), "127.0.0.2");
    assert_eq!(gw.get("/").await.status, 200);
    kept.closed().await;
    eventually("the old address is closed", || async { tokio::net::TcpStream::connect(old).await.is_err() }).await;
}

#[tokio::test]
async fn a_bad_reload_changes_nothing() {
    let backend = Backend::replying(200).await;
    let mut gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let bad = format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }}, extra: {{ address: '127.0.0.1:{port}' }} }}
routes: {{ other: {{ respond: {{ status: 204 }} }} }}"
    );
    let error = gw.reload(&bad, &[&backend]).await.unwrap_err();
    assert!(error.to_string().contains("extra"), "{error}");
    let restart = "workers: 3\nroutes: { other: { respond: { status: 204 } } }";
    assert!(gw.reload(restart, &[&backend]).await.is_err(), "this needs a restart");
    assert_eq!(gw.get("/").await.status, 200, "the old routes answer");
    assert!(!gw.has("extra"));
    assert_eq!(gw.metric("attache_config_reloads_total", &[("result", "failed")]).await, 2.0);
    assert_eq!(gw.metric("attache_config_last_reload_successful", &[]).await, 0.0);
    gw.reload("routes: { all: { endpoints: ['{0}'], timeout: 5s } }", &[&backend]).await.unwrap();
    assert_eq!(gw.metric("attache_config_last_reload_successful", &[]).await, 1.0);
}

#[tokio::test]
async fn reloading_under_load_fails_nothing() {
    let backend = Backend::replying(200).await;
    let mut gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let address = gw.address();
    let stop = CancellationToken::new();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let stop = stop.clone();
        asking.spawn(async move {
            let mut client = Client::h1(address).await;
            let mut count = 0;
            while !stop.is_cancelled() {
                assert_eq!(client.reply(post("/", "x")).await.status, 200);
                count += 1;
            }
            count
        });
    }
    for turn in 0..20 {
        let template = format!("routes: {{ all: {{ endpoints: ['{{0}}'], timeout: {}s }} }}", turn + 5);
        gw.reload(&template, &[&backend]).await.unwrap();
    }
    stop.cancel();
    let mut total = 0;
    while let Some(count) = asking.join_next().await {
        total += count.unwrap();
    }
    assert_eq!(backend.hits(), total, "each was answered once");
}

#[tokio::test]
async fn a_gateway_that_cannot_bind_does_not_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "listeners: {{ http: {{ address: '{}' }} }}\nroutes: {{ all: {{ respond: {{ status: 204 }} }} }}\nmetrics: {{ address: off }}",
        taken.local_addr().unwrap()
    );
    let loaded = attache::config::parse(&text, "x.yaml", &attache::config::Environment::process()).unwrap();
    let error = attache::gateway::Gateway::start(loaded.config).await.unwrap_err();
    assert!(error.to_string().contains("listener `http` cannot bind"), "{error}");
}
