//! The catalog of a listener: all agents that its clients reach, with what their cards say, whatever becomes of single
//! ones.

use serde_json::{Value, json};

use crate::support::{
    Backend, Gw, RawBackend, Reply, TextFile, at_host, channel, eventually, get, post, refusing, request, soon,
    with_field,
};

const CATALOG: &str = "/.well-known/agents.json";

fn card(name: &str, version: &str) -> String {
    json!({
        "name": name, "description": "does things", "version": version, "url": "http://10.0.0.1:9999/a2a",
        "provider": { "organization": "ACME", "url": "https://acme.example" }, "capabilities": {},
        "skills": [{ "id": "s", "name": "S", "description": "long", "tags": ["t"] }],
    })
    .to_string()
}

fn with_card(backend: Backend, card: &str) -> Backend {
    backend.header("content-type", "application/json").body(card.to_owned())
}

async fn agent(name: &str) -> Backend {
    with_card(Backend::replying(200).await, &card(name, "1"))
}

fn agents(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let found: Value = serde_json::from_slice(&reply.body).unwrap();
    found["agents"].as_array().unwrap().clone()
}

async fn counted(gw: &Gw, route: &str, result: &str) -> f64 {
    gw.metric("attache_catalog_cards_total", &[("route", route), ("result", result)]).await
}

#[tokio::test]
async fn all_agents_are_listed_that_the_client_reaches_and_no_others() {
    let (planner, nothing, dead) = (agent("planner").await, Backend::replying(404).await, refusing());
    let template = "
        listeners:
          http: { address: '127.0.0.1:0', catalog: { ttl: 1h } }
          inner: { address: '127.0.0.1:0' }
        routes:
          planner: { match: { path: { prefix: /planner } }, rewrite: { prefix: / }, cluster: planner, listeners: [http] }
          down: { match: { path: { prefix: /down/ } }, endpoints: ['{2}'] }
          website: { match: { path: { prefix: /site } }, endpoints: ['{1}'] }
          inner: { match: { path: { prefix: /inner } }, cluster: planner, listeners: [inner] }
          off: { match: { path: { prefix: /off } }, cluster: planner, a2a: off }
          moved: { match: { path: { prefix: /moved } }, redirect: { path: /planner } }
          hidden:
            match: { path: { prefix: /hidden }, headers: { x-team: blue } }
            rewrite: { prefix: / }
            cluster: planner
          elsewhere:
            hosts: [other.example]
            match: { path: { prefix: /a } }
            rewrite: { prefix: / }
            cluster: planner
        clusters: { planner: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&planner, &nothing, &dead]).await;
    let down = json!({
        "url": "http://agents.example/down/.well-known/agent-card.json", "available": false, "reason": "unreachable",
    });
    let planner_at = |url: &str| {
        json!({
            "url": url, "available": true, "name": "planner", "description": "does things", "version": "1",
            "provider": { "organization": "ACME", "url": "https://acme.example" },
            "skills": [{ "id": "s", "name": "S", "tags": ["t"] }],
        })
    };
    let mine = planner_at("http://agents.example/planner/.well-known/agent-card.json");
    let listed = |host: &'static str, field| with_field("x-team", field, at_host(host, get(CATALOG)));
    let reply = gw.h1().await.reply(listed("agents.example", "red")).await;
    assert_eq!(agents(&reply), [down.clone(), mine.clone()]);
    assert_eq!(
        (reply.header("content-type"), reply.header("cache-control")),
        ("application/json", "private, no-cache")
    );
    let hidden = planner_at("http://agents.example/hidden/.well-known/agent-card.json");
    let reply = gw.h2().await.reply(listed("agents.example", "blue")).await;
    assert_eq!(agents(&reply), [down, hidden, mine.clone()], "as far as this client's own requests get there");
    let reply = gw.h1().await.reply(listed("other.example", "red")).await;
    assert_eq!(agents(&reply)[0]["url"], "http://other.example/a/.well-known/agent-card.json");
    // A client finds the card where the catalog says.
    let reply = gw.get("/planner/.well-known/agent-card.json").await;
    assert_eq!(reply.status, 200);
    assert!((counted(&gw, "planner", "read").await - 1.0).abs() < f64::EPSILON);
    assert!((counted(&gw, "down", "unreachable").await - 1.0).abs() < f64::EPSILON);
    assert!((counted(&gw, "website", "no_card").await - 1.0).abs() < f64::EPSILON);
    // A record may overtake another.
    let records = gw.records(4).await;
    let of_catalog: Vec<_> = records.iter().filter(|record| record["path"] == json!(CATALOG)).collect();
    assert_eq!(of_catalog.len(), 3, "{records:?}");
    for record in of_catalog {
        assert_eq!(record["status"], json!(200));
        assert_eq!(record.get("route"), None, "no route has answered: {record}");
    }
}

