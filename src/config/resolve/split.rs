//! Splits and the rollouts that move them.

use std::path::Path;
use std::time::Duration;

use super::Scope;
use super::references::References;
use crate::config::keys::split as raw;
use crate::config::model::{
    Analysis, CookieKey, HashKey, Listener, Measure, Metric, Part, Rollout, Split, Step, Threshold, Unit,
};
use crate::config::node::{Step as At, below, steps};
use crate::config::report::Diagnostic;

/// Resolves a split and its rollout; `None` when nothing could be made of it.
pub(super) fn resolve(
    route: &str,
    raw::Split(raw): &raw::Split,
    rollout: Option<&raw::Rollout>,
    references: &References<'_>,
    scope: &mut Scope<'_>,
) -> Option<Split> {
    let (at, moved) = (steps!["routes", route, "split"], steps!["routes", route, "rollout"]);
    let parts = parts(&at, &raw.clusters, rollout.is_some(), references, scope)?;
    let in_rollout = rollout.and_then(|rollout| rollout.sticky.as_ref());
    if in_rollout.is_some() && raw.sticky.is_some() {
        scope.conflict(&below(&moved, "sticky"), "the split says already what is `sticky`", "keep one of them");
    }
    if raw.chosen_by == Some(HashKey::ClientIp) {
        let hint = "write `{ header: name }` or `{ cookie: name }`";
        scope.invalid(&below(&at, "chosenBy"), "an address does not name a cluster", hint);
    }
    let section = if in_rollout.is_some() { &moved } else { &at };
    let sticky = in_rollout.or(raw.sticky.as_ref());
    let key_file = sticky.and_then(|sticky| sticky.key_file.as_deref());
    let key_file_at = below(&below(section, "sticky"), "keyFile");
    let cookie_key = key_file.and_then(|file| cookie_key(Path::new(file), &key_file_at, scope));
    let rollout = rollout.and_then(|raw| self::rollout(route, raw, &parts, scope));
    let sticky = sticky.map(|sticky| sticky.key.clone());
    Some(Split { parts, sticky, cookie_key, chosen_by: raw.chosen_by.clone(), rollout })
}

/// The key that a file holds.
fn cookie_key(file: &Path, at: &[At], scope: &mut Scope<'_>) -> Option<CookieKey> {
    let bytes = scope.read_file(at, file, MAX_KEY)?;
    if bytes.trim_ascii().len() < MIN_KEY {
        let message = format!("`{}` holds fewer than {MIN_KEY} bytes", file.display());
        scope.invalid(at, message, "`openssl rand -hex 32` makes a good one");
        return None;
    }
    Some(CookieKey::of(bytes.trim_ascii()))
}

/// The key of cookies that have none of their own: it comes from what only this gateway and its replicas know. The
/// files have been read when this is asked.
pub(super) fn default_key(listeners: &[Listener], scope: &Scope<'_>) -> Option<CookieKey> {
    let read = scope.env.with_inputs(|inputs| inputs.beside());
    let settings = listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let files = settings.flat_map(|tls| &tls.certificates);
    let hashes = files.filter_map(|pair| read.get(&scope.env.resolve(&pair.key_file)));
    let secret: Vec<u8> = hashes.flat_map(|hash| hash.to_be_bytes()).collect();
    (!secret.is_empty()).then(|| CookieKey::of(&secret))
}

/// Bytes of a key.
const MIN_KEY: usize = 16;
const MAX_KEY: usize = 4 << 10;

fn parts(
    at: &[At],
    given: &[raw::Part],
    moved: bool,
    references: &References<'_>,
    scope: &mut Scope<'_>,
) -> Option<Vec<Part>> {
    let is_mapping = scope.is_given(&below(at, "clusters"));
    let list = if is_mapping { below(at, "clusters") } else { at.to_vec() };
    let mut parts: Vec<Part> = Vec::new();
    for (index, part) in given.iter().enumerate() {
        let (Some(name), Some(weight)) = (&part.cluster, part.weight) else {
            scope.lacks(at, "a share needs both parts", "write `{ cluster: name, weight: 10 }`");
            continue;
        };
        let here = below(&below(&list, index), "cluster");
        let Some(cluster) = references.clusters.get(name) else {
            scope.dangling(&here, "cluster", name, references.clusters.keys().map(String::as_str));
            continue;
        };
        if parts.iter().any(|other| other.name == *name) {
            scope.invalid(&here, format!("`{name}` is given twice"), "add the weights up");
        }
        parts.push(Part { cluster: *cluster, name: name.clone(), weight });
    }
    check_weights(&parts, given.len(), moved, at, scope);
    (parts.len() == given.len() && !parts.is_empty()).then_some(parts)
}

fn check_weights(parts: &[Part], given: usize, moved: bool, at: &[At], scope: &mut Scope<'_>) {
    if given == 0 {
        let hint = "write `[{ cluster: stable, weight: 90 }, { cluster: canary, weight: 10 }]`";
        return scope.lacks(at, "this split has no clusters", hint);
    }
    if given > MAX_PARTS {
        scope.add(at, Diagnostic::invalid(format!("a split has at most {MAX_PARTS} clusters")));
    }
    let sum: u64 = parts.iter().map(|part| u64::from(part.weight)).sum();
    if parts.len() < given {
        return;
    }
    if sum == 0 {
        scope.invalid(at, "every weight of this split is 0", "nothing would be served");
    } else if sum != 100 && !moved {
        let message = format!("the weights of this split add up to {sum}, not to 100");
        scope.warn(at, "weights", message, "they are taken as shares of their sum");
    }
}

