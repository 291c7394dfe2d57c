//! Limits of single operations of agents: how often, how many at a time, for how long.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::support::{Backend, Body, Gw, RawBackend, Speak, eventually, full, grpc, post, says, with_field};

fn call(method: &str) -> Request<Body> {
    let text = format!(r#"{{"method":"{method}","params":{{"id":"t"}},"id":7,"jsonrpc":"2.0"}}"#);
    with_field("content-type", "application/json", post("/", text))
}

fn rest(path: &str) -> Request<Body> {
    with_field("content-type", "application/json", post(path, "{}"))
}

/// From another client.
fn from(client: u8, request: Request<Body>) -> Request<Body> {
    with_field("x-forwarded-for", &format!("192.0.2.{client}"), request)
}

fn routes(a2a: &str) -> String {
    format!(
        "workers: 1\nclientIp: {{ trustedProxies: 127.0.0.0/8 }}\nrateLimits: {{ slow: {{ rate: 1/hour }} }}\n\
         routes: {{ all: {{ endpoints: ['{{0}}'], a2a: {a2a} }}, other: {{ match: {{ path: {{ exact: /other }} }}, \
         respond: {{}}, rateLimit: slow }} }}"
    )
}

#[tokio::test]
async fn an_operation_has_a_rate_of_its_own_in_every_generation_and_binding() {
    let agent = Backend::replying(200).await;
    let gw = Gw::with(&routes("{ methods: { message/send: { rateLimit: { rate: 4/hour } } } }"), &[&agent]).await;
    for first in [call("SendMessage"), call("message/send"), rest("/message:send"), rest("/v1/message:send")] {
        let reply = gw.send(first).await;
        assert_eq!((reply.status, reply.header("ratelimit-policy")), (200, "\"routes.all.SendMessage\";q=4;w=3600"));
    }
    let hits = agent.hits();
    let refused = gw.send(call("tasks/send")).await;
    assert_eq!((refused.status, refused.reason()), (429, "rate_limited"));
    assert!((890..=900).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!((&says(&refused)["id"], &says(&refused)["error"]["code"]), (&json!(7), &json!(-32603)));
    let refused = gw.send(rest("/message:send")).await;
    assert_eq!((refused.status, &says(&refused)["error"]["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
    let refused = gw.h2().await.reply(grpc("SendMessage", b"")).await;
    assert_eq!((refused.header("grpc-status"), refused.reason()), ("8", "rate_limited"));
    assert_eq!(agent.hits(), hits, "nothing of it reached the agent");
    for passed in [call("GetTask"), from(9, call("SendMessage"))] {
        assert_eq!(gw.send(passed).await.status, 200, "another operation, another client");
    }
    let labels = [("route", "all"), ("reason", "rate_limited")];
    assert_eq!(gw.metric("attache_a2a_refused_total", &labels).await, 3.0);
    assert_eq!(gw.metric("attache_rate_limited_total", &[("limit", "routes.all.SendMessage")]).await, 3.0);
    let record = gw.records(9).await.into_iter().find(|record| record["status"] == 429).unwrap();
    assert_eq!((&record["flags"], &record["operation"]), (&json!("RL"), &json!("SendMessage")));
}

#[tokio::test]
async fn limits_are_shared_by_name_and_go_on_over_a_reload() {
    let agent = Backend::replying(200).await;
    let shared = routes("{ methods: { GetTask: { rateLimit: slow } } }");
    let mut gw = Gw::with(&shared, &[&agent]).await;
    assert_eq!(gw.get("/other").await.status, 200);
    assert_eq!(gw.send(call("GetTask")).await.status, 429, "the other route has used it up");
    let own = "{ methods: { GetTask: { rateLimit: { rate: 1/hour } } }, maxBodyBytes: 2MiB }";
    gw.reload(&routes(own), &[&agent]).await.unwrap();
    assert_eq!(gw.send(call("GetTask")).await.status, 200);
    gw.reload(&routes(&own.replace("2MiB", "3MiB")), &[&agent]).await.unwrap();
    assert_eq!(gw.send(call("GetTask")).await.status, 429, "counted before");
}

/// An agent that answers when it is let.
async fn patient() -> (Backend, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let shared = Arc::clone(&gate);
    let agent = Backend::handling(move |_| {
        let gate = Arc::clone(&shared);
        async move {
            gate.acquire().await.unwrap().forget();
            Response::new(full("done"))
        }
    });
    (agent.await, gate)
}

#[tokio::test]
async fn a_client_and_all_clients_have_so_many_calls_open() {
    for (limit, refused, passes) in [
        ("maxConcurrentPerClient: 1", from(1, call("message/send")), from(2, call("SendMessage"))),
        ("maxConcurrent: 1", from(2, rest("/message:send")), from(1, call("GetTask"))),
    ] {
        let (agent, gate) = patient().await;
        let mut gw = Gw::with(&routes(&format!("{{ methods: {{ SendMessage: {{ {limit} }} }} }}")), &[&agent]).await;
        let mut client = gw.h1().await;
        let first = tokio::spawn(async move { client.reply(from(1, call("SendMessage"))).await.status });
        eventually("the first call is open", || async { agent.hits() == 1 }).await;
        let refused = gw.send(refused).await;
        assert_eq!((refused.status, refused.reason(), refused.header("retry-after")), (429, "too_many_open", "1"));
        let settings = format!("{{ methods: {{ SendMessage: {{ {limit} }} }}, maxBodyBytes: 2MiB }}");
        gw.reload(&routes(&settings), &[&agent]).await.unwrap();
        assert_eq!(gw.send(from(1, call("SendMessage"))).await.status, 429, "what is open goes on over a reload");
        gate.add_permits(2);
        assert_eq!(gw.send(passes).await.status, 200, "{limit}");
        assert_eq!(first.await.unwrap(), 200);
        gate.add_permits(1);
        eventually("the place is given back", || async {
            let reply = gw.send(from(1, call("SendMessage"))).await;
            reply.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn who_leaves_gives_the_place_back() {
    let (agent, gate) = patient().await;
    let gw = Gw::with(&routes("{ methods: { SendMessage: { maxConcurrent: 1 } } }"), &[&agent]).await;
    let mut client = gw.h2().await;
    let mut fork = client.fork();
    let left = tokio::spawn(async move { fork.reply(call("SendMessage")).await.status });
    eventually("the call is open", || async { agent.hits() == 1 }).await;
    assert_eq!(client.reply(call("SendMessage")).await.status, 429);
    left.abort();
    client.leave();
    gate.add_permits(100);
    eventually("the place is free", || async { gw.send(call("SendMessage")).await.status == 200 }).await;
}

#[tokio::test]
async fn a_send_is_held_to_the_time_of_its_operation_and_to_no_other() {
    let silent = RawBackend::silent().await;
    let settings = routes("{ methods: { SendMessage: { timeout: 300ms } } }").replace("a2a:", "timeout: 50ms, a2a:");
    let gw = Gw::with(&settings, &[&silent]).await;
    let start = Instant::now();
    let reply = gw.send(call("message/send")).await;
    assert_eq!((reply.status, reply.reason(), &says(&reply)["id"]), (504, "timeout", &json!(7)));
    assert!(start.elapsed() >= Duration::from_millis(280), "not before its time: {:?}", start.elapsed());
    let reply = gw.send(call("GetTask")).await;
    assert_eq!((reply.status, reply.reason()), (504, "timeout"), "by the route's");
}

#[tokio::test]
async fn the_time_of_a_stream_ends_with_its_head() {
    let agent = Backend::handling(|_| async {
        let (sender, body) = crate::support::channel();
        tokio::spawn(async move {
            crate::support::pass(Duration::from_millis(600)).await;
            sender.send("data: {}\n\n").await;
        });
        Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
    })
    .await;
    let gw = Gw::with(&routes("{ methods: { SendStreamingMessage: { timeout: 300ms } } }"), &[&agent]).await;
    let reply = gw.send(call("message/stream")).await;
    assert_eq!((reply.status, reply.text()), (200, "data: {}\n\n"));
}

#[tokio::test]
async fn one_operation_is_denied_beside_the_others() {
    let speak = Speak { http2: true, tls: None, narrow: None, max_streams: None };
    let agent = Backend::replying_as(speak, 200).await;
    let settings = "{ methods: { allow: [SendMessage, GetTask], tasks/get: { deny: true } } }";
    let routes = routes(settings).replace("endpoints: ['{0}']", "cluster: one");
    let template = format!("{routes}\nclusters: {{ one: {{ endpoints: ['{{0}}'], protocol: h2c }} }}");
    let gw = Gw::with(&template, &[&agent]).await;
    assert_eq!(gw.send(call("message/send")).await.status, 200);
    for denied in ["GetTask", "tasks/get", "tasks/cancel"] {
        let reply = gw.send(call(denied)).await;
        assert_eq!((reply.status, reply.reason()), (403, "method_denied"), "{denied}");
    }
    let reply = gw.h2().await.reply(grpc("GetTask", b"")).await;
    assert_eq!((reply.header("grpc-status"), reply.reason()), ("7", "method_denied"));
}
