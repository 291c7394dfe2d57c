//! Header fields on their way through: what is taken out, what is added, what a route changes.

use crate::support::{Backend, Gw, Seen, get};

async fn forwarded(gw: &Gw, backend: &Backend, fields: &[(&str, &str)]) -> Seen {
    let mut client = gw.raw().await;
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    client.write(format!("GET / HTTP/1.1\r\nhost: a.example:81\r\n{lines}\r\n")).await;
    let (head, _) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    backend.requests().pop().unwrap()
}

const TO_ONE: &str = "routes: { all: { endpoints: ['{0}'] } }";
const BEHIND_A_PROXY: &str = "clientIp: { trustedProxies: [127.0.0.0/8] }\nroutes: { all: { endpoints: ['{0}'] } }";

#[tokio::test]
async fn rfc9110_7_6_1_connection_fields_end_here() {
    let backend = Backend::replying(200)
        .await
        .header("connection", "x-private, keep-alive")
        .header("x-private", "1")
        .header("keep-alive", "timeout=5");
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let seen = forwarded(
        &gw,
        &backend,
        &[
            ("connection", "x-hop, keep-alive, authorization"),
            ("x-hop", "1"),
            ("keep-alive", "300"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers, gzip"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
            ("authorization", "Bearer token"),
            ("x-kept", "yes"),
        ],
    )
    .await;
    assert_eq!(seen.header("connection"), "te", "ours, for the next one");
    for name in ["x-hop", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade", "http2-settings"] {
        assert_eq!(seen.header(name), "", "{name}");
    }
    assert_eq!(seen.header("te"), "trailers");
    assert_eq!(
        (seen.header("authorization"), seen.header("x-kept")),
        ("Bearer token", "yes"),
        "nobody can have them dropped"
    );
    let reply = gw.get("/").await;
    for name in ["connection", "x-private", "keep-alive"] {
        assert_eq!(reply.header(name), "", "{name}");
    }
}

#[tokio::test]
async fn an_unknown_client_is_not_believed() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let seen = forwarded(
        &gw,
        &backend,
        &[
            ("x-forwarded-for", "10.9.9.9"),
            ("x-forwarded-for", "10.8.8.8"),
            ("X_Forwarded_For", "10.7.7.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-port", "1"),
            ("x-real-ip", "10.9.9.9"),
            ("forwarded", "for=10.9.9.9"),
            ("x-request-id", "mine"),
        ],
    )
    .await;
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.header("x_forwarded_for"), "");
    assert_eq!(seen.header("x-forwarded-proto"), "http");
    assert_eq!(seen.header("x-forwarded-host"), "a.example:81");
    assert_eq!(seen.header("x-forwarded-port"), "81", "the port is that of the host");
    assert_eq!(seen.header("x-real-ip"), "127.0.0.1");
    assert_eq!(seen.header("forwarded"), "");
    assert_ne!(seen.header("x-request-id"), "mine");
    assert_eq!(gw.record().await["client_ip"], "127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(BEHIND_A_PROXY, &[&backend]).await;
    let seen = forwarded(
        &gw,
        &backend,
        &[
            ("x-forwarded-for", "203.0.113.9, 198.51.100.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "public.example"),
            ("x-request-id", "from-the-proxy"),
        ],
    )
    .await;
    assert_eq!(seen.all("x-forwarded-for"), ["203.0.113.9, 198.51.100.7, 127.0.0.1"]);
    assert_eq!(seen.header("x-real-ip"), "198.51.100.7");
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-forwarded-host")), ("https", "public.example"));
    assert_eq!(seen.header("x-request-id"), "from-the-proxy");
    let record = gw.record().await;
    assert_eq!((&record["client_ip"], &record["request_id"]), (&"198.51.100.7".into(), &"from-the-proxy".into()));
}

#[tokio::test]
async fn every_request_has_an_id_that_all_three_sides_see() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(&format!("workers: 1\n{TO_ONE}"), &[&backend]).await;
    let replies = [gw.get("/").await, gw.get("/").await];
    let ids: Vec<_> = replies.iter().map(|reply| reply.header("x-request-id")).collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(uuid::Uuid::parse_str(ids[0]).unwrap().get_version_num(), 7);
    for (seen, id) in backend.requests().iter().zip(&ids) {
        assert_eq!(seen.header("x-request-id"), *id);
    }
    for (record, id) in gw.records(2).await.iter().zip(&ids) {
        assert_eq!(record["request_id"], *id);
    }
}

