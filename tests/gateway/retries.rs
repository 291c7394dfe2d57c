//! Retries as a route configures them: after what, how often, how soon, and what is never done twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Response;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::support::{
    Backend, Gw, Place, RawBackend, Speak, channel, empty, eventually, full, get, pass, post, refusing, request, soon,
    with_field, within,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// One route with these retries to one endpoint.
fn one(retries: &str) -> String {
    format!("workers: 1\nroutes: {{ all: {{ endpoints: ['{{0}}'], retries: {retries} }} }}")
}

/// Does something else on its first connection than on the others, which it answers.
async fn at_first(bad: Bad) -> RawBackend {
    RawBackend::script(move |mut connection| async move {
        connection.read_message().await;
        if connection.index > 0 {
            connection.write(OK).await;
            return connection.closed().await;
        }
        match bad {
            Bad::Reset => connection.reset(),
            Bad::Hang => connection.closed().await,
            Bad::Garbage => connection.write("220 mail.example ESMTP\r\n\r\n").await,
        }
    })
    .await
}

#[derive(Clone, Copy, Debug)]
enum Bad {
    Reset,
    Hang,
    Garbage,
}

#[tokio::test]
async fn each_word_for_no_answer_repeats_what_it_names_and_nothing_else() {
    for (bad, words, others) in [
        (
            Bad::Reset,
            &["reset", "5xx", "gateway-error", "error", "empty-response"][..],
            &["connect-failure", "refused-stream", "timeout", "503"][..],
        ),
        (Bad::Hang, &["timeout", "reset", "5xx"], &["connect-failure", "error", "invalid-response"]),
        (Bad::Garbage, &["invalid-response", "invalid_header", "5xx"], &["reset", "timeout", "retriable-4xx"]),
    ] {
        for (words, status, tries) in [(words, 200, 2), (others, 0, 1)] {
            for word in words {
                let patience = match bad {
                    Bad::Hang => "1s",
                    Bad::Reset | Bad::Garbage => "10s",
                };
                let backend = at_first(bad).await;
                let retries = format!("{{ retryOn: {word}, perTryTimeout: {patience}, backoff: {{ max: 25ms }} }}");
                let gw = Gw::with(&one(&retries), &[&backend]).await;
                let reply = gw.get("/").await;
                let expected = if status == 200 { 200 } else { reply.status.max(502) };
                assert_eq!(reply.status, expected, "{bad:?} {word}");
                assert_eq!(backend.connections(), tries, "{bad:?} {word}");
            }
        }
    }
}

#[tokio::test]
async fn each_word_for_an_answer_repeats_what_it_names_and_nothing_else() {
    for (status, words, others) in [
        (500, &["5xx", "500", "http_500"][..], &["gateway-error", "503", "reset"][..]),
        (503, &["5xx", "gateway-error", "503", "error http_503"], &["500", "retriable-4xx"]),
        (409, &["retriable-4xx", "409"], &["5xx", "429"]),
        (429, &["429", "http_429"], &["5xx", "retriable-4xx"]),
    ] {
        for (words, tries) in [(words, 2), (others, 1)] {
            for word in words {
                let backend = Backend::replying(status).await.then(200);
                let gw = Gw::with(&one(&format!("{{ retryOn: {word} }}")), &[&backend]).await;
                let reply = gw.get("/").await;
                let expected = if tries == 2 { 200 } else { status };
                assert_eq!(reply.status, expected, "{status} {word}");
                assert_eq!(backend.hits(), tries, "{status} {word}");
                assert_eq!(gw.record().await["attempts"], tries, "{status} {word}");
            }
        }
    }
}

