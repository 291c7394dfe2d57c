//! Tasks that this gateway has never heard of: several gateways side by side that share nothing, and a gateway that was
//! started anew. It asks the replicas, and sends the call to the one that holds the task.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    Agent, Backend, Body, Gw, Place, RawBackend, Speak, TextFile, call, channel, full, grpc, grpc_at, message, post,
    promised, refusing, request, says, with_field, with_trailers,
};

const THREE: &str = "workers: 2\nroutes: { all: { endpoints: ['{0}', '{1}', '{2}'] } }";

fn rest(method: &str, path: &str, body: &Value) -> Request<Body> {
    let text = if method == "GET" { String::new() } else { body.to_string() };
    let request = with_field("a2a-version", "1.0", request(method, path, full(text)));
    with_field("content-type", "application/json", request)
}

/// A new task: its id and its context.
async fn begin(gw: &Gw) -> (String, String) {
    let answer = says(&gw.send(call("SendMessage", &message(&json!({})))).await);
    let task = &answer["result"]["task"];
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (text(&task["id"]), text(&task["contextId"]))
}

async fn lookups(gw: &Gw, result: &str) -> f64 {
    gw.metric("attache_a2a_lookups_total", &[("route", "all"), ("result", result)]).await
}

/// How the agents call an operation, and the request for it.
type Calls = [(&'static str, fn(&str) -> Request<Body>); 4];

const JSON_RPC: Calls = [
    ("SendMessage", |task| call("SendMessage", &message(&json!({ "taskId": task })))),
    ("CancelTask", |task| call("CancelTask", &json!({ "id": task }))),
    ("SubscribeToTask", |task| call("SubscribeToTask", &json!({ "id": task }))),
    ("GetTask", |task| call("GetTask", &json!({ "id": task }))),
];
const OLDER: Calls = [
    ("message/send", |task| call("message/send", &message(&json!({ "taskId": task })))),
    ("tasks/cancel", |task| call("tasks/cancel", &json!({ "id": task }))),
    ("tasks/resubscribe", |task| call("tasks/resubscribe", &json!({ "id": task }))),
    ("tasks/get", |task| call("tasks/get", &json!({ "id": task }))),
];
const REST: Calls = [
    ("SendMessage", |task| rest("POST", "/message:send", &message(&json!({ "taskId": task })))),
    ("CancelTask", |task| rest("POST", &format!("/tasks/{task}:cancel"), &json!({}))),
    ("SubscribeToTask", |task| rest("GET", &format!("/tasks/{task}:subscribe"), &json!({}))),
    ("GetTask", |task| rest("GET", &format!("/tasks/{task}"), &json!({}))),
];

#[tokio::test]
async fn a_task_of_another_gateway_is_found_whatever_is_asked_first() {
    let agents = Agent::three().await;
    let places: [&dyn Place; 3] = [&agents[0], &agents[1], &agents[2]];
    let first = Gw::with(THREE, &places).await;
    for calls in [JSON_RPC, OLDER, REST] {
        let get = calls[3].0;
        for (method, asks) in calls {
            // As after a restart: it knows nothing.
            let second = Gw::with(THREE, &places).await;
            for _ in 0..3 {
                let (task, _) = begin(&first).await;
                let counted = |method: &str| agents.iter().map(|agent| agent.served(method, &task)).sum::<usize>();
                let before = counted(method);
                let reply = second.send(asks(&task)).await;
                assert!(reply.status == 200 && !reply.text().contains("error"), "{method} {task}: {}", reply.text());
                // Asked for, beside the call itself, by the gateway: at most once each.
                let own = if method == get { 1..=3 } else { 0..=0 };
                let reached = counted(method) - before;
                assert!(own.contains(&(reached - 1)), "{method} {task} reached {reached}");
                for (method, asks) in calls {
                    let before = counted(method);
                    let reply = second.send(asks(&task)).await;
                    assert!(reply.status == 200 && !reply.text().contains("error"), "{method}: {}", reply.text());
                    assert_eq!(counted(method) - before, 1, "from now on it is known: {method}");
                }
            }
            assert_eq!((lookups(&second, "found").await, lookups(&second, "failed").await), (3.0, 0.0), "{method}");
        }
    }
    assert_eq!(first.metric("attache_a2a_lookups_total", &[]).await, 0.0, "who made a task knows it");
}

#[tokio::test]
async fn a_context_of_another_gateway_is_found_where_agents_list_tasks() {
    let agents = Agent::three().await;
    let places: [&dyn Place; 3] = [&agents[0], &agents[1], &agents[2]];
    let first = Gw::with(THREE, &places).await;
    let second = Gw::with(THREE, &places).await;
    for round in 0..6 {
        let (task, context) = begin(&first).await;
        let params = message(&json!({ "contextId": context }));
        let next = if round % 2 == 0 {
            says(&second.send(call("SendMessage", &params)).await)["result"]["task"]["id"].clone()
        } else {
            says(&second.send(rest("POST", "/message:send", &params)).await)["task"]["id"].clone()
        };
        let replica = |id: &str| id.split('-').next().unwrap().to_owned();
        assert_eq!(replica(next.as_str().unwrap()), replica(&task));
    }
    assert_eq!(lookups(&second, "found").await, 6.0);
    let (_, context) = begin(&first).await;
    second.send(call("message/send", &message(&json!({ "contextId": context })))).await;
    second.send(call("tasks/send", &json!({ "id": "made-by-the-client" }))).await;
    assert_eq!(second.metric("attache_a2a_lookups_total", &[]).await, 6.0, "these cannot be asked for");
}

#[tokio::test]
async fn an_id_that_nobody_knows_is_asked_for_once_in_a_while() {
    let agents = Agent::three().await;
    let gw = Gw::with(THREE, &[&agents[0], &agents[1], &agents[2]]).await;
    for _ in 0..4 {
        let answer = says(&gw.send(call("CancelTask", &json!({ "id": "nobody's" }))).await);
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32001), &json!("call-7")));
    }
    let asked: Vec<usize> = agents.iter().map(|agent| agent.served("GetTask", "nobody's")).collect();
    assert_eq!(asked, [1, 1, 1]);
    assert_eq!(agents.iter().map(|agent| agent.served("CancelTask", "nobody's")).sum::<usize>(), 4);
    assert_eq!(lookups(&gw, "unknown").await, 1.0);
    // What an agent hides from one caller it may show to another.
    let other = with_field("authorization", "Bearer other", call("CancelTask", &json!({ "id": "nobody's" })));
    gw.send(other).await;
    assert_eq!(lookups(&gw, "unknown").await, 2.0);
    assert_eq!(gw.metric("attache_attempts_total", &[]).await, 5.0, "a lookup is no try");
}

