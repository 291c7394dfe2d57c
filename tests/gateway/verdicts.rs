//! What an agent is judged by is its own: how slowly a client sends or reads, and when it leaves, decides neither a
//! canary nor an ejection.

use std::net::SocketAddr;
use std::time::Duration;

use attache::route::rollout::{Phase, Share};
use http::Response;
use http_body_util::BodyExt;
use tokio::net::TcpSocket;
use tokio::time::sleep;

use crate::support::{
    Backend, Body, Client, Gw, Place, Raw, RawBackend, Reply, at_host, channel, chunk, eventually, full, get, request,
    soon,
};

/// The canary gets everything, and nothing moves by itself.
const ALL: &str = "
workers: 1
routes:
  all:
    split: [{ cluster: stable, weight: 100 }, { cluster: canary, weight: 0 }]
    rollout:
      canary: canary
      steps: [{ setWeight: 100 }, { pause: {} }]
clusters:
  stable: { endpoints: ['{0}'] }
  canary: { endpoints: ['{1}'], outlierDetection: { consecutive5xxErrors: 1 } }
";

/// What a client takes its time with.
const SLOW: Duration = Duration::from_secs(1);

async fn before(canary: &dyn Place) -> (Gw, Backend) {
    let stable = Backend::replying(200).await;
    let gw = Gw::with(ALL, &[&stable, canary]).await;
    soon("the canary gets all", || async { (gw.split("all").status().shares[1].percent > 99.0).then_some(()) }).await;
    (gw, stable)
}

/// What is known of the canary once `requests` have been counted for it.
async fn canary(gw: &Gw, requests: u64) -> Share {
    soon("the canary's requests are counted", || async {
        let share = gw.split("all").status().shares[1].clone();
        (share.requests == requests).then_some(share)
    })
    .await
}

/// Answers when it has read the whole request.
async fn reader() -> Backend {
    Backend::handling(|request: http::Request<hyper::body::Incoming>| async move {
        let read = request.into_body().collect().await;
        Response::builder().status(if read.is_ok() { 200 } else { 500 }).body(full("read")).unwrap()
    })
    .await
}

/// The answer to a body of two pieces, after each of which the client takes its time.
async fn slow_upload(client: &mut Client) -> Reply {
    let (sender, body) = channel();
    let asking = client.reply(at_host("agents.test", request("POST", "/", body)));
    let sending = async {
        for piece in ["one", "two"] {
            assert!(sender.send(piece).await);
            sleep(SLOW).await;
        }
        drop(sender);
    };
    tokio::join!(asking, sending).0
}

#[tokio::test]
async fn a_body_that_is_sent_slowly_is_not_the_agents_time() {
    let agent = reader().await;
    let (gw, _stable) = before(&agent).await;
    for (count, mut client) in [(1, gw.h1().await), (2, gw.h2().await)] {
        assert_eq!(slow_upload(&mut client).await.text(), "read");
        let share = canary(&gw, count).await;
        assert_eq!(share.success_rate, Some(1.0));
        let judged = share.latency_p99.unwrap();
        assert!(judged < SLOW.as_secs_f64(), "{judged} s");
    }
}

