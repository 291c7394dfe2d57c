//! A name, or the beginning or end of names.

use std::fmt;

/// A condition on a name, as Istio writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextPattern {
    /// `*`: whatever there is.
    Any,
    /// `ann`: equal.
    Exact(Box<str>),
    /// `team-*`: starts with.
    Prefix(Box<str>),
    /// `*@example.com`: ends with.
    Suffix(Box<str>),
}

impl TextPattern {
    /// Whether it holds for a name.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => **text == *name,
            Self::Prefix(text) => name.starts_with(&**text),
            Self::Suffix(text) => name.ends_with(&**text),
        }
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(text) => f.write_str(text),
            Self::Prefix(text) => write!(f, "{text}*"),
            Self::Suffix(text) => write!(f, "*{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_rest() {
        for (pattern, name, expected) in [
            (TextPattern::Any, "ann", true),
            (TextPattern::Any, "", true),
            (TextPattern::Exact("ann".into()), "ann", true),
            (TextPattern::Exact("ann".into()), "Ann", false),
            (TextPattern::Prefix("team-".into()), "team-a", true),
            (TextPattern::Prefix("team-".into()), "a-team-", false),
            (TextPattern::Suffix("@example.com".into()), "ann@example.com", true),
            (TextPattern::Suffix("@example.com".into()), "ann@example.com.evil.test", false),
        ] {
            assert_eq!(pattern.fits(name), expected, "{pattern} {name}");
        }
    }
}
