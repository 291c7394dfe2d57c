//! CORS and the guard against requests for foreign pages, as browsers meet them.

use http::Request;
use serde_json::json;

use crate::support::{Backend, Body, Client, Gw, Reply, get, post, request, with_field};

const APP: &str = "https://app.company.com";
const ROUTES: &str = "
    routes:
      research:
        match: { path: { prefix: /research } }
        endpoints: ['{0}']
        cors:
          allowOrigins: [https://app.company.com, 'https://*.partner.com', { regex: 'https://pr-[0-9]+\\.company\\.dev' }]
          allowMethods: [GET, POST]
          allowHeaders: [content-type, authorization, a2a-version]
          exposeHeaders: [a2a-version]
          allowCredentials: true
          maxAge: 10m
          allowPrivateNetwork: true
      open: { match: { path: { prefix: /open } }, endpoints: ['{0}'], cors: { allowOrigins: '*' } }
      sends: { match: { path: { exact: /sends }, methods: [POST] }, endpoints: ['{0}'], cors: { allowOrigins: '*' } }
      reads: { match: { path: { exact: /sends }, methods: [GET] }, respond: { body: read } }
      rest: { match: { path: { exact: /sends } }, endpoints: ['{0}'], cors: { allowOrigins: https://rest.example } }
      limited:
        match: { path: { prefix: /limited } }
        respond: { body: ok }
        rateLimit: { rate: 1/hour }
        cors: { allowOrigins: https://app.company.com }
      plain: { match: { path: { prefix: /plain } }, endpoints: ['{0}'] }
      down: { match: { path: { prefix: /down } }, endpoints: ['127.0.0.1:1'], cors: { allowOrigins: https://app.company.com } }
    ";

fn preflight(path: &str, origin: &str, method: &str) -> Request<Body> {
    let asked = with_field("origin", origin, request("OPTIONS", path, crate::support::empty()));
    with_field("access-control-request-method", method, asked)
}

fn from(origin: &str, request: Request<Body>) -> Request<Body> {
    with_field("origin", origin, request)
}

fn vary(reply: &Reply) -> String {
    let lines: Vec<_> = reply.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    lines.join(", ").to_ascii_lowercase()
}

async fn both(gw: &Gw) -> [Client; 2] {
    [gw.h1().await, gw.h2().await]
}

#[tokio::test]
async fn a_preflight_is_answered_at_the_edge() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(ROUTES, &[&backend]).await;
    for mut client in both(&gw).await {
        let asked = with_field("access-control-request-headers", "content-type", preflight("/research", APP, "POST"));
        let asked = with_field("access-control-request-private-network", "true", asked);
        let reply = client.reply(asked).await;
        assert_eq!((reply.status, reply.body.len()), (204, 0));
        for (name, expected) in [
            ("access-control-allow-origin", APP),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, POST"),
            ("access-control-allow-headers", "content-type, authorization, a2a-version"),
            ("access-control-max-age", "600"),
            ("access-control-allow-private-network", "true"),
            ("access-control-expose-headers", ""),
        ] {
            assert_eq!(reply.header(name), expected, "{name}");
        }
        assert_eq!(vary(&reply), "origin, access-control-request-method, access-control-request-headers");
        let reply = client.reply(preflight("/open", "https://anybody.example", "POST")).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, "*"));
        assert!(!reply.headers.contains_key("access-control-allow-credentials"));
        assert!(reply.header("access-control-allow-headers").contains("a2a-version"), "what A2A clients send");
    }
    assert_eq!(backend.hits(), 0, "no agent hears of it");
    assert_eq!(gw.metric("attache_cors_preflights_total", &[("route", "research"), ("result", "granted")]).await, 2.0);
    for record in gw.records(4).await {
        assert_eq!(record["status"], json!(204));
        assert!(record["route"] == json!("research") || record["route"] == json!("open"), "{record}");
    }
}

#[tokio::test]
async fn whose_pages_may_ask() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(ROUTES, &[&backend]).await;
    let mut client = gw.h1().await;
    for (origin, status) in [
        (APP, 204),
        ("https://a.partner.com", 204),
        ("https://a.b.partner.com", 204),
        ("https://pr-17.company.dev", 204),
        ("HTTPS://App.Company.Com:443", 204),
        ("https://partner.com", 403),
        ("https://evilpartner.com", 403),
        ("https://pr-17.company.dev.evil.example", 403),
        ("http://app.company.com", 403),
        ("null", 403),
    ] {
        let reply = client.reply(preflight("/research", origin, "POST")).await;
        assert_eq!(reply.status, status, "{origin}");
        let granted = if status == 204 { origin } else { "" };
        assert_eq!(reply.header("access-control-allow-origin"), granted, "{origin}");
        if status == 403 {
            assert_eq!(reply.reason(), "origin_refused");
        }
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn every_answer_says_who_may_read_it() {
    let backend = Backend::handling(|_| async {
        http::Response::builder()
            .header("access-control-allow-origin", "*")
            .header("access-control-allow-methods", "BREW")
            .header("vary", "accept")
            .body(crate::support::full("agent"))
            .unwrap()
    })
    .await;
    let gw = Gw::with(ROUTES, &[&backend]).await;
    for mut client in both(&gw).await {
        let reply = client.reply(from(APP, get("/research"))).await;
        assert_eq!((reply.text(), reply.header("access-control-allow-origin")), ("agent", APP));
        assert_eq!(reply.header("access-control-allow-credentials"), "true");
        assert_eq!(reply.header("access-control-expose-headers"), "a2a-version");
        assert!(!reply.headers.contains_key("access-control-allow-methods"), "the agent's own are replaced");
        assert_eq!(vary(&reply), "accept, origin");
        // A page that may not read the answer, and nobody's page: the agent is asked, and says nothing.
        for request in [from("https://evil.example", get("/research")), get("/research")] {
            let reply = client.reply(request).await;
            assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, ""));
            assert_eq!(vary(&reply), "accept, origin", "caches must know");
        }
        let reply = client.reply(from("https://evil.example", get("/plain"))).await;
        assert_eq!(reply.header("access-control-allow-origin"), "*", "a route without `cors` leaves it to its agent");
        let refused = client.reply(from(APP, get("/down"))).await;
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (502, APP));
    }
    let mut client = gw.h1().await;
    client.reply(get("/limited")).await;
    let refused = client.reply(from(APP, get("/limited"))).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (429, APP), "refusals too");
    assert!(refused.header("access-control-expose-headers").contains("retry-after"));
    let asked = client.reply(preflight("/limited", APP, "GET")).await;
    assert_eq!(asked.status, 204, "a preflight meets no limit");
}

