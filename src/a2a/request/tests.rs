//! Tests of what is read from the bodies of requests, in the key orders of the official SDKs.

use proptest::prelude::*;

use super::*;
use Generation::{V0_1, V0_3, V1_0};

fn ids<'a>(task: &'a str, context: &'a str, message: &'a str, tenant: &'a str, config: &'a str) -> Ids<'a> {
    let some = |text: &'a str| (!text.is_empty()).then_some(text);
    let [task, context, message, tenant, config] = [task, context, message, tenant, config].map(some);
    Ids { task, context, message, tenant, config }
}

/// Method, params, what they mean.
type Case = (&'static str, &'static str, Operation, Generation, Ids<'static>);

/// Reads each as the official SDKs write it, and as the body of REST.
fn check(cases: &[Case]) {
    for (method, params, operation, generation, expected) in cases {
        // As Python has it, and as JavaScript.
        for text in [
            format!(r#"{{"method":"{method}","params":{params},"id":"7f1","jsonrpc":"2.0"}}"#),
            format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params},"id":"7f1"}}"#),
        ] {
            let body = Body::read(text.as_bytes()).unwrap();
            assert_eq!(body.operation(), Some((*operation, *generation)), "{text}");
            assert_eq!(body.ids(*operation, *generation), *expected, "{text}");
            assert_eq!((body.id(), body.is_json_rpc()), (Some("\"7f1\""), true), "{text}");
            assert!(!body.is_ambiguous() && !body.is_incomplete() && !body.is_batch(), "{text}");
        }
        let mut rest = BodyReader::rest();
        rest.feed(params.as_bytes()).unwrap();
        assert_eq!(rest.finish().unwrap().ids(*operation, *generation), *expected, "{params}");
    }
}

