//! Records with texts of bounded length.

use crate::observe::record::{AccessRecord, AgentFacts};
use crate::observe::short::{NAME, PATH, short};

/// The record with bounded texts, so that what is kept of it has a bound.
pub(super) fn shortened<'a>(record: &AccessRecord<'a>) -> AccessRecord<'a> {
    let brief = |text: Option<&'a str>| text.map(|text| short(text, NAME));
    AccessRecord {
        request_id: record.request_id.get(..NAME).unwrap_or(record.request_id),
        principal: brief(record.principal),
        tenant: brief(record.tenant),
        method: short(record.method, NAME),
        authority: short(record.authority, NAME),
        path: short(record.path, PATH),
        upstream_error: record.upstream_error.map(|text| short(text, PATH)),
        agent: record.agent.map(|agent| {
            let (task, context) = (brief(agent.task), brief(agent.context));
            AgentFacts { task, context, ..agent }
        }),
        ..*record
    }
}
