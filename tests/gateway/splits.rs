//! Traffic divided by weight, callers that stay where they were, and rollouts through real sockets in shortened time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use attache::route::rollout::{Phase, Verb};
use http::Response;

use crate::support::{
    Backend, Body, Ca, Client, Gw, Identity, Reply, Sse, SwitchableBackend, at_host, chunk, eventually, get, soon,
    with_field, within,
};

const THREE: &str = "
workers: 2
routes:
  all:
    split:
      clusters: [{ cluster: a, weight: 70 }, { cluster: b, weight: 30 }, { cluster: c, weight: 0 }]
      chosenBy: { header: x-version }
clusters: { a: { endpoints: ['{0}'] }, b: { endpoints: ['{1}'] }, c: { endpoints: ['{2}'] } }
";

async fn three() -> [Backend; 3] {
    [
        Backend::replying(200).await.body("a"),
        Backend::replying(200).await.body("b"),
        Backend::replying(200).await.body("c"),
    ]
}

async fn with(template: &str, backends: &[Backend; 3]) -> Gw {
    Gw::with(template, &[&backends[0], &backends[1], &backends[2]]).await
}

fn header(name: &'static str, value: &str) -> http::Request<Body> {
    with_field(name, value, get("/"))
}

#[tokio::test]
async fn shares_are_as_written_at_concurrency_ten() {
    let backends = three().await;
    let gw = Arc::new(with(THREE, &backends).await);
    let clients = (0..10).map(|_| async {
        let mut client = gw.h1().await;
        for _ in 0..50 {
            assert_eq!(client.reply(get("/")).await.status, 200);
        }
    });
    futures_util::future::join_all(clients).await;
    let [a, b, c] = backends.map(|backend| backend.hits());
    assert_eq!(a + b + c, 500);
    assert!(a.abs_diff(350) <= 25 && b.abs_diff(150) <= 25 && c == 0, "{a} {b} {c}");
}

#[tokio::test]
async fn a_tester_names_the_version_even_at_weight_zero() {
    let backends = three().await;
    let gw = with(THREE, &backends).await;
    for name in ["c", "b", "c", "a"] {
        let reply = gw.send(header("x-version", name)).await;
        assert_eq!(reply.text(), name);
    }
    let reply = gw.send(header("x-version", "unknown")).await;
    assert!(["a", "b"].contains(&reply.text()));
}

