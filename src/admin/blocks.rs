//! Blocked clients over the admin API: who is blocked and why, and what operators do about it.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use ipnet::IpNet;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::audit::Operator;
use super::query::Query;
use crate::observe::clock::rfc3339;
use crate::policy::auth_failures::BlockedClient;
use crate::policy::block_list::Block;
use crate::snapshot::Snapshot;
use crate::visible::is_hidden;

/// This moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    wall: SystemTime,
    steady: Instant,
}

impl Now {
    pub(super) fn here() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }

    /// A moment that comes, on the clock of people.
    fn after(self, wait: Duration) -> String {
        rfc3339(self.wall.checked_add(wait).unwrap_or(self.wall))
    }
}

/// Everybody who is blocked.
pub(super) fn list(snapshot: &Snapshot, now: Now) -> Value {
    let abuse = &snapshot.abuse;
    let blocks = abuse.blocks.list(now.steady);
    let operators: Vec<Value> =
        blocks.iter().take(LISTED).map(|(network, block)| shown(*network, block, now)).collect();
    let failing: Vec<Value> = abuse.failures.blocked(now.steady, LISTED).iter().map(|one| failed(one, now)).collect();
    json!({
        "now": rfc3339(now.wall),
        "configured": snapshot.config.block_list.networks.given(),
        "operators": operators,
        "failures": failing,
        "leftOut": {
            "operators": blocks.len().saturating_sub(LISTED),
            "failures": abuse.failures.count_blocked(now.steady).saturating_sub(failing.len()),
        },
    })
}

fn shown(network: IpNet, block: &Block, now: Now) -> Value {
    let mut shown = json!({ "network": network.to_string(), "reason": block.reason, "since": rfc3339(block.since) });
    if let Some(fields) = shown.as_object_mut() {
        if !block.by.is_empty() {
            fields.insert("by".to_owned(), block.by.clone().into());
        }
        if let Some(until) = block.until {
            let wait = until.saturating_duration_since(now.steady);
            fields.insert("until".to_owned(), now.after(wait).into());
        }
    }
    shown
}

fn failed(client: &BlockedClient, now: Now) -> Value {
    json!({ "client": client.address.to_string(), "failures": client.failures, "until": now.after(client.wait) })
}

/// What an operator wants.
#[derive(Debug)]
struct Wanted {
    network: IpNet,
    reason: String,
    by: String,
    lasts: Option<Duration>,
}

impl Wanted {
    fn of(query: &Query) -> Result<Self, String> {
        let given = |name| query.text(name).unwrap_or_default();
        Ok(Self {
            network: network(given("network"))?,
            reason: text("reason", given("reason"))?,
            by: text("by", given("by"))?,
            lasts: query.time("for")?,
        })
    }
}

/// A network, or one address as a network; never everybody.
fn network(text: &str) -> Result<IpNet, String> {
    let wrong = || "`network` is an address, or a network such as `192.0.2.0/24`".to_owned();
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let network = parsed.ok_or_else(wrong)?;
    if network.trunc() != network {
        return Err(format!("`network` has bits beyond its prefix: write `{}`", network.trunc()));
    }
    if network.prefix_len() == 0 {
        return Err("that would block everybody".to_owned());
    }
    let IpNet::V6(wide) = network else { return Ok(network) };
    // The gateway takes an IPv4 address that is written as IPv6 for the IPv4 address.
    let inner = wide.network().to_ipv4_mapped().zip(wide.prefix_len().checked_sub(96));
    let inner = inner.and_then(|(address, prefix)| IpNet::new(address.into(), prefix).ok());
    match inner {
        Some(inner) if inner.prefix_len() == 0 => Err("that would block everybody".to_owned()),
        inner => Ok(inner.unwrap_or(network)),
    }
}

/// A text of bounded length that hides nothing.
fn text(name: &str, value: &str) -> Result<String, String> {
    if value.chars().count() > MAX_TEXT || value.chars().any(is_hidden) {
        return Err(format!("`{name}` is a text of at most {MAX_TEXT} visible characters"));
    }
    Ok(value.to_owned())
}

