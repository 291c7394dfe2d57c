//! Files of networks: one network or address a line. What stands behind `#` or `;` is a comment.

use ipnet::IpNet;

use super::de::without_hint;
use super::forms::values::network;

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) what: String,
}

/// Reads a file. One line that is no network refuses all of it: a list that is half read lets in whom it names.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<IpNet>, BadLine> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut networks = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let said = line.split(|byte| matches!(byte, b'#' | b';')).next().unwrap_or_default().trim_ascii();
        if said.is_empty() {
            continue;
        }
        let bad = |what| BadLine { line: index + 1, what };
        let text = std::str::from_utf8(said).map_err(|_other| bad("it is not UTF-8".to_owned()))?;
        if text.len() > LONGEST {
            return Err(bad("it is too long for a network".to_owned()));
        }
        networks.push(network(text).map_err(|error| bad(without_hint(&error)))?.0);
    }
    Ok(networks)
}

/// No network is written in more bytes.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_network_an_address_or_nothing() {
        let text = b"\xef\xbb\xbf# ours\r\n10.0.0.0/8\r\n\n  192.0.2.7 # one\n2001:db8::/32 ; SBL1\n;\n::1";
        let read: Vec<_> = parse(text).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(read, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128"]);
        assert_eq!(parse(b"").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line, what) in [
            ("10.0.0.0/8\nnonsense", 2, "`nonsense` is not a network"),
            ("10.0.0.1/8", 1, "`10.0.0.1/8` has bits beyond its prefix"),
            ("\n\n10.0.0.0/33", 3, "`10.0.0.0/33` is not a network"),
            ("10.0.0.0/8 10.1.0.0/16", 1, "`10.0.0.0/8 10.1.0.0/16` is not a network"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err(), BadLine { line, what: what.to_owned() }, "{text}");
        }
        assert_eq!(parse(b"a\xff").unwrap_err().what, "it is not UTF-8");
        assert_eq!(parse(&[b'1'; 1000]).unwrap_err().what, "it is too long for a network");
    }
}
