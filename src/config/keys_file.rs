//! Files of API keys: a line `name:sha256hex` for each, or `name:sha256hex:role,role`. What is wrong is said by the
//! number of its line and never with what stands there, which may be a key.

use std::collections::HashMap;

use super::model::KnownKey;

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) what: &'static str,
}

/// Reads a file of keys. Empty lines and those that begin with `#` are left out.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<KnownKey>, BadLine> {
    let mut keys = Vec::new();
    let mut lines = HashMap::new();
    for (line, text) in entries(bytes) {
        let bad = |what| BadLine { line, what };
        let text = text.map_err(|_not_utf8| bad("it is not UTF-8"))?;
        let key = key(text).map_err(bad)?;
        if lines.insert(key.digest, line).is_some() {
            return Err(bad("this key is there already"));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The lines of a file that say something, with their numbers. A byte order mark and carriage returns are left out.
pub(super) fn entries(bytes: &[u8]) -> impl Iterator<Item = (usize, Result<&str, std::str::Utf8Error>)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let told = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"));
    told.map(|(index, line)| (index + 1, std::str::from_utf8(line)))
}

fn key(text: &str) -> Result<KnownKey, &'static str> {
    let (name, rest) = text.split_once(':').ok_or("write `name:sha256hex`")?;
    let (digest, listed) = rest.split_once(':').unwrap_or((rest, ""));
    let digest = digest.trim();
    if !digest.is_ascii() || digest.len() != 64 {
        return Err("behind the name stand 64 hexadecimal digits: `printf %s KEY | sha256sum`");
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digest.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'));
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        *byte = value.ok_or("the digest is not hexadecimal")?;
    }
    Ok(KnownKey { name: self::name(name)?, digest: bytes, roles: roles(listed)? })
}

/// A name of a client, as it can stand in a header field.
pub(super) fn name(text: &str) -> Result<Box<str>, &'static str> {
    let text = text.trim();
    let is_legal = !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    if is_legal { Ok(text.into()) } else { Err("a name has 1 to 128 bytes and no control characters") }
}

/// A list of roles with commas.
pub(super) fn roles(text: &str) -> Result<Box<[Box<str>]>, &'static str> {
    let roles = text.split(',').map(str::trim).filter(|role| !role.is_empty());
    roles
        .map(|role| {
            let is_legal = role.len() <= MAX_NAME && role.bytes().all(|byte| byte.is_ascii_graphic());
            if is_legal { Ok(role.into()) } else { Err("a role has no spaces and at most 128 letters of ASCII") }
        })
        .collect()
}

/// Bytes of a name or a role.
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";

    #[test]
    fn keys_are_read_with_names_and_roles() {
        let upper = A.to_ascii_uppercase().replace("2BD8", "0000");
        let text = format!("\u{feff}# who\r\n\r\nann:{A}\r\n  ci bot : {upper} : admin, ops ,\n");
        let keys = parse(text.as_bytes()).unwrap();
        let names: Vec<_> =
            keys.iter().map(|key| (&*key.name, key.roles.iter().map(|role| &**role).collect())).collect();
        assert_eq!(names, [("ann", vec![]), ("ci bot", vec!["admin", "ops"])]);
        assert_eq!(keys[0].digest[..3], [0x2b, 0xd8, 0x06]);
        assert_eq!(keys[1].digest[..3], [0, 0, 0x06]);
        assert!(!format!("{keys:?}").contains("43, 216"), "a digest is nobody's to see");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_alone() {
        for (text, line) in [
            ("ann", 1),
            ("# a\nann:secret", 2),
            (&format!("ann:{A}\nbob:{A}"), 2),
            (&format!(":{A}"), 1),
            (&format!("ann:{}", A.replace("6e90", "6e9g")), 1),
            (&format!("ann:{}", A.replacen("2b", "+b", 1)), 1),
            (&format!("ann:{A}:two words"), 1),
            (&format!("a\tb:{A}"), 1),
            (&format!("{}:{A}", "x".repeat(129)), 1),
        ] {
            let bad = parse(text.as_bytes()).unwrap_err();
            assert_eq!(bad.line, line, "{text}");
            assert!(!bad.what.contains("secret"));
        }
        assert_eq!(parse(b"a\nann:\xff").unwrap_err().line, 1);
        assert_eq!(parse(b"").unwrap(), []);
    }
}
