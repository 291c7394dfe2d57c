//! The comparison of endpoints by how often they succeed in an interval. Pure.

use super::outlier::{Cause, Sample};
use crate::config::model::OutlierDetection;

/// Which endpoints stand out in an interval, and why.
pub(super) fn outliers(samples: &[Sample], policy: &OutlierDetection) -> Vec<(usize, Cause)> {
    let mut found = Vec::new();
    if let Some(settings) = policy.success_rate {
        let comparable = with_requests(samples, settings.min_requests, settings.min_hosts);
        let rate = |sample: &Sample| 1.0 - f64::from(sample.failures) / f64::from(sample.requests);
        let count = comparable.len() as f64;
        let mean = comparable.iter().map(|(_, one)| rate(one)).sum::<f64>() / count;
        let squares = comparable.iter().map(|(_, one)| (rate(one) - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        let least = mean - deviation * f64::from(settings.stdev_thousandths) / 1000.0;
        let below = comparable.iter().filter(|(_, one)| rate(one) < least);
        found.extend(below.map(|(index, _)| (*index, Cause::SuccessRate)));
    }
    if let Some(settings) = policy.failure_percentage {
        let comparable = with_requests(samples, settings.min_requests, settings.min_hosts);
        let failing = comparable.iter().filter(|(_, one)| {
            u64::from(one.failures) * 100 >= u64::from(settings.threshold) * u64::from(one.requests)
        });
        found.extend(failing.map(|(index, _)| (*index, Cause::FailurePercentage)));
    }
    found
}

/// The samples with enough requests, when there are enough of them.
fn with_requests(samples: &[Sample], requests: u32, hosts: u32) -> Vec<(usize, Sample)> {
    let enough = |(_, sample): &(usize, Sample)| sample.requests >= requests.max(1);
    let comparable: Vec<_> = samples.iter().copied().enumerate().filter(enough).collect();
    if comparable.len() < hosts as usize {
        return Vec::new();
    }
    comparable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{FailurePercentage, SuccessRate};

    fn samples(pairs: &[(u32, u32)]) -> Vec<Sample> {
        let sample = |(requests, failures): &(u32, u32)| Sample { requests: *requests, failures: *failures };
        pairs.iter().map(sample).collect()
    }

    #[test]
    fn rates_are_compared_when_there_is_enough_to_compare() {
        let rate = OutlierDetection {
            success_rate: Some(SuccessRate { min_hosts: 5, min_requests: 100, stdev_thousandths: 1900 }),
            ..OutlierDetection::default()
        };
        let good = (1000, 10);
        for (pairs, expected) in [
            (vec![good, good, good, good, (100, 100)], vec![4]),
            (vec![good, good, good, good, (100, 50)], vec![4]),
            // Too few endpoints, too few requests.
            (vec![good, good, good, (100, 100)], vec![]),
            (vec![good, good, good, good, (99, 99)], vec![]),
            // All endpoints are equally bad, so none is an outlier.
            (vec![good; 5], vec![]),
            (vec![(100, 100); 5], vec![]),
            (vec![(0, 0); 5], vec![]),
            (vec![(1000, 0), (1000, 20), (1000, 5), (1000, 10), (1000, 15)], vec![]),
        ] {
            let found = outliers(&samples(&pairs), &rate);
            let found: Vec<_> = found.iter().map(|(index, _)| *index).collect();
            assert_eq!(found, expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_share_of_failures_is_too_many() {
        let percentage = OutlierDetection {
            failure_percentage: Some(FailurePercentage { threshold: 85, min_hosts: 3, min_requests: 50 }),
            ..OutlierDetection::default()
        };
        for (pairs, expected) in [
            (vec![(100, 85), (100, 84), (50, 50)], vec![0, 2]),
            (vec![(100, 85), (100, 84), (49, 49)], vec![]),
            (vec![(100, 100), (100, 100)], vec![]),
        ] {
            let found = outliers(&samples(&pairs), &percentage);
            let found: Vec<_> = found.iter().map(|(index, _)| *index).collect();
            assert_eq!(found, expected, "{pairs:?}");
        }
    }
}
