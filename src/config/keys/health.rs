//! `clusters.X.healthCheck`.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Count, Limit, Many, Named, Time, Verb, Written, choice, section, text_value};
use crate::config::de::with_hint;
use crate::config::hosts::is_authority;
use crate::config::text::looks::mask_parts;
use crate::config::text::names::is_secret_name;

section! {
    #[derive(PartialEq, Eq)]
    /// Endpoints are asked at intervals whether they are well; those that are not get no requests.
    pub struct HealthCheck {
        /// What is asked: http, tcp, grpc (grpc.health.v1) or agent-card.
        kind: Kind = http; of type [serde(rename = "type")],
        /// Path and query to ask for, with http and agent-card. Default for agent-card: /.well-known/agent-card.json.
        path: Option<PathAndQuery> as ProbePath; of type,
        /// Method, with http.
        method: Method as Verb = GET; of type,
        /// Statuses that count as healthy, with http: single ones or ranges.
        expected_statuses: Vec<RangeInclusive<u16>> as Many<Statuses> = "200-299"; of type,
        /// Host field to send. Default: the endpoint's name and port.
        host: Option<HeaderValue> as Authority; of type,
        /// More header fields to send.
        headers: HeaderMap as Named<String> = {}; of type,
        /// Service to ask about, with grpc. Default: the whole server.
        service: Option<String>; of type,
        /// Time from one check of an endpoint to the next; up to 10 % shorter at random.
        interval: Duration as Time = 10s,
        /// Longest time for one check, connecting included. Default: 2s, or the interval where that is shorter.
        timeout: Option<Duration> as Limit,
        /// Successes in a row after which an unhealthy endpoint returns.
        healthy_threshold: u32 as Count<1, 100> = 2,
        /// Failures in a row after which a healthy endpoint leaves.
        unhealthy_threshold: u32 as Count<1, 100> = 3,
        /// Port to ask on. Default: the endpoint's.
        port: Option<u16> as Count<1, 65_535>,
        /// Whether a check that passes ends an ejection by outlier detection.
        ends_ejection: bool = false,
    }
}

choice! {
    /// What a check asks.
    pub enum Kind {
        /// A request.
        Http = ["http", "https", "httpchk", "http-get"],
        /// A connection.
        Tcp = ["tcp", "tcp-check", "tcp-socket"],
        /// `grpc.health.v1`.
        Grpc = ["grpc"],
        /// The agent's card.
        AgentCard = ["agent-card", "card"],
    }
}

impl HealthCheck {
    /// The longest a check may take where nothing is said.
    pub(in crate::config) const LONGEST: Duration = Duration::from_secs(2);

    /// The same with the defaults that follow from other keys, so that two that mean the same are equal.
    pub(in crate::config) fn settled(self) -> Self {
        let path = self.path.is_some() || self.kind == Kind::AgentCard;
        Self { timeout: Some(self.limit()), path: path.then(|| self.target()), ..self }
    }

    /// A check takes no longer than this, connecting included.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.timeout.unwrap_or_else(|| Self::LONGEST.min(self.interval))
    }

    /// Path and query of its request.
    #[must_use]
    pub fn target(&self) -> PathAndQuery {
        let usual = if self.kind == Kind::AgentCard { CARD } else { "/" };
        self.path.clone().unwrap_or_else(|| PathAndQuery::from_static(usual))
    }
}

/// What is asked, how often, and what follows from it.
impl fmt::Display for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target();
        match (self.kind, self.service.as_deref().unwrap_or_default()) {
            (Kind::Http, _) => write!(f, "{} {}", self.method, mask_parts(target.as_str()))?,
            (Kind::Tcp, _) => f.write_str("a TCP connection")?,
            (Kind::Grpc, "") => f.write_str("gRPC health")?,
            (Kind::Grpc, service) => write!(f, "gRPC health of {service}")?,
            (Kind::AgentCard, _) => write!(f, "the agent card at {}", mask_parts(target.as_str()))?,
        }
        self.port.iter().try_for_each(|port| write!(f, " on port {port}"))?;
        write!(f, " every {:?}, at most {:?}; ", self.interval, self.limit())?;
        write!(f, "out after {} failures, back after {} successes", self.unhealthy_threshold, self.healthy_threshold)?;
        f.write_str(if self.ends_ejection { "; a success ends an ejection" } else { "" })
    }
}

