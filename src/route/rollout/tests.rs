//! The rollout of the documents, with time that is told: 10 % for two minutes, 20 % for two, 50 % for five, then all;
//! success rate at least 0.95 and the 99th percentile at most half a second, measured every 30 s from step 2 on.

mod operators;
mod restarts;

use std::time::Duration;

use super::*;
use crate::config::model::{
    Analysis, ClusterId, Comparison, Condition, CookieKey, Losing, Measure, Metric, OnFailure, Part, Rollout,
    RolloutSettings, Split, Step, Threshold, Unit,
};
use crate::route::split::{Choice, Chooser, RoutingHints};
use std::sync::{Arc, LazyLock};
use tokio::time::Instant;

const START: Millis = 1_800_000_000_000;
const CANARY: usize = 1;
static STEADY: LazyLock<Instant> = LazyLock::new(Instant::now);

fn key() -> CookieKey {
    CookieKey::of(b"0123456789abcdef")
}

/// So many seconds after the start.
fn at(second: u64) -> Now {
    Now { wall: START + second * 1000, steady: *STEADY + Duration::from_secs(second) }
}

fn metric(measure: Measure, comparison: Comparison, value: f64) -> Metric {
    judged(measure, comparison, Threshold::Value(value))
}

fn judged(measure: Measure, comparison: Comparison, threshold: Threshold) -> Metric {
    Metric { measure: Some(measure), condition: Some(Condition { comparison, threshold, unit: Unit::None }) }
}

fn minutes(minutes: u64) -> Step {
    Step::Pause(Some(Duration::from_secs(60 * minutes)))
}

fn split() -> Split {
    let part = |name: &str, weight| Part { cluster: ClusterId(0), name: name.to_owned(), weight };
    let analysis = Analysis {
        starting_step: 2,
        count: 5,
        failure_limit: 3,
        metrics: vec![
            metric(Measure::SuccessRate, Comparison::AtLeast, 0.95),
            metric(Measure::LatencyP99, Comparison::AtMost, 0.5),
        ],
        ..Analysis::default()
    };
    let rollout = Rollout {
        canary: CANARY,
        steps: vec![
            Step::SetWeight(10),
            minutes(2),
            Step::SetWeight(20),
            minutes(2),
            Step::SetWeight(50),
            minutes(5),
            Step::SetWeight(100),
        ],
        settings: RolloutSettings { analysis: Some(analysis), ..RolloutSettings::default() },
    };
    Split {
        parts: vec![part("stable", 100), part("canary", 0)],
        sticky: None,
        cookie_key: None,
        chosen_by: None,
        rollout: Some(rollout),
    }
}

/// What the file says of its rollout beside the steps.
fn settings(split: &mut Split) -> &mut RolloutSettings {
    &mut split.rollout.as_mut().unwrap().settings
}

/// The same with the wall clock set by so many seconds.
fn set(by: i64, second: u64) -> Now {
    let now = at(second);
    Now { wall: now.wall.saturating_add_signed(by * 1000), ..now }
}

/// What the canary does between two looks.
#[derive(Clone, Copy)]
struct Traffic {
    good: u32,
    bad: u32,
    took: u64,
}

const FINE: Traffic = Traffic { good: 100, bad: 0, took: 100 };

/// Runs from one moment to another, ten seconds at a time, and returns what happened with its second.
fn run(
    control: &Arc<RolloutControl>,
    span: (u64, u64),
    traffic: impl Fn(u64) -> Traffic,
) -> Vec<(u64, &'static str, String)> {
    run_by(control, span, traffic, at)
}

fn run_by(
    control: &Arc<RolloutControl>,
    (from, to): (u64, u64),
    traffic: impl Fn(u64) -> Traffic,
    clock: impl Fn(u64) -> Now,
) -> Vec<(u64, &'static str, String)> {
    let mut happened = Vec::new();
    for second in (from..=to).step_by(10) {
        let Traffic { good, bad, took } = traffic(second);
        let sample = sample(control, CANARY);
        for index in 0..(good + bad) {
            sample.finished(index < good, Duration::from_millis(took));
        }
        for event in control.tick(clock(second)) {
            happened.push((second, event.kind, event.message));
        }
    }
    happened
}

/// An exchange that goes there now.
fn sample(control: &Arc<RolloutControl>, part: usize) -> RolloutSample {
    let choice = Choice { part, drawn: false, generation: control.shares().generation() };
    RolloutSample::new(Arc::clone(control), choice)
}

fn started(split: &Split) -> Arc<RolloutControl> {
    Arc::new(RolloutControl::new(split, &key(), at(0)))
}

fn share(control: &RolloutControl) -> f64 {
    control.status().shares[CANARY].percent
}

fn phase(control: &RolloutControl) -> Phase {
    control.status().progress.unwrap().phase
}