#[tokio::test]
async fn a_gap_in_which_the_agent_waits_for_the_client_is_not_its_time() {
    let agent = Backend::handling(|request: http::Request<hyper::body::Incoming>| async move {
        let (sender, body) = channel();
        tokio::spawn(async move {
            let mut asked = request.into_body();
            while let Some(Ok(piece)) = chunk(&mut asked).await {
                sender.send(piece).await;
            }
        });
        Response::new(body)
    })
    .await;
    let (gw, _stable) = before(&agent).await;
    let reply = slow_upload(&mut gw.h2().await).await;
    assert_eq!(reply.text(), "onetwo");
    let judged = canary(&gw, 1).await.latency_p99.unwrap();
    assert!(judged < SLOW.as_secs_f64(), "{judged} s");
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_is_not_the_agents_time() {
    let agent = Backend::replying(200).await.body(vec![b'x'; 16 << 20]);
    let (gw, _stable) = before(&agent).await;
    let mut client = Raw::connect_narrow(gw.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: agents.test\r\n\r\n").await;
    client.read_head().await;
    sleep(SLOW).await;
    client.read_exact(16 << 20).await;
    let share = canary(&gw, 1).await;
    assert_eq!(share.success_rate, Some(1.0));
    let judged = share.latency_p99.unwrap();
    assert!(judged < SLOW.as_secs_f64(), "{judged} s");
}

#[tokio::test]
async fn a_gap_that_the_agent_leaves_in_its_answer_is_its_time() {
    let agent = Backend::handling(|_| async {
        let (sender, body) = channel();
        tokio::spawn(async move {
            sender.send("first").await;
            sleep(SLOW).await;
            sender.send("second").await;
        });
        Response::new(body)
    })
    .await;
    let (gw, _stable) = before(&agent).await;
    assert_eq!(gw.get("/").await.text(), "firstsecond");
    let judged = canary(&gw, 1).await.latency_p99.unwrap();
    // The percentile is exact to 7 %.
    assert!(judged > 0.9 * SLOW.as_secs_f64(), "{judged} s");
}

#[tokio::test]
async fn an_agent_that_gives_up_on_a_slow_upload_is_not_judged() {
    let moods: [(&str, &[u8]); 2] =
        [("closes", b""), ("says 500", b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")];
    for (mood, answer) in moods {
        let agent = RawBackend::script(move |mut connection| async move {
            if connection.read_head().await.starts_with("POST") {
                connection.write(answer).await;
            } else {
                connection.write("HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        })
        .await;
        let (gw, _stable) = before(&agent).await;
        let mut client = gw.h1().await;
        let (sender, body) = channel();
        let asked = client.send(at_host("agents.test", request("POST", "/", body))).await;
        let status = asked.map(|answer| answer.status().as_u16()).unwrap_or_default();
        assert!(status >= 500, "{mood}: {status}");
        drop(sender);
        // It was not ejected for it, and what is counted is this one alone.
        let reply = gw.get("/").await;
        assert_eq!(reply.status, 204, "{mood}: {:?}", reply.headers);
        let share = canary(&gw, 1).await;
        assert_eq!(share.success_rate, Some(1.0), "{mood}");
    }
}

#[tokio::test]
async fn a_canary_that_most_clients_give_up_waiting_for_is_rolled_back() {
    let stable = Backend::replying(200).await;
    let agent = Backend::handling(|_| std::future::pending::<Response<Body>>()).await;
    let template = ALL.replace(
        "steps: [{ setWeight: 100 }, { pause: {} }]",
        "steps: [{ setWeight: 99 }, { pause: { duration: 1h } }, { setWeight: 100 }]
      analysis:
        interval: 200ms
        minRequests: 5
        metrics: [{ name: success-rate, successCondition: '>= 0.95' }]",
    );
    let gw = Gw::with(&template, &[&stable, &agent]).await;
    soon("the canary gets nearly all", || async { (gw.split("all").status().shares[1].percent > 98.0).then_some(()) })
        .await;
    let begun = || async { gw.split("all").status().progress.unwrap().next_measurement.is_some() };
    eventually("it is measured", begun).await;
    let mut waiting = Vec::new();
    for last in 2..18 {
        let mut client = from([127, 0, 0, last], gw.address()).await;
        let hits = agent.hits() + stable.hits();
        let asking = tokio::spawn(async move {
            let asked = client.send_patiently(at_host("agents.test", get("/")));
            asked.await.map(drop)
        });
        eventually("it has arrived", || async { agent.hits() + stable.hits() > hits }).await;
        waiting.push(asking);
    }
    // Those who leave at once have not waited, however many they are; the others wait longer than the least that
    // counts.
    for asking in waiting.drain(..8) {
        asking.abort();
    }
    eventually("their leaving is noticed", || async {
        gw.metric("http_requests_total", &[("cluster", "canary")]).await >= 7.0
    })
    .await;
    assert_eq!(gw.split("all").status().shares[1].requests, 0);
    sleep(Duration::from_millis(5100)).await;
    for asking in waiting {
        asking.abort();
    }
    let over = || async {
        let progress = gw.split("all").status().progress.unwrap();
        progress.phase == Phase::RolledBack
    };
    eventually("the canary is rolled back", over).await;
}

/// A client with this address.
async fn from(address: [u8; 4], to: SocketAddr) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    Client::over(socket.connect(to).await.unwrap(), false).await
}
