//! What each access log makes of a record: whether it writes it, what it says of it and what it hides. Made once for a
//! configuration; a request only looks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderName;
use http::header::{CONTENT_LOCATION, LOCATION, REFERER};

use super::text::{escape, masked_path};
use super::{AccessRecord, AgentFacts, NotedField, RecordNames};
use crate::config::model::{AccessLog, Percentage, RecordField, RecordFormat, RecordSample, Redacted};

/// The settings of one log, ready to use.
#[derive(Debug)]
pub struct RecordPlan {
    /// `None` means all.
    fields: Option<Box<[RecordField]>>,
    request_headers: Box<[HeaderName]>,
    response_headers: Box<[HeaderName]>,
    redact_headers: Box<[HeaderName]>,
    redact: Box<[Redacted]>,
    sample: RecordSample,
    statuses: Box<[RangeInclusive<u16>]>,
    min_duration: Duration,
    routes: Box<[String]>,
    exclude: Box<[String]>,
}

/// All logs of one configuration.
#[derive(Debug, Default)]
pub struct RecordPlans {
    plans: Box<[RecordPlan]>,
    request_headers: Box<[HeaderName]>,
    response_headers: Box<[HeaderName]>,
    /// Whether one of them leaves out a share.
    is_sampled: bool,
}

impl RecordPlans {
    /// Those of these settings, in their order. `keys` are header fields that clients put keys into: no log shows
    /// them.
    #[must_use]
    pub fn new(settings: &[AccessLog], keys: &[HeaderName]) -> Self {
        let logs = || settings.iter().filter(|log| log.output.is_some());
        let referrer = logs().any(|log| log.format == RecordFormat::Combined).then_some(&REFERER);
        let is_sampled = |log: &AccessLog| [log.sample.success, log.sample.error] != [Percentage::ALL; 2];
        Self {
            plans: settings.iter().map(|log| RecordPlan::new(log, keys)).collect(),
            request_headers: distinct(logs().flat_map(|log| &log.request_headers).chain(referrer)),
            response_headers: distinct(logs().flat_map(|log| &log.response_headers)),
            is_sampled: logs().any(is_sampled),
        }
    }

    /// Whether any of them wants header fields.
    #[must_use]
    pub fn note_fields(&self) -> bool {
        !(self.request_headers.is_empty() && self.response_headers.is_empty())
    }

    /// Whether any of them leaves out a share, so that a random number is needed.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// By the position of the log.
    #[must_use]
    pub fn of(&self, log: usize) -> Option<&RecordPlan> {
        self.plans.get(log)
    }

    /// Header fields of requests that any of them wants.
    #[must_use]
    pub fn request_headers(&self) -> &[HeaderName] {
        &self.request_headers
    }

    /// Header fields of answers that any of them wants.
    #[must_use]
    pub fn response_headers(&self) -> &[HeaderName] {
        &self.response_headers
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a HeaderName>) -> Box<[HeaderName]> {
    let mut found: Vec<HeaderName> = Vec::new();
    for name in names {
        if !found.contains(name) {
            found.push(name.clone());
        }
    }
    found.into()
}

impl RecordPlan {
    /// That of these settings.
    #[must_use]
    pub fn new(settings: &AccessLog, keys: &[HeaderName]) -> Self {
        let always = ALWAYS_HIDDEN.map(HeaderName::from_static);
        let always = always.into_iter().chain(keys.iter().cloned());
        Self {
            fields: settings.fields.as_deref().map(Into::into),
            request_headers: settings.request_headers.as_slice().into(),
            response_headers: settings.response_headers.as_slice().into(),
            redact_headers: settings.redact_headers.iter().cloned().chain(always).collect(),
            redact: settings.redact.as_slice().into(),
            sample: settings.sample.clone(),
            statuses: settings.statuses.as_slice().into(),
            min_duration: settings.min_duration,
            routes: settings.routes.as_slice().into(),
            exclude: settings.exclude.as_slice().into(),
        }
    }

    /// Whether this log writes the record. `path` is the path as it was matched; `roll` a random number below a
    /// million, the same for all logs, so that a smaller share has nothing that a larger one has not.
    #[must_use]
    pub fn wants(&self, record: &AccessRecord<'_>, path: &str, roll: u32) -> bool {
        let route = || record.names.map(RecordNames::route);
        let is_chosen = (self.statuses.is_empty() || self.statuses.iter().any(|range| range.contains(&record.status)))
            && record.duration >= self.min_duration
            && (self.routes.is_empty() || self.routes.iter().any(|name| route() == Some(name)))
            && !self.exclude.iter().any(|excluded| excluded == path);
        is_chosen && (roll < self.share(record).of_million() || self.is_slow(record))
    }

    fn is_slow(&self, record: &AccessRecord<'_>) -> bool {
        self.sample.slow.is_some_and(|slow| record.duration >= slow)
    }

