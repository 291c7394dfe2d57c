//! The admin API through its socket: who is let in, and what it tells.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use attache::admin::client::Client as Operator;
use attache::config::model::AdminAddress;
use attache::config::{self, Environment};
use http::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Backend, Client, DEFAULTS, GUARD, Live, Place, Raw, get, refusing, request, soon, within};

const ANSWER: &str = "listeners: { http: { address: '127.0.0.1:0' } }\nroutes: { all: { respond: { body: one } } }\n";

fn tcp(gw: &Live) -> std::net::SocketAddr {
    match gw.admin {
        AdminAddress::Tcp(address) => address,
        AdminAddress::Unix(_) => panic!("it listens on a port"),
    }
}

#[tokio::test]
async fn status_and_config_tell_what_is_in_force() {
    let backend = Backend::replying(200).await;
    let gw = Live::with(&format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}
routes: {{ all: {{ cluster: pool, requestHeaders: {{ set: {{ x-api-key: hidden }} }} }} }}
clusters: {{ pool: {{ endpoints: ['{}'] }} }}\n",
        backend.place()
    ))
    .await;
    let (status, body) = gw.ask(Method::GET, "/status").await;
    assert_eq!(status, 200);
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&told["status"], &told["ready"]), (&json!("ok"), &json!(true)), "{told}");
    let endpoint = &told["clusters"][0]["endpoints"][0];
    assert_eq!(endpoint["address"], json!(backend.place()), "{told}");
    let (status, body) = gw.ask(Method::GET, "/config").await;
    assert_eq!(status, 200);
    assert!(body.contains("x-api-key: (redacted)") && !body.contains("hidden"), "{body}");
    let again = config::parse(&body, "told.yaml", &Environment::process());
    let again = again.unwrap_or_else(|report| panic!("{report}\n{body}")).config;
    assert_eq!(again.routes.len(), 1, "it is a configuration:\n{body}");
    for (method, path, expected) in [("GET", "/", 200), ("GET", "/nothing", 404), ("GET", "/reload", 405)] {
        let reply = Client::h1(tcp(&gw)).await.reply(at_loopback(request(method, path, crate::support::empty()))).await;
        assert_eq!(reply.status, expected, "{method} {path}");
    }
    gw.stop().await;
}

fn at_loopback(request: http::Request<crate::support::Body>) -> http::Request<crate::support::Body> {
    crate::support::at_host("127.0.0.1", request)
}

#[tokio::test]
async fn a_page_in_a_browser_can_neither_ask_nor_command() {
    let gw = Live::with(ANSWER).await;
    let form = "POST /reload HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n";
    let cross = "POST /reload HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: https://evil.example\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n";
    let preflight = "OPTIONS /reload HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: https://evil.example\r\naccess-control-request-method: POST\r\n\r\n";
    let rebound = "GET /config HTTP/1.1\r\nhost: evil.example\r\n\r\n";
    let user = "GET /config HTTP/1.1\r\nhost: evil:80@127.0.0.1\r\n\r\n";
    let second = "POST /reload HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: http://127.0.0.1\r\norigin: https://evil.example\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n";
    let absolute = "GET http://evil.example/config HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
    for (text, expected) in [
        (form, "415"),
        (cross, "403"),
        (preflight, "403"),
        (rebound, "403"),
        (user, "403"),
        (second, "403"),
        (absolute, "403"),
    ] {
        let mut client = Raw::connect(tcp(&gw)).await;
        client.write(text).await;
        let head = client.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {expected} ")), "{text}{head}");
        assert!(!head.contains("access-control-allow"), "{head}");
    }
    let refused = "attache_admin_requests_refused_total{code=\"403\"}";
    assert_eq!(gw.metric(refused).await, Some(6.0));
    let reloads = gw.ask(Method::GET, "/reloads").await.1;
    assert_eq!(reloads.matches("\"trigger\"").count(), 1, "only the start: {reloads}");
    gw.stop().await;
}

#[tokio::test]
async fn a_token_opens_it_and_a_new_one_counts_at_once() {
    let defaults = DEFAULTS.replace(
        "admin: { address: '127.0.0.1:0' }",
        "admin: { address: '127.0.0.1:0', tokenFile: token, writes: none }",
    );
    let gw = Live::prepared(|directory| {
        fs::write(directory.join("token"), "0123456789abcdef\n").unwrap();
        fs::write(directory.join("other"), "fedcba9876543210").unwrap();
        fs::write(directory.join("gateway.yaml"), format!("{defaults}{ANSWER}")).unwrap();
    })
    .await;
    let ask = async |token: Option<&str>, method: Method, path: &str| {
        let file = token.map(|name| gw.path(name));
        let operator = Operator::new(gw.admin.clone(), file.as_deref()).unwrap();
        operator.ask(method, path, GUARD).await.unwrap().0.as_u16()
    };
    assert_eq!(ask(None, Method::GET, "/status").await, 401);
    assert_eq!(ask(None, Method::GET, "/nothing").await, 401, "nor does it say what there is");
    assert_eq!(ask(Some("other"), Method::GET, "/status").await, 401);
    assert_eq!(ask(Some("token"), Method::GET, "/status").await, 200);
    assert_eq!(ask(Some("token"), Method::POST, "/reload").await, 403, "`writes: none`");
    fs::copy(gw.path("other"), gw.path("token")).unwrap();
    assert_eq!(ask(Some("other"), Method::GET, "/status").await, 200);
    gw.stop().await;
}

