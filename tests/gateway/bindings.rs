//! Replicas that take JSON-RPC and REST at one port and gRPC at another: what a call is counted for, and what it is
//! about, is the replica's.

use http::{Response, Version};
use serde_json::{Value, json};

use crate::support::{
    Agent, Backend, Ca, Gw, Live, NameServer, Place, Says, Speak, SwitchableBackend, ask_by_grpc, at_host, call,
    channel, chunk, eventually, get, grpc_call, message, refusing, says,
};

const HTTP2: Speak = Speak { http2: true, tls: None, narrow: None, max_streams: None };

/// Three agents with two ports each.
async fn three() -> [Agent; 3] {
    [Agent::with_grpc("one").await, Agent::with_grpc("two").await, Agent::with_grpc("three").await]
}

fn places(agents: &[Agent; 3]) -> [&dyn Place; 6] {
    let [one, two, three] = agents;
    [one, one.grpc(), two, two.grpc(), three, three.grpc()]
}

const THREE: &str = "workers: 2\nroutes: { all: { endpoints: [{ address: '{0}', grpc: '{1}' }, \
                     { address: '{2}', grpc: '{3}' }, { address: '{4}', grpc: '{5}' }] } }";

/// A new task, made by JSON-RPC.
async fn begin(gw: &Gw) -> String {
    let answer = says(&gw.send(call("SendMessage", &message(&json!({})))).await);
    answer["result"]["task"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn a_task_made_over_one_binding_is_found_over_the_other() {
    let agents = three().await;
    let gw = Gw::with(THREE, &places(&agents)).await;
    let mut client = gw.h2().await;
    for _ in 0..15 {
        let by_json = begin(&gw).await;
        for method in ["GetTask", "SendMessage", "CancelTask"] {
            let answered = ask_by_grpc(&mut client, method, Some(&by_json)).await;
            assert_eq!(answered.as_ref(), Ok(&by_json), "{method}");
        }
        let by_grpc = ask_by_grpc(&mut client, "SendMessage", None).await.unwrap();
        let got = says(&gw.send(call("GetTask", &json!({ "id": by_grpc }))).await);
        assert_eq!(got["result"]["id"], *by_grpc, "{got}");
        assert_eq!(gw.get(&format!("/tasks/{by_grpc}")).await.status, 200);
    }
    assert_eq!(agents.iter().map(Agent::tasks).sum::<usize>(), 30);
    assert!(agents.iter().all(|agent| agent.tasks() > 0), "new work is spread");
    assert_eq!(gw.metric("attache_a2a_lookups_total", &[]).await, 0.0);
    let replica = [("endpoint", &*agents[0].place())];
    let tries = gw.metric("attache_endpoint_requests_total", &replica).await;
    assert_eq!(tries, agents[0].heads().len() as f64, "both bindings count for the replica");
}

#[tokio::test]
async fn an_unknown_task_is_looked_up_by_the_callers_binding() {
    let agents = three().await;
    let (first, second) = (Gw::with(THREE, &places(&agents)).await, Gw::with(THREE, &places(&agents)).await);
    let by_json = begin(&first).await;
    let before = agents.iter().map(|agent| agent.heads().len()).sum::<usize>();
    let mut client = second.h2().await;
    assert_eq!(ask_by_grpc(&mut client, "CancelTask", Some(&by_json)).await.as_ref(), Ok(&by_json));
    let asked = agents.iter().flat_map(Agent::heads).collect::<Vec<_>>();
    assert!(asked.len() > before);
    let by_grpc = asked.iter().filter(|(target, _)| target.path().contains("A2AService")).count();
    assert_eq!(by_grpc, asked.len() - before, "all of it by gRPC");
    let found = [("result", "found")];
    assert_eq!(second.metric("attache_a2a_lookups_total", &found).await, 1.0);
    // What it found by one binding it knows for the other.
    let got = says(&second.send(call("GetTask", &json!({ "id": by_json }))).await);
    assert_eq!(got["result"]["status"]["state"], "TASK_STATE_COMPLETED", "{got}");
    assert_eq!(second.metric("attache_a2a_lookups_total", &[]).await, 1.0);
}

#[tokio::test]
async fn a_stream_over_one_binding_is_load_for_the_other() {
    let (sender, body) = channel();
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    let stream = move || {
        let body = body.lock().unwrap().take().expect("one stream");
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    };
    let stream = std::sync::Arc::new(stream);
    let streaming = || {
        let stream = std::sync::Arc::clone(&stream);
        Backend::handling_as(HTTP2, move |_| {
            let stream = std::sync::Arc::clone(&stream);
            async move { stream() }
        })
    };
    let (busy, idle) = (Backend::replying(200).await, Backend::replying(200).await);
    let (busy_grpc, idle_grpc) = (streaming().await, streaming().await);
    let template = "workers: 2\nroutes: { all: { endpoints: [{ address: '{0}', grpc: '{1}' }, { address: '{2}', grpc: '{3}' }] } }";
    let gw = Gw::with(template, &[&busy, &busy_grpc, &idle, &idle_grpc]).await;
    let mut client = gw.h2().await;
    let open = client.send(grpc_call("SendStreamingMessage", None)).await.unwrap();
    let (holder, other) = if busy_grpc.connections() > 0 { (&busy, &idle) } else { (&idle, &busy) };
    for _ in 0..10 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    assert_eq!((holder.hits(), other.hits()), (0, 10), "the stream is load");
    let holding = [("endpoint", &*holder.place())];
    assert_eq!(gw.metric("attache_endpoint_requests_in_flight", &holding).await, 1.0);
    assert!(sender.send("\0\0\0\0\0").await);
    let mut body = open.into_body();
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "\0\0\0\0\0");
    drop(sender);
    assert!(chunk(&mut body).await.is_none());
    eventually("its end is the end of the load", || async {
        gw.metric("attache_endpoint_requests_in_flight", &holding).await == 0.0
    })
    .await;
}

#[tokio::test]
async fn failures_and_checks_of_one_binding_hold_for_the_replica() {
    let (well, well_grpc) = (Backend::replying(200).await, Agent::with_grpc("well").await);
    let (half, closed) = (Backend::replying(200).await, refusing());
    let template = "workers: 1\nroutes: { all: { cluster: all } }\nclusters: { all: { loadBalancer: round-robin, slowStart: off, \
         outlierDetection: { consecutive5xxErrors: 2, baseEjectionTime: 1h }, \
         endpoints: [{ address: '{0}', grpc: '{1}' }, { address: '{2}', grpc: '{3}' }] } }";
    let gw = Gw::with(template, &[&half, &closed, &well, well_grpc.grpc()]).await;
    let mut client = gw.h2().await;
    for _ in 0..8 {
        // A connection that is refused is tried elsewhere.
        ask_by_grpc(&mut client, "SendMessage", None).await.unwrap();
    }
    assert_eq!(gw.metric("attache_ejections_total", &[("cluster", "all")]).await, 1.0);
    for _ in 0..6 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    assert_eq!((half.hits(), well.hits()), (0, 6), "it gets no other calls either");
    // The other way round: its check goes to its address.
    let (sick, sick_grpc) = (SwitchableBackend::new(500).await, Agent::with_grpc("sick").await);
    let template = "workers: 1\nroutes: { all: { cluster: all } }\nclusters: { all: { loadBalancer: round-robin, slowStart: off, \
         healthCheck: { path: /health, interval: 1h, unhealthyThreshold: 1 }, \
         endpoints: [{ address: '{0}', grpc: '{1}' }, { address: '{2}', grpc: '{3}' }] } }";
    let gw = Gw::with(template, &[&sick, sick_grpc.grpc(), &well, well_grpc.grpc()]).await;
    eventually("one is unhealthy", || async {
        gw.metric("attache_health_endpoints", &[("state", "unhealthy")]).await == 1.0
            && gw.metric("attache_health_endpoints", &[("state", "healthy")]).await == 1.0
    })
    .await;
    let mut client = gw.h2().await;
    for _ in 0..6 {
        ask_by_grpc(&mut client, "SendMessage", None).await.unwrap();
    }
    assert_eq!(sick_grpc.tasks(), 0);
}

#[tokio::test]
async fn a_grpc_check_asks_the_binding_for_grpc() {
    let (agent, http) = (Agent::with_grpc("one").await, Backend::replying(200).await);
    let template = "routes: { all: { cluster: all } }\nclusters: { all: { healthCheck: { type: grpc, interval: 1h }, \
                    endpoints: [{ address: '{0}', grpc: '{1}' }] } }";
    let gw = Gw::with(template, &[&http, agent.grpc()]).await;
    eventually("it is checked", || async {
        gw.metric("attache_health_endpoints", &[("state", "healthy")]).await == 1.0
    })
    .await;
    assert_eq!((http.hits(), agent.heads().len()), (0, 1));
}

#[tokio::test]
async fn a_reload_adds_moves_and_removes_a_binding_and_keeps_the_replica() {
    let (one, two) = (Agent::with_grpc("one").await, Agent::with_grpc("two").await);
    let moved = Backend::handling_as(HTTP2, |_| async {
        let answer = Response::builder().header("content-type", "application/grpc").header("grpc-status", "12");
        answer.body(crate::support::empty()).unwrap()
    })
    .await;
    let with = |grpc: [&str; 2]| {
        format!(
            "workers: 2\nroutes: {{ all: {{ endpoints: [{{ address: '{{0}}'{} }}, {{ address: '{{1}}'{} }}] }} }}",
            grpc[0], grpc[1]
        )
    };
    let places: [&dyn Place; 5] = [&one, &two, one.grpc(), two.grpc(), &moved];
    let mut gw = Gw::with(&with(["", ""]), &places).await;
    let tasks = [begin(&gw).await, begin(&gw).await, begin(&gw).await, begin(&gw).await];
    gw.reload(&with([", grpc: '{2}'", ", grpc: '{3}'"]), &places).await.unwrap();
    let mut client = gw.h2().await;
    for task in &tasks {
        assert_eq!(ask_by_grpc(&mut client, "GetTask", Some(task)).await.as_ref(), Ok(task));
    }
    gw.reload(&with([", grpc: '{4}'", ", grpc: '{4}'"]), &places).await.unwrap();
    for task in &tasks {
        assert_eq!(ask_by_grpc(&mut client, "GetTask", Some(task)).await, Err("12".to_owned()), "at its new place");
    }
    for agent in [&one, &two] {
        eventually("the old one is left", || async { agent.grpc().open() == 0 }).await;
    }
    gw.reload(&with(["", ""]), &places).await.unwrap();
    for task in &tasks {
        let got = says(&gw.send(call("GetTask", &json!({ "id": task }))).await);
        assert_eq!(got["result"]["id"], **task, "{got}");
    }
    eventually("nothing is kept there", || async { moved.open() == 0 }).await;
    assert_eq!(gw.metric("attache_a2a_lookups_total", &[]).await, 0.0, "all the time it was known");
}

#[tokio::test]
async fn each_address_of_a_name_has_the_port_for_grpc() {
    let (server, agent) = (NameServer::new().await, Agent::with_grpc("one").await);
    server.say("agent", Says::Are(vec!["127.0.0.1".parse().unwrap()]), Says::Nothing);
    let port = agent.place().rsplit_once(':').unwrap().1.to_owned();
    let grpc = agent.grpc().address().port();
    for cluster in [
        format!("endpoints: [{{ address: 'agent.:{port}', grpc: {grpc} }}]"),
        format!("discovery: {{ dns: 'agent.:{port}', grpc: {grpc} }}"),
    ] {
        let template = format!(
            "dns: {{ servers: ['{{0}}'] }}\nroutes: {{ all: {{ cluster: all, upstreamHost: endpoint }} }}\n\
             clusters: {{ all: {{ {cluster} }} }}"
        );
        let gw = Gw::with(&template, &[&server]).await;
        let task = begin(&gw).await;
        assert_eq!(ask_by_grpc(&mut gw.h2().await, "GetTask", Some(&task)).await, Ok(task));
        let (target, _) = agent.heads().pop().unwrap();
        assert_eq!(target.authority().unwrap().as_str(), format!("agent:{grpc}"));
    }
}

#[tokio::test]
async fn over_tls_the_binding_for_grpc_speaks_http2_whatever_the_other_speaks() {
    let ca = Ca::new();
    let identity = ca.issue(&["127.0.0.1"]);
    let backend = |alpn: &'static [&'static str]| {
        Backend::replying_as(Speak { tls: Some(identity.server(alpn, None)), ..Speak::default() }, 200)
    };
    for (protocol, version) in [("http/1.1", Version::HTTP_11), ("auto", Version::HTTP_2), ("h2", Version::HTTP_2)] {
        let (usual, grpc) = (backend(&["h2", "http/1.1"]).await, backend(&["h2", "http/1.1"]).await);
        let template = format!(
            "routes: {{ all: {{ cluster: all }} }}\nclusters: {{ all: {{ endpoints: [{{ address: '{{0}}', grpc: '{{1}}' }}], \
             protocol: {protocol}, tls: {{ caFile: '{{2}}' }} }} }}"
        );
        let gw = Gw::with(&template, &[&usual, &grpc, &ca]).await;
        assert_eq!(gw.get("/").await.status, 200, "{protocol}");
        gw.h2().await.reply(grpc_call("GetTask", Some("t"))).await;
        assert_eq!((usual.hits(), grpc.hits()), (1, 1), "{protocol}");
        assert_eq!((usual.request().version, grpc.request().version), (version, Version::HTTP_2), "{protocol}");
    }
}

