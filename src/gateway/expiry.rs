//! Warns before certificates expire: 30 days, 7 days and 1 day before, once each. A threshold counts only for a
//! certificate whose life is at least three times as long, because one that lives for a day is always about to expire.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::listener::certificates::Validity;

/// What was said about which certificate.
#[derive(Debug, Default)]
pub(super) struct ExpiryWarnings(HashMap<(String, PathBuf), Said>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    about: Validity,
    /// The threshold that was passed last, in seconds; without one, only that it is there.
    threshold: Option<i64>,
}

/// What there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// A certificate is there that was not before.
    Served,
    /// It has less than this many days.
    Soon(i64),
    /// It is over.
    Expired,
}

impl ExpiryWarnings {
    /// What is to be said now, if anything, of the certificate that `listener` serves from `file`. `now` is in seconds
    /// since 1970.
    pub(super) fn look(&mut self, listener: &str, file: &Path, about: Validity, now: i64) -> Option<Notice> {
        let threshold = passed(about, now);
        let known = self.0.insert((listener.to_owned(), file.to_owned()), Said { about, threshold });
        let is_new = known.is_none_or(|known| known.about != about);
        if !is_new && known.is_some_and(|known| known.threshold == threshold) {
            return None;
        }
        match threshold {
            None => is_new.then_some(Notice::Served),
            Some(0) => Some(Notice::Expired),
            Some(seconds) => Some(Notice::Soon(seconds / DAY)),
        }
    }

    /// Forgets the certificates that are not among these.
    pub(super) fn retain(&mut self, mut is_there: impl FnMut(&str, &Path) -> bool) {
        self.0.retain(|(listener, file), _| is_there(listener, file));
    }
}

/// The nearest threshold that is passed, in seconds before the end.
fn passed(validity: Validity, now: i64) -> Option<i64> {
    let life = validity.not_after.saturating_sub(validity.not_before);
    let left = validity.not_after.saturating_sub(now);
    THRESHOLDS.into_iter().find(|threshold| left <= *threshold && threshold.saturating_mul(3) <= life)
}

/// Whole days that are left.
pub(super) fn days_left(validity: Validity, now: i64) -> i64 {
    validity.not_after.saturating_sub(now) / DAY
}

const DAY: i64 = 86_400;
/// The end itself, then what comes before it.
const THRESHOLDS: [i64; 4] = [0, DAY, 7 * DAY, 30 * DAY];

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said when a certificate with a life of so many days is looked at with so many days left.
    fn said(life: i64, left: &[i64]) -> Vec<Option<Notice>> {
        let about = Validity { not_before: 0, not_after: life * DAY };
        let mut warnings = ExpiryWarnings::default();
        let look = |left: &i64| warnings.look("web", Path::new("a.pem"), about, about.not_after - left * DAY);
        left.iter().map(look).collect()
    }

    #[test]
    fn each_threshold_is_said_once() {
        let said = said(90, &[90, 60, 31, 30, 29, 8, 7, 7, 2, 1, 1, 0, -1, -5]);
        let expected = [
            Some(Notice::Served),
            None,
            None,
            Some(Notice::Soon(30)),
            None,
            None,
            Some(Notice::Soon(7)),
            None,
            None,
            Some(Notice::Soon(1)),
            None,
            Some(Notice::Expired),
            None,
            None,
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn at_a_start_the_nearest_threshold_is_said() {
        for (left, expected) in
            [(40, Notice::Served), (20, Notice::Soon(30)), (3, Notice::Soon(7)), (-3, Notice::Expired)]
        {
            assert_eq!(said(90, &[left]), [Some(expected)], "{left}");
        }
    }

    #[test]
    fn short_lives_have_fewer_thresholds() {
        assert_eq!(said(7, &[6, 2, 1, 0]), [Some(Notice::Served), None, Some(Notice::Soon(1)), Some(Notice::Expired)]);
        assert_eq!(said(1, &[1, 0]), [Some(Notice::Served), Some(Notice::Expired)]);
        assert_eq!(said(60, &[20, 7])[1], Some(Notice::Soon(7)), "30 days are half of its life");
    }

    #[test]
    fn a_renewed_certificate_begins_anew_and_a_removed_one_is_forgotten() {
        let mut warnings = ExpiryWarnings::default();
        let file = Path::new("a.pem");
        let of = |end: i64| Validity { not_before: (end - 90) * DAY, not_after: end * DAY };
        assert_eq!(warnings.look("web", file, of(90), 85 * DAY), Some(Notice::Soon(7)));
        assert_eq!(warnings.look("web", file, of(180), 95 * DAY), Some(Notice::Served));
        assert_eq!(warnings.look("web", file, of(180), 175 * DAY), Some(Notice::Soon(7)));
        warnings.retain(|_, _| false);
        assert_eq!(warnings.look("web", file, of(180), 175 * DAY), Some(Notice::Soon(7)), "it came back");
    }
}
