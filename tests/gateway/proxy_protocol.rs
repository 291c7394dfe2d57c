//! The PROXY protocol in front of cleartext and TLS.

use crate::support::{Backend, Ca, Client, Gw, Raw, Tls, at_host, eventually, get};

const BEHIND: &str = "
    listeners: { http: { address: '127.0.0.1:0', proxyProtocol: { trusted: [127.0.0.0/8] } } }
    routes: { all: { endpoints: ['{0}'] } }
";

/// A version 2 header for TCP over IPv4 from 203.0.113.9:1234.
fn version_2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([203, 0, 113, 9, 10, 0, 0, 1]);
    header.extend(1234_u16.to_be_bytes());
    header.extend(443_u16.to_be_bytes());
    header
}

/// A version 2 header that says the proxy speaks for itself.
fn local() -> Vec<u8> {
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec()
}

#[tokio::test]
async fn the_client_is_who_the_header_says() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(BEHIND, &[&backend]).await;
    for (turn, (header, client)) in [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 1234 443\r\n".to_vec(), "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 1234 443\r\n".to_vec(), "2001:db8::9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (version_2(), "203.0.113.9"),
        (local(), "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        for split in [false, true] {
            let mut raw = gw.raw().await;
            let mut bytes = header.clone();
            bytes.extend(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            if split {
                let (first, second) = bytes.split_at(header.len() / 2);
                raw.write(first).await;
                tokio::task::yield_now().await;
                raw.write(second).await;
            } else {
                raw.write(&bytes).await;
            }
            let answer = raw.rest().await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{turn}: {answer}");
            let seen = backend.requests().pop().unwrap();
            assert_eq!((seen.header("x-forwarded-for"), seen.header("x-real-ip")), (client, client), "{turn}");
        }
    }
    let records = gw.records(10).await;
    let clients = records.iter().filter(|record| record["client_ip"] == "203.0.113.9");
    assert_eq!(clients.count(), 4, "{records:?}");
}

#[tokio::test]
async fn without_the_header_nobody_comes_in() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(BEHIND, &[&backend]).await;
    for bytes in ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "PROXY nonsense\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut raw = gw.raw().await;
        raw.write(bytes).await;
        assert_eq!(raw.rest().await, "", "{bytes:?}");
    }
    assert_eq!(backend.hits(), 0);
    eventually("both are counted", || async { gw.metric("attache_handshake_failures_total", &[]).await == 2.0 }).await;
}

#[tokio::test]
async fn peers_that_are_not_listed_are_not_believed() {
    let backend = Backend::replying(200).await;
    let template = "
        listeners: { http: { address: '127.0.0.1:0', proxyProtocol: { trusted: [192.0.2.0/24] } } }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    assert_eq!(gw.get("/").await.status, 200, "they speak HTTP at once");
    let mut raw = gw.raw().await;
    raw.write("PROXY TCP4 203.0.113.9 10.0.0.1 1234 443\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = raw.rest().await;
    assert!(!answer.contains(" 200 "), "{answer}");
    assert_eq!(backend.hits(), 1);
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let (ca, backend) = (Ca::new(), Backend::replying(200).await);
    let certificate = ca.issue(&["a.example"]);
    let template = "
        listeners:
          https: { address: '127.0.0.1:0', proxyProtocol: { trusted: [127.0.0.0/8] }, tls: { certificates: [{ {1} }] } }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&backend, &certificate]).await;
    for header in [b"PROXY TCP4 203.0.113.9 10.0.0.1 1234 443\r\n".to_vec(), version_2()] {
        let mut raw = Raw::connect(gw.address()).await;
        raw.write(&header).await;
        let mut client: Client = Tls::new(&ca, &["h2"]).over(raw.into_stream(), "a.example").await.unwrap();
        assert_eq!(client.reply(at_host("a.example", get("/"))).await.status, 200);
        assert_eq!(backend.requests().pop().unwrap().header("x-forwarded-for"), "203.0.113.9");
    }
}
