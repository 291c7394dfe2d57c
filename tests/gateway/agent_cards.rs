//! Agent cards through the gateway: URLs that lead to the agent itself lead clients back through the gateway, and all
//! else stays as the agent says it.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::support::{Backend, Body, Gw, Reply, Speak, at_host, channel, full, get, post, request, with_field, within};

const CARD: &str = "/.well-known/agent-card.json";
const OLD: &str = "/.well-known/agent.json";

/// An agent whose card is `card`.
fn serving(backend: Backend, card: &str) -> Backend {
    backend.header("content-type", "application/json").header("etag", "\"theirs\"").body(card.to_owned())
}

/// An agent whose card is made from its own `host:port`.
async fn agent(card: impl FnOnce(&str) -> String) -> Backend {
    let backend = Backend::replying(200).await;
    let card = card(&backend.address().to_string());
    serving(backend, &card)
}

/// A card of both generations, for an agent at `at`.
fn both(at: &str) -> String {
    json!({
        "name": "planner", "version": "1", "x-unknown": [1.50, "\u{e9}"],
        "supportedInterfaces": [
            { "url": format!("http://{at}/rpc"), "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
            { "url": format!("http://{at}/"), "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0", "tenant": "t" },
        ],
        "url": format!("http://{at}/old"), "preferredTransport": "JSONRPC",
        "additionalInterfaces": [{ "url": format!("http://{at}/v1"), "transport": "HTTP+JSON" }],
        "provider": { "url": format!("http://{at}/about") },
        "capabilities": {}, "skills": [],
    })
    .to_string()
}

/// The texts of all URLs that clients call.
fn urls(card: &Value) -> Vec<&str> {
    let of = |list: &str| card[list].as_array().cloned().unwrap_or_default().len();
    let listed = |list: &'static str| (0..of(list)).map(move |at| card[list][at]["url"].as_str().unwrap());
    let mut urls: Vec<_> = listed("supportedInterfaces").collect();
    urls.extend(card["url"].as_str());
    urls.extend(listed("additionalInterfaces"));
    urls
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

async fn counted(gw: &Gw, result: &str) -> f64 {
    gw.metric("attache_agent_cards_total", &[("result", result)]).await
}

fn routes(routes: &str) -> String {
    format!("routes: {{ {routes} }}\n")
}

const FOUR_LINES: &str = "routes: { a: { endpoints: ['{0}'] } }";

#[tokio::test]
async fn the_card_leads_back_through_the_gateway_without_a_word_of_configuration() {
    let agent = agent(both).await;
    let gw = Gw::with(&format!("workers: 1\n{FOUR_LINES}"), &[&agent]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let reply = client.reply(at_host("agents.example:8080", get(CARD))).await;
        assert_eq!(reply.status, 200);
        let own = agent.address();
        let expected = both(&own.to_string())
            .replace(&format!("http://{own}"), "http://agents.example:8080")
            .replace("http://agents.example:8080/about", &format!("http://{own}/about"));
        assert_eq!(reply.text(), expected, "and nothing but the addresses of the agent is another");
        assert_eq!(reply.header("content-length"), expected.len().to_string());
        assert_eq!((reply.header("cache-control"), reply.header("vary")), ("private", "Host"));
        assert_ne!(reply.header("etag"), "\"theirs\"");
    }
    assert!((counted(&gw, "mapped").await - 2.0).abs() < f64::EPSILON);
    assert_eq!(agent.connections(), 1, "the connection is used again");
}

#[tokio::test]
async fn paths_are_those_of_clients() {
    let agent = agent(both).await;
    let template = "
        listeners: { http: { address: '127.0.0.1:0', publicUrl: 'https://agents.example/team' } }
        routes:
          planner: { match: { path: { prefix: /planner } }, rewrite: { prefix: / }, endpoints: ['{0}'] }
          other: { match: { path: { prefix: /other } }, rewrite: { prefix: /in }, cluster: planner }
          here:
            match: { path: { prefix: /here } }
            rewrite: { prefix: / }
            cluster: planner
            a2a: { agentCard: { publicUrl: 'http://here.example:81', cacheTtl: 5m } }
          off: { match: { path: { prefix: /off } }, rewrite: { prefix: / }, cluster: planner, a2a: { agentCard: off } }
          none: { match: { path: { prefix: /none } }, rewrite: { prefix: / }, cluster: planner, a2a: off }
    ";
    let gw = Gw::with(template, &[&agent]).await;
    let own = format!("http://{}", agent.address());
    for (prefix, start) in [
        ("/planner", "https://agents.example/team/planner"),
        ("/here", "http://here.example:81/here"),
        // It leads only below /in of the agent.
        ("/other", own.as_str()),
        ("/off", own.as_str()),
        ("/none", own.as_str()),
    ] {
        let reply = gw.get(&format!("{prefix}{CARD}")).await;
        let expected = ["/rpc", "/", "/old", "/v1"].map(|path| format!("{start}{path}"));
        assert_eq!(urls(&json_of(&reply)), expected, "{prefix}");
        assert_eq!(reply.header("vary"), "", "{prefix}: nothing of it depends on the request");
        let kept = if prefix == "/here" { "max-age=300" } else { "" };
        assert_eq!(reply.header("cache-control"), kept, "{prefix}");
    }
    let labels = |route| [("route", route), ("result", "unknown_path")];
    assert!((gw.metric("attache_agent_cards_total", &labels("other")).await - 1.0).abs() < f64::EPSILON);
    assert!(gw.metric("attache_agent_cards_total", &[("route", "off")]).await.abs() < f64::EPSILON);
    let paths: Vec<_> = agent.requests().iter().map(|seen| seen.uri.path().to_owned()).collect();
    assert_eq!(paths[0], CARD);
}

#[tokio::test]
async fn the_agent_is_asked_for_the_whole_card_as_it_is() {
    let agent = agent(both).await;
    let gw = Gw::with(FOUR_LINES, &[&agent]).await;
    let fields = [
        ("accept-encoding", "gzip, deflate"),
        ("if-none-match", "\"x\""),
        ("if-modified-since", "Wed, 01 Jan 2025 00:00:00 GMT"),
        ("range", "bytes=0-1"),
        ("a2a-version", "1.0"),
    ];
    let asked = fields.into_iter().fold(get(CARD), |request, (name, value)| with_field(name, value, request));
    assert_eq!(gw.send(asked).await.status, 200);
    let seen = agent.request();
    assert_eq!(seen.header("accept-encoding"), "identity");
    for name in ["if-none-match", "if-modified-since", "range"] {
        assert_eq!(seen.header(name), "", "{name}");
    }
    assert_eq!(seen.header("a2a-version"), "1.0");
}

#[tokio::test]
async fn a_client_that_has_the_mapped_card_is_told_so() {
    let agent = agent(both).await;
    let gw = Gw::with(FOUR_LINES, &[&agent]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let whole = client.reply(get(CARD)).await;
        let tag = whole.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{tag}");
        for (known, expected) in [(tag.as_str(), 304), ("\"theirs\"", 200), ("*", 304)] {
            let reply = client.reply(with_field("if-none-match", known, get(CARD))).await;
            assert_eq!(reply.status, expected, "{known}");
            assert_eq!(reply.header("etag"), tag);
            assert_eq!(reply.body.is_empty(), expected == 304);
        }
        // Another host, another card.
        let elsewhere = at_host("b.example", get(CARD));
        assert_eq!(client.reply(with_field("if-none-match", &tag, elsewhere)).await.status, 200);
        let head = client.reply(request("HEAD", CARD, crate::support::empty())).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), whole.body.len().to_string());
        assert_eq!(head.header("etag"), tag);
    }
    assert!(agent.requests().iter().all(|seen| seen.method == "GET"));
}

