//! Where a body ends, and what a header line may be.

use super::bench::{Bench, LAST, SMUGGLED, refused};

/// A POST with these fields, each with its line end, and perhaps a body after the blank line.
fn post(fields: &str) -> Vec<u8> {
    let (fields, body) = fields.split_once("\r\n\r\n").unwrap_or_else(|| (fields.trim_end_matches("\r\n"), ""));
    format!("POST /case HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n{body}").into_bytes()
}

fn posts(cases: &[&str]) -> Vec<Vec<u8>> {
    cases.iter().map(|fields| post(fields)).collect()
}

#[tokio::test]
async fn length_and_encoding_together_is_refused() {
    let mut cases = posts(&[
        "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
        "content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "CONTENT-LENGTH: 6\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\nG",
        "Transfer-Encoding: chunked\r\nx: y\r\nContent-Length: 50\r\n\r\n0\r\n\r\n",
        "content-length: 4\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "content-length: 4\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        "content-length: 4\r\ntransfer-encoding: identity\r\n\r\nabcd",
        "content-length: 4\r\ntransfer-encoding: gzip\r\n\r\nabcd",
        "content-length: 4\r\ntransfer-encoding: xchunked\r\n\r\nabcd",
        "content-length: 4\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "content-length: 4\r\ntransfer-encoding:\r\n\r\nabcd",
        "content-length: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "content-length:\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "content-length: 4\r\ntransfer-encoding:\tchunked\r\n\r\n0\r\n\r\n",
        "content-length: 4\r\nconnection: content-length\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "content-length: 4\r\nconnection: transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ]);
    let get = b"GET /case HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let old = b"POST /case HTTP/1.0\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    cases.extend([get.to_vec(), old.to_vec()]);
    refused(&[400], &cases).await;
}

#[tokio::test]
async fn lengths_are_digits_and_one() {
    let values = [
        "",
        " ",
        "+1",
        "-1",
        "-0",
        "+0",
        "0x1",
        "0x",
        "1e1",
        "1.0",
        "1_0",
        "a",
        "1a",
        "a1",
        "1 1",
        "1\t1",
        "1,1",
        "1, 1",
        "1,2",
        ", 1",
        "1,",
        "1;",
        "\"1\"",
        "'1'",
        "0o7",
        "١",
        "１",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551617",
        "99999999999999999999999999999999",
        "-9223372036854775808",
        "1\u{b}",
        "\u{b}1",
        "1\u{c}",
        "1\0",
        "\u{7f}1",
        "0x0A",
    ];
    let mut cases: Vec<_> = values.iter().map(|value| post(&format!("content-length: {value}\r\n\r\na"))).collect();
    cases.extend(posts(&[
        "content-length: 1\r\ncontent-length: 2\r\n\r\na",
        "content-length: 2\r\ncontent-length: 1\r\n\r\nab",
        "content-length: 1\r\ncontent-length: 1\r\n\r\na",
        "content-length: 1\r\nContent-Length: 01\r\n\r\na",
        "content-length: 0\r\nx: y\r\ncontent-length: 36\r\n\r\n",
        "content-length: 1\r\ncontent-length:\r\n\r\na",
        "content-length: 1\r\ncontent-length: x\r\n\r\na",
    ]));
    cases.push(b"POST /case HTTP/1.1\r\nhost: a\r\ncontent-length: 1\xa0\r\n\r\na".to_vec());
    cases.push(b"GET /case HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n".to_vec());
    // hyper calls the largest number of all too large a head.
    refused(&[400, 431], &cases).await;
}

