//! Foreign text for people: what would steer a terminal, end a line or turn the order of what is shown is written out
//! instead, as `\u202e`. The spelling is JSON's, so that a string of JSON stays the same string.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether `character` does something instead of showing: controls, and the format characters of Unicode (general
/// category Cf, with the separators of lines and paragraphs), which turn, join, hide or tag what stands around them. So
/// are other characters that fonts do not show (Default_Ignorable_Code_Point).
#[must_use]
pub fn is_hidden(character: char) -> bool {
    match character {
        ' '..='~' => false,
        '\u{a0}'..='\u{5ff}' => matches!(character, '\u{ad}' | '\u{34f}'),
        _ => character.is_control() || FORMATS.iter().any(|(first, last)| (*first..=*last).contains(&character)),
    }
}

/// Appends `character` written out.
pub fn write_out(out: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a string cannot fail.
        let _infallible = write!(out, "\\u{unit:04x}");
    }
}

/// `text` with everything hidden written out, line ends too.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    visible_but(text, &[])
}

/// As [`visible`], but `kept` stay as they are: the ends of lines, or the colours of a terminal.
#[must_use]
pub fn visible_but<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let hidden = |character: char| is_hidden(character) && !kept.contains(&character);
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if hidden(character) {
            write_out(&mut out, character);
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Category Cf and Default_Ignorable_Code_Point of Unicode 16 above U+05FF, and U+2028 and U+2029, in order.
const FORMATS: [(char, char); 23] = [
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_written_out_and_what_is_read_stays() {
        for (text, expected) in [
            ("plain ~ text", "plain ~ text"),
            ("a\nb\tc\u{7f}", "a\\u000ab\\u0009c\\u007f"),
            ("\u{1b}[31m\u{9b}31m", "\\u001b[31m\\u009b31m"),
            ("evil\u{202e}txt", "evil\\u202etxt"),
            (
                "\u{2028}\u{2029}\u{2066}\u{200b}\u{feff}\u{ad}\u{61c}",
                "\\u2028\\u2029\\u2066\\u200b\\ufeff\\u00ad\\u061c",
            ),
            ("a\u{115f}b\u{fe0f}\u{34f}\u{3164}\u{17b4}", "a\\u115fb\\ufe0f\\u034f\\u3164\\u17b4"),
            ("\u{e0041}", "\\udb40\\udc41"),
            (
                "Gr\u{fc}\u{df}e \u{4f60}\u{597d} \u{1f600} \u{5e9}\u{5dc}",
                "Gr\u{fc}\u{df}e \u{4f60}\u{597d} \u{1f600} \u{5e9}\u{5dc}",
            ),
        ] {
            assert_eq!(visible(text), expected);
        }
    }

    #[test]
    fn several_lines_keep_their_ends_and_colours() {
        assert_eq!(
            visible_but("\u{1b}[1ma\u{1b}[0m\n\tb\r\u{2028}c\n", &['\n', '\t', '\u{1b}']),
            "\u{1b}[1ma\u{1b}[0m\n\tb\\u000d\\u2028c\n"
        );
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(FORMATS.iter().all(|(first, last)| first <= last));
        assert!(FORMATS.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    #[test]
    fn a_string_of_json_stays_the_same_string() {
        for character in ['\u{202e}', '\u{e0041}', '\u{200b}'] {
            let text: String = serde_json::from_str(&format!("\"{}\"", visible(&character.to_string()))).unwrap();
            assert_eq!(text, character.to_string());
        }
    }
}
