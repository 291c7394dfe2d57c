//! Hosts in one spelling. The value of a `Host` field or an `:authority` either is a host that routes can name, or the
//! request is refused.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// The host of `host[:port]`, lower case, without its port and trailing dot; an IPv6 address in brackets and in its
/// canonical form (RFC 5952). Borrowed when it already is in that form.
///
/// # Errors
/// The reason word when this is not one host: user information, lists, spaces and anything a name cannot hold.
pub fn host_of(authority_or_host: &str) -> Result<Cow<'_, str>, &'static str> {
    if let Some(plain) = plain(authority_or_host) {
        return Ok(Cow::Borrowed(plain));
    }
    careful(authority_or_host)
}

/// As [`host_of`], byte by byte and with the reason.
fn careful(authority_or_host: &str) -> Result<Cow<'_, str>, &'static str> {
    if authority_or_host.starts_with('[') {
        return address(authority_or_host);
    }
    let end = memchr::memchr(b':', authority_or_host.as_bytes());
    let parts = end.and_then(|end| authority_or_host.split_at_checked(end));
    let (name, port) = match parts {
        Some((name, port)) => (name, port.strip_prefix(':')),
        None => (authority_or_host, None),
    };
    check_name(name)?;
    // Checked after the name, so that `user:secret@host` gets the reason `host_userinfo`.
    check_port(port, authority_or_host)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(Cow::Owned(name.to_ascii_lowercase()));
    }
    Ok(Cow::Borrowed(name))
}

/// The host where every byte is as it should be, which is nearly always. One pass, because every request pays for it.
fn plain(authority: &str) -> Option<&str> {
    let (mut label, mut size) = (0_usize, 0_usize);
    for byte in authority.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' if label < MAX_LABEL => label += 1,
            b'.' if label > 0 => label = 0,
            b':' => break,
            _ => return None,
        }
        size += 1;
    }
    let (host, port) = authority.split_at_checked(size)?;
    if let Some((b':', digits)) = port.as_bytes().split_first() {
        let is_number = digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit);
        let value = || digits.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        if !is_number || value() > u32::from(u16::MAX) {
            return None;
        }
    }
    (label > 0 && size <= MAX_NAME).then_some(host)
}

/// Host and port of a `host[:port]` that [`host_of`] accepts, as they are written; an empty port is none.
pub(super) fn split_port(authority: &str) -> (&str, Option<u16>) {
    // From the end: requests pay for it, and an IPv6 address has colons before its bracket.
    let bytes = authority.bytes().rev();
    let digits = bytes.take_while(u8::is_ascii_digit).count();
    let split = authority.split_at_checked(authority.len() - digits);
    match split.and_then(|(host, port)| Some((host.strip_suffix(':')?, port))) {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, None),
    }
}

/// Letters, digits, hyphens and underscores (which DNS refuses in host names but private networks use) between dots.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("host_empty");
    }
    let mut label = 0_usize;
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            b'.' if label == 0 => return Err("host_label"),
            b'.' => label = 0,
            b'@' => return Err("host_userinfo"),
            b',' => return Err("host_list"),
            _ => return Err("host_character"),
        }
        if label > MAX_LABEL {
            return Err("host_label");
        }
    }
    if name.strip_suffix('.').unwrap_or(name).len() > MAX_NAME {
        return Err("host_too_long");
    }
    Ok(())
}

/// Digits that fit a port, or nothing: RFC 3986 allows an empty port.
fn check_port(port: Option<&str>, whole: &str) -> Result<(), &'static str> {
    let Some(port) = port else { return Ok(()) };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.len() <= 5;
    if is_port && (port.is_empty() || port.parse::<u16>().is_ok()) {
        Ok(())
    } else if whole.contains('@') {
        Err("host_userinfo")
    } else if whole.contains(',') {
        Err("host_list")
    } else {
        Err("host_port")
    }
}

/// `[address]` or `[address]:port`; zones and future versions are nothing a client should send.
fn address(text: &str) -> Result<Cow<'_, str>, &'static str> {
    let end = text.find(']').ok_or("host_address")?;
    let (literal, rest) = text.split_at_checked(end + 1).ok_or("host_address")?;
    let inner = literal.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).ok_or("host_address")?;
    let parsed: Ipv6Addr = inner.parse().map_err(|_not_an_address| "host_address")?;
    match rest.strip_prefix(':') {
        Some(port) => check_port(Some(port), text)?,
        None if rest.is_empty() => {}
        None => return Err("host_character"),
    }
    let canonical = format!("[{parsed}]");
    Ok(if canonical == literal { Cow::Borrowed(literal) } else { Cow::Owned(canonical) })
}

