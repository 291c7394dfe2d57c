//! TLS towards endpoints: who is trusted, under which name, and what we show.

use crate::support::{Backend, Ca, Gw, Identity, Speak, post};

async fn backend(identity: &Identity, alpn: &[&str], clients: Option<&Ca>) -> Backend {
    let speak = Speak { tls: Some(identity.server(alpn, clients)), ..Speak::default() };
    Backend::replying_as(speak, 200).await
}

fn cluster(rest: &str) -> String {
    format!("routes: {{ all: {{ cluster: one }} }}\nclusters: {{ one: {{ endpoints: ['{{0}}'], {rest} }} }}")
}

#[tokio::test]
async fn an_endpoint_of_a_known_authority_is_trusted() {
    let ca = Ca::new();
    let identity = ca.issue(&["inner.example", "127.0.0.1"]);
    for (alpn, rest, version) in [
        (&["http/1.1"][..], "protocol: http/1.1, tls: { caFile: '{1}' }", "HTTP/1.1"),
        (&["h2", "http/1.1"], "protocol: h2, tls: { caFile: '{1}' }", "HTTP/2.0"),
        (&["h2", "http/1.1"], "tls: { caFile: '{1}' }", "HTTP/2.0"),
        (&["http/1.1"], "protocol: auto, tls: { caFile: '{1}' }", "HTTP/1.1"),
        (&[], "protocol: auto, tls: { caFile: '{1}', serverName: inner.example }", "HTTP/1.1"),
    ] {
        let backend = backend(&identity, alpn, None).await;
        let gw = Gw::with(&cluster(rest), &[&backend, &ca]).await;
        assert_eq!(gw.send(post("/", "x")).await.status, 200, "{rest}");
        assert_eq!(format!("{:?}", backend.request().version), version, "{rest}");
    }
}

#[tokio::test]
async fn nobody_else_is_trusted() {
    let (ca, other) = (Ca::new(), Ca::new());
    let identity = ca.issue(&["127.0.0.1"]);
    let backend = backend(&identity, &["h2", "http/1.1"], None).await;
    for (rest, authority, cause) in [
        ("tls: { caFile: '{1}' }", &other, "the endpoint's certificate has a bad signature"),
        ("tls: {}", &ca, "the endpoint's certificate is from an unknown authority"),
        ("tls: { caFile: '{1}', serverName: other.example }", &ca, "not valid for name \"other.example\""),
    ] {
        let gw = Gw::with(&cluster(rest), &[&backend, authority]).await;
        let reply = gw.get("/").await;
        assert_eq!((reply.status, reply.reason()), (502, "upstream_tls"), "{rest}");
        assert!(!reply.text().to_lowercase().contains("certificate"), "the client learns no details: {}", reply.text());
        let record = gw.record().await;
        assert_eq!(record["flags"], "UF", "{rest}");
        let told = record["upstream_error"].as_str().unwrap_or_default();
        assert!(told.contains(cause), "{rest}: {record}");
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn an_authoritys_certificate_is_no_endpoints() {
    let ca = Ca::new();
    let backend = backend(&ca.issue_authority(&["127.0.0.1"]), &["http/1.1"], None).await;
    let gw = Gw::with(&cluster("tls: { caFile: '{1}' }"), &[&backend, &ca]).await;
    assert_eq!(gw.get("/").await.reason(), "upstream_tls");
    let record = gw.record().await;
    let told = record["upstream_error"].as_str().unwrap_or_default();
    assert!(told.contains("the endpoint's certificate is an authority's (CA:TRUE)"), "{record}");
}

#[tokio::test]
async fn an_endpoint_that_must_speak_h2_and_does_not_is_502() {
    let ca = Ca::new();
    let backend = backend(&ca.issue(&["127.0.0.1"]), &["http/1.1"], None).await;
    let gw = Gw::with(&cluster("protocol: h2, tls: { caFile: '{1}' }"), &[&backend, &ca]).await;
    assert_eq!(gw.get("/").await.reason(), "upstream_tls");
}

#[tokio::test]
async fn our_certificate_is_shown_where_it_is_asked_for() {
    let (ca, clients) = (Ca::new(), Ca::new());
    let backend = backend(&ca.issue(&["127.0.0.1"]), &["http/1.1"], Some(&clients)).await;
    let ours = clients.issue(&["gateway"]);
    let gw = Gw::with(&cluster("tls: { caFile: '{1}', {2} }"), &[&backend, &ca, &ours]).await;
    assert_eq!(gw.get("/").await.status, 200);
    let without = Gw::with(&cluster("tls: { caFile: '{1}' }"), &[&backend, &ca]).await;
    let reply = without.send(post("/", "x")).await;
    assert_eq!(reply.status, 502, "{}", reply.reason());
    assert_eq!(backend.hits(), 1);
}

#[tokio::test]
async fn an_endpoint_that_speaks_no_tls_is_502() {
    let (ca, backend) = (Ca::new(), Backend::replying(200).await);
    let gw = Gw::with(&cluster("tls: { caFile: '{1}' }"), &[&backend, &ca]).await;
    let reply = gw.send(post("/", "x")).await;
    assert_eq!((reply.status, reply.reason()), (502, "upstream_tls"));
}

#[tokio::test]
async fn endpoints_can_be_known_by_names_of_their_certificates() {
    let ca = Ca::new();
    let identity = ca.issue(&["inner.example", "spiffe://example.org/ns/prod/sa/planner"]);
    let backend = backend(&identity, &["http/1.1"], None).await;
    for names in
        ["spiffe://example.org/ns/prod/sa/planner", "Inner.Example", "[spiffe://example.org/other, inner.example]"]
    {
        let rest = format!("tls: {{ caFile: '{{1}}', subjectAltNames: {names} }}");
        let gw = Gw::with(&cluster(&rest), &[&backend, &ca]).await;
        assert_eq!(gw.get("/").await.status, 200, "{names}: the address is in no certificate");
    }
    let hits = backend.hits();
    for (rest, cause) in [
        (
            "subjectAltNames: spiffe://example.org/ns/prod/sa/plan",
            "is not valid for spiffe://example.org/ns/prod/sa/plan but for inner.example, spiffe://example.org/ns/prod",
        ),
        ("subjectAltNames: other.example, serverName: inner.example", "is not valid for other.example but for"),
    ] {
        let gw = Gw::with(&cluster(&format!("tls: {{ caFile: '{{1}}', {rest} }}")), &[&backend, &ca]).await;
        let reply = gw.get("/").await;
        assert_eq!((reply.status, reply.reason()), (502, "upstream_tls"), "{rest}");
        let record = gw.record().await;
        let told = record["upstream_error"].as_str().unwrap_or_default();
        assert!(told.contains(cause), "{rest}: {record}");
    }
    assert_eq!(backend.hits(), hits);
}

#[tokio::test]
async fn a_name_of_a_certificate_is_believed_from_known_authorities_only() {
    let (ca, other) = (Ca::new(), Ca::new());
    let name = "spiffe://example.org/planner";
    let backend = backend(&other.issue(&[name]), &["h2", "http/1.1"], None).await;
    let rest = format!("tls: {{ caFile: '{{1}}', subjectAltNames: '{name}' }}");
    let gw = Gw::with(&cluster(&rest), &[&backend, &ca]).await;
    assert_eq!(gw.get("/").await.reason(), "upstream_tls");
    let told = gw.record().await["upstream_error"].to_string();
    assert!(told.contains("the endpoint's certificate has a bad signature"), "{told}");
    assert_eq!(backend.hits(), 0);
}
