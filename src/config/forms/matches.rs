//! Conditions on requests and changes of their path: mappings of which exactly one key is given.

use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use super::reading::{one_of, schema_of, text_or, text_value};
use super::values::{PathText, Pattern};
use crate::config::de::with_hint;
use crate::config::hosts::is_authority;
use crate::config::types::{PathMatch, Rewrite, UpstreamHost, ValueMatch};

one_of! {
    /// Exactly one of these.
    PathMatchFields [schemars(rename = "PathMatch")] => PathMatch {
        /// The whole path.
        exact: PathText => |path| Ok(PathMatch::Exact(path.0)),
        /// Whole segments from the start: `/v2` matches `/v2` and `/v2/x`, not `/v2example`.
        prefix: PathText => |path| Ok(PathMatch::Prefix(path.0.trim_end_matches('/').to_owned())),
        /// The whole path, by a regular expression.
        regex: Pattern => |pattern| Ok(PathMatch::Regex(pattern.whole)),
    }

    /// Exactly one of these.
    ValueMatchFields => ValueMatch {
        /// Equal.
        exact: String => |text| Ok(ValueMatch::Exact(text)),
        /// Starts with.
        prefix: String => |text| Ok(ValueMatch::Prefix(text)),
        /// The whole value, by a regular expression.
        regex: Pattern => |pattern| Ok(ValueMatch::Regex(pattern.whole)),
        /// There at all.
        present: bool => |is_there| if is_there { Ok(ValueMatch::Present) } else {
            Err(with_hint("a condition cannot ask for absence", "give the other routes the condition instead"))
        },
    }

    /// Exactly one of these.
    RewriteFields [schemars(rename = "Rewrite")] => Rewrite {
        /// Replaces the matched prefix.
        prefix: PathText => |path| Ok(Rewrite::Prefix(path.0)),
        /// Replaces the whole path.
        path: PathText => |path| Ok(Rewrite::Path(path.0)),
        /// Replaces by regular expression.
        regex: RegexRewrite => RegexRewrite::rewrite,
    }
}

text_or!(PathMatch, PathMatchFields, "`{ exact | prefix | regex: .. }`", |text| {
    let shown: String = text.chars().take(60).collect();
    Err(with_hint("a path says how it is matched", format!("write `{{ prefix: {shown} }}`, or `exact`, or `regex`")))
});

text_or!(
    ValueMatch, ValueMatchFields, "a text, or `{ exact | prefix | regex | present }`",
    |text| Ok(Self::Exact(text.to_owned())),
    { "type": "string" }
);

impl<'de> Deserialize<'de> for Rewrite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RewriteFields::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

schema_of!(Rewrite => RewriteFields);

/// A replacement with capture groups.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct RegexRewrite {
    /// What is looked for.
    pattern: Option<Pattern>,
    /// What it is replaced with; `$1` is the first group.
    replacement: Option<String>,
}

impl RegexRewrite {
    fn rewrite(self) -> Result<Rewrite, String> {
        let (Some(pattern), Some(replacement)) = (self.pattern, self.replacement) else {
            return Err("a `regex` rewrite needs `pattern` and `replacement`".to_owned());
        };
        Ok(Rewrite::Regex { pattern: pattern.anywhere, replacement })
    }
}

text_value!(UpstreamHost, upstream_host, "`preserve`, `endpoint` or a name", { "type": "string" });

fn upstream_host(text: &str) -> Result<UpstreamHost, String> {
    match text.to_ascii_lowercase().as_str() {
        "preserve" => Ok(UpstreamHost::Preserve),
        "endpoint" => Ok(UpstreamHost::Endpoint),
        _ => match HeaderValue::from_str(text) {
            Ok(value) if is_authority(text) => Ok(UpstreamHost::Fixed(value)),
            _ => Err(with_hint(
                format!("`{text}` is not a host"),
                "`preserve`, `endpoint`, or a name such as `agents.internal`",
            )),
        },
    }
}