#[tokio::test]
async fn a_grpc_status_in_the_head_is_a_reason_when_the_route_says_so_for_posts() {
    let speak = || Speak { http2: true, ..Speak::default() };
    for (word, code) in [
        ("cancelled", "1"),
        ("deadline-exceeded", "4"),
        ("resource-exhausted", "8"),
        ("internal", "13"),
        ("unavailable", "14"),
    ] {
        for (tries, retries) in [
            (1, format!("retryOn: '{word},reset'")),
            (1, "nonIdempotent: reset".to_owned()),
            (2, format!("nonIdempotent: {word}")),
        ] {
            let backend = Backend::replying_as(speak(), 200).await.body("");
            let backend = backend.header("grpc-status", code).then(200);
            let template = format!(
                "routes: {{ all: {{ cluster: c, retries: {{ {retries} }} }} }}
                 clusters: {{ c: {{ endpoints: ['{{0}}'], protocol: h2c }} }}"
            );
            let template = template.replace("                 clusters", "clusters");
            let gw = Gw::with(&template, &[&backend]).await;
            assert_eq!(gw.send(post("/", "call")).await.status, 200);
            assert_eq!(backend.hits(), tries, "{word} {retries}");
        }
    }
}

#[tokio::test]
async fn a_named_field_of_an_answer_asks_for_another_try() {
    let backend = Backend::replying(200).await.header("x-try-again", "please");
    let backend = backend.then(200).body("done");
    let gw = Gw::with(&one("{ retriableHeaders: [X-Try-Again] }"), &[&backend]).await;
    assert_eq!(gw.get("/").await.text(), "done");
    let labels = [("cluster", "all"), ("reason", "retriable_header")];
    assert_eq!(gw.metric("attache_retries_total", &labels).await, 1.0);
}

#[tokio::test]
async fn attempts_are_tries_beyond_the_first_and_numbered() {
    let backend = Backend::replying(503).await;
    let gw = Gw::with(&one("{ attempts: 3, retryOn: 5xx }"), &[&backend]).await;
    let request = with_field("x-attache-attempts", "77", get("/"));
    assert_eq!(gw.send(request).await.status, 503, "the last answer is passed on");
    let seen = backend.requests();
    let numbers: Vec<_> = seen.iter().map(|seen| seen.all("x-attache-attempts")).collect();
    assert_eq!(numbers, [["1"], ["2"], ["3"], ["4"]]);
    assert_eq!(backend.connections(), 1, "an unwanted answer does not cost its connection");
    let record = gw.record().await;
    let facts = (&record["attempts"], &record["flags"], &record["reason"]);
    assert_eq!(facts, (&json!(4), &json!("URX"), &json!("attempts_used")));
    let stopped = [("cluster", "all"), ("reason", "attempts_used")];
    assert_eq!(gw.metric("attache_retries_stopped_total", &stopped).await, 1.0);
    let retried = [("cluster", "all"), ("reason", "status_5xx")];
    assert_eq!(gw.metric("attache_retries_total", &retried).await, 3.0);
    assert_eq!(gw.metric("attache_attempts_total", &[("cluster", "all")]).await, 4.0);
    assert_eq!(gw.metric("attache_errors_total", &[]).await, 0.0, "the answer is the agent's");
}

#[tokio::test]
async fn without_retries_a_client_cannot_say_which_try_it_is() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let request = with_field("x-attache-attempts", "77", get("/"));
    assert_eq!(gw.send(request).await.status, 200);
    assert_eq!(backend.request().header("x-attache-attempts"), "");
}

#[tokio::test]
async fn a_retry_goes_to_another_endpoint_first() {
    let (bad, good) = (Backend::replying(503).await, Backend::replying(200).await);
    let template = "
        workers: 1
        routes: { all: { endpoints: ['{0}', '{1}'], retries: { retryOn: 503, attempts: 1 } } }
    ";
    let gw = Gw::with(template, &[&bad, &good]).await;
    for _ in 0..20 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    assert_eq!(good.hits(), 20);
    assert!(bad.hits() > 0, "some had been at the bad one");
}

#[tokio::test]
async fn retries_off_means_not_even_after_a_refused_connection() {
    let (one, other) = (refusing(), refusing());
    let template = "routes: { all: { endpoints: ['{0}', '{1}'], retries: off } }";
    let gw = Gw::with(template, &[&one, &other]).await;
    assert_eq!(gw.get("/").await.reason(), "connect_failed");
    assert_eq!(gw.record().await["attempts"], 1);
}

