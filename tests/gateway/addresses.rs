//! Clients that are not served because of where they come from: lists of listeners and routes, and the block list.

use attache::admin::journal::ReloadResult;
use attache::config::{self, Environment};
use http::{HeaderValue, Method, Request};
use serde_json::{Value, json};

use crate::support::{Backend, Body, Client, DEFAULTS, Gw, Live, get, post, soon, with_field};

/// A request that a trusted proxy passes on for this client.
fn of(client: &str, request: Request<Body>) -> Request<Body> {
    with_field("x-forwarded-for", client, request)
}

const SERVED: (u16, &str) = (200, "");
const REFUSED: (u16, &str) = (403, "address_refused");
const BLOCKED: (u16, &str) = (403, "blocked");

const LISTS: &str = "
    clientIp: { trustedProxies: 127.0.0.1 }
    listeners:
      http:
        address: '127.0.0.1:0'
        protocols: [http/1.1, h2]
        ipAccess: { allow: [10.0.0.0/8, '2001:db8::/32'], deny: [10.9.0.0/16] }
    routes:
      all: { endpoints: ['{0}'] }
      inner:
        match: { path: { prefix: /inner } }
        endpoints: ['{0}']
        ipAccess: { allow: 10.1.0.0/16 }
        cors: { allowOrigins: https://app.example }
      watched: { match: { path: { prefix: /watched } }, endpoints: ['{0}'], ipAccess: { deny: 10.2.0.0/16, mode: shadow } }
    ";

#[tokio::test]
async fn listeners_and_routes_serve_the_addresses_they_name() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(LISTS, &[&backend]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        for (address, path, expected) in [
            ("10.1.2.3", "/", SERVED),
            ("2001:db8::7", "/", SERVED),
            ("10.9.2.3", "/", REFUSED),
            ("192.0.2.1", "/", REFUSED),
            ("192.0.2.1", "/nothing/served/here", REFUSED),
            ("2001:db9::7", "/", REFUSED),
            ("::ffff:10.1.2.3", "/", SERVED),
            ("10.1.2.3", "/inner", SERVED),
            ("10.2.2.3", "/inner", REFUSED),
            ("10.2.2.3", "/inner/%2e%2e/inner", REFUSED),
            ("10.9.2.3", "/inner", REFUSED),
            ("10.2.2.3", "/watched", SERVED),
        ] {
            let reply = client.reply(of(address, get(path))).await;
            assert_eq!(reply.outcome(), expected, "{address} {path}");
        }
        let preflight = with_field("origin", "https://app.example", of("10.2.2.3", get("/inner")));
        let (mut parts, body) = with_field("access-control-request-method", "GET", preflight).into_parts();
        parts.method = Method::OPTIONS;
        assert_eq!(client.reply(Request::from_parts(parts, body)).await.outcome(), REFUSED, "before a preflight");
    }
    assert_eq!(backend.hits(), 10);
    let counted =
        async |route, mode| gw.metric("attache_address_refused_total", &[("route", route), ("mode", mode)]).await;
    assert_eq!(
        [counted("-", "enforce").await, counted("inner", "enforce").await, counted("watched", "shadow").await],
        [10.0, 6.0, 2.0]
    );
    let call = with_field("content-type", "application/grpc", of("192.0.2.1", post("/", "")));
    let reply = gw.h2().await.reply(call).await;
    assert_eq!((reply.status, reply.header("grpc-status")), (200, "7"), "in the caller's protocol");
}

#[tokio::test]
async fn only_a_trusted_proxy_says_where_a_client_comes_from() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], ipAccess: { deny: 127.0.0.0/8 } } }", &[&backend]).await;
    let reply = gw.send(of("10.0.0.1", get("/"))).await;
    assert_eq!((reply.outcome(), backend.hits()), (REFUSED, 0));
    let record = gw.record().await;
    assert_eq!((&record["flags"], &record["client_ip"]), (&json!("LR"), &json!("127.0.0.1")));
}