/// Where agents of 0.3 and later have their card.
pub(in crate::config) const CARD: &str = "/.well-known/agent-card.json";

text_value!(
    /// Path and query of a check.
    ProbePath(PathAndQuery), probe_path, "a path such as `/health`", {
    "type": "string",
    "description": "A path that starts with `/`, with a query if need be.",
    "pattern": "^/|[$][{]"
});

fn probe_path(text: &str) -> Result<ProbePath, String> {
    if let Some((method, path)) = text.split_once(' ')
        && path.starts_with('/')
    {
        return Err(with_hint(
            format!("`{text}` is more than a path"),
            format!("write `method: {method}` and `path: {path}`"),
        ));
    }
    if !text.starts_with('/') {
        return Err(with_hint(format!("the path `{text}` does not start with `/`"), format!("write `/{text}`")));
    }
    let legal = text.is_ascii() && !text.contains(['#', ' ']);
    let parsed = PathAndQuery::try_from(text).ok().filter(|_| legal);
    parsed.map(ProbePath).ok_or_else(|| {
        with_hint(format!("`{text}` holds characters a request cannot"), "percent-encode them, as they are on the wire")
    })
}

text_value!(
    /// One status or a range of them.
    Statuses(RangeInclusive<u16>), statuses, "a status such as `200` or a range such as `200-299`", {
    "description": "A status code, or a range of them: 200, 200-299.",
    "anyOf": [
        { "type": "integer", "minimum": 200, "maximum": 599 },
        { "type": "string", "pattern": "^([2-5][0-9]{2}( *- *[2-5][0-9]{2})?|.*[$][{].*)$" }
    ]
});

fn statuses(text: &str) -> Result<Statuses, String> {
    let shape = || {
        let hint = match text.as_bytes() {
            [digit @ b'2'..=b'5', b'x' | b'X', b'x' | b'X'] => {
                let digit = char::from(*digit);
                format!("write `{digit}00-{digit}99`")
            }
            _ => "write `200` or `200-299`".to_owned(),
        };
        with_hint(format!("`{text}` is not a status or a range"), hint)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| text.trim().parse::<u16>().map_err(|_not_a_number| shape());
    let (first, last) = (code(first)?, code(last)?);
    let final_ones = 200..=599;
    if !final_ones.contains(&first) || !final_ones.contains(&last) {
        return Err(with_hint(format!("`{text}` is out of range"), "final statuses are 200 to 599"));
    }
    if first > last {
        return Err(with_hint(format!("the range `{text}` is empty"), format!("write `{last}-{first}`")));
    }
    Ok(Statuses(first..=last))
}

text_value!(
    /// A name or an address, with a port or without.
    Authority(HeaderValue), authority, "a host such as `agent.internal`", { "type": ["string", "number", "boolean"] }
);

fn authority(text: &str) -> Result<Authority, String> {
    let value = HeaderValue::try_from(text).ok().filter(|_| is_authority(text));
    let illegal = || with_hint(format!("`{text}` is not a host"), "a name or an address, with a port if need be");
    value.map(Authority).ok_or_else(illegal)
}

/// Fields that cannot be sent are left out; `resolve` has said so.
impl Written<HeaderMap> for Named<String> {
    fn meaning(self) -> HeaderMap {
        let field = |(name, value): (String, String)| {
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(is_secret_name(&name));
            Some((HeaderName::try_from(name).ok()?, value))
        };
        self.0.into_iter().filter_map(field).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_ranges() {
        for (text, expected) in [("200", 200..=200), ("200-299", 200..=299), ("404", 404..=404)] {
            assert_eq!(statuses(text).unwrap().0, expected, "{text}");
        }
        for text in ["", "99", "100-200", "200-600", "299-200", "2xx", "a-b", "200-", "-1"] {
            assert!(statuses(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_may_have_a_query() {
        for text in ["/", "/health", "/health?deep=1&x=%20", "/.well-known/agent-card.json"] {
            assert_eq!(probe_path(text).unwrap().0.as_str(), text);
        }
        for text in ["", "health", "GET /health", "/a b", "/a#b", "/é", "/a\n"] {
            assert!(probe_path(text).is_err(), "{text}");
        }
    }
}