#[tokio::test]
async fn calls_at_the_same_time_share_a_lookup() {
    let agents = Agent::three().await;
    let places: [&dyn Place; 3] = [&agents[0], &agents[1], &agents[2]];
    let one_worker = THREE.replace("workers: 2", "workers: 1");
    let (first, second) = (Gw::with(&one_worker, &places).await, Gw::with(&one_worker, &places).await);
    let (task, _) = begin(&first).await;
    let calls = (0..20).map(|_| second.send(call("CancelTask", &json!({ "id": task }))));
    for reply in futures_util::future::join_all(calls).await {
        assert!(says(&reply)["error"].is_null(), "{}", reply.text());
    }
    assert_eq!(lookups(&second, "found").await, 1.0);
    assert!(agents.iter().all(|agent| agent.served("GetTask", &task) <= 1));
}

#[tokio::test]
async fn a_replica_that_is_slow_or_gone_holds_up_nothing_that_another_knows() {
    let (agent, silent, gone) = (Agent::new("one").await, RawBackend::silent().await, refusing());
    let first = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
    let second = Gw::with(THREE, &[&silent, &gone, &agent]).await;
    let (task, _) = begin(&first).await;
    let begun = Instant::now();
    let answer = says(&second.send(call("CancelTask", &json!({ "id": task }))).await);
    promised("the lookup ends with the first that knows", begun.elapsed(), Duration::from_secs(1));
    assert!(answer["error"].is_null(), "{answer}");
    assert_eq!((agent.served("GetTask", &task), agent.served("CancelTask", &task)), (1, 1));
    // Without the silent one: what cannot be known is said to be so.
    let third = Gw::with("routes: { all: { endpoints: ['{0}', '{1}'] } }", &[&gone, &agent]).await;
    let answer = says(&third.send(call("GetTask", &json!({ "id": "nobody's" }))).await);
    assert_eq!(answer["error"]["code"], -32001, "{answer}");
    assert_eq!((lookups(&third, "failed").await, lookups(&third, "unknown").await), (1.0, 0.0));
}

