//! When a certificate is ordered: pure functions. Times are seconds since 1970, `luck` is at least 0 and below 1.

use crate::listener::certificates::Validity;

/// What is known of one certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Known {
    /// Of the certificate that is there.
    pub(super) validity: Option<Validity>,
    /// When the authority suggests to renew it (RFC 9773): from, to.
    pub(super) suggested: Option<(i64, i64)>,
    /// Not before this time, because the last attempt failed.
    pub(super) not_before: Option<i64>,
}

/// When to order. The moment within a window is the same each time it is asked for with the same luck.
pub(super) fn due(known: &Known, luck: f64) -> i64 {
    let wanted = match (known.validity, known.suggested) {
        (None, _) => i64::MIN,
        // An authority that suggests nonsense must not have the certificate expire.
        (Some(validity), Some((from, to))) => {
            let chosen = from.saturating_add(part(to.saturating_sub(from).max(0), luck));
            chosen.min(validity.not_before.saturating_add(part(life(validity), LAST_PART)))
        }
        (Some(validity), None) => {
            let life = life(validity);
            // From two thirds of its life on, within a thirtieth, so that those of many gateways do not come at once.
            validity.not_before.saturating_add(part(life, 2.0 / 3.0)).saturating_add(part(life, luck / 30.0))
        }
    };
    known.not_before.map_or(wanted, |not_before| wanted.max(not_before))
}

/// How long to wait after so many failures in a row, in seconds: 1 min, 4 min, 16 min and so on to 12 h, up to a
/// quarter more by luck, and never less than the authority asked for, up to a week.
pub(super) fn pause(failures: u32, asked: Option<i64>, luck: f64) -> i64 {
    let grown = FIRST.saturating_mul(4_i64.saturating_pow(failures.saturating_sub(1)));
    let pause = grown.min(LONGEST);
    pause.saturating_add(part(pause, luck / 4.0)).max(asked.unwrap_or(0).min(WEEK))
}

fn life(validity: Validity) -> i64 {
    validity.not_after.saturating_sub(validity.not_before)
}

#[allow(clippy::cast_possible_truncation, reason = "a part of a time is no more than the time")]
#[allow(clippy::cast_precision_loss, reason = "seconds of a human time fit")]
fn part(whole: i64, share: f64) -> i64 {
    (whole as f64 * share) as i64
}

/// The longest that an authority is left alone: the longest window of the limits that are known, in seconds.
pub(super) const WEEK: i64 = 7 * 86_400;
/// The part of its life after which a certificate is renewed whatever the authority suggests.
const LAST_PART: f64 = 0.9;
/// The pause after one failure and after many, in seconds.
const FIRST: i64 = 60;
const LONGEST: i64 = 12 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const LIFE: Validity = Validity { not_before: 1000 * DAY, not_after: 1090 * DAY };

    #[test]
    fn a_certificate_that_is_not_there_is_ordered_at_once() {
        assert_eq!(due(&Known::default(), 0.5), i64::MIN);
        assert_eq!(due(&Known { not_before: Some(7), ..Known::default() }, 0.5), 7, "but not after a failure");
    }

    #[test]
    fn one_that_is_there_is_renewed_from_two_thirds_of_its_life_on() {
        let known = Known { validity: Some(LIFE), ..Known::default() };
        assert_eq!(due(&known, 0.0), 1060 * DAY);
        assert_eq!(due(&known, 0.999_999).div_euclid(DAY), 1062);
        let failed = Known { not_before: Some(1065 * DAY), ..known };
        assert_eq!(due(&failed, 0.0), 1065 * DAY);
    }

    #[test]
    fn the_authority_may_suggest_when() {
        let known = Known { validity: Some(LIFE), suggested: Some((1010 * DAY, 1012 * DAY)), not_before: None };
        assert_eq!(due(&known, 0.0), 1010 * DAY);
        assert_eq!(due(&known, 0.5), 1011 * DAY);
        let past = Known { suggested: Some((0, 0)), ..known };
        assert_eq!(due(&past, 0.5), 0, "it was revoked: at once");
        for never in [(i64::MAX, i64::MAX), (1089 * DAY, 1200 * DAY), (i64::MAX, i64::MIN)] {
            let known = Known { suggested: Some(never), ..known };
            assert_eq!(due(&known, 0.5), 1081 * DAY, "while it still counts");
        }
        let backwards = Known { suggested: Some((1012 * DAY, i64::MIN)), ..known };
        assert_eq!(due(&backwards, 0.999), 1012 * DAY);
    }

    #[test]
    fn failures_make_the_pauses_longer() {
        let pauses: Vec<i64> = (1..8).map(|failures| pause(failures, None, 0.0)).collect();
        assert_eq!(pauses, [60, 240, 960, 3840, 15_360, 43_200, 43_200]);
        assert_eq!(pause(1, None, 0.999_999), 74);
        assert_eq!(pause(u32::MAX, None, 0.0), 43_200);
        assert_eq!(pause(1, Some(7200), 0.0), 7200, "the authority asked for it");
        assert_eq!(pause(6, Some(60), 0.0), 43_200);
        assert_eq!(pause(1, Some(i64::MAX), 0.0), WEEK, "nobody is left alone for ever");
    }

    #[test]
    fn within_an_hour_there_are_at_most_four_attempts() {
        let mut at = 0;
        let mut attempts = 0;
        for failures in 1..20 {
            attempts += u32::from(at < 3600);
            at += pause(failures, None, 0.0);
        }
        assert_eq!(attempts, 4);
    }
}