#[tokio::test]
async fn a_preflight_has_the_route_of_what_it_asks_about() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(ROUTES, &[&backend]).await;
    let mut client = gw.h1().await;
    let reply = client.reply(preflight("/sends", APP, "POST")).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, "*"));
    // GET has a route that shares with nobody; what shares the path must not speak for it.
    let reply = client.reply(preflight("/sends", "https://rest.example", "GET")).await;
    assert_eq!((reply.status, reply.reason()), (403, "origin_refused"));
    let reply = client.reply(preflight("/sends", "https://rest.example", "PUT")).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, "https://rest.example"));
    assert_eq!(backend.hits(), 0);
    // Without `cors`, or without what makes it a preflight, it is a request like any other.
    assert_eq!(client.reply(preflight("/plain", APP, "POST")).await.status, 200);
    assert_eq!(client.reply(request("OPTIONS", "/research", crate::support::empty())).await.status, 200);
    assert_eq!(backend.hits(), 2);
}

const GUARDED: &str = "
    routes:
      guarded:
        match: { path: { prefix: /guarded } }
        endpoints: ['{0}']
        csrf: { allowOrigins: https://partner.example }
        cors: { allowOrigins: https://app.company.com }
      public:
        match: { path: { prefix: /public } }
        publicUrl: https://agents.example/public
        endpoints: ['{0}']
        csrf: {}
      watched: { match: { path: { prefix: /watched } }, endpoints: ['{0}'], csrf: { mode: shadow, cookiesNeedOrigin: true } }
    ";

#[tokio::test]
async fn what_a_browser_sends_for_a_foreign_page_is_refused() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(GUARDED, &[&backend]).await;
    let cross = |origin: &str, path: &str| with_field("sec-fetch-site", "cross-site", from(origin, post(path, "{}")));
    for mut client in both(&gw).await {
        for (request, status, why) in [
            (post("/guarded", "{}"), 200, "an SDK says nothing of pages"),
            (with_field("cookie", "a=b", post("/guarded", "{}")), 200, "nor does one with a cookie jar"),
            (get("/guarded"), 200, "changes nothing"),
            (with_field("sec-fetch-site", "same-origin", post("/guarded", "{}")), 200, "our own page"),
            (from("http://localhost", post("/guarded", "{}")), 200, "our own page in an older browser"),
            (cross("https://partner.example", "/guarded"), 200, "listed"),
            (cross(APP, "/guarded"), 200, "shared with by CORS"),
            (cross("https://evil.example", "/guarded"), 403, "another site"),
            (from("https://localhost", post("/guarded", "{}")), 403, "another scheme"),
            (from("null", post("/guarded", "{}")), 403, "a sandboxed frame"),
            (from("https://agents.example", post("/public", "{}")), 200, "under its public name"),
            (from("http://localhost", post("/public", "{}")), 403, "not under its own"),
        ] {
            let reply = client.reply(request).await;
            assert_eq!(reply.status, status, "{why}");
            if status == 403 {
                assert_eq!(reply.reason(), "csrf", "{why}");
            }
        }
        let reply = client.reply(cross("https://evil.example", "/watched")).await;
        assert_eq!(reply.status, 200, "shadow only counts");
    }
    let reply = gw
        .h2()
        .await
        .reply(with_field(
            "sec-fetch-site",
            "cross-site",
            with_field("content-type", "application/grpc", post("/guarded", "")),
        ))
        .await;
    assert_eq!((reply.status, reply.header("grpc-status")), (200, "7"), "in the caller's protocol");
    assert_eq!(gw.metric("attache_csrf_total", &[("route", "watched"), ("mode", "shadow")]).await, 2.0);
    assert_eq!(gw.metric("attache_csrf_total", &[("route", "guarded"), ("mode", "enforce")]).await, 7.0);
}

#[tokio::test]
async fn a_refused_request_does_not_reach_the_agent() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(GUARDED, &[&backend]).await;
    let reply = gw.send(with_field("sec-fetch-site", "cross-site", post("/guarded", "{}"))).await;
    assert_eq!(reply.status, 403);
    assert!(reply.text().contains("\"csrf\""), "{}", reply.text());
    assert_eq!(backend.hits(), 0);
    let record = gw.record().await;
    assert_eq!((&record["reason"], &record["route"]), (&json!("csrf"), &json!("guarded")));
}
