//! A changed configuration: how it is noticed, what is taken and what is refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use attache::admin::journal::ReloadResult;
use http::Method;
use serde_json::json;

use crate::support::{Backend, Ca, Client, DEFAULTS, Gw, Live, Place, Reply, Sse, Tls, chunk, eventually, get, soon};

/// A configuration that answers with `body`.
fn answering(body: &str) -> String {
    format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\nroutes: {{ all: {{ respond: {{ body: {body} }} }} }}\n"
    )
}

const BY_HAND: &str = "reload: { watch: false }\n";
const LOAD_OK: &str = "attache_config_last_reload_successful";

#[tokio::test]
async fn a_file_written_in_place_is_taken() {
    let gw = Live::with(&answering("one")).await;
    gw.serves("one").await;
    for body in ["two", "three"] {
        gw.rewrite(&answering(body));
        gw.serves(body).await;
    }
    gw.stop().await;
}

#[tokio::test]
async fn a_file_renamed_over_it_is_taken() {
    let gw = Live::with(&answering("one")).await;
    for body in ["two", "three"] {
        gw.write(".swap", &format!("{DEFAULTS}{}", answering(body)));
        fs::rename(gw.path(".swap"), gw.path("gateway.yaml")).unwrap();
        gw.serves(body).await;
    }
    gw.stop().await;
}

