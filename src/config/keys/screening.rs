//! `routes.X.screening`: patterns that requests are searched for.

use http::HeaderName;

use super::authorization::PolicyMode;
use super::retries::FieldName;
use super::{List, Many, choice, section, text_value};
use crate::config::forms::values::pattern;

section! {
    #[derive(PartialEq, Eq, Hash)]
    /// Patterns that requests are searched for before an agent sees them. A request with one of them gets 403.
    pub(in crate::config) struct Screening {
        /// `enforce` refuses, `shadow` only counts in the metrics and notes in the access log what it would refuse.
        mode: PolicyMode = shadow,
        /// Patterns that attache brings.
        sets: Vec<PatternSet> as Many<PatternSet> = [traversal, injection, ssrf],
        /// Patterns of these sets that are left out, by their names.
        except: Vec<String> as Many<String> = [],
        /// Patterns of one's own.
        patterns: Vec<ScreeningPattern> as List<ScreeningPattern> = [],
        /// What is searched. Of a body that is the first 64 KiB.
        parts: Vec<ScreenedPart> as Many<ScreenedPart> = [path, query, headers, body],
        /// The header fields that are searched.
        headers: Vec<HeaderName> as Many<FieldName> = [user-agent, referer],
    }

    #[derive(PartialEq, Eq, Hash)]
    /// A pattern.
    pub(in crate::config) struct ScreeningPattern {
        /// Its name in metrics and log. Required.
        name: Option<String>,
        /// What is searched for, anywhere in a part. Required.
        regex: Option<String> as Searched,
        /// Where. Default: all that is searched.
        parts: Option<Vec<ScreenedPart>> as Many<ScreenedPart>,
    }
}

choice! {
    /// Patterns that belong together.
    pub enum PatternSet {
        /// Paths that lead out of where they begin, and files nobody should ask for.
        Traversal = ["traversal", "path-traversal", "lfi"],
        /// What a database, a shell, a template or a page would carry out.
        Injection = ["injection"],
        /// Addresses that an agent should not be made to ask.
        Ssrf = ["ssrf"],
    }

    /// A part of a request.
    pub enum ScreenedPart {
        /// Its path.
        Path = ["path"],
        /// Its query.
        Query = ["query"],
        /// Its header fields.
        Headers = ["headers", "header"],
        /// The beginning of its body.
        Body = ["body"],
    }
}

text_value!(
    /// A regular expression that is found anywhere.
    Searched(String), searched, "a regular expression", {
    "type": ["string", "number", "boolean"],
    "description": "A regular expression in Rust's syntax: linear time, no look-around, no back-references."
});

fn searched(text: &str) -> Result<Searched, String> {
    pattern(text).map(|_| Searched(text.to_owned()))
}
