//! Who a client is: what lets it in, what it is told otherwise, and what agents learn of it.

use attache::admin::journal::ReloadResult;
use attache::config::{self, Environment};
use http::Request;
use serde_json::{Value, json};

use crate::support::{
    Backend, Body, Client, DEFAULTS, Gw, Live, Place, Raw, Reply, TextFile, get, key_lines, post, soon, with_field,
};

/// A gateway with one route that asks for a key in `x-api-key` or as a bearer token.
async fn guarded(more: &str, backend: &Backend) -> Gw {
    let keys = TextFile::keys(&[("secret-a", "ann:admin,ops"), ("secret-b", "bob")]);
    let template = format!(
        "authProviders: {{ keys: {{ apiKey: {{ keysFile: '{{1}}' }} }}, \
         tokens: {{ apiKey: {{ bearer: true, keysFile: '{{1}}' }} }} }}\n\
         routes: {{ all: {{ endpoints: ['{{0}}'], auth: {{ anyOf: [keys, tokens], {more} }} }}, \
         open: {{ match: {{ path: {{ prefix: /open }} }}, endpoints: ['{{0}}'] }} }}"
    );
    Gw::with(&template, &[backend, &keys]).await
}

fn with_key(key: &str, request: Request<Body>) -> Request<Body> {
    with_field("x-api-key", key, request)
}

async fn counted(gw: &Gw, provider: &str, result: &str) -> f64 {
    gw.metric("attache_auth_total", &[("provider", provider), ("result", result)]).await
}