#[tokio::test]
async fn rfc9110_9_2_2_an_answered_post_is_repeated_only_by_explicit_choice() {
    for (retries, tries) in
        [("{ retryOn: 5xx }", 1), ("{ retryOn: 5xx, nonIdempotent: 503 }", 2), ("{ nonIdempotent: 5xx }", 2)]
    {
        for method in ["POST", "PATCH", "BREW"] {
            let backend = Backend::replying(503).await.then(200);
            let gw = Gw::with(&one(retries), &[&backend]).await;
            gw.send(request(method, "/", full("do it"))).await;
            let seen = backend.requests();
            assert_eq!(seen.len(), tries, "{method} {retries}");
            assert!(seen.iter().all(|seen| seen.body == "do it"), "{method}");
        }
    }
    for method in ["PUT", "DELETE", "OPTIONS", "HEAD"] {
        let backend = Backend::replying(503).await.then(200);
        let gw = Gw::with(&one("{ retryOn: 5xx }"), &[&backend]).await;
        assert_eq!(gw.send(request(method, "/", empty())).await.status, 200);
        assert_eq!(backend.hits(), 2, "{method}");
    }
}

#[tokio::test]
async fn a_post_that_takes_too_long_is_given_up_and_not_repeated() {
    let backend = at_first(Bad::Hang).await;
    let gw = Gw::with(&one("{ perTryTimeout: 50ms, retryOn: 5xx }"), &[&backend]).await;
    let reply = gw.send(post("/", "work")).await;
    assert_eq!((reply.status, reply.reason()), (504, "head_timeout"));
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_answer_that_has_begun_is_never_replaced() {
    let begun = Arc::new(Notify::new());
    let seen = Arc::clone(&begun);
    let backend = RawBackend::script(move |mut connection| {
        let seen = Arc::clone(&seen);
        async move {
            connection.read_message().await;
            let part = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
            connection.write(part).await;
            seen.notified().await;
        }
    })
    .await;
    let retries = "{ retryOn: [5xx, reset], perTryTimeout: 5s }";
    let gw = Gw::with(&one(retries), &[&backend]).await;
    let mut client = gw.h1().await;
    let response = client.send(get("/")).await.unwrap();
    assert_eq!(response.status(), 200);
    begun.notify_one();
    let read = crate::support::Reply::read(response).await;
    assert!(read.is_err(), "it is broken, and looks broken: {read:?}");
    assert_eq!(backend.connections(), 1);
    assert_eq!(gw.record().await["attempts"], 1);
}

#[tokio::test]
async fn retry_after_is_waited_for_or_passed_on() {
    let backend = Backend::replying(503).await.header("retry-after", "1").then(200);
    let gw = Gw::with(&one("{ retryOn: 503 }"), &[&backend]).await;
    let start = Instant::now();
    assert_eq!(gw.get("/").await.status, 200);
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());

    let backend = Backend::replying(503).await.header("retry-after", "60").then(200);
    let gw = Gw::with(&one("{ retryOn: 503 }"), &[&backend]).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, "60"));
    assert_eq!(gw.record().await["reason"], "retry_after");
}

#[tokio::test]
async fn a_wait_that_does_not_fit_into_the_timeout_is_not_begun() {
    let backend = Backend::replying(503).await.header("retry-after", "5").then(200);
    let template = "routes: { all: { endpoints: ['{0}'], timeout: 2s, retries: { retryOn: 503 } } }";
    let gw = Gw::with(template, &[&backend]).await;
    // The agent's own answer, not a 504: nobody waited.
    assert_eq!(gw.get("/").await.status, 503);
    assert_eq!(gw.record().await["reason"], "no_time");
    assert_eq!(backend.hits(), 1);
}

