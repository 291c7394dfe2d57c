//! A server that decides who may come in: what it sees, and what becomes of what it says.

use std::sync::{Arc, Mutex};

use attache::config::{self, Environment};
use http::{HeaderMap, Request, Response};
use serde_json::json;
use tokio::sync::Notify;

use crate::support::{Backend, Body, Gw, Issuer, RawBackend, eventually, full, get, post, refusing, with_field};

/// One route that asks the server at the second place.
fn template(more: &str) -> String {
    format!(
        "authProviders: {{ gate: {{ external: {{ url: 'http://{{1}}/verify?by=gw', {more} }} }} }}\n\
         routes: {{ all: {{ endpoints: ['{{0}}'], auth: gate }} }}"
    )
}

fn asking(user: &str) -> Request<Body> {
    with_field("cookie", &format!("session={user}"), get("/a%20b/c?x=1&y"))
}

const UNAVAILABLE: (u16, &str) = (503, "auth_unavailable");

/// Lets everybody pass who has a session, under its name.
async fn gate() -> (Backend, Arc<Mutex<Vec<HeaderMap>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&asked);
    let gate = Backend::handling(move |request| {
        let session = request.headers().get("cookie").and_then(|cookie| cookie.to_str().ok()?.strip_prefix("session="));
        let response = match session {
            Some(user) => Response::builder().status(204).header("x-user", user).header("x-roles", "admin, ops"),
            None => Response::builder().status(401).header("www-authenticate", "Cookie").header("x-inside", "secret"),
        };
        shared.lock().unwrap().push(request.headers().clone());
        let target = request.uri().to_string();
        async move { response.header("x-asked", target).body(full("")).unwrap() }
    });
    (gate.await, asked)
}

