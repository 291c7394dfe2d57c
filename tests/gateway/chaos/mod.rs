//! Agents that fail in every way there is, and what clients see of it. The time limits are the behaviour promised, with the margin
//! stated where they are asserted. Many small loads run side by side, so that there is little to wait for.

mod agent;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::support::{Client, Gw, Reply, get, pass, within};
use agent::{Agent, Mood};

/// What `docs/retries.md` recommends for reads that are answered soon.
const ARMED: &str = "
routes:
  all:
    cluster: agents
    timeout: 10s
    retries: { attempts: 2, perTryTimeout: 500ms, retryOn: '5xx,reset,connect-failure,refused-stream' }
clusters:
  agents:
    endpoints: ['{0}', '{1}', '{2}']
    connectTimeout: 500ms
    outlierDetection: { consecutive5xxErrors: 3 }
";

/// The same with ejections so short that a bad agent returns again and again.
const FORGIVING: &str = "
routes:
  all:
    cluster: agents
    timeout: 10s
    retries: { attempts: 2, perTryTimeout: 500ms, retryOn: '5xx,reset,connect-failure,refused-stream' }
clusters:
  agents:
    endpoints: ['{0}', '{1}', '{2}']
    connectTimeout: 500ms
    slowStart: off
    outlierDetection: { consecutive5xxErrors: 3, baseEjectionTime: 300ms, maxEjectionTime: 300ms }
";

/// Nothing but where the agents are.
const PLAIN: &str = "routes: { all: { endpoints: ['{0}', '{1}', '{2}'] } }";

fn three(mood: Mood) -> [Agent; 3] {
    [mood; 3].map(Agent::new)
}

async fn gateway(template: &str, agents: &[Agent; 3]) -> Gw {
    Gw::with(template, &[&agents[0], &agents[1], &agents[2]]).await
}

/// Whether a GET is answered well, all of it.
async fn succeeds(gw: &Gw, connection: &mut Option<Client>) -> bool {
    let mut client = match connection.take() {
        Some(client) => client,
        None => gw.h1().await,
    };
    let Ok(response) = client.send(get("/")).await else {
        return false;
    };
    match Reply::read(response).await {
        Ok(reply) => {
            *connection = Some(client);
            reply.status == 200 && reply.text() == "ok"
        }
        Err(_broken_off) => false,
    }
}

/// Sends GETs from several clients for so long, at a pace that leaves the other tests the processor. When each that failed was sent,
/// and how many there were.
async fn load(gw: &Gw, length: Duration) -> (Vec<Duration>, usize) {
    let start = Instant::now();
    let clients = (0..4).map(|_| async move {
        let mut connection = None;
        let (mut failed, mut sent) = (Vec::new(), 0);
        while start.elapsed() < length {
            let at = start.elapsed();
            sent += 1;
            if !succeeds(gw, &mut connection).await {
                failed.push(at);
            }
            pass(Duration::from_millis(25)).await;
        }
        (failed, sent)
    });
    let mut failed = Vec::new();
    let mut sent = 0;
    for (these, count) in join_all(clients).await {
        failed.extend(these);
        sent += count;
    }
    (failed, sent)
}

/// One of three agents gets into this mood: no GET that is sent from the third second on fails.
async fn one_of_three(template: &str, mood: Mood) {
    let agents = three(Mood::Fine);
    let gw = gateway(template, &agents).await;
    let (failed, _) = load(&gw, Duration::from_millis(200)).await;
    assert!(failed.is_empty(), "{mood:?}: all agents are fine");
    let hits = agents[1].hits();
    assert!(hits > 0, "{mood:?}: the agent is asked");
    agents[1].become_(mood);
    let (failed, sent) = load(&gw, Duration::from_millis(4200)).await;
    let late = failed.iter().filter(|at| **at >= Duration::from_secs(3));
    assert_eq!(late.count(), 0, "{mood:?}: failed at {failed:?} of {sent}");
    assert!(sent > 60, "{mood:?}: only {sent} were sent");
    if !matches!(mood, Mood::Killed | Mood::ResetBefore) {
        assert!(agents[1].hits() > hits, "{mood:?}: it was asked");
    }
}

#[tokio::test]
async fn one_agent_in_trouble_fails_no_get() {
    let moods = [
        Mood::Killed,
        Mood::ResetBefore,
        Mood::ResetAfter,
        Mood::Hang,
        Mood::SlowHead,
        Mood::SlowBody,
        Mood::BreaksOff,
        Mood::Garbage,
        Mood::Unavailable,
        Mood::Flapping,
    ];
    join_all(moods.map(|mood| one_of_three(ARMED, mood))).await;
}

