//! Agent cards over gRPC: the card for known callers leads back through the gateway in both generations, and what
//! cannot be read passes as it came.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};

use crate::support::{
    Backend, Body, Gw, Reply, Speak, at_host, channel, full, request, with_field, with_trailers, within,
};

const SPEAK: Speak = Speak { http2: true, tls: None, narrow: None, max_streams: None };
const ONE: &str = "routes: { a: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], protocol: h2c } }";
const CURRENT: &str = "/lf.a2a.v1.A2AService/GetExtendedAgentCard";
const OLDER: &str = "/a2a.v1.A2AService/GetAgentCard";

/// A field of text or of a message below 16 KiB.
fn put(number: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let tag = number << 3 | 2;
    let tag = if number < 16 { vec![tag] } else { vec![tag | 0x80, number >> 4] };
    let length = u16::try_from(content.len()).unwrap();
    let [low, high] = [length & 0x7f, length >> 7].map(|part| u8::try_from(part).unwrap());
    [&tag[..], &[low | 0x80, high], content].concat()
}

fn interface(url: &str, binding: &str) -> Vec<u8> {
    [put(1, url), put(2, binding)].concat()
}

fn current(http: &str, grpc: &str) -> Vec<u8> {
    let interfaces = [interface(&format!("{http}/rpc"), "JSONRPC"), interface(grpc, "GRPC")].map(|one| put(3, one));
    [put(1, "planner"), interfaces.concat(), put(2, "x".repeat(900)), vec![0x61, 1, 2, 3, 4, 5, 6, 7, 8]].concat()
}

fn older(http: &str, grpc: &str) -> Vec<u8> {
    let other = put(15, interface(&format!("{http}/v1"), "HTTP+JSON"));
    [put(3, grpc), put(14, "GRPC"), other, put(16, "0.3.0")].concat()
}

/// Number and content of the fields of a message, however their lengths are written, and of those within interfaces.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let number = |message: &mut &[u8]| {
        let end = message.iter().position(|byte| byte & 0x80 == 0).unwrap();
        let (number, rest) = message.split_at(end + 1);
        *message = rest;
        number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    };
    while !message.is_empty() {
        let tag = number(&mut message);
        let length = if tag & 7 == 2 { number(&mut message) } else { 8 };
        let (content, rest) = message.split_at(usize::try_from(length).unwrap());
        message = rest;
        if matches!(tag >> 3, 3 | 15) && content.first() == Some(&0x0a) {
            found.extend(fields(content).into_iter().map(|(at, content)| (tag << 8 | at, content)));
        } else {
            found.push((tag >> 3, content.to_vec()));
        }
    }
    found
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], message].concat()
}

fn outcome(status: &str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())])
}

fn asking(path: &str) -> Request<Body> {
    let call = with_field("te", "trailers", request("POST", path, full(framed(0, b""))));
    with_field("grpc-accept-encoding", "gzip, deflate", with_field("content-type", "application/grpc", call))
}

