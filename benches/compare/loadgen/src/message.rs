//! The bytes that travel: one A2A call of 400 bytes, its answer of 600, and the opening of an event stream.

pub const CALL_LEN: usize = 400;
pub const ANSWER_LEN: usize = 600;
pub const STREAM_PATH: &str = "/stream";
pub const FIRST_EVENT: &[u8] =
    b"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"statusUpdate\":{\"taskId\":\"t-1\"}}}\n\n";

/// A whole `SendMessage` request.
pub fn call(port: u16, path: &str) -> Vec<u8> {
    request(port, path, "application/json", "SendMessage")
}

/// A whole request without a body, answered like a `SendMessage`.
pub fn get(port: u16, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\naccept: application/json\r\na2a-version: 1.0\r\n\r\n")
        .into_bytes()
}

/// A whole `SendStreamingMessage` request.
pub fn stream_call(port: u16) -> Vec<u8> {
    request(port, STREAM_PATH, "text/event-stream", "SendStreamingMessage")
}

/// How a request for a large body begins; the number of bytes follows.
pub const DOWNLOAD: &str = "GET /bytes/";
/// How a request with a large body begins.
pub const UPLOAD: &str = "POST /bytes ";

/// A whole request for a body of this length.
pub fn download(port: u16, bytes: usize) -> Vec<u8> {
    format!("{DOWNLOAD}{bytes} HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n").into_bytes()
}

/// The head of a request with a body of this length.
pub fn upload(port: u16, bytes: usize) -> Vec<u8> {
    format!(
        "{UPLOAD}HTTP/1.1\r\nhost: localhost:{port}\r\ncontent-type: application/octet-stream\r\n\
         content-length: {bytes}\r\n\r\n"
    )
    .into_bytes()
}

/// The answer to a `SendMessage`.
pub fn answer() -> Vec<u8> {
    let body = padded(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"task\":{\"id\":\"t-1\",\"contextId\":\"c-1\",\
         \"status\":{\"state\":\"TASK_STATE_COMPLETED\"},\"artifacts\":[{\"artifactId\":\"a-1\",\"parts\":[{\"text\":\"",
        "\"}]}]}}}",
        ANSWER_LEN,
    );
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {ANSWER_LEN}\r\n\r\n{body}")
        .into_bytes()
}

/// Head and first event of a stream that then stays silent.
pub fn stream_opening() -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
                      transfer-encoding: chunked\r\n\r\n"
        .to_vec();
    bytes.extend(format!("{:x}\r\n", FIRST_EVENT.len()).into_bytes());
    bytes.extend(FIRST_EVENT);
    bytes.extend(b"\r\n");
    bytes
}

/// The body of a `SendMessage`.
pub fn call_body() -> String {
    body("SendMessage")
}

fn body(method: &str) -> String {
    let opening = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":{{\"message\":{{\"messageId\":\"m-1\",\
         \"role\":\"ROLE_USER\",\"parts\":[{{\"text\":\""
    );
    padded(&opening, "\"}]}}}", CALL_LEN)
}

fn request(port: u16, path: &str, accept: &str, method: &str) -> Vec<u8> {
    let body = body(method);
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost:{port}\r\ncontent-type: application/json\r\naccept: {accept}\r\n\
         a2a-version: 1.0\r\ncontent-length: {CALL_LEN}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn padded(opening: &str, closing: &str, len: usize) -> String {
    let filling = "x".repeat(len - opening.len() - closing.len());
    format!("{opening}{filling}{closing}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{content_length, head_len};

    #[test]
    fn bodies_have_the_length_their_heads_announce() {
        for (bytes, len) in [(call(1, "/"), CALL_LEN), (stream_call(1), CALL_LEN), (answer(), ANSWER_LEN)] {
            let head = head_len(&bytes).expect("the head is complete");
            assert_eq!(bytes.len() - head, len);
            assert_eq!(content_length(&bytes[..head]), Some(len));
        }
    }
}
