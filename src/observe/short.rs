//! Texts of outside in bounded length.

/// The beginning of a text, at most `most` bytes of it. No character is cut in two.
#[must_use]
pub fn short(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// Bytes of a name or an id.
pub const NAME: usize = 128;
/// Bytes of a path or a cause.
pub const PATH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_characters_whole() {
        assert_eq!(short("abc", 10), "abc");
        assert_eq!(short("a\u{e4}\u{e4}", 4), "a\u{e4}");
    }
}