#[tokio::test]
async fn the_timeout_bounds_all_tries_together() {
    let backend = RawBackend::silent().await;
    let template = "
        routes:
          all:
            endpoints: ['{0}']
            timeout: 5s
            retries: { attempts: 2, perTryTimeout: 110ms, backoff: { base: 1ms, max: 1ms } }
          long:
            match: { path: { prefix: /long } }
            endpoints: ['{0}']
            timeout: 2s
            retries: { attempts: 1, perTryTimeout: 1200ms, backoff: { base: 1ms, max: 1ms } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    for (path, least, reason, tries) in [("/", 330, "head_timeout", 3), ("/long", 2000, "timeout", 2)] {
        let start = Instant::now();
        let reply = gw.get(path).await;
        assert_eq!((reply.status, reply.reason()), (504, reason), "{path}");
        let took = start.elapsed();
        let least = Duration::from_millis(least);
        assert!(took >= least, "{path}: {took:?}");
        let records = gw.records(if path == "/" { 1 } else { 2 }).await;
        let record = records.iter().find(|record| record["path"] == path).unwrap();
        assert_eq!(record["attempts"], tries, "{path}");
    }
}

/// An HTTP/2 endpoint that takes some of each body and then refuses the stream, the first `times`.
async fn refusing_late(times: usize) -> RawBackend {
    let left = Arc::new(AtomicUsize::new(times));
    RawBackend::script(move |connection| {
        let left = Arc::clone(&left);
        async move {
            let Ok(mut connection) = h2::server::handshake(connection.into_stream()).await else {
                return;
            };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let left = Arc::clone(&left);
                tokio::spawn(async move {
                    let mut body = request.into_body();
                    let mut whole = Vec::new();
                    let refuse = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                    while let Some(Ok(piece)) = body.data().await {
                        body.flow_control().release_capacity(piece.len()).unwrap();
                        whole.extend_from_slice(&piece);
                        if refuse.is_ok() && whole.len() >= 1000 {
                            return respond.send_reset(h2::Reason::REFUSED_STREAM);
                        }
                    }
                    let mut stream = respond.send_response(Response::new(()), false).unwrap();
                    stream.send_data(whole.into(), true).unwrap();
                });
            }
        }
    })
    .await
}

#[tokio::test]
async fn rfc9113_8_7_the_body_of_a_refused_stream_is_sent_again_from_its_start() {
    for retries in ["", ", retries: { attempts: 2 }"] {
        let backend = refusing_late(1).await;
        let template = format!(
            "workers: 1\nroutes: {{ all: {{ cluster: c{retries} }} }}\n\
             clusters: {{ c: {{ endpoints: ['{{0}}'], protocol: h2c }} }}"
        );
        let gw = Gw::with(&template, &[&backend]).await;
        for mut client in [gw.h1().await, gw.h2().await] {
            let (sender, body) = channel();
            let mut expected = Vec::new();
            let pieces: Vec<Vec<u8>> = (0..50).map(|n| vec![b'a' + n % 26; 777]).collect();
            expected.extend(pieces.concat());
            tokio::spawn(async move {
                for piece in pieces {
                    sender.send(piece).await;
                    tokio::task::yield_now().await;
                }
            });
            let reply = client.reply(request("POST", "/", body)).await;
            assert_eq!(reply.status, 200, "{retries}: {}", reply.reason());
            assert!(reply.body == expected, "{retries}: {} bytes came", reply.body.len());
        }
    }
}

#[tokio::test]
async fn the_body_of_a_put_is_sent_again_after_a_reset() {
    let (bad, good) = (at_first(Bad::Reset).await, Backend::replying(200).await);
    let template = "
        workers: 1
        routes: { all: { endpoints: ['{0}', '{1}'], retries: { retryOn: reset } } }
        defaults: { cluster: { loadBalancer: round-robin } }
    ";
    let gw = Gw::with(template, &[&bad, &good]).await;
    let body = "x".repeat(200_000);
    for _ in 0..2 {
        let reply = gw.send(request("PUT", "/", full(body.clone()))).await;
        assert_eq!(reply.status, 200);
    }
    assert!(bad.connections() >= 1);
    assert!(good.requests().iter().all(|seen| seen.body == body), "whole");
}