#[tokio::test]
async fn the_server_sees_where_a_request_leads_and_its_word_counts() {
    let (backend, (gate, asked)) = (Backend::replying(200).await, gate().await);
    let more = "copyHeaders: [x-user, x-asked, x-never], principalHeader: x-user, rolesHeader: x-roles";
    let gw = Gw::with(&template(more), &[&backend, &gate]).await;
    let mut request = with_field("authorization", "Bearer t", asking("ann"));
    for name in ["x-user", "x_user", "x-never", "x-forwarded-uri", "x-forwarded-method", "x-original-url", "x-other"] {
        request.headers_mut().append(name, "forged".parse().unwrap());
    }
    let reply = gw.send(request).await;
    assert_eq!(reply.outcome(), (200, ""));
    let seen = backend.request();
    assert_eq!((seen.all("x-user"), seen.all("x-asked")), (vec!["ann"], vec!["/verify?by=gw"]));
    assert!(seen.all("x_user").is_empty() && seen.all("x-never").is_empty());
    let question = asked.lock().unwrap()[0].clone();
    let told = |name: &str| question.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    let host = gw.address().to_string();
    assert_eq!(told("x-forwarded-method"), ["GET"]);
    assert_eq!(told("x-forwarded-proto"), ["http"]);
    assert_eq!(told("x-forwarded-uri"), ["/a%20b/c?x=1&y"]);
    assert_eq!(told("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(told("authorization"), ["Bearer t"]);
    assert_eq!(told("x-original-url"), [format!("http://{}/a%20b/c?x=1&y", told("x-forwarded-host")[0])]);
    assert!(!told("x-forwarded-host")[0].is_empty() && told("x-other").is_empty(), "{host} {question:?}");
    let record = gw.record().await;
    assert_eq!((record["principal"].as_str(), record["auth"].as_str()), (Some("ann"), Some("gate")));
}

#[tokio::test]
async fn a_refusal_is_the_servers_with_chosen_fields() {
    let backend = Backend::replying(200).await;
    let (gate, _) = gate().await;
    let gw = Gw::with(&template(""), &[&backend, &gate]).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.outcome(), reply.header("www-authenticate")), ((401, "auth_denied"), "Cookie"));
    assert_eq!(reply.header("x-inside"), "");
    for (status, location) in [(403, ""), (302, "https://login.example/?to=x"), (429, ""), (404, "")] {
        let gate = Backend::replying(status).await.header("location", location).header("set-cookie", "a=b");
        let gw = Gw::with(&template(""), &[&backend, &gate]).await;
        let reply = gw.send(post("/", "body")).await;
        assert_eq!((reply.outcome(), reply.header("location")), ((status, "auth_denied"), location));
        assert_eq!(reply.header("set-cookie"), "");
        assert!(!reply.text().contains("from "), "the server's own words stay inside: {}", reply.text());
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn a_server_that_fails_lets_nobody_in() {
    let backend = Backend::replying(200).await;
    let (failing, odd) = (Backend::replying(500).await, RawBackend::answering("hello\r\n\r\n").await);
    let (silent, gone, nameless) = (RawBackend::silent().await, refusing(), Backend::replying(200).await);
    let named = "principalHeader: x-user, timeout: 10s";
    for (gate, more) in [
        (&failing as &dyn crate::support::Place, "timeout: 10s"),
        (&odd, "timeout: 10s"),
        (&gone, "timeout: 10s"),
        (&silent, "timeout: 50ms"),
        (&nameless, named),
    ] {
        let gw = Gw::with(&template(more), &[&backend, gate]).await;
        assert_eq!(gw.send(asking("ann")).await.outcome(), UNAVAILABLE, "{more}");
        let labels = [("provider", "gate"), ("result", "unavailable")];
        assert_eq!(gw.metric("attache_auth_total", &labels).await, 1.0);
    }
    assert_eq!(backend.hits(), 0);
    let gw = Gw::with(&template("onFailure: allow"), &[&backend, &failing]).await;
    assert_eq!(gw.send(asking("ann")).await.outcome(), (200, ""));
    assert!(gw.record().await["principal"].is_null(), "as nobody");
}

#[tokio::test]
async fn answers_count_for_equal_requests() {
    let (backend, (gate, _)) = (Backend::replying(200).await, gate().await);
    for (cache, expected) in [("cache: { ttl: 1h }", 4), ("cache: { ttl: 1h, scope: credentials }", 2), ("", 8)] {
        let before = gate.hits();
        let gw = Gw::with(&template(cache), &[&backend, &gate]).await;
        for user in ["ann", "bob"] {
            for path in ["/one", "/one", "/two", "/two"] {
                let request = with_field("cookie", &format!("session={user}"), get(path));
                assert_eq!(gw.send(request).await.outcome(), (200, ""));
            }
        }
        assert_eq!(gate.hits() - before, expected, "{cache}");
        assert_eq!(gw.get("/one").await.status, 401);
        assert_eq!(gw.get("/one").await.status, 401, "a refusal counts once");
        assert_eq!(gate.hits() - before, expected + 2);
    }
}

#[tokio::test]
async fn no_more_questions_than_allowed_are_open() {
    let backend = Backend::replying(200).await;
    let (gate, release) = Backend::held().await;
    let gw = Gw::with(&template("maxConcurrent: 1, timeout: 20s"), &[&backend, &gate]).await;
    let mut first = gw.h1().await;
    let (first, ()) = tokio::join!(first.reply(asking("ann")), async {
        eventually("it is asked", async || gate.hits() == 1).await;
        assert_eq!(gw.send(asking("bob")).await.outcome(), UNAVAILABLE);
        release.send(()).unwrap();
    });
    assert_eq!(first.outcome(), (200, ""));
    assert_eq!(gw.send(asking("bob")).await.outcome(), (200, ""), "the place is free again");
}

#[tokio::test]
async fn questions_go_over_connections_that_are_kept() {
    let (backend, (gate, _)) = (Backend::replying(200).await, gate().await);
    let gw = Gw::with(&template(""), &[&backend, &gate]).await;
    let mut client = gw.h1().await;
    for turn in 0..10 {
        let user = format!("u{turn}");
        assert_eq!(client.reply(asking(&user)).await.outcome(), (200, ""));
    }
    assert_eq!((gate.hits(), gate.connections()), (10, 1));
    let closing = Backend::replying(200).await.header("connection", "close");
    let gw = Gw::with(&template(""), &[&backend, &closing]).await;
    let mut client = gw.h1().await;
    for _ in 0..3 {
        assert_eq!(client.reply(asking("ann")).await.outcome(), (200, ""));
    }
    assert_eq!((closing.hits(), closing.connections()), (3, 3));
}

#[tokio::test]
async fn a_kept_connection_that_breaks_costs_no_request() {
    let backend = Backend::replying(200).await;
    let gate = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 204 No Content\r\n\r\n").await;
        // It takes one more question and closes without a word.
        connection.try_read_until("\r\n\r\n").await;
    })
    .await;
    let gw = Gw::with(&template(""), &[&backend, &gate]).await;
    let mut client = gw.h1().await;
    for turn in 1..=4 {
        assert_eq!(client.reply(asking("ann")).await.outcome(), (200, ""));
        assert_eq!(gate.connections(), turn);
    }
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_lets_nobody_in() {
    let backend = Backend::replying(200).await;
    let unasked = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-user: root\r\n\r\n";
    let refusal = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    let together = RawBackend::script(move |mut connection| async move {
        while connection.try_read_until("\r\n\r\n").await.is_some() {
            connection.write(format!("{refusal}{unasked}")).await;
        }
    })
    .await;
    let (say, said) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let shared = (Arc::clone(&say), Arc::clone(&said));
    let later = RawBackend::script(move |mut connection| {
        let (say, said) = shared.clone();
        async move {
            while connection.try_read_until("\r\n\r\n").await.is_some() {
                connection.write(refusal).await;
                say.notified().await;
                connection.try_write(unasked).await;
                said.notify_one();
            }
        }
    })
    .await;
    for (gate, is_later) in [(&together, false), (&later, true)] {
        let gw = Gw::with(&template("principalHeader: x-user"), &[&backend, gate]).await;
        let mut client = gw.h1().await;
        for _ in 0..5 {
            assert_eq!(client.reply(asking("ann")).await.outcome(), (403, "auth_denied"));
            if is_later {
                say.notify_one();
                said.notified().await;
            }
        }
        assert_eq!(gate.connections(), 5, "none of them is used again");
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn a_server_that_floods_is_cut_off() {
    let backend = Backend::replying(200).await;
    let left = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&left);
    let body = RawBackend::script(move |mut connection| {
        let left = Arc::clone(&counted);
        async move {
            connection.read_head().await;
            connection.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            while connection.try_write(format!("1000\r\n{}\r\n", "x".repeat(4096))).await {}
            *left.lock().unwrap() += 1;
        }
    })
    .await;
    let gw = Gw::with(&template(""), &[&backend, &body]).await;
    assert_eq!(gw.send(asking("ann")).await.outcome(), (200, ""), "its head says all");
    eventually("the connection is closed", async || *left.lock().unwrap() == 1).await;
    let head = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 200 OK\r\n").await;
        while connection.try_write(format!("x-flood: {}\r\n", "x".repeat(4096))).await {}
    })
    .await;
    let gw = Gw::with(&template("timeout: 20s"), &[&backend, &head]).await;
    assert_eq!(gw.send(asking("ann")).await.outcome(), UNAVAILABLE);
    assert_eq!(backend.hits(), 1);
}

