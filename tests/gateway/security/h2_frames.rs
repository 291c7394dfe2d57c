//! Frames that break HTTP/2 itself. Each group says which sections of h2spec it stands for.

use super::bench::Bench;
use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, End, GOAWAY, H2, HEADERS, PADDED, PING, PREFACE, PRIORITISED,
    PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get, headers, post, reset, settings, window,
};

/// What becomes of a connection after these bytes and, if it lives, a sound request on `stream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// Connection error, or at least its end.
    Connection,
    /// This stream is reset or refused, or worse.
    Stream(u32),
    /// Nothing: the request on this stream is served.
    Served(u32),
}

use Expect::{Connection, Served, Stream};

type Case = (&'static str, Vec<u8>, Expect);

async fn check(cases: Vec<Case>) {
    let bench = Bench::new().await;
    let mut complaints = Vec::new();
    for (what, bytes, expected) in cases {
        let mut client = H2::connect(bench.gw.address()).await;
        client.send(&bytes).await;
        let stream = match expected {
            Served(stream) | Stream(stream) => stream,
            // If the connection lives on after all, this is served.
            Connection => 201,
        };
        if !matches!(expected, Stream(_)) {
            client.send(headers(stream, END_STREAM, &get("/probe"))).await;
        }
        let answer = client.answer(stream).await;
        let good = match expected {
            Connection => matches!(answer.end, End::GoAway(1..) | End::Closed),
            Stream(_) => answer.is_refusal(),
            Served(_) => answer.status == 200 && answer.end == End::Clean,
        };
        if !good {
            complaints.push(format!("{what}: {expected:?} but {answer:?}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let arrived = bench.finish().await;
    assert!(arrived.iter().all(|arrived| arrived.target() != "/smuggled"), "{arrived:#?}");
}

fn bad(path: &str) -> Vec<u8> {
    headers(1, END_STREAM, &get(path))
}

/// h2spec http2/3.5, generic/1.
#[tokio::test]
async fn the_preface_is_exact_and_settings_follow() {
    let bench = Bench::new().await;
    for bytes in [
        [&b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..], &settings(&[])].concat(),
        [PREFACE, &headers(1, END_STREAM, &get("/smuggled"))].concat(),
        [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat(),
        [PREFACE, PREFACE].concat(),
        [PREFACE, b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"].concat(),
        [PREFACE, &frame(SETTINGS, ACK, 0, &[]), &headers(1, END_STREAM, &get("/smuggled"))].concat(),
        b"PRI * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\nSM\r\n\r\n".to_vec(),
    ] {
        let mut client = H2::bare(bench.gw.address()).await;
        client.send(&bytes).await;
        // HTTP/1 text is no frame; all that matters is that it ends.
        assert!(client.ends().await, "goes on after {:?}", String::from_utf8_lossy(&bytes));
    }
    assert!(bench.finish().await.is_empty());
}

/// h2spec http2/4.1, 4.2, 4.3, 5.1, 5.1.1, 5.5.
#[tokio::test]
async fn frames_in_the_wrong_state_are_errors() {
    let split = |kind: u8| {
        [
            frame(HEADERS, END_STREAM, 1, &get("/smuggled")[..10]),
            frame(kind, 0, 0, &[0; 8]),
            frame(CONTINUATION, END_HEADERS, 1, &get("/smuggled")[10..]),
        ]
        .concat()
    };
    check(vec![
        ("a frame of unknown type", [frame(0x16, 0, 0, b"x"), bad("/x")].concat(), Served(3)),
        (
            "an unknown frame on a stream",
            [headers(1, 0, &post("/x")), frame(0xff, 0xff, 1, b"x"), frame(DATA, END_STREAM, 1, b"abc")].concat(),
            Served(3),
        ),
        ("undefined flags", [frame(PING, 0x16, 0, &[0; 8]), bad("/x")].concat(), Served(3)),
        ("a reserved bit", [frame(PING, 0, 0x8000_0000, &[0; 8]), bad("/x")].concat(), Served(3)),
        (
            "DATA larger than allowed",
            [headers(1, 0, &post("/smuggled")), frame(DATA, END_STREAM, 1, &vec![0; 16_385])].concat(),
            Connection,
        ),
        ("HEADERS larger than allowed", frame(HEADERS, END_HEADERS | END_STREAM, 1, &vec![0; 16_385]), Connection),
        ("an unknown frame larger than allowed", frame(0x16, 0, 0, &vec![0; 16_385]), Connection),
        ("a broken header block", headers(1, END_STREAM, b"\x40\x01"), Connection),
        ("an index that is not there", headers(1, END_STREAM, &[0xff, 0xff, 0x7f]), Connection),
        ("the index zero", headers(1, END_STREAM, &[0x80]), Connection),
        (
            "a table larger than allowed",
            headers(1, END_STREAM, &[&[0x3f, 0xe2, 0x1f][..], &get("/smuggled")].concat()),
            Connection,
        ),
        (
            "a table size after the fields",
            headers(1, END_STREAM, &[&get("/smuggled")[..], &[0x20]].concat()),
            Connection,
        ),
        (
            "a Huffman string padded with zeros",
            headers(1, END_STREAM, &[&get("/smuggled")[..], &[0, 1, b'x', 0x81, 0x00]].concat()),
            Connection,
        ),
        (
            "a Huffman string with the end in it",
            headers(1, END_STREAM, &[&get("/smuggled")[..], &[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]].concat()),
            Connection,
        ),
        (
            "a Huffman string padded with a byte too many",
            headers(1, END_STREAM, &[&get("/smuggled")[..], &[0, 1, b'x', 0x83, 0x1f, 0xff, 0xff]].concat()),
            Connection,
        ),
        (
            "an endless integer",
            headers(1, END_STREAM, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            Connection,
        ),
        ("a header block cut by PRIORITY", split(PRIORITY), Connection),
        ("a header block cut by PING", split(PING), Connection),
        ("a header block cut by an unknown frame", split(0x16), Connection),
        (
            "a header block cut by HEADERS of another stream",
            [frame(HEADERS, END_STREAM, 1, &get("/smuggled")), headers(3, END_STREAM, &get("/smuggled"))].concat(),
            Connection,
        ),
        ("DATA on an idle stream", frame(DATA, END_STREAM, 1, b"x"), Connection),
        ("RST_STREAM on an idle stream", reset(1, 8), Connection),
        ("WINDOW_UPDATE on an idle stream", window(1, 1), Connection),
        ("CONTINUATION on an idle stream", frame(CONTINUATION, END_HEADERS, 1, &get("/smuggled")), Connection),
        ("DATA after the end of a stream", [bad("/x"), frame(DATA, END_STREAM, 1, b"x")].concat(), Stream(1)),
        ("HEADERS after the end of a stream", [bad("/x"), bad("/smuggled")].concat(), Stream(1)),
        (
            "CONTINUATION after the end of a stream",
            [bad("/x"), frame(CONTINUATION, END_HEADERS, 1, &get("/smuggled"))].concat(),
            Connection,
        ),
        (
            "DATA after RST_STREAM",
            [headers(1, 0, &post("/x")), reset(1, 8), frame(DATA, END_STREAM, 1, b"x")].concat(),
            Served(3),
        ),
        ("an even stream", headers(2, END_STREAM, &get("/smuggled")), Connection),
        (
            "a stream that is older than the last",
            [headers(5, END_STREAM, &get("/x")), headers(3, END_STREAM, &get("/smuggled"))].concat(),
            Connection,
        ),
        ("HEADERS on stream zero", headers(0, END_STREAM, &get("/smuggled")), Connection),
    ])
    .await;
}

/// h2spec http2/5.3.1, 6.1 to 6.10, 7, 8.2.
#[tokio::test]
async fn frames_of_wrong_size_or_stream_are_errors() {
    let open = || headers(1, 0, &post("/x"));
    let after = |bytes: Vec<u8>| [open(), bytes].concat();
    let itself = |stream: u32| [&stream.to_be_bytes()[..], &[16]].concat();
    check(vec![
        ("DATA on stream zero", frame(DATA, END_STREAM, 0, b"x"), Connection),
        ("DATA with too much padding", after(frame(DATA, END_STREAM | PADDED, 1, &[6, 1, 2, 3, 4])), Connection),
        ("DATA with padding and nothing else", after(frame(DATA, END_STREAM | PADDED, 1, &[3, 0, 0, 0])), Served(3)),
        ("padded DATA without a length", after(frame(DATA, END_STREAM | PADDED, 1, &[])), Connection),
        (
            "HEADERS with too much padding",
            frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[&[200][..], &get("/smuggled")].concat()),
            Connection,
        ),
        (
            "HEADERS with sound padding",
            frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[&[3][..], &get("/x"), &[0, 0, 0]].concat()),
            Served(3),
        ),
        (
            "HEADERS that depend on themselves",
            frame(HEADERS, END_HEADERS | END_STREAM | PRIORITISED, 1, &[itself(1), get("/smuggled")].concat()),
            Stream(1),
        ),
        (
            "HEADERS with priority",
            frame(HEADERS, END_HEADERS | END_STREAM | PRIORITISED, 1, &[itself(3), get("/x")].concat()),
            Served(3),
        ),
        ("PRIORITY on stream zero", frame(PRIORITY, 0, 0, &itself(1)), Connection),
        ("PRIORITY of a wrong size", after(frame(PRIORITY, 0, 1, &[0; 4])), Stream(1)),
        ("PRIORITY on an idle stream", frame(PRIORITY, 0, 5, &itself(3)), Served(7)),
        ("RST_STREAM on stream zero", reset(0, 8), Connection),
        ("RST_STREAM of a wrong size", after(frame(RST_STREAM, 0, 1, &[0; 3])), Connection),
        ("RST_STREAM with an unknown code", after(reset(1, 0xff)), Served(3)),
        ("SETTINGS that acknowledge something", frame(SETTINGS, ACK, 0, &[0; 6]), Connection),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), Connection),
        ("SETTINGS of a wrong size", frame(SETTINGS, 0, 0, &[0; 3]), Connection),
        ("ENABLE_PUSH of 2", settings(&[(2, 2)]), Connection),
        ("a window that overflows", settings(&[(4, 0x8000_0000)]), Connection),
        ("frames that are too small", settings(&[(5, 16_383)]), Connection),
        ("frames that are too large", settings(&[(5, 16_777_216)]), Connection),
        ("an unknown setting", settings(&[(0xff, 1)]), Served(1)),
        ("the same setting twice", settings(&[(3, 1), (3, 100)]), Served(1)),
        (
            "PUSH_PROMISE from a client",
            after(frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &get("/smuggled")].concat())),
            Connection,
        ),
        ("PING on a stream", frame(PING, 0, 1, &[0; 8]), Connection),
        ("PING of a wrong size", frame(PING, 0, 0, &[0; 6]), Connection),
        ("an unasked PING answer", frame(PING, ACK, 0, &[7; 8]), Served(1)),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), Connection),
        ("GOAWAY of a wrong size", frame(GOAWAY, 0, 0, &[0; 7]), Connection),
        ("WINDOW_UPDATE of zero for the connection", window(0, 0), Connection),
        ("WINDOW_UPDATE of zero for a stream", after(window(1, 0)), Stream(1)),
        ("WINDOW_UPDATE of a wrong size", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), Connection),
        ("a connection window that overflows", [window(0, 0x7fff_ffff), window(0, 0x7fff_ffff)].concat(), Connection),
        ("a stream window that overflows", after([window(1, 0x7fff_ffff), window(1, 0x7fff_ffff)].concat()), Stream(1)),
        ("CONTINUATION without HEADERS", frame(CONTINUATION, END_HEADERS, 1, &get("/smuggled")), Connection),
        (
            "CONTINUATION on stream zero",
            [frame(HEADERS, END_STREAM, 1, &get("/smuggled")), frame(CONTINUATION, END_HEADERS, 0, &[])].concat(),
            Connection,
        ),
        (
            "CONTINUATION after the end of a block",
            [bad("/x"), frame(CONTINUATION, END_HEADERS, 1, &[])].concat(),
            Connection,
        ),
        (
            "DATA before the end of a block",
            [frame(HEADERS, 0, 1, &post("/smuggled")), frame(DATA, END_STREAM, 1, b"x")].concat(),
            Connection,
        ),
        (
            "a block in many pieces",
            [
                frame(HEADERS, END_STREAM, 1, &get("/x")[..5]),
                frame(CONTINUATION, 0, 1, &get("/x")[5..9]),
                frame(CONTINUATION, 0, 1, &[]),
                frame(CONTINUATION, END_HEADERS, 1, &get("/x")[9..]),
            ]
            .concat(),
            Served(3),
        ),
    ])
    .await;
}

