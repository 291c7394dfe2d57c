//! Answers that are over before their request is (RFC 9113 section 8.1): the whole answer arrives, at clients that send
//! everything before they read, and from agents that leave once they have answered.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{Request, StatusCode};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{Gw, H2Peer, HEADERS, RawBackend, Reply, channel, eventually, request, within};

const TO_H1: &str = "routes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }";
const TO_H2: &str = "
    routes: { all: { cluster: one, maxBodyBytes: off } }
    clusters: { one: { endpoints: ['{0}'], protocol: h2c } }
";
/// What the gateway discards, and how long.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(2);
const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A client of HTTP/2 that sees what becomes of its streams.
async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let tcp = within("connect", TcpStream::connect(address)).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let (sender, connection) = within("a handshake", h2::client::handshake(tcp)).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    within("room for a stream", sender.ready()).await.unwrap()
}

fn upload(sender: &mut SendRequest<Bytes>) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::post("http://localhost/upload").body(()).unwrap();
    sender.send_request(request, false).unwrap()
}

/// Sends as much as the gateway takes, at most `size` bytes, and says how much that was.
async fn pour(stream: &mut SendStream<Bytes>, size: usize) -> usize {
    let mut sent = 0;
    while sent < size {
        stream.reserve_capacity((size - sent).min(64 * 1024));
        let room = within("room to send", std::future::poll_fn(|cx| stream.poll_capacity(cx))).await;
        let Some(Ok(room)) = room else { break };
        if stream.send_data(Bytes::from(vec![b'x'; room]), false).is_err() {
            break;
        }
        sent += room;
    }
    sent
}

async fn read(response: ResponseFuture) -> (StatusCode, String) {
    let (head, mut body) = within("an answer", response).await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(piece) = within("a piece of the answer", body.data()).await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        text.extend_from_slice(&piece);
    }
    (head.status, String::from_utf8(text).unwrap())
}

/// An agent that answers at once and closes: over HTTP/1.1, or over HTTP/2 by a reset of the stream.
async fn hasty(http2: bool) -> RawBackend {
    RawBackend::script(move |mut connection| async move {
        if !http2 {
            connection.read_head().await;
            connection.write("HTTP/1.1 413 Too Large\r\ncontent-length: 8\r\nconnection: close\r\n\r\ntoo much").await;
            connection.closed().await;
            return;
        }
        let Some(mut peer) = H2Peer::accept(connection).await else { return };
        let Some(asked) = peer.until(HEADERS).await else { return };
        let frames: [(u8, u8, u32, &[u8]); 3] = [
            (HEADERS, END_HEADERS, asked.stream, &[0x48, 3, b'4', b'1', b'3']),
            (DATA, END_STREAM, asked.stream, b"too much"),
            (RST_STREAM, 0, asked.stream, &[0; 4]),
        ];
        peer.send_at_once(&frames).await;
        peer.leave().await;
    })
    .await
}

#[tokio::test]
async fn rfc9113_8_1_a_client_that_sends_everything_first_gets_the_early_answer() {
    let size = 1_000_000;
    for (template, http2) in [(TO_H1, false), (TO_H2, true)] {
        let agent = hasty(http2).await;
        let gw = Gw::with(template, &[&agent]).await;
        let mut sender = connect(gw.address()).await;
        let (response, mut stream) = upload(&mut sender);
        assert_eq!(pour(&mut stream, size).await, size, "all of it is taken; agent of HTTP/2: {http2}");
        stream.send_data(Bytes::new(), true).expect("no reset before the end");
        assert_eq!(read(response).await, (StatusCode::PAYLOAD_TOO_LARGE, "too much".to_owned()));
        let record = gw.record().await;
        assert_eq!((&record["status"], &record["reason"]), (&json!(413), &json!(null)), "{record}");
        assert!(record["bytes_received"].as_u64().unwrap() < size as u64, "what is discarded is not counted: {record}");
    }
    // Our own.
    let gw = Gw::with("routes: { all: { endpoints: ['127.0.0.1:9'], maxBodyBytes: 1B } }", &[]).await;
    let mut sender = connect(gw.address()).await;
    let request = Request::post("http://localhost/").header("content-length", size).body(()).unwrap();
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    assert_eq!(pour(&mut stream, size).await, size);
    let (status, text) = read(response).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text.contains("body_too_large"), "{text}");
}

