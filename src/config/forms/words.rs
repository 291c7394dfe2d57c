//! Values that are one word of a short list. Words are read ignoring case, `-` and `_`, so the spellings of other
//! proxies are understood; ours come first and are the ones in the schema.

use std::fmt;

use schemars::json_schema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::reading::schema_of;
use crate::config::de::with_hint;
use crate::config::suggest::{self, fold};

/// A closed set of words.
pub(in crate::config) trait Words: Sized + Clone + 'static {
    /// Each meaning with its spellings, ours first.
    const WORDS: &'static [(Self, &'static [&'static str])];
    /// Name in the schema.
    const NAME: &'static str;
}

/// One word of a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Word<T>(pub(in crate::config) T);

/// Reads one word; the error is a message with its hint.
pub(in crate::config) fn find<T: Words>(text: &str) -> Result<T, String> {
    let folded = fold(text);
    let spells = |words: &&(T, &[&str])| words.1.iter().any(|word| fold(word) == folded);
    if let Some((value, _)) = T::WORDS.iter().find(spells) {
        return Ok(value.clone());
    }
    let ours: Vec<&str> = T::WORDS.iter().filter_map(|(_, words)| words.first().copied()).collect();
    let every = T::WORDS.iter().flat_map(|(_, words)| words.iter().copied());
    let nearest = suggest::closest(text, every)
        .and_then(|near| T::WORDS.iter().find(|(_, words)| words.contains(&near))?.1.first());
    let hint = match nearest {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("one of {}", ours.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")),
    };
    Err(with_hint(format!("`{text}` is not known here"), hint))
}

impl<'de, T: Words> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(std::marker::PhantomData<T>);
        impl<T: Words> Visitor<'_> for Text<T> {
            type Value = Word<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let ours: Vec<&str> = T::WORDS.iter().filter_map(|(_, words)| words.first().copied()).collect();
                write!(f, "one of `{}`", ours.join("`, `"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word<T>, E> {
                find(text).map(Word).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text(std::marker::PhantomData))
    }
}

schema_of!({T: Words} Word<T> as T::NAME, |_| {
    let ours: Vec<&str> = T::WORDS.iter().filter_map(|(_, words)| words.first().copied()).collect();
    let every = T::WORDS.iter().flat_map(|(_, words)| words.iter().copied());
    let numbers = every.clone().filter_map(|word| word.parse::<f64>().ok());
    let numbers: Vec<f64> = numbers.collect();
    let pattern = format!("^{}$|{SUBSTITUTED}", spellings(every));
    let mut forms = vec![
        json!({ "type": "string", "enum": ours }),
        json!({ "$comment": "other spellings", "type": "string", "pattern": pattern }),
    ];
    if !numbers.is_empty() {
        forms.push(json!({ "$comment": "other spellings", "enum": numbers }));
    }
    json_schema!({ "anyOf": forms })
});

macro_rules! words {
    ($type:ty, $name:literal, $($value:expr => [$($word:literal),+]),+ $(,)?) => {
        impl $crate::config::forms::words::Words for $type {
            const WORDS: &'static [(Self, &'static [&'static str])] = &[$(($value, &[$($word),+])),+];
            const NAME: &'static str = $name;
        }
    };
}
pub(in crate::config) use words;

/// Values that are always written as one of their words.
macro_rules! word_values {
    ($($type:ident),+) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$crate::config::forms::words::Word<Self> as serde::Deserialize>::deserialize(deserializer)
                    .map(|word| word.0)
            }
        }

        $crate::config::forms::reading::schema_of!($type => $crate::config::forms::words::Word<$type>);
    )+};
}
pub(in crate::config) use word_values;

/// Declares a closed set of words: each meaning with its spellings, ours first.
macro_rules! choice {
    ($(
        $(#[doc = $about:tt])+
        $vis:vis enum $name:ident {$(
            $(#[doc = $doc:tt])+
            $variant:ident = [$ours:literal $(, $word:literal)*]
        ),+ $(,)?}
    )+) => {$(
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[doc = $doc])+ $variant),+
        }

        impl $name {
            /// Every one, as they are declared.
            #[allow(dead_code, reason = "few are asked for all of them")]
            $vis const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its word in a file.
            #[allow(dead_code, reason = "not every word is said again")]
            #[must_use]
            $vis fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $ours),+
                }
            }
        }

        impl $crate::config::forms::words::Words for $name {
            const WORDS: &'static [(Self, &'static [&'static str])] = &[$((Self::$variant, &[$ours $(, $word)*])),+];
            const NAME: &'static str = stringify!($name);
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        $crate::config::forms::words::word_values!($name);
    )+};
}
pub(in crate::config) use choice;

/// Pattern of a text in which something is put in.
pub(in crate::config) const SUBSTITUTED: &str = "[$][{]";

/// Pattern of any of these words in any case, with `-` and `_` anywhere, as words are read. Not anchored.
pub(in crate::config) fn spellings<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(spelling).collect();
    format!("({})", words.join("|"))
}

fn spelling(word: &str) -> String {
    let letters = word.chars().filter(|c| !matches!(c, '-' | '_'));
    let letters = letters.map(|c| {
        if c.is_ascii_alphabetic() {
            let (lower, upper) = (c.to_ascii_lowercase(), c.to_ascii_uppercase());
            format!("[{lower}{upper}]")
        } else if c.is_ascii_digit() {
            c.to_string()
        } else {
            format!("[{c}]")
        }
    });
    format!("[-_]*{}[-_]*", letters.collect::<Vec<_>>().join("[-_]*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_as_they_are_read() {
        let pattern = format!("^{}$", spellings(["round-robin", "1.2"]));
        let pattern = regex::Regex::new(&pattern).unwrap();
        for word in ["round-robin", "ROUND_ROBIN", "RoundRobin", "-round--robin_", "1.2"] {
            assert!(pattern.is_match(word), "{word}");
        }
        for word in ["round robin", "rond-robin", "roundrobin2", "1x2", ""] {
            assert!(!pattern.is_match(word), "{word}");
        }
    }
}
