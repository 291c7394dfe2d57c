//! TLS towards clients: which certificate, which protocol, who may come in, and renewal while it runs.

use rustls::pki_types::CertificateDer;
use serde_json::json;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::support::{Backend, Ca, Client, Gw, Raw, Sse, Tls, at_host, chunk, eventually, get};

/// Common name of the certificate a connection got.
fn name(client: &Client) -> String {
    common_name(&client.certificates[0])
}

fn common_name(certificate: &CertificateDer<'_>) -> String {
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    parsed.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned()
}

fn listener(rest: &str) -> String {
    format!(
        "listeners: {{ https: {{ address: '127.0.0.1:0', {rest} }} }}\nroutes: {{ all: {{ respond: {{ body: ok }} }} }}"
    )
}

#[tokio::test]
async fn rfc6066_3_the_name_asked_for_chooses_the_certificate() {
    let ca = Ca::new();
    let certificates = [
        ca.issue(&["default.example"]),
        ca.issue(&["a.example"]),
        ca.issue(&["*.b.example"]),
        ca.issue(&["x.b.example"]),
    ];
    let template = listener("tls: { certificates: [{ {0} }, { {1} }, { {2} }, { {3} }] }");
    let gw = Gw::with(&template, &[&certificates[0], &certificates[1], &certificates[2], &certificates[3]]).await;
    let tls = Tls::new(&ca, &["h2", "http/1.1"]);
    for (asked, expected) in [
        ("a.example", "a.example"),
        ("A.Example", "a.example"),
        ("y.b.example", "*.b.example"),
        ("x.b.example", "x.b.example"),
        ("default.example", "default.example"),
    ] {
        let mut client = gw.tls(&tls, asked).await.expect("a handshake");
        assert_eq!(name(&client), expected, "{asked}");
        assert_eq!(client.reply(at_host(asked, get("/"))).await.text(), "ok");
    }
    assert!(gw.tls(&tls, "unknown.example").await.is_err(), "the default does not serve that name, says the client");
    eventually("it is counted", || async {
        gw.metric("attache_handshake_failures_total", &[("listener", "https")]).await == 1.0
    })
    .await;
}

#[tokio::test]
async fn rfc6066_3_unknown_names_can_be_rejected() {
    let ca = Ca::new();
    let certificate = ca.issue(&["a.example"]);
    let gw = Gw::with(&listener("tls: { certificates: [{ {0} }], unknownSni: reject }"), &[&certificate]).await;
    let tls = Tls::new(&ca, &["http/1.1"]);
    let error = gw.tls(&tls, "b.example").await.unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    assert_eq!(gw.tls(&tls, "a.example").await.unwrap().reply(at_host("a.example", get("/"))).await.status, 200);
}

#[tokio::test]
async fn rfc7301_3_2_protocols_are_agreed_on() {
    let ca = Ca::new();
    let certificate = ca.issue(&["a.example"]);
    let both = Gw::with(&listener("tls: { certificates: [{ {0} }] }"), &[&certificate]).await;
    let only_h1 = Gw::with(&listener("protocols: [http/1.1], tls: { certificates: [{ {0} }] }"), &[&certificate]).await;
    for (gw, offered, expected) in [
        (&both, &["h2", "http/1.1"][..], Some("HTTP/2.0")),
        (&both, &["http/1.1", "h2"], Some("HTTP/2.0")),
        (&both, &["http/1.1"], Some("HTTP/1.1")),
        (&both, &[], Some("HTTP/1.1")),
        (&both, &["h3"], None),
        (&only_h1, &["h2", "http/1.1"], Some("HTTP/1.1")),
        (&only_h1, &["h2"], None),
    ] {
        let connected = gw.tls(&Tls::new(&ca, offered), "a.example").await;
        match (connected, expected) {
            (Ok(mut client), Some(version)) => {
                let reply = client.reply(at_host("a.example", get("/"))).await;
                assert_eq!(format!("{:?}", reply.version), version, "{offered:?}");
            }
            (Err(_), None) => {}
            (connected, _) => panic!("{offered:?}: {connected:?}"),
        }
    }
}

#[tokio::test]
async fn client_certificates_can_be_required() {
    let (ca, clients, strangers) = (Ca::new(), Ca::new(), Ca::new());
    let certificate = ca.issue(&["a.example"]);
    let template = listener("tls: { certificates: [{ {0} }], clientAuth: { mode: require, caFile: '{1}' } }");
    let gw = Gw::with(&template, &[&certificate, &clients]).await;
    let known = Tls::with_identity(&ca, &["http/1.1"], &clients.issue(&["me"]));
    let reply = gw.tls(&known, "a.example").await.unwrap().reply(at_host("a.example", get("/"))).await;
    assert_eq!(reply.status, 200);
    for refused in [Tls::new(&ca, &["http/1.1"]), Tls::with_identity(&ca, &["http/1.1"], &strangers.issue(&["me"]))] {
        // In TLS 1.3 the client learns of it only when it uses the connection.
        if let Ok(mut client) = gw.tls(&refused, "a.example").await {
            assert!(client.send(at_host("a.example", get("/"))).await.is_err());
        }
    }
    assert_eq!(gw.records(1).await.len(), 1, "nothing of theirs was a request");
    eventually("both are counted", || async { gw.metric("attache_handshake_failures_total", &[]).await == 2.0 }).await;
}