    fn share(&self, record: &AccessRecord<'_>) -> Percentage {
        let has_failed = record.is_error() || record.status >= 400 || record.grpc_status.is_some_and(|code| code > 0);
        if has_failed { self.sample.error } else { self.sample.success }
    }

    /// The record without what is hidden; `None` where nothing is.
    #[must_use]
    pub fn redacted<'a>(&self, record: &AccessRecord<'a>) -> Option<AccessRecord<'a>> {
        if self.redact.is_empty() {
            return None;
        }
        let mut record = *record;
        let hide = |fact: Option<&'a str>| fact.map(|_| HIDDEN);
        for fact in &self.redact {
            match fact {
                Redacted::ClientIp => record.client_ip = network_of(record.client_ip),
                Redacted::Principal => record.principal = hide(record.principal),
                Redacted::Tenant => record.tenant = hide(record.tenant),
                Redacted::Task => {
                    record.agent = record.agent.map(|agent| AgentFacts { task: hide(agent.task), ..agent });
                }
                Redacted::Context => {
                    record.agent = record.agent.map(|agent| AgentFacts { context: hide(agent.context), ..agent });
                }
                Redacted::Authority => record.authority = HIDDEN,
                Redacted::Path => record.path = HIDDEN,
                Redacted::UserAgent => record.user_agent = record.user_agent.map(|_| HIDDEN.as_bytes()),
            }
        }
        Some(record)
    }

    /// Fields of a record, in this order; `None` means all.
    pub(super) fn fields(&self) -> Option<&[RecordField]> {
        self.fields.as_deref()
    }

    /// Header fields of requests that it has besides.
    pub(super) fn request_headers(&self) -> &[HeaderName] {
        &self.request_headers
    }

    /// Header fields of answers that it has besides.
    pub(super) fn response_headers(&self) -> &[HeaderName] {
        &self.response_headers
    }

    /// Appends the value of a noted field as it is shown, without quotes around it. The query of an address is masked
    /// as those of requests are.
    pub(super) fn write_value(&self, field: &NotedField, out: &mut Vec<u8>) {
        if self.redact_headers.contains(&field.name) {
            out.extend_from_slice(HIDDEN.as_bytes());
        } else if [REFERER, LOCATION, CONTENT_LOCATION].contains(&field.name) {
            masked_path(out, &without_secrets(&String::from_utf8_lossy(&field.value)));
        } else {
            escape(out, &field.value);
        }
    }
}

