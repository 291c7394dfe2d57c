//! Time stamps for log lines: RFC 3339, UTC, milliseconds. Rendering a date costs more than the rest of a line's
//! numbers, so the part before the milliseconds is kept until the second changes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Length of a stamp: `2026-11-20T18:30:01.123Z`.
pub const STAMP: usize = 24;

/// Renders time stamps, remembering the last second.
#[derive(Clone, Debug)]
pub struct Clock {
    second: u64,
    stamp: [u8; STAMP],
}

impl Default for Clock {
    fn default() -> Self {
        Self { second: 0, stamp: *b"1970-01-01T00:00:00.000Z" }
    }
}

/// A moment as the admin API says it; what is before 1970 shows as its beginning.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    String::from_utf8_lossy(Clock::default().stamp(since)).into_owned()
}

impl Clock {
    /// The stamp of `since_epoch`, always [`STAMP`] bytes of ASCII. Years past 9999 show as 9999.
    pub fn stamp(&mut self, since_epoch: Duration) -> &[u8; STAMP] {
        let second = since_epoch.as_secs().min(MAX_SECOND);
        if second != self.second {
            self.second = second;
            self.render(second);
        }
        self.put(20, 3, since_epoch.subsec_millis());
        &self.stamp
    }

    fn render(&mut self, second: u64) {
        let (year, month, day) = civil(second / 86_400);
        let of_day = u32::try_from(second % 86_400).unwrap_or(0);
        self.put(0, 4, year);
        self.put(5, 2, month);
        self.put(8, 2, day);
        self.put(11, 2, of_day / 3600);
        self.put(14, 2, of_day / 60 % 60);
        self.put(17, 2, of_day % 60);
    }

    /// Writes `value` with exactly `digits` digits at `at`.
    fn put(&mut self, at: usize, digits: usize, value: u32) {
        let mut rest = value;
        for place in self.stamp.iter_mut().skip(at).take(digits).rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`, for days at or after it).
fn civil(day: u64) -> (u32, u32, u32) {
    let shifted = day + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    (small(year), small(month), small(of_year - (153 * from_march + 2) / 5 + 1))
}

/// The last second of the year 9999.
const MAX_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(clock: &mut Clock, secs: u64, millis: u32) -> String {
        String::from_utf8(clock.stamp(Duration::new(secs, millis * 1_000_000)).to_vec()).unwrap()
    }

    #[test]
    fn renders_dates() {
        let mut clock = Clock::default();
        for (secs, millis, expected) in [
            (0, 7, "1970-01-01T00:00:00.007Z"),
            (951_782_399, 999, "2000-02-28T23:59:59.999Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000Z"),
            (1_582_934_400, 12, "2020-02-29T00:00:00.012Z"),
            (1_582_934_400, 13, "2020-02-29T00:00:00.013Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000Z"),
            (1_795_199_401, 123, "2026-11-20T18:30:01.123Z"),
            (MAX_SECOND, 0, "9999-12-31T23:59:59.000Z"),
            (u64::MAX, 0, "9999-12-31T23:59:59.000Z"),
            (0, 0, "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(stamp(&mut clock, secs, millis), expected, "{secs}.{millis}");
        }
    }

    #[test]
    fn agrees_with_httpdate_on_every_week_of_four_centuries() {
        let mut clock = Clock::default();
        for week in 0..20_871_u64 {
            let secs = week * 604_800 + week % 86_400;
            // Sun, 06 Nov 1994 08:49:37 GMT
            let theirs = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs));
            let theirs: Vec<&str> = theirs.split(' ').collect();
            let ours = stamp(&mut clock, secs, 0);
            let ours: Vec<&str> = ours.split(['-', 'T', '.']).collect();
            assert_eq!((ours[2], ours[0], ours[3]), (theirs[1], theirs[3], theirs[4]), "{theirs:?}");
        }
    }
}
