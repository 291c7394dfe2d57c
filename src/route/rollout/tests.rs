//! The rollout of the documents, with time that is told: 10 % for two minutes, 20 % for two, 50 % for five, then all;
//! success rate at least 0.95 and the 99th percentile at most half a second, measured every 30 s from step 2 on.

use std::time::Duration;

use super::*;
use crate::config::model::{
    Analysis, ClusterId, Comparison, Condition, CookieKey, Losing, Measure, Metric, OnFailure, Part, Rollout, Split,
    Step, Threshold,
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
    Metric { measure, condition: Condition { comparison, threshold: Threshold::Value(value) } }
}

fn minutes(minutes: u64) -> Step {
    Step::Pause(Some(Duration::from_secs(60 * minutes)))
}

fn split() -> Split {
    let part = |name: &str, weight| Part { cluster: ClusterId(0), name: name.to_owned(), weight };
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
        analysis: Some(Analysis {
            starting_step: 2,
            interval: Duration::from_secs(30),
            count: 5,
            failure_limit: 3,
            min_requests: 50,
            metrics: vec![
                metric(Measure::SuccessRate, Comparison::AtLeast, 0.95),
                metric(Measure::LatencyP99, Comparison::AtMost, 0.5),
            ],
        }),
        on_failure: OnFailure::Rollback,
        losing: Losing::Finish,
        start_at: None,
    };
    Split {
        parts: vec![part("stable", 100), part("canary", 0)],
        sticky: None,
        cookie_key: None,
        chosen_by: None,
        rollout: Some(rollout),
    }
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
fn on_failure_may_pause_and_an_operator_decides() {
    let mut split = split();
    split.rollout.as_mut().unwrap().on_failure = OnFailure::Pause;
    let control = started(&split);
    let slow = Traffic { took: 700, ..FINE };
    drop(run(&control, (0, 600), |_| slow));
    assert_eq!((phase(&control), share(&control)), (Phase::Paused, 20.0));
    drop(control.operate(Verb::Resume, "ann", at(600)).unwrap());
    drop(run(&control, (610, 2_000), |_| FINE));
    assert_eq!(phase(&control), Phase::Promoted);
}

#[test]
fn progress_goes_on_in_another_process() {
    let whole = started(&split());
    let expected = weights(&run(&whole, (0, 1_200), |_| FINE));
    let first = started(&split());
    let mut happened = weights(&run(&first, (0, 400), |_| FINE));
    let text = serde_json::to_string(&first.saved()).unwrap();
    let second = Arc::new(RolloutControl::new(&split(), &key(), at(400)));
    assert!(second.restore(&serde_json::from_str(&text).unwrap(), at(400).wall, at(400)));
    assert!((share(&second) - 50.0).abs() < 0.01);
    happened.extend(weights(&run(&second, (410, 1_200), |_| FINE)));
    let steps =
        |happened: &[(u64, String)]| -> Vec<String> { happened.iter().map(|(_, message)| message.clone()).collect() };
    assert_eq!(steps(&happened), steps(&expected));
}

#[test]
fn what_was_saved_for_other_settings_is_not_taken_up() {
    let control = started(&split());
    drop(run(&control, (0, 400), |_| FINE));
    let saved = control.saved();
    let mut changed = split();
    changed.rollout.as_mut().unwrap().steps[0] = Step::SetWeight(5);
    let other = started(&changed);
    assert!(!other.restore(&saved, START, at(400)) && !control.is_of(&changed));
    assert!(share(&other).abs() < 0.01);
    let mut sticky = split();
    sticky.sticky = Some(crate::config::model::HashKey::ClientIp);
    assert!(control.is_of(&sticky), "stickiness does not restart it");
}

#[test]
fn replicas_with_the_same_start_move_in_step() {
    let mut split = split();
    let rollout = split.rollout.as_mut().unwrap();
    rollout.analysis = None;
    let start = std::time::UNIX_EPOCH + Duration::from_millis(START + 60_000);
    rollout.start_at = Some(start);
    let (early, late) = (started(&split), Arc::new(RolloutControl::new(&split, &key(), at(100))));
    let first = weights(&run(&early, (0, 800), |_| FINE));
    assert_eq!(first[0].0, 60, "not before its start");
    let second = weights(&run(&late, (200, 800), |_| FINE));
    assert_eq!(first[2..], second[2..], "a late one catches up");
}

