//! What the admin API shows of a gateway at work, what operators change through it, and that it keeps to its OpenAPI
//! document.

use std::collections::BTreeMap;

use hickory_resolver::proto::rr::RecordType;
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    Agent, Backend, Client, Live, NameServer, Place, Says, Sse, call, empty, eventually, get, message, refusing,
    request, soon, with_field,
};

async fn json_of(gw: &Live, path: &str) -> Value {
    let (status, body) = gw.ask(Method::GET, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}

async fn command(gw: &Live, path: &str) -> (u16, Value) {
    let (status, body) = gw.ask(Method::POST, path).await;
    (status, serde_json::from_str(&body).unwrap_or_default())
}

fn pool(endpoints: &[&dyn Place], rest: &str) -> String {
    let places: Vec<String> = endpoints.iter().map(|one| format!("'{}'", one.place())).collect();
    let places = places.join(", ");
    format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}
routes: {{ all: {{ cluster: pool, retries: off }} }}
clusters: {{ pool: {{ endpoints: [{places}], {rest} }} }}\n"
    )
}

#[tokio::test]
async fn routes_and_clusters_are_shown_with_their_traffic() {
    let backend = Backend::replying(200).await.then(503);
    let gw = Live::with(&pool(&[&backend], "circuitBreaker: { maxRequests: 7 }")).await;
    for expected in [200, 503] {
        assert_eq!(gw.get("/").await.status, expected);
    }
    let route = soon("the rates are those of the last look", || async {
        let routes = json_of(&gw, "/routes?route=all").await;
        let route = routes["routes"][0].clone();
        (route["requests"] == json!(2)).then_some(route)
    })
    .await;
    assert_eq!(
        (&route["failed"], &route["action"], &route["listeners"]),
        (&json!(1), &json!("forward"), &json!(["http"]))
    );
    assert_eq!(route["towards"][0]["cluster"], "pool");
    let clusters = json_of(&gw, "/clusters?cluster=pool").await;
    let cluster = &clusters["clusters"][0];
    assert_eq!(cluster["endpoints"][0]["rate"]["requests"], json!(2), "{cluster}");
    assert_eq!(cluster["ceilings"][0], json!({ "what": "requests", "taken": 0, "limit": 7 }), "{cluster}");
    let none = json_of(&gw, "/clusters?cluster=nobody").await;
    assert_eq!(none["clusters"], json!([]));
    let history = soon("the history has a point", || async {
        let history = json_of(&gw, "/history").await;
        (!history["all"][0].is_null()).then_some(history)
    })
    .await;
    assert_eq!(history["interval"], json!(5));
    gw.stop().await;
}

#[tokio::test]
async fn errors_are_grouped_by_cause_with_a_request_that_shows_each() {
    let nobody = refusing();
    let gw = Live::with(&pool(&[&nobody], "")).await;
    let address = gw.address("http").await;
    for id in ["one", "two"] {
        let asked = with_field("x-request-id", id, get("/broken?token=secret"));
        assert_eq!(Client::h1(address).await.reply(asked).await.status, 502);
    }
    assert_eq!(gw.get("/broken?token=secret").await.status, 502);
    let errors = json_of(&gw, "/errors?route=all").await;
    let error = &errors["errors"][0];
    assert_eq!((&error["reason"], &error["count"]), (&json!("connect_failed"), &json!(3)), "{errors}");
    assert_eq!((&error["route"], &error["cluster"]), (&json!("all"), &json!("pool")));
    let example = &error["example"];
    assert_eq!(example["path"], "/broken?token=*", "a query is masked");
    assert_eq!(example["endpoint"], json!(nobody.place()));
    assert!(example["upstream_error"].as_str().is_some_and(|why| why.contains("refused")), "{example}");
    assert_eq!(json_of(&gw, "/errors?route=other").await["errors"], json!([]));
    gw.stop().await;
}

#[tokio::test]
async fn an_open_stream_is_shown_until_it_ends() {
    let agent = Sse::new().await;
    let gw = Live::with(&pool(&[agent.backend()], "")).await;
    let mut client = Client::h1(gw.address("http").await).await;
    let answer = client.send(with_field("x-request-id", "stream-1", get("/events"))).await.unwrap();
    let stream = agent.stream().await;
    assert!(stream.event("hello").await);
    let shown = soon("the piece is counted", || async {
        let streams = json_of(&gw, "/streams?route=all").await;
        let stream = streams["streams"][0].clone();
        (stream["events"].as_u64() >= Some(1)).then_some(stream)
    })
    .await;
    assert_eq!((&shown["cluster"], &shown["endpoint"]), (&json!("pool"), &json!(agent.backend().place())), "{shown}");
    assert_eq!((&shown["client"], &shown["bytes"]), (&json!("127.0.0.1"), &json!(13)), "{shown}");
    assert!(shown["age"].as_f64() >= shown["lastEvent"].as_f64(), "{shown}");
    let cluster = json_of(&gw, "/clusters").await;
    assert_eq!(cluster["clusters"][0]["endpoints"][0]["streams"], json!(1), "{cluster}");
    drop(answer);
    client.leave();
    soon("it is gone", || async { (json_of(&gw, "/streams").await["streams"] == json!([])).then_some(()) }).await;
    gw.stop().await;
}

