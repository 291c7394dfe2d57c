//! What it costs to recognise a call of A2A and to look at answers as they pass: a JSON-RPC call of 600 bytes in the
//! key order of the Python SDK, streams of small events beside the search for their ends alone, and gRPC.

use std::fmt::Write as _;
use std::hint::black_box;

use attache::a2a::{
    AnswerReader, Body, BodyReader, EventReader, Generation, GrpcAnswerReader, GrpcRequestReader, Head, Lines,
    Operation, Recognition,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};

/// A call of about 600 bytes with `id` at its end, as the Python SDK writes it.
fn call() -> String {
    let text = "Summarise the quarterly report and list the three risks that the board asked about. ".repeat(3);
    format!(
        concat!(
            r#"{{"method":"SendMessage","params":{{"message":{{"messageId":"1b4e28ba-2fa1-41d2-883f-0016d3cca427","#,
            r#""contextId":"c0a8012e-7b1f-4e1c-9d55-93ac10bb7f10","taskId":"9f2c1f0a-54a7-4f0e-8a53-51f7e4c3ab72","#,
            r#""role":"ROLE_USER","parts":[{{"text":"{}"}}]}},"configuration":{{"historyLength":10}}}},"#,
            r#""id":"7d0a7c86-35f3-4f53-b0f5-5f14d5c1a1de","jsonrpc":"2.0"}}"#
        ),
        text
    )
}

fn recognise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recognise");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("a2a-version", HeaderValue::from_static("1.0"));
    let post = Method::POST;
    for (name, path) in [("head-rpc", "/billing"), ("head-rest", "/billing/message:send")] {
        let head = Head { method: &post, path, query: None, headers: &headers };
        group.bench_function(name, |bencher| bencher.iter(|| black_box(Recognition::of(black_box(head), false))));
    }
    let call = call();
    assert!((580..680).contains(&call.len()), "{} bytes", call.len());
    group.bench_function("call-of-600-bytes", |bencher| {
        bencher.iter(|| {
            let body = Body::read(black_box(call.as_bytes()));
            body.is_ok_and(|body| {
                let (operation, generation) = body.operation().unwrap_or((Operation::GetTask, Generation::V0_1));
                black_box(body.ids(operation, generation)).task.is_some() && black_box(body.id()).is_some()
            })
        });
    });
    group.bench_function("call-in-pieces-of-100", |bencher| {
        bencher.iter(|| {
            let mut reader = BodyReader::json_rpc();
            call.as_bytes().chunks(100).all(|piece| reader.feed(black_box(piece)).is_ok()) && reader.finish().is_ok()
        });
    });
    let file = format!(r#"{{"params":{{"message":{{"parts":[{{"raw":"{}"}}]}}}},"id":1}}"#, "A".repeat(1 << 20));
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("file-of-1-MiB", |bencher| bencher.iter(|| Body::read(black_box(file.as_bytes())).is_ok()));
    group.finish();
}

fn events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("events");
    let mut stream = String::new();
    for index in 0..100 {
        let _written = write!(
            stream,
            concat!(
                r#"data: {{"result":{{"statusUpdate":{{"taskId":"9f2c1f0a-54a7-4f0e-8a53-51f7e4c3ab72","#,
                r#""contextId":"c0a8012e-7b1f-4e1c-9d55-93ac10bb7f10","status":{{"state":"TASK_STATE_WORKING","#,
                r#""message":{{"parts":[{{"text":"step {}"}}]}}}}}}}},"id":"7d0a7c86","jsonrpc":"2.0"}}"#,
                "\r\n\r\n"
            ),
            index
        );
    }
    group.throughput(Throughput::Elements(100));
    group.bench_function("ends-alone", |bencher| {
        bencher.iter(|| {
            let (mut lines, mut rest) = (Lines::default(), black_box(stream.as_bytes()));
            let mut ends = 0;
            while let Some(end) = lines.end(rest) {
                rest = rest.get(end..).unwrap_or_default();
                ends += 1;
            }
            ends
        });
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            let mut reader = EventReader::new(AnswerReader::json_rpc());
            let (mut rest, mut tasks) = (black_box(stream.as_bytes()), 0);
            while let Some(end) = reader.read(rest) {
                rest = rest.get(end..).unwrap_or_default();
                tasks += usize::from(reader.event().answer.is_some_and(|answer| answer.task().is_some()));
            }
            tasks
        });
    });
    group.finish();
}

fn grpc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("grpc");
    let get = b"\0\0\0\0\x07\x0a\x01n\x12\x02ab";
    group.bench_function("request", |bencher| {
        bencher.iter(|| {
            let mut reader = GrpcRequestReader::new(Operation::GetTask, Generation::V1_0);
            reader.read(black_box(get)) && reader.body().is_some()
        });
    });
    let event = b"\0\0\0\0\x0e\x1a\x0c\x0a\x01t\x12\x01c\x1a\x04\x08\x02\x1a\x00";
    group.bench_function("event", |bencher| {
        let mut reader = GrpcAnswerReader::new(Operation::SubscribeToTask);
        bencher.iter(|| reader.read(black_box(event)).is_some() && reader.answer().is_some());
    });
    group.finish();
}

criterion_group!(benches, recognise, events, grpc);
criterion_main!(benches);
