//! Numbers against conditions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::tally::Counts;
use crate::config::model::{Analysis, Comparison, Condition, Measure, Metric, Threshold};

/// One number at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Name of the metric.
    pub metric: String,
    /// The canary's number.
    pub value: f64,
    /// The value it was compared with.
    pub threshold: f64,
    /// How it was compared.
    pub comparison: String,
    /// Whether it was as it must be.
    pub passed: bool,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.metric.starts_with("latency") { "s" } else { "" };
        let word = if self.passed { "is" } else { "is not" };
        write!(f, "{} {:.4}{unit} {word} {} {:.4}{unit}", self.metric, self.value, self.comparison, self.threshold)
    }
}

/// The outcome of one measurement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Too little traffic to say.
    Inconclusive {
        /// The requests there were, on the side that had fewer.
        requests: u64,
        /// What can be said all the same.
        readings: Vec<Reading>,
    },
    /// A reading for every metric.
    Conclusive {
        /// In the order of the metrics.
        readings: Vec<Reading>,
        /// The other versions' numbers, where the metrics are compared with them.
        stable: Vec<f64>,
    },
}

/// The values that the canary is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others<'a> {
    /// The counts of the other versions in the window.
    pub(super) counts: &'a Counts,
    /// Their numbers when they were last measured, by metric. These count once they get no requests any more.
    pub(super) last: Option<&'a [f64]>,
}

/// Compares the canary and the other versions in one window.
#[must_use]
pub(super) fn compare(analysis: &Analysis, canary: &Counts, others: Others<'_>) -> Verdict {
    let compares = analysis.compares();
    let enough = others.counts.requests() >= analysis.min_requests;
    let last = others.last.filter(|last| !enough && !last.is_empty());
    let stable: Vec<Option<f64>> = analysis
        .metrics
        .iter()
        .enumerate()
        .map(|(index, metric)| match last {
            Some(last) => last.get(index).copied(),
            None => measure(metric.measure?, others.counts),
        })
        .collect();
    let readings: Vec<Option<Reading>> =
        analysis.metrics.iter().zip(&stable).map(|(metric, stable)| read(metric, canary, *stable)).collect();
    let mut requests = canary.requests();
    if compares && last.is_none() {
        requests = requests.min(others.counts.requests());
    }
    let complete = readings.iter().all(Option::is_some);
    let readings = readings.into_iter().flatten().collect();
    if complete && requests >= analysis.min_requests {
        let stable = if compares { stable.into_iter().flatten().collect() } else { Vec::new() };
        Verdict::Conclusive { readings, stable }
    } else {
        Verdict::Inconclusive { requests, readings }
    }
}

fn read(metric: &Metric, canary: &Counts, stable: Option<f64>) -> Option<Reading> {
    let (name, Condition { comparison, threshold, .. }) = metric.measure.zip(metric.condition)?;
    let value = measure(name, canary)?;
    let threshold = match threshold {
        Threshold::Value(value) => value,
        Threshold::StableTimes(factor) => stable? * factor,
        Threshold::StablePlus(more) => stable? + more,
    };
    let (sign, passed) = match comparison {
        Comparison::AtLeast => (">=", value >= threshold),
        Comparison::Above => (">", value > threshold),
        Comparison::AtMost => ("<=", value <= threshold),
        Comparison::Below => ("<", value < threshold),
    };
    Some(Reading { metric: name.word().to_owned(), value, threshold, comparison: sign.to_owned(), passed })
}

