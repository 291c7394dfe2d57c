//! Texts of outside in bounded length.

use crate::observe::record::{AccessRecord, AgentFacts};

/// The beginning of a text, at most `most` bytes of it.
pub(super) fn short(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

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

/// Bytes of a name or an id.
pub(super) const NAME: usize = 128;
/// Bytes of a path or a cause.
const PATH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_characters_whole() {
        assert_eq!(short("abc", 10), "abc");
        assert_eq!(short("a\u{e4}\u{e4}", 4), "a\u{e4}");
    }
}
