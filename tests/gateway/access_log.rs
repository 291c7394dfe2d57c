//! The access log: what the record of an exchange says, and that nothing foreign steers who reads it.

use serde_json::{Value, json};

use crate::support::{Backend, Gw, Place, RawBackend, Speak, get, refusing};

#[tokio::test]
async fn a_record_says_why_the_endpoint_failed() {
    let dead = refusing();
    let reset = RawBackend::script(|mut connection| async move {
        connection.read_message().await;
        connection.reset();
    })
    .await;
    let garbage = RawBackend::answering("220 mail.example ESMTP\r\n\r\n").await;
    let status = RawBackend::answering("HTTP/1.1 777 Odd\r\ncontent-length: 0\r\n\r\n").await;
    let good = Backend::replying(200).await;
    for (place, reason, cause) in [
        (&dead as &dyn Place, json!("connect_failed"), "os error 111"),
        (&reset, json!("upstream_reset"), "os error 104"),
        (&garbage, json!("upstream_invalid"), "HTTP"),
        (&status, json!("upstream_invalid"), "status code out of range"),
        (&good, Value::Null, ""),
    ] {
        let gw = Gw::with("routes: { all: { endpoints: ['{0}'], retries: off } }", &[place]).await;
        gw.get("/").await;
        let record = gw.record().await;
        assert_eq!(record["reason"], reason, "{record}");
        let told = record["upstream_error"].as_str().unwrap_or_default();
        assert!(told.contains(cause), "{cause}: {record}");
        assert_eq!(told.is_empty(), cause.is_empty(), "{record}");
    }
}

#[tokio::test]
async fn the_other_http_version_is_named_with_what_to_do() {
    let old = RawBackend::answering("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    // It takes all that comes: closing with bytes unread would be a reset.
    let curt = RawBackend::script(|mut connection| async move {
        connection.read_until("PRI * HTTP/2.0").await;
        connection.finish().await;
        connection.read_to_end().await;
    })
    .await;
    let new = Backend::replying_as(Speak { http2: true, ..Speak::default() }, 200).await;
    for (backend, protocol, advice) in [
        (&old as &dyn Place, "h2c", "the endpoint does not speak HTTP/2: take `protocol: h2c` out"),
        (&curt, "h2c", "closed without a word of HTTP/2; if it speaks none, take `protocol: h2c` out"),
        (&new, "http/1.1", "the endpoint speaks HTTP/2 only: set `protocol: h2c`"),
    ] {
        let template = format!(
            "routes: {{ all: {{ cluster: one }} }}\nclusters: {{ one: {{ endpoints: ['{{0}}'], protocol: {protocol} }} }}"
        );
        let gw = Gw::with(&template, &[backend]).await;
        assert_eq!(gw.get("/").await.status, 502, "{protocol}");
        let record = gw.record().await;
        assert_eq!((&record["reason"], &record["flags"]), (&json!("upstream_invalid"), &json!("UPE")), "{record}");
        assert!(record["upstream_error"].as_str().unwrap_or_default().contains(advice), "{record}");
    }
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_no_slow_connection() {
    let silent = RawBackend::silent().await;
    let template = "
        routes: { all: { cluster: one, retries: off } }
        clusters: { one: { endpoints: ['{0}'], tls: {}, handshakeTimeout: 50ms } }
    ";
    let gw = Gw::with(template, &[&silent]).await;
    assert_eq!(gw.get("/").await.status, 504);
    assert_eq!(gw.record().await["upstream_error"], "the TLS handshake with the endpoint timed out");
}

#[tokio::test]
async fn chunks_that_are_none_are_the_clients_mistake_and_not_its_leave() {
    let good = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&good]).await;
    let mut client = gw.raw().await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nno chunk\r\n").await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    assert!(head.contains("x-attache-reason: body_invalid"), "{head}");
    let record = gw.record().await;
    assert_eq!((&record["reason"], &record["status"]), (&json!("body_invalid"), &json!(400)), "{record}");
}

#[tokio::test]
async fn the_query_of_a_refused_host_is_not_kept() {
    let gw = Gw::with("routes: { all: { respond: { status: 204 } } }", &[]).await;
    let mut client = gw.raw().await;
    client.write("GET /x HTTP/1.1\r\nhost: a.example?token=secret\r\nconnection: close\r\n\r\n").await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    let record = gw.record().await;
    assert!(!record.to_string().contains("secret"), "{record}");
}