#[test]
fn operators_pause_resume_promote_abort_and_restart() {
    let control = started(&split());
    drop(run(&control, (0, 60), |_| FINE));
    assert_eq!(control.operate(Verb::Resume, "ann", at(60)), Err(Refusal::NotPaused.into()));
    drop(control.operate(Verb::Pause, "ann", at(60)).unwrap());
    assert_eq!(control.operate(Verb::Pause, "ann", at(61)), Err(Refusal::Paused.into()));
    let happened = run(&control, (70, 600), |_| FINE);
    assert!(happened.is_empty(), "{happened:?}");
    drop(control.operate(Verb::Resume, "ann", at(660)).unwrap());
    let happened = weights(&run(&control, (670, 800), |_| FINE));
    assert_eq!(happened[0].0, 720, "the pause is no part of the step");
    drop(control.operate(Verb::Promote, "ann", at(800)).unwrap());
    assert_eq!(share(&control), 100.0);
    assert_eq!(control.operate(Verb::Promote, "ann", at(801)), Err(Refusal::Over.into()));
    drop(control.operate(Verb::Abort, "ann", at(810)).unwrap());
    assert_eq!((share(&control), phase(&control)), (0.0, Phase::RolledBack));
    assert_eq!(control.operate(Verb::Pause, "ann", at(811)), Err(Refusal::Over.into()));
    drop(control.operate(Verb::Restart, "ann", at(820)).unwrap());
    assert_eq!((share(&control), phase(&control)), (10.0, Phase::Progressing));
}

#[test]
fn a_pause_without_end_waits_for_resume() {
    let mut split = split();
    let rollout = split.rollout.as_mut().unwrap();
    rollout.analysis = None;
    rollout.steps = vec![Step::SetWeight(5), Step::Pause(None), Step::SetWeight(100)];
    let control = started(&split);
    drop(run(&control, (0, 100_000), |_| FINE));
    assert_eq!(share(&control), 5.0);
    drop(control.operate(Verb::Resume, "ann", at(0)).unwrap());
    assert_eq!(phase(&control), Phase::Promoted);
}

#[test]
fn a_share_set_by_hand_stops_the_steps_and_ends_by_itself() {
    let control = started(&split());
    drop(run(&control, (0, 60), |_| FINE));
    assert_eq!(
        control.hold(Some("other"), 5, None, "ann", at(60)),
        Err(OperateError::NoSuchCluster("other".to_owned()))
    );
    assert_eq!(control.hold(None, 101, None, "ann", at(60)), Err(OperateError::NotAShare));
    drop(control.hold(None, 33, Some(240_000), "ann", at(60)).unwrap());
    assert!((share(&control) - 33.0).abs() < 0.01);
    let happened = run(&control, (70, 290), |_| FINE);
    assert!(happened.is_empty(), "{happened:?}");
    let happened = run(&control, (300, 400), |_| FINE);
    assert_eq!((happened[0].0, happened[0].1), (300, "released"));
    // 60 of 120 seconds were over; the 240 in between do not count.
    assert_eq!(weights(&happened), [(360, "step 3 of 7: the canary gets 20 %".to_owned())]);
}

#[test]
fn a_plain_split_can_be_switched() {
    let mut split = split();
    split.rollout = None;
    let control = started(&split);
    assert_eq!(control.operate(Verb::Promote, "ann", at(0)), Err(OperateError::NoRollout));
    assert_eq!(control.hold(None, 100, None, "ann", at(0)), Err(OperateError::WhichCluster));
    drop(control.hold(Some("canary"), 100, None, "ann", at(0)).unwrap());
    assert_eq!(share(&control), 100.0);
    assert!(control.tick(at(1000)).is_empty());
    drop(control.switch(None, "ann", at(0)).unwrap());
    assert_eq!(share(&control), 0.0, "to the one that had less");
    drop(control.release("ann", at(0)).unwrap());
    assert_eq!(control.status().held, None);
    assert_eq!(control.release("ann", at(0)), Err(OperateError::NothingHeld));
    let rolled = started(&self::split());
    assert_eq!(rolled.switch(None, "ann", at(0)), Err(OperateError::HasRollout));
}