#[tokio::test]
async fn traces_go_on() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let seen = forwarded(&gw, &backend, &[("traceparent", &parent), ("tracestate", "vendor=1")]).await;
    let sent = seen.header("traceparent");
    assert!(sent.starts_with(&format!("00-{trace}-")) && sent.ends_with("-01"), "{sent}");
    assert_eq!(seen.header("tracestate"), "vendor=1");
    assert_eq!(gw.record().await["trace_id"], trace);
    let fresh = forwarded(&gw, &backend, &[("traceparent", "nonsense"), ("tracestate", "vendor=1")]).await;
    let sent = fresh.header("traceparent");
    assert_eq!(sent.len(), 55, "{sent}");
    assert!(!sent.contains("nonsense") && !sent.contains(trace));
    assert_eq!(fresh.header("tracestate"), "", "a state without its parent is dropped");
}

#[tokio::test]
async fn rfc9110_7_6_3_via_says_who_passed_it_on() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let seen = forwarded(&gw, &backend, &[("via", "1.0 other")]).await;
    assert_eq!(seen.all("via"), ["1.0 other", "1.1 attache"]);
    gw.h2().await.reply(get("/")).await;
    assert_eq!(backend.requests().pop().unwrap().header("via"), "2 attache");
}

#[tokio::test]
async fn routes_change_fields_both_ways() {
    let backend =
        Backend::replying(200).await.header("server", "secret/1.2").header("x-old", "1").header("x-list", "a");
    let template = "
        routes:
          all:
            endpoints: ['{0}']
            requestHeaders: { remove: [x-internal-token], set: { x-gateway: edge-1 }, add: { x-list: b } }
            responseHeaders: { remove: [server], set: { x-old: '2' }, add: { x-list: b } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    let seen = forwarded(&gw, &backend, &[("x-internal-token", "t"), ("x-gateway", "forged"), ("x-list", "a")]).await;
    assert_eq!(
        (seen.header("x-internal-token"), seen.all("x-gateway"), seen.all("x-list")),
        ("", vec!["edge-1"], vec!["a", "b"])
    );
    let reply = gw.get("/").await;
    assert_eq!((reply.header("server"), reply.header("x-old")), ("", "2"));
    assert_eq!(reply.headers.get_all("x-list").iter().count(), 2);
}

#[tokio::test]
async fn the_host_upstream_is_the_clients_unless_told() {
    let backend = Backend::replying(200).await;
    for (setting, expected) in
        [("preserve", "a.example:81"), ("endpoint", &backend.address().to_string()), ("inner.example", "inner.example")]
    {
        let template = format!("routes: {{ all: {{ endpoints: ['{{0}}'], upstreamHost: '{setting}' }} }}");
        let gw = Gw::with(&template, &[&backend]).await;
        assert_eq!(forwarded(&gw, &backend, &[]).await.header("host"), expected, "{setting}");
    }
}

#[tokio::test]
async fn cookies_stay_apart_and_in_order() {
    let backend = Backend::replying(200).await.header("set-cookie", "a=1").header("set-cookie", "b=2");
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let reply = gw.get("/").await;
    let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[tokio::test]
async fn rfc9113_8_2_3_cookie_crumbs_are_put_together_for_http1() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut asking = get("/");
    asking.headers_mut().append("cookie", "a=1".parse().unwrap());
    asking.headers_mut().append("cookie", "b=2".parse().unwrap());
    gw.h2().await.reply(asking).await;
    assert_eq!(backend.request().all("cookie"), ["a=1; b=2"]);
}

#[tokio::test]
async fn the_secure_preset_is_there() {
    let backend = Backend::replying(200).await;
    let gw =
        Gw::with("routes: { all: { endpoints: ['{0}'], responseHeaders: { preset: secure } } }", &[&backend]).await;
    let reply = gw.get("/").await;
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("x-frame-options"), "DENY");
}
