//! SPIFFE ids: `spiffe://trust-domain/path`.

/// The trust domain of an id, or `None` for what is no id of a workload. Its path has segments of letters, digits, `-`,
/// `.` and `_`, none of them empty or dots alone (SPIFFE-ID sections 2.1 to 2.3).
#[must_use]
pub fn trust_domain(id: &str) -> Option<&str> {
    let (domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..") && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
    };
    (is_trust_domain(domain) && id.len() <= MAX_ID && path.split('/').all(is_segment)).then_some(domain)
}

/// Whether this is the name of a trust domain: lower-case letters, digits, `-`, `.` and `_` (SPIFFE-ID section 2.1).
pub(in crate::config) fn is_trust_domain(name: &str) -> bool {
    (1..=MAX_DOMAIN).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || is_sign(byte))
}

fn is_sign(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'_')
}

const MAX_DOMAIN: usize = 255;
const MAX_ID: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        for (id, expected) in [
            ("spiffe://example.org/ns/prod/sa/planner", Some("example.org")),
            ("spiffe://a_b-c/x", Some("a_b-c")),
            ("spiffe://example.org", None),
            ("spiffe://example.org/", None),
            ("spiffe://example.org//x", None),
            ("spiffe://example.org/x/", None),
            ("spiffe://example.org/x/../y", None),
            ("spiffe://example.org/x/./y", None),
            ("spiffe://example.org/x%2fy", None),
            ("spiffe://example.org/x?y", None),
            ("spiffe://Example.org/x", None),
            ("spiffe://example.org:443/x", None),
            ("spiffe://me@example.org/x", None),
            ("spiffe:///x", None),
            ("SPIFFE://example.org/x", None),
            ("https://example.org/x", None),
            ("", None),
        ] {
            assert_eq!(trust_domain(id), expected, "{id}");
        }
        assert_eq!(trust_domain(&format!("spiffe://a/{}", "x".repeat(2048))), None);
        assert_eq!(trust_domain(&format!("spiffe://{}/x", "a".repeat(256))), None);
    }
}
