//! `routes.X`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::cluster::Endpoint;
use super::fault::Fault;
use super::forms::{Many, Named, OrOff, TextOr, exactly_one};
use super::limits::RateLimitUse;
use super::listener::Count;
use super::mirror::Mirror;
use super::names::Host;
use super::public::PublicUrl;
use super::retries::Retries;
use super::split::{Rollout, Split};
use super::values::{PathText, Pattern, Size, Status, Time, Verb};
use super::words::{Preset, Word};
use crate::config::de::with_hint;
use crate::config::model::{self, Scheme};

// There may be thousands, and they are moved about: what most do not have is in boxes.
/// One route: what it matches and what happens.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Route {
    /// Listeners it is reachable through. Default: all that do not redirect.
    pub(in crate::config) listeners: Option<Many<String>>,
    /// Hosts it serves. Default: every host.
    pub(in crate::config) hosts: Option<Many<Host>>,
    /// Where clients see what the gateway serves under `/`, for this route. Default: the listener's.
    pub(in crate::config) public_url: Option<Box<PublicUrl>>,
    /// One condition, or a list of which any may hold. Default: everything.
    #[serde(rename = "match")]
    pub(in crate::config) matches: Option<Many<Match>>,
    /// Forward to this cluster.
    pub(in crate::config) cluster: Option<String>,
    /// Forward to these endpoints: short for a cluster of the route's name.
    pub(in crate::config) endpoints: Option<Many<Endpoint>>,
    /// Divide the traffic over clusters by weight.
    pub(in crate::config) split: Option<Box<Split>>,
    /// Move the split's weights step by step.
    pub(in crate::config) rollout: Option<Box<Rollout>>,
    /// Answer with a redirect.
    pub(in crate::config) redirect: Option<Box<Redirect>>,
    /// Answer at once.
    pub(in crate::config) respond: Option<Box<Respond>>,
    /// Change the path before forwarding.
    pub(in crate::config) rewrite: Option<Box<Rewrite>>,
    /// Bring an agent's `Location` that leads back to itself into the form clients use. Default: true.
    pub(in crate::config) map_location: Option<bool>,
    /// Header changes towards the upstream.
    pub(in crate::config) request_headers: Option<Box<Headers>>,
    /// Header changes towards the client.
    pub(in crate::config) response_headers: Option<Box<ResponseHeaders>>,
    /// The Host header towards upstreams: `preserve`, `endpoint`, or a name. Default: preserve.
    pub(in crate::config) upstream_host: Option<String>,
    /// Total time of an exchange; for event and gRPC streams it ends at the response head. Default: off.
    pub(in crate::config) timeout: Option<OrOff<Time>>,
    /// Time to the response head, per try. Default: 30s for GET and HEAD, off for the rest.
    pub(in crate::config) response_head_timeout: Option<OrOff<Time>>,
    /// Try again what failed. Default: one more try, when nothing was sent or a GET, HEAD or OPTIONS was not answered.
    pub(in crate::config) retries: Option<Box<OrOff<Retries>>>,
    /// Limits of event and gRPC streams.
    pub(in crate::config) streaming: Option<Box<Streaming>>,
    /// Pass `Upgrade: websocket` on. Default: false.
    pub(in crate::config) websocket: Option<bool>,
    /// Size of a request body. Default: the listener's `limits.maxBodyBytes`.
    pub(in crate::config) max_body_bytes: Option<OrOff<Size>>,
    /// Rate limits: names of shared ones, or limits of its own. Default: none.
    pub(in crate::config) rate_limit: Option<Many<RateLimitUse>>,
    /// What one client may have open, streams included. Default: off.
    pub(in crate::config) max_concurrent_per_client: Option<OrOff<Count>>,
    /// Write access records. Default: true.
    pub(in crate::config) access_log: Option<bool>,
    /// Faults injected on purpose. Default: off.
    pub(in crate::config) fault: Option<Box<OrOff<Fault>>>,
    /// Copies of requests for another cluster. Default: off.
    pub(in crate::config) mirror: Option<Box<OrOff<Mirror>>>,
}