#[tokio::test]
async fn replicas_are_asked_as_the_caller_asks() {
    let agents = Agent::three().await;
    let template = "routes: { all: { endpoints: ['{0}', '{1}'], match: { path: { prefix: /planner } }, \
                    rewrite: { prefix: /inner }, requestHeaders: { set: { x-by: gateway } } } }";
    let gw = Gw::with(template, &[&agents[0], &agents[1]]).await;
    let asked = |mut request: Request<Body>| {
        for (name, value) in [
            ("authorization", "Bearer caller"),
            ("a2a-version", "1.0"),
            ("accept", "text/event-stream"),
            ("accept-encoding", "gzip"),
            ("if-none-match", "\"tag\""),
            ("x-tenant", "acme"),
        ] {
            request = with_field(name, value, request);
        }
        request
    };
    let text = json!({ "method": "CancelTask", "params": { "id": "x", "tenant": "t" }, "id": 1, "jsonrpc": "2.0" });
    let json_rpc = with_field("content-type", "application/json", post("/planner/rpc?key=k", text.to_string()));
    gw.send(asked(json_rpc)).await;
    gw.send(asked(with_field("x-by", "client", request("POST", "/planner/tasks/y:cancel?key=k", full("{}"))))).await;
    let heads = agents[0].heads().into_iter().chain(agents[1].heads());
    let (own, clients): (Vec<_>, Vec<_>) = heads.partition(|(_, fields)| fields["accept"] != "text/event-stream");
    assert_eq!((own.len(), clients.len()), (4, 2));
    let targets = |heads: &[(http::Uri, HeaderMap)]| {
        let mut targets: Vec<String> = heads.iter().map(|(target, _)| target.to_string()).collect();
        targets.sort();
        targets.dedup();
        targets
    };
    assert_eq!(targets(&own), ["/inner/rpc?key=k", "/inner/tasks/y?key=k&historyLength=0"]);
    assert_eq!(targets(&clients), ["/inner/rpc?key=k", "/inner/tasks/y:cancel?key=k"]);
    for (target, fields) in &own {
        for (name, expected) in [
            ("authorization", Some("Bearer caller")),
            ("a2a-version", Some("1.0")),
            ("accept-encoding", Some("identity")),
            ("if-none-match", None),
            ("x-tenant", Some("acme")),
            ("x-by", Some("gateway")),
        ] {
            let value = fields.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(value, expected, "{target} {name}");
        }
        // The replicas may have been chosen in any order: each question is held against its own call.
        let is_rest = |target: &http::Uri| target.path().contains("/tasks/");
        let (_, of_client) = clients.iter().find(|(client, _)| is_rest(client) == is_rest(target)).unwrap();
        for name in ["host", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "content-type"] {
            let is_alike = fields.get(name) == of_client.get(name);
            assert!(is_alike || name == "content-type" && is_rest(target), "{target} {name}");
        }
        assert!(fields.contains_key("x-request-id"), "{target}");
    }
}

#[tokio::test]
async fn a_conversation_is_found_in_its_version_of_a_canary() {
    let (stable, canary) = (Agent::new("stable").await, Agent::new("canary").await);
    let template = "workers: 1\nroutes: { all: { split: { clusters: [{ cluster: stable, weight: 50 }, \
         { cluster: canary, weight: 50 }] } } }\n\
         clusters: { stable: { endpoints: ['{0}'] }, canary: { endpoints: ['{1}'] } }";
    let first = Gw::with(template, &[&stable, &canary]).await;
    let second = Gw::with(template, &[&stable, &canary]).await;
    for _ in 0..10 {
        let (task, _) = begin(&first).await;
        let answer = says(&second.send(call("CancelTask", &json!({ "id": task }))).await);
        assert!(answer["error"].is_null(), "{answer}");
    }
    assert_eq!((stable.tasks(), canary.tasks()), (5, 5));
    assert_eq!(lookups(&second, "found").await, 10.0);
}

#[tokio::test]
async fn nobody_is_asked_where_that_is_off_or_there_is_no_choice() {
    let agents = Agent::three().await;
    let three: [&dyn Place; 3] = [&agents[0], &agents[1], &agents[2]];
    let off = "routes: { all: { endpoints: ['{0}', '{1}', '{2}'], a2a: { affinity: { lookup: false } } } }";
    for (template, places) in [(off, &three[..]), ("routes: { all: { endpoints: ['{0}'] } }", &three[..1])] {
        let gw = Gw::with(template, places).await;
        let answer = says(&gw.send(call("CancelTask", &json!({ "id": "nobody's" }))).await);
        assert_eq!(answer["error"]["code"], -32001);
        assert_eq!(gw.metric("attache_a2a_lookups_total", &[]).await, 0.0);
    }
    assert_eq!(agents.iter().map(|agent| agent.served("GetTask", "nobody's")).sum::<usize>(), 0);
}

/// An agent that speaks gRPC, and the requests it got, as method and body. `None`: it has no task.
async fn grpc_agent(task: Option<&'static str>) -> (Backend, Arc<Mutex<Vec<(String, Bytes)>>>) {
    let seen = Arc::<Mutex<Vec<(String, Bytes)>>>::default();
    let noted = Arc::clone(&seen);
    let speak = Speak { http2: true, ..Speak::default() };
    let backend = Backend::handling_as(speak, move |request| {
        let noted = Arc::clone(&noted);
        async move {
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            noted.lock().unwrap().push((method, body));
            let mut answer = Vec::new();
            if let Some(task) = task {
                let length = u8::try_from(task.len()).unwrap();
                let message = [&[10, length], task.as_bytes(), &[26, 2, 8, 2]].concat();
                answer = [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], &message[..]].concat();
            }
            let status = HeaderValue::from_static(if task.is_some() { "0" } else { "5" });
            let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), status)]);
            let response = Response::builder().header("content-type", "application/grpc");
            response.body(with_trailers(answer, trailers)).unwrap()
        }
    })
    .await;
    (backend, seen)
}

