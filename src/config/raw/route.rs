//! `routes.X`.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::cluster::Endpoint;
use super::fault::Fault;
use super::forms::{Many, Named, OrOff, TextOr, exactly_one, text_or};
use super::limits::RateLimitUse;
use super::mirror::Mirror;
use super::names::Host;
use super::public::PublicUrl;
use super::retries::Retries;
use super::split::{Rollout, Split};
use super::values::{PathText, Pattern, Size, Status, Verb, text_value};
use super::words::{Preset, Word};
use crate::config::de::with_hint;
use crate::config::hosts::is_authority;
use crate::config::keys::a2a::A2a;
use crate::config::keys::{Boxed, Count, Limit, List, MILLION, section, written};
use crate::config::model::{self, HostPattern, Scheme, UpstreamHost};

// There may be thousands, and they are moved about: what most do not have is in boxes.
section! {
    #[derive()]
    /// One route: what it matches and what happens.
    pub(in crate::config) struct Route {
        /// Listeners it is reachable through. Default: all that do not redirect.
        listeners: Option<Vec<String>> as Many<String>,
        /// Hosts it serves. Default: every host.
        hosts: Option<Vec<HostPattern>> as Many<Host>,
        /// Where clients see what the gateway serves under `/`, for this route. Default: the listener's.
        public_url: Option<Box<PublicUrl>>,
        /// One condition, or a list of which any may hold. Default: everything.
        matches: Option<Vec<Match>> as Many<Match> [serde(rename = "match")],
        /// Forward to this cluster.
        cluster: Option<String>,
        /// Forward to these endpoints: short for a cluster of the route's name.
        endpoints: Option<Many<Endpoint>>,
        /// Divide the traffic over clusters by weight.
        split: Option<Box<Split>>,
        /// Move the split's weights step by step.
        rollout: Option<Box<Rollout>>,
        /// Answer with a redirect.
        redirect: Option<Box<Redirect>>,
        /// Answer at once.
        respond: Option<Box<Respond>>,
        /// Change the path before forwarding.
        rewrite: Option<Box<Rewrite>>,
        /// Bring an agent's `Location` that leads back to itself into the form clients use.
        map_location: bool = true,
        /// Header changes towards the upstream.
        request_headers: Option<Box<Headers>>,
        /// Header changes towards the client.
        response_headers: Option<Box<ResponseHeaders>>,
        /// The Host header towards upstreams: `preserve`, `endpoint`, or a name.
        upstream_host: UpstreamHost as UpstreamHostText = preserve,
        /// Total time of an exchange; for event and gRPC streams it ends at the response head.
        timeout: Option<Duration> as OrOff<Limit> = off,
        /// Time to the response head, per try. Default: 30s for GET and HEAD, off for the rest.
        response_head_timeout: Option<OrOff<Limit>>,
        /// Try again what failed. Default: one more try, when nothing was sent or a GET, HEAD or OPTIONS was not
        /// answered.
        retries: Option<Box<OrOff<Retries>>>,
        /// Limits of event and gRPC streams.
        streaming: Streaming = {},
        /// Pass `Upgrade: websocket` on.
        websocket: bool = false,
        /// Size of a request body. Default: the listener's `limits.maxBodyBytes`.
        max_body_bytes: Option<OrOff<Size>>,
        /// Rate limits: names of shared ones, or limits of its own.
        rate_limit: Vec<RateLimitUse> as Many<RateLimitUse> = [],
        /// What one client may have open, streams included.
        max_concurrent_per_client: Option<NonZeroU32> as OrOff<Count<1, MILLION>> = off,
        /// Write access records.
        access_log: bool = true,
        /// Faults injected on purpose.
        fault: Option<Box<Fault>> as OrOff<Boxed<Fault>> = off,
        /// What is done for agents that speak A2A; `off` treats them as any HTTP server.
        a2a: Option<A2a> as OrOff<A2a> = {},
        /// Copies of requests for another cluster.
        mirror: Option<Box<Mirror>> as OrOff<Boxed<Mirror>> = off,
    }

    #[derive(Copy, PartialEq, Eq)]
    /// Limits of a streamed response.
    pub struct Streaming {
        /// Silence of a stream, of the agent and of a client that still sends together.
        idle_timeout: Option<Duration> as OrOff<Limit> = 5m,
        /// Whole life of a stream.
        max_duration: Option<Duration> as OrOff<Limit> = off,
    }

    #[derive()]
    /// A condition: all parts must hold.
    pub(in crate::config) struct Match {
        /// The path. Default: prefix `/`.
        path: Option<model::PathMatch> as PathMatch,
        /// Methods; none of them are all.
        methods: Vec<Method> as Many<Verb> = [],
        /// One method: short for `methods`.
        method: Option<Method> as Verb,
        /// Header conditions, by name.
        headers: Vec<(String, model::ValueMatch)> as Named<ValueMatch> = {},
        /// Query parameter conditions, by name.
        query: Vec<(String, model::ValueMatch)> as Named<ValueMatch> = {},
    }

    #[derive()]
    /// A redirect answer. Parts not given are the request's.
    pub(in crate::config) struct Redirect {
        /// 301, 302, 303, 307 or 308. Default: 302 for GET and HEAD, 307 for the rest.
        status: Option<StatusCode> as Status,
        /// `http` or `https`.
        scheme: Option<Scheme> as Word<Scheme>,
        /// Host.
        host: Option<HostPattern> as Host,
        /// Port.
        port: Option<u16>,
        /// The whole path.
        path: Option<String> as PathText,
        /// Replaces the matched prefix.
        prefix: Option<String> as PathText,
    }

    #[derive()]
    /// A direct answer.
    pub(in crate::config) struct Respond {
        /// Status.
        status: StatusCode as Status = 200,
        /// Body.
        body: String = "",
        /// The Content-Type. Default: text/plain, or application/json when the body is a JSON object or list.
        content_type: Option<String>,
    }

    #[derive()]
    /// Header changes, applied in the order remove, set, add.
    pub(in crate::config) struct Headers {
        /// Fields taken out.
        remove: Vec<String> as List<String> = [],
        /// Fields replaced.
        set: Vec<(String, String)> as Named<String> = {},
        /// Fields added beside those there.
        add: Vec<(String, String)> as Named<String> = {},
    }

    #[derive()]
    /// Header changes towards the client.
    pub(in crate::config) struct ResponseHeaders {
        /// `secure`: nosniff, no framing, HSTS where clients use HTTPS, CSP `default-src 'self'`, referrer policy. What
        /// `set` and `remove` name wins.
        preset: Option<Preset> as Word<Preset>,
        /// Fields taken out.
        remove: Vec<String> as List<String> = [],
        /// Fields replaced.
        set: Vec<(String, String)> as Named<String> = {},
        /// Fields added beside those there.
        add: Vec<(String, String)> as Named<String> = {},
    }
}

/// A name, or one of two words.
pub(in crate::config) struct UpstreamHostText(UpstreamHost);

text_value!(UpstreamHostText, upstream_host, "`preserve`, `endpoint` or a name", { "type": "string" });

fn upstream_host(text: &str) -> Result<UpstreamHostText, String> {
    match text.to_ascii_lowercase().as_str() {
        "preserve" => Ok(UpstreamHostText(UpstreamHost::Preserve)),
        "endpoint" => Ok(UpstreamHostText(UpstreamHost::Endpoint)),
        _ => match HeaderValue::from_str(text) {
            Ok(value) if is_authority(text) => Ok(UpstreamHostText(UpstreamHost::Fixed(value))),
            _ => Err(with_hint(
                format!("`{text}` is not a host"),
                "`preserve`, `endpoint`, or a name such as `agents.internal`",
            )),
        },
    }
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

text_or!(
    ValueMatch, ValueMatchFields, "a text, or `{ exact | prefix | regex | present }`",
    |text| Ok(Self(model::ValueMatch::Exact(text.to_owned()))),
    { "type": "string" }
);

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

written! {
    PathMatch => model::PathMatch,
    PathText => String,
    UpstreamHostText => UpstreamHost,
}
