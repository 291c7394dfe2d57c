//! What several rooms read from the head of a request: its cookies, fields that count once, and the word that its
//! method is counted under; of an answer the wait it asks for. And values that the gateway puts into heads.

use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use http::header::{COOKIE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Makes field values one after the other in shared blocks: a block of memory for each, and another when it is copied
/// for the first time, would cost more than the value. One that is kept keeps its whole block, so blocks are small.
#[derive(Debug, Default)]
pub struct Values(BytesMut);

impl Values {
    /// A value with this text; `None` where a field may not have it (RFC 9110 section 5.5).
    pub fn make(&mut self, text: &[u8]) -> Option<HeaderValue> {
        if self.0.capacity() < text.len() {
            self.0 = BytesMut::with_capacity(BLOCK.max(text.len()));
        }
        self.0.extend_from_slice(text);
        HeaderValue::from_maybe_shared(self.0.split().freeze()).ok()
    }
}

/// The same value in memory of its own. One that was received is a slice of the buffer that its head was read into, and
/// keeps all of it.
#[must_use]
pub fn owned(value: &HeaderValue) -> HeaderValue {
    let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) else { return value.clone() };
    copy.set_sensitive(value.is_sensitive());
    copy
}

/// Bytes of a block.
const BLOCK: usize = 512;

/// Value of the first cookie of that name (RFC 6265 section 5.4). HTTP/2 may split cookies over several fields (RFC
/// 9113 section 8.2.3).
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &[u8]) -> Option<&'a [u8]> {
    cookies(headers, name).next()
}

/// Value of the cookie of that name, or `None` where there are several: a client that sends two could choose which one
/// counts.
#[must_use]
pub fn only_cookie<'a>(headers: &'a HeaderMap, name: &[u8]) -> Option<&'a [u8]> {
    let mut values = cookies(headers, name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Value of the field of that name, or `None` where it is empty or comes several times.
#[must_use]
pub fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|value| !value.is_empty())?;
    values.next().is_none().then_some(value)
}

fn cookies<'a>(headers: &'a HeaderMap, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let pairs = headers.get_all(COOKIE).into_iter().flat_map(|field| field.as_bytes().split(|&byte| byte == b';'));
    pairs.map(<[u8]>::trim_ascii).filter_map(move |pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

/// The time in an answer's `Retry-After`: seconds, or a date (RFC 9110 section 10.2.3); a year at most.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit is long.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(LONGEST_WAIT))
}

/// Safe to add to any clock.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 86_400);

/// A small number and the word of a method. Methods beside the usual ones share one, because a client may invent any
/// number of them.
#[must_use]
pub fn method_word(method: &Method) -> (u8, &'static str) {
    match *method {
        Method::GET => (0, "GET"),
        Method::POST => (1, "POST"),
        Method::HEAD => (2, "HEAD"),
        Method::PUT => (3, "PUT"),
        Method::DELETE => (4, "DELETE"),
        Method::OPTIONS => (5, "OPTIONS"),
        Method::PATCH => (6, "PATCH"),
        _ => (7, "OTHER"),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn values_of_one_block_stay_what_they_are() {
        let mut values = Values::default();
        let texts: Vec<_> = (0..100).map(|number| format!("value {number}")).chain(["x".repeat(2000)]).collect();
        let made: Vec<_> = texts.iter().map(|text| values.make(text.as_bytes()).unwrap()).collect();
        assert_eq!(values.make(b"a\nb"), None, "no field may have a line break");
        assert!(made.iter().zip(&texts).all(|(value, text)| value == text));
        assert_eq!(values.make(b"").unwrap(), "");
    }

    #[test]
    fn the_first_cookie_counts_or_the_only_one() {
        for (fields, first, only) in [
            (&["session=abc"][..], Some("abc"), Some("abc")),
            (&["a=1;session=abc ; b=2"], Some("abc"), Some("abc")),
            (&["a=1", "session=a=b"], Some("a=b"), Some("a=b")),
            (&["session=one; session=two"], Some("one"), None),
            (&["session=one", "session=one"], Some("one"), None),
            (&["session="], Some(""), Some("")),
            (&["my_session=abc; Session=abc; session2=abc; session"], None, None),
            (&[""], None, None),
            (&[], None, None),
        ] {
            let headers: HeaderMap = fields.iter().map(|&field| (COOKIE, HeaderValue::from_static(field))).collect();
            let found = [cookie(&headers, b"session"), only_cookie(&headers, b"session")];
            assert_eq!(found, [first, only].map(|value| value.map(str::as_bytes)), "{fields:?}");
        }
    }

    #[test]
    fn methods_that_are_invented_share_a_word() {
        let words = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"].map(|word| {
            let method = Method::from_bytes(word.as_bytes()).unwrap();
            (word, method_word(&method))
        });
        for (number, (word, found)) in words.into_iter().enumerate() {
            let expected = if number < 7 { word } else { "OTHER" };
            assert_eq!(found, (u8::try_from(number.min(7)).unwrap(), expected));
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 10:00:00 GMT").unwrap();
        for (text, expected) in [
            ("0", Some(0)),
            (" 3 ", Some(3)),
            ("Sat, 21 Nov 2026 10:00:07 GMT", Some(7)),
            ("Sat, 21 Nov 2026 09:00:00 GMT", Some(0)),
            ("-1", None),
            ("+3", None),
            ("1.5", None),
            ("soon", None),
            ("18446744073709551615", Some(365 * 86_400)),
            ("99999999999999999999999999", Some(365 * 86_400)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(365 * 86_400)),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), expected, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