#[tokio::test]
async fn rfc9112_9_6_a_refusal_before_the_body_says_that_the_connection_ends() {
    let gw = Gw::with("routes: { all: { match: { path: { prefix: /a } }, respond: { body: a } } }", &[]).await;
    let head = "POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n";
    // The body is still to come, or would come if it were asked for.
    for more in ["", "content-type: application/json\r\n", "expect: 100-continue\r\n"] {
        let mut client = gw.raw().await;
        client.write(format!("{head}{more}\r\n")).await;
        let (answer, _) = client.read_message().await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("connection: close"), "{more}{answer}");
    }
    // What is known of a call that has not come yet is its protocol.
    let mut client = gw.raw().await;
    client.write(format!("{head}content-type: application/json\r\na2a-version: 1.0\r\n\r\n")).await;
    let (answer, body) = client.read_message().await;
    assert!(answer.starts_with("HTTP/1.1 404") && body.starts_with(r#"{"jsonrpc":"2.0","id":null,"error":"#), "{body}");
    // A body that came with its head is no reason to end anything.
    let mut client = gw.raw().await;
    for _ in 0..3 {
        client.write(format!("{head}\r\nhello")).await;
        let (answer, _) = client.read_message().await;
        assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn an_upload_nobody_reads_is_discarded_up_to_a_bound() {
    let gw = Gw::with("routes: { all: { respond: { body: hello } } }", &[]).await;
    let mut sender = connect(gw.address()).await;
    let (response, mut stream) = upload(&mut sender);
    let sent = pour(&mut stream, usize::MAX).await;
    // Far more than the window it began with. How far it comes in its time is up to the machine.
    assert!((256 * 1024..LINGER_BYTES + 256 * 1024).contains(&sent), "{sent}");
    let reason = within("a reset", std::future::poll_fn(|cx| stream.poll_reset(cx))).await;
    assert_eq!(reason.unwrap(), Reason::NO_ERROR);
    assert_eq!(read(response).await, (StatusCode::OK, "hello".to_owned()));
    let (again, _stream) = upload(&mut sender);
    assert_eq!(read(again).await.0, StatusCode::OK, "the connection goes on");
}

#[tokio::test]
async fn an_upload_that_stops_is_reset_in_time_and_holds_nothing() {
    let start = Instant::now();
    let gw = Gw::with("routes: { all: { respond: { body: hello } } }", &[]).await;
    let mut sender = connect(gw.address()).await;
    let (response, mut stream) = upload(&mut sender);
    assert_eq!(read(response).await, (StatusCode::OK, "hello".to_owned()));
    let record = gw.record().await;
    assert_eq!(record["reason"], json!(null), "it is written when the answer is over: {record}");
    let reason = within("a reset", std::future::poll_fn(|cx| stream.poll_reset(cx))).await;
    assert_eq!(reason.unwrap(), Reason::NO_ERROR);
    assert!(start.elapsed() >= LINGER_TIME, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_drain_does_not_wait_for_uploads_nobody_reads() {
    let template = "
        shutdown: { drainTimeout: 1s, streamGrace: 1s }
        routes: { all: { respond: { body: hello } } }
    ";
    let gw = Gw::with(template, &[]).await;
    let mut sender = connect(gw.address()).await;
    let (response, mut stream) = upload(&mut sender);
    assert_eq!(read(response).await, (StatusCode::OK, "hello".to_owned()));
    let (drained, _) = gw.shutdown().await;
    assert_eq!(drained.cut, 0, "{drained:?}");
    let reason = within("a reset", std::future::poll_fn(|cx| stream.poll_reset(cx))).await;
    assert_eq!(reason.unwrap(), Reason::NO_ERROR);
}

#[tokio::test]
async fn few_uploads_of_one_connection_are_discarded_at_a_time() {
    let gw = Gw::with("routes: { all: { respond: { body: hello } } }", &[]).await;
    let mut sender = connect(gw.address()).await;
    let mut streams = Vec::new();
    for _ in 0..80 {
        sender = within("room for a stream", sender.ready()).await.unwrap();
        let (response, stream) = upload(&mut sender);
        assert_eq!(read(response).await.0, StatusCode::OK);
        streams.push(stream);
    }
    for stream in &mut streams[64..] {
        let reason = within("a reset", std::future::poll_fn(|cx| stream.poll_reset(cx))).await;
        assert_eq!(reason.unwrap(), Reason::NO_ERROR, "one too many");
    }
    let sent = pour(&mut streams[63], 100_000).await;
    assert_eq!(sent, 100_000, "the others are still discarded");
}

/// How an agent leaves once it has answered.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    Closes,
    ResetsTheStream,
    ResetsTheConnection,
}

/// An agent of HTTP/2 that answers with these frames, all in one write, and leaves in the middle of the upload.
async fn leaving(head: &'static [u8], last: u8, leaves: Leaves) -> RawBackend {
    RawBackend::script(move |connection| async move {
        let Some(mut peer) = H2Peer::accept(connection).await else { return };
        let Some(asked) = peer.until(HEADERS).await else { return };
        peer.until(DATA).await;
        let reset = (RST_STREAM, 0, asked.stream, &[0_u8; 4][..]);
        let mut frames = vec![(HEADERS, END_HEADERS, asked.stream, head), (DATA, last, asked.stream, &b"hello"[..])];
        if let Leaves::ResetsTheStream = leaves {
            frames.push(reset);
        }
        peer.send_at_once(&frames).await;
        match leaves {
            Leaves::Closes => drop(peer),
            Leaves::ResetsTheStream => peer.leave().await,
            Leaves::ResetsTheConnection => peer.reset(),
        }
    })
    .await
}

/// `:status: 200`, and with it `content-length: 5`.
const OK: &[u8] = &[0x88];
const OK_OF_FIVE: &[u8] = &[0x88, 0x0f, 0x0d, 1, b'5'];

#[tokio::test]
async fn an_agent_that_leaves_after_its_answer_has_answered() {
    for leaves in [Leaves::Closes, Leaves::ResetsTheStream, Leaves::ResetsTheConnection] {
        for (head, last) in [(OK, END_STREAM), (OK_OF_FIVE, END_STREAM), (OK_OF_FIVE, 0)] {
            let agent = leaving(head, last, leaves).await;
            let gw = Gw::with(TO_H2, &[&agent]).await;
            for mut client in [gw.h1().await, gw.h2().await] {
                let (sender, body) = channel();
                assert!(sender.send("some").await);
                let reply = client.reply(request("POST", "/", body)).await;
                assert_eq!((reply.status, reply.text()), (200, "hello"), "{leaves:?} {head:?} {last}");
            }
            for record in gw.records(2).await {
                assert_eq!(record["reason"], json!(null), "{leaves:?} {head:?} {last}: {record}");
            }
        }
    }
}

#[tokio::test]
async fn an_agent_that_leaves_before_the_end_of_its_answer_has_broken_off() {
    for leaves in [Leaves::Closes, Leaves::ResetsTheStream, Leaves::ResetsTheConnection] {
        let agent = leaving(OK, 0, leaves).await;
        let gw = Gw::with(TO_H2, &[&agent]).await;
        for mut client in [gw.h1().await, gw.h2().await] {
            let (sender, body) = channel();
            assert!(sender.send("some").await);
            let answered = client.send(request("POST", "/", body)).await;
            let whole = match answered {
                Ok(response) => Reply::read(response).await.is_ok(),
                Err(_) => false,
            };
            assert!(!whole, "{leaves:?}: no polite end");
        }
        eventually("both are recorded", || async { gw.records(2).await.len() == 2 }).await;
        for record in gw.records(2).await {
            assert_eq!(record["reason"], "upstream_aborted", "{leaves:?}: {record}");
        }
    }
}
