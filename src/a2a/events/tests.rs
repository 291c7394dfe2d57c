//! Tests of event streams: the framings of the official SDKs, cut at every byte.

use proptest::prelude::*;

use super::super::answer::Kind;
use super::*;

/// What each event of a stream was that comes in these pieces: where it ends, its kind or fault, its task.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(usize, String)> {
    let mut reader = EventReader::new(AnswerReader::json_rpc());
    let (mut found, mut before) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = piece;
        while let Some(end) = reader.read(rest) {
            let Event { answer, has_data, is_error } = reader.event();
            let word = match answer {
                Some(answer) => {
                    let state = answer.state().map(|state| format!(" {}", state.word())).unwrap_or_default();
                    format!("{:?} {}{state}", answer.kind(), answer.task().unwrap_or("-"))
                }
                None if has_data => "unreadable".to_owned(),
                None => "empty".to_owned(),
            };
            let word = if is_error { format!("error: {word}") } else { word };
            found.push((before + piece.len() - rest.len() + end, word));
            rest = &rest[end..];
        }
        before += piece.len();
    }
    found
}

const TASK: &str = r#"{"result":{"task":{"id":"t"}}}"#;

#[test]
fn events_are_read_in_every_framing_and_cut() {
    let data = format!("data: {TASK}");
    let halves = "data: {\"result\":{\"task\":\ndata: {\"id\":\"t\"}}}";
    for (text, expected) in [
        (format!("{data}\r\n\r\n"), &["Task t"][..]),
        (format!("{data}\n\n"), &["Task t"]),
        (format!("{data}\r\r{data}\r\r:"), &["Task t", "Task t"]),
        (format!("\u{feff}{data}\n\n"), &["Task t"]),
        (format!("\n\n{data}\n\n\n\n"), &["Task t"]),
        (format!(": ping - 12:00\r\n\r\n{data}\r\n\r\n: ping\r\n\r\n"), &["Task t"]),
        (format!("{halves}\n\n"), &["Task t"]),
        (format!("data:{TASK}\nid: 7\nretry: 10\n\n"), &["Task t"]),
        ("event: error\ndata: {\"error\":{\"code\":-32603}}\n\n".to_owned(), &["error: Error -"]),
        (format!("event: x\nevent: error\n{data}\n\n{data}\n\n"), &["error: Task t", "Task t"]),
        (format!("event: errors\n{data}\n\n"), &["Task t"]),
        ("data: no json\n\ndata\n\ndata:\n\nid: 1\n\n".to_owned(), &["unreadable", "empty", "empty", "empty"]),
        (format!("dat: x\ndatas: y\n{data}\n\n"), &["Task t"]),
        ("data: {\n\ndata: {}\n\n".to_owned(), &["unreadable", "Other -"]),
        (data.clone(), &[]),
        (format!("{data}\n"), &[]),
    ] {
        let whole = read([text.as_bytes()]);
        assert_eq!(whole.iter().map(|(_, word)| &**word).collect::<Vec<_>>(), expected, "{text:?}");
        for at in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(at);
            assert_eq!(read([head, tail]), whole, "{text:?} cut at {at}");
        }
        assert_eq!(read(text.as_bytes().chunks(1)), whole, "{text:?} byte by byte");
    }
}

#[test]
fn the_end_of_a_stream_ends_a_line_that_a_carriage_return_has_ended() {
    for (text, has_ended) in [
        ("data: {\"statusUpdate\":{}}\r\r", true),
        ("data: {\"statusUpdate\":{}}\r\n\r", true),
        ("data: {\"statusUpdate\":{}}\r", false),
        ("data: {\"statusUpdate\":{}}\n", false),
        ("data: {\"statusUpdate\":{}}", false),
        ("", false),
    ] {
        let mut reader = EventReader::new(AnswerReader::rest());
        assert_eq!(reader.read(text.as_bytes()), None, "{text:?}");
        assert_eq!(reader.finish(), has_ended, "{text:?}");
        if has_ended {
            assert_eq!(reader.event().answer.unwrap().kind(), Kind::StatusUpdate, "{text:?}");
            assert!(reader.is_between() && !reader.finish(), "{text:?}");
        }
    }
}