#[tokio::test]
async fn tasks_and_agents_are_shown() {
    let agent = Agent::new("one").await;
    let gw = Live::with(&pool(&[&agent], "")).await;
    let address = gw.address("http").await;
    let made = Client::h1(address).await.reply(call("SendMessage", &message(&json!({})))).await;
    let made = crate::support::says(&made);
    let id =
        made.pointer("/result/task/id").and_then(Value::as_str).unwrap_or_else(|| panic!("a task: {made}")).to_owned();
    let tasks = json_of(&gw, &format!("/tasks?id={id}")).await;
    assert_eq!(tasks["found"][0]["endpoint"], json!(agent.place()), "{tasks}");
    assert_eq!(json_of(&gw, "/tasks?id=unknown").await["found"], json!([]));
    let agents = json_of(&gw, "/agents").await;
    assert_eq!((&agents["agents"][0]["route"], &agents["agents"][0]["hasAnswered"]), (&json!("all"), &json!(true)));
    gw.stop().await;
}

#[tokio::test]
async fn the_card_that_a_client_got_is_shown_as_text() {
    let card = r#"{"name":"<b>Ada</b>","version":"1.2","url":"http://a.test/","skills":[]}"#;
    let backend = Backend::replying(200).await.header("content-type", "application/json").body(card);
    let gw = Live::with(&pool(&[&backend], "")).await;
    assert_eq!(gw.get("/.well-known/agent-card.json").await.status, 200);
    let agents = json_of(&gw, "/agents").await;
    let agent = &agents["agents"][0];
    assert_eq!((&agent["card"]["name"], &agent["card"]["version"]), (&json!("<b>Ada</b>"), &json!("1.2")), "{agents}");
    assert_eq!(agent["cardFrom"], json!(backend.place()));
    gw.stop().await;
}

#[tokio::test]
async fn who_is_limited_most_is_shown() {
    let gw = Live::with(
        "listeners: { http: { address: '127.0.0.1:0' } }
rateLimits: { edge: { key: client-ip, rate: 1/hour } }
routes: { all: { respond: { body: one }, rateLimit: edge } }\n",
    )
    .await;
    for expected in [200, 429, 429] {
        assert_eq!(gw.get("/").await.status, expected);
    }
    let limits = json_of(&gw, "/limits").await;
    let limit = &limits["limits"][0];
    assert_eq!((&limit["name"], &limit["mode"], &limit["limited"]), (&json!("edge"), &json!("enforce"), &json!(2)));
    assert_eq!((&limit["top"][0]["client"], &limit["top"][0]["refused"]), (&json!("127.0.0.1"), &json!(2)));
    gw.stop().await;
}

