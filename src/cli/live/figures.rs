//! Numbers as people read them.

use serde_json::Value;

/// Seconds as a time: `1.2 ms`, `3.4 s`, `5m 6s`, `7h 8m`.
pub(super) fn time(value: Option<&Value>) -> String {
    let Some(seconds) = value.and_then(Value::as_f64) else { return "-".to_owned() };
    if seconds < 1.0 {
        return format!("{:.1} ms", seconds * 1000.0);
    }
    if seconds < 90.0 {
        return format!("{seconds:.1} s");
    }
    let whole = std::time::Duration::from_secs_f64(seconds.min(1e9)).as_secs();
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}h {minutes}m") } else { format!("{minutes}m {rest}s") }
}

/// A share of one as percent.
pub(super) fn percent(value: Option<&Value>) -> String {
    let share = value.and_then(Value::as_f64);
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", share * 100.0))
}

/// A rate, with a digit after the point while it is small.
pub(super) fn rate(value: Option<&Value>) -> String {
    let rate = value.and_then(Value::as_f64);
    rate.map_or_else(|| "-".to_owned(), |rate| if rate < 100.0 { format!("{rate:.1}") } else { format!("{rate:.0}") })
}

/// A whole number.
pub(super) fn count(value: Option<&Value>) -> String {
    value.and_then(Value::as_i64).map_or_else(|| "-".to_owned(), |count| count.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_short() {
        for (seconds, expected) in
            [(0.0012, "1.2 ms"), (3.42, "3.4 s"), (306.0, "5m 6s"), (25_680.0, "7h 8m"), (1e300, "277777h 46m")]
        {
            assert_eq!(time(Some(&json!(seconds))), expected);
        }
        assert_eq!(
            (time(None), percent(Some(&json!(0.987))), rate(Some(&json!(1234.5)))),
            ("-".into(), "98.7%".into(), "1234".into())
        );
        assert_eq!((rate(Some(&json!(0.25))), count(Some(&json!(7)))), ("0.2".into(), "7".into()));
    }
}
