//! Answers of the admin API that go on: requests as they end, and the state of the gateway.

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::support::{Backend, Client, Live, Place, at_host, get, refusing, soon, within};

/// Server-sent events as they come.
struct Following {
    _client: Client,
    body: Incoming,
    come: String,
}

impl Following {
    async fn of(gw: &Live, path: &str) -> Self {
        let (status, following) = Self::try_of(gw, path).await;
        assert_eq!(status, 200, "{path}");
        following
    }

    async fn try_of(gw: &Live, path: &str) -> (u16, Self) {
        let attache::config::model::AdminAddress::Tcp(address) = gw.admin else { panic!("it listens on a port") };
        let mut client = Client::h1(address).await;
        let answer = client.send(at_host("127.0.0.1", get(path))).await.unwrap();
        let status = answer.status().as_u16();
        if status == 200 {
            assert_eq!(answer.headers()["content-type"], "text/event-stream");
            assert_eq!(answer.headers()["cache-control"], "no-store");
        }
        (status, Self { _client: client, body: answer.into_body(), come: String::new() })
    }

    async fn piece(&mut self) -> Option<Bytes> {
        let frame = within("a piece comes", self.body.frame()).await?;
        frame.ok()?.into_data().ok()
    }

    /// The data of the next event of this name.
    async fn next(&mut self, name: &str) -> Value {
        loop {
            while let Some((event, rest)) = self.come.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.come = rest;
                let field = |key: &str| event.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
                if field("event: ").as_deref() == Some(name) {
                    return serde_json::from_str(&field("data: ").unwrap()).unwrap();
                }
            }
            let piece = self.piece().await.expect("it goes on");
            self.come.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// Waits until the gateway has begun to send.
    async fn begun(mut self) -> Self {
        let piece = self.piece().await.expect("it begins");
        self.come.push_str(std::str::from_utf8(&piece).unwrap());
        self
    }
}

fn routes(backend: &Backend) -> String {
    format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}
routes:
  good: {{ match: {{ path: {{ prefix: /good }} }}, cluster: pool, accessLog: false }}
  bad: {{ match: {{ path: {{ prefix: /bad }} }}, cluster: broken, retries: off }}
clusters: {{ pool: {{ endpoints: ['{}'] }}, broken: {{ endpoints: ['{}'] }} }}\n",
        backend.place(),
        refusing().place()
    )
}

#[tokio::test]
async fn requests_are_shown_as_they_end_to_who_wants_them() {
    let backend = Backend::replying(200).await;
    let gw = Live::with(&routes(&backend)).await;
    let mut all = Following::of(&gw, "/requests/live").await.begun().await;
    let mut failed = Following::of(&gw, "/requests/live?failed=true").await.begun().await;
    assert_eq!(gw.get("/good?key=secret").await.status, 200);
    let seen = all.next("request").await;
    assert_eq!((&seen["route"], &seen["status"]), (&json!("good"), &json!(200)), "also without an access log: {seen}");
    assert_eq!(seen["path"], "/good?key=*");
    assert_eq!(gw.get("/bad").await.status, 502);
    let seen = failed.next("request").await;
    assert_eq!((&seen["route"], &seen["reason"]), (&json!("bad"), &json!("connect_failed")), "the first it is shown");
    gw.stop().await;
}

#[tokio::test]
async fn a_filter_that_means_nothing_is_refused() {
    let gw = Live::with(&routes(&Backend::replying(200).await)).await;
    for query in ["status=6xx", "slower=5", "client=nobody", "failed=perhaps", "colour=red"] {
        let (status, body) = gw.ask(Method::GET, &format!("/requests/live?{query}")).await;
        assert_eq!(status, 400, "{query}: {body}");
    }
    gw.stop().await;
}

#[tokio::test]
async fn the_state_comes_again_and_again_and_follows_what_happens() {
    let gw = Live::with(&routes(&Backend::replying(200).await)).await;
    let mut live = Following::of(&gw, "/live").await;
    let first = live.next("state").await;
    assert_eq!((&first["status"], &first["writes"]), (&json!("ok"), &json!("rollouts")), "{first}");
    assert_eq!(first["listeners"][0]["name"], "http");
    assert_eq!(first["lastRefused"], Value::Null);
    let names = |state: &Value| {
        let routes = state["routes"]["routes"].as_array().unwrap().iter();
        routes.map(|route| route["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["bad", "good"]);
    gw.rewrite("routes: nonsense\n");
    gw.hangup().await;
    let refused = loop {
        let state = live.next("state").await;
        if !state["lastRefused"].is_null() {
            break state;
        }
    };
    assert!(refused["lastRefused"]["diagnostics"].as_str().unwrap().contains("routes"), "{refused}");
    assert_eq!(names(&refused), ["bad", "good"], "the old configuration stays");
    gw.stop().await;
}

#[tokio::test]
async fn so_many_may_follow_and_who_leaves_makes_room() {
    let gw = Live::with(&routes(&Backend::replying(200).await)).await;
    let mut following = Vec::new();
    for _ in 0..16 {
        following.push(Following::of(&gw, "/events/live").await.begun().await);
    }
    let (status, _) = Following::try_of(&gw, "/events/live").await;
    assert_eq!(status, 503);
    assert_eq!(gw.ask(Method::GET, "/status").await.0, 200, "others are answered");
    following.clear();
    soon("there is room again", || async {
        let (status, _) = Following::try_of(&gw, "/events/live").await;
        (status == 200).then_some(())
    })
    .await;
    gw.stop().await;
}

#[tokio::test]
async fn what_goes_on_does_not_hold_up_the_end_of_the_gateway() {
    let gw = Live::with(&routes(&Backend::replying(200).await)).await;
    let mut live = Following::of(&gw, "/events/live").await.begun().await;
    gw.stop().await;
    // It ends properly, so that pages come back.
    while live.piece().await.is_some() {}
}
