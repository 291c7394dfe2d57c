//! What `scan.rs` does, held to its promises.

use proptest::prelude::*;

use super::*;

const LIMITS: ScanLimits = ScanLimits { head: 1000, target: 100 };

/// What a scanner makes of bytes that arrive in these pieces.
#[derive(Debug, PartialEq, Eq)]
struct ScanResult {
    kept: Vec<u8>,
    next: Next,
    requests: u64,
    verdict: Option<ScannerRefusal>,
    phase: Phase,
}

fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> ScanResult {
    let mut scanner = Scanner::new(LIMITS);
    let (mut kept, mut next) = (Vec::new(), Next::More);
    for piece in pieces {
        let scanned = scanner.scan(piece);
        kept.extend_from_slice(&piece[..scanned.keep]);
        next = scanned.next;
        if next != Next::More {
            break;
        }
    }
    ScanResult { kept, next, requests: scanner.requests(), verdict: scanner.verdict(), phase: scanner.phase() }
}

fn whole(bytes: &str) -> ScanResult {
    scan([bytes.as_bytes()])
}

#[test]
fn good_requests_pass_whole() {
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("GET / HTTP/1.0\r\n\r\n", 1),
        ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", 1),
        ("GET http://b:80/x?y HTTP/1.1\r\nhost:a:80 \r\nx:\r\n\r\n", 1),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\t3 \r\n\r\nabcGET / HTTP/1.1\r\nhost: a\r\n\r\n", 2),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", 2),
        (
            "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            2,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nA;b=\"c\"\r\n\n\r\n456789\r\r\n00\r\nt: x\r\nu: y\r\n\r\n",
            1,
        ),
    ];
    for (bytes, requests) in cases {
        let outcome = whole(bytes);
        assert_eq!((outcome.next, outcome.requests), (Next::More, requests), "{bytes:?}");
        assert_eq!((outcome.kept.as_slice(), outcome.phase), (bytes.as_bytes(), Phase::Start), "{bytes:?}");
    }
}

/// Heads that hyper takes and we do not, with the reason.
const REFUSED: &[(&str, &str)] = &[
    // One source of the body's length.
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "length_and_encoding"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: x\r\n\r\n", "length_and_encoding"),
    // Content-Length: digits, once.
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n", "content_length_invalid"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", "content_length_invalid"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x1\r\n\r\n", "content_length_invalid"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n", "content_length_invalid"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1 1\r\n\r\n", "content_length_invalid"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\n", "content_length_invalid"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9223372036854775808\r\n\r\n", "content_length_invalid"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n", "content_length_invalid"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n", "content_length_repeated"),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\nContent-Length: 2\r\n\r\n", "content_length_repeated"),
    // Transfer-Encoding: one chunked, on HTTP/1.1.
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "transfer_encoding_unsupported"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n", "transfer_encoding_unsupported"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked;q=1\r\n\r\n", "transfer_encoding_unsupported"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \"chunked\"\r\n\r\n", "transfer_encoding_unsupported"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\n", "transfer_encoding_unsupported"),
    ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n\r\n", "transfer_encoding_unsupported"),
    (
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        "transfer_encoding_unsupported",
    ),
    ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", "transfer_encoding_on_http10"),
    // The request line.
    ("GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", "target_invalid"),
    ("GET /\u{e9} HTTP/1.1\r\nhost: a\r\n\r\n", "target_invalid"),
    ("GET /\r\nhost: a\r\n\r\n", "request_line_invalid"),
    ("GET / HTTP/1.2\r\nhost: a\r\n\r\n", "request_line_invalid"),
    ("GET / http/1.1\r\nhost: a\r\n\r\n", "request_line_invalid"),
    ("GET / HTTP/1.1 \r\nhost: a\r\n\r\n", "request_line_invalid"),
    // Host: one, and nothing but host and port.
    ("GET / HTTP/1.1\r\n\r\n", "host_missing"),
    ("GET / HTTP/1.1\r\nhost:\r\n\r\n", "host_invalid"),
    ("GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", "host_invalid"),
    ("GET / HTTP/1.1\r\nhost: a, b\r\n\r\n", "host_invalid"),
    ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", "host_invalid"),
    ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", "host_invalid"),
    ("GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n", "host_repeated"),
    ("GET / HTTP/1.0\r\nhost: a\r\nHost: a\r\n\r\n", "host_repeated"),
];

#[test]
fn refused_heads_reach_the_service_with_a_verdict_and_nothing_follows() {
    use crate::context::Refusal::{BadRequest, TargetTooLong};
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(100));
    let too_long = (long.as_str(), "target_too_long");
    for &(head, reason) in REFUSED.iter().chain([&too_long]) {
        let refusal = if reason == "target_too_long" { TargetTooLong } else { BadRequest };
        let good = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let outcome = whole(&format!("{good}{head}{good}"));
        assert_eq!(outcome.verdict, Some(ScannerRefusal { request: 1, reason, refusal }), "{head:?}");
        assert_eq!(outcome.next, Next::Silence, "{head:?}");
        assert_eq!(outcome.kept, format!("{good}{head}").into_bytes(), "{head:?}");
        assert_eq!(outcome.phase, Phase::Stopped);
    }
}

