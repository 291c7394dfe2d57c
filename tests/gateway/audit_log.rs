//! The audit log: one line for each decision that refused or blocked somebody, or changed something.

use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{Backend, Body, Client, DEFAULTS, Gw, Live, TextFile, get, post, request, with_field};

const TEMPLATE: &str = "
auditLog: { output: '{log}.audit', exclude: configuration }
authProviders: { keys: { apiKey: { keysFile: '{1}' } } }
clientIp: { trustedProxies: 127.0.0.1 }
blockList: { networks: 203.0.113.0/24 }
authFailures: { slowAfter: 1, delay: 1h, maxDelay: 1h, blockAfter: 2, blockFor: 1h }
routes:
  keyed: { match: { path: { prefix: /keyed } }, endpoints: ['{0}'], auth: keys }
  inner: { match: { path: { prefix: /inner } }, endpoints: ['{0}'], ipAccess: { deny: 192.0.2.0/24 } }
  watched: { match: { path: { prefix: /watched } }, endpoints: ['{0}'], ipAccess: { allow: 10.0.0.0/8, mode: shadow } }
  pages:
    match: { path: { prefix: /pages } }
    endpoints: ['{0}']
    cors: { allowOrigins: https://app.example }
    csrf: {}
  limited: { match: { path: { prefix: /limited } }, respond: {}, rateLimit: { rate: 1/hour } }
  agents: { match: { path: { prefix: /a2a } }, endpoints: ['{0}'], a2a: { methods: { deny: SendMessage } } }
  open: { match: { path: { prefix: /open } }, endpoints: ['{0}'] }
";

const SEND: &str = r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hello"}]}}}"#;

fn of(client: &str, request: Request<Body>) -> Request<Body> {
    with_field("x-forwarded-for", client, with_field("x-request-id", "r-1", request))
}

fn keyed(key: &str, path: &str) -> Request<Body> {
    with_field("x-api-key", key, of("192.0.2.9", get(path)))
}

/// What each event is about, and by which rule.
fn facts(event: &Value) -> [&str; 5] {
    ["event", "decision", "reason", "rule", "route"].map(|field| event[field].as_str().unwrap_or("-"))
}

#[tokio::test]
async fn every_refusal_by_a_rule_is_one_event() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TEMPLATE, &[&backend, &TextFile::keys(&[("secret-a", "ann")])]).await;
    let mut client = gw.h1().await;
    let page = |request| with_field("origin", "https://evil.example", of("192.0.2.1", request));
    let preflight = with_field(
        "access-control-request-method",
        "GET",
        page(request("OPTIONS", "/pages?token=secret-q", crate::support::empty())),
    );
    for (request, status, expected) in [
        (of("203.0.113.5", get("/open")), 403, ["address", "refused", "blocked", "blockList.networks", "-"]),
        (
            of("192.0.2.1", get("/inner?token=secret-q")),
            403,
            ["address", "refused", "address_refused", "route.ipAccess.deny", "inner"],
        ),
        (
            of("192.0.2.1", get("/watched")),
            200,
            ["address", "shadow", "address_refused", "route.ipAccess.allow", "watched"],
        ),
        (preflight, 403, ["browser", "refused", "origin_refused", "cors.allowOrigins", "pages"]),
        (page(post("/pages", "{}")), 403, ["browser", "refused", "csrf", "csrf", "pages"]),
        (of("192.0.2.1", get("/keyed")), 401, ["authentication", "refused", "credentials_missing", "-", "keyed"]),
        (keyed("secret-b", "/keyed"), 401, ["authentication", "refused", "credentials_invalid", "-", "keyed"]),
        (
            of("192.0.2.1", with_field("content-type", "application/json", post("/a2a", SEND))),
            403,
            ["call", "refused", "method_denied", "-", "agents"],
        ),
    ] {
        let before = gw.text_of_audit().lines().count();
        assert_eq!(client.reply(request).await.status, status, "{expected:?}");
        let events = gw.audited(before + 1).await;
        assert_eq!(facts(events.last().unwrap()), expected);
    }
    // What nobody decided is no event.
    for (path, status) in [("/open", 200), ("/limited", 200), ("/nothing", 404), ("/open/%00", 400)] {
        assert_eq!(client.reply(of("192.0.2.1", get(path))).await.status, status, "{path}");
    }
    client = gw.h1().await;
    assert_eq!(client.reply(of("192.0.2.1", get("/limited"))).await.status, 429);
    let events = gw.audited(9).await;
    assert_eq!(facts(&events[8]), ["limit", "refused", "rate_limited", "rateLimit", "limited"]);
    let inner = &events[1];
    assert_eq!(
        ["request_id", "client_ip", "listener", "method", "path"].map(|field| inner[field].as_str().unwrap()),
        ["r-1", "192.0.2.1", "http", "GET", "/inner?token=*"]
    );
    assert_eq!((&inner["status"], &events[2]["status"]), (&json!(403), &Value::Null), "a shadow goes on");
    let text = gw.text_of_audit();
    assert!(!text.contains("secret"), "no key and no query: {text}");
}

