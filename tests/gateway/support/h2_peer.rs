//! An HTTP/2 endpoint by hand, for what no library's server does.

use super::Raw;

pub(crate) const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The server's side of a connection. SETTINGS are answered, nothing else is.
#[derive(Debug)]
pub(crate) struct H2Peer {
    connection: Raw,
}

impl H2Peer {
    /// Reads the preface and says hello; `None` when the client leaves.
    pub(crate) async fn accept(mut connection: Raw) -> Option<Self> {
        connection.try_read_exact(24).await?;
        let mut peer = Self { connection };
        peer.send(SETTINGS, 0, 0, &[]).await;
        Some(peer)
    }

    /// The next frame; `None` when the client has closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let head = self.connection.try_read_exact(9).await?;
            let size = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let frame = Frame {
                kind: head[3],
                flags: head[4],
                stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
                payload: self.connection.try_read_exact(size.try_into().unwrap()).await?,
            };
            if frame.kind != SETTINGS {
                return Some(frame);
            }
            if frame.flags & ACK == 0 {
                self.send(SETTINGS, ACK, 0, &[]).await;
            }
        }
    }

    /// Reads until a frame of this kind that is no acknowledgement.
    pub(crate) async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind && (kind != PING || frame.flags & ACK == 0) {
                return Some(frame);
            }
        }
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let bytes = [&size[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat();
        self.connection.try_write(bytes).await
    }

    /// Sends several frames (kind, flags, stream, payload) in one write.
    pub(crate) async fn send_at_once(&mut self, frames: &[(u8, u8, u32, &[u8])]) -> bool {
        let frame = |(kind, flags, stream, payload): &(u8, u8, u32, &[u8])| {
            let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
            [&size[1..], &[*kind, *flags], &stream.to_be_bytes(), payload].concat()
        };
        self.connection.try_write(frames.iter().flat_map(frame).collect::<Vec<u8>>()).await
    }

    /// Answers a PING.
    pub(crate) async fn pong(&mut self, ping: &Frame) {
        self.send(PING, ACK, 0, &ping.payload).await;
    }

    /// A whole answer without a body. The status is one of HPACK's table: 200, 204, 206, 304, 400, 404, 500 are 8 to
    /// 14.
    pub(crate) async fn answer(&mut self, stream: u32, status: u8) -> bool {
        let flags = END_HEADERS | END_STREAM;
        self.send(HEADERS, flags, stream, &[0x80 | status]).await
    }

    /// Says that nothing after the stream `last` is worked on.
    pub(crate) async fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload).await;
    }

    /// Closes with what came unread, so that the kernel resets the connection.
    pub(crate) fn reset(self) {
        self.connection.reset();
    }

    /// Ends our direction, and reads what still comes.
    pub(crate) async fn leave(mut self) {
        self.connection.finish().await;
        self.connection.closed().await;
    }
}
