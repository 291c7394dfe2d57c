//! TLS on a listener.

use super::*;

fn tls_listener(authority: &Authority, files: &Files, limits: Limits) -> Listener {
    let mut listener = listener(limits);
    listener.protocols = vec![HttpVersion::H2, HttpVersion::Http1];
    listener.tls = Some(ListenerTls {
        min_version: TlsVersion::V12,
        certificates: vec![files.issue(authority, "one", &["one.test"])],
        unknown_sni: UnknownSni::Reject,
        client_auth: ClientAuth::default(),
        acme: None,
    });
    listener
}

#[tokio::test(flavor = "local")]
async fn tls_speaks_what_alpn_agrees_on() {
    let (authority, files) = (Authority::new(), Files::new());
    let front = open(&tls_listener(&authority, &files, limits()));
    let name = ServerName::try_from("one.test").unwrap();

    let connector = authority.connector(&[b"h2"]);
    let stream = connector.connect(name.clone(), front.connect().await).await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(Box::new(stream))).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::get("https://one.test/").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(send.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes(), "got 0");
    drop(send);
    driver.await.unwrap().unwrap();

    for alpn in [&[&b"http/1.1"[..]][..], &[]] {
        let mut stream = authority.connector(alpn).connect(name.clone(), front.connect().await).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with("got 0"), "{text}");
    }
    assert!(authority.connector(&[b"spdy/3"]).connect(name, front.connect().await).await.is_err(), "nothing in common");
    let unknown = ServerName::try_from("two.test").unwrap();
    let error = authority.connector(&[]).connect(unknown, front.connect().await).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("unrecogni"), "{error}");
    front.eventually(Seen::HandshakeFailed(HandshakeEnd::UnknownName)).await;
}

#[tokio::test(flavor = "local")]
async fn silence_is_cut_before_in_and_after_a_tls_handshake() {
    let (authority, files) = (Authority::new(), Files::new());
    let front = open(&tls_listener(&authority, &files, hasty()));
    let mut stream = front.connect().await;
    assert_eq!(read_all(&mut stream).await, "");
    front.eventually(Seen::HandshakeFailed(HandshakeEnd::Timeout)).await;
    let name = ServerName::try_from("one.test").unwrap();
    for (alpn, expiry) in [(&b"http/1.1"[..], Expiry::Idle), (&b"h2"[..], Expiry::Head)] {
        let mut stream = authority.connector(&[alpn]).connect(name.clone(), front.connect().await).await.unwrap();
        let mut bytes = Vec::new();
        // The end of the stream, with or without a close_notify before it.
        let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await.expect("cut in time");
        assert!(read.is_ok() || read.is_err_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof));
        front.eventually(Seen::Ended(ConnectionEnd::Expired(expiry))).await;
    }
}
