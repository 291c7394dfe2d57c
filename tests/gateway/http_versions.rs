//! What HTTP/1.1 and HTTP/2 say differently, in all four combinations of versions; docs/http-versions.md is the table
//! of it.

use std::fmt;

use http::Method;

use http::{HeaderMap, Response, Version};

use crate::support::{
    Backend, Body, Client, Gw, RawBackend, Reply, Seen, Speak, channel, empty, full, get, post, request, websocket,
    with_field, with_trailers, within,
};

/// The versions towards the client and towards the agent.
#[derive(Clone, Copy)]
struct Pair {
    client: u8,
    agent: u8,
}

const PAIRS: [Pair; 4] = [
    Pair { client: 1, agent: 1 },
    Pair { client: 1, agent: 2 },
    Pair { client: 2, agent: 1 },
    Pair { client: 2, agent: 2 },
];

impl fmt::Display for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "HTTP/{} to HTTP/{}", self.client, self.agent)
    }
}

impl Pair {
    /// An agent that answers 200 and nothing else.
    async fn agent(self) -> Backend {
        let speak = Speak { http2: self.agent == 2, ..Speak::default() };
        Backend::replying_as(speak, 200).await.body("")
    }

    fn template(self, route: &str) -> String {
        let protocol = if self.agent == 2 { "h2c" } else { "http/1.1" };
        format!(
            "routes: {{ all: {{ cluster: one, {route} }} }}
clusters: {{ one: {{ endpoints: ['{{0}}'], protocol: {protocol} }} }}"
        )
    }

    /// An agent that answers with what `handler` returns.
    async fn answering<F>(self, handler: F) -> Backend
    where
        F: Fn() -> Response<Body> + Send + Sync + 'static,
    {
        let speak = Speak { http2: self.agent == 2, ..Speak::default() };
        Backend::handling_as(speak, move |_| std::future::ready(handler())).await
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
const METHODS: [&str; 8] = ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH", "QUERY"];

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
    (seen.header("content-length"), seen.header("transfer-encoding"))
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
            let feeding =
                tokio::spawn(async move { while sender.send("x".repeat(1024)).await && !sender.is_closed() {} });
            let reply = pair.client(&gw).await.reply(asking).await;
            assert_eq!(reply.status, 413, "{pair}, {method}: {reply:?}");
            feeding.abort();
        }
        assert_eq!(agent.requests().iter().filter(|seen| seen.body.len() == 4096).count(), 0);
    }
}

