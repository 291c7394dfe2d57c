//! How a limit on requests follows from how long their answers take: a pure function from window to window.
//!
//! Answers are compared with those of their own kind: an agent that works takes longer than one that only looks
//! something up, and more of one kind than before is no overload. The usual time of a kind follows its answers when
//! they get faster. When they get slower it does so as well while that cannot be due to load: while there is little of
//! it, or while the limit is as low as it gets; else it hardly does. When answers take longer than usual by more than
//! is tolerated, the limit shrinks in proportion. Some room, the square root of the limit, is always added: it lets the
//! limit grow again, and keeps a few requests waiting at a busy agent.

/// How many kinds of answers are told apart.
pub(super) const KINDS: usize = 2;

/// What is known from window to window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gradient {
    /// How many requests may be under way.
    pub(super) limit: f64,
    /// How long answers of each kind usually take, in seconds; zero is not known yet.
    pub(super) usual: [f64; KINDS],
}

/// What was seen in one window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// Answers of each kind: how many, and how long they took together, in seconds.
    pub(super) answers: [(u32, f64); KINDS],
    /// The most requests that were under way at a time.
    pub(super) most: usize,
}

/// What the limit may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) tolerance: f64,
}

impl Gradient {
    /// What follows from a window.
    pub(super) fn after(self, window: &Window, rules: Rules) -> Self {
        let mut next = self;
        #[allow(clippy::cast_precision_loss, reason = "a count of requests")]
        let is_busy = window.most as f64 * 2.0 >= self.limit;
        let is_lowest = self.limit < rules.min.max(LOWEST) + 1.0;
        let slower = if is_busy && !is_lowest { UNDER_LOAD } else { SLOWER };
        let (mut count, mut times_usual) = (0.0, 0.0);
        for ((answers, together), usual) in window.answers.into_iter().zip(&mut next.usual) {
            if answers == 0 {
                continue;
            }
            let mean = (together / f64::from(answers)).max(SHORTEST);
            if *usual == 0.0 {
                *usual = mean;
            }
            count += f64::from(answers);
            times_usual += f64::from(answers) * mean / *usual;
            let follows = if mean < *usual { FASTER } else { slower };
            *usual += (mean - *usual) * follows;
        }
        if count == 0.0 {
            return self;
        }
        let shrinks = (rules.tolerance / (times_usual / count)).clamp(STEEPEST, 1.0);
        // With few under way, neither slow answers nor fast ones are due to how many there are.
        if is_busy {
            let wanted = self.limit * shrinks + self.limit.sqrt();
            next.limit = (self.limit + (wanted - self.limit) * SMOOTHING).clamp(rules.min, rules.max);
        }
        next
    }
}