fn answer(body: Body) -> Response<Body> {
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

async fn ask(gw: &Gw, path: &str) -> Reply {
    gw.h2().await.reply(at_host("agents.example:81", asking(path))).await
}

async fn counted(gw: &Gw, result: &str) -> f64 {
    gw.metric("attache_agent_cards_total", &[("result", result)]).await
}

#[tokio::test]
async fn the_card_leads_back_through_the_gateway_in_both_generations() {
    for pieces in [1, 7, 1 << 16] {
        let agent = Backend::handling_as(SPEAK, move |request| async move {
            let at = request.uri().authority().unwrap().to_string();
            let card = if request.uri().path() == CURRENT { current } else { older };
            let body = framed(0, &card(&format!("http://{at}"), &at));
            let coding = request.headers()["grpc-accept-encoding"].clone();
            let (sender, answered) = channel();
            tokio::spawn(async move {
                for piece in body.chunks(pieces) {
                    sender.send(Bytes::copy_from_slice(piece)).await;
                }
                sender.trailers(outcome("0")).await;
            });
            let mut answered = answer(answered);
            answered.headers_mut().insert("x-asked", coding);
            answered
        })
        .await;
        let template = ONE.replace("cluster: one", "cluster: one, upstreamHost: endpoint");
        let gw = Gw::with(&template, &[&agent]).await;
        for (path, card) in [(CURRENT, current as fn(&str, &str) -> Vec<u8>), (OLDER, older)] {
            let reply = ask(&gw, path).await;
            let expected = framed(0, &card("http://agents.example:81", "agents.example:81"));
            let text = String::from_utf8_lossy(&reply.body);
            assert_eq!(fields(&reply.body[5..]), fields(&expected[5..]), "{path} in pieces of {pieces}: {text}");
            let length = u32::try_from(reply.body.len() - 5).unwrap().to_be_bytes();
            assert_eq!(reply.body[..5], [&[0], &length[..]].concat());
            assert_eq!(reply.header("x-asked"), "identity");
            assert_eq!(reply.trailers.expect("the trailers follow")["grpc-status"], "0");
        }
        assert!((counted(&gw, "mapped").await - 2.0).abs() < f64::EPSILON);
    }
}

#[tokio::test]
async fn what_is_no_card_that_can_be_read_passes_as_it_came() {
    let large = framed(0, &vec![0x78; (1 << 20) + 1]);
    for (body, status, result) in [
        (framed(1, b"\x1f\x8b"), "0", "invalid"),
        (framed(0, b"\x1a\xff"), "0", "invalid"),
        (b"\0\0\0\0\x05cut".to_vec(), "0", "invalid"),
        (large, "0", "too_large"),
        (Vec::new(), "7", ""),
        (framed(0, &put(1, "no URL")), "0", "unchanged"),
    ] {
        let sent = Bytes::from(body);
        let answering = sent.clone();
        let agent = Backend::handling_as(SPEAK, move |_| {
            let body = with_trailers(answering.clone(), outcome(status));
            async move { answer(body) }
        })
        .await;
        let gw = Gw::with(ONE, &[&agent]).await;
        let reply = ask(&gw, CURRENT).await;
        assert!(reply.body == sent, "{result}");
        assert_eq!(reply.trailers.expect("the trailers follow")["grpc-status"], status, "{result}");
        let expected = f64::from(u8::from(!result.is_empty()));
        assert!((gw.metric("attache_agent_cards_total", &[]).await - expected).abs() < f64::EPSILON, "{result}");
        assert!(result.is_empty() || (counted(&gw, result).await - 1.0).abs() < f64::EPSILON, "{result}");
    }
}

#[tokio::test]
async fn a_card_that_does_not_come_or_that_is_not_mapped() {
    let silent = Backend::handling_as(SPEAK, |_| async {
        let (sender, body) = channel();
        tokio::spawn(async move {
            sender.send(&b"\0\0\0\0\x05"[..]).await;
            std::future::pending::<()>().await;
        });
        answer(body)
    })
    .await;
    let template = ONE.replace("cluster: one", "cluster: one, timeout: 200ms, streaming: { maxDuration: 200ms }");
    let gw = Gw::with(&template, &[&silent]).await;
    let reply = within("the time of the call", ask(&gw, CURRENT)).await;
    assert_eq!(reply.header("grpc-status"), "4", "{:?}", reply.headers);
    let agent = Backend::handling_as(SPEAK, |request| async move {
        let at = request.uri().authority().unwrap().to_string();
        answer(with_trailers(framed(0, &current(&format!("http://{at}"), &at)), outcome("0")))
    })
    .await;
    let template = ONE.replace("cluster: one", "cluster: one, upstreamHost: endpoint, a2a: { agentCard: off }");
    let gw = Gw::with(&template, &[&agent]).await;
    let reply = ask(&gw, CURRENT).await;
    let at = agent.address().to_string();
    assert_eq!(reply.body, framed(0, &current(&format!("http://{at}"), &at)));
}
