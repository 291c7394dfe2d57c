//! Which requests are mirrored.

use http::{HeaderMap, HeaderName, Method};

use super::falls_on;
use crate::config::model::Mirror;

/// The field that says of a request that it is a copy.
pub const COPY: HeaderName = HeaderName::from_static("x-attache-mirror");

/// Whether to copy a request. A copy is never copied again, so two gateways cannot send each other copies for ever.
#[must_use]
pub fn is_chosen(mirror: &Mirror, method: &Method, headers: &HeaderMap, rng: &mut fastrand::Rng) -> bool {
    mirror.copies(method) && !headers.contains_key(COPY) && falls_on(mirror.percentage, rng)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::model::Percentage;

    #[test]
    fn methods_and_copies() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut mirror = Mirror { methods: Some(vec![Method::GET]), ..Mirror::default() };
        let (none, mut copy) = (HeaderMap::new(), HeaderMap::new());
        copy.insert(COPY, HeaderValue::from_static("1"));
        for (method, headers, expected) in
            [(Method::GET, &none, true), (Method::POST, &none, false), (Method::GET, &copy, false)]
        {
            assert_eq!(is_chosen(&mirror, &method, headers, &mut rng), expected);
        }
        mirror.methods = None;
        assert!(!is_chosen(&mirror, &Method::POST, &none, &mut rng));
        mirror.allow_unsafe = true;
        assert!(is_chosen(&mirror, &Method::POST, &none, &mut rng));
        mirror.percentage = Percentage::NONE;
        assert!(!is_chosen(&mirror, &Method::POST, &none, &mut rng));
    }
}
