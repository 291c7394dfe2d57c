//! What operators do, for the audit log.

use ipnet::IpNet;

use super::access::Caller;
use crate::config::model::AuditKind;
use crate::observe::audit::{AuditDecision, AuditEvent, AuditedClient, Auditor};
use crate::snapshot::Snapshot;
use crate::visible::is_hidden;

/// Somebody who asks the admin API.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator<'a> {
    pub(super) auditor: &'a Auditor,
    pub(super) caller: Caller,
}

impl Operator<'_> {
    /// Something was changed, in the words `what` and `detail`. `by` is who did it by his own account, if he gave one.
    pub(super) fn changed(&self, snapshot: &Snapshot, what: &str, by: &str, network: Option<IpNet>, detail: &str) {
        changed(self.auditor, snapshot, what, &self.name(by), network, detail);
    }

    /// A request was refused.
    pub(super) fn refused(&self, snapshot: &Snapshot, reason: &str, detail: &str) {
        let event = AuditEvent {
            by: Some(&self.name("")),
            detail: Some(detail),
            ..AuditEvent::now(AuditKind::Operator, AuditDecision::Refused, reason)
        };
        self.auditor.tell(&snapshot.config.audit_log, &event);
    }

    /// Who it is. Over a socket the kernel says it; a name is his own account.
    pub(super) fn name(&self, by: &str) -> String {
        let by: String = by.chars().filter(|c| !is_hidden(*c)).take(MAX_NAME).collect();
        match (self.caller, by.is_empty()) {
            (Caller::Network, true) => "over the network".to_owned(),
            (Caller::Network, false) => format!("{by} (over the network)"),
            (Caller::Owner(user) | Caller::Other(user), true) => format!("uid {user}"),
            (Caller::Owner(user) | Caller::Other(user), false) => format!("uid {user} ({by})"),
        }
    }
}

/// As [`Operator::changed`], for what is done later: `by` is who wanted it, in full.
pub(super) fn changed(
    auditor: &Auditor,
    snapshot: &Snapshot,
    what: &str,
    by: &str,
    network: Option<IpNet>,
    detail: &str,
) {
    let event = AuditEvent {
        client: network.map(AuditedClient::Network),
        by: Some(by),
        detail: Some(detail).filter(|detail| !detail.is_empty()),
        ..AuditEvent::now(AuditKind::Operator, AuditDecision::Changed, what)
    };
    auditor.tell(&snapshot.config.audit_log, &event);
}

/// Characters of an operator's name.
const MAX_NAME: usize = 100;