/// How much of a difference the usual time takes over from a window of faster answers.
const FASTER: f64 = 0.2;
/// The same from slower answers that are not due to load.
const SLOWER: f64 = 0.05;
/// The same from slower answers that may be: an overload of minutes does not become usual.
const UNDER_LOAD: f64 = 0.0005;
/// The most a window can make of slow answers.
const STEEPEST: f64 = 0.5;
/// Where that and the room which is added are the same: the limit does not get below it by itself.
const LOWEST: f64 = 4.0;
/// How much of what a window asks for is done.
const SMOOTHING: f64 = 0.5;
/// What answers take at least, in seconds: below that, times say nothing.
const SHORTEST: f64 = 0.001;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules { min: 4.0, max: 1000.0, tolerance: 2.0 };

    fn start() -> Gradient {
        Gradient { limit: 20.0, usual: [0.0; KINDS] }
    }

    /// An agent that works at so many requests at a time, each for 100 ms, while the others wait.
    fn agent(capacity: f64, demand: f64, windows: usize) -> Vec<Gradient> {
        let mut gradient = start();
        let step = |_| {
            let under_way = demand.min(gradient.limit);
            let took = 0.1 * (under_way / capacity).max(1.0);
            let answers = [(100, 100.0 * took), (0, 0.0)];
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
            let window = Window { answers, most: under_way as usize };
            gradient = gradient.after(&window, RULES);
            gradient
        };
        (0..windows).map(step).collect()
    }

    #[test]
    fn the_limit_settles_where_answers_take_as_long_as_is_tolerated() {
        for capacity in [10.0, 50.0, 200.0] {
            let story = agent(capacity, 10_000.0, 240);
            let late = &story[120..];
            let within = |gradient: &Gradient| (capacity..capacity * 6.0).contains(&gradient.limit);
            assert!(late.iter().all(within), "{capacity}: {:?}", late.last());
            let (first, last) = (late[0].limit, late[late.len() - 1].limit);
            assert!((first - last).abs() < last * 0.15, "it stays there: {first} {last}");
        }
    }

    #[test]
    fn it_grows_while_answers_are_fast_and_never_past_its_end() {
        let story = agent(1e9, 1e9, 200);
        assert!(story.windows(2).all(|pair| pair[1].limit >= pair[0].limit));
        assert_eq!(story.last().unwrap().limit, RULES.max);
    }

    #[test]
    fn without_load_it_stays_however_long_answers_take() {
        let mut gradient = start();
        for took in [0.1, 5.0, 0.1, 60.0] {
            gradient = gradient.after(&Window { answers: [(10, 10.0 * took), (0, 0.0)], most: 3 }, RULES);
            assert_eq!(gradient.limit, 20.0);
        }
        assert_eq!(gradient.after(&Window::default(), RULES), gradient, "and when nothing was answered");
    }

    #[test]
    fn overload_halves_it_within_a_few_windows_and_it_comes_back() {
        let calm = Window { answers: [(50, 5.0), (0, 0.0)], most: 100 };
        let slow = Window { answers: [(50, 50.0), (0, 0.0)], most: 100 };
        let mut gradient = Gradient { limit: 100.0, usual: [0.1, 0.0] };
        for _ in 0..4 {
            gradient = gradient.after(&slow, RULES);
        }
        assert!(gradient.limit < 50.0, "{gradient:?}");
        assert!(gradient.usual[0] < 0.11, "overload is not usual: {gradient:?}");
        let low = gradient.limit;
        for _ in 0..10 {
            gradient = gradient.after(&calm, RULES);
        }
        assert!(gradient.limit > low * 1.5, "{gradient:?}");
    }

    #[test]
    fn more_of_what_takes_longer_is_no_overload() {
        let mut gradient = start();
        for slow in [0, 5, 50, 95, 100] {
            let answers = [(100 - slow, f64::from(100 - slow) * 0.01), (slow, f64::from(slow) * 20.0)];
            let before = gradient.limit;
            gradient = gradient.after(&Window { answers, most: 1000 }, RULES);
            assert!(gradient.limit > before, "{slow}: {gradient:?}");
        }
    }

    #[test]
    fn an_agent_that_is_slower_for_good_becomes_usual_in_the_end() {
        let mut gradient = Gradient { limit: 100.0, usual: [0.1, 0.0] };
        let mut lowest = gradient.limit;
        for _ in 0..3000 {
            gradient = gradient.after(&Window { answers: [(50, 25.0), (0, 0.0)], most: 1000 }, RULES);
            lowest = lowest.min(gradient.limit);
        }
        assert!(lowest < RULES.min + 1.0, "first it could be overload: {lowest}");
        assert!(gradient.usual[0] > 0.24 && gradient.limit > 100.0, "{gradient:?}");
    }

    proptest! {
        #[test]
        fn whatever_is_seen_it_stays_within_its_bounds(
            windows in prop::collection::vec(
                (0_u32..1000, 0.0..1e6_f64, 0_u32..1000, 0.0..1e6_f64, 0_usize..10_000),
                1..60,
            ),
        ) {
            let mut gradient = start();
            for (one, took, two, longer, most) in windows {
                gradient = gradient.after(&Window { answers: [(one, took), (two, longer)], most }, RULES);
                prop_assert!((RULES.min..=RULES.max).contains(&gradient.limit), "{gradient:?}");
                prop_assert!(gradient.usual.iter().all(|usual| usual.is_finite()), "{gradient:?}");
            }
        }
    }
}
