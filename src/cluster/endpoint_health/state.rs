//! The health of an endpoint. Pure: a state and the outcome of one check give the next state.

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::model::HealthCheck;

/// What is known about an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Not checked yet. It gets requests: a DNS answer that holds only new addresses must not leave the cluster without
    /// an endpoint.
    #[default]
    Unchecked,
    /// No check has ever passed; the first that does admits it.
    NeverWell,
    /// Healthy, with this many failures in a row.
    Healthy {
        /// Failures since the last success.
        failures: u32,
    },
    /// It was well once and has failed since.
    Unhealthy {
        /// Successes since the last failure.
        successes: u32,
    },
}

/// A change that matters to traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// No more requests for it.
    Left,
    /// Requests for it again.
    Returned,
}

impl HealthState {
    /// What is known after one more check.
    #[must_use]
    pub fn next(self, passed: bool, check: &HealthCheck) -> (Self, Option<Transition>) {
        let next = match (self, passed) {
            (Self::Healthy { failures }, false) if failures + 1 < check.unhealthy_threshold => {
                Self::Healthy { failures: failures + 1 }
            }
            (Self::Unhealthy { successes }, true) if successes + 1 < check.healthy_threshold => {
                Self::Unhealthy { successes: successes + 1 }
            }
            (Self::Unchecked | Self::NeverWell | Self::Healthy { .. } | Self::Unhealthy { .. }, true) => {
                Self::Healthy { failures: 0 }
            }
            (Self::Unchecked | Self::NeverWell, false) => Self::NeverWell,
            (Self::Healthy { .. } | Self::Unhealthy { .. }, false) => Self::Unhealthy { successes: 0 },
        };
        let transition = match (self.is_usable(), next.is_usable()) {
            (true, false) => Some(Transition::Left),
            (false, true) => Some(Transition::Returned),
            (true, true) | (false, false) => None,
        };
        (next, transition)
    }

    /// Whether the endpoint may get requests.
    #[must_use]
    pub fn is_usable(self) -> bool {
        match self {
            Self::Unchecked | Self::Healthy { .. } => true,
            Self::NeverWell | Self::Unhealthy { .. } => false,
        }
    }

    /// Whether it is on its way back: the checks that confirm it need not wait for the whole interval.
    #[must_use]
    pub fn is_returning(self) -> bool {
        matches!(self, Self::Unhealthy { successes } if successes > 0)
    }

    /// In one word, for people and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Healthy { .. } => "healthy",
            Self::NeverWell | Self::Unhealthy { .. } => "unhealthy",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::model::ProbeKind;

    fn check(healthy_threshold: u32, unhealthy_threshold: u32) -> HealthCheck {
        HealthCheck { kind: ProbeKind::Tcp, healthy_threshold, unhealthy_threshold, ..HealthCheck::default() }
    }

    /// What becomes of an endpoint: `+` a success, `-` a failure; `L` and `R` where it leaves and returns.
    fn story(outcomes: &str, check: &HealthCheck) -> String {
        let mut verdict = HealthState::default();
        let mut told = String::new();
        for outcome in outcomes.chars() {
            let (next, transition) = verdict.next(outcome == '+', check);
            verdict = next;
            told.push(match transition {
                None => '.',
                Some(Transition::Left) => 'L',
                Some(Transition::Returned) => 'R',
            });
        }
        told
    }

    #[test]
    fn stories() {
        for (healthy, unhealthy, outcomes, expected, why) in [
            (2, 3, "+", ".", "the first success admits at once"),
            (2, 3, "---++", "L..R.", "the first check decides alone, both ways"),
            (2, 3, "+---", "...L", "three failures"),
            (2, 3, "+--+--+---", ".........L", "three in a row"),
            (2, 3, "+---++", "...L.R", "two successes"),
            (2, 3, "+---+-++", "...L...R", "two in a row"),
            (1, 1, "+-+-", ".LRL", "every check counts"),
            (5, 1, "+-+++++", ".L....R", "slow to trust"),
            (2, 3, "-+--", "LR..", "admitted, it has the patience of the others"),
        ] {
            assert_eq!(story(outcomes, &check(healthy, unhealthy)), expected, "{outcomes}: {why}");
        }
    }

    #[test]
    fn only_an_endpoint_that_was_well_once_is_returning() {
        let check = check(3, 1);
        let after = |outcomes: &str| {
            outcomes.chars().fold(HealthState::default(), |verdict, c| verdict.next(c == '+', &check).0)
        };
        for (outcomes, returning, word) in [
            ("", false, "unchecked"),
            ("-", false, "unhealthy"),
            ("+", false, "healthy"),
            ("+-", false, "unhealthy"),
            ("+-+", true, "unhealthy"),
            ("+-++", true, "unhealthy"),
            ("+-+++", false, "healthy"),
        ] {
            let verdict = after(outcomes);
            assert_eq!((verdict.is_returning(), verdict.word()), (returning, word), "{outcomes}");
        }
    }

    proptest! {
        #[test]
        fn transitions_alternate_and_thresholds_hold(
            outcomes in prop::collection::vec(any::<bool>(), 0..200),
            healthy in 1..5_u32,
            unhealthy in 1..5_u32,
        ) {
            let check = check(healthy, unhealthy);
            let mut verdict = HealthState::default();
            let (mut run, mut last) = (0, None);
            for (at, passed) in outcomes.iter().copied().enumerate() {
                run = if last == Some(passed) { run + 1 } else { 1 };
                last = Some(passed);
                let was_usable = verdict.is_usable();
                let was_known = matches!(verdict, HealthState::Healthy { .. } | HealthState::Unhealthy { .. });
                let (next, transition) = verdict.next(passed, &check);
                match transition {
                    Some(Transition::Left) => {
                        prop_assert!(was_usable && !passed && (at == 0 || run >= unhealthy));
                    }
                    Some(Transition::Returned) => {
                        prop_assert!(!was_usable && passed && (!was_known || run >= healthy));
                    }
                    None => prop_assert_eq!(was_usable, next.is_usable()),
                }
                prop_assert!(run < unhealthy || passed || !next.is_usable());
                prop_assert!(run < healthy || !passed || next.is_usable());
                verdict = next;
            }
        }
    }
}
