//! Many clients that come and go in every way at once: afterwards nothing is left of them.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::{Backend, Body, Client, Gw, Speak, Sse, channel, eventually, full, get, post, request, within};

/// An agent that streams, thinks or answers, by the path.
async fn agent(http2: bool) -> Backend {
    let speak = Speak { http2, ..Speak::default() };
    Backend::handling_as(speak, |request: Request<Incoming>| async move {
        match request.uri().path() {
            "/stream" => {
                let (sender, body) = channel();
                tokio::spawn(async move {
                    while sender.send_patiently("data: x\n\n").await {
                        sleep(Duration::from_millis(3)).await;
                    }
                });
                Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
            }
            "/think" => {
                sleep(Duration::from_secs(600)).await;
                Response::new(full("thought"))
            }
            _ => {
                let body = request.into_body().collect().await;
                Response::new(full(body.is_ok().to_string()))
            }
        }
    })
    .await
}

/// One client's life. It leaves after a while, whatever it is doing.
async fn live(gateway: std::net::SocketAddr, seed: usize) {
    let mut client = if seed.is_multiple_of(2) { Client::h1(gateway).await } else { Client::h2c(gateway).await };
    let patience = Duration::from_millis((seed * 7 % 60) as u64);
    let request: Request<Body> = match seed % 5 {
        0 | 1 => get("/stream"),
        2 => get("/think"),
        3 => post("/answer", vec![b'x'; seed * 100]),
        _ => {
            // Less than the endpoint takes without reading: of a client that cannot get rid of its bytes the kernel
            // keeps the end of the connection back with them.
            let (sender, body) = channel();
            tokio::spawn(async move {
                for _ in 0..30 {
                    sender.send_patiently(vec![b'x'; 1000]).await;
                }
                sender.closed().await;
            });
            request("POST", "/think", body)
        }
    };
    timeout(patience, async {
        if let Ok(answer) = client.send_patiently(request).await {
            let mut body = answer.into_body();
            while let Some(Ok(_)) = crate::support::chunk(&mut body).await {}
        }
    })
    .await
    .ok();
    client.leave();
}

#[tokio::test]
async fn nothing_is_left_of_clients_that_have_gone() {
    for http2 in [false, true] {
        let agents = [agent(http2).await, agent(http2).await];
        let template = format!(
            "routes: {{ all: {{ cluster: two, maxBodyBytes: off }} }}
clusters: {{ two: {{ endpoints: ['{{0}}', '{{1}}'], protocol: {} }} }}",
            if http2 { "h2c" } else { "http/1.1" }
        );
        let gw = Gw::with(&template, &[&agents[0], &agents[1]]).await;
        let mut clients = JoinSet::new();
        for seed in 0..200 {
            clients.spawn(live(gw.address(), seed));
        }
        while let Some(end) = within("a client ends", clients.join_next()).await {
            end.unwrap();
        }
        for gauge in ["attache_requests_in_flight", "attache_streams_open", "attache_downstream_connections"] {
            eventually(gauge, || async { gw.metric(gauge, &[]).await == 0.0 }).await;
        }
        let metrics = gw.metrics().await;
        let failures = metrics.lines().filter(|line| line.starts_with("attache_errors_total{"));
        let others: Vec<_> = failures.filter(|line| !line.contains("client_gone")).collect();
        assert!(others.is_empty(), "{others:?}");
        let (drained, _) = gw.shutdown().await;
        assert_eq!(drained.cut, 0);
    }
}

#[tokio::test]
async fn endpoints_are_let_go_by_clients_that_have_gone() {
    let agents = [Sse::new().await, Sse::new().await];
    let template = "
        routes: { all: { cluster: two } }
        clusters: { two: { endpoints: ['{0}', '{1}'] } }
    ";
    let gw = Gw::with(template, &[&agents[0], &agents[1]]).await;
    for round in 0..5 {
        let mut held = Vec::new();
        for _ in 0..8 {
            let mut client = if round % 2 == 0 { gw.h1().await } else { gw.h2().await };
            held.push((client.send(get("/")).await.unwrap(), client));
        }
        let mut streams = Vec::new();
        for agent in &agents {
            for _ in 0..4 {
                streams.push(agent.stream().await);
            }
        }
        for (answer, client) in held {
            client.leave();
            drop(answer);
        }
        for stream in streams {
            stream.closed().await;
        }
        eventually("nothing is in flight", || async { gw.metric("attache_requests_in_flight", &[]).await == 0.0 })
            .await;
    }
}