#[tokio::test]
async fn a_length_is_kept_to_the_byte() {
    let bench = Bench::new().await;
    let inner = String::from_utf8_lossy(SMUGGLED);
    let cases = [
        ("0", String::new()),
        ("00", String::new()),
        ("1", "a".to_owned()),
        ("0000000000000000003", "abc".to_owned()),
        (" \t3\t ", "abc".to_owned()),
        ("5", "0\r\n\r\n".to_owned()),
        (&*inner.len().to_string(), inner.clone().into_owned()),
    ];
    for (length, body) in &cases {
        let request = format!("POST /case HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}");
        assert_eq!(bench.serves(request).await.statuses(), [200, 200], "{length:?}");
    }
    let arrived = bench.finish().await;
    let bodies: Vec<_> =
        arrived.iter().map(|arrived| (arrived.target(), String::from_utf8_lossy(&arrived.body))).collect();
    let expected: Vec<_> = cases.iter().map(|(_, body)| ("/case", body.into())).collect();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn the_only_encoding_is_chunked() {
    let values = [
        "", "identity", "gzip", "deflate", "compress", "x", "xchunked", "chunkedx", "x chunked", "chunked x",
        "chunked,", ", chunked", ",chunked", "chunked, identity", "identity, chunked", "gzip, chunked",
        "chunked, gzip", "chunked, chunked", "chunked,chunked", "chunked;", "chunked;q=1", "chunked; foo=bar",
        "\"chunked\"", "'chunked'", "chunked\"", "[chunked]", "(chunked)", "chunke\\d", "chunked\u{b}", "\u{b}chunked",
        "\u{c}chunked", "chunked\0", "\0chunked", "chun ked", "chunked\u{7f}", "chunkeᵈ", "chunĸed", "chunked\u{a0}",
        "trailers", "cow", "identity;chunked",
    ];
    let mut cases: Vec<_> =
        values.iter().map(|value| post(&format!("transfer-encoding: {value}\r\n\r\n0\r\n\r\n"))).collect();
    cases.extend(posts(&[
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n",
        "transfer-encoding:\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ]));
    cases.push(b"POST /case HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \xffchunked\r\n\r\n0\r\n\r\n".to_vec());
    cases.push(b"POST /case HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec());
    cases.push(
        b"POST /case HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\ntransfer-encoding: identity\r\n\r\n".to_vec(),
    );
    cases.push(b"GET /case HTTP/1.1\r\nhost: a\r\ntransfer-encoding: cow\r\n\r\n".to_vec());
    refused(&[400, 501], &cases).await;
}

#[tokio::test]
async fn chunked_in_any_case_is_decoded_and_written_anew() {
    let bench = Bench::new().await;
    for value in ["chunked", "Chunked", "CHUNKED", "cHuNkEd", " chunked ", "\tchunked\t"] {
        let request =
            format!("POST /case HTTP/1.1\r\nhost: a\r\ntransfer-encoding:{value}\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(bench.serves(request).await.statuses(), [200, 200], "{value:?}");
    }
    for arrived in bench.finish().await {
        assert_eq!(
            (arrived.body.as_slice(), arrived.field("transfer-encoding")),
            (&b"abc"[..], "chunked"),
            "{arrived:#?}"
        );
    }
}

#[tokio::test]
async fn names_that_look_like_framing_are_not_framing() {
    // Each is refused, or is an ordinary field whose message has no body: what follows is a request of its own on both
    // sides.
    let names = [
        "transfer_encoding", "transfer-encoding-x", "x-transfer-encoding", "content_length", "content-length2",
        "transferencoding", "te",
    ];
    let bench = Bench::new().await;
    for name in names {
        let request = format!("POST /case HTTP/1.1\r\nhost: a\r\n{name}: chunked\r\n\r\n");
        let answers = bench.converse(&[request.as_bytes(), LAST]).await;
        assert!(matches!(answers.statuses()[..], [200, 200] | [400]), "{name}: {}", answers.text);
    }
    for arrived in bench.finish().await {
        assert!(arrived.body.is_empty(), "{arrived:#?}");
        assert!(
            arrived.all("transfer_encoding").is_empty() && arrived.all("content_length").is_empty(),
            "{arrived:#?}"
        );
    }
}

#[tokio::test]
async fn broken_header_lines_are_refused() {
    let lines = [
        // White space before the colon.
        "x : y",
        "x\t: y",
        "content-length : 1",
        "content-length\t: 1",
        "transfer-encoding : chunked",
        "host : b",
        ": y",
        " : y",
        // White space before the name, folding.
        " x: y",
        "\tx: y",
        "x: y\r\n z",
        "x: y\r\n\tz",
        "content-length: 1\r\n 1",
        "transfer-encoding:\r\n chunked",
        "x:\r\n y",
        "\u{b}x: y",
        "\u{c}x: y",
        // Line ends.
        "x: y\nz: a",
        "x: y\n",
        "x: y\rz: a",
        "x: y\r",
        "x\r: y",
        "x\n: y",
        "x: \ry",
        "x: y\n\ncontent-length: 1",
        "\rx: y",
        "x: y\r\r",
        "x: y\n\r",
        // NUL and other controls.
        "x: \0",
        "x: y\0z",
        "x\0: y",
        "\0: y",
        "x: \u{1}",
        "x: \u{8}",
        "x: \u{b}",
        "x: \u{c}",
        "x: \u{1b}[0m",
        "x: \u{1f}",
        "x: \u{7f}",
        "content-length\0: 1",
        // Names that are no tokens.
        "x y: z",
        "x,y: z",
        "x@y: z",
        "x(y): z",
        "x/y: z",
        "x=y: z",
        "x?y: z",
        "x[y]: z",
        "x{y}: z",
        "x\"y: z",
        "x\\y: z",
        "x;y: z",
        "x<y>: z",
        "é: z",
        "content-length\u{b}: 1",
        "\u{feff}x: y",
        // No colon.
        "x",
        "content-length 1",
        "transfer-encoding chunked",
        "GET /smuggled HTTP/1.1",
        "=",
    ];
    let mut cases: Vec<_> = lines.iter().map(|line| post(&format!("{line}\r\n\r\na"))).collect();
    cases.extend(lines.iter().map(|line| format!("GET /case HTTP/1.1\r\n{line}\r\nhost: a\r\n\r\n").into_bytes()));
    cases.extend([
        b"GET /case HTTP/1.1\r\nhost: a\r\nx\xff: y\r\n\r\n".to_vec(),
        b"GET /case HTTP/1.1\r\nhost: a\n\r\n".to_vec(),
        b"GET /case HTTP/1.1\r\nhost: a\r\n\n".to_vec(),
        b"GET /case HTTP/1.1\nhost: a\n\n".to_vec(),
        b"GET /case HTTP/1.1\rhost: a\r\r".to_vec(),
        b"GET /case HTTP/1.1\r\nhost: a\r\n\r\r\n".to_vec(),
        b"GET /case HTTP/1.1\r\nhost: a\r\n\rX\r\n\r\n".to_vec(),
        b"GET /case HTTP/1.1\r\n\n".to_vec(),
    ]);
    refused(&[400], &cases).await;
}

#[tokio::test]
async fn values_may_hold_text_of_any_encoding() {
    let bench = Bench::new().await;
    let request: [&[u8]; 3] = [
        b"GET /case HTTP/1.1\r\nhost: a\r\nx: \xe9\x80\xff!\t~ z \r\nempty:\r\nquote: \"a, b\";c=':'\r\n",
        b"\r\n",
        b"",
    ];
    assert_eq!(bench.serves(request.concat()).await.statuses(), [200, 200]);
    let arrived = bench.finish().await.remove(0);
    assert_eq!((arrived.field("empty"), arrived.field("quote")), ("", "\"a, b\";c=':'"));
    assert_eq!(arrived.field("x"), String::from_utf8_lossy(b"\xe9\x80\xff!\t~ z"));
}
