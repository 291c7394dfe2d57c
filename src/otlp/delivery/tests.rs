//! Which answers are worth another try, and how long a delivery takes.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::super::retry_info::tests::details;
use super::*;

const PATHS: Paths = Paths { grpc: "/a.B/Export", http: "/v1/traces" };

fn answer(status: u16, headers: &[(&'static str, &str)], trailers: &[(&'static str, &str)]) -> DialedResponse {
    let fields = |pairs: &[(&'static str, &str)]| {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    };
    DialedResponse {
        status: StatusCode::from_u16(status).unwrap(),
        headers: fields(headers),
        body: Bytes::from_static(b"\0\0\0\0\x02ok"),
        is_whole: true,
        trailers: fields(trailers),
    }
}

#[test]
fn the_path_of_the_signal_is_added_once() {
    for (given, expected) in [
        ("/", "/v1/traces"),
        ("/otlp", "/otlp/v1/traces"),
        ("/otlp/", "/otlp/v1/traces"),
        ("/v1/traces", "/v1/traces"),
        ("/x/v1/traces?key=1", "/x/v1/traces?key=1"),
    ] {
        assert_eq!(of_signal(&PathAndQuery::from_static(given), PATHS), expected, "{given}");
    }
}

#[test]
fn which_answers_are_worth_another_try() {
    for (status, passing) in [(400, false), (401, false), (404, false), (413, false), (429, true), (500, false)] {
        let failure = of_http(answer(status, &[], &[])).unwrap_err();
        assert_eq!(failure.is_passing, passing, "{status}");
    }
    for status in [502, 503, 504] {
        let failure = of_http(answer(status, &[("retry-after", "7")], &[])).unwrap_err();
        assert_eq!((failure.is_passing, failure.wait), (true, Some(Duration::from_secs(7))), "{status}");
    }
    assert!(of_http(answer(200, &[], &[])).is_ok());
    assert_eq!(of_grpc(&answer(200, &[], &[("grpc-status", "0")])).unwrap(), "ok");
    for (code, passing) in [("14", true), ("8", false), ("3", false), ("16", false), ("99", false)] {
        let in_head = of_grpc(&answer(200, &[("grpc-status", code)], &[])).unwrap_err();
        let behind = of_grpc(&answer(200, &[], &[("grpc-status", code)])).unwrap_err();
        assert_eq!((in_head.is_passing, behind.is_passing), (passing, passing), "{code}");
    }
    let details = details("RetryInfo", 7, 0);
    for (code, passing) in [("8", true), ("14", true), ("3", false)] {
        let fields = [("grpc-status", code), ("grpc-status-details-bin", &details)];
        for answer in [answer(200, &fields, &[]), answer(200, &[], &fields)] {
            let failure = of_grpc(&answer).unwrap_err();
            assert_eq!((failure.is_passing, failure.wait), (passing, Some(Duration::from_secs(7))), "{code}");
        }
    }
    assert!(of_grpc(&answer(503, &[], &[])).unwrap_err().is_passing);
    assert!(!of_grpc(&answer(404, &[], &[])).unwrap_err().is_passing);
}

/// A collector at this port of the machine itself.
pub(in crate::otlp) fn collector_at(port: u16, timeout: Duration) -> Otlp {
    let url = WebUrl {
        scheme: Scheme::Http,
        host: "127.0.0.1".into(),
        port,
        authority: HeaderValue::from_static("127.0.0.1"),
        target: PathAndQuery::from_static("/"),
    };
    Otlp { url, protocol: OtlpProtocol::Http, headers: HeaderMap::new(), ca_file: None, timeout }
}

/// One that takes nearly as long as it may for its head, and again for its body.
#[tokio::test]
async fn the_time_of_a_delivery_is_one_and_not_one_for_each_step() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limit = Duration::from_millis(800);
    let otlp = collector_at(listener.local_addr().unwrap().port(), limit);
    let collector = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut asked = [0; 4096];
        assert!(socket.read(&mut asked).await.unwrap() > 0);
        for piece in ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "ok"] {
            // The time is the subject.
            sleep(limit / 2).await;
            let _gone = socket.write_all(piece.as_bytes()).await.is_err();
        }
    };
    let client = Client::build(&otlp, PATHS).unwrap();
    let message = Bytes::from_static(b"message");
    let (delivered, ()) = tokio::join!(client.deliver(&message), collector);
    let failure = delivered.unwrap_err();
    assert_eq!((failure.to_string().as_str(), failure.is_passing), ("no whole answer within 800ms", true));
}
