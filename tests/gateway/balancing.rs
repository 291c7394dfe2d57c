//! How requests and streams are spread, and when what counts as busy stops counting.

use crate::support::{
    Backend, Client, Gw, Speak, Sse, chunk, empty, eventually, get, post, request, with_field, within,
};

fn least_connection(protocol: &str) -> String {
    format!(
        "workers: 2
routes: {{ all: {{ cluster: two }} }}
clusters: {{ two: {{ endpoints: ['{{0}}', '{{1}}'], protocol: {protocol}, loadBalancer: least-connection }} }}"
    )
}

/// Opens a stream; whichever agent got it.
async fn open(gw: &Gw, agents: [&Sse; 2]) -> (usize, hyper::body::Incoming, crate::support::EventStream, Client) {
    let mut client = gw.h1().await;
    let body = client.send(get("/")).await.unwrap().into_body();
    let [first, second] = agents;
    tokio::select! {
        stream = first.stream() => (0, body, stream, client),
        stream = second.stream() => (1, body, stream, client),
    }
}

#[tokio::test]
async fn open_streams_count_as_connections() {
    for protocol in ["http/1.1", "h2c"] {
        let agents =
            if protocol == "h2c" { [Sse::h2c().await, Sse::h2c().await] } else { [Sse::new().await, Sse::new().await] };
        let gw = Gw::with(&least_connection(protocol), &[&agents[0], &agents[1]]).await;
        let mut open_at = [Vec::new(), Vec::new()];
        for turn in 0..10 {
            let (index, body, stream, client) = open(&gw, [&agents[0], &agents[1]]).await;
            open_at[index].push((body, stream, client));
            let (first, second) = (open_at[0].len(), open_at[1].len());
            assert!(first.abs_diff(second) <= 1, "{protocol}: {first} and {second} after {turn}");
        }
        // One agent's streams end in three ways; the next ones are all its own.
        let mut ended = std::mem::take(&mut open_at[1]);
        let (mut body, stream, _client) = ended.pop().unwrap();
        stream.end();
        assert!(chunk(&mut body).await.is_none());
        let (body, stream, client) = ended.pop().unwrap();
        client.leave();
        drop(body);
        stream.closed().await;
        let (mut body, stream, _client) = ended.pop().unwrap();
        stream.abort().await;
        assert!(chunk(&mut body).await.unwrap().is_err());
        gw.records(3).await;
        for _ in 0..3 {
            let (index, body, stream, client) = open(&gw, [&agents[0], &agents[1]]).await;
            assert_eq!(index, 1, "{protocol}: the agent that became free");
            ended.push((body, stream, client));
        }
    }
}

#[tokio::test]
async fn weight_zero_gets_nothing() {
    let (drained, other) = (Backend::replying(200).await, Backend::replying(200).await);
    for policy in ["least-connection", "round-robin", "random", "{ hash: { header: x-user } }"] {
        let template = format!(
            "routes: {{ all: {{ cluster: two }} }}
clusters: {{ two: {{ endpoints: [{{ address: '{{0}}', weight: 0 }}, '{{1}}'], loadBalancer: {policy} }} }}"
        );
        let gw = Gw::with(&template, &[&drained, &other]).await;
        for turn in 0..20 {
            let asking = with_field("x-user", &turn.to_string(), get("/"));
            assert_eq!(gw.send(asking).await.status, 200, "{policy}");
        }
        assert_eq!(drained.hits(), 0, "{policy}");
    }
}

#[tokio::test]
async fn a_cluster_of_weight_zero_has_no_endpoint() {
    let drained = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: [{ address: '{0}', weight: 0 }] } }", &[&drained]).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.reason()), (503, "no_endpoint"));
    assert_eq!(reply.header("retry-after"), "1");
    let record = gw.record().await;
    assert_eq!(record["flags"], "UH");
    assert_eq!(record["upstream_error"], "no usable endpoint: all drain: their weight is 0");
}