#[tokio::test]
async fn a_client_that_is_blocked_is_one_event_and_so_is_each_refusal() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(
        &TEMPLATE.replace("slowAfter: 1", "slowAfter: 2"),
        &[&backend, &TextFile::keys(&[("secret-a", "ann")])],
    )
    .await;
    for status in [401, 401, 429] {
        assert_eq!(gw.send(keyed("secret-b", "/keyed")).await.status, status);
    }
    let mut events = gw.audited(4).await;
    // The order of workers is not that of requests.
    events.sort_by_key(|event| event["timestamp"].as_str().unwrap().to_owned());
    let blocked: Vec<_> = events.iter().filter(|event| event["decision"] == "blocked").collect();
    let rule = "authFailures.blockAfter";
    assert_eq!(blocked.len(), 1);
    assert_eq!(facts(blocked[0]), ["authentication", "blocked", "auth_blocked", rule, "keyed"]);
    assert_eq!(blocked[0]["client_ip"], "192.0.2.9");
    let refused = events.iter().filter(|event| event["reason"] == "auth_blocked" && event["decision"] == "refused");
    assert_eq!(refused.map(facts).collect::<Vec<_>>(), [["authentication", "refused", "auth_blocked", rule, "-"]]);
}

#[tokio::test]
async fn who_is_known_is_named() {
    let backend = Backend::replying(200).await;
    let template = TEMPLATE.replace("auth: keys }", "auth: keys, rateLimit: { rate: 1/hour } }");
    let gw = Gw::with(&template, &[&backend, &TextFile::keys(&[("secret-a", "ann")])]).await;
    for status in [200, 429] {
        assert_eq!(gw.send(keyed("secret-a", "/keyed")).await.status, status);
    }
    let event = gw.audited(1).await.remove(0);
    assert_eq!((&event["principal"], &event["auth"]), (&json!("ann"), &json!("keys")), "{event}");
}

#[tokio::test]
async fn kinds_can_be_left_out() {
    let backend = Backend::replying(200).await;
    let template = TEMPLATE.replace("exclude: configuration }", "exclude: [address, configuration] }");
    let gw = Gw::with(&template, &[&backend, &TextFile::keys(&[("secret-a", "ann")])]).await;
    assert_eq!(gw.send(of("203.0.113.5", get("/open"))).await.status, 403);
    assert_eq!(gw.send(keyed("secret-b", "/keyed")).await.status, 401);
    assert_eq!(gw.audited(1).await[0]["event"], "authentication");
}

const RULES: &str = "
auditLog: { output: '{log}.audit', exclude: configuration }
routes:
  ruled:
    match: { path: { prefix: /ruled } }
    endpoints: ['{0}']
    authorization: { rules: [{ name: readers, methods: GET }, { name: closed, action: deny, paths: { prefix: /ruled/closed } }] }
  tried:
    match: { path: { prefix: /tried } }
    endpoints: ['{0}']
    authorization: { mode: shadow, rules: [{ name: readers, methods: GET }] }
  screened: { match: { path: { prefix: /screened } }, endpoints: ['{0}'], screening: { mode: enforce } }
  watched: { match: { path: { prefix: /watched } }, endpoints: ['{0}'], screening: { mode: shadow } }
