//! What operators do, for the audit log.

use ipnet::IpNet;

use super::access::Caller;
use crate::config::model::AuditKind;
use crate::observe::audit::{AuditDecision, AuditEvent, AuditedClient, Auditor};
use crate::snapshot::Snapshot;

/// Somebody who asks the admin API.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator<'a> {
    pub(super) auditor: &'a Auditor,
    pub(super) caller: Caller,
}

impl Operator<'_> {
    /// Something was changed, in the words `what` and `detail`. `by` is who did it by his own account, if he gave one.
    pub(super) fn changed(&self, snapshot: &Snapshot, what: &str, by: &str, network: Option<IpNet>, detail: &str) {
        let by = if by.is_empty() { self.word().to_owned() } else { format!("{by} ({})", self.word()) };
        let event = AuditEvent {
            client: network.map(AuditedClient::Network),
            by: Some(&by),
            detail: Some(detail).filter(|detail| !detail.is_empty()),
            ..AuditEvent::now(AuditKind::Operator, AuditDecision::Changed, what)
        };
        self.auditor.tell(&snapshot.config.audit_log, &event);
    }

    /// A request was refused.
    pub(super) fn refused(&self, snapshot: &Snapshot, reason: &str, detail: &str) {
        let event = AuditEvent {
            by: Some(self.word()),
            detail: Some(detail),
            ..AuditEvent::now(AuditKind::Operator, AuditDecision::Refused, reason)
        };
        self.auditor.tell(&snapshot.config.audit_log, &event);
    }

    fn word(&self) -> &'static str {
        match self.caller {
            Caller::Network => "over the network",
            Caller::Owner => "the owner of the socket",
            Caller::Other => "over the socket",
        }
    }
}
