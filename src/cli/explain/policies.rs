//! Everything that `attache explain` says about a request on its route. Each policy says by itself what it does, from
//! the route as it runs; here are the labels of its lines and their order. A policy that does nothing has none.

use super::subject::Subject;
use super::{authorization, client, content, forward, route};

/// The lines of a policy about a request.
type Explain = fn(&Subject<'_>) -> Vec<String>;

/// What happens to the request, by the stage of the pipeline in which it does, in the order of the pipeline. A policy
/// that is new has a row here.
const POLICIES: &[(&str, Explain)] = &[
    ("block_list", client::blocked),
    ("ip_access", client::addresses),
    ("routing", route::matched),
    ("routing", route::public),
    ("preflight", client::cors),
    ("csrf", client::csrf),
    ("authentication", client::auth),
    ("authentication", client::failures),
    ("authentication", client::identity),
    ("authorization", authorization::lines),
    ("limits", client::limits),
    ("own_answer", route::answer),
    ("screening", content::screened),
    ("fault", content::faults),
    ("recognition", content::recognition),
    ("guards", content::guards),
    ("sharing", content::sharing),
    ("version", forward::split),
    ("prepare", forward::request),
    ("mirror", forward::mirror),
    ("admission", forward::clusters),
    ("attempts", forward::retries),
    ("depart", forward::response),
];

/// All lines.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    POLICIES.iter().flat_map(|(_stage, lines)| lines(subject)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_explained_in_the_order_of_the_pipeline() {
        let text = include_str!("../../../docs/resilience.md");
        let section = text.split("## In which order").nth(1).unwrap().split("\n## ").next().unwrap();
        let stages: Vec<_> = section.lines().filter_map(|line| line.split_once(". ")?.1.split('`').nth(1)).collect();
        let at = |stage: &str| stages.iter().position(|known| *known == stage).unwrap_or_else(|| panic!("{stage}"));
        assert!(POLICIES.iter().map(|(stage, _)| at(stage)).is_sorted());
    }
}
