//! Certificates that the gateway orders by itself, from an authority that looks whether the names are ours.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::{AcmeServer, Backend, Ca, Gw, Place, Refusal, Sse, Tls, at_host, chunk, eventually, get, within};

/// Where certificates are kept.
struct Storage(TempDir);

impl Storage {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// A file of the directory of this authority.
    fn file(&self, server: &AcmeServer, name: &str) -> PathBuf {
        let label = server.directory().trim_start_matches("https://").replace([':', '/'], "_");
        self.0.path().join(label).join(name)
    }

    /// Puts a certificate there, as a gateway before this one did.
    fn put(&self, server: &AcmeServer, ca: &Ca, name: &str, from: i64, to: i64) {
        let identity = ca.issue_between(&[name], from, to);
        let read = |path| fs::read_to_string(path).unwrap();
        let file = self.file(server, &format!("{name}.pem"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, read(identity.key_path()) + &read(identity.cert_path())).unwrap();
    }
}

impl Place for Storage {
    fn place(&self) -> String {
        self.0.path().display().to_string()
    }
}

const HTTP: &str = "
    listeners:
      http: { address: '127.0.0.1:0', httpsRedirect: true }
      https: { address: '127.0.0.1:0', tls: { acme: { {0}, storage: '{1}', email: me@a.example } } }
    routes: { all: { hosts: [a.example], respond: { body: ok } } }
";

const HANDSHAKE: &str = "
    listeners:
      https:
        address: '127.0.0.1:0'
        tls:
          clientAuth: { mode: require, caFile: '{2}' }
          acme: { {0}, storage: '{1}', challenge: tls-alpn-01 }
    routes: { all: { hosts: [a.example], respond: { body: ok } } }
";

async fn is_served(gw: &Gw, server: &AcmeServer, name: &str) -> bool {
    let Ok(mut client) = Tls::new(&server.ca, &["h2"]).connect(gw.at("https"), name).await else { return false };
    client.reply(at_host(name, get("/"))).await.text() == "ok"
}

/// Waits until the certificate is there.
async fn served(gw: &Gw, server: &AcmeServer, name: &str) {
    eventually("a certificate", || is_served(gw, server, name)).await;
}

async fn orders(gw: &Gw, result: &str) -> f64 {
    gw.metric("attache_acme_orders_total", &[("listener", "https"), ("result", result)]).await
}

/// What is said of the last order for a name; nothing before there was one.
async fn last_order(gw: &Gw, name: &str) -> Option<f64> {
    let domain = format!("domain=\"{name}\"");
    let text = gw.metrics().await;
    let mut series = text.lines().filter(|line| line.starts_with("attache_acme_last_order_successful{"));
    series.find(|line| line.contains(&domain))?.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn rfc8555_8_3_a_redirecting_listener_shows_that_a_name_is_ours() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    server.refuse_nonces(1);
    let gw = Gw::with(HTTP, &[&server, &storage]).await;
    eventually("an order", || async { server.count("order a.example") == 1 }).await;
    let refused = Tls::new(&server.ca, &["h2"]).connect(gw.at("https"), "a.example").await.unwrap_err();
    assert!(refused.to_string().contains("UnrecognisedName"), "nothing is shown instead: {refused}");
    server.look_at(gw.at("http"));
    served(&gw, &server, "a.example").await;
    assert_eq!(
        server.log(),
        ["bad nonce", "account [\"mailto:me@a.example\"]", "order a.example", "look http-01 a.example ok"]
    );
    eventually("it is said to be good", || async { last_order(&gw, "a.example").await == Some(1.0) }).await;
    assert_eq!(orders(&gw, "ok").await, 1.0);
    assert!(gw.metric("attache_certificate_not_after_seconds", &[("listener", "https")]).await > 1.7e9);
    for file in ["a.example.pem", "account.json"] {
        let mode = fs::metadata(storage.file(&server, file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    // A challenge that is over is a request like any other.
    let mut client = crate::support::Client::h1(gw.at("http")).await;
    let reply =
        client.reply(at_host("a.example", get(&format!("/.well-known/acme-challenge/{}", server.token("0"))))).await;
    assert_eq!((reply.status, reply.header("location").starts_with("https://a.example")), (301, true));
}

#[tokio::test]
async fn rfc8737_3_a_handshake_shows_that_a_name_is_ours_also_where_clients_need_certificates() {
    let (server, storage, clients) = (AcmeServer::start().await, Storage::new(), Ca::new());
    let gw = Gw::with(HANDSHAKE, &[&server, &storage, &clients]).await;
    server.look_at(gw.at("https"));
    let tls = Tls::with_identity(&server.ca, &["h2"], &clients.issue(&["me"]));
    eventually("a certificate", || async {
        let Ok(mut client) = tls.connect(gw.at("https"), "a.example").await else { return false };
        client.send(at_host("a.example", get("/"))).await.is_ok_and(|reply| reply.status() == 200)
    })
    .await;
    assert_eq!(server.count("look tls-alpn-01 a.example ok"), 1);
    // The protocol of the challenge is spoken while one waits only, and lets nobody in.
    let challenge = Tls::new(&server.ca, &["acme-tls/1"]);
    let refused = challenge.connect(gw.at("https"), "a.example").await.unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
}

#[tokio::test]
async fn a_restart_serves_what_was_received_at_once() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    let gw = Gw::with(HTTP, &[&server, &storage]).await;
    server.look_at(gw.at("http"));
    served(&gw, &server, "a.example").await;
    drop(gw);
    let gw = Gw::with(HTTP, &[&server, &storage]).await;
    assert!(is_served(&gw, &server, "a.example").await, "without waiting");
    assert_eq!((server.count("account"), server.count("order")), (1, 1));
}

#[tokio::test]
async fn a_certificate_is_renewed_after_two_thirds_of_its_life_and_no_connection_dropped() {
    let (server, storage, sse) = (AcmeServer::start().await, Storage::new(), Sse::new().await);
    storage.put(&server, &server.ca, "a.example", -70, 20);
    let template = HTTP.replace("respond: { body: ok }", "endpoints: ['{2}']");
    let gw = Gw::with(&template, &[&server, &storage, &sse]).await;
    let mut old = Tls::new(&server.ca, &["h2"]).connect(gw.at("https"), "a.example").await.expect("the old one");
    let (answer, stream) = tokio::join!(old.send(at_host("a.example", get("/"))), sse.stream());
    let mut body = answer.unwrap().into_body();
    server.look_at(gw.at("http"));
    eventually("a new certificate", || async {
        let new = Tls::new(&server.ca, &["h2"]).connect(gw.at("https"), "a.example").await.expect("always one");
        new.certificates[0] != old.certificates[0]
    })
    .await;
    stream.event("still").await;
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "data: still\n\n");
}

#[tokio::test]
async fn rfc9773_4_2_the_authority_may_suggest_when_to_renew() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    let gw = Gw::with(HTTP, &[&server, &storage]).await;
    server.look_at(gw.at("http"));
    served(&gw, &server, "a.example").await;
    drop(gw);
    // An hour without orders has passed.
    fs::remove_file(storage.file(&server, "a.example.attempts")).unwrap();
    server.suggest("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z", 21_600);
    let gw = Gw::with(HTTP, &[&server, &storage]).await;
    server.look_at(gw.at("http"));
    eventually("a renewal", || async { orders(&gw, "ok").await == 1.0 }).await;
    assert_eq!(server.count("suggest /renewal/"), 1);
    assert_eq!(server.count("order a.example as another"), 1, "it says which certificate it replaces");
}

#[tokio::test]
async fn an_authority_that_asks_to_wait_is_left_alone_also_after_reloads() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    server.refuse(&[Refusal { status: 429, kind: "rateLimited", retry_after: Some(7200) }]);
    let mut gw = Gw::with(HTTP, &[&server, &storage]).await;
    eventually("a refusal", || async { orders(&gw, "rate_limited").await == 1.0 }).await;
    let text = fs::read_to_string(storage.file(&server, "a.example.attempts")).unwrap();
    let (failures, not_before) = text.trim().split_once(' ').unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert_eq!(failures, "1");
    assert!((now + 7100..=now + 7200).contains(&not_before.parse().unwrap()), "{text}");
    server.look_at(gw.at("http"));
    gw.reload(&HTTP.replace("[a.example]", "[a.example, z.example]"), &[&server, &storage]).await.unwrap();
    // Names are looked at in order, so the first was looked at again as well.
    served(&gw, &server, "z.example").await;
    assert_eq!(server.count("order a.example"), 1);
    assert!(!is_served(&gw, &server, "a.example").await, "and nothing is shown for it, not even the other");
}

