//! The `x-request-id` of an exchange: the caller's if it is believed and sane, else a UUIDv7, which sorts by time.

use std::time::Duration;

use fastrand::Rng;
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Builder;
use uuid::fmt::Hyphenated;

use crate::head::Values;

/// The header.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id for a request: that of `headers` if `trusted` and sane (1 to 128 visible ASCII characters, given once), else
/// a new one made from `since_epoch` and `rng`. Ids are for finding log lines; they are not secrets.
#[must_use]
pub fn request_id(
    headers: &HeaderMap,
    trusted: bool,
    since_epoch: Duration,
    rng: &mut Rng,
    values: &mut Values,
) -> HeaderValue {
    let believed = if trusted { sane(headers) } else { None };
    believed.cloned().unwrap_or_else(|| fresh(since_epoch, rng, values))
}

fn sane(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(&REQUEST_ID).iter();
    let value = values.next()?;
    let fits = (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    (fits && values.next().is_none()).then_some(value)
}

fn fresh(since_epoch: Duration, rng: &mut Rng, values: &mut Values) -> HeaderValue {
    let mut random = [0; 10];
    rng.fill(&mut random);
    let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
    let id = Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    let mut text = [0; Hyphenated::LENGTH];
    let text = id.hyphenated().encode_lower(&mut text);
    values.make(text.as_bytes()).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(1_795_199_401_123);

    fn id_of(sent: &[&str], trusted: bool) -> String {
        let mut headers = HeaderMap::new();
        for value in sent {
            headers.append(REQUEST_ID, HeaderValue::from_str(value).unwrap());
        }
        let id = request_id(&headers, trusted, NOW, &mut Rng::with_seed(7), &mut Values::default());
        id.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_believed_id_is_kept() {
        assert_eq!(id_of(&["abc-123"], true), "abc-123");
        let longest = "x".repeat(128);
        assert_eq!(id_of(&[&longest], true), longest);
    }

    #[test]
    fn any_other_is_replaced_by_a_uuid() {
        let fresh = id_of(&[], true);
        let parsed: uuid::Uuid = fresh.parse().unwrap();
        assert_eq!(parsed.get_version_num(), 7, "{fresh}");
        assert!(fresh.starts_with("01a1fa38-fca3-7"), "time comes first: {fresh}");
        for (sent, trusted, why) in [
            (&["abc"][..], false, "not trusted"),
            (&[""], true, "empty"),
            (&[&*"x".repeat(129)], true, "too long"),
            (&["a b"], true, "a space"),
            (&["a", "b"], true, "twice"),
        ] {
            assert_eq!(id_of(sent, trusted), fresh, "{why}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(b"caf\xc3\xa9").unwrap());
        let id = request_id(&headers, true, NOW, &mut Rng::with_seed(7), &mut Values::default());
        assert_eq!(id, *fresh, "not ASCII");
    }

    #[test]
    fn later_ids_sort_later() {
        let (mut rng, mut values) = (Rng::with_seed(1), Values::default());
        let first = fresh(NOW, &mut rng, &mut values);
        let second = fresh(NOW + Duration::from_millis(1), &mut rng, &mut values);
        assert!(first < second);
    }
}