#[tokio::test]
async fn rfc9110_9_3_2_our_own_answer_to_head_has_no_body() {
    let template = "routes: { all: { match: { path: { exact: /here } }, respond: { body: hello } } }";
    let gw = Gw::with(template, &[]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        for (path, status) in [("/here", 200), ("/there", 404)] {
            let reply = client.reply(request("HEAD", path, empty())).await;
            let whole = gw.get(path).await;
            assert_eq!((reply.status, reply.text()), (status, ""), "{path}");
            assert_eq!(reply.header("content-length"), whole.body.len().to_string(), "{path}: {reply:?}");
        }
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
                    client.write(format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
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
    let asking = http::Request::builder().method(method).uri("http://a/").body(()).unwrap();
    let (answer, _) = sender.send_request(asking, true).unwrap();
    let answer = within("an answer", answer).await.unwrap();
    driving.abort();
    answer.status().as_u16()
}

/// Fields of the connection alone are named in `Connection` over HTTP/1.1 (RFC 9110 section 10.1.4) and are no fields
/// in HTTP/2.
#[tokio::test]
async fn rfc9110_10_1_4_te_says_that_it_is_for_this_connection() {
    for pair in PAIRS {
        let agent = pair.agent().await;
        let gw = pair.gateway(&agent).await;
        for (turn, (te, expected)) in [("trailers", "trailers"), ("", "")].into_iter().enumerate() {
            let mut asking = get("/");
            if !te.is_empty() {
                asking = with_field("te", te, asking);
            }
            assert_eq!(pair.client(&gw).await.reply(asking).await.status, 200);
            let seen = agent.requests().remove(turn);
            assert_eq!(seen.header("te"), expected, "{pair}");
            let named = if pair.agent == 1 && !te.is_empty() { "te" } else { "" };
            assert_eq!(seen.header("connection"), named, "{pair}, {te:?}");
        }
    }
}

#[tokio::test]
async fn rfc9110_7_6_3_via_says_which_version_came() {
    for agent_version in [1, 2] {
        let pair = Pair { client: 1, agent: agent_version };
        let agent = pair.agent().await;
        let gw = pair.gateway(&agent).await;
        let mut client = gw.raw().await;
        client.write("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
        client.rest().await;
        gw.h1().await.reply(get("/")).await;
        gw.h2().await.reply(get("/")).await;
        let said: Vec<_> = agent.requests().iter().map(|seen| seen.header("via").to_owned()).collect();
        assert_eq!(said, ["1.0 attache", "1.1 attache", "2 attache"], "{pair}");
    }
}

#[tokio::test]
async fn rfc9110_7_6_2_options_goes_as_far_as_it_may() {
    for pair in PAIRS {
        let agent = pair.agent().await;
        let gw = pair.gateway(&agent).await;
        let mut client = pair.client(&gw).await;
        for (method, sent, arrives) in [
            ("OPTIONS", "0", None),
            ("OPTIONS", "1", Some("0")),
            ("OPTIONS", "10", Some("9")),
            ("OPTIONS", "99999999999", Some("4294967294")),
            ("OPTIONS", "many", Some("many")),
            ("GET", "0", Some("0")),
        ] {
            let before = agent.requests().len();
            let asking = with_field("max-forwards", sent, request(method, "/", empty()));
            let reply = client.reply(asking).await;
            let after = agent.requests();
            let seen = after.get(before).map(|seen| seen.header("max-forwards"));
            assert_eq!(seen, arrives, "{pair}, {method} {sent}");
            let status = if arrives.is_some() { 200 } else { 204 };
            assert_eq!(reply.status, status, "{pair}, {method} {sent}");
        }
    }
}

#[tokio::test]
async fn rfc9113_8_3_1_the_host_arrives_in_the_agents_way() {
    for pair in PAIRS {
        let agent = pair.agent().await;
        let gw = pair.gateway(&agent).await;
        let asking = with_field("host", "agent.example:8080", get("/a/b?c=d"));
        assert_eq!(pair.client(&gw).await.reply(asking).await.status, 200, "{pair}");
        let seen = agent.request();
        assert_eq!(seen.uri.path_and_query().unwrap(), "/a/b?c=d", "{pair}");
        let (authority, field) = match pair.agent {
            1 => (None, "agent.example:8080"),
            _ => (Some("agent.example:8080"), ""),
        };
        assert_eq!(seen.uri.authority().map(|found| found.as_str()), authority, "{pair}");
        assert_eq!(seen.header("host"), field, "{pair}");
        assert_eq!(seen.header("x-forwarded-host"), "agent.example:8080", "{pair}");
    }
}

#[tokio::test]
async fn rfc9113_8_2_3_crumbs_of_cookies_are_one_line_in_every_combination() {
    for pair in PAIRS {
        let agent = pair.agent().await;
        let gw = pair.gateway(&agent).await;
        let mut asking = get("/");
        for crumb in ["a=1", "b=2"] {
            asking.headers_mut().append("cookie", crumb.parse().unwrap());
        }
        pair.client(&gw).await.reply(asking).await;
        let seen = agent.request();
        if pair.client == 2 {
            assert_eq!(seen.all("cookie"), ["a=1; b=2"], "{pair}");
        } else {
            // Two lines are wrong in HTTP/1.1 already (RFC 6265 section 5.4), and passed on as they are.
            assert_eq!(seen.all("cookie"), ["a=1", "b=2"], "{pair}");
        }
    }
}

/// A head of about `size` bytes in fields of 4 KiB.
fn heavy(size: usize) -> http::Request<Body> {
    let mut asking = get("/");
    for index in 0..size.div_ceil(4096) {
        let name: http::HeaderName = format!("x-{index}").parse().unwrap();
        let value = "v".repeat((size - index * 4096).min(4096) - 64);
        asking.headers_mut().insert(name, value.parse().unwrap());
    }
    asking
}

#[tokio::test]
async fn the_documented_size_of_a_head_holds_in_every_combination() {
    for pair in PAIRS {
        let speak = Speak { http2: pair.agent == 2, ..Speak::default() };
        let agent = Backend::replying_as(speak, 200).await;
        let gw = pair.gateway(&agent).await;
        for (kibibytes, status) in [(40, 200), (60, 200), (63, 200), (66, 431)] {
            let reply = pair.client(&gw).await.reply(heavy(kibibytes * 1024)).await;
            assert_eq!(reply.status, status, "{pair}, {kibibytes} KiB");
        }
    }
}

#[tokio::test]
async fn a_larger_limit_for_heads_holds_over_http2_too() {
    let agent = Backend::replying(200).await;
    let template = "
        listeners: { http: { address: '127.0.0.1:0', limits: { maxHeaderBytes: 128KiB }, protocols: [http/1.1, h2] } }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&agent]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        assert_eq!(client.reply(heavy(100 * 1024)).await.status, 200);
    }
}

fn many_fields(count: usize) -> Response<Body> {
    let mut response = Response::new(full("ok"));
    for index in 0..count {
        let name: http::HeaderName = format!("x-{index}").parse().unwrap();
        response.headers_mut().insert(name, "v".parse().unwrap());
    }
    response
}

#[tokio::test]
async fn answers_with_many_fields_arrive() {
    for pair in PAIRS {
        for count in [90, 120, 250] {
            let agent = pair.answering(move || many_fields(count)).await;
            let gw = pair.gateway(&agent).await;
            let mut asking = pair.client(&gw).await;
            let response = match pair.client {
                // hyper's client takes no more than 100 fields.
                1 => count_fields(&gw).await,
                _ => fields_of(&asking.reply(get("/")).await.headers),
            };
            assert_eq!(response, count, "{pair}");
        }
    }
}

fn fields_of(headers: &HeaderMap) -> usize {
    headers.keys().filter(|name| name.as_str().starts_with("x-") && name.as_str() != "x-request-id").count()
}

async fn count_fields(gw: &Gw) -> usize {
    let mut client = gw.raw().await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (head, body) = client.read_message().await;
    assert_eq!(body, "ok", "{head}");
    head.lines().filter(|line| line.starts_with("x-") && !line.starts_with("x-request-id")).count()
}

#[tokio::test]
async fn rfc9110_10_1_1_a_client_that_waits_for_100_is_not_left_waiting() {
    for pair in PAIRS {
        let agent = pair.agent().await;
        let template = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0', limits: {{ bodyIdleTimeout: 1s }}, protocols: [http/1.1, h2] }} }}\n{}",
            pair.template("maxBodyBytes: 4KiB")
        );
        let gw = Gw::with(&template, &[&agent]).await;
        let (sender, body) = channel();
        let asking = with_field("expect", "100-continue", request("POST", "/", body));
        let mut client = pair.client(&gw).await;
        if pair.client == 1 {
            // hyper's client sends the body as soon as it has it, and takes the 100 for itself.
            drop((sender, client, asking));
            let mut client = gw.raw().await;
            client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n").await;
            assert_eq!(client.read_head().await, "HTTP/1.1 100 Continue\r\n\r\n", "{pair}");
            client.write("12345").await;
            assert!(client.read_head().await.starts_with("HTTP/1.1 200"), "{pair}");
            assert_eq!(agent.request().body, "12345", "{pair}");
            continue;
        }
        let reply = client.reply(asking).await;
        assert_eq!((reply.status, reply.reason()), (417, "unmet_expectation"), "{pair}");
        drop(sender);
        assert_eq!(agent.hits(), 0, "{pair}: no agent heard of it");
        // Who does not wait is served as ever.
        let asking = with_field("expect", "100-continue", post("/", "12345"));
        assert_eq!(client.reply(asking).await.status, 200, "{pair}");
        let seen = agent.request();
        assert_eq!((&seen.body[..], seen.header("expect")), (&b"12345"[..], ""), "{pair}");
    }
}

