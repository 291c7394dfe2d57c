//! Where a cluster stands: which groups and zones are in use, whether so few endpoints are usable that all are used,
//! and whether any warms up. Worked out now and then, not for each request: that a single endpoint is out shows at once
//! without it.

use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::{Endpoint, is_usable};
use super::members::Members;
use crate::config::model::{self, Panic, PanicAction};

/// The settings a stance depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvailabilitySettings {
    /// When too few endpoints are usable, and what happens then.
    pub panic: Panic,
    /// How long an endpoint warms up.
    pub slow_start: Option<Duration>,
}

impl From<&model::Cluster> for AvailabilitySettings {
    fn from(settings: &model::Cluster) -> Self {
        Self { panic: settings.panic, slow_start: settings.slow_start }
    }
}

/// Which endpoints are candidates at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    pub(super) eligible: Eligible,
    /// Set while any endpoint warms up: the window.
    pub(super) warming: Option<Duration>,
}

/// Which endpoints get requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Eligible {
    /// Every usable one.
    #[default]
    Usable,
    /// Usable endpoints of the groups up to this one, optionally only those of the gateway's zone.
    Some { priority: u32, local: bool },
    /// All of them: panic.
    All,
    /// No endpoint: panic with `action: fail`, so requests are refused.
    Nobody,
}

impl Availability {
    /// Whether too few endpoints are usable.
    #[must_use]
    pub fn is_panic(self) -> bool {
        matches!(self.eligible, Eligible::All | Eligible::Nobody)
    }

    /// The same without preferences.
    pub(super) fn widened(self) -> Option<Self> {
        matches!(self.eligible, Eligible::Some { .. }).then_some(Self { eligible: Eligible::Usable, ..self })
    }
}

impl Members {
    /// Where the cluster stands.
    #[must_use]
    pub fn availability(&self, terms: &AvailabilitySettings, now: Instant) -> Availability {
        let warms = |window: &Duration| {
            let mut endpoints = self.endpoints.iter();
            endpoints.any(|endpoint| endpoint.is_warming(*window, now))
        };
        Availability { eligible: self.eligible(terms.panic, now), warming: terms.slow_start.filter(warms) }
    }