#[test]
fn lines_that_parsers_read_differently_never_end() {
    let cases = [
        ("GET / HTTP/1.1\n", "host: a\r\n\r\n"),
        ("GET / HTTP/1.1\r\nhost: a\n", "\r\n"),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n", ""),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n", "\r\n"),
        ("GET / HTTP/1.1\r\n\thost: a\r\n", "\r\n"),
        ("\n", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("\r\n\r\n", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ];
    for (until, after) in cases {
        let outcome = whole(&format!("{until}{after}"));
        assert_eq!((outcome.next, outcome.requests), (Next::Poison, 0), "{until:?}");
        assert_eq!(outcome.kept, &until.as_bytes()[..until.len() - 1], "all but the line feed: {until:?}");
    }
}

#[test]
fn broken_chunks_are_read_errors() {
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(300));
    let trailers = format!("0\r\n{}", "t: x\r\n".repeat(300));
    let cases = [
        "1\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "\r\na\r\n0\r\n\r\n",
        "x\r\n",
        "0x1\r\na\r\n",
        "-1\r\na\r\n",
        "+1\r\na\r\n",
        "1 \r\na\r\n",
        " 1\r\na\r\n",
        "1 ;x\r\na\r\n",
        "1;x\0\r\na\r\n",
        "1;x\ry\r\na\r\n",
        "1;x\ny\r\na\r\n",
        "8000000000000000\r\n",
        "00000000000000001\r\na\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\nt: x\n\r\n",
        long.as_str(),
        trailers.as_str(),
    ];
    for chunks in cases {
        let outcome = whole(&format!("{head}{chunks}"));
        assert_eq!((outcome.next, outcome.requests, outcome.verdict), (Next::Error, 1, None), "{chunks:?}");
    }
}

#[test]
fn a_head_has_a_bound() {
    let head = |length: usize| {
        let fixed = "GET / HTTP/1.1\r\nhost: a\r\nx: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(length - fixed))
    };
    assert_eq!(whole(&head(1000)).requests, 1);
    for head in [head(1001), "GET / HTTP/1.1\r\n".to_owned() + &"x: y\r\n".repeat(1000), "x".repeat(2000)] {
        let outcome = whole(&head);
        assert_eq!((outcome.next, outcome.requests, outcome.kept.len()), (Next::Poison, 0, 1000));
    }
}

#[test]
fn phases_follow_the_message() {
    let mut scanner = Scanner::new(LIMITS);
    let steps = [
        ("", Phase::Start),
        ("\r", Phase::Head),
        ("\nPOST / HT", Phase::Head),
        ("TP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n", Phase::Body),
        ("x", Phase::Body),
        ("y", Phase::Start),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", Phase::Body),
        ("1\r\nx", Phase::Body),
        ("\r\n0\r\nt", Phase::Body),
        (": x\r\n\r\n", Phase::Start),
    ];
    for (bytes, phase) in steps {
        assert_eq!(scanner.scan(bytes.as_bytes()).next, Next::More, "{bytes:?}");
        assert_eq!(scanner.phase(), phase, "{bytes:?}");
    }
}

/// Pieces of messages, good and bad, so that their sequences get deep into the scanner.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"GET / HTTP/1.1\r\n"[..]),
        Just(&b"POST /x HTTP/1.0\r\n"[..]),
        Just(&b"host: a\r\n"[..]),
        Just(&b"content-length: 5\r\n"[..]),
        Just(&b"transfer-encoding: chunked\r\n"[..]),
        Just(&b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"\n"[..]),
        Just(&b" "[..]),
        Just(&b"hello"[..]),
        Just(&b"5\r\nhello\r\n"[..]),
        Just(&b"0\r\n\r\n"[..]),
        Just(&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..]),
        Just(&b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"[..]),
        Just(&b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n"[..]),
    ]
    .prop_map(<[u8]>::to_vec);
    let noise = prop::collection::vec(any::<u8>(), 0..20);
    prop::collection::vec(prop_oneof![9 => piece, 1 => noise], 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_splitting_gives_the_same_outcome(
        bytes in message(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain(std::iter::once(bytes.len()));
        let pieces: Vec<_> = starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect();
        let expected = scan([bytes.as_slice()]);
        prop_assert_eq!(&scan(pieces), &expected);
        prop_assert_eq!(&scan(bytes.chunks(1)), &expected, "byte by byte");
        prop_assert!(expected.kept.len() <= bytes.len());
    }
}
