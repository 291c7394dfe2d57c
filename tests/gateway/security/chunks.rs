//! Chunks and trailers.

use super::bench::{Bench, broken};

fn chunked(body: &str) -> Vec<u8> {
    format!("POST /case HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}").into_bytes()
}

#[tokio::test]
async fn broken_chunks_end_the_connection() {
    let mut bodies: Vec<String> = [
        // Sizes that are not plain hexadecimal digits.
        "",
        "x",
        "g",
        "0x3",
        "0X3",
        "+3",
        "-3",
        "-0",
        "+0",
        " 3",
        "3 ",
        "3\t",
        "\t3",
        "3 ;x",
        "3_0",
        "3.0",
        "3,",
        "'3'",
        "\"3\"",
        "٣",
        "3\0",
        "\u{0}3",
        "3\u{b}",
        "\u{b}3",
        "3\u{7f}",
        "3h",
        "0x",
        "&H3",
        "3 3",
        // Sizes that overflow somewhere.
        "10000000000000003",
        "FFFFFFFFFFFFFFFF",
        "ffffffffffffffff3",
        "8000000000000000",
        "7fffffffffffffff0",
        "100000000000000000000000000000003",
        "00000000000000000000003",
        // Extensions with controls, or without end.
        "3;\0",
        "3;a=\u{1}",
        "3;a=\"\u{b}\"",
        "3;a\u{7f}",
        "3;a\rb",
        "3;a\nb",
        "3;a\n",
        "3;\n",
        "3;\r",
        "3;a=\"b\r\nc\"",
    ]
    .iter()
    .map(|size| format!("{size}\r\nabc\r\n0\r\n\r\n"))
    .collect();
    bodies.push(format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(300)));
    bodies.push(format!("3;{}", "x".repeat(100_000)));
    bodies.push(format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(5000)));
    bodies.extend(
        [
            // Line ends.
            "3\nabc\r\n0\r\n\r\n",
            "3\rabc\r\n0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3\r\nabc\r0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\r\nab\r\n0\r\n\r\n",
            "3\r\nabc\r\n0\n\r\n",
            "3\r\nabc\r\n0\r\n\n",
            "3\r\nabc\r\n\r\n0\r\n\r\n",
            "\r\n3\r\nabc\r\n0\r\n\r\n",
            "\n3\r\nabc\r\n0\r\n\r\n",
            "3\n\rabc\r\n0\r\n\r\n",
            "3\r\r\nabc\r\n0\r\n\r\n",
            "3\r\nabcXX0\r\n\r\n",
            "3\r\nabc\r\r\n0\r\n\r\n",
            "3\r\nabc\n\n0\r\n\r\n",
            "0\r\r\n",
            "0\rX\n\r\n",
            "0\n\n",
            // Trailers that are no header lines.
            "0\r\nx : y\r\n\r\n",
            "0\r\n x: y\r\n\r\n",
            "0\r\nx: y\r\n z\r\n\r\n",
            "0\r\nx: \0\r\n\r\n",
            "0\r\nx\r\n\r\n",
            "0\r\nx: y\nz: a\r\n\r\n",
            "0\r\nx: y\rz: a\r\n\r\n",
            "0\r\nx y: z\r\n\r\n",
            "0\r\n: y\r\n\r\n",
            "0\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        ]
        .map(str::to_owned),
    );
    let cases: Vec<_> = bodies.iter().map(|body| chunked(body)).collect();
    broken(&cases).await;
}

#[tokio::test]
async fn trailers_are_bounded() {
    let many = format!("3\r\nabc\r\n0\r\n{}\r\n", "x: y\r\n".repeat(2000));
    let large = format!("3\r\nabc\r\n0\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let endless = format!("3\r\nabc\r\n0\r\n{}", "x: y\r\n".repeat(100_000));
    broken(&[chunked(&many), chunked(&large), chunked(&endless)]).await;
}

#[tokio::test]
async fn what_is_forwarded_has_plain_chunks() {
    let bench = Bench::new().await;
    let cases = [
        "3\r\nabc\r\n0\r\n\r\n",
        "003\r\nabc\r\n000\r\n\r\n",
        "3;a\r\nabc\r\n0;b\r\n\r\n",
        "3;a=b;c=\"d e\"\r\nabc\r\n0\r\n\r\n",
        "3;\r\nabc\r\n0\r\n\r\n",
        "3;\u{e9}=\t\r\nabc\r\n0\r\n\r\n",
        "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n",
        "0000000000000003\r\nabc\r\n0\r\n\r\n",
    ];
    for body in cases {
        assert_eq!(bench.serves(chunked(body)).await.statuses(), [200, 200], "{body:?}");
    }
    assert_eq!(bench.serves(chunked("A\r\n0\r\n\r\nGET /\r\n0\r\n\r\n")).await.statuses(), [200, 200]);
    let arrived = bench.finish().await;
    assert_eq!(arrived.len(), cases.len() + 1);
    assert_eq!(arrived.last().unwrap().body, b"0\r\n\r\nGET /", "chunks inside chunks are data");
    assert!(arrived[..cases.len()].iter().all(|arrived| arrived.body == b"abc"), "{arrived:#?}");
}

#[tokio::test]
async fn trailers_that_would_change_the_message_are_dropped() {
    let names = [
        "host", "content-length", "transfer-encoding", "authorization", "cookie", "set-cookie", "te", "trailer",
        "connection", "keep-alive", "upgrade", "expect", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
        "x-forwarded-port", "forwarded", "x-real-ip", "via", "proxy-authorization", "proxy-connection", "max-forwards",
        "content-type", "content-encoding", "x-request-id", "Host", "CONTENT-LENGTH", "cache-control",
        "x_forwarded_for", "x_real_ip", "traceparent",
    ];
    let bench = Bench::new().await;
    for name in names {
        let body = format!("3\r\nabc\r\n0\r\n{name}: 1\r\nx-sum: 7\r\n\r\n");
        let request = String::from_utf8(chunked(&body)).unwrap().replacen(
            "\r\ntransfer",
            &format!("\r\ntrailer: x-sum, {name}\r\ntransfer"),
            1,
        );
        assert_eq!(bench.serves(request).await.statuses(), [200, 200], "{name}");
    }
    let arrived = bench.finish().await;
    assert_eq!(arrived.len(), names.len());
    for (arrived, name) in arrived.iter().zip(names) {
        assert_eq!(arrived.trailers, "x-sum: 7", "{name} is not for trailers");
    }
}
