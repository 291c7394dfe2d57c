//! Pieces of lines: texts that are escaped, numbers, times, addresses, and paths without the values of their queries.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use crate::observe::mask::mask_path;
use crate::visible::{is_hidden, write_out};

pub(super) fn words(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

pub(in crate::observe) fn string(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    escape(out, value);
    out.push(b'"');
}

/// A value that holds nothing to escape: ours, or one that HTTP allows no such bytes in.
pub(in crate::observe) fn clean(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    out.extend_from_slice(value);
    out.push(b'"');
}

pub(in crate::observe) fn optional(out: &mut Vec<u8>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        string(out, key, value.as_bytes());
    }
}

pub(in crate::observe) fn number(out: &mut Vec<u8>, key: &str, value: impl itoa::Integer) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Milliseconds with three decimals.
pub(super) fn milliseconds(out: &mut Vec<u8>, key: &str, duration: Duration) {
    let whole = duration.as_secs().saturating_mul(1000).saturating_add(u64::from(duration.subsec_millis()));
    number(out, key, whole);
    let rest = duration.subsec_micros() % 1000;
    let digit = |place: u32| b'0' + u8::try_from(rest / place % 10).unwrap_or(0);
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

/// IPv4 by hand: the standard formatting costs as much as half a line.
pub(in crate::observe) fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                if octet >= 100 {
                    out.push(b'0' + octet / 100);
                }
                if octet >= 10 {
                    out.push(b'0' + octet / 10 % 10);
                }
                out.push(b'0' + octet % 10);
            }
        }
        IpAddr::V6(address) => {
            // Writing to a vector cannot fail.
            drop(write!(out, "{address}"));
        }
    }
}

/// The path with every query value replaced by `*`.
pub(in crate::observe) fn masked_path(out: &mut Vec<u8>, path: &str) {
    mask_path(path, |piece| escape(out, piece.as_bytes()));
}

/// A user agent is as long as its sender likes; a cut in the middle of a character is repaired by `escape`.
#[must_use]
pub fn shortened(user_agent: &[u8]) -> &[u8] {
    user_agent.get(..USER_AGENT_BYTES).unwrap_or(user_agent)
}

/// Appends `text` as the inside of a JSON string. Characters that end a line, steer a terminal or turn text are
/// escaped; bytes that are not UTF-8 become U+FFFD.
pub(super) fn escape(out: &mut Vec<u8>, text: &[u8]) {
    if is_clean(text) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape_character(out, character);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Whether nothing in it is to be escaped, as in nearly every value. Looks at eight bytes at once; the last eight may
/// overlap those before.
fn is_clean(text: &[u8]) -> bool {
    let (words, _) = text.as_chunks::<8>();
    match (text.last_chunk::<8>(), text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(last), ..) => words.iter().fold(0, |found, word| found | unclean(*word)) | unclean(*last) == 0,
        (None, Some(first), Some(last)) => {
            let [a, b, c, d] = *first;
            let [e, f, g, h] = *last;
            unclean([a, b, c, d, e, f, g, h]) == 0
        }
        (None, ..) => text.iter().all(|byte| unclean([*byte; 8]) == 0),
    }
}

/// Not zero where one of the bytes is a quote, a backslash, a control character or not ASCII.
fn unclean(bytes: [u8; 8]) -> u64 {
    let word = u64::from_ne_bytes(bytes);
    // Takes one from each byte, or adds one: where that changes its highest bit, the byte was too small, or too large.
    // A borrow or a carry can only come from a byte that is found anyway.
    let below = |limit: u8, word: u64| word.wrapping_sub(repeated(limit)) & !word;
    let control = below(b' ', word);
    let quote = below(1, word ^ repeated(b'"'));
    let backslash = below(1, word ^ repeated(b'\\'));
    let above = word.wrapping_add(repeated(1)) | word;
    (control | quote | backslash | above) & repeated(0x80)
}

const fn repeated(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

fn escape_character(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(br#"\""#),
        '\\' => out.extend_from_slice(br"\\"),
        '\n' => out.extend_from_slice(br"\n"),
        '\r' => out.extend_from_slice(br"\r"),
        '\t' => out.extend_from_slice(br"\t"),
        hidden if is_hidden(hidden) => {
            let mut text = String::new();
            write_out(&mut text, hidden);
            out.extend_from_slice(text.as_bytes());
        }
        plain => out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Bytes of a user agent that are written.
pub(super) const USER_AGENT_BYTES: usize = 256;