fn weights(happened: &[(u64, &'static str, String)]) -> Vec<(u64, String)> {
    happened
        .iter()
        .filter(|(_, kind, _)| matches!(*kind, "weight" | "promoted" | "rolled_back"))
        .map(|(second, _, message)| (*second, message.clone()))
        .collect()
}

/// The rollout of the documents without its analysis: 20 % from 120 s to 240 s, 50 % to 540 s.
fn timed() -> Split {
    let mut split = split();
    settings(&mut split).analysis = None;
    split
}

fn seconds(happened: &[(u64, &'static str, String)]) -> Vec<u64> {
    weights(happened).iter().map(|(second, _)| *second).collect()
}

#[test]
fn a_good_canary_is_promoted_step_by_step() {
    let control = started(&split());
    assert!(share(&control).abs() < 0.01, "nothing before the first step");
    let happened = run(&control, (0, 1_200), |_| FINE);
    // Two minutes hold four measurements, so those pauses last until the fifth, half a minute more.
    let expected = [
        (0, "step 1 of 7: the canary gets 10 %"),
        (120, "step 3 of 7: the canary gets 20 %"),
        (270, "step 5 of 7: the canary gets 50 %"),
        (570, "step 7 of 7: the canary gets 100 %"),
        (720, "every step is done"),
    ];
    let expected: Vec<_> = expected.iter().map(|(second, message)| (*second, (*message).to_owned())).collect();
    assert_eq!(weights(&happened), expected);
    assert_eq!((phase(&control), share(&control)), (Phase::Promoted, 100.0));
}

#[test]
fn each_failing_number_rolls_back_and_is_named() {
    for (bad, word) in
        [(Traffic { good: 90, bad: 10, took: 100 }, "success-rate"), (Traffic { took: 700, ..FINE }, "latency-p99")]
    {
        let control = started(&split());
        let happened = run(&control, (0, 1_200), |second| if second < 130 { FINE } else { bad });
        let (second, reason) = weights(&happened).pop().unwrap();
        assert!(reason.contains(word) && reason.contains("3 allowed"), "{reason}");
        // Measuring begins at 120 s; the fourth failure is one more than is forgiven.
        assert_eq!(second, 240, "{reason}");
        assert_eq!(phase(&control), Phase::RolledBack);
        let chooser = Chooser::new(Arc::clone(control.shares()), &mut fastrand::Rng::with_seed(1));
        let to_canary = (0..1000).filter(|_| chooser.choose(RoutingHints::default()).unwrap().part == CANARY);
        assert_eq!(to_canary.count(), 0);
        assert!(control.status().progress.unwrap().reason.unwrap().contains(word));
    }
}

#[test]
fn failures_within_the_limit_are_forgiven() {
    let control = started(&split());
    let slow = Traffic { took: 700, ..FINE };
    let happened = run(&control, (0, 1_200), |second| if (130..=210).contains(&second) { slow } else { FINE });
    let failed = happened.iter().filter(|(_, kind, _)| *kind == "measurement_failed");
    assert_eq!(failed.count(), 3);
    assert_eq!(phase(&control), Phase::Promoted);
}

#[test]
fn too_little_traffic_holds_the_step() {
    let control = started(&split());
    // One in ten minutes.
    let few = |second: u64| Traffic { good: u32::from(second.is_multiple_of(600)), ..FINE };
    let happened = run(&control, (0, 3_600), few);
    assert_eq!(weights(&happened).last().unwrap().0, 120, "held at 20 %");
    assert!(happened.iter().any(|(_, kind, _)| *kind == "inconclusive"));
    let progress = control.status().progress.unwrap();
    assert_eq!((progress.phase, progress.step, progress.measured), (Phase::Progressing, 3, 0));
    assert!(progress.reason.unwrap().contains("50 are needed"));
    drop(run(&control, (3_610, 5_400), |_| FINE));
    assert_eq!(phase(&control), Phase::Promoted, "it goes on when there is traffic");
}

#[test]
fn a_little_traffic_is_measured_once_it_is_enough() {
    let control = started(&split());
    let few = Traffic { good: 10, ..FINE };
    let happened = run(&control, (0, 3_600), |_| few);
    assert_eq!(phase(&control), Phase::Promoted);
    let measured = |kind: &str| happened.iter().filter(|(_, known, _)| *known == kind).count();
    assert_eq!(measured("inconclusive"), measured("measurement_passed"), "every other look");

    let control = started(&split());
    let bad = Traffic { good: 0, bad: 1, took: 100 };
    drop(run(&control, (0, 3_600), |_| bad));
    assert_eq!(phase(&control), Phase::RolledBack, "six a minute are enough");
}

#[test]
fn what_was_compared_with_the_stable_version_is_compared_at_100_percent_too() {
    let mut split = split();
    let metric = judged(Measure::SuccessRate, Comparison::AtLeast, Threshold::StablePlus(-0.02));
    settings(&mut split).analysis.as_mut().unwrap().metrics = vec![metric];
    let bad = Traffic { good: 90, bad: 10, took: 100 };
    for (at_the_end, phase) in [(FINE, Phase::Promoted), (bad, Phase::RolledBack)] {
        let control = started(&split);
        let stable = sample(&control, 0);
        let happened = run(&control, (0, 1_200), |second| {
            let others = if second > 570 { 0 } else { 100 };
            for _ in 0..others {
                stable.finished(true, Duration::from_millis(100));
            }
            if second > 570 { at_the_end } else { FINE }
        });
        assert_eq!(self::phase(&control), phase, "{happened:?}");
    }
}