#[tokio::test]
async fn rfc9110_10_1_1_a_late_body_over_http2_arrives_whole() {
    for pair in PAIRS.into_iter().filter(|pair| pair.client == 2) {
        let agent = pair.agent().await;
        let gw = pair.gateway(&agent).await;
        let (sender, body) = channel();
        let asking = with_field("expect", "100-continue", request("POST", "/", body));
        let mut client = pair.client(&gw).await;
        let feeding = tokio::spawn(async move {
            crate::support::pass(std::time::Duration::from_millis(300)).await;
            for piece in ["one ", "two ", "three"] {
                sender.send(piece).await;
            }
        });
        assert_eq!(client.reply(asking).await.status, 200, "{pair}");
        feeding.await.unwrap();
        assert_eq!(agent.request().body, "one two three", "{pair}");
    }
}

#[tokio::test]
async fn rfc9113_8_6_websocket_is_refused_where_the_agent_knows_no_switch() {
    let agent = Pair { client: 1, agent: 2 }.agent().await;
    let gw = Gw::with(&Pair { client: 1, agent: 2 }.template("websocket: true"), &[&agent]).await;
    let reply = gw.send(websocket("/")).await;
    assert_eq!((reply.status, reply.reason()), (403, "upgrade_refused"));
    assert_eq!(agent.hits(), 0);
    assert_eq!(gw.get("/").await.status, 200, "the route serves everything else");
}

