//! What once went wrong while the gateway started, reloaded or ended.

use std::net::SocketAddr;
use std::sync::Arc;

use attache::config::{self, Environment};
use attache::gateway::Gateway;
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use crate::support::{Backend, Ca, Client, Gw, Place, RawBackend, Sse, Tls, at_host, eventually, get, within};

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
    assert_eq!(gw.record().await["upstream_error"], "no usable endpoint: no name has an address");
    gw.reload(&template(knowing), &[]).await.unwrap();
    assert_eq!(gw.get("/").await.status, 200);
}

#[tokio::test]
async fn other_latency_buckets_need_a_restart() {
    let routes = "routes: { all: { respond: { status: 204 } } }";
    let metrics = |rest: &str| format!("metrics: {{ address: '127.0.0.1:0'{rest} }}\n{routes}");
    let mut gw = Gw::with(&metrics(""), &[]).await;
    let error = gw.reload(&metrics(", latencyBuckets: [1, 2]"), &[]).await.unwrap_err();
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
        template(&format!(", tls: {{ certificates: [{{ {{0}} }}], clientAuth: {{ mode: {mode}, caFile: '{{1}}' }} }}"))
    };
    let ask = || at_host("a.example", get("/"));
    let places: &[&dyn Place] = &[&certificate, &clients];
    let mut gw = Gw::with(&asking("optional"), places).await;
    for protocol in ["http/1.1", "h2"] {
        gw.reload(&asking("optional"), places).await.unwrap();
        let known = Tls::with_identity(&ca, &[protocol], &clients.issue(&["me"]));
        let mut known = gw.tls(&known, "a.example").await.unwrap();
        let mut unknown = gw.tls(&Tls::new(&ca, &[protocol]), "a.example").await.unwrap();
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
        gw.reload(&template(", tls: { certificates: [{ {0} }] }"), places).await.unwrap();
        let reply = clear.reply(ask()).await;
        assert_eq!((reply.status, reply.reason()), (421, "misdirected"));
        clear.closed().await;
    }
}