";

#[tokio::test]
async fn rules_and_patterns_of_a_route_are_named() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(RULES, &[&backend]).await;
    let mut client = gw.h1().await;
    for (request, status, expected) in [
        (get("/ruled/closed"), 403, ["authorization", "refused", "forbidden", "closed", "ruled"]),
        (post("/ruled", "{}"), 403, ["authorization", "refused", "forbidden", "-", "ruled"]),
        (post("/tried", "{}"), 200, ["authorization", "shadow", "forbidden", "-", "tried"]),
        (get("/screened/.git/config"), 403, ["screening", "refused", "screened", "hidden-files", "screened"]),
        (get("/watched/.git/config"), 200, ["screening", "shadow", "screened", "hidden-files", "watched"]),
    ] {
        let before = gw.text_of_audit().lines().count();
        assert_eq!(client.reply(request).await.status, status, "{expected:?}");
        let events = gw.audited(before + 1).await;
        assert_eq!(facts(events.last().unwrap()), expected);
        client = gw.h1().await;
    }
    assert_eq!(client.reply(get("/ruled")).await.status, 200);
    assert_eq!(gw.audited(5).await.len(), 5, "what is allowed is no event");
}

const LIVE: &str = "
auditLog: { output: audit.log }
reload: { watch: false }
listeners: { http: { address: '127.0.0.1:0' } }
routes: { all: { respond: { body: one } } }
";

#[tokio::test]
async fn what_operators_and_reloads_change_is_told() {
    let admin = "admin: { address: '127.0.0.1:0', writes: all }";
    let text = format!("{}{LIVE}", DEFAULTS.replace("admin: { address: '127.0.0.1:0' }", admin));
    let gw = Live::prepared(|directory| std::fs::write(directory.join("gateway.yaml"), &text).unwrap()).await;
    assert_eq!(gw.ask(Method::POST, "/blocks?network=192.0.2.0/24&reason=scans&by=ann").await.0, 200);
    assert_eq!(gw.ask(Method::DELETE, "/blocks?network=192.0.2.0/24").await.0, 200);
    assert_eq!(gw.ask(Method::DELETE, "/blocks?network=192.0.2.0/24").await.0, 404, "changes nothing");
    gw.write("gateway.yaml", &text.replace("body: one", "body: two"));
    assert_eq!(gw.ask_reload().await.0, 200);
    gw.write("gateway.yaml", &text.replace("body: one", "bdoy: two"));
    assert_eq!(gw.ask_reload().await.0, 422);
    let attache::config::model::AdminAddress::Tcp(place) = &gw.admin else { panic!("it listens on a port") };
    let foreign = crate::support::at_host("evil.example", get("/status?token=secret"));
    assert_eq!(Client::h1(*place).await.reply(foreign).await.status, 403);
    let directory = gw.stop_keeping_files().await;
    let text = std::fs::read_to_string(directory.path().join("audit.log")).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = events
        .iter()
        .map(|event| ["event", "decision", "reason", "by"].map(|field| event[field].as_str().unwrap_or("-")))
        .collect();
    assert_eq!(
        told,
        [
            ["configuration", "changed", "start", "start"],
            ["operator", "changed", "block", "ann (over the network)"],
            ["operator", "changed", "unblock", "over the network"],
            ["configuration", "changed", "reload", "api"],
            ["configuration", "refused", "reload", "api"],
            ["operator", "refused", "admin_refused", "over the network"],
        ]
    );
    assert_eq!((&events[1]["network"], &events[1]["detail"]), (&json!("192.0.2.0/24"), &json!("192.0.2.0/24 scans")));
    let detail = |at: usize| events[at]["detail"].as_str().unwrap();
    assert!(detail(3).contains("routes.all") && detail(4).contains("bdoy"), "{text}");
    assert!(detail(5).contains("/status") && !text.contains("secret"), "{text}");
}
