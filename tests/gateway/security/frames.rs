//! HTTP/2 by hand: frames as bytes, and just enough of HPACK to read a status.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{GUARD, within};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITISED: u8 = 32;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const NO_ERROR: u32 = 0;
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame as it goes over the wire.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field in HPACK, as a literal that is not indexed and not compressed.
pub(super) fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &string(name), &string(value)].concat()
}

fn string(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if text.len() < 127 {
        out.push(u8::try_from(text.len()).unwrap());
    } else {
        out.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            out.push(u8::try_from(rest % 128 + 128).unwrap());
            rest /= 128;
        }
        out.push(u8::try_from(rest).unwrap());
    }
    [out, text.to_vec()].concat()
}

/// A header block.
pub(super) fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name.as_ref(), value.as_ref())).collect()
}

/// The block of a sound GET.
pub(super) fn get(path: &str) -> Vec<u8> {
    block(&[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")])
}

/// The block of a sound POST.
pub(super) fn post(path: &str) -> Vec<u8> {
    block(&[(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a")])
}

/// A header block in one frame.
pub(super) fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, block)
}

pub(super) fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        pairs.iter().flat_map(|(key, value)| [&key.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

pub(super) fn window(stream: u32, size: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &size.to_be_bytes())
}

pub(super) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// A frame that was read.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a RST_STREAM or GOAWAY.
    fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it should.
    Clean,
    Reset(u32),
    GoAway(u32),
    /// The connection was closed without a word.
    Closed,
}

/// What a stream was answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) end: End,
}

impl Answer {
    /// Whether it was refused: by a status of the client's fault, a stream or a connection error.
    pub(super) fn is_refusal(&self) -> bool {
        match self.end {
            End::Clean | End::Reset(NO_ERROR) => (400..500).contains(&self.status),
            End::Reset(_) | End::GoAway(1..) | End::Closed => self.status == 0 || self.status >= 400,
            End::GoAway(_) => false,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct H2 {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Whether SETTINGS, PING and DATA are answered as they should be.
    pub(super) polite: bool,
}

impl H2 {
    /// Connects and says hello. No table for compressed fields, so that a status can be read by itself.
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[]).await
    }

    /// As `connect`, with more settings.
    pub(super) async fn connect_with(address: SocketAddr, more: &[(u16, u32)]) -> Self {
        let mut client = Self::bare(address).await;
        let all = [&[(1, 0)], more].concat();
        client.send([PREFACE, &settings(&all)].concat()).await;
        client
    }

    /// Connects and says nothing.
    pub(super) async fn bare(address: SocketAddr) -> Self {
        let stream = within("connect", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), polite: true }
    }

    /// Sends bytes; false when the peer takes no more.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within("write frames", self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Sends bytes while what the peer says is thrown away, so that neither side is stuck; false when it takes no more.
    pub(super) async fn pour(&mut self, bytes: Vec<u8>) -> bool {
        let (mut read, mut write) = self.stream.split();
        let mut taken = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        let writing = write.write_all(&bytes);
        tokio::pin!(writing);
        let poured = async {
            loop {
                tokio::select! {
                    done = &mut writing => return done.is_ok(),
                    size = read.read(&mut piece) => match size {
                        Ok(size) if size > 0 => taken.extend_from_slice(&piece[..size]),
                        _ => return false,
                    },
                }
            }
        };
        let poured = within("pour frames", poured).await;
        self.buffer.extend_from_slice(&taken);
        poured
    }

    /// The next frame; `None` when the connection is over.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut piece = vec![0; 64 * 1024];
            let size = within("read frames", self.stream.read(&mut piece)).await.unwrap_or(0);
            if size == 0 {
                return None;
            }
            self.buffer.extend_from_slice(&piece[..size]);
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.buffer.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        let payload = self.buffer.get(9..9 + length)?.to_vec();
        self.buffer.drain(..9 + length);
        Some(Frame { kind, flags, stream, payload })
    }

    /// Reads until this stream, or the connection, has ended.
    pub(super) async fn answer(&mut self, stream: u32) -> Answer {
        let mut answer = Answer { status: 0, body: Vec::new(), end: End::Closed };
        while let Some(frame) = self.next().await {
            self.reply(&frame).await;
            match frame.kind {
                GOAWAY if frame.code() != NO_ERROR => {
                    answer.end = End::GoAway(frame.code());
                    return answer;
                }
                RST_STREAM if frame.stream == stream => {
                    answer.end = End::Reset(frame.code());
                    return answer;
                }
                HEADERS if frame.stream == stream && answer.status == 0 => {
                    answer.status = status(&frame.payload).unwrap_or(0);
                }
                DATA if frame.stream == stream => answer.body.extend_from_slice(&frame.payload),
                _ => {}
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.stream == stream && frame.flags & END_STREAM != 0 {
                answer.end = End::Clean;
                return answer;
            }
        }
        answer
    }

    /// Reads until the connection is over and returns the code of its GOAWAY, if there was one.
    pub(super) async fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }

    /// Whether the connection ends soon without anybody saying more.
    pub(super) async fn ends(&mut self) -> bool {
        let rest = async { while self.next().await.is_some() {} };
        tokio::time::timeout(GUARD / 4, rest).await.is_ok()
    }

    async fn reply(&mut self, frame: &Frame) {
        let bytes = match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => self::frame(SETTINGS, ACK, 0, &[]),
            PING if frame.flags & ACK == 0 => self::frame(PING, ACK, 0, &frame.payload),
            DATA if !frame.payload.is_empty() => {
                let size = u32::try_from(frame.payload.len()).unwrap();
                [window(0, size), window(frame.stream, size)].concat()
            }
            _ => return,
        };
        if self.polite {
            self.send(bytes).await;
        }
    }
}

/// The status of a response, which is its first field.
fn status(block: &[u8]) -> Option<u16> {
    let mut rest = block;
    while rest.first()? & 0xe0 == 0x20 {
        rest = &rest[1..];
    }
    let first = *rest.first()?;
    if first & 0x80 != 0 {
        let known = [200, 204, 206, 304, 400, 404, 500];
        return known.get(usize::from(first & 0x7f).checked_sub(8)?).copied();
    }
    let length = *rest.get(1)?;
    let text = rest.get(2..2 + usize::from(length & 0x7f))?;
    if length & 0x80 == 0 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    digits(text).parse().ok()
}

/// Three digits in HPACK's Huffman code.
fn digits(text: &[u8]) -> String {
    let bits: Vec<u8> = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let mut out = String::new();
    let mut at = 0;
    while out.len() < 3 {
        let take = |size: usize| bits[at..at + size].iter().fold(0_u8, |sum, bit| sum << 1 | bit);
        let (digit, size) = match take(5) {
            short @ 0..=2 => (short, 5),
            _ => (take(6) - 0b01_1001 + 3, 6),
        };
        out.push(char::from(b'0' + digit));
        at += size;
    }
    out
}

#[test]
fn statuses_are_read() {
    assert!(GUARD.as_secs() > 0);
    assert_eq!(status(&[0x88]), Some(200));
    assert_eq!(status(&[0x20, 0x8c]), Some(400));
    assert_eq!(status(&[0x48, 3, b'4', b'3', b'1']), Some(431));
    // RFC 7541 appendix C.6.1 and C.6.2: 302 and 307.
    assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
    assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), Some(307));
}
