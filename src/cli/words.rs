//! How lines about a configuration are written: sizes and times as the file has them, and lines that fit a terminal.

use std::time::Duration;

pub(super) use crate::config::{bytes, time};

/// A time, or that there is no limit.
pub(super) fn time_or_none(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "none".to_owned(), time)
}

/// A line with a label in lines that a terminal shows whole, broken between two facts and indented like their values.
pub(super) fn wrapped(line: &str) -> String {
    let mut text = String::new();
    let mut width = 0;
    let facts = line.split_inclusive([',', ';']);
    for fact in facts {
        let length = fact.chars().count();
        let separated = text.ends_with([',', ';']) && fact.starts_with(' ');
        if separated && width + length > WIDTH {
            text.push_str("\n          ");
            text.push_str(fact.trim_start());
            width = LABEL + length - 1;
        } else {
            text.push_str(fact);
            width += length;
        }
    }
    text
}

/// Width of the column before a value.
const LABEL: usize = 10;
/// Columns of a line.
const WIDTH: usize = 110;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_facts_and_nothing_is_lost() {
        let short = "path sent /a,b,c?x=1";
        assert_eq!(wrapped(short), short);
        let fact = "twenty-four letters here";
        let long = format!("retries   {}", [fact; 9].join(", "));
        let lines = wrapped(&long);
        assert_eq!(lines.lines().count(), 3, "{lines}");
        for line in lines.lines().skip(1) {
            assert!(line.starts_with("          twenty"), "{lines}");
        }
        assert!(lines.lines().all(|line| line.len() <= WIDTH), "{lines}");
        assert_eq!(lines.replace("\n         ", ""), long);
        let unbroken = format!("path sent /{}", "a,".repeat(100));
        assert_eq!(wrapped(&unbroken), unbroken, "there is no fact to end at");
    }
}
