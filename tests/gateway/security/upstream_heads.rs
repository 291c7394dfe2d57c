//! Answers that are not HTTP, and interim answers.

use crate::support::{Gw, RawBackend, get, post, with_field, within};

use super::bench::TO_ONE;

/// An endpoint that answers every request with these bytes, until its connection is dropped.
async fn answering(bytes: Vec<u8>) -> RawBackend {
    RawBackend::script(move |mut connection| {
        let bytes = bytes.clone();
        async move {
            loop {
                connection.read_message().await;
                connection.try_write(&bytes).await;
            }
        }
    })
    .await
}

/// Each of these answers becomes 502; nothing of it is relayed, and its connection is dropped.
async fn never_relayed(cases: &[Vec<u8>]) {
    let mut complaints = Vec::new();
    for case in cases {
        let backend = answering(case.clone()).await;
        let gw = Gw::with(&format!("workers: 1\n{TO_ONE}"), &[&backend]).await;
        let shown = String::from_utf8_lossy(&case[..case.len().min(200)]).into_owned();
        for mut client in [gw.h1().await, gw.h2().await] {
            // A POST is sent once: whatever it got, it got from these bytes.
            let before = backend.connections();
            let reply = client.reply(post("/", "x")).await;
            if (reply.status, reply.reason()) != (502, "upstream_invalid") {
                complaints.push(format!(
                    "{shown:?} became {} {:?} over {:?}",
                    reply.status,
                    reply.reason(),
                    reply.version
                ));
            }
            if reply.headers.contains_key("canary") || reply.text().contains("canary") {
                complaints.push(format!("{shown:?} is relayed: {reply:?}"));
            }
            if backend.connections() != before + 1 {
                complaints.push(format!("{shown:?}: a connection was used twice"));
            }
        }
        let open = gw.metric("attache_upstream_connections", &[("cluster", "all")]).await;
        if open > 0.5 {
            complaints.push(format!("{shown:?}: its connection is kept"));
        }
    }
    assert!(
        complaints.is_empty(),
        "{} complaints about {} cases:\n{}",
        complaints.len(),
        cases.len(),
        complaints.join("\n")
    );
}

#[tokio::test]
async fn status_lines_that_are_not_http() {
    let lines: [&[u8]; 44] = [
        b"HTTP/1.1 99 Low", b"HTTP/1.1 099 Low", b"HTTP/1.1 000 Zero", b"HTTP/1.1 600 High", b"HTTP/1.1 999 High",
        b"HTTP/1.1 1000 Long", b"HTTP/1.1 20 Short", b"HTTP/1.1 2 Short", b"HTTP/1.1 20x OK", b"HTTP/1.1 x00 OK",
        b"HTTP/1.1 +20 OK", b"HTTP/1.1 -20 OK", b"HTTP/1.1 2 00 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 OK", b"HTTP/1.1 ", b"HTTP/1.1", b"HTTP/0.9 200 OK", b"HTTP/1.2 200 OK", b"HTTP/2.0 200 OK",
        b"HTTP/2 200 OK", b"HTTP/3 200 OK", b"HTTP/1.10 200 OK", b"http/1.1 200 OK", b"HTTPS/1.1 200 OK",
        b"HTP/1.1 200 OK", b"ICY 200 OK", b"200 OK", b" HTTP/1.1 200 OK", b"xHTTP/1.1 200 OK", b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 OK\r", b"HTTP/1.1 200\0", b"HTTP/1.1 200 \x01", b"HTTP/1.1 200 \x7f",
        b"SSH-2.0-OpenSSH_9.9", b"220 mail ESMTP", b"<html>canary</html>", b"GET / HTTP/1.1", b"\x16\x03\x01\x02\x00",
        b"{\"canary\":1}", b"\0\0\0\0",
    ];
    let mut cases: Vec<_> =
        lines.iter().map(|line| [line, &b"\r\ncontent-length: 6\r\ncanary: 1\r\n\r\ncanary"[..]].concat()).collect();
    cases.push(b"canary, a page of HTTP/0.9\r\n\r\n".to_vec());
    cases.push(b"HTTP/1.1 200 OK\ncontent-length: 6\n\ncanary".to_vec());
    cases.push(b"HTTP/1.1 200 OK\rcontent-length: 6\r\rcanary\r\n\r\n".to_vec());
    never_relayed(&cases).await;
}

