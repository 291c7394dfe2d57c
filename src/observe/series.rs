//! Live series: a counter, a gauge or a histogram for each combination of label values of one family. Counting is a
//! relaxed add on a cell that was looked up before; looking one up takes a lock and is never done for each request.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};

use super::family::{Family, Kind, Object};

/// A whole number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Adds `more`.
    pub fn inc_by(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// What it has come to.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A whole number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Adds one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// Shows `value` from now on.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Shows how many there are from now on.
    pub fn set_count(&self, count: usize) {
        self.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// What it shows.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A gauge with fractions.
#[derive(Clone, Debug, Default)]
pub struct FloatGauge(Arc<AtomicU64>);

impl FloatGauge {
    /// Shows `value` from now on.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

/// Time that adds up elsewhere, shown in seconds as a counter.
#[derive(Clone, Debug, Default)]
pub struct TimeCounter(Arc<AtomicU64>);

impl TimeCounter {
    /// Shows that it has come to this.
    pub fn set(&self, total: Duration) {
        self.0.store(u64::try_from(total.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// A distribution of times. It is two relaxed adds to note one: the count of all is the sum of the buckets.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    bounds: Arc<Bounds>,
    /// One for each bound, and one for what is longer.
    counts: Box<[AtomicU64]>,
    /// Microseconds: nanoseconds of many long streams would overflow within days.
    sum: AtomicU64,
}

impl Histogram {
    /// Notes one time.
    pub fn observe(&self, time: Duration) {
        let nanos = time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into());
        let bounds = &self.0.bounds.nanos;
        // Nearly all are short: the first bounds are the ones that count.
        let at = bounds.iter().position(|bound| nanos <= *bound).unwrap_or(bounds.len());
        if let Some(count) = self.0.counts.get(at) {
            count.fetch_add(1, Relaxed);
        }
        self.0.sum.fetch_add(nanos.saturating_add(500) / 1_000, Relaxed);
    }

    /// How many took how long: one for each bound, and one for what is longer.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.0.counts.iter().map(|count| count.load(Relaxed)).collect()
    }

    /// Upper bounds in seconds.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        &self.0.bounds.seconds
    }

    /// Times noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Relaxed)).sum()
    }
}

/// Upper bounds of the buckets of a histogram.
#[derive(Debug, Default)]
pub struct Bounds {
    seconds: Box<[f64]>,
    nanos: Box<[u64]>,
}

impl Bounds {
    /// Bounds in seconds, ascending.
    pub(super) fn new(seconds: &[f64]) -> Result<Arc<Self>, prometheus::Error> {
        let ascending = seconds.iter().zip(seconds.iter().skip(1)).all(|(one, next)| one < next);
        let nanos = seconds.iter().map(|bound| Duration::try_from_secs_f64(*bound).ok());
        let nanos = nanos.map(|bound| u64::try_from(bound?.as_nanos()).ok()).collect::<Option<_>>();
        let nanos = nanos.filter(|_| ascending);
        let nanos = nanos.ok_or_else(|| prometheus::Error::Msg(format!("not ascending bounds: {seconds:?}")))?;
        Ok(Arc::new(Self { seconds: seconds.into(), nanos }))
    }
}

/// What a family has one of for each combination of label values.
pub trait Series: Clone + Debug + Send + Sync + 'static {
    /// A new one.
    fn begin(bounds: &Arc<Bounds>) -> Self;
    /// Its value, for a scrape.
    fn show(&self, metric: &mut Metric);
}

impl Series for Counter {
    fn begin(_: &Arc<Bounds>) -> Self {
        Self::default()
    }

    #[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
    fn show(&self, metric: &mut Metric) {
        let mut shown = proto::Counter::default();
        shown.set_value(self.get() as f64);
        metric.set_counter(shown);
    }
}

impl Series for TimeCounter {
    fn begin(_: &Arc<Bounds>) -> Self {
        Self::default()
    }

    fn show(&self, metric: &mut Metric) {
        let mut shown = proto::Counter::default();
        shown.set_value(Duration::from_micros(self.0.load(Relaxed)).as_secs_f64());
        metric.set_counter(shown);
    }
}

impl Series for Gauge {
    fn begin(_: &Arc<Bounds>) -> Self {
        Self::default()
    }

    #[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
    fn show(&self, metric: &mut Metric) {
        show_gauge(self.get() as f64, metric);
    }
}

impl Series for FloatGauge {
    fn begin(_: &Arc<Bounds>) -> Self {
        Self::default()
    }

    fn show(&self, metric: &mut Metric) {
        show_gauge(f64::from_bits(self.0.load(Relaxed)), metric);
    }
}

fn show_gauge(value: f64, metric: &mut Metric) {
    let mut shown = proto::Gauge::default();
    shown.set_value(value);
    metric.set_gauge(shown);
}

impl Series for Histogram {
    fn begin(bounds: &Arc<Bounds>) -> Self {
        let counts = (0..=bounds.nanos.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Cells { bounds: Arc::clone(bounds), counts, sum: AtomicU64::new(0) }))
    }

    #[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
    fn show(&self, metric: &mut Metric) {
        let mut counts = self.0.counts.iter().map(|count| count.load(Relaxed));
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.0.bounds.seconds.len());
        for (bound, more) in self.0.bounds.seconds.iter().zip(&mut counts) {
            count += more;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(count);
            buckets.push(bucket);
        }
        let mut shown = proto::Histogram::default();
        shown.set_bucket(buckets);
        shown.set_sample_count(count + counts.sum::<u64>());
        shown.set_sample_sum(self.0.sum.load(Relaxed) as f64 / 1_000_000.0);
        metric.set_histogram(shown);
    }
}