#[tokio::test]
async fn without_the_key_the_path_is_a_path() {
    let agent = agent("a").await;
    let gw = Gw::with("routes: { a: { endpoints: ['{0}'] } }", &[&agent]).await;
    let reply = gw.get(CATALOG).await;
    assert_eq!((reply.status, agent.request().uri.path()), (200, CATALOG));
}

#[tokio::test]
async fn four_lines_and_one_word_list_the_agent_at_the_path_that_was_chosen() {
    let agent = agent("a").await;
    let template = "
        listeners: { http: { address: '127.0.0.1:0', publicUrl: 'https://agents.example/team', catalog: { path: /all } } }
        routes: { a: { endpoints: ['{0}'], requestHeaders: { set: { x-key: secret } } } }
    ";
    let gw = Gw::with(template, &[&agent]).await;
    let reply = gw.send(with_field("authorization", "Bearer mine", get("/all"))).await;
    assert_eq!(agents(&reply)[0]["url"], "https://agents.example/team/.well-known/agent-card.json");
    assert_eq!(reply.header("cache-control"), "private, max-age=60");
    let seen = agent.request();
    assert_eq!((seen.header("authorization"), seen.header("x-key")), ("", "secret"), "it is the gateway that asks");
    assert_eq!((seen.header("a2a-version"), seen.uri.path()), ("1.0", "/.well-known/agent-card.json"));
    assert_eq!(gw.send(post("/all", "{}")).await.status, 200, "another method is the route's");
    assert_eq!(agent.hits(), 2);
}

#[tokio::test]
async fn a_client_that_has_the_catalog_does_not_get_it_again() {
    let agent = agent("a").await;
    let template = "
        listeners: { http: { address: '127.0.0.1:0', catalog: {} } }
        routes: { a: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&agent]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let whole = client.reply(at_host("a.example", get(CATALOG))).await;
        let tag = whole.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{tag}");
        let known = with_field("if-none-match", &tag, at_host("a.example", get(CATALOG)));
        let reply = client.reply(known).await;
        assert_eq!((reply.status, reply.text(), reply.header("etag")), (304, "", tag.as_str()));
        let other = with_field("if-none-match", "\"other\"", at_host("a.example", get(CATALOG)));
        assert_eq!(client.reply(other).await.status, 200);
        let head = client.reply(at_host("a.example", request("HEAD", CATALOG, crate::support::empty()))).await;
        assert_eq!((head.status, head.text(), head.header("etag")), (200, "", tag.as_str()));
        assert_eq!(head.header("content-length"), whole.body.len().to_string());
    }
    assert_eq!(agent.hits(), 1, "one question for all");
}

#[tokio::test]
async fn many_askers_cost_the_agent_one_question() {
    let (agent, release) = Backend::held().await;
    let template = "
        listeners: { http: { address: '127.0.0.1:0', catalog: { ttl: 1h, timeout: 15s } } }
        routes: { a: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&agent]).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(gw.h1().await);
    }
    let asked: Vec<_> =
        clients.into_iter().map(|mut client| tokio::spawn(async move { client.reply(get(CATALOG)).await })).collect();
    eventually("the agent is asked", || async { agent.hits() == 1 }).await;
    // Another request of the same route does not wait for the catalog.
    assert_eq!(gw.send(post("/", "x")).await.text(), "done");
    release.send(()).unwrap();
    for reply in asked {
        let found = agents(&reply.await.unwrap());
        assert_eq!(found[0]["reason"], "invalid", "what it says is no card");
    }
    assert_eq!(agent.hits(), 2);
}

