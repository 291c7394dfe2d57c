//! Keeps request lines for the access log. The parser refuses some targets by itself and drops them without a trace.
//! Only lines that it may refuse are kept, so that the others cost no copy.

/// The beginning of a request line, where the parser may refuse its target.
pub(super) fn kept(line: &[u8]) -> Option<Box<[u8]>> {
    // Methods and versions are short.
    let start = line.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
    let end = line.iter().rposition(|byte| *byte == b' ').unwrap_or(line.len());
    let target = line.get(start..end).unwrap_or_default();
    // Without an early exit the compiler looks at many bytes at once.
    let plain = target.iter().fold(true, |plain, byte| plain & is_plain(*byte));
    let odd = !plain || target.first() != Some(&b'/');
    odd.then(|| shown(line).into())
}

/// As much of a line as is worth showing.
pub(super) fn shown(line: &[u8]) -> &[u8] {
    line.get(..SHOWN).unwrap_or(line)
}

/// Bytes that every parser accepts in a target.
fn is_plain(byte: u8) -> bool {
    (b'!'..=b'~').contains(&byte) & !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

const SHOWN: usize = 512;

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    #[test]
    fn only_odd_lines_are_kept_and_not_all_of_a_long_one() {
        for (line, odd) in [
            ("GET /a/b%20c?d=e&f[]=g HTTP/1.1", false),
            ("GET /a<b HTTP/1.1", true),
            ("GET /\u{e4} HTTP/1.1", true),
            ("GET http://a/ HTTP/1.1", true),
            ("GET a HTTP/1.1", true),
            ("", true),
        ] {
            assert_eq!(kept(line.as_bytes()).is_some(), odd, "{line}");
        }
        let long = format!("GET /<{} HTTP/1.1", "x".repeat(10_000));
        assert_eq!(kept(long.as_bytes()).map(|line| line.len()), Some(SHOWN));
    }

    #[test]
    fn whatever_the_parser_refuses_is_odd() {
        for byte in 0..=u8::MAX {
            let target = [b'/', byte];
            if is_plain(byte) {
                assert!(Uri::try_from(&target[..]).is_ok(), "{byte}");
                assert!(Uri::try_from([b"/?", &[byte][..]].concat()).is_ok(), "{byte}");
            }
        }
    }
}