#[tokio::test]
async fn broken_header_lines() {
    let lines: [&[u8]; 34] = [
        b"canary : 1",
        b"canary\t: 1",
        b" canary: 1",
        b"\tcanary: 1",
        b"canary: 1\r\n 2",
        b"canary: 1\r\n\t2",
        b"canary",
        b": 1",
        b"canary: \0",
        b"canary\0: 1",
        b"canary: a\rb",
        b"canary: a\r",
        b"canary: a\nb: c",
        b"canary: a\n",
        b"canary: \x01",
        b"canary: \x0b",
        b"canary: \x7f",
        b"can ary: 1",
        b"can,ary: 1",
        b"can\"ary: 1",
        b"can/ary: 1",
        b"can@ary: 1",
        b"can(ary: 1",
        b"can=ary: 1",
        b"can\xe9ary: 1",
        b"canary: \x1b[2J",
        b"content-length : 6",
        b"transfer-encoding : chunked",
        b"content-length: 6\r\n canary: 1",
        b"\x0bcanary: 1",
        b"HTTP/1.1 200 OK",
        b"canary: 1\n",
        b"\ncanary: 1",
        b"\rcanary: 1",
    ];
    let cases: Vec<_> = lines
        .iter()
        .map(|line| [b"HTTP/1.1 200 OK\r\n", *line, b"\r\ncontent-length: 6\r\n\r\ncanary"].concat())
        .collect();
    never_relayed(&cases).await;
}

