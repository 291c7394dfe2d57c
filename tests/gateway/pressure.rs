//! Large bodies arrive unchanged, and whoever does not read slows the other side down instead of filling memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};

use crate::support::{Backend, BodySender, Gw, Raw, RawBackend, Speak, channel, chunk, full, get, request};

const TO_ONE: &str = "routes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }";

/// 64 MiB of a pattern whose period divides no buffer size.
const LARGE: usize = 64 << 20;
const PERIOD: usize = 65_537;

fn pattern() -> Bytes {
    let mut state = 1_u32;
    let once: Vec<u8> = (0..PERIOD)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    [once.as_slice(), once.as_slice()].concat().into()
}

/// Feeds the pattern piece by piece.
async fn feed(sender: BodySender, size: usize) {
    let pattern = pattern();
    let mut sent = 0;
    while sent < size {
        let piece = (size - sent).min(48 * 1024);
        let at = sent % PERIOD;
        if !sender.send(pattern.slice(at..at + piece)).await {
            return;
        }
        sent += piece;
    }
}

/// Reads a body that must follow the pattern; how much there was.
async fn check(mut body: hyper::body::Incoming) -> usize {
    let pattern = pattern();
    let mut seen = 0;
    while let Some(data) = chunk(&mut body).await {
        for piece in data.expect("the body goes on").chunks(PERIOD) {
            let at = seen % PERIOD;
            assert_eq!(piece, &pattern[at..at + piece.len()], "bytes from {seen} on");
            seen += piece.len();
        }
    }
    seen
}

async fn counting() -> Backend {
    Backend::handling(|request| async move { Response::new(full(check(request.into_body()).await.to_string())) }).await
}

#[tokio::test]
async fn a_large_upload_passes_unchanged() {
    let backend = counting().await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let (sender, body) = channel();
    tokio::spawn(feed(sender, LARGE));
    let answer = gw.h1().await.send_patiently(request("POST", "/", body)).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), LARGE.to_string());
    assert_eq!(gw.record().await["bytes_received"], LARGE);
}

#[tokio::test]
async fn a_large_upload_passes_unchanged_over_h2() {
    let backend = counting().await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let (sender, body) = channel();
    tokio::spawn(feed(sender, LARGE / 4));
    let answer = gw.h2().await.send_patiently(request("POST", "/", body)).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), (LARGE / 4).to_string());
}

async fn pouring(size: usize) -> Backend {
    Backend::handling(move |_| async move {
        let (sender, body) = channel();
        tokio::spawn(feed(sender, size));
        Response::new(body)
    })
    .await
}

#[tokio::test]
async fn a_large_download_passes_unchanged() {
    let backend = pouring(LARGE).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let answer = gw.h1().await.send(get("/")).await.unwrap();
    assert_eq!(check(answer.into_body()).await, LARGE);
    assert_eq!(gw.record().await["bytes_sent"], LARGE);
}

#[tokio::test]
async fn a_large_download_passes_unchanged_over_h2() {
    let backend = pouring(LARGE / 4).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let answer = gw.h2().await.send(get("/")).await.unwrap();
    assert_eq!(check(answer.into_body()).await, LARGE / 4);
}

/// What the sockets on the way may hold, by this kernel's limits, and one MiB for the gateway.
fn allowance() -> u64 {
    let largest = |name: &str| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        text.split_whitespace().last().unwrap().parse().unwrap()
    };
    2 * (largest("tcp_rmem") + largest("tcp_wmem")) + (1 << 20)
}

/// The value once it has stopped growing.
async fn settled(count: &AtomicU64) -> u64 {
    let mut last = (count.load(Ordering::SeqCst), Instant::now());
    while last.1.elapsed() < Duration::from_millis(400) {
        sleep(Duration::from_millis(10)).await;
        let now = count.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    last.0
}

/// Pours without end and counts.
async fn pour(sender: BodySender, count: Arc<AtomicU64>) {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    while sender.send_patiently(piece.clone()).await {
        count.fetch_add(piece.len() as u64, Ordering::SeqCst);
    }
}

/// An endpoint that pours without end, and how much it has.
async fn endless() -> (Backend, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let backend = Backend::handling(move |_| {
        let (sender, body) = channel();
        tokio::spawn(pour(sender, Arc::clone(&counted)));
        async { Response::new(body) }
    });
    (backend.await, count)
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_endpoint() {
    let (backend, count) = endless().await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = Raw::connect_narrow(gw.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.read_head().await;
    let sent = settled(&count).await;
    assert!(sent <= allowance(), "{sent} bytes went on their way to nobody");
    let before = count.load(Ordering::SeqCst);
    client.read_exact(16 << 20).await;
    assert!(count.load(Ordering::SeqCst) > before, "it goes on when the client reads again");
}

#[tokio::test]
async fn an_h2_client_that_does_not_read_stops_the_endpoint() {
    let (backend, count) = endless().await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.h2().await;
    let _unread = client.send(get("/")).await.unwrap();
    let sent = settled(&count).await;
    // The client's own window is 2 MiB.
    assert!(sent <= allowance() + (2 << 20), "{sent} bytes went on their way to nobody");
}

#[tokio::test]
async fn an_endpoint_that_does_not_read_stops_the_client() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let count = Arc::new(AtomicU64::new(0));
    let (sender, body) = channel();
    let mut client = gw.h1().await;
    let upload = tokio::spawn(async move { client.send_patiently(request("POST", "/", body)).await });
    let pouring = tokio::spawn(pour(sender, Arc::clone(&count)));
    let sent = settled(&count).await;
    assert!(sent <= allowance(), "{sent} bytes went on their way to nobody");
    upload.abort();
    pouring.abort();
}

#[tokio::test]
async fn a_narrow_endpoint_slows_an_upload_and_loses_nothing() {
    let speak = Speak { narrow: Some(4096), ..Speak::default() };
    let backend = Backend::handling_as(speak, |request| async move {
        Response::new(full(check(request.into_body()).await.to_string()))
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let (sender, body) = channel();
    tokio::spawn(feed(sender, 4 << 20));
    let answer = gw.h1().await.send_patiently(request("POST", "/", body)).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), (4 << 20).to_string());
}
