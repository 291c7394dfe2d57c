//! How lines about a configuration are written: facts behind a label, in lines that fit a terminal.

use std::fmt::Display;

/// Facts behind a label; those of a label that goes on stand below it.
pub(super) fn labelled(label: &str, facts: impl Display) -> String {
    format!("{label:<LABEL$}{facts}")
}

/// The label of a line and its facts; a line that goes on has the label of the one before, which is `previous`.
pub(super) fn split<'l>(line: &'l str, previous: &'l str) -> (&'l str, &'l str) {
    if let Some(others) = line.strip_prefix("not taken ") {
        return ("not taken", others);
    }
    let (label, facts) = line.split_at_checked(LABEL).unwrap_or(("", line));
    (if label.trim().is_empty() { previous } else { label.trim_end() }, facts)
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
