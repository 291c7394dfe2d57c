//! What HTTP/1.1 and HTTP/2 say differently, in all four combinations of versions; docs/http-versions.md is the table of it.

use std::fmt;

use http::Method;

use crate::support::{
    Backend, Client, Gw, Reply, Seen, Speak, channel, full, request, with_field, within,
};

/// The versions towards the client and towards the agent.
#[derive(Clone, Copy)]
struct Pair {
    client: u8,
    agent: u8,
}

const PAIRS: [Pair; 4] = [
    Pair {
        client: 1,
        agent: 1,
    },
    Pair {
        client: 1,
        agent: 2,
    },
    Pair {
        client: 2,
        agent: 1,
    },
    Pair {
        client: 2,
        agent: 2,
    },
];

impl fmt::Display for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "HTTP/{} to HTTP/{}", self.client, self.agent)
    }
}

impl Pair {
    /// An agent that answers 200 and nothing else.
    async fn agent(self) -> Backend {
        let speak = Speak {
            http2: self.agent == 2,
            ..Speak::default()
        };
        Backend::replying_as(speak, 200).await.body("")
    }

    fn template(self, route: &str) -> String {
        let protocol = if self.agent == 2 { "h2c" } else { "http/1.1" };
        format!(
            "routes: {{ all: {{ cluster: one, {route} }} }}
clusters: {{ one: {{ endpoints: ['{{0}}'], protocol: {protocol} }} }}"
        )
    }

    async fn gateway(self, agent: &Backend) -> Gw {
        Gw::with(&self.template("maxBodyBytes: 4KiB"), &[agent]).await
    }

    async fn client(self, gw: &Gw) -> Client {
        match self.client {
            2 => gw.h2().await,
            _ => gw.h1().await,
        }
    }
}

/// HTTP methods whose bodies libraries have opinions about.
const METHODS: [&str; 8] = [
    "GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH", "QUERY",
];

/// Its body arrives piece by piece, and nobody says how long it will be.
async fn unannounced(client: &mut Client, method: &str) -> Reply {
    let (sender, body) = channel();
    let asking = request(method, "/", body);
    // A client of HTTP/1.1 has to say so; HTTP/2 has no such field, and its client drops it.
    let asking = with_field("transfer-encoding", "chunked", asking);
    let feeding = tokio::spawn(async move {
        for piece in ["one ", "two ", "three"] {
            sender.send(piece).await;
        }
    });
    let reply = client.reply(asking).await;
    feeding.await.unwrap();
    reply
}

#[tokio::test]
async fn rfc9110_8_6_a_body_of_unknown_length_arrives_whatever_the_method() {
    for pair in PAIRS {
        let agent = pair.agent().await;
        let gw = pair.gateway(&agent).await;
        let mut client = pair.client(&gw).await;
        for (turn, method) in METHODS.into_iter().enumerate() {
            let reply = unannounced(&mut client, method).await;
            assert_eq!(reply.status, 200, "{pair}, {method}: {reply:?}");
            let seen = agent.requests().remove(turn);
            assert_eq!(seen.method, Method::from_bytes(method.as_bytes()).unwrap());
            assert_eq!(seen.body, "one two three", "{pair}, {method}");
            assert_eq!(length(&seen), unknown(pair), "{pair}, {method}");
        }
    }
}

/// The two fields that frame a body.
fn length(seen: &Seen) -> (&str, &str) {
    (
        seen.header("content-length"),
        seen.header("transfer-encoding"),
    )
}

/// What they say of a body whose length is not known.
fn unknown(pair: Pair) -> (&'static str, &'static str) {
    let chunked = if pair.agent == 1 { "chunked" } else { "" };
    ("", chunked)
}

#[tokio::test]
async fn rfc9110_15_5_14_too_long_a_body_of_unknown_length_is_refused_whatever_the_method() {
    for pair in PAIRS {
        let agent = pair.agent().await;
        let gw = pair.gateway(&agent).await;
        for method in METHODS {
            let (sender, body) = channel();
            let asking = with_field("transfer-encoding", "chunked", request(method, "/", body));
            let feeding = tokio::spawn(async move {
                while sender.send("x".repeat(1024)).await && !sender.is_closed() {}
            });
            let reply = pair.client(&gw).await.reply(asking).await;
            assert_eq!(reply.status, 413, "{pair}, {method}: {reply:?}");
            feeding.abort();
        }
        assert_eq!(
            agent
                .requests()
                .iter()
                .filter(|seen| seen.body.len() == 4096)
                .count(),
            0
        );
    }
}

#[tokio::test]
async fn rfc9110_8_6_a_body_of_known_length_keeps_it_whatever_the_method() {
    for pair in PAIRS {
        let agent = pair.agent().await;
        let gw = pair.gateway(&agent).await;
        let mut client = pair.client(&gw).await;
        for (turn, method) in METHODS.into_iter().enumerate() {
            let asking = with_field("content-length", "5", request(method, "/", full("12345")));
            let reply = client.reply(asking).await;
            assert_eq!(reply.status, 200, "{pair}, {method}: {reply:?}");
            let seen = agent.requests().remove(turn);
            assert_eq!(seen.body, "12345", "{pair}, {method}");
            assert_eq!(length(&seen), ("5", ""), "{pair}, {method}");
        }
    }
}

/// An agent of HTTP/1.1 may refuse POST that says nothing of a length with 411; HTTP/2 says it by ending the stream.
#[tokio::test]
async fn rfc9110_8_6_no_body_is_said_where_the_method_gives_it_a_meaning() {
    for pair in PAIRS {
        let agent = pair.agent().await;
        let gw = pair.gateway(&agent).await;
        for (turn, method) in METHODS.into_iter().enumerate() {
            let status = match pair.client {
                1 => {
                    let mut client = gw.raw().await;
                    client
                        .write(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n"))
                        .await;
                    client.read_head().await[9..12].parse().unwrap()
                }
                _ => bare(&gw, method).await,
            };
            assert_eq!(status, 200, "{pair}, {method}");
            let seen = agent.requests().remove(turn);
            assert_eq!(seen.body, "", "{pair}, {method}");
            let meant = matches!(method, "POST" | "PUT" | "PATCH");
            let told = if meant && pair.agent == 1 { "0" } else { "" };
            if pair.agent == 1 {
                assert_eq!(length(&seen), (told, ""), "{pair}, {method}");
            }
        }
    }
}

/// The status of a request over HTTP/2 whose head ends its stream and says nothing of a length.
async fn bare(gw: &Gw, method: &str) -> u16 {
    let stream = tokio::net::TcpStream::connect(gw.address()).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(connection);
    let asking = http::Request::builder()
        .method(method)
        .uri("http://a/")
        .body(())
        .unwrap();
    let (answer, _) = sender.send_request(asking, true).unwrap();
    let answer = within("an answer", answer).await.unwrap();
    driving.abort();
    answer.status().as_u16()
}