/// An address without a name and password before its host, and without what follows `#`, which is the browser's.
fn without_secrets(address: &str) -> String {
    let address = address.split('#').next().unwrap_or_default();
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let Some((authority, path)) = rest.split_at_checked(end) else { return address.to_owned() };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

/// Header fields that carry credentials: no log says more than that they were there.
const ALWAYS_HIDDEN: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];
/// Stands for what is hidden.
const HIDDEN: &str = "*";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{plans, record, settings};
    use super::super::write_json_as;
    use super::*;
    use crate::observe::clock::Clock;

    fn names(route: &str) -> RecordNames {
        RecordNames::new(route, "agents".into())
    }

    #[test]
    fn keys_of_clients_and_secrets_in_addresses_are_not_shown() {
        let plans = RecordPlans::new(&settings("{}"), &[HeaderName::from_static("x-agent-key")]);
        let plan = plans.of(0).unwrap();
        for (name, value, shown) in [
            ("x-agent-key", "k1", "*"),
            ("x-api-key", "k1", "*"),
            ("x-other", "k1", "k1"),
            ("referer", "https://ann:secret@a.example/p?code=1#access_token=2", "https://a.example/p?code=*"),
            ("location", "https://a.example?code=1", "https://a.example?code=*"),
            ("content-location", "/p@q?code=1#x", "/p@q?code=*"),
            ("location", "https://a.example/p@q", "https://a.example/p@q"),
        ] {
            let mut out = Vec::new();
            plan.write_value(
                &NotedField { name: HeaderName::from_static(name), value: value.as_bytes().into() },
                &mut out,
            );
            assert_eq!(String::from_utf8(out).unwrap(), shown, "{name}: {value}");
        }
    }

    #[test]
    fn which_records_are_wanted() {
        let (billing, search) = (names("billing"), names("search"));
        let fine = AccessRecord { names: Some(&billing), ..record() };
        let failed = AccessRecord { status: 503, reason: Some("no_endpoint"), ..fine };
        let refused = AccessRecord { status: 404, names: None, ..record() };
        let grpc = AccessRecord { grpc_status: Some(14), names: Some(&search), ..record() };
        let slow = AccessRecord { duration: Duration::from_secs(9), ..fine };
        let all = [fine, failed, refused, grpc, slow];
        for (log, roll, expected) in [
            ("{}", 999_999, [true; 5]),
            ("{ only: { statuses: [200, 500-599] } }", 0, [true, true, false, true, true]),
            ("{ only: { minDuration: 9s } }", 0, [false, false, false, false, true]),
            ("{ only: { routes: [billing] } }", 0, [true, true, false, false, true]),
            ("{ only: { routes: [search, billing], statuses: 503 } }", 0, [false, true, false, false, false]),
            ("{ exclude: [/health] }", 0, [true; 5]),
            ("{ exclude: [/health, /a2a] }", 0, [false; 5]),
            ("{ sample: { success: 0% } }", 0, [false, true, true, true, false]),
            ("{ sample: { error: 0% } }", 0, [true, false, false, false, true]),
            ("{ sample: { success: 25% } }", 249_999, [true; 5]),
            ("{ sample: { success: 25% } }", 250_000, [false, true, true, true, false]),
            ("{ sample: { success: 0%, error: 0%, slow: 9s } }", 0, [false, false, false, false, true]),
            ("{ only: { statuses: 503 }, sample: { slow: 1s } }", 0, [false, true, false, false, false]),
        ] {
            let plans = plans(log);
            let plan = plans.of(0).unwrap();
            assert_eq!(all.map(|record| plan.wants(&record, "/a2a", roll)), expected, "{log} with {roll}");
            assert_eq!(plans.is_sampled(), log.contains("0%") || log.contains("25%"), "{log}");
        }
    }

    #[test]
    fn what_is_noted_is_what_any_log_wants() {
        let logs = "[{ requestHeaders: [x-a, x-b] }, { format: combined }, { output: off, requestHeaders: [x-c] },
            { output: ./a.log, requestHeaders: [x-b], responseHeaders: [x-d] }]";
        let found = plans(logs);
        assert!(found.note_fields());
        assert_eq!(found.request_headers(), ["x-a", "x-b", "referer"]);
        assert_eq!(found.response_headers(), ["x-d"]);
        assert!(!plans("{}").note_fields());
    }

    #[test]
    fn what_is_hidden_is_not_written() {
        let agent = AgentFacts {
            transport: "jsonrpc",
            version: "1.0",
            task: Some("task-1"),
            context: None,
            fault: None,
            code: None,
            continued: 0,
            first_event: None,
        };
        let full = AccessRecord {
            principal: Some("ann"),
            tenant: Some("north"),
            user_agent: Some(b"sdk"),
            agent: Some(agent),
            ..record()
        };
        let written = |log: &str, record: &AccessRecord<'_>| -> Value {
            let plans = plans(log);
            let plan = plans.of(0).unwrap();
            let mut out = Vec::new();
            let hidden = plan.redacted(record);
            write_json_as(plan, hidden.as_ref().unwrap_or(record), &mut Clock::default(), &mut out);
            serde_json::from_slice(&out).unwrap()
        };
        let every = "[client_ip, principal, tenant, task, context, authority, path, user_agent]";
        let line = written(&format!("{{ redact: {every} }}"), &full);
        for key in ["principal", "tenant", "task", "authority", "path", "user_agent"] {
            assert_eq!(line[key], "*", "{key}");
        }
        assert_eq!((&line["client_ip"], &line["a2a_version"]), (&json!("192.0.2.0"), &json!("1.0")));
        assert_eq!(line.get("context"), None, "what is not there is not hidden");
        let v6 = AccessRecord { client_ip: "2001:db8:1:2:3::4".parse().unwrap(), ..record() };
        assert_eq!(written("{ redact: clientIp }", &v6)["client_ip"], "2001:db8:1::");
        assert!(plans("{}").of(0).unwrap().redacted(&full).is_none(), "nothing is copied where nothing is hidden");
    }

    #[test]
    fn credentials_are_hidden_whatever_is_listed() {
        let field = |name, value: &[u8]| NotedField { name: HeaderName::from_static(name), value: value.into() };
        let (asked, answered) = (
            [field("authorization", b"Bearer a"), field("x-team", b"no\"rth"), field("x-secret", b"b")],
            [field("set-cookie", b"c=d"), field("x-model", b"small")],
        );
        let log = "{ fields: status, requestHeaders: [authorization, x-team, x-secret, x-absent],
            responseHeaders: [set-cookie], redactHeaders: x-secret }";
        let plans = plans(log);
        let mut out = Vec::new();
        let record = AccessRecord { request_fields: &asked, response_fields: &answered, ..record() };
        write_json_as(plans.of(0).unwrap(), &record, &mut Clock::default(), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"status\":200,\"request_headers\":{\"authorization\":\"*\",\"x-team\":\"no\\\"rth\",\"x-secret\":\"*\"},\
             \"response_headers\":{\"set-cookie\":\"*\"}}\n"
        );
    }
}