#[tokio::test]
async fn an_endpoint_is_drained_and_taken_back_and_it_is_written_down() {
    let backends = [Backend::replying(200).await, Backend::replying(200).await];
    let [one, two] = &backends;
    let gw = Live::prepared(|directory| {
        let audit = directory.join("audit.log");
        let defaults =
            crate::support::DEFAULTS.replace("'127.0.0.1:0' }\naccessLog", "'127.0.0.1:0', writes: all }\naccessLog");
        let text = format!("{defaults}auditLog: {{ output: '{}' }}\n{}", audit.display(), pool(&[one, two], ""));
        std::fs::write(directory.join("gateway.yaml"), text).unwrap();
    })
    .await;
    let order =
        |endpoint: String, verb: &str| format!("/endpoints?cluster=pool&endpoint={endpoint}&verb={verb}&by=ann");
    let (status, done) = command(&gw, &order(one.place(), "drain")).await;
    assert_eq!((status, &done["endpoints"]), (200, &json!([one.place()])), "{done}");
    for _ in 0..20 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    assert_eq!((one.hits(), two.hits()), (0, 20));
    for (path, expected) in [
        (order(one.place(), "drain"), 409),
        (order(two.place(), "drain"), 409),
        (order(two.place(), "uneject"), 409),
        (order("10.0.0.9:1".to_owned(), "drain"), 404),
        (order(two.place(), "jump"), 400),
        (format!("/endpoints?cluster=other&endpoint={}&verb=drain", one.place()), 404),
        (format!("{}&force=true", order(two.place(), "drain")), 200),
        (order(two.place(), "undrain"), 200),
        (order(two.place(), "undrain"), 409),
    ] {
        let (status, done) = command(&gw, &path).await;
        assert_eq!(status, expected, "{path}: {done}");
    }
    gw.hangup().await;
    let clusters = json_of(&gw, "/clusters").await;
    let drained: BTreeMap<_, _> = clusters["clusters"][0]["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|endpoint| (endpoint["address"].as_str().unwrap().to_owned(), endpoint["drained"] == json!(true)))
        .collect();
    assert_eq!(drained, BTreeMap::from([(one.place(), true), (two.place(), false)]), "over a reload");
    assert_eq!(command(&gw, &order(one.place(), "undrain")).await.0, 200);
    let directory = gw.stop_keeping_files().await;
    let audit = std::fs::read_to_string(directory.path().join("audit.log")).unwrap();
    assert!(audit.contains("\"reason\":\"drain\"") && audit.contains("\"by\":\"ann (over the network)\""), "{audit}");
}

#[tokio::test]
async fn a_drain_during_a_reload_waits_for_it_and_holds() {
    let (names, backends) = (NameServer::new().await, [Backend::replying(200).await, Backend::replying(200).await]);
    let [one, two] = &backends;
    let defaults =
        crate::support::DEFAULTS.replace("'127.0.0.1:0' }\naccessLog", "'127.0.0.1:0', writes: all }\naccessLog");
    let text = |more: &str| {
        format!(
            "{defaults}dns: {{ servers: ['{}'] }}\nreload: {{ watch: false }}\n{}",
            names.place(),
            pool(&[one, two], "").replace("clusters: { ", &format!("clusters: {{ {more}"))
        )
    };
    let gw = Live::prepared(|directory| std::fs::write(directory.join("gateway.yaml"), text("")).unwrap()).await;
    // A name that nobody answers for holds the reload up for a while.
    names.say("late.test", Says::Silence, Says::Silence);
    gw.write("gateway.yaml", &text("late: { endpoints: ['late.test.:80'] }, "));
    let drained = async {
        eventually("the reload is under way", || async { names.asked("late.test", RecordType::A) > 0 }).await;
        let order = format!("/endpoints?cluster=pool&endpoint={}&verb=drain", one.place());
        let (status, done) = command(&gw, &order).await;
        assert_eq!(status, 200, "{done}");
        let reloads = json_of(&gw, "/reloads").await;
        assert_eq!(reloads["reloads"].as_array().unwrap().len(), 2, "the start, and the reload, which came first");
    };
    let ((status, done), ()) = tokio::join!(gw.ask_reload(), drained);
    assert_eq!((status, &done["verdict"]), (200, &json!("applied")), "{done}");
    for _ in 0..10 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    assert_eq!((one.hits(), two.hits()), (0, 10), "it holds under the new configuration");
    gw.stop().await;
}

#[tokio::test]
async fn endpoints_and_the_log_need_all_writes() {
    let gw = Live::with(&pool(&[&refusing()], "")).await;
    for path in ["/endpoints?cluster=pool&endpoint=a&verb=drain", "/log-level?level=debug"] {
        let (status, body) = gw.ask(Method::POST, path).await;
        assert_eq!(status, 403, "{path}: {body}");
    }
    gw.stop().await;
}

#[tokio::test]
async fn the_kernel_says_who_came_over_the_socket() {
    let directory = tempfile::TempDir::new().unwrap();
    let (socket, audit) = (directory.path().join("admin.sock"), directory.path().join("audit.log"));
    let text = format!(
        "workers: 1\nmetrics: {{ address: '127.0.0.1:0' }}\nadmin: {{ address: 'unix:{}', writes: all }}
accessLog: {{ output: off }}\nauditLog: {{ output: '{}' }}
listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\nroutes: {{ all: {{ respond: {{ body: one }} }} }}\n",
        socket.display(),
        audit.display()
    );
    let path = directory.path().join("gateway.yaml");
    std::fs::write(&path, text).unwrap();
    let gw = Live::following(directory, &path).await;
    assert_eq!(gw.ask(Method::POST, "/blocks?network=192.0.2.7&by=ann").await.0, 200);
    let directory = gw.stop_keeping_files().await;
    let told = std::fs::read_to_string(directory.path().join("audit.log")).unwrap();
    let own = rustix::process::getuid().as_raw();
    assert!(told.contains(&format!("\"by\":\"uid {own} (ann)\"")), "{told}");
}

/// Walks through the OpenAPI document: each operation answers, with a status and a form that the document has.
#[tokio::test]
async fn every_operation_keeps_to_the_document() {
    let gw = Live::with(&pool(&[&refusing()], "")).await;
    let document = json_of(&gw, "/openapi.json").await;
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let parameters = operation["parameters"].as_array().unwrap();
            let required: Vec<&str> = parameters
                .iter()
                .filter(|one| one["required"] == json!(true))
                .map(|one| one["name"].as_str().unwrap())
                .collect();
            let is_event_stream = !operation["responses"]["200"]["content"]["text/event-stream"].is_null();
            for query in queries(parameters, &required) {
                if is_event_stream && !query.contains("unknown") {
                    // It goes on: what follows is looked at elsewhere.
                    continue;
                }
                let asked = format!("{path}?{query}");
                let (status, body) = gw.ask(method.clone(), &asked).await;
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.contains_key(&status.to_string()), "{method} {asked}: {status} {body}");
                assert!(status < 500, "{method} {asked}: {status} {body}");
                if query.contains("unknown") {
                    assert!(matches!(status, 400 | 403), "{method} {asked}: {status} {body}");
                }
                if status == 200 {
                    fits(&document, &operation["responses"]["200"], &body, &asked);
                }
                seen += 1;
            }
            if method == Method::GET {
                let asked = crate::support::at_host("127.0.0.1", request("PATCH", path, empty()));
                let attache::config::model::AdminAddress::Tcp(address) = gw.admin else { panic!("a port") };
                assert_eq!(Client::h1(address).await.reply(asked).await.status, 405, "PATCH {path}");
            }
        }
    }
    assert!(seen > 60, "only {seen} questions");
    gw.stop().await;
}