#[tokio::test]
async fn a_body_too_long_to_be_kept_is_sent_once_and_whole() {
    let template = one("{ retryOn: [5xx, reset], maxReplayBytes: 64KiB }");
    let long = "x".repeat(65_537);
    let backend = Backend::replying(503).await.then(200);
    let gw = Gw::with(&template, &[&backend]).await;
    let reply = gw.send(request("PUT", "/", full(long.clone()))).await;
    assert_eq!(reply.status, 503, "the answer there was");
    assert_eq!(backend.request().body, long, "nothing is held back");
    assert_eq!(gw.record().await["reason"], "body_not_kept");
    let stopped = [("cluster", "all"), ("reason", "body_not_kept")];
    assert_eq!(gw.metric("attache_retries_stopped_total", &stopped).await, 1.0);

    let backend = Backend::replying(503).await.then(200);
    let gw = Gw::with(&template, &[&backend]).await;
    let fits = &long[1..];
    let reply = gw.send(request("PUT", "/", full(fits.to_owned()))).await;
    assert_eq!(reply.status, 200, "one byte less is kept");
    assert_eq!(backend.requests()[1].body, fits);
}

#[tokio::test]
async fn a_body_is_not_held_back_while_it_is_kept() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_until("first").await;
        connection.write("HTTP/1.1 100 Continue\r\n\r\n").await;
        connection.read_until("second").await;
        connection.write(OK).await;
        connection.closed().await;
    })
    .await;
    let gw = Gw::with(&one("{ retryOn: [5xx, reset] }"), &[&backend]).await;
    let mut client = gw.h1().await;
    let (sender, body) = channel();
    let feeding = async {
        sender.send("first").await;
        eventually("the first piece is there", || async { backend.received().concat().contains("first") }).await;
        sender.send("second").await;
        drop(sender);
    };
    let (reply, ()) = tokio::join!(client.reply(request("PUT", "/", body)), feeding);
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_budget_of_nothing_allows_nothing() {
    let backend = Backend::replying(503).await.then(200);
    let retries = "{ retryOn: 503, budget: { percent: 0%, minConcurrent: 0 } }";
    let gw = Gw::with(&one(retries), &[&backend]).await;
    assert_eq!(gw.get("/").await.status, 503);
    assert_eq!(gw.record().await["reason"], "budget_exhausted");
    let stopped = [("cluster", "all"), ("reason", "budget_exhausted")];
    assert_eq!(gw.metric("attache_retries_stopped_total", &stopped).await, 1.0);
}

#[tokio::test]
async fn a_storm_of_503s_is_not_made_much_larger() {
    const REQUESTS: usize = 200;
    let (first, again) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let gates = (Arc::clone(&first), Arc::clone(&again));
    let backend = Backend::handling(move |request| {
        let (first, again) = (Arc::clone(&gates.0), Arc::clone(&gates.1));
        async move {
            let is_first = request.headers()["x-attache-attempts"] == "1";
            let gate = if is_first { first } else { again };
            gate.acquire().await.unwrap().forget();
            Response::builder().status(503).body(full("no")).unwrap()
        }
    })
    .await;
    let gw = Gw::with(&one("{ attempts: 1, retryOn: 5xx }"), &[&backend]).await;
    let mut clients = Vec::new();
    for _ in 0..REQUESTS {
        let mut client = gw.h1().await;
        clients.push(tokio::spawn(async move { client.reply(get("/")).await.status }));
    }
    eventually("all are under way", || async { backend.hits() == REQUESTS }).await;
    // All fail at once, and those that are tried again stay so until all have been decided about.
    first.add_permits(REQUESTS);
    let stopped = [("cluster", "all"), ("reason", "budget_exhausted")];
    let extra = soon("every one is tried again or not", || async {
        let given_up = gw.metric("attache_retries_stopped_total", &stopped).await;
        let extra = backend.hits() - REQUESTS;
        (given_up + extra as f64 == REQUESTS as f64).then_some(extra)
    })
    .await;
    assert!(
        extra > 3 && extra * 5 <= REQUESTS - extra,
        "more than the few that are always allowed, and a fifth of the others at most: {extra}"
    );
    again.add_permits(extra);
    for client in clients {
        assert_eq!(client.await.unwrap(), 503);
    }
    assert_eq!(backend.hits(), REQUESTS + extra);
}

