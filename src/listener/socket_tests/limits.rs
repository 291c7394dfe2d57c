//! Time limits, ceilings, and who may speak.

use super::*;

#[tokio::test(flavor = "local")]
async fn silent_slow_and_deaf_clients_are_cut() {
    let front = open(&listener(hasty()));
    let cases: [(&[u8], Expiry); 4] = [
        (b"", Expiry::Idle),
        (b"GET / HTTP/1.1\r\nhos", Expiry::Head),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc", Expiry::Body),
        (b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n", Expiry::Write),
    ];
    for (bytes, expiry) in cases {
        let mut stream = front.connect().await;
        stream.write_all(bytes).await.unwrap();
        front.eventually(Seen::Ended(ConnectionEnd::Expired(expiry))).await;
        front.seen.borrow_mut().clear();
        if expiry != Expiry::Write {
            assert_eq!(read_all(&mut stream).await, "", "{expiry:?}");
        }
    }
}

#[tokio::test(flavor = "local")]
async fn keep_alive_ends_when_idle_and_a_trickled_head_does_not_extend_its_time() {
    let front = open(&listener(hasty()));
    let mut stream = front.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("got 0"));
    front.eventually(Seen::Ended(ConnectionEnd::Expired(Expiry::Idle))).await;

    let mut stream = front.connect().await;
    let trickle = async {
        for byte in b"GET / HTTP/1.1\r\nhost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            .iter()
            .cycle()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(5), trickle).await.expect("cut in time");
    assert!(
        front.seen.borrow().contains(&Seen::Ended(ConnectionEnd::Expired(Expiry::Head))),
        "{:?}",
        front.seen.borrow()
    );
}

#[tokio::test(flavor = "local")]
async fn prior_knowledge_h2_is_recognised_and_a_half_preface_is_cut() {
    let mut listener = listener(hasty());
    listener.protocols = vec![HttpVersion::Http1, HttpVersion::H2];
    let front = open(&listener);
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(front.connect().await)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::post("http://a/x").body(Full::<Bytes>::from("abcd")).unwrap();
    let response = send.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "got 4");
    drop(send);
    driver.await.unwrap().unwrap();

    let text = front.converse(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(text.ends_with("got 0"), "HTTP/1 still works: {text}");
    let text = front.converse(b"PRI / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(text.ends_with("got 0"), "what only begins alike is HTTP/1: {text}");

    let mut stream = front.connect().await;
    stream.write_all(b"PRI * ").await.unwrap();
    assert_eq!(read_all(&mut stream).await, "");
    front.eventually(Seen::Ended(ConnectionEnd::Expired(Expiry::Head))).await;
}

#[tokio::test(flavor = "local")]
async fn an_idle_h2_connection_is_told_to_go() {
    let mut listener = listener(hasty());
    listener.protocols = vec![HttpVersion::H2];
    let front = open(&listener);
    let (send, connection) = hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(
        TokioExecutor::new(),
        TokioIo::new(front.connect().await),
    )
    .await
    .unwrap();
    timeout(Duration::from_secs(5), connection).await.expect("ends in time").expect("GOAWAY without an error");
    drop(send);
    front.eventually(Seen::Ended(ConnectionEnd::Expired(Expiry::Idle))).await;
}

#[tokio::test(flavor = "local")]
async fn proxy_headers_are_required_from_those_on_the_list_only() {
    let mut trusting = listener(hasty());
    trusting.proxy_protocol = vec!["127.0.0.0/8".parse().unwrap()];
    trusting.limits.max_connections_per_ip = Some(1);
    let front = open(&trusting);
    let request = "GET /peer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let text = front.converse(format!("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n{request}").as_bytes()).await;
    assert!(text.ends_with("192.0.2.7:4711"), "{text}");
    front.refuses(request.as_bytes()).await;
    front.eventually(Seen::HandshakeFailed(HandshakeEnd::ProxyHeader)).await;
    front.refuses(b"").await;
    front.eventually(Seen::HandshakeFailed(HandshakeEnd::Timeout)).await;

    let held = format!("PROXY TCP4 192.0.2.8 10.0.0.1 1 443\r\n{}", request.replace("connection: close\r\n", ""));
    let mut first = front.connect().await;
    first.write_all(held.as_bytes()).await.unwrap();
    read_until(&mut first, "192.0.2.8:1").await;
    front.refuses(held.as_bytes()).await;
    front.eventually(Seen::OverClientCeiling).await;

    let front = open(&listener(limits()));
    let text = front.converse(format!("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n{request}").as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 400"), "a stranger's header is no HTTP: {text}");
}

#[tokio::test(flavor = "local")]
async fn who_was_accepted_does_not_wait_for_a_place_for_ever() {
    for drain in [false, true] {
        let front = open(&listener(Limits { max_connections: 1, ..if drain { limits() } else { hasty() } }));
        // The loop saw room and waits for a client; then another worker takes the place.
        tokio::task::yield_now().await;
        let taken = front.shared.ceiling.try_acquire(1).unwrap();
        let mut client = front.connect().await;
        front.eventually(Seen::AtCeiling).await;
        if drain {
            front.running.drain();
        }
        assert_eq!(read_all(&mut client).await, "");
        front.eventually(Seen::OverCeiling).await;
        drop(taken);
    }
}

#[tokio::test(flavor = "local")]
async fn ceilings_hold_and_are_given_back() {
    let front = open(&listener(Limits { max_connections: 2, ..limits() }));
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut first = front.connect().await;
    let second = front.connect().await;
    front.eventually(Seen::AtCeiling).await;
    let mut third = front.connect().await;
    third.write_all(request).await.unwrap();
    first.write_all(request).await.unwrap();
    read_until(&mut first, "got 0").await;
    assert_eq!(front.shared.open(), 2, "the third waits in the kernel's queue");
    drop(second);
    read_until(&mut third, "got 0").await;

    let front = open(&listener(Limits { max_connections_per_ip: Some(1), ..limits() }));
    let mut first = front.connect().await;
    first.write_all(request).await.unwrap();
    read_until(&mut first, "got 0").await;
    front.refuses(request).await;
    front.eventually(Seen::OverClientCeiling).await;
    drop(first);
    front.eventually(Seen::Ended(ConnectionEnd::Closed)).await;
    let mut again = front.connect().await;
    again.write_all(request).await.unwrap();
    read_until(&mut again, "got 0").await;
}
