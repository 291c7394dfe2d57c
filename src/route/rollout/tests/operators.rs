//! What operators do to a rollout, and what becomes of the side that loses.

use super::*;

#[test]
fn on_failure_may_pause_and_an_operator_decides() {
    let mut split = split();
    settings(&mut split).on_failure = OnFailure::Pause;
    let control = started(&split);
    let slow = Traffic { took: 700, ..FINE };
    drop(run(&control, (0, 600), |_| slow));
    assert_eq!((phase(&control), share(&control)), (Phase::Paused, 20.0));
    drop(control.operate(Verb::Resume, "ann", at(600)).unwrap());
    drop(run(&control, (610, 2_000), |_| FINE));
    assert_eq!(phase(&control), Phase::Promoted);
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
    rollout.settings.analysis = None;
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
        settings(&mut split).losing = losing;
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
fn a_caller_stays_with_the_old_version_at_100_percent_and_after_the_promotion() {
    for (losing, stays) in [(Losing::Finish, true), (Losing::Cut, false)] {
        let mut split = split();
        settings(&mut split).losing = losing;
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
