//! What handles hold for one family: a series, counters that differ in a word or in the class of a code, or what is
//! made when it is first asked for. The table in `catalogue` picks among them.

use std::array;
use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use http::StatusCode;

use super::family::Family;
use super::series::{Counter, Series, SeriesOf};

/// Names that the handles of one section share: labels and their values.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pairs: Arc<[(&'static str, Box<str>)]>,
}

impl Names {
    pub(super) fn new(pairs: &[(&'static str, &str)]) -> Self {
        Self { pairs: pairs.iter().map(|(label, value)| (*label, Box::from(*value))).collect() }
    }

    /// Values for the labels of `family`; `word` for the one that is not among the names.
    pub(super) fn values<'a>(&'a self, family: &Family, word: &'a str) -> Vec<&'a str> {
        let value = |label: &&str| self.pairs.iter().find(|(name, _)| name == label).map_or(word, |(_, value)| value);
        family.labels.iter().map(value).collect()
    }
}

/// What a section's handles hold for one of its families.
pub(super) trait Handle {
    /// What there is of it for each combination of label values.
    type Of;

    /// Made from the family and the names.
    fn take(series: &SeriesOf<Self::Of>, names: &Names) -> Self;
}

impl<T: Series> Handle for T {
    type Of = T;

    fn take(series: &SeriesOf<T>, names: &Names) -> Self {
        series.with(&names.values(series.family(), ""))
    }
}

/// Counters of one family that differ in one label, a fixed word. Each is made when it is first counted.
#[derive(Debug)]
pub struct Words {
    series: SeriesOf<Counter>,
    names: Names,
    known: RefCell<Vec<(&'static str, Counter)>>,
}

impl Words {
    /// Counts one.
    pub fn count(&self, word: &'static str) {
        let mut known = self.known.borrow_mut();
        if let Some((_, counter)) = known.iter().find(|entry| entry.0 == word) {
            counter.inc();
            return;
        }
        let counter = self.series.with(&self.names.values(self.series.family(), word));
        counter.inc();
        known.push((word, counter));
    }
}

/// What is made when it is first asked for.
#[derive(Debug)]
pub struct Late<T> {
    series: SeriesOf<T>,
    names: Names,
    known: OnceCell<T>,
}

impl<T: Series> Late<T> {
    /// The series.
    pub fn get(&self) -> &T {
        self.known.get_or_init(|| Handle::take(&self.series, &self.names))
    }
}

impl Handle for Words {
    type Of = Counter;

    fn take(series: &SeriesOf<Counter>, names: &Names) -> Self {
        Self { series: series.clone(), names: names.clone(), known: RefCell::default() }
    }
}

impl<T: Series> Handle for Late<T> {
    type Of = T;

    fn take(series: &SeriesOf<T>, names: &Names) -> Self {
        Self { series: series.clone(), names: names.clone(), known: OnceCell::new() }
    }
}

/// What a try at an endpoint came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeClass {
    /// An answer with a status of 100 to 199.
    Informational,
    /// 200 to 299.
    Success,
    /// 300 to 399.
    Redirection,
    /// 400 to 499.
    ClientError,
    /// 500 to 599.
    ServerError,
    /// No answer, or none that is HTTP.
    Failed,
    /// Given up before there was an answer: the client left, or another try's answer counted.
    Cancelled,
}

impl CodeClass {
    /// The class of an answer.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            0..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500..600 => Self::ServerError,
            600.. => Self::Failed,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Counters of one family by class. Each is made when it is first counted.
#[derive(Debug)]
pub struct Classes {
    series: SeriesOf<Counter>,
    names: Names,
    known: [OnceCell<Counter>; 7],
}

impl Classes {
    /// Counts one.
    pub fn count(&self, class: CodeClass) {
        let resolve = || self.series.with(&self.names.values(self.series.family(), class.word()));
        if let Some(known) = self.known.get(class as usize) {
            known.get_or_init(resolve).inc();
        }
    }
}

impl Handle for Classes {
    type Of = Counter;

    fn take(series: &SeriesOf<Counter>, names: &Names) -> Self {
        Self { series: series.clone(), names: names.clone(), known: array::from_fn(|_| OnceCell::new()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_the_status() {
        for (status, expected) in
            [(101, "1xx"), (200, "2xx"), (299, "2xx"), (304, "3xx"), (429, "4xx"), (503, "5xx"), (600, "failed")]
        {
            assert_eq!(CodeClass::of(StatusCode::from_u16(status).unwrap()).word(), expected, "{status}");
        }
    }
}
