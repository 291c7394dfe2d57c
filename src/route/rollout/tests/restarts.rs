//! Rollouts over a restart, and what the clocks of a machine may do to them.

use super::*;

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
    rollout.settings.analysis = None;
    let start = std::time::UNIX_EPOCH + Duration::from_millis(START + 60_000);
    rollout.settings.start_at = Some(start);
    let (early, late) = (started(&split), Arc::new(RolloutControl::new(&split, &key(), at(100))));
    let first = weights(&run(&early, (0, 800), |_| FINE));
    assert_eq!(first[0].0, 60, "not before its start");
    let second = weights(&run(&late, (200, 800), |_| FINE));
    assert_eq!(first[2..], second[2..], "a late one catches up");
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
    settings(&mut split).start_at = Some(start);
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
fn a_pause_before_the_start_does_not_move_it() {
    let mut split = timed();
    let start = std::time::UNIX_EPOCH + Duration::from_millis(START + 60_000);
    settings(&mut split).start_at = Some(start);
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
fn what_a_rollout_is_known_again_by_is_what_earlier_versions_wrote() {
    let metric = |name, comparison, value| {
        format!(r#"{{"measure":"{name}","condition":{{"comparison":"{comparison}","threshold":{{"Value":{value}}}}}}}"#)
    };
    let expected = format!(
        r#"[[{{"name":"stable","weight":100}},{{"name":"canary","weight":0}}],{{"canary":1,"steps":[{}],"analysis":{{"starting_step":2,"interval":{{"secs":30,"nanos":0}},"count":5,"failure_limit":3,"min_requests":50,"metrics":[{},{}]}},"on_failure":"rollback","losing":"finish","start_at":null}}]"#,
        [10, 20, 50, 100].map(|weight| format!(r#"{{"setWeight":{weight}}}"#)).join(","),
        metric("success-rate", "AtLeast", 0.95),
        metric("latency-p99", "AtMost", 0.5),
    );
    let mut split = split();
    split.rollout.as_mut().unwrap().steps.retain(|step| matches!(step, Step::SetWeight(_)));
    assert_eq!(control::printed(&split), expected);
    split.rollout = None;
    assert!(control::printed(&split).ends_with(",null]"));
}
