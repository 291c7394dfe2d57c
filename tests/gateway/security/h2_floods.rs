//! Limits of HTTP/2, floods, and traffic that only looks like one.

use std::time::Duration;

use tokio::time::Instant;

use super::bench::Bench;
use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, H2, HEADERS, PING, PRIORITY,
    PROTOCOL_ERROR, SETTINGS, block, frame, get, headers, literal, post, reset, settings, window,
};
use crate::support::{Gw, Sse};

/// Pours frames until the gateway has enough, and returns what it says.
async fn flooded(bench: &Bench, opening: Vec<u8>, piece: &dyn Fn(u32) -> Vec<u8>) -> Option<u32> {
    let mut client = H2::connect(bench.gw.address()).await;
    client.send(opening).await;
    for turn in 0..400 {
        let bytes: Vec<u8> = (0..1000).flat_map(|index| piece(turn * 1000 + index)).collect();
        if !client.pour(bytes).await {
            return client.goaway().await;
        }
    }
    panic!("400,000 frames and no end");
}

#[tokio::test]
async fn floods_end_the_connection() {
    let bench = Bench::new().await;
    let open = || headers(1, 0, &post("/open"));
    let pings = |_| frame(PING, 0, 0, &[1; 8]);
    let acks = |_| frame(PING, ACK, 0, &[1; 8]);
    let empty_settings = |_| frame(SETTINGS, 0, 0, &[]);
    let full_settings = |_| settings(&[(1, 0), (3, 100), (4, 65_535), (5, 16_384)]);
    let priorities =
        |index: u32| frame(PRIORITY, 0, 3, &(index << 1 | 1).to_be_bytes().into_iter().chain([1]).collect::<Vec<_>>());
    let windows = |_| window(0, 1);
    let stream_windows = |_| window(1, 1);
    let unknown = |_| frame(0x42, 0, 0, b"x");
    let empty_data = |_| frame(DATA, 0, 1, &[]);
    let padded_data = |_| frame(DATA, 8, 1, &[3, 0, 0, 0]);
    let continuations = |_| frame(CONTINUATION, 0, 1, &[]);
    let resets = |index: u32| [headers(index * 2 + 1, END_STREAM, &get("/reset")), reset(index * 2 + 1, 8)].concat();
    let refused = |index: u32| headers(index * 2 + 1, END_STREAM, &block(&[("X", "y")]));
    let surplus = |index: u32| {
        [
            headers(
                index * 2 + 1,
                0,
                &block(&[
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", "/surplus"),
                    (":authority", "a"),
                    ("content-length", "0"),
                ]),
            ),
            frame(DATA, 0, index * 2 + 1, b"x"),
        ]
        .concat()
    };
    let floods: [(&str, Vec<u8>, &dyn Fn(u32) -> Vec<u8>); 15] = [
        ("PING", Vec::new(), &pings),
        ("PING answers", Vec::new(), &acks),
        ("empty SETTINGS", Vec::new(), &empty_settings),
        ("SETTINGS", Vec::new(), &full_settings),
        ("PRIORITY", Vec::new(), &priorities),
        ("WINDOW_UPDATE", Vec::new(), &windows),
        ("WINDOW_UPDATE of a stream", open(), &stream_windows),
        ("unknown frames", Vec::new(), &unknown),
        ("empty DATA", open(), &empty_data),
        ("DATA of nothing but padding", open(), &padded_data),
        ("CONTINUATION", frame(HEADERS, 0, 1, &get("/never")), &continuations),
        ("HEADERS and RST_STREAM", Vec::new(), &resets),
        ("malformed requests", Vec::new(), &refused),
        ("streams we must reset", Vec::new(), &surplus),
        ("RST_STREAM of one stream", open(), &|_| reset(1, 8)),
    ];
    for (what, opening, piece) in floods {
        let code = flooded(&bench, opening, piece).await;
        assert!(matches!(code, Some(ENHANCE_YOUR_CALM | PROTOCOL_ERROR) | None), "{what}: {code:?}");
    }
    let reached = bench.finish().await.iter().filter(|arrived| arrived.target() == "/reset").count();
    assert!(reached <= 1000, "{reached} requests of a reset flood reached the endpoint");
}

#[tokio::test]
async fn the_end_of_a_flood_says_calm_down() {
    // One after the other, so that nothing is lost in a reset connection.
    for largest in ["64KiB", "16MiB"] {
        let bench = Bench::with(&format!("listeners: {{ http: {{ address: '127.0.0.1:0', protocols: [h2], limits: {{ maxHeaderBytes: {largest} }} }} }}\nroutes: {{ all: {{ endpoints: ['{{0}}'] }} }}")).await;
        let mut client = H2::connect(bench.gw.address()).await;
        for _ in 0..200 {
            let pings: Vec<u8> = (0..1000).flat_map(|_| frame(PING, 0, 0, &[1; 8])).collect();
            if !client.pour(pings).await {
                break;
            }
        }
        assert_eq!(client.goaway().await, Some(ENHANCE_YOUR_CALM), "{largest}");
    }
}