/// The series of one family. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct SeriesOf<T> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    family: &'static Family,
    desc: Desc,
    bounds: Arc<Bounds>,
    known: RwLock<BTreeMap<Values, T>>,
}

/// Label values, in the order of the family's labels.
type Values = Box<[Box<str>]>;

impl<T: Series> SeriesOf<T> {
    pub(super) fn new(family: &'static Family, bounds: Arc<Bounds>) -> Result<Self, prometheus::Error> {
        let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(family.name.to_owned(), family.help.to_owned(), labels, HashMap::new())?;
        Ok(Self { inner: Arc::new(Inner { family, desc, bounds, known: RwLock::default() }) })
    }

    /// The family as declared.
    pub(super) fn family(&self) -> &'static Family {
        self.inner.family
    }

    /// The series with these label values, one for each label.
    pub(super) fn with(&self, values: &[&str]) -> T {
        let key = key(values);
        if let Some(known) = self.known().get(&key) {
            return known.clone();
        }
        let begin = || T::begin(&self.inner.bounds);
        self.known_mut().entry(key).or_insert_with(begin).clone()
    }

    /// Shows each series with its label values.
    pub(super) fn each(&self, mut see: impl FnMut(&[Box<str>], &T)) {
        self.known().iter().for_each(|(values, series)| see(values, series));
    }

    /// Drops every series.
    pub(super) fn clear(&self) {
        self.known_mut().clear();
    }

    /// Drops the series whose first labels have these values.
    pub(super) fn remove_beginning_with(&self, first: &[&str]) {
        let begins = |values: &Values| first.iter().zip(values).all(|(wanted, value)| **wanted == **value);
        self.known_mut().retain(|values, _| !begins(values));
    }

    /// Drops the series whose label values `keep` does not want, and gives what they showed.
    pub(super) fn keep(&self, keep: impl Fn(&[Box<str>]) -> bool) -> MetricFamily {
        let dropped: Vec<_> = self.known_mut().extract_if(.., |values, _| !keep(values)).collect();
        self.shown(dropped.iter().map(|(values, series)| (values, series)))
    }

    /// Drops the series that carry the name of something that does not live any more, and gives what they showed.
    pub(super) fn retain_living(&self, lives: &dyn Fn(Object, &str) -> bool) -> MetricFamily {
        let family = self.inner.family;
        self.keep(|values| {
            let mut labels = family.labels.iter().zip(values);
            labels.all(|(label, value)| family.object(label).is_none_or(|object| lives(object, value)))
                && family.part_of_route(values).is_none_or(|(object, name)| lives(object, &name))
        })
    }

    fn shown<'s>(&self, known: impl Iterator<Item = (&'s Values, &'s T)>) -> MetricFamily {
        let declared = self.inner.family;
        let mut family = MetricFamily::default();
        family.set_name(declared.name.to_owned());
        family.set_help(declared.help.to_owned());
        family.set_field_type(match declared.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        let series = known.map(|(values, series)| {
            let mut metric = Metric::from_label(pairs(declared, values));
            series.show(&mut metric);
            metric
        });
        family.set_metric(series.collect());
        family
    }

    fn known(&self) -> RwLockReadGuard<'_, BTreeMap<Values, T>> {
        self.inner.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<Values, T>> {
        self.inner.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SeriesOf<Gauge> {
    /// Shows how many there are of something. What never had any is not shown.
    pub(super) fn show(&self, values: &[&str], count: usize) {
        if count > 0 {
            self.with(values).set_count(count);
        } else if let Some(known) = self.known().get(&key(values)) {
            known.set_count(count);
        }
    }
}

impl<T: Series> Collector for SeriesOf<T> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.inner.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        vec![self.shown(self.known().iter())]
    }
}