#[tokio::test]
async fn a_changed_card_is_seen_and_the_last_good_one_stays() {
    let agent = with_card(Backend::replying(200).await, &card("a", "1"));
    let agent = with_card(agent.then(200), &card("a", "2")).then(500);
    let template = "
        listeners: { http: { address: '127.0.0.1:0', catalog: { ttl: 1ms } } }
        routes: { a: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&agent]).await;
    let first = gw.get(CATALOG).await;
    assert_eq!(agents(&first)[0]["version"], "1");
    let second = soon("the card is fetched again", || async {
        let reply = gw.get(CATALOG).await;
        (agents(&reply)[0]["version"] == "2").then_some(reply)
    })
    .await;
    assert_ne!(first.header("etag"), second.header("etag"));
    let third = soon("the agent fails", || async {
        let reply = gw.get(CATALOG).await;
        (agents(&reply)[0]["available"] == false).then_some(reply)
    })
    .await;
    let found = &agents(&third)[0];
    assert_eq!((&found["reason"], &found["version"]), (&json!("unreachable"), &json!("2")), "the last good card");
}

#[tokio::test]
async fn a_card_that_is_none_is_named_and_harms_nothing() {
    let large = format!("{{\"name\":\"a\",\"url\":\"u\",\"x\":\"{}\"}}", "x".repeat(1 << 20));
    let hostile = json!({ "name": "a\u{1b}[2J\u{202e}\u{0}", "url": "u", "skills": "none" }).to_string();
    for (content_type, text, expected) in [
        ("text/html", card("a", "1"), json!("invalid")),
        ("application/json", "{\"name\":".to_owned(), json!("invalid")),
        ("application/json", "[]".to_owned(), json!("invalid")),
        ("application/json", large, json!("too_large")),
        ("application/json", hostile, Value::Null),
    ] {
        let bad = Backend::replying(200).await.header("content-type", content_type).body(text);
        let good = agent("good").await;
        let template = "
            listeners: { http: { address: '127.0.0.1:0', catalog: {} } }
            routes:
              bad: { endpoints: ['{0}'] }
              good: { match: { path: { prefix: /good } }, endpoints: ['{1}'] }
        ";
        let gw = Gw::with(template, &[&bad, &good]).await;
        let reply = gw.get(CATALOG).await;
        let [bad, good] = &agents(&reply)[..] else { panic!("{}", reply.text()) };
        assert_eq!((&bad["reason"], &good["name"]), (&expected, &json!("good")), "{}", reply.text());
        assert!(reply.text().trim_end().chars().all(|character| matches!(character, ' '..='~')), "{}", reply.text());
        if expected.is_null() {
            assert_eq!(bad["name"], "a\u{1b}[2J\u{202e}\u{0}", "and to a program it is the same text");
        }
    }
}

#[tokio::test]
async fn an_agent_that_hangs_holds_nobody_up_for_longer_than_its_time() {
    let (silent, good) = (RawBackend::silent().await, agent("good").await);
    // One that begins its card and goes on forever.
    let (never, slow) = channel();
    let slow = std::sync::Mutex::new(Some(slow));
    let slow = Backend::handling(move |_| {
        let body = slow.lock().unwrap().take().unwrap_or_else(crate::support::empty);
        async move { http::Response::builder().header("content-type", "application/json").body(body).unwrap() }
    })
    .await;
    let template = "
        listeners: { http: { address: '127.0.0.1:0', catalog: { timeout: 500ms } } }
        routes:
          silent: { endpoints: ['{0}'] }
          slow: { match: { path: { prefix: /slow } }, endpoints: ['{2}'] }
          good: { match: { path: { prefix: /good } }, endpoints: ['{1}'] }
    ";
    let gw = Gw::with(template, &[&silent, &good, &slow]).await;
    let reply = soon("the good one is there", || async {
        let reply = gw.get(CATALOG).await;
        (agents(&reply)[1]["name"] == "good").then_some(reply)
    })
    .await;
    // The client waits as long as the agent may take, so either may be over first.
    let is_late = |agent: &Value| agent["available"] == false && agent["name"].is_null();
    let found = agents(&reply);
    assert!(is_late(&found[0]) && is_late(&found[2]), "{}", reply.text());
    eventually("both are given up", || async {
        let found = agents(&gw.get(CATALOG).await);
        found[0]["reason"] == "timed_out" && found[2]["reason"] != "pending"
    })
    .await;
    drop(never);
}