#[test]
fn a_stream_is_between_events_or_in_one() {
    for (text, is_between) in [
        ("", true),
        ("data: {}\n\n", true),
        ("data: {}\n", false),
        ("data: {}\r\n\r\n: ping\r\n\r\n", true),
        ("\u{feff}", true),
        (": pi", false),
        ("data", false),
        ("\n", true),
    ] {
        let mut reader = EventReader::new(AnswerReader::rest());
        let mut rest = text.as_bytes();
        while let Some(end) = reader.read(rest) {
            rest = &rest[end..];
        }
        assert_eq!(reader.is_between(), is_between, "{text:?}");
    }
}

#[test]
fn an_event_of_any_size_is_read() {
    let text = format!(
        "data: {{\"result\":{{\"artifactUpdate\":{{\"x\":\"{}\",\"taskId\":\"t\"}}}}}}\n\n",
        "A".repeat(8 << 20)
    );
    let mut reader = EventReader::new(AnswerReader::json_rpc());
    let ends: Vec<_> = text.as_bytes().chunks(16 << 10).filter_map(|piece| reader.read(piece)).collect();
    assert_eq!(ends.len(), 1);
    let answer = reader.event().answer.unwrap();
    assert_eq!((answer.kind(), answer.task()), (Kind::ArtifactUpdate, Some("t")));
}

proptest! {
    #[test]
    fn it_does_not_matter_how_a_stream_is_cut(
        parts in proptest::collection::vec(prop::sample::select(vec![
            "\n", "\r", "\r\n", ":", "data", "data: ", "{", "}", "event: error", "\u{feff}", "x", " ", TASK,
        ]), 0..24),
        size in 1_usize..7,
    ) {
        let text = parts.concat();
        prop_assert_eq!(read(text.as_bytes().chunks(size)), read([text.as_bytes()]), "{:?}", text);
    }

    /// Whole events are compared with the one before, and pieces of them are not.
    #[test]
    fn events_that_are_nearly_alike_say_what_each_says_by_itself(
        parts in proptest::collection::vec((like(), like(), like(), 0..9_u8), 1..8),
        size in 1_usize..200,
    ) {
        let event = |(state, id, text, other): &(String, String, String, u8)| {
            let (before, result) = match other {
                0 => (format!("id: {text}\n"), format!(r#""task":{{"id":{id},"status":{{"state":{state}}}}}"#)),
                1 => (String::new(), format!(r#""artifactUpdate":{{"taskId":{id},"x":{text}}}"#)),
                _ => {
                    let status = format!(r#"{{"state":{state},"x":{text}}}"#);
                    (String::new(), format!(r#""statusUpdate":{{"taskId":{id},"status":{status}}}"#))
                }
            };
            format!("{before}data: {{\"id\":{text},\"result\":{{{result}}}}}\n\n")
        };
        let events: Vec<String> = parts.iter().map(event).collect();
        let text = events.concat();
        let whole = read([text.as_bytes()]);
        prop_assert_eq!(&read(text.as_bytes().chunks(size)), &whole, "{:?}", text);
        prop_assert_eq!(&read(events.iter().map(|event| event.as_bytes())), &whole, "{:?}", text);
        let alone = events.iter().flat_map(|event| read([event.as_bytes()])).map(|(_, word)| word);
        prop_assert_eq!(alone.collect::<Vec<_>>(), whole.into_iter().map(|(_, word)| word).collect::<Vec<_>>());
    }
}

/// A value of JSON, or nearly one.
fn like() -> impl Strategy<Value = String> {
    let words = [
        "\"TASK_STATE_WORKING\"", "\"TASK_STATE_WORKING\"", "\"TASK_STATE_COMPLETED\"", "\"a\"", "\"b\"", "\"\"", "1",
        "2", "-0.5e1", "01", "-", "\"\\n\\u0041\"", "\"\\\"state\\\":\"", "\"\\x\"", "\"",
        "\"a\",\"state\":\"failed\"", "\"\r\"", "{}", "1\n\n", "\"a\",\"x\":\"b\"",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}
