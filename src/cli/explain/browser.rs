//! What pages in browsers may do with a route.

use http::HeaderValue;

use super::subject::Subject;
use crate::config::model::{LimitMode, OriginPattern};

/// Whose pages may use it, and how.
pub(super) fn cors(subject: &Subject<'_>) -> Vec<String> {
    let Some(cors) = &subject.settings().cors else { return Vec::new() };
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let credentials = if cors.credentials { "with" } else { "without" };
    let sent = cors.headers.as_ref().map_or_else(|| "no fields of their own".to_owned(), text);
    let first = format!("cors      pages of {}, {credentials} credentials", names(&cors.origins));
    vec![first, format!("cors      methods {}; fields {sent}", text(&cors.methods))]
}

/// What is refused because a browser sends it for a foreign page.
pub(super) fn csrf(subject: &Subject<'_>) -> Vec<String> {
    let Some(csrf) = &subject.settings().csrf else { return Vec::new() };
    let shared = subject.settings().cors.iter().flat_map(|cors| &cors.origins);
    let allowed: Vec<_> = csrf.origins.iter().chain(shared).filter(|origin| !origin.is_everybody()).cloned().collect();
    let pages = if allowed.is_empty() { "its own".to_owned() } else { format!("its own and {}", names(&allowed)) };
    let then = match csrf.mode {
        LimitMode::Enforce => "others get 403",
        LimitMode::Shadow => "others are only counted",
    };
    let cookies = if csrf.cookies_need_origin { "; with cookies a page must be named" } else { "" };
    vec![format!("csrf      changes for pages of {pages}, {then}{cookies}")]
}

fn names(origins: &[OriginPattern]) -> String {
    origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