#[tokio::test]
async fn a_card_that_names_the_binding_leads_back_through_the_gateway() {
    let grpc = Backend::replying_as(HTTP2, 200).await;
    for host in ["127.0.0.1", "localhost"] {
        let backend = Backend::replying(200).await;
        let card = json!({ "supportedInterfaces": [
            { "url": format!("http://{}/", backend.place()), "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
            { "url": format!("{host}:{}", grpc.address().port()), "protocolBinding": "GRPC", "protocolVersion": "1.0" },
        ] });
        let agent = backend.header("content-type", "application/json").body(card.to_string());
        let gw = Gw::with("routes: { all: { endpoints: [{ address: '{0}', grpc: '{1}' }] } }", &[&agent, &grpc]).await;
        let reply = gw.send(at_host("a.example:81", get("/.well-known/agent-card.json"))).await;
        let card: Value = serde_json::from_str(reply.text()).unwrap();
        let urls = [0, 1].map(|index| card["supportedInterfaces"][index]["url"].as_str().unwrap().to_owned());
        assert_eq!(urls, ["http://a.example:81/", "a.example:81"]);
    }
}

#[tokio::test]
async fn operators_see_the_binding() {
    let gw = Live::with(
        "listeners: { http: { address: '127.0.0.1:0' } }\n\
         routes: { all: { endpoints: [{ address: 'localhost:1', grpc: 2 }, '127.0.0.1:3'] } }\n",
    )
    .await;
    let (_, status) = gw.ask(http::Method::GET, "/status").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let endpoints = &status["clusters"][0]["endpoints"];
    assert_eq!(endpoints[0]["grpc"], "127.0.0.1:2", "{status}");
    assert!(endpoints[1]["grpc"].is_null(), "{status}");
    gw.stop().await;
}
