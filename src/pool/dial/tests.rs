//! What `dial.rs` does, held to its promises.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn question() -> Question {
    Question {
        method: Method::POST,
        target: PathAndQuery::from_static("/ask?x=1"),
        host: HeaderValue::from_static("agent.test"),
        headers: HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/plain"))]),
        body: Bytes::from_static(b"hello"),
    }
}

/// Reads the question above, writes `answer` and waits for the end of the connection; what was read.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"hello") {
        read.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "the client closes");
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn an_address_a_name_and_a_path_are_asked_the_same_way() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), UnixListener::bind(&path).unwrap());
    let address = tcp.local_addr().unwrap();
    let answer = b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 6\r\n\r\nanswer";
    for peer in [Peer::Address(address, "agent.test"), Peer::Name("localhost", address.port()), Peer::Path(&path)] {
        let asked = async {
            let link = Dialer::plain(DialLimits::each(PATIENCE)).connect(peer).await.unwrap();
            link.ask(question(), 6).await.unwrap()
        };
        let served = async {
            match peer {
                Peer::Path(_) => serve(unix.accept().await.unwrap().0, answer).await,
                Peer::Address(..) | Peer::Name(..) => serve(tcp.accept().await.unwrap().0, answer).await,
            }
        };
        let (answer, read) = tokio::join!(asked, served);
        assert!(read.starts_with("POST /ask?x=1 HTTP/1.1\r\nhost: agent.test\r\naccept: text/plain\r\n"), "{read}");
        assert_eq!((answer.status, &*answer.body, answer.is_whole), (StatusCode::OK, &b"answer"[..], true));
        assert_eq!(answer.headers["x-a"], "1");
    }
}

/// Asks an agent that answers with `bytes` and then nothing, at most `most` bytes of its body.
async fn asked(bytes: &'static [u8], most: usize, limits: DialLimits) -> Result<DialedResponse, DialError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap();
    let asked = async {
        let link = Dialer::plain(limits).connect(Peer::Address(peer, "agent.test")).await?;
        link.ask(question(), most).await
    };
    let served = async { serve(listener.accept().await.unwrap().0, bytes).await };
    tokio::join!(asked, served).0
}

#[tokio::test]
async fn no_more_is_read_than_was_asked_for() {
    let limits = DialLimits::each(PATIENCE);
    for (bytes, most, expected, is_whole) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nlong text"[..], 9, "long text", true),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nlong text", 4, "long", false),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", 0, "", false),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 9, "", true),
    ] {
        let answer = asked(bytes, most, limits).await.unwrap();
        assert_eq!((&*answer.body, answer.is_whole), (expected.as_bytes(), is_whole), "{most}");
    }
}

#[tokio::test]
async fn every_step_has_its_own_limit() {
    let short = Duration::from_millis(10);
    let each = DialLimits::each(PATIENCE);
    for (bytes, limits, expected) in [
        (&b""[..], DialLimits { head: short, ..each }, "no answer within 10ms"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nlong",
            DialLimits { body: short, ..each },
            "no end of the answer within 10ms",
        ),
    ] {
        let error = asked(bytes, 100, limits).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    // A listener whose queue is never taken from accepts in the kernel and never speaks TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = crate::config::model::UpstreamTls::default();
    let tls = ClientTls::build(&settings, crate::config::model::UpstreamProtocol::Http1).unwrap();
    let limits = DialLimits { connect: short, ..each };
    let dialer = Dialer { version: Version::Http1, tls: Some(tls), limits };
    let error = dialer.connect(Peer::Address(listener.local_addr().unwrap(), "agent.test")).await.unwrap_err();
    assert_eq!(error.to_string(), "no connection within 10ms");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_none() {
    let limits = DialLimits::each(PATIENCE);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer::Address(listener.local_addr().unwrap(), "agent.test");
    let asked = async { Dialer::plain(limits).connect(peer).await?.ask(question(), 100).await };
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = [0; 1024];
        let _length = stream.read(&mut read).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nlong").await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(asked, served);
    assert!(matches!(outcome, Err(DialError::Http1(_))), "{outcome:?}");
}
