//! The valid forms of a `Host` field or an authority: a name or an address and perhaps a port, nothing else. Stricter
//! than RFC 3986, whose user information, lists and percent-encoding help only attackers here.

use std::net::Ipv6Addr;

/// Whether `host` is `name[:port]`, `address[:port]` or `[v6][:port]`.
#[must_use]
pub fn is_valid_host(host: &[u8]) -> bool {
    if let Some(rest) = host.strip_prefix(b"[") {
        return is_valid_v6(rest);
    }
    let end = host.iter().position(|&byte| !is_name_byte(byte)).unwrap_or(host.len());
    let (name, port) = host.split_at(end);
    !name.is_empty() && name.len() <= MAX_NAME && is_valid_port(port)
}

/// A table, because this looks at every byte of every request's host.
fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES.get(usize::from(byte)).copied().unwrap_or(false)
}

fn is_valid_v6(rest: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b']', rest) else {
        return false;
    };
    let (address, port) = rest.split_at(end);
    let is_address = std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    is_address && is_valid_port(port.get(1..).unwrap_or_default())
}

/// Nothing, or a colon and a number below 65,536, which RFC 3986 lets be empty.
fn is_valid_port(port: &[u8]) -> bool {
    match port.split_first() {
        None => true,
        Some((b':', digits)) => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && digits.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0')) <= u32::from(u16::MAX)
        }
        Some(_) => false,
    }
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};
/// A domain name is at most 253 bytes; one more for a trailing dot.
const MAX_NAME: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_and_a_port() {
        for good in [
            "a", "example.com", "example.com.", "EXAMPLE.com:443", "a_b.svc:", "10.0.0.1:80", "[::1]",
            "[2001:db8::1]:8443",
        ] {
            assert!(is_valid_host(good.as_bytes()), "{good} is a host");
        }
        for bad in [
            "", ":80", "a:b", "a:65536", "a:123456", "a@b", "a,b", "a b", "a/b", "a?b", "a#b", "a\\b", "a%2eb", "[::1",
            "[::1]x", "[::1]:x", "[a]", "::1", "a:80:80", "\u{e9}.com", "a\u{0}",
        ] {
            assert!(!is_valid_host(bad.as_bytes()), "{bad:?} is not a host");
        }
        assert!(!is_valid_host(&[b'a'; 300]), "too long");
    }
}