    fn eligible(&self, panic: Panic, now: Instant) -> Eligible {
        let working = || self.endpoints.iter().filter(|endpoint| endpoint.weight > 0);
        let suffices = |of: &dyn Fn(&Endpoint) -> bool| {
            let (mut all, mut usable) = (0, 0);
            for endpoint in working().filter(|endpoint| of(endpoint)) {
                all += 1;
                usable += usize::from(is_usable(endpoint, now));
            }
            usable > 0 && usable * 100 >= all * panic.threshold as usize
        };
        let group = |priority: &&u32| suffices(&|endpoint| endpoint.priority == **priority);
        let Some(&priority) = self.priorities.iter().find(group) else {
            return match panic {
                _ if self.priorities.is_empty() => Eligible::Usable,
                Panic { threshold: 0, .. } => Eligible::Usable,
                Panic { action: PanicAction::Balance, .. } => Eligible::All,
                Panic { action: PanicAction::Fail, .. } => Eligible::Nobody,
            };
        };
        // The endpoints of the groups before it are too few, but they are still used.
        let reached = |endpoint: &Endpoint| endpoint.priority <= priority;
        let local = suffices(&|endpoint| reached(endpoint) && endpoint.local);
        let excluded = |endpoint: &Endpoint| !reached(endpoint) || (local && !endpoint.local);
        if working().any(|endpoint| excluded(endpoint)) { Eligible::Some { priority, local } } else { Eligible::Usable }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Endpoints as words: priority, zone (`l` local, `r` remote), and `!` for ejected, `0` for draining.
    fn members(words: &str, now: Instant) -> Members {
        let endpoint = |(index, word): (usize, &str)| {
            let address = SocketAddr::from(([10, 0, 0, u8::try_from(index).unwrap()], 80));
            let weight = u32::from(!word.ends_with('0'));
            let mut endpoint = Endpoint::new(address, address.to_string(), weight, BTreeMap::new());
            endpoint.priority = u32::from(word.as_bytes()[0] - b'0');
            endpoint.local = word.contains('l');
            if word.ends_with('!') {
                let record = &endpoint.live.record;
                record.eject(endpoint.live.born, now + 30 * SECOND, true);
            }
            Arc::new(endpoint)
        };
        Members::new(words.split(' ').enumerate().map(endpoint).collect())
    }

    fn eligible(words: &str, threshold: u32, action: PanicAction) -> Eligible {
        let now = Instant::now();
        let terms = AvailabilitySettings { panic: Panic { threshold, action }, slow_start: None };
        members(words, now).availability(&terms, now).eligible
    }

    #[test]
    fn groups_and_zones_are_used_while_enough_of_them_is_usable() {
        let up_to = |priority, local| Eligible::Some { priority, local };
        for (words, expected) in [
            ("0l 0l 0l", Eligible::Usable),
            ("0l 0l 0l!", Eligible::Usable),
            ("0l 0l!", Eligible::Usable),
            ("0l 0l! 0l!", Eligible::All),
            ("0l!", Eligible::All),
            ("0l0", Eligible::Usable),
            ("0l0 0l! 0l", Eligible::Usable),
            // Backups: unused, still unused, used beside the ones left, alone.
            ("0l 0l 1l", up_to(0, true)),
            ("0l 0l! 1l", up_to(0, true)),
            ("0l 0l! 0l! 1l", Eligible::Usable),
            ("0l! 1l 2l", up_to(1, true)),
            ("0l! 1l! 2l", Eligible::Usable),
            ("0l! 0l! 0l! 1l", Eligible::Usable),
            ("0l! 1l!", Eligible::All),
            // Zones.
            ("0l 0r", up_to(0, true)),
            ("0l! 0r", Eligible::Usable),
            ("0l! 0l 0r 0r", up_to(0, true)),
            ("0l! 0l! 0l 0r 0r 0r 0r", Eligible::Usable),
            ("0r 0r", Eligible::Usable),
            ("0r 1l", up_to(0, false)),
            ("0r! 1l 1r", up_to(1, true)),
        ] {
            assert_eq!(eligible(words, 50, PanicAction::Balance), expected, "{words}");
        }
    }

    #[test]
    fn panic_has_a_threshold_and_an_alternative() {
        let (balance, fail) = (PanicAction::Balance, PanicAction::Fail);
        for (words, threshold, action, expected) in [
            ("0l 0l! 0l!", 50, fail, Eligible::Nobody),
            ("0l 0l! 0l!", 33, fail, Eligible::Usable),
            ("0l 0l! 0l!", 34, balance, Eligible::All),
            ("0l 0l!", 100, balance, Eligible::All),
            ("0l! 0l!", 0, balance, Eligible::Usable),
            ("0l0 0l0", 50, fail, Eligible::Usable),
        ] {
            assert_eq!(eligible(words, threshold, action), expected, "{words} {threshold}");
        }
    }

    #[test]
    fn warms_while_any_endpoint_does() {
        let now = Instant::now();
        let members = members("0l 0l", now);
        let terms = |slow_start| AvailabilitySettings { panic: Panic::default(), slow_start };
        let some = terms(Some(30 * SECOND));
        assert_eq!(members.availability(&some, now).warming, None);
        members.endpoints[1].warm_up(now + 10 * SECOND);
        let warming = |seconds| members.availability(&some, now + seconds * SECOND).warming;
        assert_eq!(warming(0), Some(30 * SECOND), "it will return");
        assert_eq!(warming(39), Some(30 * SECOND));
        assert_eq!(warming(40), None);
        assert_eq!(members.availability(&terms(None), now).warming, None);
    }
}