#[tokio::test]
async fn a_name_that_is_not_ours_gets_no_certificate() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    let elsewhere = Backend::replying(404).await;
    let gw = Gw::with(HTTP, &[&server, &storage]).await;
    assert_eq!(last_order(&gw, "a.example").await, None, "the authority has not looked yet");
    server.look_at(elsewhere.place().parse().unwrap());
    eventually("a failure", || async { last_order(&gw, "a.example").await == Some(0.0) }).await;
    assert_eq!(server.count("look http-01 a.example wrong"), 1);
    assert_eq!(orders(&gw, "failed").await, 1.0);
    assert!(!storage.file(&server, "a.example.pem").exists());
    let refused = Tls::new(&server.ca, &["h2"]).connect(gw.at("https"), "a.example").await.unwrap_err();
    assert!(refused.to_string().contains("UnrecognisedName"), "{refused}");
}

#[tokio::test]
async fn rfc8555_7_3_4_an_account_can_be_bound_to_one_that_exists() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    server.bind_accounts("kid-1", b"0123456789abcdef0123456789abcdef");
    let key = storage.0.path().join("eab.key");
    fs::write(&key, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\n").unwrap();
    let eab = format!("eab: {{ keyId: kid-1, keyFile: '{}' }}, email", key.display());
    let gw = Gw::with(&HTTP.replace("email", &eab), &[&server, &storage]).await;
    server.look_at(gw.at("http"));
    served(&gw, &server, "a.example").await;
}

