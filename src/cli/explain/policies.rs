//! Everything that `attache explain` says about a request on its route. Each policy explains itself: from the route as
//! it runs, in lines of a label and facts, and in none where it does nothing.

use super::subject::Subject;
use super::{
    a2a, address, answer, auth, authorization, browser, circuit, cluster, ejection, fault, health, limits, prepare,
    public, retries, route, screening, split,
};
use crate::config::model::Cluster;

/// The lines of a policy about a request.
type Explain = fn(&Subject<'_>) -> Vec<String>;

/// What happens to the request, by the stage of the pipeline in which it does, in the order of the pipeline. A policy
/// that is new has a row here.
const POLICIES: &[(&str, Explain)] = &[
    ("block_list", address::blocked),
    ("ip_access", address::lists),
    ("routing", route::lines),
    ("routing", public::lines),
    ("preflight", browser::cors),
    ("csrf", browser::csrf),
    ("authentication", auth::lines),
    ("authentication", address::failures),
    ("authentication", auth::client),
    ("authorization", authorization::lines),
    ("limits", limits::lines),
    ("own_answer", answer::lines),
    ("screening", screening::lines),
    ("fault", fault::lines),
    ("recognition", a2a::recognition),
    ("guards", a2a::guards),
    ("sharing", a2a::sharing),
    ("version", split::lines),
    ("prepare", prepare::lines),
    ("mirror", fault::mirror),
    ("admission", clusters),
    ("attempts", retries::lines),
    ("depart", prepare::response),
];

/// The same for each cluster that the request may go to.
const OF_CLUSTERS: &[fn(&Cluster) -> Vec<String>] = &[cluster::lines, ejection::lines, circuit::lines, health::lines];

/// All lines.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    POLICIES.iter().flat_map(|(_stage, lines)| lines(subject)).collect()
}

fn clusters(subject: &Subject<'_>) -> Vec<String> {
    let clusters = subject.clusters().into_iter();
    clusters.flat_map(|cluster| OF_CLUSTERS.iter().flat_map(move |lines| lines(cluster))).collect()
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