/// h2spec http2/5.1.2, 6.5.3, 6.7, 6.9.1, 6.9.2.
#[tokio::test]
async fn settings_are_acknowledged_and_windows_kept() {
    let bench = Bench::new().await;
    let mut client = H2::connect(bench.gw.address()).await;
    client.polite = false;
    client.send([frame(PING, 0, 0, b"12345678"), settings(&[(4, 1)])].concat()).await;
    let (mut acks, mut pong) = (0, false);
    while acks < 2 || !pong {
        let frame = client.next().await.expect("open");
        acks += u32::from(frame.kind == SETTINGS && frame.flags == ACK);
        pong |= frame.kind == PING && frame.flags == ACK && frame.payload == b"12345678";
    }
    // The stream's window is one byte: one byte comes, then the rest as the window opens.
    client.send(headers(1, END_STREAM, &get("/case"))).await;
    let mut body = Vec::new();
    let mut sizes = Vec::new();
    while body.len() < 5 {
        let frame = client.next().await.expect("open");
        if frame.kind == DATA {
            sizes.push(frame.payload.len());
            body.extend(frame.payload);
            client.send(if sizes.len() == 1 { settings(&[(4, 3)]) } else { window(1, 2) }).await;
        }
    }
    assert_eq!((body.as_slice(), sizes.as_slice()), (&b"/case"[..], &[1, 2, 2][..]));
}