fn rollout(route: &str, raw: &raw::Rollout, parts: &[Part], scope: &mut Scope<'_>) -> Option<Rollout> {
    let at = steps!["routes", route, "rollout"];
    let Some(name) = &raw.canary else {
        scope.lacks(&at, "a rollout needs a `canary`", "name the cluster of the new version");
        return None;
    };
    let Some(canary) = parts.iter().position(|part| part.name == *name) else {
        let known = parts.iter().map(|part| part.name.as_str());
        scope.dangling(&below(&at, "canary"), "cluster of this split", name, known);
        return None;
    };
    if parts.len() < 2 {
        let at = steps!["routes", route, "split"];
        scope.invalid(&at, "a rollout needs a second version", "add the stable cluster");
    }
    if raw.steps.is_empty() {
        let hint = "write `steps: [{ setWeight: 10 }, { pause: { duration: 2m } }]`";
        scope.lacks(&at, "a rollout needs `steps`", hint);
        return None;
    }
    let steps = taken_steps(&below(&at, "steps"), &raw.steps, scope);
    if let Some(analysis) = &raw.analysis {
        check_analysis(&below(&at, "analysis"), analysis, &steps, scope);
    }
    Some(Rollout { canary, steps, settings: raw.clone() })
}

fn taken_steps(at: &[At], given: &[raw::Step], scope: &mut Scope<'_>) -> Vec<Step> {
    let (mut steps, mut weights) = (Vec::new(), Vec::new());
    for (index, step) in given.iter().enumerate() {
        match (step.set_weight, &step.pause) {
            (Some(weight), None) => {
                steps.push(Step::SetWeight(weight));
                weights.push(weight);
            }
            (None, Some(pause)) => steps.push(Step::Pause(pause.0)),
            _ => {
                let diagnostic = Diagnostic::invalid("a step does exactly one thing");
                scope.missing(&below(at, index), diagnostic.hint("`setWeight: 10` or `pause: 2m`"));
            }
        }
    }
    if weights.windows(2).any(|pair| pair.last() <= pair.first()) {
        scope.add(at, Diagnostic::warning("weights", "the canary's share does not always grow"));
    }
    if weights.last().is_none_or(|weight| *weight < 100) {
        scope.warn(at, "weights", "the last step jumps to 100 % without a look", "end with `setWeight: 100`");
    }
    steps
}

fn check_analysis(at: &[At], analysis: &Analysis, steps: &[Step], scope: &mut Scope<'_>) {
    if analysis.interval < Duration::from_millis(100) {
        scope.add(&below(at, "interval"), Diagnostic::invalid("an interval is 100ms or more"));
    }
    if analysis.starting_step >= steps.len() {
        let last = steps.len().saturating_sub(1);
        let message = format!("there is no step {}: the last is {last}", analysis.starting_step);
        scope.invalid(&below(at, "startingStep"), message, "steps are counted from 0");
    }
    if analysis.metrics.is_empty() {
        let hint = "write `metrics: [{ name: success-rate, successCondition: \">= 0.95\" }]`";
        scope.lacks(at, "an analysis needs `metrics`", hint);
    }
    for (index, metric) in analysis.metrics.iter().enumerate() {
        check_metric(&below(&below(at, "metrics"), index), metric, scope);
    }
    // At 100 % the other versions get nothing, so what they did before has to have been measured.
    let last = steps.iter().position(|step| *step == Step::SetWeight(100)).unwrap_or(steps.len());
    let measured = steps.iter().take(last).skip(analysis.starting_step).any(|step| matches!(step, Step::Pause(_)));
    if analysis.compares() && !measured {
        let message = "nothing is measured before `setWeight: 100`, when no other version is left to compare with";
        scope.invalid(at, message, "begin with an earlier `startingStep` that has a pause after it");
    }
}

fn check_metric(at: &[At], metric: &Metric, scope: &mut Scope<'_>) {
    let (Some(measure), Some(condition)) = (metric.measure, metric.condition) else {
        let hint = "write `{ name: success-rate, successCondition: \">= 0.95\" }`";
        return scope.lacks(at, "a metric needs both parts", hint);
    };
    let (message, hint) = match (measure, condition.unit, condition.threshold) {
        (Measure::LatencyP99 | Measure::LatencyP95, Unit::None, _) => {
            ("a time needs a unit", "write `<= 0.5s` or `<= 500ms`")
        }
        (Measure::LatencyP99 | Measure::LatencyP95, Unit::Percent, _) => {
            ("a time is not a percentage", "write `<= 0.5s`")
        }
        (Measure::SuccessRate, Unit::Time, _) => ("a rate is not a time", "write `>= 0.95` or `>= 95%`"),
        (Measure::SuccessRate, _, Threshold::Value(value)) if value > 1.0 => {
            ("a rate is at most 1", "write `>= 0.95` or `>= 95%`")
        }
        _ => return,
    };
    scope.invalid(&below(at, "successCondition"), message, hint);
}

/// Clusters of one split.
const MAX_PARTS: usize = 16;