#[tokio::test]
async fn a_record_says_why_an_answer_broke_off() {
    let backend = RawBackend::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbeginning").await;
    let template = "
        routes:
          all: { endpoints: ['{0}'], streaming: { idleTimeout: 1s } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    let answer = gw.h1().await.send(get("/")).await.unwrap();
    assert!(crate::support::Reply::read(answer).await.is_err());
    let record = gw.record().await;
    let told = record["upstream_error"].as_str().unwrap_or_default();
    assert!(told.starts_with("the stream was silent") || told.starts_with("the endpoint broke off"), "{record}");
}

#[tokio::test]
async fn a_record_says_why_the_first_try_failed_also_when_the_second_did_not() {
    let dead = refusing();
    let good = Backend::replying(200).await;
    let template = "
        workers: 1
        routes: { all: { cluster: all } }
        clusters: { all: { endpoints: ['{0}', '{1}'], loadBalancer: round-robin } }
    ";
    let gw = Gw::with(template, &[&dead, &good]).await;
    for _ in 0..2 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    let records = gw.records(2).await;
    let again = records.iter().find(|record| record["attempts"] == 2);
    let record = again.expect("one of the two met the dead endpoint first");
    assert_eq!(record["flags"], "-", "{record}");
    let told = record["upstream_error"].as_str().unwrap_or_default();
    assert!(told.contains("os error 111"), "{record}");
}

#[tokio::test]
async fn a_name_and_a_password_in_a_host_are_in_no_record() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    for head in [
        "GET / HTTP/1.1\r\nhost: ann:secret@a.test\r\n\r\n",
        "GET http://ann:secret@a.test/ HTTP/1.1\r\nhost: a.test\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: ann@x:secret@a.test\r\n\r\n",
    ] {
        let mut raw = gw.raw().await;
        raw.write(head).await;
        assert!(raw.rest().await.starts_with("HTTP/1.1 400"), "{head}");
    }
    for record in gw.records(3).await {
        assert_eq!(record["status"], 400, "{record}");
        assert_eq!(record["authority"], "a.test", "{record}");
        let text = record.to_string();
        assert!(!text.contains("secret") && !text.contains("ann"), "{text}");
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn what_turns_or_hides_text_is_written_out_in_a_record() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let mut raw = gw.raw().await;
    raw.write("GET / HTTP/1.1\r\nhost: a.test\r\nuser-agent: \u{202e}evil\u{2028}\u{2066}\u{200b}\u{9b}31m\r\nconnection: close\r\n\r\n")
        .await;
    assert!(raw.rest().await.starts_with("HTTP/1.1 200"));
    let record = gw.record().await;
    assert_eq!(
        record["user_agent"], "\u{202e}evil\u{2028}\u{2066}\u{200b}\u{9b}31m",
        "it is the same string for programs"
    );
    let (_, ended) = gw.shutdown().await;
    let line = ended.text();
    assert!(line.contains(r"\u202eevil\u2028\u2066\u200b\u009b31m"), "and a harmless one for people: {line}");
}

#[tokio::test]
async fn what_the_parser_refuses_leaves_one_record_with_its_reason() {
    let backend = Backend::replying(200).await;
    let template = "
        listeners:
          http: { address: '127.0.0.1:0', limits: { maxHeaderBytes: 8KiB } }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    let long = format!("GET /long HTTP/1.1\r\nhost: a.test\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    for (head, path, reason) in [
        ("GET /a<b?token=1 HTTP/1.1\r\nhost: a.test\r\n\r\n", "/a<b?token=*", "target_invalid"),
        ("GET /a`b HTTP/1.1\r\nhost: a.test\r\n\r\n", "/a`b", "target_invalid"),
        ("GET /a#b HTTP/1.1\r\nhost: a.test\r\n\r\n", "/a", "target_invalid"),
        ("GET /a b HTTP/1.1\r\nhost: a.test\r\n\r\n", "/a b", "target_invalid"),
        ("GET http://ann:pw@a.test/<x HTTP/1.1\r\nhost: a.test\r\n\r\n", "/<x", "target_invalid"),
        ("GET /field HTTP/1.1\r\nhost: a.test\r\nb d: 1\r\n\r\n", "/field", "not_http"),
        ("GET /folded HTTP/1.1\r\nhost: a.test\r\nx: 1\r\n y\r\n\r\n", "/folded", "not_http"),
        ("GET /bare HTTP/1.1\nhost: a.test\n\n", "/bare", "not_http"),
        (&long, "/long", "head_too_large"),
        ("\x16\x03\x01\x02 hello", "-", "tls_on_cleartext_port"),
    ] {
        let gw = Gw::with(template, &[&backend]).await;
        // One that is served first, on the same connection.
        let mut raw = gw.raw().await;
        raw.write("GET /first HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        raw.read_message().await;
        raw.write(head).await;
        raw.rest().await;
        let records = gw.records(2).await;
        let record = records.iter().find(|record| record["path"] != "/first").expect("one that was refused");
        assert_eq!(
            (&record["path"], &record["reason"], &record["flags"]),
            (&json!(path), &json!(reason), &json!("DPE")),
            "{head:?}: {record}"
        );
        assert!(!record.to_string().contains("pw"), "{record}");
        assert!(record["status"].as_u64().is_some_and(|status| (400..500).contains(&status)));
        assert_eq!(record["client_ip"], "127.0.0.1");
    }
}
