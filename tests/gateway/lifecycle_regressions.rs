//! What once went wrong while the gateway started, reloaded or ended.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::net::UdpSocket;

use crate::support::{Backend, Ca, Client, Gw, Tls, at_host, get};

/// A name server that says that every name has this address, or that there is no such name. Stops with its task.
async fn name_server(address: Option<[u8; 4]>) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut packet = [0; 512];
        while let Ok((size, client)) = socket.recv_from(&mut packet).await {
            let question_end = 12 + packet[12..size].iter().position(|byte| *byte == 0).unwrap() + 5;
            let is_v4 = packet[question_end - 4..question_end - 2] == [0, 1];
            let mut answer = packet[..2].to_vec();
            let found = address.filter(|_| is_v4);
            answer.extend([0x81, if address.is_some() { 0x80 } else { 0x83 }, 0, 1]);
            answer.extend([0, u8::from(found.is_some()), 0, 0, 0, 0]);
            answer.extend(&packet[12..question_end]);
            if let Some(address) = found {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(address);
            }
            socket.send_to(&answer, client).await.unwrap();
        }
    });
    (at, task)
}

#[tokio::test]
async fn a_reload_takes_other_name_servers() {
    let backend = Backend::replying(200).await;
    let (ignorant, _first) = name_server(None).await;
    let (knowing, _second) = name_server(Some([127, 0, 0, 1])).await;
    let template = |server: SocketAddr| {
        format!(
            "dns: {{ servers: ['{server}'] }}\nroutes: {{ all: {{ endpoints: ['agent.example:{}'] }} }}",
            backend.address().port()
        )
    };
    let mut gw = Gw::with(&template(ignorant), &[]).await;
    assert_eq!(gw.get("/").await.reason(), "no_endpoint");
    gw.reload(&template(knowing), &[]).await.unwrap();
    assert_eq!(gw.get("/").await.status, 200);
}

#[tokio::test]
async fn other_latency_buckets_need_a_restart() {
    let routes = "routes: { all: { respond: { status: 204 } } }";
    let metrics = |rest: &str| format!("metrics: {{ address: '127.0.0.1:0'{rest} }}\n{routes}");
    let mut gw = Gw::with(&metrics(""), &[]).await;
    let error = gw
        .reload(&metrics(", latencyBuckets: [1, 2]"), &[])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("latencyBuckets"), "{error}");
}

#[tokio::test]
async fn rfc9110_15_5_20_what_a_reload_asks_of_clients_is_asked_of_open_connections() {
    let (ca, clients) = (Ca::new(), Ca::new());
    let certificate = ca.issue(&["a.example"]);
    let template = |rest: &str| {
        format!(
            "listeners: {{ https: {{ address: '127.0.0.1:0', protocols: [http/1.1, h2]{rest} }} }}\n\
             routes: {{ all: {{ respond: {{ body: ok }} }} }}"
        )
    };
    let asking = |mode: &str| {
        template(&format!(
            ", tls: {{ certificates: [{{ {{0}} }}], clientAuth: {{ mode: {mode}, caFile: '{{1}}' }} }}"
        ))
    };
    let ask = || at_host("a.example", get("/"));
    let places: &[&dyn crate::support::Place] = &[&certificate, &clients];
    let mut gw = Gw::with(&asking("optional"), places).await;
    for protocol in ["http/1.1", "h2"] {
        gw.reload(&asking("optional"), places).await.unwrap();
        let known = Tls::with_identity(&ca, &[protocol], &clients.issue(&["me"]));
        let mut known = gw.tls(&known, "a.example").await.unwrap();
        let mut unknown = gw
            .tls(&Tls::new(&ca, &[protocol]), "a.example")
            .await
            .unwrap();
        assert_eq!(known.reply(ask()).await.status, 200);
        assert_eq!(unknown.reply(ask()).await.status, 200);
        gw.reload(&asking("require"), places).await.unwrap();
        assert_eq!(known.reply(ask()).await.status, 200, "{protocol}");
        let reply = unknown.reply(ask()).await;
        assert_eq!((reply.status, reply.reason()), (421, "misdirected"));
        unknown.closed().await;
    }
    let mut gw = Gw::with(&template(""), &[]).await;
    for mut clear in [gw.h1().await, gw.h2().await] {
        gw.reload(&template(""), &[]).await.unwrap();
        assert_eq!(clear.reply(ask()).await.status, 200);
        gw.reload(&template(", tls: { certificates: [{ {0} }] }"), places)
            .await
            .unwrap();
        let reply = clear.reply(ask()).await;
        assert_eq!((reply.status, reply.reason()), (421, "misdirected"));
        clear.closed().await;
    }
}