#[tokio::test]
async fn a_key_lets_its_owner_in_and_nobody_else() {
    let backend = Backend::replying(200).await;
    let gw = guarded("", &backend).await;
    let long = "x".repeat(20_000);
    for (field, value, expected) in [
        ("x-api-key", "secret-a", (200, "")),
        ("authorization", "Bearer secret-b", (200, "")),
        ("authorization", "bearer secret-b", (200, "")),
        ("x-api-key", "secret-c", (401, "credentials_invalid")),
        ("x-api-key", "Secret-a", (401, "credentials_invalid")),
        ("x-api-key", &long, (401, "credentials_invalid")),
        ("authorization", "Bearer secret-c", (401, "credentials_invalid")),
        ("authorization", "Bearer", (401, "credentials_invalid")),
        ("authorization", "Basic c2VjcmV0LWE6", (401, "credentials_missing")),
        ("x-api-key", "", (401, "credentials_missing")),
        ("x_api_key", "secret-a", (401, "credentials_missing")),
        ("accept", "*/*", (401, "credentials_missing")),
    ] {
        for mut client in [gw.h1().await, gw.h2().await] {
            let reply = client.reply(with_field(field, value, get("/"))).await;
            assert_eq!(reply.outcome(), expected, "{field}: {value:.20}");
        }
    }
    assert_eq!(backend.hits(), 6);
    assert_eq!((counted(&gw, "keys", "ok").await, counted(&gw, "tokens", "ok").await), (2.0, 4.0));
    assert_eq!((counted(&gw, "keys", "invalid").await, counted(&gw, "tokens", "invalid").await), (6.0, 4.0));
    assert_eq!(counted(&gw, "-", "missing").await, 8.0);
    let records = gw.records(24).await;
    let known: Vec<_> = records.iter().filter(|record| record["status"] == 200).collect();
    assert!(known.iter().any(|record| record["principal"] == "ann" && record["auth"] == "keys"), "{known:?}");
    assert!(known.iter().any(|record| record["principal"] == "bob" && record["auth"] == "tokens"), "{known:?}");
    let refused = records.iter().find(|record| record["status"] == 401).unwrap();
    assert_eq!((&refused["flags"], &refused["route"]), (&json!("UAEX"), &json!("all")));
    assert_eq!((&refused["principal"], &refused["auth"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn credentials_that_come_twice_are_nobodys() {
    let backend = Backend::replying(200).await;
    let gw = guarded("", &backend).await;
    for name in ["x-api-key", "authorization"] {
        let value = if name == "authorization" { "Bearer secret-a" } else { "secret-a" };
        let mut raw = gw.raw().await;
        raw.write(format!("GET / HTTP/1.1\r\nhost: a\r\n{name}: {value}\r\n{name}: {value}\r\n\r\n")).await;
        let head = raw.read_head().await;
        assert!(head.starts_with("HTTP/1.1 401") && head.contains("credentials_invalid"), "{head}");
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn rfc9110_11_6_1_a_refusal_says_what_to_bring_in_the_callers_protocol() {
    let backend = Backend::replying(200).await;
    let gw = guarded("realm: desk", &backend).await;
    let challenges = |reply: &Reply| {
        let values = reply.headers.get_all("www-authenticate");
        values.iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let key = r#"ApiKey realm="desk", in="header", name="x-api-key""#;
    let reply = gw.get("/").await;
    assert_eq!(challenges(&reply), [key, r#"Bearer realm="desk""#]);
    let body: Value = serde_json::from_str(reply.text()).unwrap();
    assert_eq!(body["error"]["status"], "UNAUTHENTICATED");
    let wrong = gw.send(with_field("authorization", "Bearer none", get("/"))).await;
    assert_eq!(challenges(&wrong), [key, r#"Bearer realm="desk", error="invalid_token""#]);
    assert!(!wrong.text().contains("none"), "what was wrong is not told: {}", wrong.text());

    let call = with_field("content-type", "application/grpc", post("/lf.a2a.v1.A2AService/GetTask", ""));
    let reply = gw.h2().await.reply(call).await;
    assert_eq!((reply.status, reply.header("grpc-status"), reply.reason()), (200, "16", "credentials_missing"));
    assert_eq!(challenges(&reply).len(), 2);
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn an_agent_sees_who_it_is_and_not_the_credentials() {
    let backend = Backend::replying(200).await;
    let told = "identityHeaders: { principal: x-auth-principal, provider: x-auth-provider, roles: x-auth-roles }";
    let gw = guarded(told, &backend).await;
    let request = with_field("x_api_key", "leftover", with_key("secret-a", get("/")));
    assert_eq!(gw.send(request).await.status, 200);
    let seen = backend.requests().pop().unwrap();
    let facts = ["x-auth-principal", "x-auth-provider", "x-auth-roles", "x-api-key", "x_api_key"];
    assert_eq!(facts.map(|name| seen.header(name)), ["ann", "keys", "admin,ops", "", ""]);

    let gw = guarded("credentials: pass", &backend).await;
    assert_eq!(gw.send(with_field("authorization", "Bearer secret-b", get("/"))).await.status, 200);
    assert_eq!(backend.requests().pop().unwrap().header("authorization"), "Bearer secret-b");
}

#[tokio::test]
async fn no_client_can_say_who_it_is() {
    let backend = Backend::replying(200).await;
    let told = "optional: true, identityHeaders: { principal: x-auth-principal, roles: x-auth-roles }";
    let gw = guarded(told, &backend).await;
    let spellings = [
        "x-auth-principal", "X-AUTH-PRINCIPAL", "x_auth_principal", "X-Auth_Principal", "x.auth.principal",
        "x-auth-roles", "x_auth_roles",
    ];
    for (path, key, principal) in [("/", Some("secret-b"), "bob"), ("/", None, ""), ("/open/x", None, "")] {
        let forged: String = spellings.iter().map(|name| format!("{name}: root\r\n")).collect();
        let key = key.map(|key| format!("x-api-key: {key}\r\n")).unwrap_or_default();
        // Naming it in `Connection` does not take it out again.
        let connection = "connection: x-auth-principal, x-auth-roles\r\n";
        let mut raw = gw.raw().await;
        let trailer = "2\r\nhi\r\n0\r\nx-auth-principal: root\r\nx_auth_roles: root\r\nx-fine: yes\r\n\r\n";
        raw.write(format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\n{forged}{key}{connection}transfer-encoding: chunked\r\n\r\n{trailer}"
        ))
        .await;
        assert!(raw.read_head().await.starts_with("HTTP/1.1 200"));
        let seen = backend.requests().pop().unwrap();
        assert_eq!(seen.all("x-auth-principal"), if principal.is_empty() { vec![] } else { vec![principal] }, "{path}");
        assert!(!format!("{seen:?}").contains("root"), "{path}: {seen:?}");
    }
}

#[tokio::test]
async fn what_is_excepted_is_for_everybody() {
    let backend = Backend::replying(200).await;
    let gw = guarded("except: [cards, health, { path: { exact: /state }, methods: GET }]", &backend).await;
    for (request, expected) in [
        (get("/.well-known/agent-card.json"), 200),
        (get("/.well-known/agent.json"), 200),
        (get("/health"), 200),
        (get("/x/../health"), 200),
        (get("/%68ealth"), 200),
        (with_key("wrong", get("/health")), 200),
        (post("/health", ""), 401),
        (get("/health/"), 401),
        (get("/health/../tasks"), 401),
        (get("/health%2f..%2ftasks"), 400),
        (get("/tasks"), 401),
        (post("/.well-known/agent-card.json", "{}"), 401),
    ] {
        let shown = format!("{} {}", request.method(), request.uri());
        assert_eq!(gw.send(request).await.status, expected, "{shown}");
    }
    let seen =
        backend.requests().into_iter().find(|seen| seen.uri.path() == "/health" && seen.all("x-api-key").is_empty());
    assert!(seen.is_some(), "credentials are taken out there too");
}

/// Spellings of a path that mean one thing to the gateway must not mean another to the agent: what was excused is what
/// is forwarded.
#[tokio::test]
async fn what_was_excused_is_what_is_forwarded() {
    let backend = Backend::replying(200).await;
    let gw = guarded("except: [cards, health, { path: { prefix: /open-to-all } }]", &backend).await;
    let (mut excused, mut refused) = (0, 0);
    let joints = [
        "/", "//", "/./", "/../", "/%2e%2e/", "/%2E./", "/..;/", "%2f", "%2f..%2f", "%5c..%5c", "/..%5c", ";/", "%00/",
        "?/", "%3f/", "%23/", "/%252e%252e/", "/.%0a./",
    ];
    let parts = ["health", "tasks", "open-to-all", ".well-known/agent-card.json"];
    for joint in joints {
        for (first, second) in parts.iter().flat_map(|first| parts.iter().map(move |second| (first, second))) {
            for path in [format!("/{first}{joint}{second}"), format!("/{first}{joint}"), format!("{joint}{second}")] {
                if !path.starts_with('/') {
                    continue;
                }
                let mut raw = gw.raw().await;
                raw.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
                let head = raw.read_head().await;
                if !head.starts_with("HTTP/1.1 200") {
                    refused += 1;
                    assert!(head.starts_with("HTTP/1.1 4"), "{path}: {head}");
                    continue;
                }
                excused += 1;
                let seen = backend.requests().pop().unwrap();
                let seen = seen.uri.path();
                let is_open = seen == "/health" || seen == "/open-to-all" || seen.starts_with("/open-to-all/");
                assert!(is_open || seen.ends_with("/.well-known/agent-card.json"), "{path} became {seen}");
                assert!(!seen.contains("..") && !seen.contains("%2e") && !seen.contains("%2E"), "{path} became {seen}");
            }
        }
    }
    assert!(excused > 50 && refused > 50, "{excused} excused, {refused} refused");
    assert_eq!(backend.hits(), excused);
}

#[tokio::test]
async fn all_of_several_have_to_know_the_client() {
    let backend = Backend::replying(200).await;
    let keys = TextFile::keys(&[("one", "ann:a"), ("two", "bob:b")]);
    let gw = Gw::with(
        "authProviders: { keys: { apiKey: { keysFile: '{1}' } }, tokens: { apiKey: { bearer: true, keysFile: '{1}' } } }\n\
         routes: { all: { endpoints: ['{0}'], auth: { allOf: [keys, tokens], \
         identityHeaders: { principal: x-who, roles: x-roles } } } }",
        &[&backend, &keys],
    )
    .await;
    assert_eq!(gw.send(with_key("one", get("/"))).await.outcome(), (401, "credentials_missing"));
    let wrong = with_field("authorization", "Bearer three", with_key("one", get("/")));
    assert_eq!(gw.send(wrong).await.outcome(), (401, "credentials_invalid"));
    let both = with_field("authorization", "Bearer two", with_key("one", get("/")));
    assert_eq!(gw.send(both).await.status, 200);
    let seen = backend.request();
    assert_eq!([seen.header("x-who"), seen.header("x-roles")], ["ann", "a,b"]);
}

#[tokio::test]
async fn a_key_in_the_query_is_taken_out_of_it() {
    let backend = Backend::replying(200).await;
    let keys = TextFile::keys(&[("secret a", "ann")]);
    let gw = Gw::with(
        "authProviders: { keys: { apiKey: { query: api_key, keysFile: '{1}' } } }\n\
         routes: { all: { endpoints: ['{0}'], auth: keys } }",
        &[&backend, &keys],
    )
    .await;
    for (path, seen) in [("/x?api_key=secret%20a", "/x"), ("/x//y?a=1&api_key=secret+a&b=2", "/x/y?a=1&b=2")] {
        assert_eq!(gw.get(path).await.status, 200, "{path}");
        assert_eq!(backend.requests().pop().unwrap().uri.to_string(), seen);
    }
    assert_eq!(gw.get("/x?api_key=secret+a&api_key=secret+a").await.outcome(), (401, "credentials_invalid"));
    let records = gw.records(3).await;
    assert!(!format!("{records:?}").contains("secret"), "{records:?}");
}

#[tokio::test]
async fn limits_count_by_who_the_client_is() {
    let backend = Backend::replying(200).await;
    let keys = TextFile::keys(&[("a", "ann"), ("a2", "ann"), ("b", "bob")]);
    let others = TextFile::keys(&[("c", "ann")]);
    for key in ["principal", "apiKey"] {
        let template = format!(
            "authProviders: {{ keys: {{ apiKey: {{ keysFile: '{{1}}' }} }}, others: {{ apiKey: {{ keysFile: '{{2}}' }} }} }}\n\
             rateLimits: {{ each: {{ key: {key}, rate: 1/hour }} }}\n\
             routes: {{ all: {{ endpoints: ['{{0}}'], auth: [keys, others], rateLimit: each }} }}"
        );
        let gw = Gw::with(&template, &[&backend, &keys, &others]).await;
        for (sent, expected) in [
            ("a", 200),
            ("a2", 429),
            ("b", 200),
            ("c", 200), // Another ann.
            ("c", 429),
            ("none", 401),
            ("none", 401),
        ] {
            assert_eq!(gw.send(with_key(sent, get("/"))).await.status, expected, "{key}: {sent}");
        }
    }
}

fn live(endpoint: &Backend) -> String {
    format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}
authProviders: {{ keys: {{ apiKey: {{ keysFile: partners.keys }} }} }}
routes: {{ all: {{ endpoints: ['{}'], auth: keys }} }}\n",
        endpoint.place()
    )
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_it_changes_and_kept_when_it_cannot_be() {
    let backend = Backend::replying(200).await;
    let gw = Live::prepared(|directory| {
        std::fs::write(directory.join("partners.keys"), key_lines(&[("old", "ann")])).unwrap();
        std::fs::write(directory.join("gateway.yaml"), format!("{DEFAULTS}{}", live(&backend))).unwrap();
    })
    .await;
    let address = gw.address("http").await;
    let status = async |key: &'static str| Client::h1(address).await.reply(with_key(key, get("/"))).await.status;
    assert_eq!((status("old").await, status("new").await), (200, 401));
    gw.write("partners.keys", &key_lines(&[("new", "ann"), ("newer", "ann")]));
    soon("the new key is taken", || async { (status("new").await == 200).then_some(()) }).await;
    assert_eq!(status("old").await, 401);
    for broken in ["ann:not-a-digest\n", "\u{0}"] {
        gw.write("partners.keys", broken);
        let done = gw.hangup().await;
        assert_eq!(done.entry.verdict, ReloadResult::Refused, "{broken:?}");
        assert!(done.entry.diagnostics.contains("partners.keys"), "{}", done.entry.diagnostics);
        assert_eq!((status("newer").await, status("old").await), (200, 401), "as it was");
    }
    gw.stop().await;
}

#[test]
fn a_file_that_cannot_be_used_stops_the_start_and_shows_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let env = Environment::process().with_root(directory.path());
    let load = |keys: Option<&str>| {
        let path = directory.path().join("partners.keys");
        std::fs::remove_file(&path).ok();
        keys.iter().for_each(|keys| std::fs::write(&path, keys).unwrap());
        let text = "listeners: { http: { address: '127.0.0.1:0' } }
authProviders: { keys: { apiKey: { keysFile: partners.keys } } }
routes: { all: { respond: {}, auth: keys } }\n";
        config::parse(text, "gateway.yaml", &env)
    };
    assert!(load(Some(&key_lines(&[("a", "ann")]))).is_ok());
    for (keys, said) in [
        (None, "there is no such file"),
        (Some("# none\nann:topsecret\n"), "line 2"),
        (Some(&*key_lines(&[("a", "ann"), ("a", "bob")])), "line 2"),
    ] {
        let report = load(keys).unwrap_err().to_string();
        assert!(report.contains(said) && report.contains("partners.keys"), "{report}");
        assert!(!report.contains("topsecret"), "{report}");
    }
}

#[tokio::test]
async fn a_smuggled_second_request_needs_credentials_of_its_own() {
    let backend = Backend::replying(200).await;
    let gw = guarded("", &backend).await;
    let mut raw: Raw = gw.raw().await;
    raw.write("GET / HTTP/1.1\r\nhost: a\r\nx-api-key: secret-a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(raw.read_message().await.0.starts_with("HTTP/1.1 200"));
    assert!(raw.read_message().await.0.starts_with("HTTP/1.1 401"));
}
