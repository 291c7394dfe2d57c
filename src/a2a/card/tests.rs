//! What a mapping changes, and that it changes nothing else.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// An agent at `inner:1`, behind `https://out/`.
fn verdict(transport: Transport, url: &str) -> Verdict {
    match (transport, url) {
        (Transport::Grpc, "inner:2") => Verdict::NotServed,
        (_, "inner:1" | "inner:2") => Verdict::Mapped("out:443".to_owned()),
        (Transport::Http, url) if url.starts_with("http://inner:1/x") => Verdict::UnknownPath,
        (_, url) => match url.strip_prefix("http://inner:1/") {
            Some(path) => Verdict::Mapped(format!("https://out/{path}")),
            None if url.starts_with("https://out/") || url.starts_with("out:") => Verdict::Public,
            None => Verdict::UnknownHost,
        },
    }
}

fn mapped_as(card: &str, place: Place, signed: SignedCards) -> Mapping {
    map(card.as_bytes(), place, signed, verdict).unwrap()
}

/// The card after its mapping.
fn mapped(card: &str) -> String {
    match mapped_as(card, Place::Whole, SignedCards::Keep).outcome {
        Outcome::Unchanged => card.to_owned(),
        Outcome::Changed(text) => String::from_utf8(text).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_the_texts_of_urls_are_others() {
    for (card, expected) in [
        (r#"{"url":"http://inner:1/a"}"#, r#"{"url":"https://out/a"}"#),
        (
            " {\n \"url\" :\t\"http://inner:1/\" , \"x\":1.50e3 }\n",
            " {\n \"url\" :\t\"https://out/\" , \"x\":1.50e3 }\n",
        ),
        // Escapes, in names and in values.
        (r#"{"\u0075rl":"http:\/\/inner:1\/a","n":"\u00e9\/"}"#, r#"{"\u0075rl":"https://out/a","n":"\u00e9\/"}"#),
        (
            r#"{"supportedInterfaces":[{"url":"http://inner:1/","protocolBinding":"JSONRPC","y":{"url":"http://inner:1/"}}]}"#,
            r#"{"supportedInterfaces":[{"url":"https://out/","protocolBinding":"JSONRPC","y":{"url":"http://inner:1/"}}]}"#,
        ),
        (
            r#"{"additionalInterfaces":[{"transport":"grpc","url":"inner:1"},{"url":"http://inner:1/b"}]}"#,
            r#"{"additionalInterfaces":[{"transport":"grpc","url":"out:443"},{"url":"https://out/b"}]}"#,
        ),
        // Both generations in one document.
        (
            r#"{"url":"http://inner:1/","supportedInterfaces":[{"url":"http://inner:1/"}],"additionalInterfaces":[{"url":"http://inner:1/c"}]}"#,
            r#"{"url":"https://out/","supportedInterfaces":[{"url":"https://out/"}],"additionalInterfaces":[{"url":"https://out/c"}]}"#,
        ),
        // A field that comes twice.
        (r#"{"url":"http://inner:1/a","url":"http://inner:1/b"}"#, r#"{"url":"https://out/a","url":"https://out/b"}"#),
        // What is not an interface of the agent.
        (
            r#"{"provider":{"url":"http://inner:1/"},"documentationUrl":"http://inner:1/","iconUrl":"http://inner:1/","securitySchemes":{"url":"http://inner:1/"}}"#,
            r#"{"provider":{"url":"http://inner:1/"},"documentationUrl":"http://inner:1/","iconUrl":"http://inner:1/","securitySchemes":{"url":"http://inner:1/"}}"#,
        ),
        // Other types than a card has.
        (
            r#"{"url":7,"supportedInterfaces":{"url":"http://inner:1/"}}"#,
            r#"{"url":7,"supportedInterfaces":{"url":"http://inner:1/"}}"#,
        ),
        (
            r#"{"supportedInterfaces":[1,"http://inner:1/",null,[]]}"#,
            r#"{"supportedInterfaces":[1,"http://inner:1/",null,[]]}"#,
        ),
        (r#"{"url":"\ud800"}"#, r#"{"url":"\ud800"}"#),
        ("{}", "{}"),
    ] {
        assert_eq!(mapped(card), expected);
    }
}

#[test]
fn what_leads_past_the_gateway_stays_and_is_reported() {
    let card =
        r#"{"url":"http://elsewhere/","supportedInterfaces":[{"url":"http://inner:1/x"},{"url":"http://inner:1/"}]}"#;
    let found = mapped_as(card, Place::Whole, SignedCards::Keep);
    assert_eq!((found.mapped, found.dropped), (1, 1));
    assert_eq!(found.left, Some(("http://elsewhere/".to_owned(), Verdict::UnknownHost)), "the other is left out");
    let found = mapped_as(r#"{"supportedInterfaces":[{"url":"http://inner:1/x"}]}"#, Place::Whole, SignedCards::Keep);
    assert_eq!(found.left, Some(("http://inner:1/x".to_owned(), Verdict::UnknownPath)), "the only one stays");
    assert_eq!(found.outcome, Outcome::Unchanged);
    let found = mapped_as(r#"{"url":"http://elsewhere/"}"#, Place::Whole, SignedCards::Keep);
    assert_eq!(found.left, Some(("http://elsewhere/".to_owned(), Verdict::UnknownHost)));
    assert_eq!(found.outcome, Outcome::Unchanged);
}

#[test]
fn a_transport_that_is_not_served_is_left_out() {
    const GRPC: &str = r#"{"protocolBinding":"GRPC","url":"inner:2"}"#;
    const HTTP: &str = r#"{"url":"https://out/"}"#;
    const PATH: &str = r#"{"url":"http://inner:1/x"}"#;
    for (list, expected, dropped) in [
        (format!("[{PATH}, {HTTP}]"), format!("[{HTTP}]"), 1),
        (format!("[{PATH}, {PATH}]"), format!("[{PATH}, {PATH}]"), 0),
        (format!("[{PATH}, {GRPC}]"), format!("[{PATH}]"), 1),
        (format!("[{GRPC}, {HTTP}]"), format!("[{HTTP}]"), 1),
        (format!("[{HTTP} ,{GRPC}]"), format!("[{HTTP}]"), 1),
        (format!("[ {GRPC} ]"), "[  ]".to_owned(), 1),
        (format!("[{GRPC},{GRPC}]"), "[]".to_owned(), 2),
        (format!("[{GRPC},{GRPC},{HTTP}]"), format!("[{HTTP}]"), 2),
        (format!("[{GRPC},{HTTP},{GRPC},{GRPC}, {HTTP}]"), format!("[{HTTP}, {HTTP}]"), 3),
        (format!("[{HTTP}]"), format!("[{HTTP}]"), 0),
    ] {
        let card = |list: &str| format!(r#"{{"a":1,"supportedInterfaces":{list},"b":[,]}}"#).replace("[,]", "[1,2]");
        assert_eq!(mapped(&card(&list)), card(&expected));
        assert_eq!(mapped_as(&card(&list), Place::Whole, SignedCards::Keep).dropped, dropped);
    }
    // The one address of an old card has to be there.
    let old = r#"{"preferredTransport":"GRPC","url":"inner:2"}"#;
    assert_eq!(mapped(old), r#"{"preferredTransport":"GRPC","url":"out:443"}"#);
}

#[test]
fn a_signed_card_is_left_alone_stripped_or_refused() {
    let card = |signatures: &str| format!(r#"{{"url":"http://inner:1/"{signatures}, "x":1}}"#);
    let signed = card(r#", "signatures":[{"protected":"e30","signature":"AA"}]"#);
    let with = |signed_cards| mapped_as(&signed, Place::Whole, signed_cards).outcome;
    assert_eq!(with(SignedCards::Keep), Outcome::LeftSigned);
    assert_eq!(with(SignedCards::Fail), Outcome::Refused);
    let stripped = br#"{"url":"https://out/", "x":1}"#.to_vec();
    assert_eq!(with(SignedCards::Strip), Outcome::Changed(stripped));
    for none in [r#","signatures":[]"#, r#","signatures":null"#, r#","signatures":[ ]"#] {
        let found = mapped_as(&card(none), Place::Whole, SignedCards::Fail).outcome;
        assert!(matches!(found, Outcome::Changed(_)), "{none}: nothing is signed");
    }
    for (text, expected) in [
        (r#"{"signatures":[1],"url":"http://inner:1/"}"#, r#"{"url":"https://out/"}"#),
        (r#"{"signatures":[1], "url":"http://inner:1/","signatures":[2]}"#, r#"{"url":"https://out/"}"#),
    ] {
        let found = mapped_as(text, Place::Whole, SignedCards::Strip).outcome;
        assert_eq!(found, Outcome::Changed(expected.as_bytes().to_vec()));
    }
    let public = r#"{"url":"https://out/","signatures":[{}]}"#;
    for policy in [SignedCards::Keep, SignedCards::Fail, SignedCards::Strip] {
        let found = mapped_as(public, Place::Whole, policy).outcome;
        assert_eq!(found, Outcome::Unchanged, "{policy:?}: a signature that holds stays");
    }
}

#[test]
fn the_card_in_an_answer_to_a_call_is_mapped() {
    let answer =
        r#"{"jsonrpc":"2.0","url":"http://inner:1/","result":{"url":"http://inner:1/","signatures":[1]},"id":1}"#;
    let expected = r#"{"jsonrpc":"2.0","url":"http://inner:1/","result":{"url":"https://out/"},"id":1}"#;
    let found = mapped_as(answer, Place::Result, SignedCards::Strip).outcome;
    assert_eq!(found, Outcome::Changed(expected.as_bytes().to_vec()));
    let refused = map(br#"{"error":{"code":-32007}}"#, Place::Result, SignedCards::Keep, verdict);
    assert!(matches!(refused, Err(NoCard::NoResult)), "{refused:?}");
}

#[test]
fn what_is_no_object_is_no_card() {
    for text in ["", "{", "[]", "null", "\"x\"", "{\"a\":1}x", "<html>", "{'url':1}", "{\"a\":NaN}", "\u{feff}{}"] {
        let found = map(text.as_bytes(), Place::Whole, SignedCards::Keep, verdict);
        assert!(matches!(found, Err(NoCard::NotAnObject(_))), "{text}: {found:?}");
    }
    assert!(map(b"{\"a\":\"\xff\"}", Place::Whole, SignedCards::Keep, verdict).is_err(), "not UTF-8");
    let deep = format!(r#"{{"a":{}{},"url":"http://inner:1/"}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(mapped(&deep).ends_with(r#""url":"https://out/"}"#), "depth is no matter where nothing is looked for");
}

/// Any JSON.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "http://inner:1/[a-z]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("url|transport|signatures|[a-z]{1,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A card with any interfaces among any members.
fn any_card() -> impl Strategy<Value = Value> {
    let url = prop_oneof!["http://inner:1/[a-z]{0,2}", "https://out/[a-z]?", "http://else/", "inner:[12]", "\\PC{0,6}"];
    let binding = prop_oneof![Just("GRPC"), Just("JSONRPC"), Just("HTTP+JSON")];
    let interface = (url.clone(), binding).prop_map(|(url, binding)| json!({ "url": url, "protocolBinding": binding }));
    let interface = prop_oneof![4 => interface, 1 => any_json()];
    let list = prop::collection::vec(interface, 0..5);
    (prop::collection::btree_map("[a-z]{1,6}", any_json(), 0..4), url, list.clone(), list).prop_map(
        |(members, url, first, second)| {
            let mut card: serde_json::Map<_, _> = members.into_iter().collect();
            card.insert("url".to_owned(), url.into());
            card.insert("supportedInterfaces".to_owned(), first.into());
            card.insert("additionalInterfaces".to_owned(), second.into());
            Value::Object(card)
        },
    )
}

/// The text without the mapped URLs: what must be the same before and after.
fn without_urls(text: &str) -> String {
    ["http://inner:1/", "https://out/", "inner:1", "inner:2", "out:443"]
        .iter()
        .fold(text.to_owned(), |text, url| text.replace(url, ""))
}

proptest! {
    #[test]
    fn a_second_mapping_changes_nothing(card in any_card(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&card).unwrap() } else { card.to_string() };
        let once = match mapped_as(&text, Place::Whole, SignedCards::Strip).outcome {
            Outcome::Changed(text) => String::from_utf8(text).unwrap(),
            _ => text,
        };
        prop_assert!(serde_json::from_str::<Value>(&once).is_ok(), "{}", once);
        let twice = mapped_as(&once, Place::Whole, SignedCards::Strip);
        prop_assert_eq!(twice.outcome, Outcome::Unchanged, "{}", once);
    }

    #[test]
    fn all_other_bytes_stay(card in any_card(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&card).unwrap() } else { card.to_string() };
        let found = mapped_as(&text, Place::Whole, SignedCards::Keep);
        if let Outcome::Changed(after) = found.outcome && found.dropped == 0 {
            let after = String::from_utf8(after).unwrap();
            prop_assert_eq!(without_urls(&after), without_urls(&text));
        }
    }

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        drop(map(&bytes, Place::Whole, SignedCards::Strip, verdict));
    }
}
