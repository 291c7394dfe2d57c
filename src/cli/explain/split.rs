//! How a route's traffic is divided, and what moves that.

use super::subject::Subject;
use crate::config::model::{Action, Split, Step};

/// A line for the weights and one for the rollout, where there are any.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    match &subject.settings().action {
        Action::Split(split) => [Some(weights(split)), rollout(split)].into_iter().flatten().collect(),
        Action::Forward(_) | Action::Redirect(_) | Action::Respond(_) => Vec::new(),
    }
}

fn weights(split: &Split) -> String {
    let parts: Vec<String> = split.parts.iter().map(|part| format!("{} {}", part.name, part.weight)).collect();
    let mut line = format!("split     by weight: {}", parts.join(", "));
    if let Some(sticky) = &split.sticky {
        line.push_str(&format!("; sticky by {sticky}"));
    }
    if let Some(chosen_by) = &split.chosen_by {
        line.push_str(&format!("; {chosen_by} may name one"));
    }
    line
}

fn rollout(split: &Split) -> Option<String> {
    let rollout = split.rollout.as_ref()?;
    let canary = split.parts.get(rollout.canary);
    let steps = rollout.steps.iter().map(Step::to_string).collect::<Vec<_>>().join(", ");
    Some(format!("rollout   to {}: {steps}", canary.map_or("-", |part| &part.name)))
}