#[test]
fn the_losing_side_is_cut_where_the_file_says_so() {
    for (losing, cut) in [(Losing::Finish, false), (Losing::Cut, true)] {
        let mut split = split();
        split.rollout.as_mut().unwrap().losing = losing;
        let control = started(&split);
        let (stable, canary) = (sample(&control, 0), sample(&control, CANARY));
        assert!(!stable.is_cut() && !canary.is_cut());
        drop(control.operate(Verb::Abort, "ann", at(0)).unwrap());
        assert_eq!((stable.is_cut(), canary.is_cut()), (false, cut));
        let tester = sample(&control, CANARY);
        drop(control.tick(at(10)));
        assert!(!tester.is_cut(), "who is sent there later is let alone");
        drop(control.operate(Verb::Promote, "ann", at(0)).unwrap());
        assert_eq!((stable.is_cut(), canary.is_cut()), (cut, cut));
    }
}

#[test]
fn what_was_compared_with_the_stable_version_is_compared_at_100_percent_too() {
    let against =
        |measure, threshold| Metric { measure, condition: Condition { comparison: Comparison::AtLeast, threshold } };
    let mut split = split();
    let analysis = split.rollout.as_mut().unwrap().analysis.as_mut().unwrap();
    analysis.metrics = vec![against(Measure::SuccessRate, Threshold::StablePlus(-0.02))];
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

/// The rollout of the documents without its analysis: 20 % from 120 s to 240 s, 50 % to 540 s.
fn timed() -> Split {
    let mut split = split();
    split.rollout.as_mut().unwrap().analysis = None;
    split
}

fn seconds(happened: &[(u64, &'static str, String)]) -> Vec<u64> {
    weights(happened).iter().map(|(second, _)| *second).collect()
}

/// Restarted with what was saved at one second, at another.
fn restarted(split: &Split, control: &RolloutControl, saved: u64, again: u64) -> Arc<RolloutControl> {
    let text = serde_json::to_string(&control.saved()).unwrap();
    let control = Arc::new(RolloutControl::new(split, &key(), at(again)));
    let saved_state = serde_json::from_str(&text).unwrap();
    assert!(control.restore(&saved_state, at(saved).wall, at(again)));
    control
}

#[test]
fn a_pause_is_time_in_which_the_version_served() {
    let split = timed();
    let control = started(&split);
    drop(run(&control, (0, 200), |_| FINE));
    let control = restarted(&split, &control, 200, 5_000);
    let happened = run(&control, (5_000, 6_000), |_| FINE);
    assert_eq!(seconds(&happened), [5_040, 5_340, 5_340]);
}

#[test]
fn what_follows_a_shared_clock_catches_up_after_a_restart() {
    let mut split = timed();
    let start = std::time::UNIX_EPOCH + Duration::from_millis(START);
    split.rollout.as_mut().unwrap().start_at = Some(start);
    let control = started(&split);
    drop(run(&control, (0, 200), |_| FINE));
    let control = restarted(&split, &control, 200, 400);
    assert_eq!(seconds(&run(&control, (400, 700), |_| FINE)), [400, 540, 540]);
}

#[test]
fn a_clock_that_is_set_moves_no_step_and_stops_no_measurement() {
    for (by, split) in [(-7_200, split()), (7_200, split()), (-7_200, timed()), (7_200, timed())] {
        let expected = weights(&run(&started(&split), (0, 1_200), |_| FINE));
        let control = started(&split);
        let clock = |second| {
            if second < 200 { at(second) } else { set(by, second) }
        };
        let happened = run_by(&control, (0, 1_200), |_| FINE, clock);
        assert_eq!(weights(&happened), expected, "set by {by}");
    }
}

#[test]
fn a_share_set_for_a_time_lasts_that_long_whatever_the_clock_says() {
    for by in [-7_200, 7_200] {
        let control = started(&timed());
        drop(control.tick(at(0)));
        drop(control.hold(None, 33, Some(60_000), "ann", at(10)).unwrap());
        let clock = |second| {
            if second < 30 { at(second) } else { set(by, second) }
        };
        let happened = run_by(&control, (20, 200), |_| FINE, clock);
        assert_eq!((happened[0].0, happened[0].1), (70, "released"), "{by}");
        assert_eq!(seconds(&happened), [180], "{by}");
    }
}

#[test]
fn a_rollout_that_is_paused_and_held_stands_still_once() {
    let verbs = |control: &RolloutControl, first: bool| {
        let hold = |second| drop(control.hold(None, 33, None, "ann", at(second)).unwrap());
        let pause = |second| drop(control.operate(Verb::Pause, "ann", at(second)).unwrap());
        if first {
            pause(60);
            hold(70);
        } else {
            hold(60);
            pause(70);
        }
        drop(control.release("ann", at(90)).unwrap());
        drop(control.operate(Verb::Resume, "ann", at(100)).unwrap());
    };
    for first in [true, false] {
        let control = started(&timed());
        drop(run(&control, (0, 60), |_| FINE));
        verbs(&control, first);
        // Forty seconds in which it stood still.
        assert_eq!(seconds(&run(&control, (100, 200), |_| FINE)), [160]);
    }
}

#[test]
fn a_pause_before_the_start_does_not_move_it() {
    let mut split = timed();
    let start = std::time::UNIX_EPOCH + Duration::from_millis(START + 60_000);
    split.rollout.as_mut().unwrap().start_at = Some(start);
    let control = started(&split);
    drop(control.tick(at(0)));
    drop(control.operate(Verb::Pause, "ann", at(10)).unwrap());
    drop(control.operate(Verb::Resume, "ann", at(30)).unwrap());
    assert_eq!(seconds(&run(&control, (30, 180), |_| FINE)), [60, 180]);
}

#[test]
fn what_is_paused_stays_so_over_a_restart_and_loses_no_time() {
    let split = timed();
    let control = started(&split);
    drop(run(&control, (0, 60), |_| FINE));
    drop(control.operate(Verb::Pause, "ann", at(60)).unwrap());
    let control = restarted(&split, &control, 70, 5_000);
    assert!(run(&control, (5_000, 5_100), |_| FINE).is_empty());
    drop(control.operate(Verb::Resume, "ann", at(5_100)).unwrap());
    assert_eq!(seconds(&run(&control, (5_100, 5_200), |_| FINE)), [5_160]);
}

#[test]
fn a_caller_stays_with_the_old_version_at_100_percent_and_after_the_promotion() {
    for (losing, stays) in [(Losing::Finish, true), (Losing::Cut, false)] {
        let mut split = split();
        split.rollout.as_mut().unwrap().losing = losing;
        let control = started(&split);
        let shares = control.shares();
        let chooser = Chooser::new(Arc::clone(shares), &mut fastrand::Rng::with_seed(1));
        let token = shares.current().token(0).unwrap().to_owned();
        let held = RoutingHints { held: Some(token.as_bytes()), ..RoutingHints::default() };
        let part = || chooser.choose(held).unwrap().part;
        drop(run(&control, (0, 560), |_| FINE));
        assert_eq!((share(&control), part()), (50.0, 0));
        drop(run(&control, (570, 600), |_| FINE));
        assert_eq!((share(&control), phase(&control)), (100.0, Phase::Progressing));
        assert_eq!(part() == 0, stays);
        drop(run(&control, (610, 1_200), |_| FINE));
        assert_eq!((part() == 0, phase(&control)), (stays, Phase::Promoted));
        drop(control.hold(None, 100, None, "ann", at(1_200)).unwrap());
        assert_eq!(part(), CANARY, "what is set by hand is meant");
    }
}
