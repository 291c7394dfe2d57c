//! HTTP/1: framing, refusals, tunnels.

use super::*;

#[tokio::test(flavor = "local")]
async fn requests_and_pipelining_over_http1() {
    let front = open(&listener(limits()));
    let text = front
        .converse(
            b"POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
              5;x=y\r\nabcde\r\n0\r\ntrailer: 1\r\n\r\nGET /c HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )
        .await;
    assert_eq!(text.matches("HTTP/1.1 200").count(), 3, "{text}");
    let bodies: Vec<_> = text.match_indices("got ").filter_map(|(at, _)| text.get(at..at + 5)).collect();
    assert_eq!(bodies, ["got 3", "got 5", "got 0"]);
    front.eventually(Seen::Ended(ConnectionEnd::Closed)).await;
    assert_eq!(front.shared.open(), 0, "the permit was given back");
}

#[tokio::test(flavor = "local")]
async fn what_the_scanner_finds_the_service_refuses_after_answering_what_came_before() {
    let front = open(&listener(limits()));
    let text = front
        .converse(
            b"GET /a HTTP/1.1\r\nhost: a\r\n\r\nPOST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
              0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .await;
    assert_eq!(text.matches("HTTP/1.1 200").count(), 1, "{text}");
    assert_eq!(text.matches("HTTP/1.1 400").count(), 1, "{text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 2, "nothing after the refused head is parsed: {text}");
    assert!(text.ends_with("length_and_encoding"), "{text}");
}

#[tokio::test(flavor = "local")]
async fn broken_heads_get_400_and_the_connection_closes() {
    let front = open(&listener(limits()));
    let cases: [&[u8]; 14] = [
        b"GET / HTTP/1.1\nhost: a\n\n",
        b"GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\rx: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\n host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nnocolon\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\nhost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\r\n\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\r\n\r\n",
    ];
    for case in cases {
        let text = front.converse(case).await;
        assert!(text.starts_with("HTTP/1.1 400"), "{:?}: {text}", String::from_utf8_lossy(case));
        assert_eq!(text.matches("HTTP/1.").count(), 1, "{text}");
    }
    front.eventually(Seen::Ended(ConnectionEnd::Refused(StatusCode::BAD_REQUEST))).await;
}

#[tokio::test(flavor = "local")]
async fn heads_over_the_limits_get_414_or_431() {
    let front = open(&listener(Limits { max_header_bytes: 4096, max_headers: 10, max_target_bytes: 100, ..limits() }));
    let long = front.converse(format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(100)).as_bytes()).await;
    assert!(long.starts_with("HTTP/1.1 414"), "{long}");
    let large =
        front.converse(format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(4096)).as_bytes()).await;
    assert!(large.starts_with("HTTP/1.1 431"), "{large}");
    let endless = front.converse(format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(9000)).as_bytes()).await;
    assert!(endless.starts_with("HTTP/1.1 431"), "{endless}");
    let many = front.converse(format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(10)).as_bytes()).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    front.eventually(Seen::Ended(ConnectionEnd::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))).await;
}

