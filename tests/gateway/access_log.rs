//! The access log: what the record of an exchange says, and that nothing foreign steers who reads it.

use serde_json::{Value, json};

use crate::support::{Backend, Gw, Place, RawBackend, get, refusing};

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
        (
            &status,
            json!("upstream_invalid"),
            "status code out of range",
        ),
        (&good, Value::Null, ""),
    ] {
        let gw = Gw::with(
            "routes: { all: { endpoints: ['{0}'], retries: off } }",
            &[place],
        )
        .await;
        gw.get("/").await;
        let record = gw.record().await;
        assert_eq!(record["reason"], reason, "{record}");
        let told = record["upstream_error"].as_str().unwrap_or_default();
        assert!(told.contains(cause), "{cause}: {record}");
        assert_eq!(told.is_empty(), cause.is_empty(), "{record}");
    }
}

#[tokio::test]
async fn a_record_says_why_an_answer_broke_off() {
    let backend =
        RawBackend::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbeginning").await;
    let template = "
        routes:
          all: { endpoints: ['{0}'], streaming: { idleTimeout: 1s } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    let answer = gw.h1().await.send(get("/")).await.unwrap();
    assert!(crate::support::Reply::read(answer).await.is_err());
    let record = gw.record().await;
    let told = record["upstream_error"].as_str().unwrap_or_default();
    assert!(
        told.starts_with("the stream was silent") || told.starts_with("the endpoint broke off"),
        "{record}"
    );
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