/// Limits of a streamed response.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Streaming {
    /// Silence of a stream, of the agent and of a client that still sends together. Default: 5m.
    pub(in crate::config) idle_timeout: Option<OrOff<Time>>,
    /// Whole life of a stream. Default: off.
    pub(in crate::config) max_duration: Option<OrOff<Time>>,
}

/// A condition: all parts must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Match {
    /// The path. Default: prefix `/`.
    pub(in crate::config) path: Option<PathMatch>,
    /// Methods. Default: all.
    pub(in crate::config) methods: Option<Many<Verb>>,
    /// One method: short for `methods`.
    pub(in crate::config) method: Option<Verb>,
    /// Header conditions, by name.
    pub(in crate::config) headers: Option<Named<ValueMatch>>,
    /// Query parameter conditions, by name.
    pub(in crate::config) query: Option<Named<ValueMatch>>,
}

/// A path condition.
#[derive(Clone, Debug)]
pub(in crate::config) struct PathMatch(pub(in crate::config) model::PathMatch);

/// Exactly one of these.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "PathMatch", extend("minProperties" = 1, "maxProperties" = 1))]
pub(in crate::config) struct PathMatchFields {
    /// The whole path.
    exact: Option<PathText>,
    /// Whole segments from the start: `/v2` matches `/v2` and `/v2/x`, not `/v2example`.
    prefix: Option<PathText>,
    /// The whole path, by a regular expression.
    regex: Option<Pattern>,
}

impl TryFrom<PathMatchFields> for PathMatch {
    type Error = String;
    fn try_from(fields: PathMatchFields) -> Result<Self, String> {
        let prefix = |path: PathText| model::PathMatch::Prefix(path.0.trim_end_matches('/').to_owned());
        let given = [
            fields.exact.map(|path| model::PathMatch::Exact(path.0)),
            fields.prefix.map(prefix),
            fields.regex.map(|pattern| model::PathMatch::Regex(pattern.whole)),
        ];
        exactly_one(&["exact", "prefix", "regex"], given).map(Self)
    }
}

impl<'de> Deserialize<'de> for PathMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextOr::<Self, PathMatchFields>::new("`{ exact | prefix | regex: .. }`", |text| {
            let shown: String = text.chars().take(60).collect();
            Err(with_hint(
                "a path says how it is matched",
                format!("write `{{ prefix: {shown} }}`, or `exact`, or `regex`"),
            ))
        }))
    }
}

impl JsonSchema for PathMatch {
    fn schema_name() -> Cow<'static, str> {
        PathMatchFields::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        PathMatchFields::json_schema(generator)
    }
}

/// A condition on one value: text to equal, or one of the fields.
#[derive(Clone, Debug)]
pub(in crate::config) struct ValueMatch(pub(in crate::config) model::ValueMatch);

/// Exactly one of these.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(in crate::config) struct ValueMatchFields {
    /// Equal.
    exact: Option<String>,
    /// Starts with.
    prefix: Option<String>,
    /// The whole value, by a regular expression.
    regex: Option<Pattern>,
    /// There at all.
    present: Option<bool>,
}

impl TryFrom<ValueMatchFields> for ValueMatch {
    type Error = String;
    fn try_from(fields: ValueMatchFields) -> Result<Self, String> {
        if fields.present == Some(false) {
            return Err(with_hint("a condition cannot ask for absence", "give the other routes the condition instead"));
        }
        let given = [
            fields.exact.map(model::ValueMatch::Exact),
            fields.prefix.map(model::ValueMatch::Prefix),
            fields.regex.map(|pattern| model::ValueMatch::Regex(pattern.whole)),
            fields.present.map(|_| model::ValueMatch::Present),
        ];
        exactly_one(&["exact", "prefix", "regex", "present"], given).map(Self)
    }
}