#[tokio::test]
async fn client_certificates_can_be_optional() {
    let (ca, clients, strangers) = (Ca::new(), Ca::new(), Ca::new());
    let certificate = ca.issue(&["a.example"]);
    let template = listener("tls: { certificates: [{ {0} }], clientAuth: { mode: optional, caFile: '{1}' } }");
    let gw = Gw::with(&template, &[&certificate, &clients]).await;
    for accepted in [Tls::new(&ca, &["http/1.1"]), Tls::with_identity(&ca, &["http/1.1"], &clients.issue(&["me"]))] {
        let reply = gw.tls(&accepted, "a.example").await.unwrap().reply(at_host("a.example", get("/"))).await;
        assert_eq!(reply.status, 200);
    }
    let stranger = Tls::with_identity(&ca, &["http/1.1"], &strangers.issue(&["me"]));
    if let Ok(mut client) = gw.tls(&stranger, "a.example").await {
        assert!(client.send(at_host("a.example", get("/"))).await.is_err(), "one that is presented is verified");
    }
}

#[tokio::test]
async fn rfc9110_15_5_20_with_client_certificates_a_connection_serves_the_host_it_asked_for() {
    let (ca, clients) = (Ca::new(), Ca::new());
    let certificate = ca.issue(&["a.example", "b.example"]);
    let template = listener("tls: { certificates: [{ {0} }], clientAuth: { mode: optional, caFile: '{1}' } }");
    let gw = Gw::with(&template, &[&certificate, &clients]).await;
    for protocol in ["h2", "http/1.1"] {
        let mut client = gw.tls(&Tls::new(&ca, &[protocol]), "a.example").await.unwrap();
        assert_eq!(client.reply(at_host("a.example", get("/"))).await.status, 200);
        let reply = client.reply(at_host("b.example", get("/"))).await;
        assert_eq!((reply.status, reply.reason()), (421, "misdirected"), "{protocol}");
    }
}

