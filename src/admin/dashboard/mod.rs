//! The dashboard: one page in one piece, which asks this API and nothing else. Its policy lets it run the script and
//! use the style that it was built with, and load nothing from anywhere.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::serve::{AdminResponse, reply};

/// The page.
pub(super) fn page() -> AdminResponse {
    static PAGE: LazyLock<(String, Vec<(HeaderName, HeaderValue)>)> = LazyLock::new(|| (whole(), fields()));
    let (text, fields) = &*PAGE;
    let mut answer = reply(StatusCode::OK, HTML, text.as_str());
    for (name, value) in fields {
        answer.headers_mut().insert(name.clone(), value.clone());
    }
    answer
}

fn whole() -> String {
    PAGE.replace("/*style*/", STYLE).replace("/*script*/", SCRIPT)
}

fn fields() -> Vec<(HeaderName, HeaderValue)> {
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::X_FRAME_OPTIONS, "DENY".to_owned()),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin".to_owned()),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin".to_owned()),
    ];
    fixed.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))).collect()
}

/// A source of a content security policy that allows exactly this text.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const HTML: &str = "text/html; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_whole_and_alone() {
        let page = whole();
        assert!(page.len() < 60 << 10, "{} bytes", page.len());
        assert!(page.contains(STYLE) && page.contains(SCRIPT));
        assert!(!page.contains("/*script*/") && !page.contains("/*style*/"));
        for outside in ["https://", "@import", "<link rel=\"stylesheet", "src=\"//"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(!page.contains(" style=\"") && !page.contains(" onclick="), "the policy would not allow it");
    }

    #[test]
    fn text_of_others_cannot_become_markup() {
        for sink in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "DOMParser"]
        {
            assert!(!SCRIPT.contains(sink), "{sink}");
        }
    }
}