/// RFC 1035 section 2.3.4.
const MAX_LABEL: usize = 63;
/// RFC 1035 section 2.3.4, in text form without the trailing dot.
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let cases = [
            ("agents.example", Ok("agents.example")),
            ("Agents.Example:8443", Ok("agents.example")),
            ("agents.example.", Ok("agents.example")),
            ("agents.example.:443", Ok("agents.example")),
            ("agents.example:", Ok("agents.example")),
            ("my_service", Ok("my_service")),
            ("127.0.0.1:80", Ok("127.0.0.1")),
            ("[::1]", Ok("[::1]")),
            ("[::1]:8080", Ok("[::1]")),
            ("[0:0::1]:8080", Ok("[::1]")),
            ("[2001:DB8::A]", Ok("[2001:db8::a]")),
            ("", Err("host_empty")),
            (":80", Err("host_empty")),
            (".", Err("host_label")),
            ("a..b", Err("host_label")),
            (".a", Err("host_label")),
            ("a..", Err("host_label")),
            ("user@a", Err("host_userinfo")),
            ("user:secret@a", Err("host_userinfo")),
            ("a, b", Err("host_list")),
            ("a,b", Err("host_list")),
            ("a:80,b", Err("host_list")),
            ("a b", Err("host_character")),
            (" a", Err("host_character")),
            ("a/b", Err("host_character")),
            ("a%2eb", Err("host_character")),
            ("é", Err("host_character")),
            ("a\0", Err("host_character")),
            ("a:b", Err("host_port")),
            ("a:65536", Err("host_port")),
            ("a:000080", Err("host_port")),
            ("a:80:80", Err("host_port")),
            ("a:+80", Err("host_port")),
            ("::1", Err("host_empty")),
            ("[::1", Err("host_address")),
            ("[]", Err("host_address")),
            ("[fe80::1%25eth0]", Err("host_address")),
            ("[127.0.0.1]", Err("host_address")),
            ("[v1.x]", Err("host_address")),
            ("[::1]x", Err("host_character")),
            ("[::1].", Err("host_character")),
            ("[::1]:x", Err("host_port")),
        ];
        for (input, expected) in cases {
            assert_eq!(host_of(input).as_deref(), expected.as_ref().map(|host| *host), "{input:?}");
        }
    }

    #[test]
    fn hosts_have_a_bounded_length() {
        assert_eq!(host_of(&"a".repeat(64)), Err("host_label"));
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        assert!(host_of(&long).is_ok());
        assert_eq!(host_of(&format!("{long}x")), Err("host_too_long"));
    }

    #[test]
    fn canonical_hosts_are_borrowed() {
        for host in ["agents.example", "agents.example:80", "[::1]:80"] {
            assert!(matches!(host_of(host), Ok(Cow::Borrowed(_))), "{host}");
        }
    }

    #[test]
    fn a_port_is_told_from_an_address() {
        for (authority, expected) in [
            ("a.example", ("a.example", None)),
            ("a.example:80", ("a.example", Some(80))),
            ("a.example:", ("a.example", None)),
            ("a.example:00080", ("a.example", Some(80))),
            ("[::1]", ("[::1]", None)),
            ("[::1]:", ("[::1]", None)),
            ("[::1]:8443", ("[::1]", Some(8443))),
            ("10.0.0.1", ("10.0.0.1", None)),
            ("10.0.0.1:8443", ("10.0.0.1", Some(8443))),
            ("8443", ("8443", None)),
            ("", ("", None)),
        ] {
            assert_eq!(split_port(authority), expected, "{authority}");
        }
    }

    const HOSTS: &str = "[a-zA-Z0-9.:_-]{0,20}|[a-z0-9]{60,70}(\\.[a-z]{1,63}){0,4}|[a-z.]{1,5}:[0-9]{0,6}";

    proptest::proptest! {
        #[test]
        fn what_seems_plain_is_fine_when_looked_at_carefully(text in HOSTS) {
            if let Some(host) = plain(&text) {
                proptest::prop_assert_eq!(careful(&text), Ok(Cow::Borrowed(host)));
            }
        }

        #[test]
        fn anything_is_refused_or_settles(text in "\\PC{0,40}|[a-zA-Z0-9.:@,\\[\\]-]{0,20}") {
            if let Ok(host) = host_of(&text) {
                proptest::prop_assert_eq!(host_of(&host), Ok(host.clone()));
            }
        }
    }
}