/// Agents that do what they are asked and then fall over before, while or after they answer.
async fn falling_over(done: Arc<Mutex<HashMap<String, usize>>>) -> RawBackend {
    RawBackend::script(move |mut connection| {
        let done = Arc::clone(&done);
        async move {
            let mut turn = connection.index;
            while let Some(head) = connection.try_read_until("\r\n\r\n").await {
                let length = crate::support::field(&head, "content-length").unwrap();
                let body = connection.read_exact(length.parse().unwrap()).await;
                let id = String::from_utf8(body).unwrap();
                *done.lock().unwrap().entry(id).or_default() += 1;
                turn += 1;
                match turn % 4 {
                    0 => return connection.reset(),
                    1 => return,
                    _ => {}
                }
                if !connection.try_write(OK).await || turn % 4 == 2 {
                    // Closed the moment it is answered: perhaps just as it is used again.
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn rfc9110_9_2_2_of_ten_thousand_posts_none_is_done_twice() {
    let done = Arc::new(Mutex::new(HashMap::new()));
    let (one, two) = (falling_over(Arc::clone(&done)).await, falling_over(Arc::clone(&done)).await);
    let dead = refusing();
    let template = "
        routes:
          all:
            endpoints: ['{0}', '{1}', '{2}']
            retries:
              attempts: 3
              retryOn: 5xx,reset,connect-failure,refused-stream
              backoff: { base: 1ms, max: 1ms }
              budget: off
        # The one that refuses stays in, and those that break too: all the while there is something to try again.
        defaults: { cluster: { outlierDetection: off } }
    ";
    let gw = Gw::with(template, &[&one, &two, &dead]).await;
    let clients = (0..40).map(|client| {
        let gw = &gw;
        async move {
            let mut connection = gw.h1().await;
            let mut answered = 0;
            for turn in 0..250 {
                let id = format!("{client}-{turn}");
                let reply = connection.reply(post("/", id)).await;
                answered += usize::from(reply.status == 200);
            }
            answered
        }
    });
    let answered: usize = tokio::time::timeout(Duration::from_secs(120), futures_util::future::join_all(clients))
        .await
        .expect("ten thousand requests end")
        .into_iter()
        .sum();
    let done = done.lock().unwrap().clone();
    let twice: Vec<_> = done.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "done more than once: {twice:?}");
    assert!(answered <= done.len() && answered > 1000, "{answered} of {}", done.len());
    let retried = gw.metric("attache_retries_total", &[]).await;
    assert!(retried > 1000.0, "many were tried again, from where nothing was done: {retried}");
}

#[tokio::test]
async fn a_slow_try_is_overtaken_by_one_beside_it() {
    let slow = RawBackend::silent().await;
    let fast = Backend::replying(200).await;
    let template = "
        workers: 1
        routes: { all: { endpoints: ['{0}', '{1}'], retries: { perTryTimeout: 1s, hedging: true } } }
        defaults: { cluster: { loadBalancer: round-robin } }
    ";
    let gw = Gw::with(template, &[&slow, &fast]).await;
    for _ in 0..4 {
        let reply = gw.get("/").await;
        assert_eq!((reply.status, reply.text()), (200, &*format!("from {}", fast.address())));
    }
    // A request that begins at the slow one takes both turns, so the next begins there as well.
    let overtaken = slow.connections();
    assert!(overtaken >= 3, "{overtaken} began at the slow one");
    let hedges = async |result| {
        let labels = [("cluster", "all"), ("result", result)];
        gw.metric("attache_hedges_total", &labels).await
    };
    assert_eq!(hedges("sent").await, overtaken as f64);
    assert_eq!(hedges("won").await, overtaken as f64);
    for record in gw.records(4).await {
        assert_eq!(record["endpoint"], json!(fast.place()), "the one that answered");
    }
    assert_eq!(fast.hits(), 4, "and nobody is asked without need");
    eventually("the slow tries were cancelled", || async {
        gw.metric("attache_upstream_connections", &[]).await <= 1.0
    })
    .await;
}

/// Two endpoints of which the one that is asked first answers only after the other was asked, which fails.
async fn late_then_failing() -> (Backend, Backend) {
    let asked = Arc::new(AtomicUsize::new(0));
    let failed = Arc::new(Notify::new());
    let backend = || {
        let (asked, failed) = (Arc::clone(&asked), Arc::clone(&failed));
        Backend::handling(move |_| {
            let turn = asked.fetch_add(1, Ordering::SeqCst);
            let failed = Arc::clone(&failed);
            async move {
                let mut response = Response::new(full("late"));
                if turn == 0 {
                    failed.notified().await;
                    // The failure is on its way; in whichever order they arrive, it ends nothing.
                    pass(Duration::from_millis(100)).await;
                } else {
                    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                    failed.notify_one();
                }
                response
            }
        })
    };
    (backend().await, backend().await)
}

#[tokio::test]
async fn a_failure_beside_a_slow_try_does_not_end_it() {
    let (one, other) = late_then_failing().await;
    let template = "
        routes:
          all:
            endpoints: ['{0}', '{1}']
            retries: { attempts: 1, retryOn: 5xx, perTryTimeout: 1s, hedging: true }
    ";
    let gw = Gw::with(template, &[&one, &other]).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.text()), (200, "late"));
    assert_eq!((one.hits(), other.hits()), (1, 1));
    let won = [("cluster", "all"), ("result", "won")];
    assert_eq!(gw.metric("attache_hedges_total", &won).await, 0.0);
}

#[tokio::test]
async fn when_every_hedged_try_is_too_slow_the_request_fails() {
    let (one, other) = (RawBackend::silent().await, RawBackend::silent().await);
    let template = "
        routes:
          all:
            endpoints: ['{0}', '{1}']
            retries: { attempts: 1, perTryTimeout: 500ms, hedging: true }
    ";
    let gw = Gw::with(template, &[&one, &other]).await;
    let start = Instant::now();
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.reason()), (504, "head_timeout"));
    let (took, two_tries) = (start.elapsed(), Duration::from_secs(1));
    assert!(took >= two_tries, "{took:?}");
    assert_eq!((one.connections(), other.connections()), (1, 1));
}

#[tokio::test]
async fn a_post_is_never_hedged() {
    let slow = at_first(Bad::Hang).await;
    let gw = Gw::with(&one("{ perTryTimeout: 50ms, hedging: true }"), &[&slow]).await;
    assert_eq!(gw.send(post("/", "")).await.status, 504);
    assert_eq!(slow.connections(), 1);
}

#[tokio::test]
async fn a_head_limit_can_be_off_and_a_try_has_the_shorter_one() {
    let backend = RawBackend::silent().await;
    let template = "
        routes:
          all:
            endpoints: ['{0}']
            responseHeadTimeout: 50ms
            retries: { attempts: 1, perTryTimeout: 30s, backoff: { base: 1ms, max: 1ms } }
          off:
            match: { path: { prefix: /off } }
            endpoints: ['{0}']
            responseHeadTimeout: off
            retries: { attempts: 1, perTryTimeout: 50ms, backoff: { base: 1ms, max: 1ms } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    for path in ["/", "/off"] {
        let reply = gw.get(path).await;
        assert_eq!((reply.status, reply.reason()), (504, "head_timeout"), "{path}");
    }
}

#[tokio::test]
async fn a_tunnel_ends_when_its_life_is_over() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        connection.write(answer).await;
        while connection.try_write("tick").await {
            pass(Duration::from_millis(10)).await;
        }
    })
    .await;
    let template = "routes: { all: { endpoints: ['{0}'], websocket: true, streaming: { maxDuration: 1s } } }";
    let gw = Gw::with(template, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    client.read_until("tick").await;
    within("the tunnel ends", client.closed()).await;
    assert_eq!(gw.record().await["reason"], "stream_too_long");
}