/// Without anything, with a parameter nobody knows, with what is required, and with each parameter in a good and a bad
/// form.
fn queries(parameters: &[Value], required: &[&str]) -> Vec<String> {
    let named = |name: &str| parameters.iter().find(|one| one["name"] == json!(name)).unwrap();
    let base: Vec<String> = required.iter().map(|name| format!("{name}={}", example(named(name)))).collect();
    let base = base.join("&");
    let mut queries = vec![String::new(), format!("{base}&unknown=1"), base.clone()];
    for parameter in parameters.iter().filter(|one| one["required"] != json!(true)) {
        let name = parameter["name"].as_str().unwrap();
        queries.push(format!("{base}&{name}={}", example(parameter)));
        queries.push(format!("{base}&{name}=%00"));
        queries.push(format!("{base}&{name}="));
    }
    queries
}

fn example(parameter: &Value) -> String {
    let schema = &parameter["schema"];
    if let Some(words) = schema["enum"].as_array() {
        return words[0].as_str().unwrap().to_owned();
    }
    match (parameter["name"].as_str().unwrap(), schema["type"].as_str().unwrap()) {
        (_, "integer") => "1".to_owned(),
        (_, "boolean") => "true".to_owned(),
        ("network", _) => "192.0.2.0/24".to_owned(),
        _ => "x".to_owned(),
    }
}

/// Whether an answer has what the schema of its object requires.
fn fits(document: &Value, response: &Value, body: &str, asked: &str) {
    let Some(schema) = response.pointer("/content/application~1json/schema") else { return };
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let answer: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{asked}: {error}: {body}"));
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(answer.get(name.as_str().unwrap()).is_some(), "{asked} lacks {name}: {body}");
    }
}

#[tokio::test]
async fn the_dashboard_asks_for_the_token_itself() {
    let gw = Live::prepared(|directory| {
        let admin = "admin: { address: '127.0.0.1:0', tokenFile: token }";
        let defaults = crate::support::DEFAULTS.replace("admin: { address: '127.0.0.1:0' }", admin);
        std::fs::write(directory.join("token"), "0123456789abcdef").unwrap();
        std::fs::write(directory.join("gateway.yaml"), format!("{defaults}{}", pool(&[&refusing()], ""))).unwrap();
    })
    .await;
    for (path, expected) in [("/dashboard", 200), ("/live", 401), ("/status", 401), ("/openapi.json", 401)] {
        assert_eq!(gw.ask(Method::GET, path).await.0, expected, "{path}");
    }
    gw.stop().await;
}

#[tokio::test]
async fn the_dashboard_may_run_its_own_script_and_nothing_else() {
    let gw = Live::with(&pool(&[&refusing()], "")).await;
    let attache::config::model::AdminAddress::Tcp(address) = gw.admin else { panic!("a port") };
    let asked = crate::support::at_host("127.0.0.1", get("/dashboard"));
    let page = Client::h1(address).await.reply(asked).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(page.body.len() < 60 << 10, "{} bytes", page.body.len());
    gw.stop().await;
}
