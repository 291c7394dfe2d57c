//! Which requests are mirrored.

use http::{HeaderMap, HeaderName, Method};

use super::falls_on;
use crate::config::model::Mirror;

/// The field that says of a request that it is a copy.
pub const COPY: HeaderName = HeaderName::from_static("x-attache-mirror");

/// Whether to copy a request. A copy is never copied again, so two gateways cannot send each other copies for ever.
#[must_use]
pub fn is_chosen(mirror: &Mirror, method: &Method, headers: &HeaderMap, rng: &mut fastrand::Rng) -> bool {
    is_copied(mirror, method) && !headers.contains_key(COPY) && falls_on(mirror.percentage, rng)
}

/// Whether requests with this method are copied at all.
#[must_use]
pub fn is_copied(mirror: &Mirror, method: &Method) -> bool {
    mirror.methods.is_empty() || mirror.methods.contains(method)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;
    use crate::config::model::{ClusterId, Percentage};

    #[test]
    fn methods_and_copies() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut mirror = Mirror {
            cluster: ClusterId(0),
            percentage: Percentage::ALL,
            methods: vec![Method::GET],
            max_body_bytes: 1,
            max_active: 1,
            timeout: Duration::from_secs(1),
        };
        let (none, mut copy) = (HeaderMap::new(), HeaderMap::new());
        copy.insert(COPY, HeaderValue::from_static("1"));
        for (method, headers, expected) in
            [(Method::GET, &none, true), (Method::POST, &none, false), (Method::GET, &copy, false)]
        {
            assert_eq!(is_chosen(&mirror, &method, headers, &mut rng), expected);
        }
        mirror.methods.clear();
        assert!(is_chosen(&mirror, &Method::POST, &none, &mut rng));
        mirror.percentage = Percentage::NONE;
        assert!(!is_chosen(&mirror, &Method::POST, &none, &mut rng));
    }
}
