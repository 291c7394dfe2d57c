//! The id in an envelope of JSON-RPC: two calls that differ in nothing else are the same, and an answer for several
//! callers gets the id of each.

use std::ops::Range;

/// Where the value of the member `id` lies in a document of JSON that is whole and legal. `None` when it is no object
/// or has no such member.
#[must_use]
pub fn id_span(json: &[u8]) -> Option<Range<usize>> {
    let (mut at, mut depth) = (0, 0_usize);
    let mut start = None;
    while let Some(byte) = json.get(at) {
        let is_outer = depth == 1;
        match (byte, start) {
            (b'"', _) => {
                let end = end_of_text(json, at)?;
                let is_id = is_outer && start.is_none() && json.get(at..end) == Some(b"\"id\"");
                let colon = after_blank(json, end);
                if is_id && json.get(colon) == Some(&b':') {
                    at = after_blank(json, colon + 1);
                    start = Some(at);
                } else {
                    at = end;
                }
                continue;
            }
            (b',' | b'}' | b']', Some(start)) if is_outer => return Some(start..before_blank(json, at)),
            (b'{' | b'[', _) => depth += 1,
            (b'}' | b']', _) => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The place after a text that begins at `at`.
fn end_of_text(json: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match json.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The first place from `at` on that is not blank.
fn after_blank(json: &[u8], at: usize) -> usize {
    let rest = json.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The place after the last byte before `at` that is not blank.
fn before_blank(json: &[u8], at: usize) -> usize {
    json.get(..at).map_or(at, |before| before.trim_ascii_end().len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_id_of_the_envelope_is_found_and_no_other() {
        for (json, expected) in [
            (r#"{"jsonrpc":"2.0","id":7,"result":{"id":"t"}}"#, Some("7")),
            (r#"{"result":{"id":"t"},"id" : "a\"b" }"#, Some(r#""a\"b""#)),
            (r#"{"method":"id","params":{"id":1},"id":null}"#, Some("null")),
            (r#"{"id":[1,{"id":2}],"x":1}"#, Some(r#"[1,{"id":2}]"#)),
            (r#"  { "x":"}\\", "id":-1.5e3 , "y":[] }"#, Some("-1.5e3")),
            (r#"{"x":"\"id\":1"}"#, None),
            (r#"[{"id":1}]"#, None),
            (r#"{"result":{"id":"t"}}"#, None),
            ("7", None),
            ("", None),
        ] {
            let found = id_span(json.as_bytes()).and_then(|span| json.get(span));
            assert_eq!(found, expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_span_inside_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(span) = id_span(&bytes) {
                prop_assert!(bytes.get(span).is_some());
            }
        }

        #[test]
        fn what_is_put_in_its_place_is_read_there(id in "[a-z\"\\\\{}\\[\\],: ]{0,20}", text in ".{0,30}") {
            let document = serde_json::json!({ "a": text, "id": id, "z": { "id": text } }).to_string();
            let span = id_span(document.as_bytes()).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(document.get(span.clone()).unwrap()).unwrap(), id);
            let (before, after) = (document.get(..span.start).unwrap(), document.get(span.end..).unwrap());
            let other = format!("{before}9{after}");
            let other: serde_json::Value = serde_json::from_str(&other).unwrap();
            prop_assert_eq!(&other["id"], 9);
        }
    }
}