#[tokio::test]
async fn grpc_agents_are_asked_by_grpc() {
    for (package, field) in [("lf.a2a.v1", &b"\x12\x03t-9"[..]), ("a2a.v1", b"\x0a\x09tasks/t-9")] {
        let ((holder, asked), (other, asked_too)) = (grpc_agent(Some("t-9")).await, grpc_agent(None).await);
        let gw = Gw::with(
            "routes: { all: { cluster: agents } }\nclusters: { agents: { endpoints: ['{0}', '{1}'], protocol: h2c } }",
            &[&other, &holder],
        )
        .await;
        let cancel = grpc_at(&format!("/{package}.A2AService/CancelTask"), field);
        let reply = gw.h2().await.reply(cancel).await;
        assert_eq!(reply.trailers.unwrap()["grpc-status"], "0");
        let methods = |seen: &Mutex<Vec<(String, Bytes)>>| {
            seen.lock().unwrap().iter().map(|(method, _)| method.clone()).collect::<Vec<_>>()
        };
        assert_eq!(methods(&asked), ["GetTask", "CancelTask"]);
        assert!(methods(&asked_too).iter().all(|method| method == "GetTask"), "{:?}", methods(&asked_too));
        assert!(asked.lock().unwrap()[0].1.windows(field.len()).any(|part| part == field));
        assert_eq!(lookups(&gw, "found").await, 1.0);
    }
}

/// An agent of gRPC that has no answer to questions, and what it does instead.
async fn speechless(how: &'static str) -> Backend {
    let speak = Speak { http2: true, ..Speak::default() };
    Backend::handling_as(speak, move |request| async move {
        let is_question = request.uri().path().ends_with("/GetTask");
        let body = request.into_body().collect().await;
        drop(body);
        let response = Response::builder().header("content-type", "application/grpc");
        let with_status = |status| {
            let fields = [(HeaderName::from_static("grpc-status"), HeaderValue::from_static(status))];
            with_trailers(Bytes::new(), HeaderMap::from_iter(fields))
        };
        let body = match how {
            _ if !is_question => with_status("5"),
            "breaks off" => {
                let (sender, body) = channel();
                tokio::spawn(async move { sender.abort().await });
                body
            }
            status => with_status(status),
        };
        response.body(body).unwrap()
    })
    .await
}

#[tokio::test]
async fn a_lookup_by_grpc_that_nobody_answers_has_failed() {
    for (how, result) in [("breaks off", "failed"), ("14", "failed"), ("13", "failed"), ("5", "unknown")] {
        let (one, two) = (speechless(how).await, speechless("5").await);
        let gw = Gw::with(
            "routes: { all: { cluster: agents } }\nclusters: { agents: { endpoints: ['{0}', '{1}'], protocol: h2c } }",
            &[&one, &two],
        )
        .await;
        gw.h2().await.reply(grpc("CancelTask", b"\x12\x03t-9")).await;
        let counted = [lookups(&gw, "failed").await, lookups(&gw, "unknown").await];
        assert_eq!(counted, if result == "failed" { [1.0, 0.0] } else { [0.0, 1.0] }, "{how}");
    }
}

/// Agents may hide from one client what they show to another, whatever it is known by.
#[tokio::test]
async fn clients_of_one_address_share_no_lookup_that_are_known_apart() {
    let agents = Agent::three().await;
    let digest = |secret: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let keys = TextFile::new(&format!("ann:{}\nbob:{}\n", digest("a"), digest("b")));
    let more = TextFile::new(&format!("ann:{}\n", digest("c")));
    let text = "workers: 1\nauthProviders: { keys: { apiKey: { keysFile: '{3}' } }, more: { apiKey: { keysFile: '{4}' } } }\n\
        routes: { all: { endpoints: ['{0}', '{1}', '{2}'], auth: [keys, more] } }";
    let gw = Gw::with(text, &[&agents[0], &agents[1], &agents[2], &keys, &more]).await;
    for (key, expected) in [("a", 1.0), ("a", 1.0), ("b", 2.0), ("c", 3.0), ("a", 3.0)] {
        let request = call("CancelTask", &json!({ "id": "nobody's" }));
        assert_eq!(gw.send(with_field("x-api-key", key, request)).await.status, 200);
        assert_eq!(lookups(&gw, "unknown").await, expected, "{key}");
    }
}