impl<'de> Deserialize<'de> for ValueMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextOr::<Self, ValueMatchFields>::new(
            "a text, or `{ exact | prefix | regex | present }`",
            |text| Ok(Self(model::ValueMatch::Exact(text.to_owned()))),
        ))
    }
}

impl JsonSchema for ValueMatch {
    fn schema_name() -> Cow<'static, str> {
        "ValueMatch".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<ValueMatchFields>()] })
    }
}

/// A redirect answer. Parts not given are the request's.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Redirect {
    /// 301, 302, 303, 307 or 308. Default: 302 for GET and HEAD, 307 for the rest.
    pub(in crate::config) status: Option<Status>,
    /// `http` or `https`.
    pub(in crate::config) scheme: Option<Word<Scheme>>,
    /// Host.
    pub(in crate::config) host: Option<Host>,
    /// Port.
    pub(in crate::config) port: Option<u16>,
    /// The whole path.
    pub(in crate::config) path: Option<PathText>,
    /// Replaces the matched prefix.
    pub(in crate::config) prefix: Option<PathText>,
}

/// A direct answer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Respond {
    /// Status. Default: 200.
    pub(in crate::config) status: Option<Status>,
    /// Body. Default: empty.
    pub(in crate::config) body: Option<String>,
    /// The Content-Type. Default: text/plain, or application/json when the body is a JSON object or list.
    pub(in crate::config) content_type: Option<String>,
}

/// A change of the path.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RewriteFields")]
pub(in crate::config) struct Rewrite(pub(in crate::config) model::Rewrite);

/// Exactly one of these.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Rewrite", extend("minProperties" = 1, "maxProperties" = 1))]
pub(in crate::config) struct RewriteFields {
    /// Replaces the matched prefix.
    prefix: Option<PathText>,
    /// Replaces the whole path.
    path: Option<PathText>,
    /// Replaces by regular expression.
    regex: Option<RegexRewrite>,
}

/// A replacement with capture groups.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct RegexRewrite {
    /// What is looked for.
    pattern: Option<Pattern>,
    /// What it is replaced with; `$1` is the first group.
    replacement: Option<String>,
}

impl TryFrom<RewriteFields> for Rewrite {
    type Error = String;
    fn try_from(fields: RewriteFields) -> Result<Self, String> {
        let regex = match fields.regex {
            None => None,
            Some(RegexRewrite { pattern: Some(pattern), replacement: Some(replacement) }) => {
                Some(model::Rewrite::Regex { pattern: pattern.anywhere, replacement })
            }
            Some(_) => return Err("a `regex` rewrite needs `pattern` and `replacement`".to_owned()),
        };
        let given = [
            fields.prefix.map(|path| model::Rewrite::Prefix(path.0)),
            fields.path.map(|path| model::Rewrite::Path(path.0)),
            regex,
        ];
        exactly_one(&["prefix", "path", "regex"], given).map(Self)
    }
}

impl JsonSchema for Rewrite {
    fn schema_name() -> Cow<'static, str> {
        RewriteFields::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        RewriteFields::json_schema(generator)
    }
}

/// Header changes, applied in the order remove, set, add.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Headers {
    /// Fields taken out.
    pub(in crate::config) remove: Option<Vec<String>>,
    /// Fields replaced.
    pub(in crate::config) set: Option<Named<String>>,
    /// Fields added beside those there.
    pub(in crate::config) add: Option<Named<String>>,
}

/// Header changes towards the client.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct ResponseHeaders {
    /// `secure`: nosniff, no framing, HSTS where clients use HTTPS, CSP `default-src 'self'`, referrer policy. What
    /// `set` and `remove` name wins.
    pub(in crate::config) preset: Option<Word<Preset>>,
    /// Fields taken out.
    pub(in crate::config) remove: Option<Vec<String>>,
    /// Fields replaced.
    pub(in crate::config) set: Option<Named<String>>,
    /// Fields added beside those there.
    pub(in crate::config) add: Option<Named<String>>,
}