#[tokio::test]
async fn one_agent_that_is_tried_again_and_again_fails_no_get() {
    let moods = [
        Mood::Killed,
        Mood::ResetBefore,
        Mood::ResetAfter,
        Mood::Hang,
        Mood::Garbage,
        Mood::Unavailable,
        Mood::Flapping,
    ];
    join_all(moods.map(|mood| one_of_three(FORGIVING, mood))).await;
}

/// A hanging agent is another matter: how long an answer may take only the operator knows.
#[tokio::test]
async fn nothing_has_to_be_configured_for_agents_that_are_down_or_broken() {
    let moods = [
        Mood::Killed,
        Mood::ResetBefore,
        Mood::ResetAfter,
        Mood::BreaksOff,
        Mood::Garbage,
        Mood::Unavailable,
    ];
    join_all(moods.map(|mood| one_of_three(PLAIN, mood))).await;
}

/// So many at a time do not let the least number of retries decide.
const AT_A_TIME: usize = 200;

#[tokio::test]
async fn a_storm_of_immediate_503s_stays_a_fifth_larger_at_most() {
    let agents = three(Mood::Unavailable);
    let gw = gateway(ARMED, &agents).await;
    let clients = (0..AT_A_TIME).map(|_| async {
        let mut client = gw.h1().await;
        for _ in 0..5 {
            assert_eq!(client.reply(get("/")).await.status, 503);
        }
    });
    within("the storm is over", join_all(clients)).await;
    let requests = AT_A_TIME * 5;
    let tries: usize = agents.iter().map(Agent::hits).sum();
    assert!(tries > requests, "some were tried again");
    assert!(
        tries * 10 <= requests * 12,
        "{tries} tries of {requests} requests"
    );
}

const CHECKED: &str = "
routes: { all: { cluster: agents } }
clusters:
  agents:
    endpoints: ['{0}', '{1}', '{2}']
    healthCheck: { path: /health, interval: 500ms, timeout: 300ms, unhealthyThreshold: 1 }
    panic: { action: fail }
";
/// Of [`CHECKED`].
const INTERVAL: Duration = Duration::from_millis(500);

/// Waits until all three are seen as `state`.
async fn health(gw: &Gw, state: &str) {
    within("checks see how the agents are", async {
        while gw
            .metric("attache_health_endpoints", &[("state", state)])
            .await
            != 3.0
        {
            pass(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn become_all(agents: &[Agent; 3], mood: Mood) {
    for agent in agents {
        agent.become_(mood);
    }
}

#[tokio::test]
async fn nothing_available_is_said_at_once() {
    let agents = three(Mood::Killed);
    let gw = gateway(CHECKED, &agents).await;
    health(&gw, "unhealthy").await;
    let mut client = gw.h1().await;
    let mut times = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        let reply = client.reply(get("/")).await;
        times.push(start.elapsed());
        assert_eq!((reply.status, reply.reason()), (503, "no_endpoint"));
        let wait = reply.header("retry-after").parse::<u32>();
        assert!(wait.is_ok_and(|seconds| seconds > 0));
    }
    times.sort();
    // The median: one of the others may have waited for the processor.
    assert!(times[10] < Duration::from_millis(50), "{times:?}");
}

/// How long it takes until GETs succeed again after every agent was in this mood.
async fn recovery(mood: Mood) -> Duration {
    let agents = three(Mood::Fine);
    let gw = gateway(CHECKED, &agents).await;
    health(&gw, "healthy").await;
    become_all(&agents, mood);
    health(&gw, "unhealthy").await;
    assert_eq!(gw.get("/").await.reason(), "no_endpoint", "{mood:?}");
    become_all(&agents, Mood::Fine);
    let start = Instant::now();
    within("they are used again", async {
        let mut client = gw.h1().await;
        while client.reply(get("/")).await.status != 200 {
            pass(Duration::from_millis(10)).await;
        }
    })
    .await;
    start.elapsed()
}

#[tokio::test]
async fn agents_that_come_back_are_used_within_a_probe_and_a_second() {
    let moods = [
        Mood::Killed,
        Mood::ResetAfter,
        Mood::Hang,
        Mood::Garbage,
        Mood::Unavailable,
    ];
    let took = join_all(moods.map(recovery)).await;
    let most = INTERVAL + Duration::from_secs(1);
    assert!(took.iter().all(|took| *took < most), "{took:?}");
}
