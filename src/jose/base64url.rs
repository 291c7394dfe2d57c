//! Base64 in the alphabet of URLs and without padding (RFC 4648 section 5).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text for these bytes.
pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a text in its one spelling: with padding, other letters or bits that say nothing it is none.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_for_bytes() {
        // RFC 4648 section 10, and the two letters that differ.
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg"),
            (b"fooba", "Zm9vYmE"),
            (b"foobar", "Zm9vYmFy"),
            (b"\xfb\xff\xfe", "-__-"),
        ] {
            assert_eq!(encode(bytes), expected);
            assert_eq!(decode(expected).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn a_text_has_one_spelling() {
        for text in ["Zg==", "Zh", "Z", "Zm9v\n", "+//+", " Zg"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