#[test]
fn ids_of_messages_are_where_each_generation_has_them() {
    let (send, stream) = (Operation::SendMessage, Operation::SendStreamingMessage);
    check(&[
        (
            "tasks/send",
            r#"{"id":"t","sessionId":"s","message":{"role":"user"}}"#,
            send,
            V0_1,
            ids("t", "s", "", "", ""),
        ),
        ("tasks/sendSubscribe", r#"{"id":"t"}"#, stream, V0_1, ids("t", "", "", "", "")),
        (
            "message/send",
            r#"{"message":{"messageId":"m","taskId":"t","contextId":"c","kind":"message"},"tenant":"x"}"#,
            send,
            V0_3,
            ids("t", "c", "m", "", ""),
        ),
        ("message/stream", r#"{"message":{"messageId":"m"},"id":"no"}"#, stream, V0_3, ids("", "", "m", "", "")),
        (
            "SendMessage",
            r#"{"tenant":"n","message":{"parts":[{"text":"hi"}],"contextId":"c","messageId":"m","taskId":""}}"#,
            send,
            V1_0,
            ids("", "c", "m", "n", ""),
        ),
        ("SendMessage", r#"{"message":{"message_id":"m","task_id":"t"}}"#, send, V1_0, ids("t", "", "m", "", "")),
    ]);
}

#[test]
fn ids_of_tasks_are_where_each_generation_has_them() {
    let (get, cancel, subscribe) = (Operation::GetTask, Operation::CancelTask, Operation::SubscribeToTask);
    check(&[
        ("tasks/get", r#"{"id":"t","historyLength":3}"#, get, V0_3, ids("t", "", "", "", "")),
        ("GetTask", r#"{"id":"t\u002f1","tenant":"n"}"#, get, V1_0, ids("t/1", "", "", "n", "")),
        ("CancelTask", r#"{"id":"t"}"#, cancel, V1_0, ids("t", "", "", "", "")),
        ("tasks/cancel", r#"{"id":"t"}"#, cancel, V0_3, ids("t", "", "", "", "")),
        ("tasks/resubscribe", r#"{"id":"t"}"#, subscribe, V0_3, ids("t", "", "", "", "")),
        ("ListTasks", r#"{"contextId":"c","pageSize":5}"#, Operation::ListTasks, V1_0, ids("", "c", "", "", "")),
        ("GetExtendedAgentCard", r#"{"tenant":"n"}"#, Operation::GetExtendedAgentCard, V1_0, ids("", "", "", "n", "")),
    ]);
}

#[test]
fn ids_of_webhooks_are_where_each_generation_has_them() {
    use Operation::{
        CreateTaskPushNotificationConfig as Create, DeleteTaskPushNotificationConfig as Delete,
        GetTaskPushNotificationConfig as Get, ListTaskPushNotificationConfigs as List,
    };
    let task = ids("t", "", "", "", "");
    let both = ids("t", "", "", "", "c");
    check(&[
        ("tasks/pushNotification/set", r#"{"id":"t","pushNotificationConfig":{"url":"u"}}"#, Create, V0_1, task),
        (
            "tasks/pushNotificationConfig/set",
            r#"{"taskId":"t","pushNotificationConfig":{"id":"c","url":"u"}}"#,
            Create,
            V0_3,
            task,
        ),
        ("CreateTaskPushNotificationConfig", r#"{"id":"c","taskId":"t","url":"u"}"#, Create, V1_0, task),
        ("tasks/pushNotification/get", r#"{"id":"t"}"#, Get, V0_1, task),
        ("tasks/pushNotificationConfig/get", r#"{"id":"t","pushNotificationConfigId":"c"}"#, Get, V0_3, both),
        ("GetTaskPushNotificationConfig", r#"{"id":"c","taskId":"t"}"#, Get, V1_0, both),
        ("tasks/pushNotificationConfig/delete", r#"{"id":"t","pushNotificationConfigId":"c"}"#, Delete, V0_3, both),
        ("DeleteTaskPushNotificationConfig", r#"{"taskId":"t","id":"c"}"#, Delete, V1_0, both),
        ("tasks/pushNotificationConfig/list", r#"{"id":"t"}"#, List, V0_3, task),
        ("ListTaskPushNotificationConfigs", r#"{"taskId":"t"}"#, List, V1_0, task),
    ]);
}

#[test]
fn an_older_rest_body_has_the_names_of_its_protocol_buffers() {
    let mut reader = BodyReader::rest();
    let text = br#"{"request":{"messageId":"m","taskId":"t","content":[{"file":{"fileWithUri":"https://f/1"}}]},
        "configuration":{"pushNotification":{"url":"https://p/1"}}}"#;
    reader.feed(text).unwrap();
    let body = reader.finish().unwrap();
    assert_eq!(body.ids(Operation::SendMessage, V0_3), ids("t", "", "m", "", ""));
    assert_eq!(body.file_urls().collect::<Vec<_>>(), ["https://f/1"]);
    assert_eq!(body.push_urls().collect::<Vec<_>>(), ["https://p/1"]);
}

#[test]
fn an_id_is_kept_as_it_was_written() {
    for (id, expected) in [
        (r#""id":"a\"\u0062","#, Some(r#""a\"\u0062""#)),
        (r#""id":-12,"#, Some("-12")),
        (r#""id":1.50,"#, Some("1.50")),
        (r#""id":null,"#, Some("null")),
        (r#""id":"","#, Some(r#""""#)),
        (r#""id":true,"#, None),
        (r#""id":["a"],"#, None),
        (r#""id":{"id":1},"#, None),
        ("", None),
    ] {
        let text = format!(r#"{{{id}"method":"GetTask"}}"#);
        assert_eq!(Body::read(text.as_bytes()).unwrap().id(), expected, "{text}");
    }
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(513));
    let body = Body::read(long.as_bytes()).unwrap();
    assert_eq!((body.id(), body.is_incomplete()), (None, true));
}

#[test]
fn addresses_are_found_in_every_shape() {
    for (text, push, file) in [
        (r#"{"params":{"configuration":{"pushNotificationConfig":{"token":"x","url":"p"}}}}"#, &["p"][..], &[][..]),
        (r#"{"params":{"configuration":{"taskPushNotificationConfig":{"url":"p"}}}}"#, &["p"], &[]),
        (r#"{"params":{"pushNotification":{"url":"p"}}}"#, &["p"], &[]),
        (r#"{"params":{"pushNotificationConfig":{"url":"p"}}}"#, &["p"], &[]),
        (r#"{"params":{"config":{"push_notification_config":{"url":"p"}}}}"#, &["p"], &[]),
        (r#"{"params":{"taskId":"t","url":"p"}}"#, &["p"], &[]),
        (r#"{"params":{"message":{"parts":[{"url":"f"},{"text":"no"},{"URL":"g"}]}}}"#, &[], &["f", "g"]),
        (r#"{"params":{"message":{"parts":[{"kind":"file","file":{"uri":"f"}}]}}}"#, &[], &["f"]),
        (r#"{"params":{"message":{"parts":[{"data":{"url":"no"}}],"metadata":{"url":"no"}}}}"#, &[], &[]),
    ] {
        let body = Body::read(text.as_bytes()).unwrap();
        assert_eq!(body.push_urls().collect::<Vec<_>>(), push, "{text}");
        assert_eq!(body.file_urls().collect::<Vec<_>>(), file, "{text}");
    }
    let parts = vec![r#"{"url":"f"}"#; 17].join(",");
    let body = Body::read(format!(r#"{{"params":{{"message":{{"parts":[{parts}]}}}}}}"#).as_bytes()).unwrap();
    assert_eq!((body.file_urls().count(), body.is_incomplete()), (16, true), "more than are kept");
    assert_eq!((body.lacks_file_urls(), body.lacks_push_urls()), (true, false));
    let long = format!(r#"{{"params":{{"url":"https://{}"}}}}"#, "x".repeat(600));
    let body = Body::read(long.as_bytes()).unwrap();
    assert_eq!((body.lacks_file_urls(), body.lacks_push_urls(), body.push_urls().count()), (false, true, 0));
}

#[test]
fn what_can_be_read_in_two_ways_says_so() {
    for (text, is_ambiguous) in [
        (r#"{"method":"GetTask","method":"SendMessage"}"#, true),
        (r#"{"method":"GetTask","\u006dethod":"SendMessage"}"#, true),
        (r#"{"method":"GetTask","Method":"SendMessage"}"#, true),
        (r#"{"method":"x","method":"GetTask"}"#, true),
        (r#"{"params":{"message":{"taskId":"a","taſkId":"b"}}}"#, true),
        (r#"{"params":{"message":{"taskId":"a","ta\u017fk_id":"b"}}}"#, true),
        (r#"{"params":{"message":{"taskId":"a","tasKId":"b"}}}"#, true),
        (r#"{"params":{"message":{"taskId":"a","taßkId":"b"}}}"#, false),
        (r#"{"params":{},"params":{}}"#, true),
        (r#"{"params":{"id":"a","id":"a"}}"#, true),
        (r#"{"params":{"message":{"taskId":"a","task_id":"b"}}}"#, true),
        (r#"{"params":{"message":{},"request":{}}}"#, true),
        (r#"{"params":{"message":{"parts":[{"url":"a"},{"url":"b"}]}}}"#, false),
        (r#"{"params":{"metadata":{"id":1,"id":2}},"x":1,"x":2}"#, false),
    ] {
        assert_eq!(Body::read(text.as_bytes()).unwrap().is_ambiguous(), is_ambiguous, "{text}");
    }
    let first = Body::read(br#"{"method":"GetTask","method":"SendMessage"}"#).unwrap();
    assert_eq!(first.method(), Some("GetTask"));
    let second = Body::read(br#"{"method":"x","method":"GetTask"}"#).unwrap();
    assert_eq!(second.method(), Some("GetTask"));
}

#[test]
fn batches_strangers_and_garbage_are_told_apart() {
    let batch = Body::read(br#"[{"jsonrpc":"2.0","method":"GetTask","id":1}]"#).unwrap();
    assert!(batch.is_batch() && batch.id().is_none());
    assert_eq!(batch.operation(), Some((Operation::GetTask, V1_0)));
    for (text, method) in [
        (
            r#"[{"method":"tools/list","id":1},{"method":"SendMessage","id":2},{"method":"GetTask"}]"#,
            Some("SendMessage"),
        ),
        (r#"[[{"id":1,"method":"message/send"}]]"#, Some("message/send")),
        (r#"[{"method":"tools/list"},{"method":"ping"}]"#, Some("tools/list")),
        (r#"[1,2,"x"]"#, None),
    ] {
        let batch = Body::read(text.as_bytes()).unwrap();
        assert_eq!((batch.is_batch(), batch.method()), (true, method), "{text}");
    }
    let stranger = Body::read(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#).unwrap();
    assert_eq!((stranger.method(), stranger.operation()), (Some("tools/call"), None));
    assert!(!Body::read(br#"{"method":"GetTask","jsonrpc":"1.0"}"#).unwrap().is_json_rpc());
    assert_eq!(Body::read(br#"{"method":"GetTask""#).unwrap_err(), Fault::Malformed);
    assert_eq!(Body::read("[".repeat(2000).as_bytes()).unwrap_err(), Fault::TooDeep);
    assert!(Body::read(b"7").unwrap().method().is_none());
}

#[test]
fn a_body_under_way_tells_what_has_come() {
    let mut reader = BodyReader::json_rpc();
    reader
        .feed(br#"{"jsonrpc":"2.0","id":7,"method":"SendMessage","params":{"message":{"parts":[{"raw":"AAAA"#)
        .unwrap();
    assert_eq!((reader.so_far().id(), reader.so_far().method()), (Some("7"), Some("SendMessage")));
    assert_eq!(reader.finish().unwrap_err(), Fault::Malformed);
}

#[test]
fn memory_is_bounded_whatever_is_repeated() {
    let text = "x".repeat(500);
    let members = format!(r#""id":"{text}","taskId":"{text}","#).repeat(1000);
    let parts = format!(r#"{{"url":"{text}"}},"#).repeat(1000);
    let text = format!(r#"{{"params":{{{members}"message":{{"parts":[{parts}1]}}}}}}"#);
    let body = Body::read(text.as_bytes()).unwrap();
    assert!(body.is_ambiguous() && body.is_incomplete());
    assert_eq!(body.file_urls().count(), 16);
    assert_eq!(body.texts, {
        let mut texts = Texts::default();
        (0..18).for_each(|_| assert!(texts.push(&[&"x".repeat(500)]).is_some()));
        texts
    });
}

proptest! {
    #[test]
    fn any_cut_gives_the_same(
        task in ".{0,9}",
        context in any::<String>(),
        id in any::<i32>(),
        size in 1_usize..7,
        is_string in any::<bool>(),
    ) {
        let id = if is_string { serde_json::json!(context) } else { serde_json::json!(id) };
        let call = serde_json::json!({
            "jsonrpc": "2.0", "id": id, "method": "message/send",
            "params": { "message": { "taskId": task, "contextId": context, "parts": [{ "text": task }] } },
        });
        let text = call.to_string();
        let mut reader = BodyReader::json_rpc();
        for piece in text.as_bytes().chunks(size) {
            reader.feed(piece).unwrap();
        }
        let (cut, whole) = (reader.finish().unwrap(), Body::read(text.as_bytes()).unwrap());
        let found = whole.ids(Operation::SendMessage, V0_3);
        prop_assert_eq!(cut.ids(Operation::SendMessage, V0_3), found);
        prop_assert_eq!(found.task, Some(&*task).filter(|text| !text.is_empty()));
        prop_assert_eq!(found.context, Some(&*context).filter(|text| !text.is_empty()));
        prop_assert_eq!(whole.id(), Some(&*call["id"].to_string()));
        prop_assert_eq!(cut.id(), whole.id());
    }
}