#[tokio::test]
async fn lengths_that_contradict_themselves() {
    let fields = [
        "content-length: 6\r\ncontent-length: 7",
        "content-length: 7\r\ncontent-length: 6",
        "content-length: 6, 7",
        "content-length: +6",
        "content-length: -6",
        "content-length: 0x6",
        "content-length:",
        "content-length: 6x",
        "content-length: x",
        "content-length: 6 6",
        "content-length: 6.0",
        "content-length: 99999999999999999999",
        "content-length: 18446744073709551616",
        "content-length: \"6\"",
        "content-length: 6;",
        "content-length: 6\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 6",
        "transfer-encoding: gzip",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: xchunked",
        "transfer-encoding: identity",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding:",
        "transfer-encoding: identity\r\ncontent-length: 6",
    ];
    let mut cases: Vec<_> = fields
        .iter()
        .map(|fields| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n6\r\ncanary\r\n0\r\n\r\n").into_bytes())
        .collect();
    cases.push(b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\ncanary\r\n0\r\n\r\n".to_vec());
    cases.push(b"HTTP/1.1 204 No Content\r\ntransfer-encoding: gzip\r\n\r\ncanary".to_vec());
    never_relayed(&cases).await;
}

#[tokio::test]
async fn heads_over_the_limit() {
    let large = format!("HTTP/1.1 200 OK\r\ncanary: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "canary: x\r\n".repeat(300));
    let endless = format!("HTTP/1.1 200 OK\r\ncanary: {}", "x".repeat(1_000_000));
    let reason = format!("HTTP/1.1 200 {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(70_000));
    never_relayed(&[large, many, endless, reason].map(String::into_bytes)).await;
}

#[tokio::test]
async fn heads_with_many_fields_are_read_as_strictly_as_others() {
    let many = "canary: x\r\n".repeat(150);
    let fields = [
        "canary : 1\r\ncontent-length: 6",
        "canary\r\ncontent-length: 6",
        " canary: 1\r\ncontent-length: 6",
        "canary: \0\r\ncontent-length: 6",
        "can ary: 1\r\ncontent-length: 6",
        "canary: 1\r\n folded\r\ncontent-length: 6",
        "canary: 1\ncontent-length: 6",
        "content-length: 6\r\ncontent-length: 7",
        "content-length: 6\r\ntransfer-encoding: gzip",
        "content-length: six",
    ];
    let mut cases: Vec<_> =
        fields.iter().map(|field| format!("HTTP/1.1 200 OK\r\n{many}{field}\r\n\r\ncanary").into_bytes()).collect();
    let large = "x".repeat(33_000);
    cases.push(format!("HTTP/1.1 200 OK\r\na: {large}\r\n{many}b: {large}\r\ncontent-length: 0\r\n\r\n").into());
    never_relayed(&cases).await;
    for framing in ["content-length: 2\r\n\r\nok", "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"] {
        let backend = answering(format!("HTTP/1.1 200 OK\r\n{many}{framing}").into_bytes()).await;
        let gw = Gw::with(&format!("workers: 1\n{TO_ONE}"), &[&backend]).await;
        let mut client = gw.h2().await;
        for _ in 0..3 {
            let reply = client.reply(post("/", "x")).await;
            assert_eq!((reply.status, reply.text()), (200, "ok"), "{framing:?}");
            assert_eq!(reply.headers.get_all("canary").iter().count(), 150, "{framing:?}");
        }
        assert_eq!(backend.connections(), 1, "{framing:?}: the connection is used again");
    }
}

#[tokio::test]
async fn equal_lengths_are_one_length() {
    for fields in ["content-length: 2\r\ncontent-length: 2", "content-length: 2, 2", "content-length: 02"] {
        let backend = answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok").into_bytes()).await;
        let gw = Gw::with(TO_ONE, &[&backend]).await;
        let mut client = gw.raw().await;
        client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        let text = client.rest().await;
        if text.starts_with("HTTP/1.1 502") {
            continue;
        }
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("\r\n\r\nok"), "{fields}: {text}");
        assert_eq!(text.matches("content-length").count(), 1, "{fields}: {text}");
        assert!(!text.contains("2, 2"), "{fields}: {text}");
        let reply = gw.h2().await.reply(post("/", "")).await;
        assert_eq!((reply.status, reply.text()), (200, "ok"), "{fields}");
    }
}

#[tokio::test]
async fn interim_answers_are_few_and_are_not_the_answer() {
    let few = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(3);
    let backend = answering(format!("HTTP/1.1 100 Continue\r\n\r\n{few}HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").into_bytes()).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let reply = client.reply(post("/", "x")).await;
        assert_eq!((reply.status, reply.text(), reply.header("link")), (200, "ok", ""));
    }
    let many = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(1000);
    never_relayed(&[format!("{many}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ncanary").into_bytes()]).await;
}

#[tokio::test]
async fn interim_answers_without_end_are_cut() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        while connection.try_write("HTTP/1.1 102 Processing\r\n\r\n").await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let reply = within("an answer", async { gw.h1().await.reply(post("/", "x")).await }).await;
    assert_eq!((reply.status, reply.reason()), (502, "upstream_invalid"));
}

#[tokio::test]
async fn a_101_nobody_asked_for_is_no_answer() {
    let switch = |more: &str| {
        format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {more}\r\n\r\ncanary").into_bytes()
    };
    never_relayed(&[
        switch("websocket"),
        switch("h2c"),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\ncanary".to_vec(),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 X\r\nupgrade: x\r\n\r\n".to_vec(),
    ])
    .await;
    // Asked for, where the route does not allow it: the endpoint never learns of it.
    let backend = answering(switch("websocket")).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let asking = with_field("connection", "upgrade", get("/"));
    let asking = with_field("upgrade", "websocket", asking);
    let reply = gw.send(asking).await;
    assert!(matches!(reply.status, 403 | 502), "{reply:?}");
    assert!(!reply.text().contains("canary"));
}
