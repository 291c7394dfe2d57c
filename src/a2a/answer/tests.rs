//! Tests of what is read from answers, as the official SDKs write them.

use proptest::prelude::*;

use super::*;

/// Kind, task, context, state and whether it is the last.
type Said = (Kind, Option<String>, Option<String>, Option<TaskState>, bool);

fn said(answer: &Answer) -> Said {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    (answer.kind(), owned(answer.task()), owned(answer.context()), answer.state(), answer.is_final())
}

fn read(mut reader: AnswerReader, text: &str, size: usize) -> Answer {
    for piece in text.as_bytes().chunks(size) {
        reader.feed(piece).unwrap();
    }
    reader.finish().unwrap();
    reader.answer
}

/// Result, kind, task, context, state and whether it is the last.
type Case = (&'static str, Kind, &'static str, &'static str, Option<TaskState>, bool);

/// Reads each as the result of JSON-RPC and as an answer of REST.
fn check(cases: &[Case]) {
    for (result, kind, task, context, state, is_final) in cases {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let expected = (*kind, some(task), some(context), *state, *is_final);
        let envelope = format!(r#"{{"result":{result},"id":"7f1","jsonrpc":"2.0"}}"#);
        for size in [1, 3, envelope.len()] {
            assert_eq!(said(&read(AnswerReader::json_rpc(), &envelope, size)), expected, "{envelope}");
            assert_eq!(said(&read(AnswerReader::rest(), result, size)), expected, "{result}");
        }
    }
}

#[test]
fn answers_of_the_current_generation_are_read() {
    use TaskState::{Completed, InputRequired, Submitted};
    check(&[
        (
            r#"{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_SUBMITTED","message":{"taskId":"no"}}}}"#,
            Kind::Task,
            "t",
            "c",
            Some(Submitted),
            false,
        ),
        (
            r#"{"message":{"messageId":"m","taskId":"t","contextId":"c","parts":[{"text":"\"id\":1"}]}}"#,
            Kind::Message,
            "t",
            "c",
            None,
            false,
        ),
        (r#"{"message":{"messageId":"m","role":"ROLE_AGENT"}}"#, Kind::Message, "", "", None, false),
        (
            r#"{"statusUpdate":{"taskId":"t","contextId":"c","status":{"state":"TASK_STATE_COMPLETED"}}}"#,
            Kind::StatusUpdate,
            "t",
            "c",
            Some(Completed),
            false,
        ),
        (
            r#"{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[]},"append":true}}"#,
            Kind::ArtifactUpdate,
            "t",
            "c",
            None,
            false,
        ),
        (
            r#"{"id":"t","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED"}}"#,
            Kind::Task,
            "t",
            "c",
            Some(InputRequired),
            false,
        ),
        (r#"{"tasks":[{"id":"1","status":{}},{"id":"2"}],"nextPageToken":""}"#, Kind::Tasks, "", "", None, false),
        (r#"{"id":"config","taskId":"t","url":"https://u"}"#, Kind::Other, "", "", None, false),
        ("{}", Kind::Other, "", "", None, false),
        ("null", Kind::Other, "", "", None, false),
    ]);
}

#[test]
fn answers_of_older_generations_are_read() {
    use TaskState::{Completed, Working};
    check(&[
        // 0.2 and 0.3.
        (
            r#"{"contextId":"c","history":[{"kind":"message","taskId":"no"}],"id":"t","kind":"task","status":{"state":"working"}}"#,
            Kind::Task,
            "t",
            "c",
            Some(Working),
            false,
        ),
        (r#"{"kind":"message","messageId":"m","contextId":"c"}"#, Kind::Message, "", "c", None, false),
        (
            r#"{"final":true,"kind":"status-update","status":{"state":"completed"},"taskId":"t","contextId":"c"}"#,
            Kind::StatusUpdate,
            "t",
            "c",
            Some(Completed),
            true,
        ),
        (
            r#"{"kind":"artifact-update","taskId":"t","contextId":"c","artifact":{"artifactId":"a"},"lastChunk":false}"#,
            Kind::ArtifactUpdate,
            "t",
            "c",
            None,
            false,
        ),
        (r#"{"msg":{"messageId":"m","contextId":"c"}}"#, Kind::Message, "", "c", None, false),
        // 0.1.
        (r#"{"id":"t","sessionId":"s","status":{"state":"working"}}"#, Kind::Task, "t", "s", Some(Working), false),
        (
            r#"{"id":"t","status":{"state":"completed"},"final":true}"#,
            Kind::StatusUpdate,
            "t",
            "",
            Some(Completed),
            true,
        ),
        (r#"{"id":"t","artifact":{"parts":[],"index":0}}"#, Kind::ArtifactUpdate, "t", "", None, false),
    ]);
}

#[test]
fn errors_are_told_with_their_reason() {
    let details = r#"[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","domain":"a2a"}]"#;
    let full = format!(r#"{{"code":-32001,"message":"no","data":{details}}}"#);
    for (error, code, reason) in [
        (&*full, Some(-32001), Some("TASK_NOT_FOUND")),
        (r#"{"code":-32603,"message":"Internal error"}"#, Some(-32603), None),
        (r#"{"code":-32602,"data":"text","message":"x"}"#, Some(-32602), None),
        (r#"{"code":1e99}"#, None, None),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
        let answer = read(AnswerReader::json_rpc(), &text, 5);
        assert_eq!(answer.error(), Some(AgentError { code, status: None, reason }), "{text}");
        assert_eq!((answer.kind(), answer.task()), (Kind::Error, None));
    }
    let text = format!(r#"{{"error":{{"code":404,"status":"NOT_FOUND","details":{details}}}}}"#);
    let expected = AgentError { code: Some(404), status: Some("NOT_FOUND"), reason: Some("TASK_NOT_FOUND") };
    assert_eq!(read(AnswerReader::rest(), &text, 5).error(), Some(expected));
    let fine = read(AnswerReader::json_rpc(), r#"{"error":null,"result":{"task":{"id":"t"}}}"#, 9);
    assert_eq!((fine.error(), fine.task()), (None, Some("t")));
    let own = read(AnswerReader::json_rpc(), r#"{"result":{"error":{"code":1}}}"#, 9);
    assert_eq!(own.error(), None, "only the envelope has errors");
}

#[test]
fn a_list_is_kept_up_to_its_limit() {
    let tasks: Vec<String> = (0..150).map(|id| format!(r#"{{"id":"{id}","history":[{{"id":"no"}}]}}"#)).collect();
    let answer = read(AnswerReader::rest(), &format!(r#"{{"tasks":[{}]}}"#, tasks.join(",")), 1000);
    let expected: Vec<String> = (0..100).map(|id| id.to_string()).collect();
    assert_eq!(answer.tasks().collect::<Vec<_>>(), expected);
    assert!(answer.is_incomplete());
}

#[test]
fn an_answer_of_any_size_is_read_in_little_memory() {
    let mut reader = AnswerReader::json_rpc();
    reader.feed(br#"{"jsonrpc":"2.0","result":{"artifactUpdate":{"artifact":{"parts":[{"raw":""#).unwrap();
    for _ in 0..1000 {
        reader.feed(&[b'A'; 8192]).unwrap();
    }
    reader.feed(br#""}]},"taskId":"t"}}}"#).unwrap();
    assert_eq!(reader.finish().unwrap().task(), Some("t"));
    reader.restart();
    assert_eq!(reader.so_far().kind(), Kind::Other, "nothing is left of the answer before");
    assert_eq!(reader.finish().unwrap_err(), Fault::Malformed);
}

#[test]
fn a_member_that_comes_twice_is_told() {
    for (text, is_ambiguous) in [
        (r#"{"result":{"task":{"id":"a","id":"b"}}}"#, true),
        (r#"{"result":{"task":{"id":"a","metadata":{"id":1,"id":2}}}}"#, false),
    ] {
        assert_eq!(read(AnswerReader::json_rpc(), text, 4).is_ambiguous(), is_ambiguous, "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        parts in proptest::collection::vec(prop::sample::select(vec![
            "{", "}", "\"result\":", "\"task\":", "\"id\":", "\"a\"", ",", "\"status\":", "{\"state\":\"working\"}", "[", "]",
            "\"error\":", "{\"code\":-32001}", "\"final\":true", "\"tasks\":", "\\", "1",
        ]), 0..16),
        size in 1_usize..5,
    ) {
        let text = parts.concat();
        let seen = |size: usize| {
            let mut reader = AnswerReader::json_rpc();
            let fed = text.as_bytes().chunks(size).try_for_each(|piece| reader.feed(piece));
            (fed.and_then(|()| reader.finish().map(|_| ())), said(&reader.answer))
        };
        prop_assert_eq!(seen(size), seen(text.len().max(1)), "{}", text);
    }
}