#[tokio::test]
async fn a_tunnel_ends_with_the_grace_of_streams() {
    let tunnel = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
        connection.closed().await;
    })
    .await;
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let slow = RawBackend::script(move |mut connection| {
        let released = Arc::clone(&released);
        async move {
            connection.read_head().await;
            released.notified().await;
            connection.write("HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let template = "
        shutdown: { drainTimeout: 15s, streamGrace: 300ms }
        routes:
          tunnel: { endpoints: ['{0}'], websocket: true }
          slow: { endpoints: ['{1}'], match: { path: { prefix: /slow } } }
    ";
    let gw = Gw::with(template, &[&tunnel, &slow]).await;
    let mut upgraded = gw.raw().await;
    upgraded.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    upgraded.read_head().await;
    let mut client = gw.h1().await;
    let asking = tokio::spawn(async move { client.reply(get("/slow")).await.status });
    eventually("the endpoint works", || async { slow.connections() == 1 }).await;
    let ending = tokio::spawn(gw.shutdown());
    upgraded.closed().await;
    release.notify_one();
    assert_eq!(within("the request", asking).await.unwrap(), 204);
    let (drained, ended) = ending.await.unwrap();
    assert_eq!(drained.cut, 1);
    let records = ended.records();
    let reason = |path: &str| {
        let record = records.iter().find(|record| record["path"] == path);
        record.unwrap()["reason"].clone()
    };
    assert_eq!(reason("/"), "draining");
    assert_eq!(reason("/slow"), json!(null));
}

#[tokio::test]
async fn a_client_that_leaves_after_the_first_cut_left_by_itself() {
    let (sse, held) = (Sse::new().await, RawBackend::silent().await);
    let template = "
        shutdown: { drainTimeout: 300ms, streamGrace: 15s }
        routes:
          stream: { endpoints: ['{0}'] }
          slow: { endpoints: ['{1}'], match: { path: { prefix: /slow } } }
    ";
    let gw = Gw::with(template, &[&sse, &held]).await;
    let mut streaming = gw.h1().await;
    let (answer, stream) = tokio::join!(streaming.send(get("/")), sse.stream());
    let answer = answer.unwrap();
    let mut slow = gw.h1().await;
    let asking = tokio::spawn(async move { slow.send(get("/slow")).await.is_err() });
    eventually("the endpoint works", || async { held.connections() == 1 }).await;
    let ending = tokio::spawn(gw.shutdown());
    assert!(within("the request is cut", asking).await.unwrap());
    drop(answer);
    streaming.leave();
    stream.closed().await;
    let (drained, ended) = ending.await.unwrap();
    assert_eq!(drained.cut, 1);
    for record in ended.records() {
        let reason = if record["path"] == "/" { "client_gone" } else { "draining" };
        assert_eq!(record["reason"], json!(reason), "{record}");
    }
}

#[tokio::test]
async fn a_request_on_a_connection_of_a_listener_that_is_gone_is_answered() {
    let backend = Backend::replying(200).await;
    let template = |name: &str, route: &str| {
        format!(
            "listeners: {{ {name}: {{ address: '127.0.0.1:0' }} }}\n\
             routes: {{ {route}: {{ endpoints: ['{{0}}'] }} }}"
        )
    };
    let mut gw = Gw::with(&template("old", "before"), &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(client.read_message().await.0.starts_with("HTTP/1.1 200"));
    client.write("GET / HTTP/1.1\r\nho").await;
    gw.reload(&template("new", "after"), &[&backend]).await.unwrap();
    gw.get("/").await;
    client.write("st: a\r\n\r\n").await;
    let text = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text:?}");
    let records = gw.records(3).await;
    let by_the_old = records.iter().filter(|record| record["route"] == "before");
    assert_eq!(by_the_old.count(), 2, "{records:?}");
}

#[tokio::test]
async fn two_gateways_do_not_share_a_port() {
    let routes = "routes: { all: { respond: { status: 204 } } }\nmetrics: { address: off }";
    let mut gw = Gw::with(routes, &[]).await;
    let port = gw.address().port();
    for address in ["127.0.0.1", "0.0.0.0"] {
        let text = format!("listeners: {{ http: {{ address: '{address}:{port}' }} }}\n{routes}");
        let loaded = config::parse(&text, "x.yaml", &Environment::process()).unwrap();
        let error = Gateway::start(loaded.config).await.unwrap_err();
        assert!(error.to_string().contains("cannot bind"), "{error}");
    }
    let renamed = format!("listeners: {{ other: {{ address: '127.0.0.1:{port}' }} }}\n{routes}");
    gw.reload(&renamed, &[]).await.expect("it is our own");
    assert_eq!(gw.get("/").await.status, 204);
}

#[tokio::test]
async fn open_connections_are_counted_while_they_are_open() {
    let gw = Gw::with("routes: { all: { respond: { status: 204 } } }", &[]).await;
    let open = || async {
        let labels = [("listener", "http")];
        gw.metric("attache_downstream_connections", &labels).await
    };
    let mut clients = [gw.h1().await, gw.h2().await];
    for client in &mut clients {
        assert_eq!(client.reply(get("/")).await.status, 204);
    }
    eventually("two are open", || async { open().await == 2.0 }).await;
    clients.into_iter().for_each(Client::leave);
    eventually("none is open", || async { open().await == 0.0 }).await;
    let accepted = gw.metric("attache_connections_total", &[("listener", "http")]);
    assert_eq!(accepted.await, 2.0);
}

/// Inodes of the sockets that listen on a port, as Linux tells them.
fn listening(port: u16) -> std::collections::BTreeSet<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let here = format!(":{port:04X}");
    let inodes = table.lines().filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let listens = columns.get(1)?.ends_with(&here) && *columns.get(3)? == "0A";
        listens.then(|| columns.get(9)?.parse().ok()).flatten()
    });
    inodes.collect()
}

#[tokio::test]
async fn a_listener_that_is_renamed_keeps_its_sockets() {
    let routes = "routes: { all: { respond: { status: 204 } } }\nmetrics: { address: off }";
    let mut gw = Gw::with(routes, &[]).await;
    let address = gw.address();
    let before = listening(address.port());
    assert_eq!(before.len(), 2, "one for each worker");
    for turn in 0..20 {
        let text = format!("listeners: {{ l{turn}: {{ address: '{address}' }} }}\n{routes}");
        gw.reload(&text, &[]).await.expect("it is our own");
        assert_eq!(listening(address.port()), before, "in turn {turn}");
        assert_eq!(gw.get("/").await.status, 204);
    }
    // And it lets go of them.
    let away = format!("listeners: {{ away: {{ address: '127.0.0.1:0' }} }}\n{routes}");
    gw.reload(&away, &[]).await.unwrap();
    let gone = || async { listening(address.port()).is_empty() };
    eventually("nobody listens there any more", gone).await;
    let port = gw.address().port();
    gw.shutdown().await;
    assert!(listening(port).is_empty(), "nor after the end");
}