#[tokio::test]
async fn an_agent_of_an_older_generation_and_one_that_keeps_its_card_are_told_apart() {
    let older = Backend::handling(|request| async move {
        let is_old = request.uri().path() == "/.well-known/agent.json";
        let body = crate::support::full(if is_old { card("older", "1") } else { String::new() });
        let answer = http::Response::builder().status(if is_old { 200 } else { 404 });
        answer.header("content-type", "application/json").body(body).unwrap()
    })
    .await;
    let shy = Backend::replying(401).await;
    let template = "
        listeners: { http: { address: '127.0.0.1:0', catalog: {} } }
        routes:
          older: { endpoints: ['{0}'] }
          shy: { match: { path: { prefix: /shy } }, endpoints: ['{1}'] }
    ";
    let gw = Gw::with(template, &[&older, &shy]).await;
    let found = agents(&gw.get(CATALOG).await);
    assert_eq!((&found[0]["name"], &found[1]["reason"]), (&json!("older"), &json!("refused")));
}

#[tokio::test]
async fn a_reload_asks_again_and_a_listener_may_lose_its_catalog() {
    let (old, new) = (agent("old").await, agent("new").await);
    let template = |at: usize, catalog: &str| {
        format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0', catalog: {catalog} }} }}\n\
             routes: {{ a: {{ endpoints: ['{{{at}}}'] }} }}"
        )
    };
    let mut gw = Gw::with(&template(0, "{}"), &[&old, &new]).await;
    assert_eq!(agents(&gw.get(CATALOG).await)[0]["name"], "old");
    gw.reload(&template(1, "{}"), &[&old, &new]).await.unwrap();
    assert_eq!(agents(&gw.get(CATALOG).await)[0]["name"], "new");
    gw.reload(&template(1, "off"), &[&old, &new]).await.unwrap();
    gw.get(CATALOG).await;
    assert_eq!(new.hits(), 2, "the agent is asked for what is no path of the gateway any more");
}

/// The catalog shows nobody an agent whose card the agent's route would refuse.
#[tokio::test]
async fn agents_are_listed_for_those_who_may_have_their_cards() {
    let agent = agent("a").await;
    let keys = TextFile::new(
        "ann:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n\
         bob:81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9\n", // "secret", "bob"
    );
    let gate = Backend::handling(async |request| {
        let asked = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        let may = asked("cookie") == "session=ann" && asked("x-forwarded-uri").starts_with("/gate/.well-known/");
        http::Response::builder().status(if may { 200 } else { 403 }).body(crate::support::empty()).unwrap()
    })
    .await;
    let template = "
        workers: 1
        clientIp: { trustedProxies: 127.0.0.1 }
        tenants: { claim: tenant, header: x-tenant }
        listeners: { http: { address: '127.0.0.1:0', catalog: { ttl: 1h } } }
        authProviders: { keys: { apiKey: { keysFile: '{1}' } }, gate: { external: { url: 'http://{2}/' } } }
        authFailures: { slowAfter: 1, delay: 1h, maxDelay: 1h }
        routes:
          ann: { match: { path: { prefix: /ann } }, cluster: a, auth: keys, authorization: { rules: [{ principals: ann }] } }
          gate: { match: { path: { prefix: /gate } }, cluster: a, auth: gate }
          gates: { match: { path: { prefix: /gates } }, cluster: a, auth: gate }
          key: { match: { path: { prefix: /key } }, cluster: a, auth: keys }
          keys: { match: { path: { prefix: /keys } }, cluster: a, auth: keys }
          near: { match: { path: { prefix: /near } }, cluster: a, ipAccess: { allow: 10.0.0.0/8 } }
          open: { match: { path: { prefix: /open } }, cluster: a, auth: { anyOf: [keys], except: [cards] } }
          watched: { match: { path: { prefix: /watched } }, cluster: a, ipAccess: { allow: 10.0.0.0/8, mode: shadow } }
        clusters: { a: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&agent, &keys, &gate]).await;
    let mut client = gw.h1().await;
    let (far, near, guesser) = ("192.0.2.1", "10.0.0.1", "192.0.2.9");
    for (from, field, expected) in [
        (far, ("x-other", ""), &["open", "watched"][..]),
        (near, ("x-other", ""), &["near", "open", "watched"]),
        (far, ("x-api-key", "secret"), &["ann", "key", "keys", "open", "watched"]),
        (far, ("x-api-key", "bob"), &["key", "keys", "open", "watched"]),
        (far, ("cookie", "session=ann"), &["gate", "open", "watched"]),
        (guesser, ("x-api-key", "one"), &["open", "watched"]),
        (guesser, ("x-api-key", "two"), &["open", "watched"]),
        (guesser, ("x-api-key", "secret"), &["open", "watched"]),
    ] {
        let request = || with_field(field.0, field.1, with_field("x-forwarded-for", from, get(CATALOG)));
        let found = agents(&client.reply(request()).await);
        let names: Vec<_> =
            found.iter().map(|agent| agent["url"].as_str().unwrap().split('/').nth(3).unwrap()).collect();
        assert_eq!(names, expected, "{from} {field:?}");
        if field.1 == "secret" && from == far {
            let names = agents(&client.reply(with_field("x-tenant", "acme", request())).await).len();
            assert_eq!(names, 2, "a tenant that is not proven");
        }
    }
    let failed = async |result| gw.metric("attache_auth_failures_total", &[("result", result)]).await;
    assert_eq!((failed("counted").await, failed("slowed").await), (1.0, 1.0), "each guess counts once");
    let request = with_field("x-forwarded-for", guesser, with_field("x-api-key", "secret", get("/key/x")));
    assert_eq!(client.reply(request).await.reason(), "auth_slowed");
}

