//! Peers that are gone without a word, and what asks after them. What the kernel does is read from its own table.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::support::{Backend, Gw, H2Peer, HEADERS, PING, RawBackend, get, soon};

/// The timer of an open connection of this process: 2 is the one of keep-alive, and how long it still runs in
/// hundredths of a second.
fn timer(local: Option<SocketAddr>, remote: SocketAddr) -> Option<(u8, u32)> {
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_ours = port(fields[2]) == Some(remote.port())
            && local.is_none_or(|local| port(fields[1]) == Some(local.port()))
            && fields[3] == "01";
        let (kind, when) = fields[5].split_once(':')?;
        is_ours.then(|| (u8::from_str_radix(kind, 16).unwrap(), u32::from_str_radix(when, 16).unwrap()))
    })
}

/// The timer once nothing is under way on the connection.
async fn resting(local: Option<SocketAddr>, remote: SocketAddr) -> (u8, u32) {
    soon("nothing is under way", || async { timer(local, remote).filter(|(kind, _)| matches!(kind, 0 | 2)) }).await
}

#[tokio::test]
async fn the_kernel_asks_after_a_silent_peer_on_either_side() {
    for (listener, cluster, seconds) in [
        ("", "", Some(15)),
        (", tcpKeepalive: { time: 7s }", ", tcpKeepalive: { time: 7s, interval: 1s, probes: 2 }", Some(7)),
        (", tcpKeepalive: off", ", tcpKeepalive: off", None),
    ] {
        let (backend, release) = Backend::held().await;
        let template = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0'{listener} }} }}
routes: {{ all: {{ cluster: one }} }}
clusters: {{ one: {{ endpoints: ['{{0}}']{cluster} }} }}"
        );
        let gw = Gw::with(&template, &[&backend]).await;
        let client = TcpStream::connect(gw.address()).await.unwrap();
        let mut asking = gw.h1().await;
        let asked = tokio::spawn(async move { asking.reply(get("/")).await });
        soon("the agent works", || async { (backend.hits() == 1).then_some(()) }).await;
        for (side, found) in [
            ("client", resting(Some(gw.address()), client.local_addr().unwrap()).await),
            ("agent", resting(None, backend.address()).await),
        ] {
            match seconds {
                Some(seconds) => assert!(
                    found.0 == 2 && found.1 <= seconds * 100,
                    "{side}: {found:?}, after {seconds} s at the latest"
                ),
                None => assert_eq!(found.0, 0, "{side}: nobody asks"),
            }
        }
        release.send(()).unwrap();
        assert_eq!(asked.await.unwrap().status, 200);
    }
}

/// What became of HTTP does not matter to the kernel: an upgraded connection is watched over too.
#[tokio::test]
async fn a_tunnel_is_watched_over_too() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
        connection.closed().await;
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], websocket: true } }", &[&backend]).await;
    let mut client = gw.raw().await;
    client
        .write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 101"));
    let client = client.into_stream();
    let (kind, _) = resting(Some(gw.address()), client.local_addr().unwrap()).await;
    assert_eq!(kind, 2);
}

/// How often PINGs come is told in `pool::h2`, on a clock of its own; here that they are asked for by the
/// configuration.
#[tokio::test]
async fn pings_are_sent_to_an_agent_that_is_to_have_them() {
    let backend = RawBackend::script(|connection| async move {
        let Some(mut peer) = H2Peer::accept(connection).await else {
            return;
        };
        let Some(asked) = peer.until(HEADERS).await else {
            return;
        };
        for _ in 0..3 {
            let Some(ping) = peer.until(PING).await else {
                return;
            };
            peer.pong(&ping).await;
        }
        peer.answer(asked.stream, 8).await;
        peer.leave().await;
    })
    .await;
    let template = "
        routes: { all: { cluster: one } }
        clusters:
          one: { endpoints: ['{0}'], protocol: h2c, http2: { keepalive: { interval: 20ms } } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    assert_eq!(gw.get("/").await.status, 200, "after three PINGs");
}