#[tokio::test]
async fn ordinary_traffic_is_no_flood() {
    let bench = Bench::with("routes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }").await;
    // One byte at a time: 8,000 frames that carry something, however slowly they are read.
    let mut client = H2::connect(bench.gw.address()).await;
    assert!(client.send(headers(1, 0, &post("/small"))).await);
    for _ in 0..8 {
        let bytes: Vec<u8> = (0..1000).flat_map(|_| frame(DATA, 0, 1, b"x")).collect();
        assert!(client.pour(bytes).await, "taken");
    }
    client.send(frame(DATA, END_STREAM, 1, &[])).await;
    let answer = client.answer(1).await;
    assert_eq!((answer.status, answer.end), (200, End::Clean));
    // Many requests one after the other, with everything a careful client sends besides.
    drop(client);
    let mut client = H2::connect(bench.gw.address()).await;
    for turn in 0..2000_u32 {
        let stream = turn * 2 + 1;
        let mut bytes = headers(stream, END_STREAM, &get("/many"));
        bytes.extend([window(0, 100), frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 16])].concat());
        if turn % 10 == 0 {
            bytes.extend(frame(PING, 0, 0, &[0; 8]));
        }
        client.send(bytes).await;
        assert_eq!(client.answer(stream).await.status, 200, "request {turn}");
    }
    // A client that changes its mind now and then.
    drop(client);
    let mut client = H2::connect(bench.gw.address()).await;
    for turn in 0..200_u32 {
        let stream = turn * 4 + 1;
        client
            .send(
                [
                    headers(stream, 0, &post("/regret")),
                    reset(stream, 8),
                    headers(stream + 2, END_STREAM, &get("/kept")),
                ]
                .concat(),
            )
            .await;
        assert_eq!(client.answer(stream + 2).await.status, 200, "after {turn} resets");
    }
    drop(client);
    let arrived = bench.finish().await;
    let small = arrived.iter().find(|arrived| arrived.target() == "/small").unwrap();
    assert!(small.whole && small.body.len() == 8000, "{} bytes", small.body.len());
}

#[tokio::test]
async fn calls_begun_and_dropped_in_one_write_are_no_flood() {
    let bench = Bench::new().await;
    // As many as may be open at once: a page that is left, an orchestrator that gives up.
    let mut client = H2::connect(bench.gw.address()).await;
    let dropped = (0..100_u32).flat_map(|index| {
        let stream = index * 2 + 1;
        [headers(stream, 0, &post("/dropped")), reset(stream, 8)].concat()
    });
    client.send(dropped.collect::<Vec<u8>>()).await;
    client.send(headers(201, END_STREAM, &get("/kept"))).await;
    let answer = client.answer(201).await;
    assert_eq!((answer.status, answer.end), (200, End::Clean));
    // Ten times as many are.
    let flood = (200..1400_u32).flat_map(|index| {
        let stream = index * 2 + 1;
        [headers(stream, 0, &post("/dropped")), reset(stream, 8)].concat()
    });
    client.pour(flood.collect::<Vec<u8>>()).await;
    assert!(matches!(client.goaway().await, Some(ENHANCE_YOUR_CALM) | None));
}

#[tokio::test]
async fn window_updates_for_many_small_events_are_no_flood() {
    let sse = Sse::new().await;
    let gw = Gw::with(super::bench::TO_ONE, &[&sse]).await;
    let mut client = H2::connect(gw.address()).await;
    client.send(headers(1, END_STREAM, &get("/events"))).await;
    let stream = sse.stream().await;
    for turn in 0..3000 {
        assert!(stream.event("x").await, "event {turn}");
        // `answer` opens both windows for every DATA frame; so does this.
        loop {
            let frame = client.next().await.expect("open");
            if frame.kind == DATA {
                let size = u32::try_from(frame.payload.len()).unwrap();
                client.send([window(0, size), window(1, size)].concat()).await;
                break;
            }
        }
    }
    stream.end();
    assert_eq!(client.answer(1).await.end, End::Clean);
}