#[tokio::test]
async fn round_robin_takes_turns() {
    let backends = [Backend::replying(200).await, Backend::replying(200).await, Backend::replying(200).await];
    let template = "
        workers: 1
        routes: { all: { cluster: three } }
        clusters: { three: { endpoints: ['{0}', '{1}', '{2}'], loadBalancer: round-robin } }
    ";
    let gw = Gw::with(template, &[&backends[0], &backends[1], &backends[2]]).await;
    for round in 1..=5 {
        for _ in 0..3 {
            gw.get("/").await;
        }
        for backend in &backends {
            assert_eq!(backend.hits(), round);
        }
    }
}

#[tokio::test]
async fn round_robin_follows_weights() {
    let backends = [Backend::replying(200).await, Backend::replying(200).await];
    let template = "
        workers: 1
        routes: { all: { cluster: two } }
        clusters: { two: { endpoints: [{ address: '{0}', weight: 3 }, '{1}'], loadBalancer: round-robin } }
    ";
    let gw = Gw::with(template, &[&backends[0], &backends[1]]).await;
    for _ in 0..20 {
        gw.get("/").await;
    }
    assert_eq!((backends[0].hits(), backends[1].hits()), (15, 5));
}

#[tokio::test]
async fn a_hash_keeps_a_client_with_its_endpoint() {
    let backends = [Backend::replying(200).await, Backend::replying(200).await, Backend::replying(200).await];
    let template = "
        routes: { all: { cluster: three } }
        clusters: { three: { endpoints: ['{0}', '{1}', '{2}'], loadBalancer: { hash: { header: x-user } } } }
    ";
    let gw = Gw::with(template, &[&backends[0], &backends[1], &backends[2]]).await;
    let mut homes = std::collections::HashSet::new();
    for user in 0..30 {
        let mut home = None;
        for _ in 0..3 {
            let asking = with_field("x-user", &user.to_string(), get("/"));
            let reply = gw.send(asking).await;
            let found = home.get_or_insert_with(|| reply.text().to_owned()).clone();
            assert_eq!(reply.text(), found, "user {user}");
        }
        homes.insert(home.unwrap());
    }
    assert_eq!(homes.len(), 3, "thirty users fill three endpoints");
}

#[tokio::test]
async fn http_versions_meet_in_every_combination() {
    for http2 in [false, true] {
        let backend = Backend::replying_as(Speak { http2, ..Speak::default() }, 200)
            .await
            .body("hello")
            .header("x-kind", "plain");
        let protocol = if http2 { "h2c" } else { "http/1.1" };
        let template = format!(
            "routes: {{ all: {{ cluster: one }} }}\nclusters: {{ one: {{ endpoints: ['{{0}}'], protocol: {protocol} }} }}"
        );
        let gw = Gw::with(&template, &[&backend]).await;
        for mut client in [gw.h1().await, gw.h2().await] {
            for asking in [get("/a?b=c"), post("/a?b=c", "body"), request("DELETE", "/a?b=c", empty())] {
                let reply = client.reply(asking).await;
                assert_eq!((reply.status, reply.text(), reply.header("x-kind")), (200, "hello", "plain"));
            }
        }
        let seen = backend.requests();
        assert_eq!(seen.len(), 6);
        for request in &seen {
            let host = if http2 { request.uri.authority().unwrap().as_str() } else { request.header("host") };
            assert_eq!(host, "localhost");
            assert_eq!(request.uri.path_and_query().unwrap(), "/a?b=c");
            assert_eq!(request.header("connection"), "");
        }
        assert_eq!(seen.iter().filter(|request| request.body == "body").count(), 2);
    }
}

#[tokio::test]
async fn a_burst_over_h2_is_answered_in_full() {
    let backend = Backend::replying(200).await.body(vec![b'x'; 10_000]);
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let client = gw.h2().await;
    let mut asking = tokio::task::JoinSet::new();
    for turn in 0..90 {
        let mut client = client.fork();
        asking.spawn(async move { client.reply(post(&format!("/{turn}"), vec![b'y'; 1000])).await });
    }
    while let Some(reply) = within("an answer", asking.join_next()).await {
        let reply = reply.unwrap();
        assert_eq!((reply.status, reply.body.len()), (200, 10_000));
    }
    assert_eq!(backend.hits(), 90);
    eventually("nothing is in flight", || async { gw.metric("attache_requests_in_flight", &[]).await == 0.0 }).await;
}
