//! Which requests somebody who watches wants to see.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::parse_duration;
use crate::observe::record::{AccessRecord, RecordNames};

/// Conditions that a request must meet, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TailFilter {
    route: Option<String>,
    cluster: Option<String>,
    endpoint: Option<String>,
    method: Option<String>,
    path: Option<String>,
    operation: Option<String>,
    principal: Option<String>,
    tenant: Option<String>,
    reason: Option<String>,
    client: Option<IpNet>,
    status: Option<(u16, u16)>,
    slower: Option<Duration>,
    failed: bool,
}

impl TailFilter {
    /// Takes one condition, by the name of its parameter; `None` where there is none of that name.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
        let text = match name {
            "route" => &mut self.route,
            "cluster" => &mut self.cluster,
            "endpoint" => &mut self.endpoint,
            "method" => &mut self.method,
            "path" => &mut self.path,
            "operation" => &mut self.operation,
            "principal" => &mut self.principal,
            "tenant" => &mut self.tenant,
            "reason" => &mut self.reason,
            "client" => return Some(network(value).map(|network| self.client = Some(network))),
            "status" => return Some(statuses(value).map(|range| self.status = Some(range))),
            "slower" => {
                let time = parse_duration(value).map_err(|_wrong| "`slower` is a time such as `500ms`".to_owned());
                return Some(time.map(|time| self.slower = Some(time)));
            }
            "failed" => {
                let is_on = value.parse().map_err(|_wrong| "`failed` is true or false".to_owned());
                return Some(is_on.map(|is_on| self.failed = is_on));
            }
            _ => return None,
        };
        *text = Some(value.to_owned());
        Some(Ok(()))
    }

    /// Whether this request is to be seen.
    #[must_use]
    pub fn wants(&self, record: &AccessRecord<'_>) -> bool {
        let is =
            |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|wanted| value == Some(wanted));
        let is_from = |network: IpNet| network.contains(&record.client_ip.to_canonical());
        is(&self.route, record.names.map(RecordNames::route))
            && is(&self.cluster, record.names.map(RecordNames::cluster))
            && is(&self.endpoint, record.endpoint)
            && is(&self.operation, record.operation)
            && is(&self.principal, record.principal)
            && is(&self.tenant, record.tenant)
            && is(&self.reason, record.reason)
            && self.method.as_deref().is_none_or(|method| record.method.eq_ignore_ascii_case(method))
            && self.path.as_deref().is_none_or(|path| without_query(record.path).starts_with(path))
            && self.client.is_none_or(is_from)
            && self.status.is_none_or(|(from, to)| (from..=to).contains(&record.status))
            && self.slower.is_none_or(|slower| record.duration >= slower)
            && (!self.failed || record.is_error())
    }
}

/// What a query holds is nobody's to find out.
fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    parsed.ok_or_else(|| "`client` is an address, or a network such as `192.0.2.0/24`".to_owned())
}

/// `503`, or a class such as `5xx`.
fn statuses(text: &str) -> Result<(u16, u16), String> {
    let wrong = || "`status` is a code such as `503`, or a class such as `5xx`".to_owned();
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class)).ok_or_else(wrong)?;
        return Ok((class * 100, class * 100 + 99));
    }
    let code = text.parse().ok().filter(|code| (100..=599).contains(code)).ok_or_else(wrong)?;
    Ok((code, code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::tests::record as plain;

    #[test]
    fn conditions_are_met_together() {
        let record = AccessRecord {
            method: "POST",
            path: "/a2a/tasks?x=*",
            status: 503,
            reason: Some("timeout"),
            duration: Duration::from_millis(700),
            client_ip: [192, 0, 2, 7].into(),
            endpoint: Some("10.0.0.1:80"),
            ..plain()
        };
        for (conditions, expected) in [
            (&[][..], true),
            (&[("method", "post"), ("path", "/a2a"), ("status", "5xx")], true),
            (&[("status", "503"), ("slower", "700ms"), ("failed", "true")], true),
            (&[("client", "192.0.2.0/24"), ("reason", "timeout"), ("endpoint", "10.0.0.1:80")], true),
            (&[("client", "192.0.2.8")], false),
            (&[("status", "4xx")], false),
            (&[("slower", "1s")], false),
            (&[("method", "POST"), ("path", "/b")], false),
            (&[("route", "nobody")], false),
            (&[("principal", "ann")], false),
        ] {
            let mut filter = TailFilter::default();
            for (name, value) in conditions {
                filter.set(name, value).unwrap().unwrap();
            }
            assert_eq!(filter.wants(&record), expected, "{conditions:?}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let mut filter = TailFilter::default();
        for (name, value) in
            [("status", "6xx"), ("status", "99"), ("slower", "3"), ("client", "x"), ("failed", "perhaps")]
        {
            assert!(filter.set(name, value).unwrap().is_err(), "{name}={value}");
        }
        assert!(filter.set("colour", "red").is_none());
    }
}