/// Lays a version out as kubelet does, and turns `..data` to it in one step.
fn publish(mount: &Path, version: &str, text: &str) {
    let real = mount.join(format!("..{version}"));
    fs::create_dir(&real).unwrap();
    fs::write(real.join("gateway.yaml"), text).unwrap();
    symlink(format!("..{version}"), mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
}

#[tokio::test]
async fn a_config_map_that_is_swapped_is_taken() {
    let gw = Live::prepared(|mount| {
        publish(mount, "1", &format!("{DEFAULTS}{}", answering("one")));
        symlink("..data/gateway.yaml", mount.join("gateway.yaml")).unwrap();
    })
    .await;
    for (version, body) in [("2", "two"), ("3", "three"), ("4", "four")] {
        let before = fs::read_link(gw.path("..data")).unwrap();
        publish(gw.directory.path(), version, &format!("{DEFAULTS}{}", answering(body)));
        fs::remove_dir_all(gw.path(before.to_str().unwrap())).unwrap();
        gw.serves(body).await;
    }
    gw.stop().await;
}

#[tokio::test]
async fn connections_to_an_endpoint_that_is_gone_are_closed_once_idle() {
    let (gone, kept, quiet) = tokio::join!(Sse::new(), Backend::replying(200), Backend::replying(200));
    let template = |endpoint: &str| {
        format!(
            "
            workers: 1
            routes:
              one: {{ match: {{ path: {{ prefix: /one }} }}, endpoints: ['{endpoint}'] }}
              quiet: {{ match: {{ path: {{ prefix: /quiet }} }}, endpoints: ['{{2}}'] }}
            "
        )
    };
    let places: [&dyn Place; 3] = [&gone, &kept, &quiet];
    let mut gw = Gw::with(&template("{0}"), &places).await;
    let mut clients = [gw.h1().await, gw.h1().await];
    let mut answers = Vec::new();
    let mut streams = Vec::new();
    for client in &mut clients {
        answers.push(client.send(get("/one")).await.unwrap());
        streams.push(gone.stream().await);
    }
    let (mut running, over) = (answers.remove(0), streams.remove(1));
    drop(over);
    Reply::read(answers.remove(0)).await.unwrap();
    gw.get("/quiet").await;
    assert_eq!(gone.backend().open(), 2, "a stream and a kept connection");

    gw.reload(&template("{1}"), &places).await.unwrap();
    eventually("the kept one is closed", || async { gone.backend().open() == 1 }).await;
    assert!(streams[0].event("still here").await);
    chunk(running.body_mut()).await.unwrap().unwrap();
    drop(streams);
    assert!(chunk(running.body_mut()).await.is_none(), "ended in order");
    eventually("nor is the other one kept", || async { gone.backend().open() == 0 }).await;

    gw.get("/one").await;
    gw.get("/quiet").await;
    assert_eq!(quiet.connections(), 1, "kept through the reload, though nobody asked for it");

    gw.reload(&template("{0}"), &places).await.unwrap();
    let answer = clients[1].send(get("/one")).await.unwrap();
    drop(gone.stream().await);
    Reply::read(answer).await.unwrap();
    assert_eq!(gone.backend().open(), 1, "back in force, its connections are kept again");
}

#[tokio::test]
async fn what_no_watch_reports_is_found_by_polling() {
    let root = tempfile::TempDir::new().unwrap();
    let polling = "reload: { poll: 100ms }\n";
    for (directory, body) in [("a", "one"), ("b", "two")] {
        fs::create_dir(root.path().join(directory)).unwrap();
        let text = format!("{DEFAULTS}{polling}{}", answering(body));
        fs::write(root.path().join(directory).join("gateway.yaml"), text).unwrap();
    }
    symlink("a", root.path().join("current")).unwrap();
    let path = root.path().join("current/gateway.yaml");
    let gw = Live::following(root, &path).await;
    gw.serves("one").await;
    // Nothing happens in the directory that is watched.
    symlink("b", gw.path("next")).unwrap();
    fs::rename(gw.path("next"), gw.path("current")).unwrap();
    gw.serves("two").await;
    gw.write("b/gateway.yaml", &format!("{DEFAULTS}{polling}{}", answering("three")));
    gw.serves("three").await;
    gw.stop().await;
}

#[tokio::test]
async fn included_files_old_and_new_are_taken() {
    let head = format!("{DEFAULTS}include: [parts/*.yaml]\nlisteners: {{ http: {{ address: '127.0.0.1:0' }} }}\n");
    let part = |name: &str, path: &str, body: &str| {
        format!("routes: {{ {name}: {{ match: {{ path: {{ prefix: {path} }} }}, respond: {{ body: {body} }} }} }}\n")
    };
    let gw = Live::prepared(|directory| {
        fs::write(directory.join("gateway.yaml"), head).unwrap();
        fs::create_dir(directory.join("parts")).unwrap();
        fs::write(directory.join("parts/a.yaml"), part("a", "/", "one")).unwrap();
    })
    .await;
    gw.serves("one").await;
    gw.write("parts/a.yaml", &part("a", "/", "two"));
    gw.serves("two").await;
    gw.write("parts/b.yaml", &part("b", "/b", "more"));
    eventually("the new file is read", || async { gw.get("/b").await.text() == "more" }).await;
    fs::remove_file(gw.path("parts/b.yaml")).unwrap();
    eventually("and forgotten", || async { gw.get("/b").await.text() == "two" }).await;
    gw.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_and_secret_are_taken() {
    let ca = Ca::new();
    let identity = ca.issue(&["a.test"]);
    let text = format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0', tls: {{ certificates: [{{ {} }}] }} }} }}
routes: {{ all: {{ respond: {{ body: '${{file:secret}}' }} }} }}\n",
        identity.place()
    );
    let gw = Live::prepared(|directory| {
        fs::write(directory.join("secret"), "first\n").unwrap();
        fs::write(directory.join("gateway.yaml"), format!("{DEFAULTS}{text}")).unwrap();
    })
    .await;
    let (address, tls) = (gw.address("http").await, Tls::new(&ca, &["http/1.1"]));
    let mut client = tls.connect(address, "a.test").await.unwrap();
    let before = client.certificates[0].clone();
    assert_eq!(client.reply(get("/")).await.text(), "first");
    ca.renew(&identity, &["a.test"]);
    gw.write("secret", "second\n");
    soon("the new certificate is served", || async {
        let client = tls.connect(address, "a.test").await.unwrap();
        (client.certificates[0] != before).then_some(())
    })
    .await;
    soon("the new secret is used", || async {
        let mut client = tls.connect(address, "a.test").await.unwrap();
        (client.reply(get("/")).await.text() == "second").then_some(())
    })
    .await;
    assert_eq!(client.reply(get("/")).await.text(), "second", "on the old connection too");
    gw.stop().await;
}

#[tokio::test]
async fn without_a_watch_a_change_waits_for_a_signal() {
    let gw = Live::with(&format!("{BY_HAND}{}", answering("one"))).await;
    gw.rewrite(&format!("reload: {{ watch: true, debounce: off }}\n{}", answering("two")));
    gw.serves("one").await;
    assert_eq!(gw.metric("attache_config_reloads_total{result=\"ok\"}").await, None);
    gw.reloaded().await;
    gw.serves("two").await;
    gw.rewrite(&answering("three"));
    gw.serves("three").await;
    gw.stop().await;
}

/// A way to break a configuration, and what is said about it.
type Breakage = (&'static str, fn(&Live), &'static [&'static str]);

const HEAD: &str = "include: [parts/a.yaml]\nreload: { watch: false }\n";

fn break_part(gw: &Live, text: impl AsRef<[u8]>) {
    fs::write(gw.path("parts/a.yaml"), text).unwrap();
}

const BREAKAGES: &[Breakage] = &[
    ("syntax", |gw| break_part(gw, "routes:\n  all: [\n"), &["parts/a.yaml:"]),
    (
        "an unknown key",
        |gw| break_part(gw, "routes:\n  all: { respnd: { body: x } }\n"),
        &["parts/a.yaml:2:10", "did you mean `respond`?"],
    ),
    ("an empty file", |gw| break_part(gw, ""), &["parts/a.yaml` is empty"]),
    ("not text", |gw| break_part(gw, b"routes: {}\n# \xff\n"), &["parts/a.yaml` is not UTF-8 text: see line 2"]),
    ("a huge file", |gw| break_part(gw, vec![b'#'; (4 << 20) + 1]), &["gateway.yaml:5:11", "larger than 4096 KiB"]),
    (
        "a missing include",
        |gw| fs::remove_file(gw.path("parts/a.yaml")).unwrap(),
        &["gateway.yaml:5:11", "there is no such file"],
    ),
    (
        "a link that leads nowhere",
        |gw| {
            fs::remove_file(gw.path("parts/a.yaml")).unwrap();
            symlink("a.yaml", gw.path("parts/a.yaml")).unwrap();
        },
        &["gateway.yaml:5:11", "cannot read"],
    ),
    (
        "no permission",
        |gw| {
            let path = gw.path("parts/a.yaml");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
            if fs::read(&path).is_ok() {
                // Nothing is forbidden to root; a directory cannot be read as a file even then.
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
            }
        },
        &["gateway.yaml:5:11", "cannot read"],
    ),
    (
        "the directory is gone",
        |gw| fs::remove_dir_all(gw.path("parts")).unwrap(),
        &["gateway.yaml:5:11", "there is no such file"],
    ),
    (
        "the main file is gone",
        |gw| fs::remove_file(gw.path("gateway.yaml")).unwrap(),
        &["gateway.yaml`: there is no such file"],
    ),
    (
        "a missing certificate",
        |gw| {
            break_part(
                gw,
                "listeners:\n  s: { address: '127.0.0.1:0', tls: { certificates: [{ certFile: no.crt, keyFile: no.key }] } }\n",
            );
        },
        &["parts/a.yaml:2:", "no.crt", "no.key"],
    ),
    (
        "a reference to nothing",
        |gw| break_part(gw, "routes:\n  all: { cluster: nowhere }\n"),
        &["parts/a.yaml:2:19", "nowhere"],
    ),
    (
        "an address that cannot be bound",
        |gw| {
            break_part(
                gw,
                "listeners: { far: { address: '192.0.2.1:1' } }\nroutes: { all: { respond: { body: x } } }\n",
            );
        },
        &["parts/a.yaml:1:30", "listener `far` cannot bind 192.0.2.1:1"],
    ),
    (
        "metrics elsewhere",
        |gw| {
            let text = fs::read_to_string(gw.path("gateway.yaml")).unwrap();
            gw.write(
                "gateway.yaml",
                &text.replace("metrics: { address: '127.0.0.1:0'", "metrics: { address: '127.0.0.2:0'"),
            );
            break_part(gw, "routes: { all: { respond: { body: two } } }\n");
        },
        &["gateway.yaml:2:21", "`metrics.address` cannot change while running"],
    ),
    (
        "the admin API elsewhere",
        |gw| {
            let text = fs::read_to_string(gw.path("gateway.yaml")).unwrap();
            gw.write(
                "gateway.yaml",
                &text.replace("admin: { address: '127.0.0.1:0'", "admin: { address: '127.0.0.2:0'"),
            );
            break_part(gw, "routes: { all: { respond: { body: two } } }\n");
        },
        &["gateway.yaml:3:19", "`admin.address` cannot change while running"],
    ),
    (
        "several things that need a restart",
        |gw| {
            let text = fs::read_to_string(gw.path("gateway.yaml")).unwrap();
            gw.write(
                "gateway.yaml",
                &format!("{}logging: {{ format: text }}\n", text.replace("workers: 2", "workers: 3")),
            );
        },
        &[
            "gateway.yaml:1:10",
            "`workers` cannot change while running",
            "gateway.yaml:8:20",
            "`logging.format` cannot change while running",
            "2 errors",
        ],
    ),
];

#[tokio::test]
async fn nothing_broken_is_taken_and_all_of_it_is_reported_with_its_place() {
    let main = format!("{DEFAULTS}{HEAD}listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\n");
    let part = "routes: { all: { respond: { body: one } } }\n";
    let lay_out = |directory: &Path| {
        fs::remove_dir_all(directory.join("parts")).ok();
        fs::create_dir(directory.join("parts")).unwrap();
        fs::write(directory.join("gateway.yaml"), &main).unwrap();
        fs::write(directory.join("parts/a.yaml"), part).unwrap();
    };
    let gw = Live::prepared(lay_out).await;
    let (_, before) = gw.ask(Method::GET, "/config").await;
    for (index, (what, breakage, expected)) in BREAKAGES.iter().enumerate() {
        breakage(&gw);
        let (status, answer) = gw.ask_reload().await;
        assert_eq!((status, &answer["verdict"]), (422, &json!("refused")), "{what}: {answer}");
        let said = answer["diagnostics"].as_str().unwrap();
        for part in *expected {
            assert!(said.contains(part), "{what}: `{part}` is not in\n{said}");
        }
        assert_eq!(answer["summary"], "The running configuration was not changed.", "{what}");
        assert_eq!(gw.get("/").await.text(), "one", "{what}");
        assert_eq!(gw.ask(Method::GET, "/config").await.1, before, "{what}");
        assert_eq!(gw.metric(LOAD_OK).await, Some(0.0), "{what}");
        let failed = gw.metric("attache_config_reloads_total{result=\"failed\"}").await;
        assert_eq!(failed, Some((index + 1) as f64), "{what}");
        lay_out(gw.directory.path());
        let (status, answer) = gw.ask_reload().await;
        assert_eq!(status, 200, "{what}, repaired: {answer}");
        assert_eq!(gw.metric(LOAD_OK).await, Some(1.0), "{what}, repaired");
    }
    gw.stop().await;
}

#[tokio::test]
async fn a_broken_file_that_is_watched_is_reported_once_and_its_repair_is_noticed() {
    let gw = Live::with(&answering("one")).await;
    gw.rewrite("listeners: {");
    eventually("it is refused", || async { gw.metric(LOAD_OK).await == Some(0.0) }).await;
    gw.serves("one").await;
    gw.rewrite(&answering("one"));
    eventually("the old state is fine again", || async { gw.metric(LOAD_OK).await == Some(1.0) }).await;
    let count = gw.metric("attache_config_reloads_total{result=\"failed\"}").await;
    assert_eq!(count, Some(1.0), "reported once");
    let count = gw.metric("attache_config_reloads_total{result=\"ok\"}").await;
    assert_eq!(count, None, "what is in force is not taken again");
    gw.rewrite(&answering("two"));
    gw.serves("two").await;
    gw.stop().await;
}

#[tokio::test]
async fn the_difference_is_answered_and_remembered() {
    let (one, two, sse) = (Backend::replying(200).await, Backend::replying(200).await, Sse::new().await);
    let head = "reload: { watch: false }\nlisteners: { http: { address: '127.0.0.1:0' } }\n";
    let before = format!(
        "{head}routes:
  all: {{ cluster: pool, timeout: 30s, requestHeaders: {{ set: {{ authorization: hidden-one }} }} }}
  stays: {{ match: {{ path: {{ prefix: /stays }} }}, cluster: pool }}
  old: {{ match: {{ path: {{ prefix: /old }} }}, cluster: old }}
clusters:
  pool: {{ endpoints: [{{ address: '{0}', weight: 1 }}, {{ address: '{1}', weight: 3 }}] }}
  old: {{ endpoints: ['{2}'] }}\n",
        one.place(),
        two.place(),
        sse.place()
    );
    let after = format!(
        "{head}logging: {{ level: debug }}
routes:
  all: {{ cluster: pool, timeout: 10s, requestHeaders: {{ set: {{ authorization: hidden-two }} }} }}
  stays: {{ match: {{ path: {{ prefix: /stays }} }}, cluster: pool }}
  planner: {{ hosts: [agents.test], match: {{ path: {{ prefix: /plan }} }}, cluster: pool }}
clusters:
  pool: {{ endpoints: [{{ address: '{0}', weight: 2 }}, {{ address: '{1}' }}] }}\n",
        one.place(),
        sse.place()
    );
    let gw = Live::with(&before).await;
    let mut client = Client::h1(gw.address("http").await).await;
    let (answer, stream) = tokio::join!(client.send(get("/old")), sse.stream());
    let mut body = answer.unwrap().into_body();
    gw.rewrite(&after);
    let (status, answer) = gw.ask_reload().await;
    assert_eq!(status, 200, "{answer}");
    let said = answer["summary"].as_str().unwrap().to_owned();
    let (first, rest) = said.split_once('\n').unwrap();
    assert!(first.starts_with("reloaded config ") && first.ends_with(" ms"), "{said}");
    let mut expected = vec![
        format!(
            "  ~ clusters.pool.endpoints    {0} 1 -> 2, {1} removed, {2} added",
            one.place(),
            two.place(),
            sse.place()
        ),
        "  ~ routes.all.requestHeaders  set authorization changed".to_owned(),
        "  ~ routes.all.timeout         30s -> 10s".to_owned(),
        "  + logging".to_owned(),
        "  + routes.planner             agents.test /plan -> pool".to_owned(),
        "  - clusters.old               1 endpoint draining, 1 request open".to_owned(),
        "  - routes.old                 /old -> old".to_owned(),
        "  = unchanged, with their live state: 1 listener, 1 route, 5 other sections".to_owned(),
    ];
    // The order of endpoints is that of their addresses.
    let sort = |line: &str| {
        let mut words: Vec<String> = line.split(", ").map(str::trim).map(str::to_owned).collect();
        words.sort();
        words.join(" ")
    };
    let found: Vec<String> = rest.lines().map(sort_first(sort)).collect();
    expected.iter_mut().for_each(|line| *line = sort_first(sort)(line));
    assert_eq!(found, expected, "{said}");
    assert!(!said.contains("hidden"), "{said}");
    // What was removed finishes what it has.
    stream.event("late").await;
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "data: late\n\n");
    let (_, reloads) = gw.ask(Method::GET, "/reloads").await;
    let reloads: serde_json::Value = serde_json::from_str(&reloads).unwrap();
    let changes = reloads["reloads"][0]["difference"]["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 7, "{reloads}");
    assert_eq!(reloads["reloads"][1]["trigger"], "start");
    drop((body, stream));
    gw.stop().await;
}

/// Brings what a line says about members of a list into one order.
#[tokio::test]
async fn who_asks_after_the_watch_is_told_what_the_last_change_was() {
    let gw = Live::with(&answering("one")).await;
    let (_, answer) = gw.ask_reload().await;
    let said = answer["summary"].as_str().unwrap();
    assert!(said.ends_with(" is in force already"), "no change: {said}");
    gw.rewrite(&answering("two"));
    gw.serves("two").await;
    for asked in ["once", "again"] {
        let (status, answer) = gw.ask_reload().await;
        assert_eq!(status, 200, "{asked}: {answer}");
        let said = answer["summary"].as_str().unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].ends_with(" is in force already"), "{said}");
        assert!(lines[1].contains(" by the watch of its files (was "), "{said}");
        assert!(lines[2].contains("one -> two"), "{said}");
        assert!(lines.last().unwrap().contains("1 listener"), "{said}");
        assert_eq!(answer["lastChange"]["trigger"], "watch", "{answer}");
        assert_eq!(answer["lastChange"]["difference"]["changes"][0]["kind"], "changed");
    }
    gw.stop().await;
}

fn sort_first(sort: impl Fn(&str) -> String) -> impl Fn(&str) -> String {
    move |line| match line.split_once(".endpoints    ") {
        Some((start, members)) => format!("{start}.endpoints {}", sort(members)),
        None => line.to_owned(),
    }
}

#[tokio::test]
async fn an_old_configuration_is_freed_while_a_stream_that_began_under_it_runs() {
    let sse = Sse::new().await;
    let text = |path: &str| {
        format!(
            "{BY_HAND}listeners: {{ http: {{ address: '127.0.0.1:0', protocols: [http/1.1, h2] }} }}\nroutes: {{ {path}: {{ match: {{ path: {{ prefix: /{path} }} }}, endpoints: ['{}'] }} }}\n",
            sse.place()
        )
    };
    let gw = Live::with(&text("first")).await;
    let address = gw.address("http").await;
    let (mut h1, mut h2) = (Client::h1(address).await, Client::h2c(address).await);
    let mut streams = Vec::new();
    for client in [&mut h1, &mut h2] {
        let (answer, stream) = tokio::join!(client.send(get("/first")), sse.stream());
        streams.push((answer.unwrap().into_body(), stream));
    }
    for name in ["second", "third", "fourth"] {
        gw.rewrite(&text(name));
        gw.reloaded().await;
    }
    eventually("only the present configuration is in memory", || async {
        gw.metric("attache_config_snapshots").await == Some(1.0)
    })
    .await;
    for (body, stream) in &mut streams {
        assert!(stream.event("still here").await);
        assert_eq!(chunk(body).await.unwrap().unwrap(), "data: still here\n\n");
    }
    drop(streams);
    gw.stop().await;
}

#[tokio::test]
async fn a_request_that_waits_keeps_its_configuration_and_no_longer() {
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let released = std::sync::Mutex::new(Some(released));
    let agent = Backend::handling(move |_| {
        let released = released.lock().unwrap().take();
        async move {
            if let Some(released) = released {
                released.await.ok();
            }
            http::Response::new(crate::support::full("done"))
        }
    })
    .await;
    let text = |route: &str| {
        format!(
            "{BY_HAND}listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\nroutes: {{ {route}: {{ endpoints: ['{}'] }} }}\n",
            agent.place()
        )
    };
    let gw = Live::with(&text("before")).await;
    let mut client = Client::h1(gw.address("http").await).await;
    let asking = tokio::spawn(async move { client.reply(get("/")).await });
    eventually("the agent works", || async { agent.hits() == 1 }).await;
    gw.rewrite(&text("after"));
    let done = gw.reloaded().await;
    assert_eq!(done.entry.verdict, ReloadResult::Applied);
    eventually("both are in memory", || async { gw.metric("attache_config_snapshots").await == Some(2.0) }).await;
    release.send(()).unwrap();
    assert_eq!(asking.await.unwrap().text(), "done");
    eventually("the old one is freed", || async { gw.metric("attache_config_snapshots").await == Some(1.0) }).await;
    gw.stop().await;
}

#[tokio::test]
async fn listeners_come_go_and_change_tls_without_touching_others() {
    let ca = Ca::new();
    let identity = ca.issue(&["a.test"]);
    let text = |listeners: &str| {
        format!(
            "{BY_HAND}listeners: {{ http: {{ address: '127.0.0.1:0' }}{listeners} }}\nroutes: {{ all: {{ respond: {{ body: here }} }} }}\n"
        )
    };
    let gw = Live::with(&text("")).await;
    let address = gw.address("http").await;
    let mut staying = Client::h1(address).await;
    assert_eq!(staying.reply(get("/")).await.text(), "here");
    gw.rewrite(&text(&format!(
        ", more: {{ address: '127.0.0.1:0', tls: {{ certificates: [{{ {} }}] }} }}",
        identity.place()
    )));
    let done = gw.reloaded().await;
    assert!(done.entry.summary().contains("+ listeners.more"), "{}", done.entry.summary());
    let more = gw.address("more").await;
    let mut secure = Tls::new(&ca, &["http/1.1"]).connect(more, "a.test").await.unwrap();
    assert_eq!(secure.reply(get("/")).await.text(), "here");
    gw.rewrite(&text(", more: { address: '127.0.0.1:0' }"));
    gw.reloaded().await;
    assert_eq!(gw.address("more").await, more, "TLS changed, the socket did not");
    assert_eq!(Client::h1(more).await.reply(get("/")).await.text(), "here");
    gw.rewrite(&text(""));
    gw.reloaded().await;
    assert_eq!(gw.try_address("more").await, None);
    eventually("nobody accepts there", || async { tokio::net::TcpStream::connect(more).await.is_err() }).await;
    assert_eq!(gw.address("http").await, address);
    assert_eq!(staying.reply(get("/")).await.text(), "here", "on its first connection");
    gw.stop().await;
}
