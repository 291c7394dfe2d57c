//! Entity tags of cards (RFC 9110 section 8.8.3): a card that the gateway changed has one of the gateway's own.

use http::HeaderValue;
use xxhash_rust::xxh3::xxh3_128;

/// The tag of these bytes. It is weak: what it stands for is the card and not its encoding.
#[must_use]
pub fn weak_tag(card: &[u8]) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("W/\"{:032x}\"", xxh3_128(card))).ok()
}

/// Whether a client that sent these `If-None-Match` fields has what `tag` stands for (RFC 9110 section 13.1.2).
pub fn is_known<'v>(fields: impl IntoIterator<Item = &'v HeaderValue>, tag: Option<&HeaderValue>) -> bool {
    let wanted = tag.map(|tag| opaque(tag.as_bytes()));
    fields.into_iter().any(|field| {
        let value = field.as_bytes();
        value.trim_ascii() == b"*" || wanted.is_some_and(|wanted| tags(value).any(|tag| tag == wanted))
    })
}

/// The tags of a list, without what makes them weak. A comma may stand inside a tag.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let open = memchr::memchr(b'"', rest)?;
        let inner = rest.get(open + 1..)?;
        let close = memchr::memchr(b'"', inner)?;
        rest = inner.get(close + 1..)?;
        inner.get(..close)
    })
}

/// A tag without its quotes and without what makes it weak.
fn opaque(tag: &[u8]) -> &[u8] {
    let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
    tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\"")).unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let tag = HeaderValue::from_static("W/\"a,b\"");
        for (field, expected) in [
            ("W/\"a,b\"", true),
            ("\"a,b\"", true),
            ("\"x\", W/\"a,b\"", true),
            (" * ", true),
            ("\"a\", \"b\"", false),
            ("a,b", false),
            ("\"a,b", false),
            ("", false),
        ] {
            let field = HeaderValue::from_str(field).unwrap();
            assert_eq!(is_known([&field], Some(&tag)), expected, "{field:?}");
        }
        let field = HeaderValue::from_static("\"\"");
        assert!(!is_known([&field], None), "without a tag nothing is known");
        assert!(!is_known([], Some(&tag)));
    }

    #[test]
    fn a_card_has_the_same_tag_everywhere() {
        assert_eq!(weak_tag(b"{}"), weak_tag(b"{}"));
        assert_ne!(weak_tag(b"{}"), weak_tag(b"{ }"));
        let tag = weak_tag(b"{}").unwrap();
        assert_eq!(tag.len(), 36);
        assert!(is_known([&tag], Some(&tag)));
    }
}
