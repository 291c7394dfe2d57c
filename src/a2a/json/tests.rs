//! Tests of the tokenizer: what is JSON and what is not, what is reported, and that it does not matter how bytes are
//! cut.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// Places of a small document: `a`, `b` and the elements of the array at `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    Root,
    A,
    Raw,
    Inner,
    List,
    Element,
}

impl Place for Spot {
    fn bit(self) -> u32 {
        1 << self as u32
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Notes {
    found: Vec<String>,
    repeated: usize,
}

impl Reader for Notes {
    type Place = Spot;

    fn root(&self) -> Spot {
        Spot::Root
    }

    fn member(&self, at: Spot, key: &[u8]) -> Option<Spot> {
        match (at, key) {
            (Spot::Root | Spot::Inner | Spot::Element, b"a" | b"taskid") => Some(Spot::A),
            (Spot::Root, b"raw") => Some(Spot::Raw),
            (Spot::Root | Spot::Inner, b"inner") => Some(Spot::Inner),
            (Spot::Root, b"list") => Some(Spot::List),
            _ => None,
        }
    }

    fn element(&self, at: Spot) -> Option<Spot> {
        (at == Spot::List).then_some(Spot::Element)
    }

    fn capture(&self, at: Spot) -> Capture {
        match at {
            Spot::Raw => Capture::Raw,
            Spot::A | Spot::Element => Capture::Text,
            Spot::Root | Spot::Inner | Spot::List => Capture::Kind,
        }
    }

    fn value(&mut self, at: Spot, value: Value<'_>) {
        if at != Spot::Root {
            self.found.push(format!("{at:?} {value:?}"));
        }
    }

    fn repeated(&mut self) {
        self.repeated += 1;
    }
}

/// What is found in a document that comes in these pieces.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Result<(), Fault>, Notes) {
    let (mut tokenizer, mut notes) = (Tokenizer::default(), Notes::default());
    let fed = pieces.into_iter().try_for_each(|piece| tokenizer.feed(piece, &mut notes));
    (fed.and_then(|()| tokenizer.finish(&mut notes)), notes)
}

#[test]
fn values_at_places_of_interest_are_reported() {
    for (text, expected, repeated) in [
        (r#"{"a":"x","b":"y"}"#, &[r#"A Text("x")"#][..], 0),
        (r#" { "raw" : "a\u0041\"" , "a" : "\u0041\n" } "#, &[r#"Raw Text("a\\u0041\\\"")"#, r#"A Text("A\n")"#], 0),
        (r#"{"raw":-1.50e+2,"a":0}"#, &[r#"Raw Number("-1.50e+2")"#, r#"A Number("0")"#], 0),
        (r#"{"a":true,"raw":null}"#, &["A Bool(true)", "Raw Null"], 0),
        (
            r#"{"inner":{"a":"1","inner":{"a":"2"}}}"#,
            &["Inner Object", r#"A Text("1")"#, "Inner Object", r#"A Text("2")"#],
            0,
        ),
        (
            r#"{"list":[{"a":"1"},[{"a":"2"}],{"a":"3"},"x"]}"#,
            &[
                "List Array", "Element Object", r#"A Text("1")"#, "Element Array", "Element Object", r#"A Text("3")"#,
                r#"Element Text("x")"#,
            ],
            0,
        ),
        (r#"{"b":{"a":"no"},"c":["a",{"a":1}],"a":[]}"#, &["A Array"], 0),
        (r#"{"a":1,"a":2}"#, &[r#"A Number("1")"#, r#"A Number("2")"#], 1),
        (r#"{"a":1,"\u0061":2}"#, &[r#"A Number("1")"#, r#"A Number("2")"#], 1),
        (r#"{"task_id":1,"TaskId":2}"#, &[r#"A Number("1")"#, r#"A Number("2")"#], 1),
        (
            r#"{"TASK_ID":1,"task-id":2,"tas\u006bId":3,"ta\u005fskid":4,"no":"neither short nor at the end"}"#,
            &[r#"A Number("1")"#, r#"A Number("3")"#, r#"A Number("4")"#],
            2,
        ),
        (r#"{"__________________________task_id":1,"b":2}"#, &[r#"A Number("1")"#], 0),
        (r#" [ { "a" : 1 } , 2 ] "#, &[], 0),
        (
            r#"{ "list" : [ true , { "a" : "x" } , null ] }"#,
            &["List Array", "Element Bool(true)", "Element Object", r#"A Text("x")"#, "Element Null"],
            0,
        ),
        (
            r#"{"list":[{"a":1},{"a":1}]}"#,
            &["List Array", "Element Object", r#"A Number("1")"#, "Element Object", r#"A Number("1")"#],
            0,
        ),
        (r#"{"inner":{"b":{"a":1,"a":2},"b":3}}"#, &["Inner Object"], 0),
        (
            r#"{"a":"\ud83d\ude00 \ud83d \ude00\ud83d\ud83d\ude00\ud83d\n\ud83d"}"#,
            &[r#"A Text("😀 \u{fffd} \u{fffd}\u{fffd}😀\u{fffd}\n\u{fffd}")"#],
            0,
        ),
        (r#"{"\ud83d\ude00a":1,"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":1}"#, &[], 0),
    ] {
        let (result, notes) = read([text.as_bytes()]);
        assert_eq!(result, Ok(()), "{text}");
        let found: Vec<String> = notes.found.iter().map(|found| found.replace('\u{fffd}', "\\u{fffd}")).collect();
        assert_eq!(
            (&found[..], notes.repeated),
            (&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..], repeated),
            "{text}"
        );
        for size in 1..4 {
            assert_eq!(read(text.as_bytes().chunks(size)).1, notes, "{text} in pieces of {size}");
        }
    }
}

#[test]
fn a_value_is_kept_up_to_its_limit() {
    for (length, is_kept) in [(MAX_VALUE, true), (MAX_VALUE + 1, false), (100_000, false)] {
        let text = format!(r#"{{"a":"{}","raw":1}}"#, "x".repeat(length));
        for size in [1, 7, 1000, text.len()] {
            let (result, notes) = read(text.as_bytes().chunks(size));
            assert_eq!((result, notes.found.len()), (Ok(()), 2), "{length} in pieces of {size}");
            assert_eq!(notes.found[0] != "A Long", is_kept, "{length} in pieces of {size}");
            assert_eq!(notes.found[1], r#"Raw Number("1")"#);
        }
    }
    let digits = format!(r#"{{"raw":{}}}"#, "1".repeat(MAX_VALUE + 1));
    assert_eq!(read([digits.as_bytes()]).1.found, ["Raw Long"]);
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "", " ", "{", "}", "[", "]", "{]", "[}", "[1,]", "{\"a\":1,}", "{\"a\"}", "{\"a\":}", "{a:1}", "{1:1}", "[,1]",
        "1 2", "01", "-", "1.", ".5", "1e", "1e+", "+1", "tru", "truex", "nul", "NaN", "'a'", "\"", "\"\\\"",
        "\"\\x\"", "\"\\u12g4\"", "\"\n\"", "\"a\u{1}\"", "[\"a\n\"]", "{\"a\tb\":1}", "\u{feff}{}", "{}{}", "[1]]",
        "//", "{\"a\":1 \"b\":2}", "[1 2]", "1,", ":", "\"a\":1",
    ] {
        assert_eq!(read([text.as_bytes()]).0, Err(Fault::Malformed), "{text:?}");
    }
    assert_eq!(read([&b"{\"a\":\"\xff\"}"[..]]).0, Err(Fault::Malformed), "what is reported is text");
    assert_eq!(read([&b"{\"b\":\"\xff\"}"[..]]).0, Ok(()), "what is skipped need not be");
}

#[test]
fn depth_has_a_limit_and_no_cost() {
    for (depth, expected) in [(1, Ok(())), (MAX_DEPTH, Ok(())), (MAX_DEPTH + 1, Err(Fault::TooDeep))] {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(read([nested.as_bytes()]).0, expected, "{depth}");
    }
    let deep = format!(r#"{{{}"a":1{}"#, r#""inner":{"#.repeat(100), "}".repeat(101));
    let (result, notes) = read([deep.as_bytes()]);
    assert_eq!((result, notes.found.len()), (Ok(()), MAX_FRAMES), "what lies deeper than asked for is skipped");
    let wide = format!(r#"{{"b":{}1{},"a":2}}"#, r#"[{"c":"#.repeat(300), "}]".repeat(300));
    assert_eq!(read([wide.as_bytes()]).1.found, [r#"A Number("2")"#]);
}

#[test]
fn nothing_comes_after_a_fault_and_a_restart_begins_anew() {
    let (mut tokenizer, mut notes) = (Tokenizer::default(), Notes::default());
    assert_eq!(tokenizer.feed(br#"{"a":"\ud83d"x"#, &mut notes), Err(Fault::Malformed));
    assert_eq!(tokenizer.feed(br#"{"a":1}"#, &mut notes), Err(Fault::Malformed));
    assert_eq!(tokenizer.finish(&mut notes), Err(Fault::Malformed));
    tokenizer.restart();
    notes.found.clear();
    assert_eq!(tokenizer.feed(br#"{"a":"y"}"#, &mut notes), Ok(()));
    assert_eq!((tokenizer.finish(&mut notes), &notes.found[..]), (Ok(()), &[r#"A Text("y")"#.to_owned()][..]));
}

/// Bytes that are nearly JSON.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let tokens = [
        "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\"", "\"", "\\", "\\u0061", "\\u", "1", "-0", ".5", "e3", "true",
        "null", " ", "\n", "\u{1}", "ü", "\"a\":", "{}", "[]", "{\"a\":1}", "[1,2]", "\"list\":[", "\"inner\":{", "}}",
        "]}",
    ];
    proptest::collection::vec(prop::sample::select(tokens.to_vec()), 0..14)
        .prop_map(|parts| parts.concat().into_bytes())
}

/// Documents, with their members in any order.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let key = prop_oneof![Just("a".to_owned()), Just("inner".to_owned()), Just("list".to_owned()), any::<String>()];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::Array),
            proptest::collection::vec((key, inner), 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn it_agrees_with_another_parser_on_what_is_json(bytes in nearly_json(), size in 1_usize..5) {
        let is_json = serde_json::from_slice::<IgnoredAny>(&bytes).is_ok();
        let (result, notes) = read([&bytes[..]]);
        prop_assert_eq!(result.is_ok(), is_json, "{:?}", String::from_utf8_lossy(&bytes));
        prop_assert_eq!(read(bytes.chunks(size)), (result, notes));
    }

    #[test]
    fn any_document_is_read_and_its_member_found(document in json(), size in 1_usize..9) {
        let text = document.to_string();
        let (result, notes) = read(text.as_bytes().chunks(size));
        prop_assert_eq!(result, Ok(()), "{}", text);
        let expected = document.get("a").and_then(serde_json::Value::as_str);
        if let Some(expected) = expected.filter(|expected| expected.len() <= MAX_VALUE) {
            let note = format!("A {:?}", Value::Text(expected));
            prop_assert!(notes.found.contains(&note), "{} is not in {:?}", note, notes.found);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), size in 1_usize..9) {
        prop_assert_eq!(read(bytes.chunks(size)), read([&bytes[..]]));
    }
}
