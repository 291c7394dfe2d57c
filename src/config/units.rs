//! Sizes and times for people, as the file has them.

use std::time::Duration;

/// A number of bytes.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| count >= *size && count.is_multiple_of(*size));
    unit.map_or_else(|| format!("{count}B"), |(size, name)| format!("{}{name}", count / size))
}

/// A time.
#[must_use]
pub fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (duration.subsec_millis(), seconds) {
        (0, seconds) if seconds >= 60 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        (0, seconds) => format!("{seconds}s"),
        _ => format!("{}ms", duration.as_millis()),
    }
}

/// A time, or that there is no limit.
pub(in crate::config) fn time_or_none(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "none".to_owned(), time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_written_as_in_the_file() {
        let sizes = [(0, "0B"), (1000, "1000B"), (64 << 10, "64KiB"), (16 << 20, "16MiB"), ((1 << 20) + 1, "1048577B")];
        for (count, text) in sizes {
            assert_eq!(bytes(count), text);
        }
        for (millis, text) in [(250, "250ms"), (5_000, "5s"), (90_000, "90s"), (300_000, "5m")] {
            assert_eq!(time(Duration::from_millis(millis)), text);
        }
    }
}
