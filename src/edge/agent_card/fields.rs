//! The fields of a card's answer: what they say has to be true of the mapped card.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::mapping::Changed;

/// Who may keep a card, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sharing {
    /// It is for clients alone that ask for the same host.
    pub(super) private: bool,
    /// For so long, where the route says so.
    pub(super) max_age: Option<Duration>,
}

/// The length an answer announces.
pub(super) fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether an answer is JSON without a coding around it.
pub(in crate::edge) fn is_readable(fields: &HeaderMap) -> bool {
    let is_plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    fields.get_all(header::CONTENT_ENCODING).iter().all(is_plain)
        && fields.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_json)
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "text/json") || essence.ends_with("+json")
}

/// Makes the fields fit: those of a card that was changed, and what the route says of keeping it.
pub(super) fn dress(fields: &mut HeaderMap, changed: Option<&Changed>, sharing: Sharing) {
    if let Some(card) = changed {
        for name in &ABOUT_BYTES {
            fields.remove(name);
        }
        if let Some(tag) = &card.tag {
            fields.insert(header::ETAG, tag.clone());
        }
    }
    if sharing.private && changed.is_some() {
        vary_by_host(fields);
    }
    keep(fields, sharing.private && changed.is_some(), sharing.max_age);
}

/// Takes out what belongs to content, for an answer without any (RFC 9110 section 15.4.5).
pub(super) fn without_content(fields: &mut HeaderMap) {
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_LANGUAGE, header::LAST_MODIFIED] {
        fields.remove(name);
    }
}

fn vary_by_host(fields: &mut HeaderMap) {
    let lists = fields.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok());
    let mut names = lists.flat_map(|list| list.split(',').map(str::trim));
    if !names.any(|name| name == "*" || name.eq_ignore_ascii_case("host")) {
        fields.append(header::VARY, HeaderValue::from_static("Host"));
    }
}

/// Says who may keep it and how long, besides what the agent says.
fn keep(fields: &mut HeaderMap, private: bool, max_age: Option<Duration>) {
    if !private && max_age.is_none() {
        return;
    }
    let mut directives: Vec<String> = Vec::new();
    if private {
        directives.push("private".to_owned());
    }
    match max_age {
        // The route's word stands alone: the agent's may forbid to keep it at all.
        Some(max_age) => {
            directives.push(format!("max-age={}", max_age.as_secs()));
            fields.remove(header::EXPIRES);
            fields.remove(header::PRAGMA);
        }
        None => directives.extend(others(fields)),
    }
    if let Ok(value) = HeaderValue::try_from(directives.join(", ")) {
        fields.insert(header::CACHE_CONTROL, value);
    }
}

/// What the agent says of keeping it that may stay where only its client may.
fn others(fields: &HeaderMap) -> Vec<String> {
    let lists = fields.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let directives = lists.flat_map(|list| list.split(',').map(str::trim));
    let stays = |directive: &&str| {
        let name = directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        !matches!(name.as_str(), "" | "public" | "private" | "s-maxage")
    };
    directives.filter(stays).map(str::to_owned).collect()
}

/// Fields that are true of the agent's own bytes only.
const ABOUT_BYTES: [HeaderName; 8] = [
    header::CONTENT_LENGTH,
    header::ETAG,
    header::LAST_MODIFIED,
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::card::weak_tag;

    fn dressed(fields: &[(&'static str, &'static str)], changed: bool, sharing: Sharing) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        let card = Changed { card: b"{}".to_vec(), tag: weak_tag(b"{}") };
        dress(&mut map, changed.then_some(&card), sharing);
        map
    }

    fn lines(map: &HeaderMap, name: HeaderName) -> Vec<&str> {
        map.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn what_clients_may_keep_is_said_once() {
        let hour = Some(Duration::from_secs(3600));
        for (agent, private, max_age, expected) in [
            (None, true, None, Some("private")),
            (Some("public, max-age=60, S-MaxAge=9"), true, None, Some("private, max-age=60")),
            (Some("no-store"), true, None, Some("private, no-store")),
            (Some("private"), true, None, Some("private")),
            (Some("public, max-age=60"), false, None, Some("public, max-age=60")),
            (None, false, None, None),
            (Some("no-store"), false, hour, Some("max-age=3600")),
            (Some("public"), true, hour, Some("private, max-age=3600")),
        ] {
            let fields: Vec<_> = agent.map(|value| ("cache-control", value)).into_iter().collect();
            let map = dressed(&fields, true, Sharing { private, max_age });
            let found = lines(&map, header::CACHE_CONTROL);
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{agent:?} {private} {max_age:?}");
        }
        let map = dressed(&[("cache-control", "public")], false, Sharing { private: true, max_age: None });
        assert_eq!(lines(&map, header::CACHE_CONTROL), ["public"], "a card that names nobody's address is for all");
    }

    #[test]
    fn a_card_that_was_made_for_a_host_says_so() {
        let sharing = Sharing { private: true, max_age: None };
        for (agent, expected) in [
            (&[][..], &["Host"][..]),
            (&["Origin, host"], &["Origin, host"]),
            (&["*"], &["*"]),
            (&["A2A-Version"], &["A2A-Version", "Host"]),
        ] {
            let fields: Vec<_> = agent.iter().map(|value| ("vary", *value)).collect();
            assert_eq!(lines(&dressed(&fields, true, sharing), header::VARY), expected);
            assert_eq!(lines(&dressed(&fields, false, sharing), header::VARY), agent);
        }
    }

    #[test]
    fn what_is_true_of_the_agents_bytes_goes_with_them() {
        let fields =
            [("etag", "\"a\""), ("content-md5", "x"), ("digest", "y"), ("x-other", "z"), ("content-length", "7")];
        let sharing = Sharing { private: false, max_age: None };
        let map = dressed(&fields, true, sharing);
        let mut names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["etag", "x-other"]);
        assert_ne!(map["etag"], "\"a\"");
        let map = dressed(&fields, false, sharing);
        assert_eq!(map.len(), 5);
        assert_eq!(map["etag"], "\"a\"");
    }

    #[test]
    fn json_is_told_by_its_type() {
        for (content_type, coding, expected) in [
            ("application/json", None, true),
            ("Application/JSON; charset=utf-8", None, true),
            ("application/a2a+json", None, true),
            ("application/json", Some("identity"), true),
            ("application/json", Some("gzip"), false),
            ("text/html", None, false),
            ("application/jsonx", None, false),
        ] {
            let mut map = HeaderMap::new();
            map.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            if let Some(coding) = coding {
                map.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            }
            assert_eq!(is_readable(&map), expected, "{content_type} {coding:?}");
        }
        assert!(!is_readable(&HeaderMap::new()));
    }
}
