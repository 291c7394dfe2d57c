//! Tests of messages over gRPC, as the official Python SDK encodes them.

use proptest::prelude::*;

use super::super::operation::Operation::*;
use super::super::{Ids, Kind, TaskState};
use super::*;
use Generation::{V0_3, V1_0};

/// A message with its prefix, from hexadecimal digits.
fn message(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Vec<u8> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    [&[0][..], &u32::try_from(bytes.len()).unwrap().to_be_bytes(), &bytes].concat()
}

fn ids(text: &'static str) -> Ids<'static> {
    let has = |word: &'static str| text.contains(word).then_some(word);
    Ids { task: has("t"), context: has("c"), message: has("m"), tenant: has("n"), config: has("k") }
}

/// What the bytes of a request say.
fn read(operation: Operation, generation: Generation, bytes: &[u8], size: usize) -> GrpcRequestReader {
    let mut reader = GrpcRequestReader::new(operation, generation);
    let pieces = bytes.chunks(size.max(1));
    assert_eq!(pieces.filter(|piece| reader.read(piece)).count(), 1, "the message ends once");
    reader
}

const SEND: &str = "0a016e122f0a016d1201631a017420012a040a0268692a0d1a0b68747470733a2f2f662f312a0d1a0b68747470733a2f2f662f321a1a0a04746578741210220b68747470733a2f2f702f312a01781803";

#[test]
fn requests_of_both_packages_say_their_ids() {
    let webhook = &["https://p/1"][..];
    for (operation, generation, digits, expected, push, files) in [
        (SendMessage, V1_0, SEND, ids("tcmn"), webhook, &["https://f/1", "https://f/2"][..]),
        (SendStreamingMessage, V1_0, SEND, ids("tcmn"), webhook, &["https://f/1", "https://f/2"]),
        (GetTask, V1_0, "0a016e12017418c801", ids("tn"), &[], &[]),
        (CancelTask, V1_0, "0a016e12017418c801", ids("tn"), &[], &[]),
        (
            CreateTaskPushNotificationConfig,
            V1_0,
            "0a016e1201631a0174220b68747470733a2f2f702f31",
            ids("tn"),
            webhook,
            &[],
        ),
        (GetTaskPushNotificationConfig, V1_0, "0a016e1201741a016b", ids("tnk"), &[], &[]),
        (ListTaskPushNotificationConfigs, V1_0, "0a0174100522016e", ids("tn"), &[], &[]),
        (ListTasks, V1_0, "0a016e1201632005", ids("cn"), &[], &[]),
        (
            SendMessage,
            V0_3,
            "0a1a0a016d1201631a01742a0f120d0a0b68747470733a2f2f662f31121212100a0163120b68747470733a2f2f702f31",
            ids("tcm"),
            webhook,
            &["https://f/1"],
        ),
        (SubscribeToTask, V0_3, "0a077461736b732f74", ids("t"), &[], &[]),
        (
            GetTaskPushNotificationConfig,
            V0_3,
            "0a217461736b732f742f707573684e6f74696669636174696f6e436f6e666967732f6b",
            ids("tk"),
            &[],
            &[],
        ),
        (
            CreateTaskPushNotificationConfig,
            V0_3,
            "0a077461736b732f741201631a320a217461736b732f742f707573684e6f74696669636174696f6e436f6e666967732f63120d120b68747470733a2f2f702f31",
            ids("t"),
            webhook,
            &[],
        ),
        (ListTaskPushNotificationConfigs, V0_3, "0a077461736b732f74", ids("t"), &[], &[]),
        (GetExtendedAgentCard, V1_0, "0a016e", ids("n"), &[], &[]),
        (GetExtendedAgentCard, V0_3, "", ids(""), &[], &[]),
    ] {
        let bytes = message(digits);
        for size in [1, 2, 7, bytes.len()] {
            let reader = read(operation, generation, &bytes, size);
            let body = reader.body().unwrap();
            assert_eq!(body.ids(operation, generation), expected, "{operation:?} {generation:?}");
            assert_eq!(body.push_urls().collect::<Vec<_>>(), push, "{operation:?} {generation:?}");
            assert_eq!(body.file_urls().collect::<Vec<_>>(), files, "{operation:?} {generation:?}");
            assert!(!body.is_ambiguous() && !body.is_incomplete());
        }
    }
}

#[test]
fn answers_of_both_packages_say_their_task() {
    let (working, done) = (Some(TaskState::Working), Some(TaskState::Completed));
    for (operation, digits, kind, task, context, state, is_final) in [
        (
            SendStreamingMessage,
            "0a190a01741201631a0c080212080a026e6f1a026e6f2a030a0178",
            Kind::Task,
            Some("t"),
            Some("c"),
            working,
            false,
        ),
        (
            SendStreamingMessage,
            "1a1c0a01741201631a02080322100a0e0a0161120911000000000000f03f",
            Kind::StatusUpdate,
            Some("t"),
            Some("c"),
            done,
            false,
        ),
        (
            SubscribeToTask,
            "222d0a01741201631a250a016122200a1e787878787878787878787878787878787878787878787878787878787878",
            Kind::ArtifactUpdate,
            Some("t"),
            Some("c"),
            None,
            false,
        ),
        (SendMessage, "12060a016d120163", Kind::Message, None, Some("c"), None, false),
        (
            GetTask,
            "0a01741201631a0c080212080a026e6f1a026e6f2a030a0178",
            Kind::Task,
            Some("t"),
            Some("c"),
            working,
            false,
        ),
        (ListTasks, "0a030a01310a070a01321a0208031802", Kind::Tasks, None, None, None, false),
        (
            SubscribeToTask,
            "1a0c0a01741201631a0208062001",
            Kind::StatusUpdate,
            Some("t"),
            Some("c"),
            Some(TaskState::InputRequired),
            true,
        ),
        (GetExtendedAgentCard, "0a016e", Kind::Other, None, None, None, false),
    ] {
        let bytes = message(digits);
        for size in [1, 3, bytes.len()] {
            let mut reader = GrpcAnswerReader::new(operation);
            assert_eq!(bytes.chunks(size).filter_map(|piece| reader.read(piece)).count(), 1);
            let answer = reader.answer().unwrap();
            assert_eq!((answer.kind(), answer.task(), answer.context()), (kind, task, context), "{digits}");
            assert_eq!((answer.state(), answer.is_final()), (state, is_final), "{digits}");
        }
    }
    let mut reader = GrpcAnswerReader::new(ListTasks);
    assert!(reader.read(&message("0a030a01310a070a01321a0208031802")).is_some());
    assert_eq!(reader.answer().unwrap().tasks().collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn the_messages_of_a_stream_are_read_one_by_one() {
    let all = [
        message("0a190a01741201631a0c080212080a026e6f1a026e6f2a030a0178"),
        message("222d0a01741201631a250a016122200a1e787878787878787878787878787878787878787878787878787878787878"),
        message("1a1c0a01741201631a02080322100a0e0a0161120911000000000000f03f"),
    ]
    .concat();
    for at in 0..=all.len() {
        let mut reader = GrpcAnswerReader::new(SendStreamingMessage);
        let mut kinds = Vec::new();
        let (head, tail) = all.split_at(at);
        for piece in [head, tail] {
            let mut rest = piece;
            while let Some(end) = reader.read(rest) {
                kinds.push(reader.answer().unwrap().kind());
                assert!(reader.is_between());
                rest = &rest[end..];
            }
        }
        assert_eq!(kinds, [Kind::Task, Kind::ArtifactUpdate, Kind::StatusUpdate], "cut at {at}");
    }
}

#[test]
fn what_is_compressed_or_no_message_is_not_read() {
    for (bytes, why) in [
        (&b"\x01\0\0\0\x01\x0a"[..], "compressed"),
        (b"\x02\0\0\0\x01\x0a", "no flag"),
        (b"\0\0\0\0\x01\x0a", "a tag without a length"),
        (b"\0\0\0\0\x02\x0a\x01", "a length beyond the message"),
        (b"\0\0\0\0\x03\x0a\x7fx", "a length far beyond the message"),
        (b"\0\0\0\0\x02\x0b\x0c", "a group"),
        (b"\0\0\0\0\x02\x0f\x00", "an unknown wire type"),
        (b"\0\0\0\0\x02\x00\x00", "field zero"),
        (b"\0\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "a number of more than 64 bits"),
        (b"\0\0\0\0\x03\x12\x01\xff", "an id that is no text"),
        (b"\0\0\0\0\x03\x09\x00\x00", "a fixed number that is cut off"),
        (b"\0\0\0\0\x0b\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a length that overflows"),
    ] {
        for size in [1, 2, bytes.len()] {
            let mut reader = GrpcRequestReader::new(GetTask, V1_0);
            bytes.chunks(size).for_each(|piece| {
                reader.read(piece);
            });
            assert!(reader.body().is_none(), "{why}");
        }
    }
    let mut inner = GrpcRequestReader::new(SendMessage, V1_0);
    inner.read(b"\0\0\0\0\x06\x12\x02\x0a\x03abc");
    assert!(inner.body().is_none(), "a field that goes beyond the message it is in");
}

#[test]
fn what_comes_twice_or_is_too_long_says_so() {
    let twice = message("12017412017512016e");
    assert!(read(GetTask, V1_0, &twice, 4).body().unwrap().is_ambiguous());
    let mut two = message("120174");
    two.extend_from_slice(&message("120175"));
    let mut reader = GrpcRequestReader::new(GetTask, V1_0);
    assert!(reader.read(&two));
    let body = reader.body().unwrap();
    assert!(body.is_ambiguous());
    assert_eq!(body.ids(GetTask, V1_0).task, Some("t"));
    let long = message(&format!("128404{}", "61".repeat(516)));
    let reader = read(GetTask, V1_0, &long, 100);
    let body = reader.body().unwrap();
    assert_eq!((body.is_incomplete(), body.ids(GetTask, V1_0).task), (true, None));
}

proptest! {
    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        tail in proptest::collection::vec(any::<u8>(), 0..40),
        at in 0_usize..80,
        size in 1_usize..9,
    ) {
        let mut bytes = message(SEND);
        bytes.splice(at.min(bytes.len()).., tail);
        let seen = |size: usize| {
            let mut reader = GrpcRequestReader::new(SendMessage, V1_0);
            for piece in bytes.chunks(size) {
                reader.read(piece);
            }
            reader.body().map(|body| {
                let files: Vec<String> = body.file_urls().map(str::to_owned).collect();
                (format!("{:?}", body.ids(SendMessage, V1_0)), files, body.is_ambiguous(), body.is_incomplete())
            })
        };
        prop_assert_eq!(seen(size), seen(bytes.len().max(1)));
    }
}

/// A field: its number, its wire type, and what follows both.
fn field(number: u32, wire: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = varint(u64::from(number << 3 | wire));
    if wire == 2 {
        bytes.extend(varint(content.len() as u64));
    }
    [&bytes, content].concat()
}

fn varint(mut left: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while left > 0x7f {
        bytes.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    bytes.push(u8::try_from(left).unwrap());
    bytes
}

/// Fields that no message of A2A has.
fn strangers() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let content = proptest::collection::vec(any::<u8>(), 0..12);
    let stranger = (100_u32..1 << 29, prop::sample::select(vec![0_u32, 1, 2, 5]), content, any::<u64>()).prop_map(
        |(number, wire, content, value)| match wire {
            0 => field(number, wire, &varint(value)),
            1 => field(number, wire, &value.to_le_bytes()),
            2 => field(number, wire, &content),
            _ => field(number, wire, &value.to_le_bytes()[..4]),
        },
    );
    proptest::collection::vec(stranger, 0..4)
}

/// Fields in any order, with strangers between them.
fn shuffled(fields: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let all = strangers().prop_map(move |strangers| [fields.clone(), strangers].concat());
    all.prop_shuffle().prop_map(|fields| fields.concat())
}

/// Text that a field holds.
fn word() -> impl Strategy<Value = String> {
    "\\PC{1,20}"
}

proptest! {
    #[test]
    fn a_request_says_the_same_in_any_order_of_its_fields(
        (ids, bytes) in (word(), word(), word(), word()).prop_flat_map(|(message, context, task, tenant)| {
            let ids = [(1, &message), (2, &context), (3, &task)];
            let fields = ids.map(|(number, text)| field(number, 2, text.as_bytes()));
            let text = field(5, 2, &field(1, 2, b"\x1a\x05other"));
            let inner = shuffled([&fields[..], &[text.clone(), text]].concat());
            let tenant_field = field(1, 2, tenant.as_bytes());
            let whole = inner.prop_flat_map(move |inner| shuffled(vec![tenant_field.clone(), field(2, 2, &inner)]));
            (Just([message, context, task, tenant]), whole)
        }),
        size in 1_usize..40,
    ) {
        let bytes = [&[0][..], &u32::try_from(bytes.len()).unwrap().to_be_bytes(), &bytes].concat();
        let body = read(SendMessage, V1_0, &bytes, size).body();
        let Some(body) = body else { return Err(TestCaseError::fail("it is a message")) };
        let [message, context, task, tenant] = ids.each_ref().map(|id| Some(&**id));
        prop_assert_eq!(body.ids(SendMessage, V1_0), Ids { task, context, message, tenant, config: None });
        prop_assert!(!body.is_ambiguous() && !body.is_incomplete());
    }

    #[test]
    fn an_event_says_the_same_in_any_order_of_its_fields(
        (task, context, state, bytes) in (word(), word(), 0_u64..9).prop_flat_map(|(task, context, state)| {
            let fields = vec![field(1, 2, task.as_bytes()), field(2, 2, context.as_bytes())];
            // A state, beside a message that has a state's number for one of its fields.
            let inner = shuffled(vec![field(1, 0, &varint(state)), field(2, 2, b"\x08\x03")]);
            let with = move |status: Vec<u8>| [fields.clone(), vec![field(3, 2, &status)]].concat();
            let update = inner.prop_flat_map(move |status| shuffled(with(status)));
            let whole = update.prop_flat_map(|update| shuffled(vec![field(3, 2, &update)]));
            (Just(task), Just(context), Just(state), whole)
        }),
        size in 1_usize..40,
    ) {
        let bytes = [&[0][..], &u32::try_from(bytes.len()).unwrap().to_be_bytes(), &bytes].concat();
        let mut reader = GrpcAnswerReader::new(SendStreamingMessage);
        prop_assert_eq!(bytes.chunks(size).filter_map(|piece| reader.read(piece)).count(), 1);
        let Some(answer) = reader.answer() else { return Err(TestCaseError::fail("it is a message")) };
        let said = (answer.kind(), answer.task(), answer.context());
        prop_assert_eq!(said, (Kind::StatusUpdate, Some(&*task), Some(&*context)));
        prop_assert_eq!(answer.state(), TaskState::from_number(state));
        prop_assert!(!answer.is_ambiguous() && !answer.is_incomplete());
    }
}
