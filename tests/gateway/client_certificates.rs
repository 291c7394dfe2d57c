//! Clients that are known by their certificates.

use http::Request;

use crate::support::{Backend, Body, Ca, Client, Gw, Identity, TextFile, Tls, at_host, get, with_field};

/// A gateway that takes certificates of `clients`, and a route whose provider has these `settings`.
async fn gateway(settings: &str, rest: &str, server: &Identity, clients: &Ca, backend: &Backend) -> Gw {
    let keys = TextFile::new("bob:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n"); // "secret"
    let template = format!(
        "
         listeners:
           https: {{ address: '127.0.0.1:0', tls: {{ certificates: [{{ {{1}} }}], \
                    clientAuth: {{ mode: optional, caFile: '{{2}}' }} }} }}
         authProviders:
           mesh: {{ clientCertificate: {{ {settings} }} }}
           keys: {{ apiKey: {{ keysFile: '{{3}}' }} }}
         routes:
           all: {{ endpoints: ['{{0}}'], auth: {{ {rest} identityHeaders: {{ principal: x-who, spiffe: x-spiffe, roles: x-roles }} }} }}"
    );
    Gw::with(&template, &[backend, server, clients, &keys]).await
}

async fn connected(gw: &Gw, ca: &Ca, alpn: &str, identity: Option<&Identity>) -> Client {
    let tls = match identity {
        Some(identity) => Tls::with_identity(ca, &[alpn], identity),
        None => Tls::new(ca, &[alpn]),
    };
    gw.tls(&tls, "a.example").await.unwrap()
}

fn root() -> Request<Body> {
    at_host("a.example", get("/"))
}

#[tokio::test]
async fn a_certificate_lets_its_owner_in() {
    let backend = Backend::replying(200).await;
    let (ca, clients) = (Ca::new(), Ca::new());
    let server = ca.issue(&["a.example"]);
    let settings = "trustDomains: example.org, roles: [mesh]";
    let gw = gateway(settings, "anyOf: [mesh],", &server, &clients, &backend).await;
    let ours = clients.issue(&["planner.example", "spiffe://example.org/ns/prod/sa/planner"]);
    let foreign = clients.issue(&["planner.example", "spiffe://example.com/ns/prod/sa/planner"]);
    let plain = clients.issue(&["planner.example"]);
    let doubled = clients.issue(&["a", "spiffe://example.org/a", "spiffe://example.org/b"]);
    for alpn in ["http/1.1", "h2"] {
        let mut client = connected(&gw, &ca, alpn, Some(&ours)).await;
        let forged = with_field("x-spiffe", "spiffe://example.org/admin", with_field("x_who", "admin", root()));
        assert_eq!(client.reply(forged).await.status, 200);
        let seen = backend.requests().pop().unwrap();
        let id = "spiffe://example.org/ns/prod/sa/planner";
        assert_eq!(["x-who", "x-spiffe", "x-roles", "x_who"].map(|name| seen.header(name)), [id, id, "mesh", ""]);
        for other in [Some(&foreign), Some(&plain), Some(&doubled), None] {
            let reply = connected(&gw, &ca, alpn, other).await.reply(root()).await;
            assert_eq!(reply.outcome(), (401, "credentials_missing"));
            assert_eq!(reply.header("www-authenticate"), r#"ClientCertificate realm="agents""#);
        }
    }
    assert_eq!(backend.hits(), 2);
}

#[tokio::test]
async fn one_of_another_authority_never_comes_in() {
    let backend = Backend::replying(200).await;
    let (ca, clients, others) = (Ca::new(), Ca::new(), Ca::new());
    let server = ca.issue(&["a.example"]);
    let gw = gateway("", "anyOf: [mesh],", &server, &clients, &backend).await;
    let forged = others.issue(&["a", "spiffe://example.org/ns/prod/sa/planner"]);
    let tls = Tls::with_identity(&ca, &["http/1.1"], &forged);
    if let Ok(mut client) = gw.tls(&tls, "a.example").await {
        assert!(client.send(root()).await.is_err(), "the handshake fails");
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn a_session_that_is_resumed_is_its_owners() {
    let backend = Backend::replying(200).await;
    let (ca, clients) = (Ca::new(), Ca::new());
    let server = ca.issue(&["a.example"]);
    let gw = gateway("principal: subject", "anyOf: [mesh],", &server, &clients, &backend).await;
    let tls = Tls::with_identity(&ca, &["http/1.1"], &clients.issue(&["planner.example"]));
    for resumed in [false, true] {
        let mut client = gw.tls(&tls, "a.example").await.unwrap();
        assert_eq!(client.resumed, resumed);
        assert_eq!(client.reply(root()).await.status, 200);
        assert_eq!(backend.requests().pop().unwrap().header("x-who"), "CN=planner.example");
    }
}

#[tokio::test]
async fn a_certificate_or_a_key_or_both() {
    let backend = Backend::replying(200).await;
    let (ca, clients) = (Ca::new(), Ca::new());
    let server = ca.issue(&["a.example"]);
    let identity = clients.issue(&["planner.example"]);
    for (rest, with_both, with_certificate, with_key) in
        [("anyOf: [mesh, keys],", 200, 200, 200), ("allOf: [mesh, keys],", 200, 401, 401)]
    {
        let gw = gateway("principal: dns", rest, &server, &clients, &backend).await;
        for (identity, key, expected) in [
            (Some(&identity), Some("secret"), with_both),
            (Some(&identity), None, with_certificate),
            (None, Some("secret"), with_key),
            (None, None, 401),
        ] {
            let request = key.map_or_else(root, |key| with_field("x-api-key", key, root()));
            let status = connected(&gw, &ca, "h2", identity).await.reply(request).await.status;
            assert_eq!(status, expected, "{rest} {} {key:?}", identity.is_some());
        }
    }
}
