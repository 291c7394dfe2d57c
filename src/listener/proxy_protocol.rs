//! The PROXY protocol, versions 1 and 2, as spoken by load balancers in front. Only headers of peers on the listener's
//! list count, and these peers must send one: if the header were optional, a peer could pass as a client of its own. A
//! peer that is not on the list and sends a header fails, because a header is neither HTTP nor TLS.

use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Addresses a header told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// The client.
    pub source: SocketAddr,
    /// The address the client connected to.
    pub destination: SocketAddr,
}

/// Reads exactly the header and nothing after it. `None` means that the peer itself is the client (`LOCAL`, `UNKNOWN`),
/// for example in a health check. The caller limits the time.
///
/// # Errors
/// When the bytes are no header, or the peer closed.
pub async fn read(stream: &mut TcpStream) -> io::Result<Option<Proxied>> {
    let mut header = Vec::with_capacity(LONGEST_V1);
    let mut ahead = [0; LONGEST_V1];
    loop {
        let end = match frame(&header)? {
            Frame::Whole => return parse(&header),
            Frame::Until(end) => end,
            // Nothing may be taken that is not known to belong to the header; so first look.
            Frame::Unknown => {
                let seen = stream.peek(&mut ahead).await?;
                if seen == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let mut joined = header.clone();
                joined.extend_from_slice(ahead.get(..seen).unwrap_or_default());
                match frame(&joined)? {
                    Frame::Until(end) => end,
                    Frame::Whole | Frame::Unknown => joined.len(),
                }
            }
        };
        let start = header.len();
        header.resize(end, 0);
        stream.read_exact(header.get_mut(start..).unwrap_or_default()).await?;
    }
}

/// As [`read`], for a header that has arrived.
///
/// # Errors
/// When the bytes are not exactly one header.
#[doc(hidden)]
pub fn decode(bytes: &[u8]) -> io::Result<Option<Proxied>> {
    match frame(bytes)? {
        Frame::Whole => parse(bytes),
        Frame::Until(_) | Frame::Unknown => Err(invalid("not one PROXY header")),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Frame {
    /// The bytes are the start of a header whose end is not known.
    Unknown,
    /// The header ends after so many bytes, fewer or more than there are.
    Until(usize),
    /// The bytes are one header.
    Whole,
}

/// Finds the end of the header that `bytes` begins with.
fn frame(bytes: &[u8]) -> io::Result<Frame> {
    let end = if starts_alike(bytes, SIGNATURE_V2) {
        bytes.get(14..16).map(|length| 16 + length.iter().fold(0, |sum, &byte| sum * 256 + usize::from(byte)))
    } else if starts_alike(bytes, b"PROXY ") {
        memchr::memchr(b'\n', bytes).map(|feed| feed + 1)
    } else {
        return Err(invalid("no PROXY header"));
    };
    match end {
        Some(end) if end == bytes.len() => Ok(Frame::Whole),
        Some(end) if end > LONGEST_V2 => Err(invalid("PROXY header too long")),
        Some(end) => Ok(Frame::Until(end)),
        None if bytes.len() >= LONGEST_V1 => Err(invalid("PROXY header too long")),
        None => Ok(Frame::Unknown),
    }
}

fn parse(header: &[u8]) -> io::Result<Option<Proxied>> {
    let (parsed, length) = ProxyHeader::parse(header, ParseConfig::default())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if length != header.len() {
        return Err(invalid("PROXY header of two lengths"));
    }
    Ok(parsed.proxied_address().map(|address| Proxied { source: address.source, destination: address.destination }))
}

fn starts_alike(bytes: &[u8], other: &[u8]) -> bool {
    bytes.iter().zip(other).all(|(one, two)| one == two)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

const SIGNATURE_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its line end.
const LONGEST_V1: usize = 107;
/// Addresses and the fields balancers add; the format would allow 64 KiB.
const LONGEST_V2: usize = 16 + 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    const V2_TCP4: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x0a\x00\x00\x01\x12\x67\x01\xbb";

    /// What is read from these pieces, and what is left on the stream.
    async fn read_from(pieces: &[&[u8]]) -> (io::Result<Option<Proxied>>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let send = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            for piece in pieces {
                stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            stream.shutdown().await.unwrap();
            stream
        };
        let receive = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let header = read(&mut stream).await;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            (header, rest)
        };
        let (_stream, received) = tokio::join!(send, receive);
        received
    }

    #[tokio::test]
    async fn headers_are_read_exactly() {
        let client =
            Some(Proxied { source: "192.0.2.1:4711".parse().unwrap(), destination: "10.0.0.1:443".parse().unwrap() });
        let v1 = b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n";
        let cases: [(&[u8], Option<Proxied>); 4] =
            [(v1, client), (V2_TCP4, client), (V2_LOCAL, None), (b"PROXY UNKNOWN\r\n", None)];
        for (header, expected) in cases {
            let bytes = [header, b"GET / HTTP/1.1\r\n"].concat();
            let (read, rest) = read_from(&[&bytes]).await;
            assert_eq!(read.unwrap(), expected, "{header:?}");
            assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{header:?}");
            let single: Vec<_> = bytes.chunks(1).collect();
            let (read, rest) = read_from(&single).await;
            assert_eq!(read.unwrap(), expected, "byte by byte: {header:?}");
            assert_eq!(rest, b"GET / HTTP/1.1\r\n", "byte by byte: {header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = format!("PROXY TCP4 {}", "1".repeat(200));
        let cases: [&[u8]; 8] = [
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711",
            b"PROXY TCP4 192.0.2.1 nowhere 4711 443\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x00",
            long.as_bytes(),
        ];
        for bytes in cases {
            assert!(read_from(&[bytes]).await.0.is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            start in prop::sample::select(vec![&b""[..], b"PROXY ", V2_LOCAL, &V2_TCP4[..14]]),
        ) {
            let bytes = [start, &bytes].concat();
            if let Ok(Frame::Until(end)) = frame(&bytes) {
                prop_assert!(end <= LONGEST_V2);
            }
            drop(parse(&bytes));
        }
    }
}