#[tokio::test]
async fn field_lists_have_a_bound() {
    let bench = Bench::new().await;
    let with = |fields: &[(String, String)]| [get("/case"), block(fields)].concat();
    let many = |name: &str, count: usize| {
        (0..count).map(|index| (name.replace('#', &index.to_string()), "v".to_owned())).collect::<Vec<_>>()
    };
    let cases = [
        (
            "60 fields and a large cookie",
            with(&[many("x-#", 59), vec![("cookie".to_owned(), "c".repeat(6 * 1024))]].concat()),
            true,
        ),
        ("300 fields", with(&many("x-#", 300)), false),
        ("300 times one field", with(&many("x", 300)), false),
        ("300 cookie crumbs", with(&many("cookie", 300)), false),
        ("1000 fields without text", with(&many("x", 1000)), false),
        ("one value of 15 KiB", with(&[("x".to_owned(), "v".repeat(15 * 1024))]), true),
    ];
    for (what, fields, served) in cases {
        let mut client = H2::connect(bench.gw.address()).await;
        client.send(headers(1, END_STREAM, &fields)).await;
        let answer = client.answer(1).await;
        assert!(if served { answer.status == 200 } else { answer.is_refusal() }, "{what}: {answer:?}");
        assert!(served || matches!(answer.status, 0 | 431), "{what}: {answer:?}");
    }
    // Larger than a frame: in pieces.
    for (size, served) in [(20, true), (60, true), (65, false), (600, false)] {
        let fields = with(&[("x".to_owned(), "v".repeat(size * 1024))]);
        let mut pieces = fields.chunks(16_384).peekable();
        let mut bytes = frame(HEADERS, END_STREAM, 1, pieces.next().unwrap());
        while let Some(piece) = pieces.next() {
            bytes.extend(frame(CONTINUATION, if pieces.peek().is_none() { END_HEADERS } else { 0 }, 1, piece));
        }
        let mut client = H2::connect(bench.gw.address()).await;
        client.send(bytes).await;
        let answer = client.answer(1).await;
        assert!(if served { answer.status == 200 } else { answer.is_refusal() }, "{size} KiB: {answer:?}");
    }
    // A bomb: one large field in the table, then a byte for each time it is meant.
    let large = [&[0x40][..], &literal(b"x", &[b'v'; 3000])[1..]].concat();
    let bomb = [get("/case"), large, vec![0xbe; 12_000]].concat();
    let mut client = H2::connect(bench.gw.address()).await;
    client.send(headers(1, END_STREAM, &bomb)).await;
    let answer = client.answer(1).await;
    assert!(answer.is_refusal(), "36 MB of fields: {answer:?}");
    assert_eq!(bench.finish().await.len(), 4, "only what was served");
}

#[tokio::test]
async fn streams_at_a_time_have_a_bound_and_say_so() {
    let sse = Sse::new().await;
    let gw = Gw::with("listeners: { http: { address: '127.0.0.1:0', protocols: [h2], limits: { maxConcurrentStreams: 10 } } }\nroutes: { all: { endpoints: ['{0}'] } }", &[&sse]).await;
    let mut client = H2::connect(gw.address()).await;
    let greeting = loop {
        let frame = client.next().await.expect("open");
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            break frame.payload;
        }
    };
    let said: Vec<(u16, u32)> = greeting
        .chunks(6)
        .map(|pair| (u16::from_be_bytes([pair[0], pair[1]]), u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]])))
        .collect();
    assert!(said.contains(&(3, 10)), "concurrent streams: {said:?}");
    assert!(said.iter().any(|(key, size)| *key == 6 && *size <= 64 * 1024), "size of a field list: {said:?}");
    assert!(said.iter().all(|(key, size)| *key != 1 || *size <= 4096), "field table: {said:?}");
    assert!(said.iter().all(|(key, size)| *key != 4 || *size <= 1024 * 1024), "a stream's window: {said:?}");
    client.send(frame(SETTINGS, ACK, 0, &[])).await;
    let mut open = Vec::new();
    for index in 0..10_u32 {
        client.send(headers(index * 2 + 1, END_STREAM, &get("/events"))).await;
        open.push(sse.stream().await);
    }
    client.send(headers(21, END_STREAM, &get("/one-too-many"))).await;
    let answer = client.answer(21).await;
    assert!(matches!(answer.end, End::Reset(7 | 1) | End::GoAway(_)), "{answer:?}");
    assert_eq!(sse.backend().hits(), 10);
}

#[tokio::test]
async fn an_upload_nobody_reads_is_bounded_by_the_windows() {
    let backend = crate::support::RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }", &[&backend]).await;
    let mut client = H2::connect(gw.address()).await;
    client.send(headers(1, 0, &post("/upload"))).await;
    // As much as the windows allow, and the gateway opens them, until it does not any more.
    let (mut stream_window, mut connection_window, mut sent) = (65_535_i64, 65_535_i64, 0_i64);
    let start = Instant::now();
    loop {
        let size = stream_window.min(connection_window).min(16_384);
        if size > 0 {
            client.send(frame(DATA, 0, 1, &vec![0; usize::try_from(size).unwrap()])).await;
            (stream_window, connection_window, sent) = (stream_window - size, connection_window - size, sent + size);
            continue;
        }
        let Ok(Some(frame)) = tokio::time::timeout(Duration::from_millis(500), client.next()).await else {
            break;
        };
        if frame.kind == super::frames::WINDOW_UPDATE {
            let size = i64::from(u32::from_be_bytes(frame.payload.try_into().unwrap()));
            if frame.stream == 0 {
                connection_window += size;
            } else {
                stream_window += size;
            }
        }
        assert!(start.elapsed() < crate::support::GUARD && sent < 64 << 20, "{sent} bytes taken");
    }
    let allowed = 4 << 20;
    let buffers: i64 =
        ["/proc/sys/net/core/rmem_default", "/proc/sys/net/ipv4/tcp_rmem", "/proc/sys/net/ipv4/tcp_wmem"]
            .iter()
            .filter_map(|file| std::fs::read_to_string(file).ok()?.split_whitespace().last()?.parse::<i64>().ok())
            .sum();
    assert!(sent <= allowed + buffers, "{sent} bytes, with {buffers} in the kernel");
}