#[tokio::test]
async fn what_leads_past_the_gateway_is_left_alone_and_counted() {
    let elsewhere = json!({ "url": "https://elsewhere.example/a", "name": "x" }).to_string();
    let agent = agent(|_| elsewhere.clone()).await;
    let gw = Gw::with(FOUR_LINES, &[&agent]).await;
    let reply = gw.get(CARD).await;
    assert_eq!(reply.text(), elsewhere);
    assert_eq!((reply.header("etag"), reply.header("vary")), ("\"theirs\"", ""), "the agent's own card");
    let known = with_field("if-none-match", "\"theirs\"", get(CARD));
    assert_eq!(gw.send(known).await.status, 304);
    assert!((counted(&gw, "unknown_host").await - 2.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_card_that_names_the_public_address_is_passed_on() {
    let public = json!({ "url": "http://agents.example/planner" }).to_string();
    let agent = agent(|_| public.clone()).await;
    let gw = Gw::with(FOUR_LINES, &[&agent]).await;
    let reply = gw.send(at_host("agents.example", get(CARD))).await;
    assert_eq!(
        (reply.text(), reply.header("etag"), reply.header("cache-control")),
        (public.as_str(), "\"theirs\"", "")
    );
    assert!((counted(&gw, "unchanged").await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_signed_card_stays_is_stripped_or_is_refused() {
    let signed = |at: &str| {
        json!({ "url": format!("http://{at}/"), "signatures": [{ "protected": "e30", "signature": "AA" }] }).to_string()
    };
    let agent = agent(signed).await;
    let route = |name: &str, more: &str| {
        format!("{name}: {{ match: {{ path: {{ prefix: /{name} }} }}, rewrite: {{ prefix: / }}, cluster: c {more} }}")
    };
    let with = |policy: &str| format!(", a2a: {{ agentCard: {{ signedCards: {policy} }} }}");
    let three = [route("keep", ""), route("strip", &with("strip")), route("fail", &with("fail"))].join(", ");
    let gw = Gw::with(&format!("clusters: {{ c: {{ endpoints: ['{{0}}'] }} }}\n{}", routes(&three)), &[&agent]).await;
    let reply = gw.get(&format!("/keep{CARD}")).await;
    assert_eq!(reply.text(), signed(&agent.address().to_string()), "to the byte");
    assert_eq!(reply.header("etag"), "\"theirs\"");
    let stripped = json_of(&gw.get(&format!("/strip{CARD}")).await);
    assert_eq!(stripped, json!({ "url": "http://localhost/strip/" }));
    let refused = gw.get(&format!("/fail{CARD}")).await;
    assert_eq!((refused.status, refused.reason()), (502, "signed_card"));
    assert!((counted(&gw, "signed").await - 2.0).abs() < f64::EPSILON);
    assert!((counted(&gw, "mapped").await - 1.0).abs() < f64::EPSILON);
    let record = gw.records(3).await.into_iter().find(|record| record["reason"] == "signed_card").unwrap();
    assert_eq!(record["upstream_status"], 200);
}

/// A card with a gRPC interface at `grpc` beside JSON-RPC at `at`.
fn with_grpc(at: &str, grpc: &str) -> String {
    json!({ "supportedInterfaces": [
        { "url": grpc, "protocolBinding": "GRPC", "protocolVersion": "1.0" },
        { "url": format!("http://{at}/"), "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
    ] })
    .to_string()
}

#[tokio::test]
async fn grpc_is_mapped_where_it_is_served_and_left_out_elsewhere() {
    let grpc = Backend::replying_as(Speak { http2: true, ..Speak::default() }, 200).await;
    let own = agent(|at| with_grpc(at, at)).await;
    let apart = agent(|at| with_grpc(at, &grpc.address().to_string())).await;
    let itself = agent(|at| with_grpc(at, &format!("localhost:{}", grpc.address().port()))).await;
    let rest = "listeners: { http: { address: '127.0.0.1:0', protocols: [http/1.1] } }\n";
    let whole = "a: { endpoints: ['{0}'] }";
    let below = "a: { match: { path: { prefix: /a } }, rewrite: { prefix: / }, endpoints: ['{0}'] }";
    let service = "g: { match: { path: { prefix: /lf.a2a.v1.A2AService } }, cluster: grpc }";
    let cluster = "clusters: { grpc: { endpoints: ['{1}'], protocol: h2c } }\n";
    let http = |path: &str| format!("http://a.example:81{path}");
    for (agent, template, path, expected) in [
        (&own, routes(whole), "", vec!["a.example:81".to_owned(), http("/")]),
        // Without HTTP/2, or without a route to the service, no client gets there.
        (&own, format!("{rest}{}", routes(whole)), "", vec![http("/")]),
        (&own, routes(below), "/a", vec![http("/a/")]),
        // The replica's gRPC is on a port of its own.
        (
            &apart,
            format!("{cluster}{}", routes(&format!("{below}, {service}"))),
            "/a",
            vec!["a.example:81".to_owned(), http("/a/")],
        ),
        (
            &itself,
            format!("{cluster}{}", routes(&format!("{below}, {service}"))),
            "/a",
            vec!["a.example:81".to_owned(), http("/a/")],
        ),
        (&apart, routes(below), "/a", vec![grpc.address().to_string(), http("/a/")]),
    ] {
        let gw = Gw::with(&template, &[agent, &grpc]).await;
        let reply = gw.send(at_host("a.example:81", get(&format!("{path}{CARD}")))).await;
        assert_eq!(urls(&json_of(&reply)), expected, "{template}");
    }
}

#[tokio::test]
async fn an_agent_that_knows_itself_as_localhost_means_its_endpoint() {
    for host in ["localhost", "0.0.0.0", "[::]", "127.0.0.1"] {
        let agent = agent(|at| both(&format!("{host}:{}", at.rsplit_once(':').unwrap().1))).await;
        let gw = Gw::with(FOUR_LINES, &[&agent]).await;
        let reply = gw.send(at_host("[2001:db8::1]:81", get(CARD))).await;
        assert_eq!(urls(&json_of(&reply))[0], "http://[2001:db8::1]:81/rpc", "{host}");
    }
    let agent = agent(|_| both("localhost:1")).await;
    let gw = Gw::with(FOUR_LINES, &[&agent]).await;
    let reply = gw.send(at_host("a.example", get(CARD))).await;
    assert_eq!(urls(&json_of(&reply))[0], "http://localhost:1/rpc", "another port is another server");
}

#[tokio::test]
async fn the_other_name_is_tried_where_the_agent_does_not_know_the_one() {
    let old = Backend::handling(|request| async move {
        let at = request.headers()["host"].to_str().unwrap().to_owned();
        let mut answer = Response::new(full("no such page"));
        if request.uri().path() == OLD {
            *answer.body_mut() = full(json!({ "url": format!("http://{at}/") }).to_string());
            answer.headers_mut().insert("content-type", "application/json".parse().unwrap());
        } else {
            *answer.status_mut() = http::StatusCode::NOT_FOUND;
        }
        answer
    })
    .await;
    let route =
        "a: { match: { path: { prefix: /a } }, rewrite: { prefix: / }, endpoints: ['{0}'], upstreamHost: endpoint }";
    let gw = Gw::with(&routes(route), &[&old]).await;
    for name in [CARD, OLD] {
        let reply = gw.get(&format!("/a{name}?x=1")).await;
        assert_eq!(reply.status, 200, "{name}");
        assert_eq!(json_of(&reply), json!({ "url": "http://localhost/a/" }));
    }
    assert_eq!(old.hits(), 3);
    let nothing = Backend::replying(404).await.body("no such page");
    let gw = Gw::with(FOUR_LINES, &[&nothing]).await;
    let reply = gw.get(CARD).await;
    assert_eq!((reply.status, reply.text()), (404, "no such page"), "the first answer");
    let paths: Vec<_> = nothing.requests().iter().map(|seen| seen.uri.path().to_owned()).collect();
    assert_eq!(paths, [CARD, OLD]);
    assert_eq!(gw.record().await["attempts"], 2);
}

#[tokio::test]
async fn what_is_no_card_passes_as_it_came() {
    let broken = [("application/json", "{\"url\":"), ("application/json", "[]"), ("text/html", "<html>")];
    for (content_type, body) in broken {
        let agent = Backend::replying(200).await.header("content-type", content_type).body(body);
        let gw = Gw::with(FOUR_LINES, &[&agent]).await;
        let reply = gw.get(CARD).await;
        assert_eq!((reply.status, reply.text(), reply.header("content-type")), (200, body, content_type));
        assert!((counted(&gw, "invalid").await - 1.0).abs() < f64::EPSILON, "{body}");
    }
    let gzip = Backend::replying(200)
        .await
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body("\u{1f}not looked into");
    let gw = Gw::with(FOUR_LINES, &[&gzip]).await;
    let reply = gw.get(CARD).await;
    assert_eq!((reply.text(), reply.header("content-encoding")), ("\u{1f}not looked into", "gzip"));
    // Other paths and methods are nobody's cards.
    let agent = agent(both).await;
    let gw = Gw::with(FOUR_LINES, &[&agent]).await;
    for asked in [get("/agent-card.json"), get("/.well-known/agent-card.json/x"), post(CARD, "{}")] {
        let reply = gw.send(with_field("accept-encoding", "gzip", asked)).await;
        assert_eq!(reply.header("etag"), "\"theirs\"");
    }
    assert!(agent.requests().iter().all(|seen| seen.header("accept-encoding") == "gzip"));
    assert!(!gw.metrics().await.contains("attache_agent_cards_total{"));
}

/// A card of more than a megabyte, in one piece or in pieces of unknown number.
async fn large(announced: bool) -> (Backend, String) {
    let card = json!({ "url": "http://127.0.0.1:1/", "x": "y".repeat((1 << 20) + 1) }).to_string();
    let sent = card.clone();
    let backend = Backend::handling(move |_| {
        let card = sent.clone();
        async move {
            let body = if announced {
                full(card)
            } else {
                let (sender, body) = channel();
                tokio::spawn(async move {
                    for piece in card.as_bytes().chunks(100_000) {
                        sender.send(Bytes::copy_from_slice(piece)).await;
                    }
                });
                body
            };
            Response::builder().header("content-type", "application/json").body(body).unwrap()
        }
    })
    .await;
    (backend, card)
}

#[tokio::test]
async fn a_card_that_is_too_large_passes_as_it_came() {
    for announced in [true, false] {
        let (agent, card) = large(announced).await;
        let gw = Gw::with(FOUR_LINES, &[&agent]).await;
        for mut client in [gw.h1().await, gw.h2().await] {
            let reply = client.reply(get(CARD)).await;
            assert_eq!((reply.status, reply.text() == card), (200, true), "{announced}");
            let head = client.reply(request("HEAD", CARD, crate::support::empty())).await;
            assert_eq!((head.status, head.body.len()), (200, 0), "{announced}");
        }
        assert!((counted(&gw, "too_large").await - 4.0).abs() < f64::EPSILON);
    }
}

#[tokio::test]
async fn a_card_in_many_pieces_is_one_card() {
    let agent = Backend::handling(|request: Request<hyper::body::Incoming>| async move {
        let at = request.headers()["host"].to_str().unwrap().to_owned();
        let (sender, body) = channel();
        let card = json!({ "url": format!("http://{at}/a"), "x": "z".repeat(5000) }).to_string();
        tokio::spawn(async move {
            for piece in card.as_bytes().chunks(7) {
                sender.send(Bytes::copy_from_slice(piece)).await;
            }
        });
        Response::builder().header("content-type", "application/json").body(body).unwrap()
    })
    .await;
    let gw = Gw::with("routes: { a: { endpoints: ['{0}'], upstreamHost: endpoint } }", &[&agent]).await;
    let reply = gw.get(CARD).await;
    assert_eq!(json_of(&reply)["url"], "http://localhost/a");
    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
}

#[tokio::test]
async fn a_card_that_breaks_off_or_does_not_end_is_an_error() {
    let breaking = Backend::handling(|_| async {
        let (sender, body) = channel();
        tokio::spawn(async move {
            sender.send("{\"url\":").await;
            sender.abort().await;
        });
        Response::builder().header("content-type", "application/json").body(body).unwrap()
    })
    .await;
    let gw = Gw::with(FOUR_LINES, &[&breaking]).await;
    let reply = gw.get(CARD).await;
    assert_eq!((reply.status, reply.reason()), (502, "upstream_aborted"));
    let silent = Backend::handling(|_| async {
        let (sender, body): (_, Body) = channel();
        tokio::spawn(async move {
            sender.send("{\"url\":").await;
            std::future::pending::<()>().await;
        });
        Response::builder().header("content-type", "application/json").body(body).unwrap()
    })
    .await;
    let gw = Gw::with("routes: { a: { endpoints: ['{0}'], timeout: 200ms } }", &[&silent]).await;
    let reply = within("the route's time", gw.get(CARD)).await;
    assert_eq!((reply.status, reply.reason()), (504, "timeout"));
}

#[tokio::test]
async fn two_routes_to_one_agent_have_a_card_each() {
    let agent = agent(both).await;
    let two = "a: { hosts: [a.example], match: { path: { prefix: /x } }, rewrite: { prefix: / }, cluster: c }, \
               b: { hosts: [b.example], cluster: c }";
    let gw = Gw::with(&format!("clusters: {{ c: {{ endpoints: ['{{0}}'] }} }}\n{}", routes(two)), &[&agent]).await;
    for (host, path, expected) in [
        ("a.example", "/x", "http://a.example/x/rpc"),
        ("b.example", "", "http://b.example/rpc"),
        ("a.example", "/x", "http://a.example/x/rpc"),
    ] {
        let reply = gw.send(at_host(host, get(&format!("{path}{CARD}")))).await;
        assert_eq!(urls(&json_of(&reply))[0], expected);
    }
}

#[tokio::test]
async fn the_card_for_known_callers_is_mapped_and_theirs_alone() {
    let agent = agent(both).await;
    let gw = Gw::with(FOUR_LINES, &[&agent]).await;
    let asked = with_field("authorization", "Bearer x", get("/t/extendedAgentCard"));
    let reply = gw.send(at_host("a.example", asked)).await;
    assert_eq!(urls(&json_of(&reply))[0], "http://a.example/rpc");
    assert_eq!(reply.header("cache-control"), "private");
    let seen = agent.request();
    assert_eq!((seen.uri.path(), seen.header("accept-encoding")), ("/t/extendedAgentCard", "identity"));
    let posted = gw.send(post("/extendedAgentCard", "{}")).await;
    assert_eq!(posted.header("etag"), "\"theirs\"", "nothing that A2A knows");
}

/// What an agent says of itself in a JSON-RPC answer.
fn called(at: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "result": { "url": format!("http://{at}/rpc"), "name": "x" } }).to_string()
}

#[tokio::test]
async fn a_card_in_the_answer_to_a_call_is_mapped_and_no_fault_of_the_agent() {
    let agents = [agent(called).await, agent(called).await];
    let gw = Gw::with("routes: { a: { endpoints: ['{0}', '{1}'] } }", &[&agents[0], &agents[1]]).await;
    for method in ["GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard"] {
        let call = json!({ "jsonrpc": "2.0", "id": 7, "method": method }).to_string();
        let asked = with_field("content-type", "application/json", post("/", call));
        let reply = gw.send(at_host("a.example", asked)).await;
        assert_eq!(json_of(&reply)["result"]["url"], "http://a.example/rpc", "{method}");
        assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    }
    assert!((counted(&gw, "mapped").await - 2.0).abs() < f64::EPSILON);
    let head = gw.send(request("HEAD", CARD, crate::support::empty())).await;
    assert_eq!((gw.get(CARD).await.status, head.status), (200, 200));
    gw.records(4).await;
    let ended = async |outcome| gw.metric("a2a_requests_total", &[("outcome", outcome)]).await;
    assert!((ended("ok").await - 4.0).abs() < f64::EPSILON, "{}", gw.metrics().await);
    assert!(ended("unreadable").await.abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_post_to_the_path_of_a_card_is_nobodys_card() {
    let agent = agent(both).await;
    let gw = Gw::with(FOUR_LINES, &[&agent]).await;
    let posted = gw.send(post("/extendedAgentCard", "{}")).await;
    assert_eq!(posted.header("etag"), "\"theirs\"", "nothing that A2A knows");
}