#[tokio::test]
async fn a_unix_socket_is_its_owners() {
    let directory = tempfile::TempDir::new().unwrap();
    let socket = directory.path().join("admin.sock");
    // What a process that was killed leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let defaults =
        DEFAULTS.replace("'127.0.0.1:0' }\naccessLog", &format!("'unix:{}' }}\naccessLog", socket.display()));
    let path = directory.path().join("gateway.yaml");
    fs::write(&path, format!("{defaults}{ANSWER}")).unwrap();
    let gw = Live::following(directory, &path).await;
    assert_eq!(gw.admin, AdminAddress::Unix(socket.clone()));
    let mode = || fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    assert_eq!(gw.ask(Method::GET, "/status").await.0, 200);
    assert_eq!(gw.ask_reload().await.0, 200);
    // A page that leads to the socket under a name of its own, through a port of this machine.
    for (fields, expected) in [
        ("host: evil.example:9901\r\norigin: http://evil.example:9901\r\nsec-fetch-site: same-origin\r\n", "403"),
        ("host: evil.example:9901\r\n", "403"),
        ("host: 127.0.0.1:9901\r\norigin: http://127.0.0.1:9901\r\nsec-fetch-site: same-origin\r\n", "200"),
    ] {
        let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        let asked = format!("GET /config HTTP/1.1\r\n{fields}\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within("it is answered", stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{fields}{answer}");
    }
    let loaded = config::load(&path, &Environment::process()).unwrap();
    let second = attache::gateway::Gateway::start(loaded.config).await.unwrap_err();
    assert!(second.in_one_line().contains("admin cannot bind unix:"), "{}", second.in_one_line());
    assert_eq!(gw.ask(Method::GET, "/status").await.0, 200, "the first still has it");
    // With a token others may come, and without one no more.
    gw.write("token", "0123456789abcdef");
    gw.write("gateway.yaml", &format!("{defaults}{ANSWER}").replace(".sock' }", ".sock', tokenFile: token }"));
    gw.reloaded().await;
    assert_eq!(mode(), 0o666);
    gw.write("gateway.yaml", &format!("{defaults}{ANSWER}"));
    gw.reloaded().await;
    assert_eq!(mode(), 0o600);
    gw.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_deleted_for_one() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("gateway.yaml");
    let defaults = DEFAULTS.replace("'127.0.0.1:0' }\naccessLog", &format!("'unix:{}' }}\naccessLog", path.display()));
    let text = format!("{defaults}{ANSWER}");
    fs::write(&path, &text).unwrap();
    let loaded = config::parse(&text, "elsewhere.yaml", &Environment::process()).unwrap();
    let error = attache::gateway::Gateway::start(loaded.config).await.unwrap_err();
    assert!(error.in_one_line().contains("a file that is no socket"), "{}", error.in_one_line());
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn what_took_the_place_of_the_socket_is_neither_opened_nor_deleted() {
    let directory = tempfile::TempDir::new().unwrap();
    let socket = directory.path().join("admin.sock");
    let defaults =
        DEFAULTS.replace("'127.0.0.1:0' }\naccessLog", &format!("'unix:{}' }}\naccessLog", socket.display()));
    let path = directory.path().join("gateway.yaml");
    fs::write(&path, format!("{defaults}{ANSWER}")).unwrap();
    let gw = Live::following(directory, &path).await;
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "somebody else's").unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o640)).unwrap();
    gw.write("token", "0123456789abcdef");
    gw.write("gateway.yaml", &format!("{defaults}{ANSWER}").replace(".sock' }", ".sock', tokenFile: token }"));
    gw.reloaded().await;
    let mode = fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o640);
    let directory = gw.stop_keeping_files().await;
    assert_eq!(fs::read_to_string(&socket).unwrap(), "somebody else's");
    drop(directory);
}