/// One request of anybody would otherwise be one of each route at the server that decides.
#[tokio::test]
async fn a_catalog_asks_a_server_that_decides_so_often_and_no_more() {
    let (agent, gate) = (agent("a").await, Backend::replying(200).await);
    let route = |name: usize| {
        format!(
            "  r{name:02}: {{ match: {{ path: {{ prefix: /r{name:02} }} }}, rewrite: {{ prefix: / }}, cluster: a, auth: gate }}\n"
        )
    };
    let template = format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0', catalog: {{ timeout: 15s }} }} }}\n\
         authProviders: {{ gate: {{ external: {{ url: 'http://{{1}}/' }} }} }}\n\
         routes:\n{}clusters: {{ a: {{ endpoints: ['{{0}}'] }} }}",
        (0..40).map(route).collect::<String>(),
    );
    let gw = Gw::with(&template, &[&agent, &gate]).await;
    let reply = gw.get(CATALOG).await;
    let found: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((agents(&reply).len(), &found["agentsLeftOut"]), (32, &json!(8)));
    assert_eq!(gate.hits(), 32);
    assert_eq!(reply.header("cache-control"), "private, no-cache", "others may be asked about the next time");
    assert_eq!(gw.get("/r39/x").await.status, 200, "it is left out and not refused");
}

#[tokio::test]
async fn a_catalog_asks_nobody_once_its_time_is_over() {
    let (agent, gate) = (agent("a").await, RawBackend::silent().await);
    let template = "
        workers: 1
        listeners: { http: { address: '127.0.0.1:0', catalog: { timeout: 100ms } } }
        authProviders: { gate: { external: { url: 'http://{1}/', timeout: 200ms } } }
        routes:
          a: { match: { path: { prefix: /a } }, cluster: a, auth: gate }
          b: { match: { path: { prefix: /b } }, cluster: a, auth: gate }
          c: { match: { path: { prefix: /c } }, cluster: a, auth: gate }
          open: { match: { path: { prefix: /open } }, rewrite: { prefix: / }, cluster: a }
        clusters: { a: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&agent, &gate]).await;
    let reply = gw.get(CATALOG).await;
    assert_eq!(agents(&reply).len(), 1, "what needs no answer is listed");
    assert_eq!(reply.header("cache-control"), "private, no-cache");
    // Connections are accepted in their order: that of this one is the last.
    assert_eq!(gw.get("/a/x").await.status, 503);
    assert_eq!(gate.connections(), 2);
}