/// A client may write anything in front of what its proxy adds.
#[tokio::test]
async fn an_address_that_is_no_text_hides_no_client() {
    let text = "clientIp: { trustedProxies: 127.0.0.1 }\nblockList: { networks: [203.0.113.0/24] }\n\
        routes: { all: { respond: {} } }";
    let gw = Gw::with(text, &[]).await;
    for line in [&b"\xff, 203.0.113.9"[..], b"nonsense, 203.0.113.9", b"203.0.113.9"] {
        let mut request = get("/");
        request.headers_mut().insert("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
        assert_eq!(gw.send(request).await.outcome(), BLOCKED, "{}", line.escape_ascii());
    }
}

const FROM_FILE: &str = "
clientIp: { trustedProxies: 127.0.0.1 }
reload: { watch: false }
listeners: { http: { address: '127.0.0.1:0' } }
blockList: { networksFile: lists/blocked.txt }
routes: { all: { respond: {}, ipAccess: { allowFile: lists/allowed.txt } } }
";

#[tokio::test]
async fn files_of_networks_are_read_again_and_broken_ones_are_not_taken() {
    let gw = Live::prepared(|directory| {
        std::fs::create_dir(directory.join("lists")).unwrap();
        std::fs::write(directory.join("lists/allowed.txt"), "10.0.0.0/8 # ours\r\n192.0.2.0/24").unwrap();
        std::fs::write(directory.join("lists/blocked.txt"), "; nobody yet\n").unwrap();
        std::fs::write(directory.join("gateway.yaml"), format!("{DEFAULTS}{FROM_FILE}")).unwrap();
    })
    .await;
    let address = gw.address("http").await;
    let served = async |client: &str| Client::h1(address).await.reply(of(client, get("/"))).await.outcome() == SERVED;
    assert!(served("10.1.1.1").await && served("192.0.2.1").await && !served("198.51.100.1").await);
    gw.write("lists/allowed.txt", "10.0.0.0/8\n198.51.100.0/24\n");
    gw.write("lists/blocked.txt", "10.1.0.0/16\n");
    gw.reloaded().await;
    assert!(!served("10.1.1.1").await && served("10.2.1.1").await);
    assert!(!served("192.0.2.1").await && served("198.51.100.1").await);
    let refusals = [
        ("lists/allowed.txt", Some("10.0.0.0/8\n10.0.0.1/8\n"), "line 2: `10.0.0.1/8` has bits beyond its prefix"),
        ("lists/blocked.txt", Some("10.1.0.0/16\nfriends\n"), "line 2: `friends` is not a network"),
        ("lists/blocked.txt", None, "there is no such file"),
        ("lists/allowed.txt", None, "there is no such file"),
    ];
    for (file, text, why) in refusals {
        let before = std::fs::read(gw.path(file)).unwrap();
        match text {
            Some(text) => gw.write(file, text),
            None => std::fs::remove_file(gw.path(file)).unwrap(),
        }
        let done = gw.hangup().await;
        assert_eq!(done.entry.verdict, ReloadResult::Refused, "{file}");
        assert!(done.entry.diagnostics.contains(why), "{}", done.entry.diagnostics);
        assert!(!served("10.1.1.1").await && served("10.2.1.1").await && !served("192.0.2.1").await, "as before");
        let start = config::load(&gw.path("gateway.yaml"), &Environment::process()).unwrap_err();
        assert!(start.errors() > 0, "nor does a gateway start with it");
        std::fs::write(gw.path(file), before).unwrap();
    }
    gw.stop().await;
}

#[tokio::test]
async fn a_file_that_changes_is_taken_without_being_asked() {
    let gw = Live::prepared(|directory| {
        std::fs::create_dir(directory.join("lists")).unwrap();
        std::fs::write(directory.join("lists/allowed.txt"), "10.0.0.0/8\n").unwrap();
        std::fs::write(directory.join("lists/blocked.txt"), "").unwrap();
        let text = FROM_FILE.replace("reload: { watch: false }\n", "");
        std::fs::write(directory.join("gateway.yaml"), format!("{DEFAULTS}{text}")).unwrap();
    })
    .await;
    let address = gw.address("http").await;
    gw.write("lists/blocked.txt", "10.0.0.0/8\n");
    soon("the client is blocked", || async {
        let reply = Client::h1(address).await.reply(of("10.1.1.1", get("/"))).await;
        (reply.outcome() == BLOCKED).then_some(())
    })
    .await;
    gw.stop().await;
}

const BLOCKS: &str = "
clientIp: { trustedProxies: 127.0.0.1 }
reload: { watch: false }
listeners: { http: { address: '127.0.0.1:0' } }
blockList: { networks: 203.0.113.0/24, maxEntries: 3 }
routes: { all: { respond: {}, rateLimit: { rate: 1/hour } } }
";

fn with_writes(writes: &str, text: &str) -> String {
    let admin = format!("admin: {{ address: '127.0.0.1:0', writes: {writes} }}");
    format!("{}{text}", DEFAULTS.replace("admin: { address: '127.0.0.1:0' }", &admin))
}

#[tokio::test]
async fn operators_block_and_unblock_while_it_runs() {
    let gw = Live::prepared(|directory| {
        std::fs::write(directory.join("gateway.yaml"), with_writes("all", BLOCKS)).unwrap();
    })
    .await;
    let address = gw.address("http").await;
    let ask = async |client: &str| Client::h1(address).await.reply(of(client, get("/"))).await;
    assert_eq!(ask("203.0.113.9").await.outcome(), BLOCKED, "by the configuration");
    let (status, told) = gw.ask(Method::POST, "/blocks?network=192.0.2.0/24&reason=scans&by=ann").await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((status, &told["blocked"]["network"]), (200, &json!("192.0.2.0/24")), "{told}");
    assert_eq!(gw.ask(Method::POST, "/blocks?network=2001:db8::1&for=1h").await.0, 200);
    for _ in 0..3 {
        let reply = ask("192.0.2.77").await;
        assert_eq!((reply.outcome(), reply.header("retry-after")), (BLOCKED, ""), "before the limits of the route");
    }
    let reply = ask("2001:db8::1").await;
    let wait: u64 = reply.header("retry-after").parse().unwrap();
    assert!(reply.outcome() == BLOCKED && (1..=3600).contains(&wait), "{wait}");
    assert_eq!(ask("2001:db8::2").await.outcome(), SERVED, "an address is one address");
    // What operators did outlives a reload.
    gw.write("gateway.yaml", &with_writes("all", &BLOCKS.replace("1/hour", "2/hour")));
    gw.reloaded().await;
    assert_eq!(ask("192.0.2.78").await.outcome(), BLOCKED);
    let listed: Value = serde_json::from_str(&gw.ask(Method::GET, "/blocks").await.1).unwrap();
    let operators = listed["operators"].as_array().unwrap();
    assert_eq!((operators.len(), &listed["configured"], &listed["failures"]), (2, &json!(1), &json!([])), "{listed}");
    assert_eq!((&operators[0]["reason"], &operators[0]["by"]), (&json!("scans"), &json!("ann")));
    assert!(operators[0]["until"].is_null() && operators[1]["until"].is_string(), "{listed}");
    assert_eq!(gw.ask(Method::DELETE, "/blocks?network=192.0.2.0/24").await.0, 200);
    assert_eq!(ask("192.0.2.79").await.outcome(), SERVED);
    let blocked = "attache_blocked_total{by=\"operator\"}";
    assert_eq!(gw.metric(blocked).await, Some(5.0));
    soon("what is blocked is counted", || async {
        (gw.metric("attache_block_list_entries{by=\"operator\"}").await == Some(1.0)).then_some(())
    })
    .await;
    gw.stop().await;
}

#[tokio::test]
async fn what_operators_cannot_block_is_said() {
    let gw = Live::prepared(|directory| {
        std::fs::write(directory.join("gateway.yaml"), with_writes("all", BLOCKS)).unwrap();
    })
    .await;
    for (method, path, expected, why) in [
        (Method::POST, "/blocks", 400, "`network` is missing"),
        (Method::POST, "/blocks?network=0.0.0.0/0", 400, "everybody"),
        (Method::POST, "/blocks?network=192.0.2.1/24", 400, "write `192.0.2.0/24`"),
        (Method::POST, "/blocks?network=192.0.2.1&for=ever", 400, "a time"),
        (Method::DELETE, "/blocks?network=192.0.2.1", 404, "is not blocked"),
        (Method::DELETE, "/blocks?network=203.0.113.7", 409, "by the configuration"),
        (Method::POST, "/blocks?network=192.0.2.1", 200, "192.0.2.1/32"),
        (Method::POST, "/blocks?network=192.0.2.2", 200, "192.0.2.2/32"),
        (Method::POST, "/blocks?network=192.0.2.3", 200, "192.0.2.3/32"),
        (Method::POST, "/blocks?network=192.0.2.4", 409, "`blockList.maxEntries`"),
        (Method::POST, "/blocks?network=192.0.2.3&for=1m", 200, "until"),
    ] {
        let (status, told) = gw.ask(method, path).await;
        assert!(status == expected && told.contains(why), "{path}: {status} {told}");
    }
    gw.write("gateway.yaml", &with_writes("rollouts", BLOCKS));
    gw.reloaded().await;
    assert_eq!(gw.ask(Method::POST, "/blocks?network=192.0.2.1").await.0, 403, "`writes: rollouts`");
    assert_eq!(gw.ask(Method::GET, "/blocks").await.0, 200);
    gw.stop().await;
}