fn cookie(reply: &Reply) -> Option<String> {
    let field = reply.header("set-cookie");
    (!field.is_empty()).then(|| field.split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn a_cookie_keeps_a_caller_while_the_weights_move() {
    let template = |a: u32, b: u32| {
        format!(
            "routes: {{ all: {{ split: {{ sticky: {{ cookie: version }}, clusters: [{{ cluster: a, weight: {a} }}, {{ cluster: b, weight: {b} }}] }} }} }}
clusters: {{ a: {{ endpoints: ['{{0}}'] }}, b: {{ endpoints: ['{{1}}'] }}, c: {{ endpoints: ['{{2}}'] }} }}"
        )
    };
    let backends = three().await;
    let mut gw = with(&template(50, 50), &backends).await;
    let mut callers = Vec::new();
    for _ in 0..10 {
        let reply = gw.get("/").await;
        let field = reply.header("set-cookie").to_owned();
        assert!(field.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{field}");
        assert!(!field.contains("=a;") && !field.contains("=b;"), "a name leaks: {field}");
        callers.push((cookie(&reply).unwrap(), reply.text().to_owned()));
    }
    assert!(callers.iter().any(|(_, body)| body == "a") && callers.iter().any(|(_, body)| body == "b"));
    gw.reload(&template(1, 99), &[&backends[0], &backends[1], &backends[2]]).await.unwrap();
    for (cookie, body) in &callers {
        let reply = gw.send(header("cookie", &format!("other=1; {cookie}"))).await;
        assert_eq!(reply.text(), body, "a conversation changed version");
        assert_eq!(reply.header("set-cookie"), "");
    }
    gw.reload(&template(100, 0), &[&backends[0], &backends[1], &backends[2]]).await.unwrap();
    for (cookie, _) in &callers {
        let reply = gw.send(header("cookie", cookie)).await;
        assert_eq!(reply.text(), "a", "weight 0 gets nothing");
    }
}

/// The cookie that a gateway sets, without its attributes.
async fn drawn(gw: &Gw, want: &str) -> String {
    soon("the version is drawn", || async {
        let reply = gw.get("/").await;
        let set = reply.header("set-cookie").split(';').next().unwrap().to_owned();
        (reply.text() == want).then_some(set)
    })
    .await
}

#[tokio::test]
async fn a_cookie_cannot_be_computed_and_gateways_with_one_key_agree() {
    let backends = three().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (one, other) = (file("one", "a secret of gateways\n"), file("other", "another secret of theirs"));
    let template = |key: &str| {
        format!(
            "routes: {{{{ all: {{{{ split: {{{{ sticky: {{{{ cookie: version{key} }}}}, clusters: [{{{{ cluster: a, weight: 50 }}}}, {{{{ cluster: b, weight: 50 }}}}] }}}} }}}} }}}}\n\
             clusters: {{{{ a: {{{{ endpoints: ['{{0}}'] }}}}, b: {{{{ endpoints: ['{{1}}'] }}}} }}}}"
        )
        .replace("{{", "{")
        .replace("}}", "}")
    };
    let keyed = |path: &str| template(&format!(", keyFile: '{path}'"));
    let first = with(&keyed(&one), &backends).await;
    let replica = with(&keyed(&one), &backends).await;
    let stranger = with(&keyed(&other), &backends).await;
    let (mine, unkeyed) = (with(&template(""), &backends).await, with(&template(""), &backends).await);
    for version in ["a", "b"] {
        let held = drawn(&first, version).await;
        assert_eq!(held, drawn(&replica, version).await, "replicas agree");
        let theirs = [drawn(&stranger, version).await, drawn(&mine, version).await, drawn(&unkeyed, version).await];
        let distinct: std::collections::HashSet<_> = theirs.iter().chain([&held]).collect();
        assert_eq!(distinct.len(), 4, "each key makes another: {distinct:?}");
    }
    let ca = Ca::new();
    let (pair, other_pair) = (ca.issue(&["a.example"]), ca.issue(&["a.example"]));
    let certified = |pair: &Identity| {
        format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0' }}, tls: {{ address: '127.0.0.1:0', tls: {{ certificates: [{{ certFile: '{}', keyFile: '{}' }}] }} }} }}\n{}",
            pair.cert_path().display(),
            pair.key_path().display(),
            template("")
        )
    };
    let one = with(&certified(&pair), &backends).await;
    let two = with(&certified(&pair), &backends).await;
    let three = with(&certified(&other_pair), &backends).await;
    let held = drawn(&one, "a").await;
    assert_eq!(held, drawn(&two, "a").await, "the same certificate");
    assert_ne!(held, drawn(&three, "a").await, "another certificate");
    // Another key at a reload: what was made with the old one counts for nothing, and is replaced.
    let old = drawn(&first, "a").await;
    let asked = || with_field("cookie", &old, get("/"));
    assert_eq!(first.send(asked()).await.header("set-cookie"), "", "it is held");
    let mut first = first;
    first.reload(&keyed(&other), &[&backends[0], &backends[1], &backends[2]]).await.unwrap();
    assert_ne!(first.send(asked()).await.header("set-cookie"), "");
    assert_eq!(drawn(&first, "a").await, drawn(&stranger, "a").await);
}

#[tokio::test]
async fn a_header_keeps_a_caller_and_a_growing_share_only_takes() {
    let template = |stable: u32, canary: u32| {
        format!(
            "routes: {{ all: {{ split: {{ sticky: {{ header: x-user }}, clusters: [{{ cluster: a, weight: {stable} }}, {{ cluster: b, weight: {canary} }}] }} }} }}
clusters: {{ a: {{ endpoints: ['{{0}}'] }}, b: {{ endpoints: ['{{1}}'] }}, c: {{ endpoints: ['{{2}}'] }} }}"
        )
    };
    let backends = three().await;
    let mut gw = with(&template(90, 10), &backends).await;
    let ask = async |gw: &Gw| {
        let mut client = gw.h1().await;
        let mut bodies = Vec::new();
        for user in 0..60 {
            bodies.push(client.reply(header("x-user", &format!("user-{user}"))).await.text().to_owned());
        }
        bodies
    };
    let first = ask(&gw).await;
    assert_eq!(first, ask(&gw).await, "the same caller, the same version");
    gw.reload(&template(50, 50), &[&backends[0], &backends[1], &backends[2]]).await.unwrap();
    let second = ask(&gw).await;
    for (before, after) in first.iter().zip(&second) {
        assert!(!(before == "b" && after == "a"), "a caller went back to the old version");
    }
    let canaries = |bodies: &[String]| bodies.iter().filter(|body| *body == "b").count();
    assert!(canaries(&second) > canaries(&first));
}

const ROLLOUT: &str = "
workers: 2
routes:
  all:
    split: [{ cluster: stable, weight: 100 }, { cluster: canary, weight: 0 }]
    rollout:
      canary: canary
      losing: LOSING
      steps: [{ setWeight: 50 }, { pause: { duration: 600ms } }, { setWeight: 100 }]
      analysis:
        interval: 200ms
        count: 2
        minRequests: 5
        metrics: [{ name: success-rate, successCondition: '>= 0.95' }, { name: latency-p99, successCondition: '<= 10s' }]
clusters: { stable: { endpoints: ['{0}'] }, canary: { endpoints: ['{1}'] } }
";

/// Sends requests until `done`, and says how many failed.
async fn load(client: &mut Client, done: impl Fn() -> bool) -> usize {
    let mut failed = 0;
    within("the rollout moves", async {
        while !done() {
            failed += usize::from(client.reply(get("/")).await.status != 200);
        }
    })
    .await;
    failed
}

fn phase(gw: &Gw) -> Phase {
    gw.split("all").status().progress.unwrap().phase
}

#[tokio::test]
async fn a_good_canary_is_promoted_through_sockets() {
    let stable = Backend::replying(200).await;
    let canary = SwitchableBackend::new(200).await;
    let gw = Gw::with(&ROLLOUT.replace("LOSING", "finish"), &[&stable, &canary]).await;
    let failed = load(&mut gw.h1().await, || phase(&gw) == Phase::Promoted).await;
    assert_eq!(failed, 0);
    let before = stable.hits();
    assert!(before > 0 && canary.hits() > 0);
    for _ in 0..20 {
        assert_eq!(gw.get("/").await.text(), "moody");
    }
    assert_eq!(stable.hits(), before);
    eventually("the gauge shows it", || async {
        gw.metric("attache_rollout_weight_percent", &[("route", "all")]).await == 100.0
    })
    .await;
}

#[tokio::test]
async fn a_canary_that_turns_bad_is_rolled_back() {
    let stable = Backend::replying(200).await;
    let canary = SwitchableBackend::new(200).await;
    let template = ROLLOUT.replace("LOSING", "finish").replace("600ms", "1h");
    let gw = Gw::with(&template, &[&stable, &canary]).await;
    let measured = || gw.split("all").status().progress.unwrap().measured > 0;
    load(&mut gw.h1().await, measured).await;
    canary.becomes(500);
    load(&mut gw.h1().await, || phase(&gw) == Phase::RolledBack).await;
    let reason = gw.split("all").status().progress.unwrap().reason.unwrap();
    assert!(reason.contains("success-rate") && reason.contains("0.95"), "{reason}");
    let before = canary.hits();
    for _ in 0..20 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    assert_eq!(canary.hits(), before, "nothing new goes to a canary that lost");
    let rolled_back = [("route", "all"), ("event", "rolled_back")];
    assert_eq!(gw.metric("attache_rollout_events_total", &rolled_back).await, 1.0);
}

#[tokio::test]
async fn streams_on_the_losing_side_finish_or_are_cut() {
    for losing in ["finish", "cut"] {
        let stable = Backend::replying(200).await;
        let canary = Sse::new().await;
        let template = ROLLOUT
            .replace("LOSING", losing)
            .replace("600ms", "1h")
            .replace("setWeight: 50", "setWeight: 100")
            .replace(
                "split: [{ cluster: stable, weight: 100 }, { cluster: canary, weight: 0 }]",
                "split: { chosenBy: { header: x-version }, clusters: [{ cluster: stable, weight: 100 }, { cluster: canary, weight: 0 }] }",
            );
        let gw = Gw::with(&template, &[&stable, &canary]).await;
        soon("the canary gets all", || async { (gw.split("all").status().shares[1].percent > 99.0).then_some(()) })
            .await;
        let mut client = gw.h1().await;
        let mut body = client.send(get("/")).await.unwrap().into_body();
        let stream = canary.stream().await;
        stream.event("one").await;
        assert!(chunk(&mut body).await.is_some());
        drop(gw.split("all").operate(Verb::Abort, "test", attache::snapshot::now()).unwrap());
        if losing == "finish" {
            stream.event("two").await;
            let text = chunk(&mut body).await.unwrap().unwrap();
            assert!(text.ends_with(b"two\n\n"), "{text:?}");
            assert_eq!(gw.get("/").await.status, 200, "new work goes to the other version");
        } else {
            let end = within("the stream is cut", chunk(&mut body)).await;
            assert!(end.is_some_and(|end| end.is_err()), "cut, not ended politely");
            assert_eq!(gw.record().await["reason"], "withdrawn");
            // Who names the losing version wants to see it.
            let mut tester = gw.h1().await;
            let asked = tester.send(header("x-version", "canary")).await.unwrap();
            let stream = canary.stream().await;
            let mut body = asked.into_body();
            // Longer than it takes to look for what is to be cut.
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            stream.event("still").await;
            let event = within("the event", chunk(&mut body)).await;
            assert!(event.unwrap().is_ok(), "cut");
        }
    }
}

#[tokio::test]
async fn a_rollout_survives_a_reload_that_does_not_change_it_and_restarts_when_it_does() {
    let stable = Backend::replying(200).await;
    let canary = SwitchableBackend::new(200).await;
    let template = ROLLOUT.replace("LOSING", "finish").replace("600ms", "1h");
    let mut gw = Gw::with(&template, &[&stable, &canary]).await;
    let step = |gw: &Gw| gw.split("all").status().progress.unwrap().step;
    let at_pause = async |gw: &Gw| soon("step 1", || async { (step(gw) == 1).then_some(()) }).await;
    at_pause(&gw).await;
    let before = gw.split("all");
    let more = format!("{template}shutdown: {{ drainTimeout: 7s }}\n");
    gw.reload(&more, &[&stable, &canary]).await.unwrap();
    assert!(Arc::ptr_eq(&before, &gw.split("all")));
    assert_eq!(step(&gw), 1);
    let changed = template.replace("setWeight: 50", "setWeight: 40");
    gw.reload(&changed, &[&stable, &canary]).await.unwrap();
    assert!(!Arc::ptr_eq(&before, &gw.split("all")));
    at_pause(&gw).await;
    assert!((gw.split("all").status().shares[1].percent - 40.0).abs() < 0.01);
}

#[tokio::test]
async fn what_a_reload_takes_out_of_a_route_is_not_measured_any_more() {
    let stable = Backend::replying(200).await;
    let canary = SwitchableBackend::new(200).await;
    let template = ROLLOUT.replace("LOSING", "finish").replace("600ms", "1h");
    let mut gw = Gw::with(&template, &[&stable, &canary]).await;
    let asked = async |gw: &Gw, cluster: &str| gw.metric("http_requests_total", &[("cluster", cluster)]).await;
    eventually("requests and the rollout are measured", || async {
        gw.get("/").await;
        let text = gw.metrics().await;
        asked(&gw, "stable").await > 0.0 && text.contains("attache_rollout_phase{")
    })
    .await;
    let plain = "routes: { all: { cluster: next } }\nclusters: { next: { endpoints: ['{0}'] } }\n";
    gw.reload(plain, &[&stable]).await.unwrap();
    gw.get("/").await;
    eventually("what is gone is not", || async {
        let text = gw.metrics().await;
        !text.contains("\"stable\"") && !text.contains("attache_rollout_phase{")
    })
    .await;
    assert!(asked(&gw, "next").await > 0.0);
}

/// A rollout that stays at its first step, with the file that its state is kept in.
fn keeping_state(directory: &tempfile::TempDir) -> (PathBuf, String) {
    let file = directory.path().join("state.json");
    let template = ROLLOUT.replace("LOSING", "finish").replace("600ms", "1h");
    let template = format!("{template}state: {{ file: '{}' }}\n", file.display());
    (file, template)
}

async fn first_step_is_written(file: &Path) {
    soon("progress is written", || async {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.contains("\"step\": 1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_rollout_goes_on_after_a_restart() {
    let stable = Backend::replying(200).await;
    let canary = SwitchableBackend::new(200).await;
    let directory = tempfile::TempDir::new().unwrap();
    let (file, template) = keeping_state(&directory);
    let gw = Gw::with(&template, &[&stable, &canary]).await;
    first_step_is_written(&file).await;
    drop(gw.split("all").operate(Verb::Pause, "ann", attache::snapshot::now()).unwrap());
    soon("the pause is written", || async {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.contains("paused by ann").then_some(())
    })
    .await;
    drop(gw.shutdown().await);
    // Another rollout's state that makes no sense costs this one nothing.
    let text = std::fs::read_to_string(&file).unwrap();
    let odd = text.replacen("\"rollouts\": {", "\"rollouts\": { \"other\": 7,", 1);
    assert_ne!(text, odd);
    std::fs::write(&file, odd).unwrap();
    let gw = Gw::with(&template, &[&stable, &canary]).await;
    let progress = gw.split("all").status().progress.unwrap();
    assert_eq!((progress.phase, progress.step, progress.weight), (Phase::Paused, 1, 50));
    drop(gw.shutdown().await);
    std::fs::write(&file, "{ broken").unwrap();
    let gw = Gw::with(&template, &[&stable, &canary]).await;
    assert_eq!(gw.get("/").await.status, 200, "a broken state file stops nothing");
}

#[tokio::test]
async fn a_second_gateway_does_not_write_over_the_state_of_the_first() {
    let stable = Backend::replying(200).await;
    let canary = Backend::replying(200).await;
    let directory = tempfile::TempDir::new().unwrap();
    let (file, template) = keeping_state(&directory);
    let pause = |gw: &Gw, by: &str| {
        let control = gw.split("all");
        drop(control.operate(Verb::Pause, by, attache::snapshot::now()));
    };
    let written = || std::fs::read_to_string(&file).unwrap_or_default();
    let first = Gw::with(&template, &[&stable, &canary]).await;
    pause(&first, "ann");
    soon("the first writes", || async { written().contains("paused by ann").then_some(()) }).await;
    let second = Gw::with(&template, &[&stable, &canary]).await;
    drop(second.split("all").operate(Verb::Abort, "bob", attache::snapshot::now()).unwrap());
    drop(second.shutdown().await);
    assert!(written().contains("paused by ann"), "{}", written());
    drop(first.shutdown().await);
    let third = Gw::with(&template, &[&stable, &canary]).await;
    drop(third.split("all").operate(Verb::Abort, "cid", attache::snapshot::now()).unwrap());
    drop(third.shutdown().await);
    assert!(written().contains("aborted by cid"), "{}", written());
}

#[tokio::test]
async fn a_state_that_cannot_be_is_not_taken_up() {
    let stable = Backend::replying(200).await;
    let canary = Backend::replying(200).await;
    let directory = tempfile::TempDir::new().unwrap();
    let (file, template) = keeping_state(&directory);
    let gw = Gw::with(&template, &[&stable, &canary]).await;
    first_step_is_written(&file).await;
    drop(gw.shutdown().await);
    let good = std::fs::read_to_string(&file).unwrap();
    for (from, to) in [
        ("\"step\": 1", "\"step\": 4000000000"),
        ("\"version\": 1", "\"version\": 99"),
        ("\"entered\": 1", "\"entered\": 91"),
        ("\"at\": 1", "\"at\": 91"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from} in {good}");
        std::fs::write(&file, bad).unwrap();
        let gw = Gw::with(&template, &[&stable, &canary]).await;
        let progress = gw.split("all").status().progress.unwrap();
        let now = attache::snapshot::now().wall;
        assert!(progress.step <= 1 && progress.entered <= now, "{to}: {progress:?}");
        drop(gw.shutdown().await);
    }
    // What was written over is kept, the first time.
    let kept = directory.path().join("state.json.unusable");
    let kept = std::fs::read_to_string(kept).unwrap();
    assert_eq!(kept, good.replace("\"version\": 1", "\"version\": 99"));
}

#[tokio::test]
async fn what_an_operator_did_last_is_written_before_the_end() {
    let stable = Backend::replying(200).await;
    let canary = Backend::replying(200).await;
    let directory = tempfile::TempDir::new().unwrap();
    let (file, template) = keeping_state(&directory);
    for _ in 0..3 {
        let gw = Gw::with(&template, &[&stable, &canary]).await;
        for verb in [Verb::Restart, Verb::Abort] {
            drop(gw.split("all").operate(verb, "ann", attache::snapshot::now()).unwrap());
        }
        drop(gw.shutdown().await);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("aborted by ann"), "{text}");
        std::fs::remove_file(&file).unwrap();
    }
}

#[tokio::test]
async fn each_version_has_series_of_its_own() {
    let backends = three().await;
    let gw = with(THREE, &backends).await;
    for name in ["a", "b"] {
        assert_eq!(gw.send(header("x-version", name)).await.status, 200);
        let labels = [("route", "all"), ("cluster", name)];
        eventually("it is counted", || async { gw.metric("http_requests_total", &labels).await == 1.0 }).await;
    }
}

#[tokio::test]
async fn what_a_client_leaves_says_nothing_about_the_canary() {
    let stable = Backend::replying(200).await;
    let hung = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hung);
    let canary = Backend::handling(move |_| {
        count.fetch_add(1, SeqCst);
        std::future::pending::<Response<Body>>()
    })
    .await;
    let gw =
        Gw::with(&ROLLOUT.replace("LOSING", "finish").replace("setWeight: 50", "setWeight: 100"), &[&stable, &canary])
            .await;
    soon("the canary gets all", || async { (gw.split("all").status().shares[1].percent > 99.0).then_some(()) }).await;
    let client = gw.h1().await;
    let asking = tokio::spawn(async move {
        let mut client = client;
        client.send(at_host("agents.test", get("/"))).await.map(drop)
    });
    eventually("the canary hangs", || async { hung.load(SeqCst) == 1 }).await;
    asking.abort();
    assert_eq!(gw.record().await["reason"], "client_gone");
    assert_eq!(gw.split("all").status().shares[1].requests, 0);
}

#[tokio::test]
async fn what_is_done_on_purpose_says_nothing_about_a_version() {
    let (stable, canary) = (Backend::replying(200).await, Backend::replying(200).await);
    let faulty = ROLLOUT.replace("LOSING", "finish").replace("600ms", "1h").replace(
        "    split:",
        "    fault:
      delay: { percentage: 100%, fixedDelay: 1ms, whenHeader: { x-chaos: late } }
      abort: { percentage: 100%, httpStatus: 503, whenHeader: { x-chaos: never } }
    split:",
    );
    let gw = Gw::with(&faulty, &[&stable, &canary]).await;
    soon("the canary gets its share", || async { (gw.split("all").status().shares[1].percent > 49.0).then_some(()) })
        .await;
    let mut client = gw.h1().await;
    for (chaos, status) in [("late", 200), ("never", 503), ("", 200)] {
        for _ in 0..10 {
            let reply = client.reply(header("x-chaos", chaos)).await;
            assert_eq!(reply.status, status, "{chaos}");
        }
    }
    gw.records(30).await;
    let hits = stable.hits() + canary.hits();
    assert_eq!(hits, 20, "who is late comes all the same");
    let shares = gw.split("all").status().shares;
    let counted: u64 = shares.iter().map(|share| share.requests).sum();
    assert_eq!(counted, 10, "only those that nothing was done to");
}