fn key(values: &[&str]) -> Values {
    values.iter().map(|value| Box::from(*value)).collect()
}

/// Labels in the order a scrape shows them.
fn pairs(family: &Family, values: &[Box<str>]) -> Vec<LabelPair> {
    let pairs = family.labels.iter().zip(values).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.to_string());
        pair
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_by(|one, other| one.name().cmp(other.name()));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    static FAMILY: Family =
        Family { name: "times_seconds", kind: Kind::Histogram, labels: &["b", "a"], help: "Times.", only: None };

    fn histogram() -> SeriesOf<Histogram> {
        SeriesOf::new(&FAMILY, Bounds::new(&[0.01, 1.0]).unwrap()).unwrap()
    }

    #[test]
    fn a_time_is_in_the_first_bucket_that_holds_it() {
        for (millis, expected) in
            [(0, [1, 1, 1]), (10, [1, 1, 1]), (11, [0, 1, 1]), (1_000, [0, 1, 1]), (1_001, [0, 0, 1])]
        {
            let times = histogram();
            times.with(&["1", "2"]).observe(Duration::from_millis(millis));
            let families = times.collect();
            let shown = families[0].get_metric()[0].get_histogram();
            let mut counts: Vec<_> = shown.get_bucket().iter().map(proto::Bucket::cumulative_count).collect();
            counts.push(shown.get_sample_count());
            assert_eq!(counts, expected, "{millis} ms");
            assert!((shown.get_sample_sum() - Duration::from_millis(millis).as_secs_f64()).abs() < 1e-9, "{millis} ms");
        }
    }

    #[test]
    fn the_longest_time_there_is_does_not_overflow() {
        let times = histogram().with(&["1", "2"]);
        times.observe(Duration::MAX);
        assert_eq!(times.count(), 1);
    }

    #[test]
    fn bounds_that_mean_nothing_are_refused() {
        for bounds in [&[1.0, 0.5][..], &[1.0, 1.0], &[-1.0], &[f64::NAN], &[f64::INFINITY]] {
            assert!(Bounds::new(bounds).is_err(), "{bounds:?}");
        }
        assert!(Bounds::new(&[]).is_ok());
    }

    #[test]
    fn values_that_read_alike_when_joined_stay_apart() {
        let times = histogram();
        times.with(&["ab", "c"]).observe(Duration::ZERO);
        times.with(&["a", "bc"]).observe(Duration::ZERO);
        times.with(&["a", "bc"]).observe(Duration::ZERO);
        assert_eq!((times.with(&["ab", "c"]).count(), times.with(&["a", "bc"]).count()), (1, 2));
        let families = times.collect();
        let labels = families[0].get_metric()[0].get_label();
        let labels: Vec<_> = labels.iter().map(|pair| (pair.name(), pair.value())).collect();
        assert_eq!(labels, [("a", "bc"), ("b", "a")], "by name");
    }
}