#[tokio::test]
async fn without_client_certificates_a_connection_serves_every_host() {
    let ca = Ca::new();
    let certificate = ca.issue(&["a.example", "b.example"]);
    let gw = Gw::with(&listener("tls: { certificates: [{ {0} }] }"), &[&certificate]).await;
    let mut client = gw.tls(&Tls::new(&ca, &["h2"]), "a.example").await.unwrap();
    for host in ["a.example", "b.example"] {
        assert_eq!(client.reply(at_host(host, get("/"))).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn rfc8446_2_2_sessions_are_resumed_on_any_worker_and_after_a_reload() {
    let ca = Ca::new();
    let certificate = ca.issue(&["a.example"]);
    let template = listener("tls: { certificates: [{ {0} }] }");
    let mut gw = Gw::with(&template, &[&certificate]).await;
    let tls = Tls::new(&ca, &["http/1.1"]);
    let mut first = gw.tls(&tls, "a.example").await.unwrap();
    assert!(!first.resumed);
    first.reply(at_host("a.example", get("/"))).await;
    for turn in 0..6 {
        let mut client = gw.tls(&tls, "a.example").await.unwrap();
        assert!(client.resumed, "connection {turn}");
        client.reply(at_host("a.example", get("/"))).await;
        if turn == 3 {
            gw.reload(&format!("{template}\nlogging: {{ level: warn }}"), &[&certificate]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_served_and_no_connection_dropped() {
    let (ca, sse) = (Ca::new(), Sse::new().await);
    let certificate = ca.issue(&["a.example"]);
    let template = "
        listeners: { https: { address: '127.0.0.1:0', tls: { certificates: [{ {0} }] } } }
        routes: { all: { endpoints: ['{1}'] } }
    ";
    let gw = Gw::with(template, &[&certificate, &sse]).await;
    let tls = Tls::new(&ca, &["h2"]);
    let mut old = gw.tls(&tls, "a.example").await.unwrap();
    let (answer, stream) = tokio::join!(old.send(at_host("a.example", get("/"))), sse.stream());
    let mut body = answer.unwrap().into_body();
    ca.renew(&certificate, &["a.example", "new.example"]);
    gw.refresh_certificates().await;
    let fresh = Tls::new(&ca, &["h2"])
        .connect(gw.address(), "new.example")
        .await
        .expect("the new certificate serves the new name");
    assert_ne!(fresh.certificates[0], old.certificates[0]);
    stream.event("still").await;
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "data: still\n\n");
    assert_eq!(gw.metric("attache_certificate_reloads_total", &[("result", "ok")]).await, 1.0);
    assert!(gw.metric("attache_certificate_not_after_seconds", &[("listener", "https")]).await > 1.7e9);
}

#[tokio::test]
async fn a_broken_renewal_leaves_the_old_certificate() {
    let ca = Ca::new();
    let certificate = ca.issue(&["a.example"]);
    let gw = Gw::with(&listener("tls: { certificates: [{ {0} }] }"), &[&certificate]).await;
    std::fs::write(certificate.cert_path(), "-----BEGIN CERTIFICATE-----\nnonsense\n").unwrap();
    gw.refresh_certificates().await;
    gw.tls(&Tls::new(&ca, &["h2"]), "a.example").await.expect("the old certificate is served");
    assert_eq!(gw.metric("attache_certificate_reloads_total", &[("result", "failed")]).await, 1.0);
}

#[tokio::test]
async fn endpoints_learn_that_the_client_came_over_tls() {
    let (ca, backend) = (Ca::new(), Backend::replying(200).await);
    let certificate = ca.issue(&["a.example"]);
    let template = "
        listeners: { https: { address: '127.0.0.1:0', tls: { certificates: [{ {0} }] } } }
        routes: { all: { endpoints: ['{1}'] } }
    ";
    let gw = Gw::with(template, &[&certificate, &backend]).await;
    gw.tls(&Tls::new(&ca, &["h2"]), "a.example").await.unwrap().reply(at_host("a.example", get("/"))).await;
    assert_eq!(
        (backend.request().header("x-forwarded-proto"), backend.request().header("host")),
        ("https", "a.example")
    );
    let record = gw.record().await;
    assert_eq!(
        (&record["tls"], &record["proto"], &record["authority"]),
        (&json!("TLSv1.3"), &json!("HTTP/2"), &json!("a.example"))
    );
}

#[tokio::test]
async fn what_is_no_handshake_is_closed_and_counted() {
    let ca = Ca::new();
    let certificate = ca.issue(&["a.example"]);
    let gw = Gw::with(&listener("tls: { certificates: [{ {0} }] }"), &[&certificate]).await;
    let mut client = Raw::connect(gw.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(!client.rest().await.contains("HTTP/1.1 200"));
    eventually("it is counted", || async { gw.metric("attache_handshake_failures_total", &[]).await == 1.0 }).await;
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_told_so() {
    let ca = Ca::new();
    let certificate = ca.issue(&["a.example"]);
    let gw = Gw::with(&listener("tls: { certificates: [{ {0} }] }"), &[&certificate]).await;
    let requests = [
        "GET /first HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "POST /first HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello".to_owned(),
        // Neither a second request nor one that is refused for something else gets any further.
        "GET /first HTTP/1.1\r\nhost: a\r\n\r\nGET /second HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "GET /first HTTP/1.1\r\n\r\n".to_owned(),
    ];
    for request in &requests {
        let mut client = Raw::connect(gw.address()).await;
        client.write(request).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert!(answer.contains("this port speaks TLS: use https"), "{answer}");
    }
    for record in gw.records(requests.len()).await {
        assert_eq!(
            (&record["path"], &record["reason"], &record["status"]),
            (&"/first".into(), &"plain_http_on_tls_port".into(), &400.into()),
            "{record}"
        );
        assert_eq!(record["tls"], serde_json::Value::Null, "{record}");
    }
    eventually("they are counted", || async { gw.metric("attache_handshake_failures_total", &[]).await == 4.0 }).await;
}

#[tokio::test]
async fn what_is_no_request_on_a_tls_port_is_told_so_and_recorded() {
    let ca = Ca::new();
    let certificate = ca.issue(&["a.example"]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (bytes, path) in [(&preface[..], "*"), (b"HELLO you\r\n\r\n", "-"), (b"GET /a<b HTTP/1.1\r\n\r\n", "/a<b")] {
        let gw = Gw::with(&listener("tls: { certificates: [{ {0} }] }"), &[&certificate]).await;
        let mut client = Raw::connect(gw.address()).await;
        client.write(bytes).await;
        let answer = client.rest().await;
        if path == "*" {
            // SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED: a client that obeys can read the answer to that.
            assert_eq!(answer.as_bytes()[..9], *b"\0\0\0\x04\0\0\0\0\0", "{answer:?}");
            let goaway = b"\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0dthis port speaks TLS: use https";
            assert_eq!(answer.as_bytes()[12..], *goaway, "{answer:?}");
        } else {
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        }
        let records = gw.records(1).await;
        assert_eq!(
            (records.len(), &records[0]["path"], &records[0]["reason"], &records[0]["status"]),
            (1, &path.into(), &"plain_http_on_tls_port".into(), &400.into()),
            "{records:?}"
        );
        let failures = gw.metric("attache_handshake_failures_total", &[]).await;
        assert_eq!(failures, 1.0, "{answer}");
    }
}

#[tokio::test]
async fn tls_on_a_cleartext_port_is_told_so_and_recorded() {
    let gw = Gw::with("routes: { all: { respond: { status: 204 } } }", &[]).await;
    let ca = Ca::new();
    let refused = gw.tls(&Tls::new(&ca, &["h2", "http/1.1"]), "a.example").await.expect_err("no handshake");
    assert!(refused.to_string().contains("UnexpectedMessage"), "{refused}");
    let record = gw.record().await;
    assert_eq!(
        (&record["reason"], &record["status"], &record["method"]),
        (&"tls_on_cleartext_port".into(), &400.into(), &"-".into()),
        "{record}"
    );
}