fn measure(measure: Measure, counts: &Counts) -> Option<f64> {
    match measure {
        Measure::SuccessRate => counts.success_rate(),
        Measure::LatencyP99 => counts.percentile(0.99),
        Measure::LatencyP95 => counts.percentile(0.95),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tally::Tally;
    use super::*;
    use crate::config::model::Unit;

    fn counts(good: u32, bad: u32, took: u64) -> Counts {
        let tally = Tally::default();
        for index in 0..good + bad {
            tally.record(index < good, Duration::from_millis(took));
        }
        tally.counts()
    }

    fn now(counts: &Counts) -> Others<'_> {
        Others { counts, last: None }
    }

    fn analysis(measure: Measure, comparison: Comparison, threshold: Threshold) -> Analysis {
        let condition = Condition { comparison, threshold, unit: Unit::None };
        let metric = Metric { measure: Some(measure), condition: Some(condition) };
        Analysis { metrics: vec![metric], ..Analysis::default() }
    }

    #[test]
    fn numbers_are_held_against_their_condition() {
        use Comparison::{Above, AtLeast, AtMost, Below};
        use Measure::{LatencyP95, LatencyP99, SuccessRate};
        use Threshold::{StablePlus, StableTimes, Value};
        let (good, poor) = (counts(99, 1, 100), counts(90, 10, 900));
        for (measure, comparison, threshold, canary, stable, passed) in [
            (SuccessRate, AtLeast, Value(0.95), &good, &poor, true),
            (SuccessRate, AtLeast, Value(0.95), &poor, &good, false),
            (SuccessRate, Above, Value(0.99), &good, &poor, false),
            (SuccessRate, AtLeast, StablePlus(-0.02), &poor, &good, false),
            (SuccessRate, AtLeast, StableTimes(1.0), &good, &good, true),
            (LatencyP99, AtMost, Value(0.5), &good, &poor, true),
            (LatencyP99, AtMost, Value(0.5), &poor, &good, false),
            (LatencyP95, Below, StableTimes(1.2), &poor, &good, false),
            (LatencyP99, Below, StablePlus(0.1), &good, &good, true),
        ] {
            let analysis = analysis(measure, comparison, threshold);
            let Verdict::Conclusive { readings, .. } = compare(&analysis, canary, now(stable)) else {
                panic!("there was enough traffic");
            };
            assert_eq!(readings[0].passed, passed, "{}", readings[0]);
        }
    }

    #[test]
    fn too_little_traffic_says_nothing() {
        let (few, many) = (counts(49, 0, 1), counts(500, 0, 1));
        let fixed = analysis(Measure::SuccessRate, Comparison::AtLeast, Threshold::Value(0.9));
        let relative = analysis(Measure::SuccessRate, Comparison::AtLeast, Threshold::StableTimes(1.0));
        let conclusive =
            |analysis, canary, stable| matches!(compare(analysis, canary, now(stable)), Verdict::Conclusive { .. });
        assert!(!conclusive(&fixed, &few, &many));
        assert!(conclusive(&fixed, &many, &few), "the stable side is not asked");
        assert!(!conclusive(&relative, &many, &few));
        assert!(!conclusive(&fixed, &Counts::default(), &many));
    }

    #[test]
    fn versions_without_requests_are_what_they_were() {
        let relative = analysis(Measure::SuccessRate, Comparison::AtLeast, Threshold::StablePlus(-0.02));
        let (none, canary) = (Counts::default(), counts(95, 5, 100));
        let last = |last| Others { counts: &none, last: Some(last) };
        for (rate, passed) in [(&[0.96], true), (&[0.99], false)] {
            let Verdict::Conclusive { readings, stable } = compare(&relative, &canary, last(rate)) else {
                panic!("what they were is known");
            };
            assert_eq!((readings[0].passed, stable), (passed, rate.to_vec()), "{}", readings[0]);
        }
        let unknown = compare(&relative, &canary, last(&[]));
        assert!(matches!(unknown, Verdict::Inconclusive { .. }));
        let busy = counts(80, 20, 100);
        let both = Others { counts: &busy, last: Some(&[0.99]) };
        let Verdict::Conclusive { stable, .. } = compare(&relative, &canary, both) else {
            panic!("both have requests");
        };
        assert_eq!(stable, [0.8], "what they do now goes before");
    }
}
