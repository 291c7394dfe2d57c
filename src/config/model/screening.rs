//! Patterns that requests are searched for.

use std::fmt;

use http::HeaderName;
use regex::bytes::RegexSet;

use super::{PolicyMode, ScreenedPart};

/// What requests of some routes are searched for.
#[derive(Clone, Debug)]
pub struct Screening {
    /// Whether what is found is refused.
    pub mode: PolicyMode,
    /// The names of all patterns.
    pub names: Vec<String>,
    /// What is searched, in the order in which that is done.
    pub searches: Vec<Search>,
    /// The header fields that are searched.
    pub headers: Vec<HeaderName>,
}

/// The patterns for one part of a request.
#[derive(Clone, Debug)]
pub struct Search {
    /// The part.
    pub part: ScreenedPart,
    /// All of them, in one pass over the text.
    pub patterns: RegexSet,
    /// Which pattern each is, as an index into [`Screening::names`].
    pub numbers: Vec<usize>,
}

/// Index into what requests are searched for in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScreeningId(pub usize);

/// The name under which requests are counted that could not be searched.
pub const UNREAD: &str = "unread";

impl Screening {
    /// The patterns for a part, if it is searched.
    #[must_use]
    pub fn search(&self, part: ScreenedPart) -> Option<&Search> {
        self.searches.iter().find(|search| search.part == part)
    }
}

impl fmt::Display for Screening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.searches.iter().map(|search| search.part.word()).collect();
        write!(f, "{} patterns in {}", self.names.len(), parts.join(", "))?;
        f.write_str(if self.mode == PolicyMode::Shadow { ", only counted" } else { ", what has one gets 403" })
    }
}
