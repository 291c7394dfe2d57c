//! A minimal, strict reader of the Prometheus text format for tests: a scraper accepts whatever it accepts.

use std::collections::{BTreeMap, BTreeSet};

/// A parsed scrape.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    types: BTreeMap<String, String>,
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

impl Exposition {
    /// Reads `text`, failing on anything a scraper would refuse.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line is ended");
        let mut scrape = Self::default();
        let mut helped = BTreeSet::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("a help text");
                assert!(!words.is_empty() && helped.insert(name.to_owned()), "help of {name} once");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                assert!(helped.contains(name), "help comes before type: {name}");
                assert!(scrape.types.insert(name.to_owned(), kind.to_owned()).is_none(), "type of {name} once");
            } else {
                scrape.sample(line);
            }
        }
        scrape.check_histograms();
        scrape
    }

    /// Value of the series with exactly these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// Prometheus type of a family that has series.
    pub(crate) fn kind(&self, name: &str) -> Option<&str> {
        self.types.get(name).map(String::as_str)
    }

    fn sample(&mut self, line: &str) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a value"));
        assert!(
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':'),
            "{line}"
        );
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest),
            None => (BTreeMap::new(), rest),
        };
        let value = value.strip_prefix(' ').expect("a space before the value");
        let value: f64 = value.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let histogram = family.is_some_and(|family| self.kind(family) == Some("histogram"));
        assert!(histogram || self.types.contains_key(name), "type comes before samples: {line}");
        assert!(self.samples.insert((name.to_owned(), labels), value).is_none(), "twice: {line}");
    }

    fn check_histograms(&self) {
        for (family, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            for ((name, labels), count) in &self.samples {
                if name.strip_suffix("_count") == Some(family) {
                    self.check_buckets(family, labels, *count);
                }
            }
        }
    }

    fn check_buckets(&self, family: &str, labels: &BTreeMap<String, String>, count: f64) {
        let mut buckets = Vec::new();
        for ((name, of_bucket), value) in &self.samples {
            let mut rest = of_bucket.clone();
            if let Some(bound) = rest.remove("le")
                && name.strip_suffix("_bucket") == Some(family)
                && rest == *labels
            {
                buckets.push((bound.parse::<f64>().expect("a bound"), *value));
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "cumulative: {buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{family} {labels:?}");
    }
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect("a label");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next().expect("an escaped character").1 {
                    'n' => '\n',
                    plain @ ('"' | '\\') => plain,
                    other => panic!("unknown escape {other:?}"),
                }),
                (_, plain) => value.push(plain),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "label {name} once");
        rest = after.split_at(end + 1).1;
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        rest = rest.strip_prefix(',').expect("a comma between labels");
    }
}
