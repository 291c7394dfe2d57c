//! What requests are searched for, and whether this one has it.

use super::subject::Subject;
use crate::config::model::{ScreenedPart, Search};
use crate::policy::screening::{Coding, find, name};

/// The patterns, and the first that is found in path or query.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    let Some(screening) = &subject.route.screening else {
        return Vec::new();
    };
    let in_part = |search: &Search| match search.part {
        ScreenedPart::Path => find(search, subject.facts.path.as_bytes(), &[Coding::Percent]),
        ScreenedPart::Query => find(search, subject.facts.query?.as_bytes(), &[Coding::Form]),
        ScreenedPart::Headers | ScreenedPart::Body => None,
    };
    let found = screening.searches.iter().find_map(|search| Some((in_part(search)?, search.part)));
    let found = match found {
        Some((number, part)) => format!("its {} has {}", part.word(), name(screening, number)),
        None => "nothing in path and query".to_owned(),
    };
    vec![format!("screening {screening}: {found}")]
}