#[tokio::test]
async fn a_body_reaches_the_agent_and_not_the_server() {
    let (backend, gate) = (Backend::replying(200).await, Backend::replying(200).await);
    let gw = Gw::with(&template("forwardHeaders: [cookie, content-type]"), &[&backend, &gate]).await;
    let mut request = with_field("content-type", "application/json", post("/", "a secret of the client"));
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    assert_eq!(gw.send(request).await.outcome(), (200, ""));
    assert_eq!(backend.request().body, "a secret of the client");
    let question = gate.request();
    assert_eq!((question.method.as_str(), question.body.len()), ("GET", 0));
    assert_eq!(question.all("x-forwarded-method"), ["POST"]);
    assert_eq!(question.all("content-type"), ["application/json"]);
    for name in ["content-length", "transfer-encoding", "expect"] {
        assert!(question.all(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_not_put_to_the_server() {
    let (backend, (gate, _)) = (Backend::replying(200).await, gate().await);
    let (issuer, keys) = (Issuer::new("one"), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(keys.path(), Issuer::set(&[&issuer])).unwrap();
    let template = format!(
        "authProviders: {{ gate: {{ external: {{ url: 'http://{{1}}/' }} }}, corp: {{ jwt: {{ jwks: {{ file: '{}' }} }} }} }}\n\
         routes: {{ all: {{ endpoints: ['{{0}}'], auth: [corp, gate] }} }}",
        keys.path().display()
    );
    let gw = Gw::with(&template, &[&backend, &gate]).await;
    let with = |token: &str| with_field("authorization", &format!("Bearer {token}"), asking("ann"));
    assert_eq!(gw.send(with(&issuer.token(&json!({})))).await.outcome(), (200, ""));
    assert_eq!(gw.send(with(&Issuer::new("one").token(&json!({})))).await.outcome(), (401, "credentials_invalid"));
    assert_eq!(gate.hits(), 0);
    assert_eq!(gw.send(asking("ann")).await.outcome(), (200, ""));
    assert_eq!(gate.hits(), 1);
}

#[test]
fn settings_that_would_harm_are_refused() {
    let env = Environment::process();
    let load = |external: &str| {
        let text = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\n\
             authProviders: {{ gate: {{ external: {{ {external} }} }} }}\nroutes: {{ all: {{ respond: {{}}, auth: gate }} }}\n"
        );
        config::parse(&text, "gateway.yaml", &env).map(drop).map_err(|report| report.to_string())
    };
    assert_eq!(load("url: 'http://127.0.0.1:9000/'"), Ok(()));
    for (external, said) in [
        ("timeout: 1s", "has no `url`"),
        ("url: 'https://ann:pw@a.example/'", "no user"),
        (
            "url: 'http://127.0.0.1/', forwardHeaders: [content-length]",
            "`content-length` is about one connection or body",
        ),
        ("url: 'http://127.0.0.1/', copyHeaders: [connection]", "`connection` is about one connection or body"),
        ("url: 'http://127.0.0.1/', copyHeaders: [content-type]", "`content-type` is about one connection or body"),
        ("url: 'http://127.0.0.1/', copyHeaders: [Authorization]", "`authorization` means something else"),
        ("url: 'http://127.0.0.1/', refusalHeaders: [transfer-encoding]", "is about one connection or body"),
        ("url: 'http://127.0.0.1/', forwardHeaders: [], cache: { scope: credentials }", "count for everybody"),
        ("url: 'http://127.0.0.1/', timeout: 0s", "timeout"),
        ("url: 'http://127.0.0.1/', maxConcurrent: 0", "maxConcurrent"),
        ("url: 'https://127.0.0.1/', caFile: missing.pem", "missing.pem"),
    ] {
        let report = load(external).unwrap_err();
        assert!(report.contains(said), "{external}: {report}");
    }
}

#[tokio::test]
async fn a_field_that_the_server_repeats_is_passed_on_as_often() {
    let backend = Backend::replying(200).await;
    let values = |headers: &HeaderMap, name: &str| {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let more = "copyHeaders: [x-group, x-user], refusalHeaders: [set-cookie, www-authenticate]";
    for status in [401, 200] {
        let gate = Backend::replying(status).await.header("set-cookie", "a=1").header("set-cookie", "b=2");
        let gate = gate.header("www-authenticate", "Cookie").header("www-authenticate", "Bearer");
        let gate = gate.header("x-group", "one").header("x-group", "two").header("x-user", "ann");
        let gw = Gw::with(&template(more), &[&backend, &gate]).await;
        let reply = gw.send(with_field("x-group", "forged", get("/"))).await;
        assert_eq!(reply.status, status);
        if status == 401 {
            assert_eq!(values(&reply.headers, "set-cookie"), ["a=1", "b=2"]);
            assert_eq!(values(&reply.headers, "www-authenticate"), ["Cookie", "Bearer"]);
        }
    }
    let seen = backend.request();
    assert_eq!((seen.all("x-group"), seen.all("x-user")), (vec!["one", "two"], vec!["ann"]));
}
