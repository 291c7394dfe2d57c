//! Which failures are decisions that the audit log tells of: somebody was refused by a rule that somebody made.

use super::{BlockedBy, Error};
use crate::config::model::AuditKind;

impl Error {
    /// What the decision is about, and the rule where the error alone knows it; `None` for what is no such decision:
    /// mistakes of clients, failures of agents, ceilings.
    #[must_use]
    pub fn audited(&self) -> Option<(AuditKind, Option<&'static str>)> {
        match self {
            Self::Blocked { by: BlockedBy::Failures, .. } => {
                Some((AuditKind::Authentication, Some(BlockedBy::Failures.rule())))
            }
            Self::Blocked { by, .. } => Some((AuditKind::Address, Some(by.rule()))),
            Self::AddressRefused(rule) => Some((AuditKind::Address, Some(rule.rule()))),
            Self::CredentialsMissing(_)
            | Self::CredentialsInvalid(_)
            | Self::AuthAnswered(_)
            | Self::AuthUnavailable => Some((AuditKind::Authentication, None)),
            Self::AuthSlowed(_) => Some((AuditKind::Authentication, Some("authFailures.slowAfter"))),
            Self::Forbidden => Some((AuditKind::Authorization, None)),
            Self::TenantMismatch => Some((AuditKind::Authorization, Some("tenants.claim"))),
            Self::Screened => Some((AuditKind::Screening, None)),
            Self::OriginRefused => Some((AuditKind::Browser, Some("cors.allowOrigins"))),
            Self::CrossSite => Some((AuditKind::Browser, Some("csrf"))),
            Self::CallRefused(_) => Some((AuditKind::Call, None)),
            Self::RateLimited(_) => Some((AuditKind::Limit, Some("rateLimit"))),
            Self::TooManyOpen => Some((AuditKind::Limit, Some("maxConcurrentPerClient"))),
            _ => None,
        }
    }
}