#[tokio::test(flavor = "local")]
async fn a_panic_ends_its_connection_and_nothing_else() {
    let front = open(&listener(Limits { max_connections: 2, ..limits() }));
    let mut other = front.connect().await;
    for _ in 0..3 {
        assert_eq!(front.converse(b"GET /panic HTTP/1.1\r\nhost: a\r\n\r\n").await, "", "there is no answer");
        // Were its place not free again, the next one would wait for ever.
        while front.shared.open() > 1 {
            tokio::task::yield_now().await;
        }
    }
    other.write_all(b"GET /peer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(read_all(&mut other).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "local")]
async fn a_broken_chunk_fails_the_body_and_nothing_follows() {
    let front = open(&listener(limits()));
    for chunks in [
        "5\nabcde\r\n0\r\n\r\n", "5 \r\nabcde\r\n0\r\n\r\n", "+5\r\nabcde\r\n0\r\n\r\n",
        "5;\x01\r\nabcde\r\n0\r\n\r\n", "5\r\nabcdeX\r\n",
    ] {
        let text = front
            .converse(
                format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}GET /next HTTP/1.1\r\nhost: a\r\n\r\n")
                    .as_bytes(),
            )
            .await;
        assert!(text.starts_with("HTTP/1.1 400"), "{chunks:?}: {text}");
        assert_eq!(text.matches("HTTP/1.").count(), 1, "{chunks:?}: {text}");
    }
}

#[tokio::test(flavor = "local")]
async fn an_answer_that_comes_before_the_body_is_read_arrives() {
    let front = open(&listener(limits()));
    let mut stream = front.connect().await;
    stream.write_all(b"POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: 900000\r\n\r\n").await.unwrap();
    let (mut read, mut write) = stream.split();
    let upload = async {
        for _ in 0..9 {
            write.write_all(&[b'x'; 100_000]).await?;
        }
        write.shutdown().await
    };
    let mut text = String::new();
    let (uploaded, read) = tokio::join!(upload, timeout(Duration::from_secs(5), read.read_to_string(&mut text)));
    uploaded.unwrap();
    read.unwrap().unwrap();
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
}

#[tokio::test(flavor = "local")]
async fn a_tunnel_is_not_scanned_nor_watched_and_still_counts() {
    let shared = Shared::new(Settings::load(ListenerId(0), &listener(hasty()), None).unwrap());
    let socket = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().pop().unwrap();
    let address = socket.local_addr().unwrap();
    let ended = Rc::new(RefCell::new(None));
    let log = Rc::clone(&ended);
    let service = |_: &Rc<Connection>| {
        service_fn(|mut request: Request<Incoming>| async move {
            tokio::task::spawn_local(async move {
                let mut stream = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
                let mut bytes = [0; 8];
                stream.read_exact(&mut bytes).await.unwrap();
                tokio::time::sleep(Duration::from_millis(500)).await;
                stream.write_all(&bytes).await.unwrap();
            });
            let response =
                Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
            Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
        })
    };
    let report = move |report: &Report<'_>| {
        if let Report::Ended(_, end) = report {
            log.replace(Some(*end));
        }
    };
    let running = start(&Watchdog::start(), socket, Arc::clone(&shared), service, report).unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await.unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    while running.open() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*ended.borrow(), Some(ConnectionEnd::Upgraded));
    assert_eq!(shared.open(), 1, "the tunnel holds the permit");
    stream.write_all(b"\n\0GET\n\n\x01").await.unwrap();
    assert_eq!(read_all(&mut stream).await, "\n\0GET\n\n\x01");
    while shared.open() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "local")]
async fn an_idle_connection_rests_and_goes_on() {
    use crate::config::model::HttpVersion;
    use crate::listener::ceiling::Ceiling;
    use crate::listener::command::ConnectionCommand;
    use crate::listener::connection_handle::{ConnectionHandle, tests::connection};
    use crate::listener::io::{Io, Socket, Stream};
    use crate::listener::io_progress::IoProgress;
    use crate::listener::serve::{ServeSettings, Speaks, serve};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let permit = Arc::new(Ceiling::default()).try_acquire(1).unwrap();
    let progress = IoProgress::new();
    let handle = Rc::new(ConnectionHandle::new(Arc::clone(&progress)));
    let io = Io::new(Stream::Plain(Socket::new(socket, Arc::clone(&progress))), progress, permit);
    let connection = connection();
    let facts = Rc::clone(&connection);
    let service = service_fn(move |request| answer(Rc::clone(&facts), request));
    let held = Rc::clone(&handle);
    let server = tokio::task::spawn_local(async move {
        let speaks = Speaks::Agreed(HttpVersion::Http1);
        let limits = limits();
        let held_too = Rc::clone(&held);
        let served = serve(io, speaks, connection, service, held_too, ServeSettings { limits: &limits, pings: None });
        held.hold(std::pin::pin!(served)).await
    });
    let request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab";
    for _ in 0..3 {
        client.write_all(request).await.unwrap();
        read_until(&mut client, "got 2").await;
        assert!(handle.is_serving());
        handle.command(ConnectionCommand::Rest);
        while handle.is_serving() {
            tokio::task::yield_now().await;
        }
    }
    // In the middle of a request there is no rest; and the scanner has gone on counting.
    client.write_all(&request[..request.len() - 1]).await.unwrap();
    while !handle.is_serving() {
        tokio::task::yield_now().await;
    }
    handle.command(ConnectionCommand::Rest);
    client.write_all(b"bGET / HTTP/1.1\r\n\r\n").await.unwrap();
    let text = read_until(&mut client, "host_missing").await;
    assert!(text.contains("got 2"), "{text}");
    drop(client);
    assert_eq!(server.await.unwrap(), Ok(ConnectionEnd::Closed));
}