#[tokio::test]
async fn of_two_gateways_with_one_storage_one_orders_and_both_serve() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    let first = Gw::with(HTTP, &[&server, &storage]).await;
    eventually("an order", || async { server.count("order") == 1 }).await;
    let second = Gw::with(HTTP, &[&server, &storage]).await;
    server.look_at(first.at("http"));
    served(&first, &server, "a.example").await;
    second.refresh_certificates().await;
    assert!(is_served(&second, &server, "a.example").await);
    assert_eq!(server.count("order"), 1);
    within("an end", first.shutdown()).await;
}

#[tokio::test]
async fn a_reload_while_the_file_is_broken_keeps_the_certificate_that_was_served() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    storage.put(&server, &server.ca, "a.example", -10, 80);
    let mut gw = Gw::with(HTTP, &[&server, &storage]).await;
    assert!(is_served(&gw, &server, "a.example").await);
    fs::write(storage.file(&server, "a.example.pem"), "-----BEGIN CERTIFICATE-----\nMII").unwrap();
    gw.reload(&HTTP.replace("body: ok", "body: other"), &[&server, &storage]).await.unwrap();
    let mut client = Tls::new(&server.ca, &["h2"]).connect(gw.at("https"), "a.example").await.expect("the one before");
    assert_eq!(client.reply(at_host("a.example", get("/"))).await.text(), "other");
}

#[tokio::test]
async fn a_reload_does_not_end_an_order_under_way() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    let mut gw = Gw::with(HTTP, &[&server, &storage]).await;
    eventually("an order", || async { server.count("order a.example") == 1 }).await;
    gw.reload(&HTTP.replace("body: ok", "body: 'ok'"), &[&server, &storage]).await.unwrap();
    gw.reload(&HTTP.replace("[a.example]", "[a.example, z.example]"), &[&server, &storage]).await.unwrap();
    server.look_at(gw.at("http"));
    served(&gw, &server, "a.example").await;
    served(&gw, &server, "z.example").await;
    assert_eq!((server.count("order a.example"), server.count("account")), (1, 1));
}

#[tokio::test]
async fn a_reload_ends_an_order_that_nobody_wants_any_more() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    let mut gw = Gw::with(HTTP, &[&server, &storage]).await;
    eventually("an order", || async { server.count("order a.example") == 1 }).await;
    gw.reload(&HTTP.replace("a.example]", "z.example]"), &[&server, &storage]).await.unwrap();
    // One is ordered at a time, and nobody looks at the challenge of the first.
    eventually("the next order", || async { server.count("order z.example") == 1 }).await;
    assert!(!storage.file(&server, "a.example.pem").exists());
}

#[tokio::test]
async fn an_account_that_cannot_be_used_is_not_replaced_by_another() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    let file = storage.file(&server, "account.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "{ half of").unwrap();
    let gw = Gw::with(HTTP, &[&server, &storage]).await;
    eventually("a failure", || async { orders(&gw, "failed").await == 1.0 }).await;
    assert_eq!((server.count("account"), fs::read_to_string(&file).unwrap().as_str()), (0, "{ half of"));
}

#[tokio::test]
async fn a_certificate_with_the_key_of_another_is_ordered_again() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    storage.put(&server, &server.ca, "a.example", -10, 80);
    let file = storage.file(&server, "a.example.pem");
    let own = fs::read_to_string(&file).unwrap();
    storage.put(&server, &server.ca, "a.example", -10, 80);
    let other = fs::read_to_string(&file).unwrap();
    let at = |text: &str| text.find("-----BEGIN CERTIFICATE").unwrap();
    fs::write(&file, format!("{}{}", &own[..at(&own)], &other[at(&other)..])).unwrap();
    let gw = Gw::with(HTTP, &[&server, &storage]).await;
    server.look_at(gw.at("http"));
    served(&gw, &server, "a.example").await;
    assert_eq!(server.count("order a.example"), 1);
}

#[tokio::test]
async fn an_authority_that_suggests_times_beyond_all_clocks_breaks_nothing() {
    let (server, storage) = (AcmeServer::start().await, Storage::new());
    let gw = Gw::with(HTTP, &[&server, &storage]).await;
    server.look_at(gw.at("http"));
    served(&gw, &server, "a.example").await;
    drop(gw);
    server.suggest("9999-12-30T00:00:00Z", "9999-12-31T00:00:00Z", u64::MAX);
    let gw = Gw::with(&HTTP.replace("[a.example]", "[a.example, z.example]"), &[&server, &storage]).await;
    server.look_at(gw.at("http"));
    served(&gw, &server, "z.example").await;
    assert_eq!(server.count("suggest /renewal/"), 1, "names are looked at in order");
    assert_eq!(gw.metric("attache_task_ends_total", &[("task", "acme")]).await, 0.0);
}
