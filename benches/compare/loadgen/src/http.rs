//! Just enough HTTP/1.1: where a head ends, and what one of its headers says.

use memchr::{memchr_iter, memmem};

/// Length of the head including its empty line, once it has arrived.
pub fn head_len(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// The value of the first header of that name (given in lower case).
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut start = 0;
    for end in memchr_iter(b'\n', head) {
        let line = &head[start..end];
        start = end + 1;
        if line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name.as_bytes()) {
            return Some(line[name.len() + 1..].trim_ascii());
        }
    }
    None
}

/// `Content-Length`, when there is one and it is a number.
pub fn content_length(head: &[u8]) -> Option<usize> {
    std::str::from_utf8(header(head, "content-length")?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\nContent-Length:  42 \r\n\r\n";

    #[test]
    fn a_head_ends_at_its_empty_line() {
        assert_eq!(head_len(HEAD), Some(HEAD.len()));
        assert_eq!(head_len(&HEAD[..HEAD.len() - 1]), None);
    }

    #[test]
    fn headers_are_found_in_any_case_and_trimmed() {
        assert_eq!(content_length(HEAD), Some(42));
        assert_eq!(header(HEAD, "content-type"), Some(&b"a/b"[..]));
        assert_eq!(header(HEAD, "content"), None);
    }
}