/// Blocks a network.
pub(super) fn block(snapshot: &Snapshot, operator: &Operator<'_>, query: &Query, now: Now) -> (StatusCode, Value) {
    let Wanted { network, reason, by, lasts } = match Wanted::of(query) {
        Ok(wanted) => wanted,
        Err(why) => return refused(StatusCode::BAD_REQUEST, &why),
    };
    let until = lasts.and_then(|lasts| now.steady.checked_add(lasts));
    let block = Block { reason, by, since: now.wall, until };
    let said = shown(network, &block, now);
    let detail = format!("{network} {}", block.reason);
    if let Err(full) = snapshot.abuse.blocks.block(network, block.clone(), snapshot.config.block_list.max_entries) {
        return refused(StatusCode::CONFLICT, &full.to_string());
    }
    operator.changed(snapshot, "block", &block.by, Some(network), detail.trim_end());
    (StatusCode::OK, json!({ "blocked": said }))
}

/// Takes back whatever was held against a network, but for the configuration.
pub(super) fn unblock(snapshot: &Snapshot, operator: &Operator<'_>, query: &Query) -> (StatusCode, Value) {
    let Wanted { network, reason, by, .. } = match Wanted::of(query) {
        Ok(wanted) => wanted,
        Err(why) => return refused(StatusCode::BAD_REQUEST, &why),
    };
    let was_blocked = snapshot.abuse.blocks.unblock(network);
    let has_failed = snapshot.abuse.failures.forgive(network);
    let is_configured = snapshot.config.block_list.networks.contains(network.network());
    if was_blocked || has_failed {
        operator.changed(snapshot, "unblock", &by, Some(network), &reason);
        let done = json!({ "operators": was_blocked, "failures": has_failed });
        return (StatusCode::OK, json!({ "unblocked": done, "blockedByConfiguration": is_configured }));
    }
    if is_configured {
        let why = format!("{network} is blocked by the configuration: take it out of `blockList` and reload");
        return refused(StatusCode::CONFLICT, &why);
    }
    refused(StatusCode::NOT_FOUND, &format!("{network} is not blocked; a network is unblocked as it was blocked"))
}

fn refused(status: StatusCode, why: &str) -> (StatusCode, Value) {
    (status, json!({ "error": why }))
}

/// Entries of each kind in an answer.
const LISTED: usize = 10_000;
/// Characters of a reason.
const MAX_TEXT: usize = 200;

#[cfg(test)]
mod tests {
    use super::super::operation::{Ask, Change, OPERATIONS};
    use super::*;

    fn wanted(query: &str) -> Result<Wanted, String> {
        let block = OPERATIONS.iter().find(|operation| operation.ask == Ask::Change(Change::Block)).unwrap();
        Wanted::of(&Query::parse(block.parameters, query)?)
    }

    #[test]
    fn what_is_blocked_is_read_strictly() {
        for (query, expected) in [
            ("network=192.0.2.7", "192.0.2.7/32"),
            ("network=192.0.2.0/24&for=1h&reason=scans%20us&by=ann", "192.0.2.0/24"),
            ("network=2001:db8::/32", "2001:db8::/32"),
            ("network=%3A%3A1", "::1/128"),
            ("network=::ffff:192.0.2.7", "192.0.2.7/32"),
            ("network=::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ] {
            assert_eq!(wanted(query).unwrap().network.to_string(), expected, "{query}");
        }
        for (query, why) in [
            ("", "`network` is missing"),
            ("network=nonsense", "is an address"),
            ("network=192.0.2.7/24", "write `192.0.2.0/24`"),
            ("network=0.0.0.0/0", "everybody"),
            ("network=::/0", "everybody"),
            ("network=::ffff:0.0.0.0/96", "everybody"),
            ("network=192.0.2.7&for=3600", "`for` is a time"),
            ("network=192.0.2.7&for=0s", "`for` is a time"),
            ("network=192.0.2.7&reason=a%0Ab", "visible characters"),
            ("network=192.0.2.7&until=tomorrow", "`until` is not a parameter"),
        ] {
            let refused = wanted(query).unwrap_err();
            assert!(refused.contains(why), "{query}: {refused}");
        }
        let long = format!("network=192.0.2.7&reason={}", "x".repeat(201));
        assert!(wanted(&long).unwrap_err().contains("200"));
    }
}