/// Statuses that have no body, with the length that a body would have had.
#[tokio::test]
async fn rfc9110_6_4_1_answers_without_a_body_end_with_their_head() {
    for pair in PAIRS {
        for (status, length) in [(204, None), (304, None), (304, Some("5")), (205, Some("0"))] {
            let agent = pair
                .answering(move || {
                    let mut response = Response::new(empty());
                    *response.status_mut() = status.try_into().unwrap();
                    if let Some(length) = length {
                        response.headers_mut().insert("content-length", length.parse().unwrap());
                    }
                    response
                })
                .await;
            let gw = pair.gateway(&agent).await;
            let mut client = pair.client(&gw).await;
            for _ in 0..2 {
                let reply = client.reply(get("/")).await;
                assert_eq!((reply.status, reply.text()), (status, ""), "{pair}, {length:?}");
                assert_eq!(reply.header("transfer-encoding"), "", "{pair}, {status}");
            }
        }
    }
}

#[tokio::test]
async fn rfc9110_9_3_2_head_tells_what_get_would() {
    for pair in PAIRS {
        for length in [None, Some("5")] {
            let agent = pair
                .answering(move || {
                    let mut response = Response::new(empty());
                    if let Some(length) = length {
                        response.headers_mut().insert("content-length", length.parse().unwrap());
                    }
                    response
                })
                .await;
            let gw = pair.gateway(&agent).await;
            let mut client = pair.client(&gw).await;
            for _ in 0..2 {
                let reply = client.reply(request("HEAD", "/", empty())).await;
                assert_eq!((reply.status, reply.text()), (200, ""), "{pair}, {length:?}");
                assert_eq!(reply.header("content-length"), length.unwrap_or(""), "{pair}");
            }
        }
    }
}

/// A piece that is not announced cannot travel in HTTP/1.1: hyper writes what `Trailer` names.
#[tokio::test]
async fn rfc9110_6_5_trailers_travel_where_they_can() {
    let trailers: HeaderMap = [("x-sum".parse().unwrap(), "7".parse().unwrap())].into_iter().collect();
    for pair in PAIRS {
        for announced in [true, false] {
            let answered = trailers.clone();
            let agent = pair
                .answering(move || {
                    let mut response = Response::new(with_trailers("abc", answered.clone()));
                    if announced {
                        response.headers_mut().insert("trailer", "x-sum".parse().unwrap());
                    }
                    response
                })
                .await;
            let gw = pair.gateway(&agent).await;
            let reply = pair.client(&gw).await.reply(with_field("te", "trailers", get("/"))).await;
            assert_eq!(reply.text(), "abc", "{pair}");
            let came = reply.trailers.is_some();
            assert_eq!(came, announced || (pair.client, pair.agent) == (2, 2), "answer, {pair}, {announced}");
            let agent = pair.agent().await;
            let gw = pair.gateway(&agent).await;
            let mut asking = request("POST", "/", with_trailers("abc", trailers.clone()));
            if announced {
                asking.headers_mut().insert("trailer", "x-sum".parse().unwrap());
            }
            pair.client(&gw).await.reply(asking).await;
            let seen = agent.request();
            assert_eq!(seen.body, "abc", "{pair}");
            assert_eq!(
                seen.trailers.is_some(),
                announced || (pair.client, pair.agent) == (2, 2),
                "request, {pair}, {announced}"
            );
        }
    }
}

/// What an endpoint of HTTP/1.0 or 1.1 says about its own connection stays there.
#[tokio::test]
async fn rfc9110_7_6_1_what_is_said_of_the_agents_connection_ends_here() {
    for (version, framing) in [("1.1", "content-length: 2\r\n"), ("1.0", ""), ("1.0", "content-length: 2\r\n")] {
        let agent = RawBackend::script(move |mut connection| async move {
            connection.read_head().await;
            connection
                .write(format!(
                    "HTTP/{version} 200 OK\r\n{framing}connection: close, x-own\r\nx-own: 1\r\nkeep-alive: timeout=5\r\n\
                     proxy-connection: close\r\nupgrade: h2c\r\n\r\nok"
                ))
                .await;
        })
        .await;
        let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
        for mut client in [gw.h1().await, gw.h2().await] {
            for turn in 0..2 {
                let reply = client.reply(get("/")).await;
                assert_eq!((reply.status, reply.text()), (200, "ok"), "{version} {framing}");
                assert_ne!(reply.version, Version::HTTP_10, "our own version, {turn}");
                for name in ["connection", "x-own", "keep-alive", "proxy-connection", "upgrade"] {
                    assert_eq!(reply.header(name), "", "{version} {framing}: {name}");
                }
            }
        }
    }
}

#[tokio::test]
async fn rfc9112_4_a_reason_phrase_travels_between_connections_that_have_one() {
    let agent = RawBackend::answering("HTTP/1.1 200 Fine By Me\r\ncontent-length: 0\r\n\r\n").await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
    let mut client = gw.raw().await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 200 Fine By Me\r\n"));
    assert_eq!(gw.h2().await.reply(get("/")).await.status, 200);
}