#[tokio::test]
async fn silent_connections_shut_out_neither_probes_nor_operators() {
    let gw = Live::with(ANSWER).await;
    let mut silent = Vec::new();
    for address in [gw.metrics, tcp(&gw)] {
        for _ in 0..70 {
            let mut connection = Raw::connect(address).await;
            connection.write("GET /rea").await;
            silent.push(connection);
        }
    }
    let ready = Client::h1(gw.metrics).await.reply(get("/ready")).await;
    assert_eq!(ready.status, 200);
    assert_eq!(gw.ask(Method::GET, "/status").await.0, 200);
    for (which, why) in [(0, "of the metrics"), (70, "of the admin listener")] {
        let left = silent.get_mut(which).unwrap().read_to_end().await;
        assert!(left.is_empty(), "the oldest {why} gave way");
    }
    gw.stop().await;
}

#[tokio::test]
async fn an_idle_gateway_without_the_section_has_no_admin_api() {
    let gw = crate::support::Gw::with("routes: { all: { respond: { status: 204 } } }", &[]).await;
    assert_eq!(gw.get("/").await.status, 204);
    assert_eq!(gw.admin("/status").await.status, 404, "nor on the metrics listener");
}

#[tokio::test]
async fn what_operators_do_to_a_rollout_is_told_and_counted_until_it_is_gone() {
    let rest = "listeners: { http: { address: '127.0.0.1:0' } }
clusters: { a: { endpoints: ['127.0.0.1:1'] }, b: { endpoints: ['127.0.0.1:1'] } }
routes: { all: { split: [{ cluster: a, weight: 100 }, { cluster: b, weight: 0 }]";
    let moved = format!(
        "{rest}, rollout: {{ canary: b, steps: [{{ setWeight: 10 }}, {{ pause: {{}} }}, {{ setWeight: 100 }}] }} }} }}\n"
    );
    let gw = Live::with(&moved).await;
    for (query, status, said) in [
        ("verb=pause", 200, "paused by ann"),
        ("verb=pause", 409, "paused already"),
        ("verb=set-weight&weight=30&for=600000", 200, "set b to 30 %"),
        ("verb=set-weight&weight=101", 409, "0 to 100 percent"),
        ("verb=set-weight", 400, "`weight` is missing"),
        ("verb=set-weight&weight=-1", 400, "a whole number"),
        ("verb=switch", 409, "promote or abort"),
        ("verb=abort", 200, "aborted by ann"),
        ("verb=resume", 409, "is over"),
        ("verb=release", 409, "no share was set"),
        ("verb=jump", 400, "is one of"),
    ] {
        let path = format!("/rollouts?route=all&by=ann&{query}");
        let (answered, body) = gw.ask(Method::POST, &path).await;
        assert_eq!((answered, body.contains(said)), (status, true), "{body}");
        if query.starts_with("verb=set-weight&weight=30") {
            let answer: Value = serde_json::from_str(&body).unwrap();
            let held = &answer["status"]["held"];
            for moment in [&answer["status"]["progress"]["entered"], &held["since"], &held["until"]] {
                assert!(is_moment(moment), "{moment} in {answer}");
            }
        }
    }
    let (_, body) = gw.ask(Method::GET, "/rollouts").await;
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert!(is_moment(&answer["now"]), "{answer}");
    for event in ["paused", "held", "released", "rolled_back"] {
        let series = format!("attache_rollout_events_total{{event=\"{event}\",route=\"all\"}}");
        assert_eq!(gw.metric(&series).await, Some(1.0), "{event}");
    }
    let weight = "attache_rollout_weight_percent{route=\"all\"}";
    soon("the gauge is there", || async { gw.metric(weight).await }).await;
    gw.rewrite(&format!("{rest} }} }}\n"));
    soon("a rollout that is gone is not shown", || async { gw.metric(weight).await.is_none().then_some(()) }).await;
}

/// Whether a value is a moment as RFC 3339 writes it.
fn is_moment(value: &Value) -> bool {
    let parsed = value.as_str().map(|text| OffsetDateTime::parse(text, &Rfc3339));
    parsed.is_some_and(|parsed| parsed.is_ok_and(|at| at.year() > 2020))
}

#[tokio::test]
async fn moments_are_rfc_3339_and_a_failed_check_has_a_word() {
    let nobody = refusing();
    let text = format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}
clusters: {{ a: {{ endpoints: ['{}'], healthCheck: {{ type: tcp, interval: 100ms, timeout: 100ms }} }} }}
routes: {{ all: {{ cluster: a }} }}
",
        nobody.place()
    );
    let gw = Live::with(&text).await;
    let health = soon("the check has failed", || async {
        let (_, body) = gw.ask(Method::GET, "/status").await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert!(is_moment(&answer["lastReload"]["at"]), "{answer}");
        let health = answer["clusters"][0]["endpoints"][0]["health"].clone();
        (!health["reason"].is_null()).then_some(health)
    })
    .await;
    assert!(is_moment(&health["since"]), "{health}");
    assert_eq!(health["reason"], "connect_failed", "{health}");
    assert!(health["message"].as_str().is_some_and(|message| message.contains("refused")), "{health}");
}
