//! The time for which an endpoint keeps an idle connection: `Keep-Alive: timeout=5` (RFC 2068 section 19.7.1.1, still
//! sent by Node and Apache). A request that is sent after this time may meet a close on its way, and the gateway does
//! not know then whether the endpoint worked on it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// How long after this answer's head the next request may be sent; `None` where the endpoint does not say.
pub(super) fn reusable_for(headers: &HeaderMap) -> Option<Duration> {
    let kept = headers.get(&KEEP_ALIVE).and_then(timeout)?;
    // The next request needs some of it for its way, and both clocks are coarse.
    Some(kept - MARGIN.min(kept / 2))
}

fn timeout(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("timeout") {
            return None;
        }
        let seconds: u32 = value.trim().trim_matches('"').parse().ok()?;
        Some(Duration::from_secs(seconds.into()))
    })
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const MARGIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_less_a_margin() {
        for (value, millis) in [
            ("timeout=5", Some(4000)),
            ("timeout=5, max=100", Some(4000)),
            ("max=100,Timeout = \"60\"", Some(59_000)),
            ("timeout=2", Some(1000)),
            ("timeout=1", Some(500)),
            ("timeout=0", Some(0)),
            ("timeout=4294967295", Some(4_294_967_294_000)),
            ("timeout=4294967296", None),
            ("timeout=-1", None),
            ("timeout=1.5", None),
            ("timeout", None),
            ("max=100", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", HeaderValue::from_static(value));
            assert_eq!(reusable_for(&headers), millis.map(Duration::from_millis), "{value:?}");
        }
        assert_eq!(reusable_for(&HeaderMap::new()), None);
    }
}
