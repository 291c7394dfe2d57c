//! What happens to the files of a configuration beside honest changes: something else in their place, editors at work,
//! directories that go and come.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use attache::admin::client::Client as Operator;
use attache::admin::journal::ReloadResult;
use http::Method;

use crate::support::{Ca, DEFAULTS, GUARD, Live, Place, eventually};

const FAILED: &str = "attache_config_reloads_total{result=\"failed\"}";
const LOAD_OK: &str = "attache_config_last_reload_successful";
const HTTP: &str = "listeners: { http: { address: '127.0.0.1:0' } }\n";

/// A route that answers with `body`.
fn answering(body: &str) -> String {
    format!("routes: {{ all: {{ respond: {{ body: {body} }} }} }}\n")
}

/// Puts a pipe that nobody writes to where a file was.
fn pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test]
async fn a_pipe_in_place_of_a_certificate_is_refused_and_holds_nobody_up() {
    let identity = Ca::new().issue(&["a.test"]);
    let text = format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }}, s: {{ address: '127.0.0.1:0', tls: {{ certificates: [{{ {} }}] }} }} }}\n{}",
        identity.place(),
        answering("one")
    );
    let gw = Live::with(&text).await;
    let content = fs::read(identity.cert_path()).unwrap();
    pipe(identity.cert_path());
    // The watch looks at certificates first, whatever else the files hold.
    eventually("the watch is done with it", || async { gw.metric(LOAD_OK).await == Some(0.0) }).await;
    let done = gw.hangup().await;
    let said = done.entry.diagnostics;
    assert!(said.contains("it is not a regular file"), "{said}");
    fs::remove_file(identity.cert_path()).unwrap();
    fs::write(identity.cert_path(), content).unwrap();
    gw.reloaded().await;
    gw.stop().await;
}

#[tokio::test]
async fn a_pipe_in_place_of_the_token_lets_nobody_in_and_nobody_wait() {
    let defaults = DEFAULTS.replace("'127.0.0.1:0' }\naccess", "'127.0.0.1:0', tokenFile: token }\naccess");
    let gw = Live::prepared(|directory| {
        fs::write(directory.join("token"), "0123456789abcdef").unwrap();
        let text = format!("{defaults}reload: {{ watch: false }}\n{HTTP}{}", answering("one"));
        fs::write(directory.join("gateway.yaml"), text).unwrap();
    })
    .await;
    let operator = Operator::new(gw.admin.clone(), Some(&gw.path("token"))).unwrap();
    pipe(&gw.path("token"));
    let (status, _) = operator.ask(Method::GET, "/status", GUARD).await.unwrap();
    assert_eq!(status, 503);
    gw.stop().await;
}

#[tokio::test]
async fn an_included_file_that_comes_after_its_directory_is_taken() {
    let gw = Live::prepared(|directory| {
        let main = format!("{DEFAULTS}include: [teams/*/routes.yaml]\nreload: {{ poll: off }}\n{HTTP}");
        fs::write(directory.join("gateway.yaml"), main).unwrap();
        fs::create_dir_all(directory.join("teams/a")).unwrap();
        fs::create_dir_all(directory.join("teams/b")).unwrap();
        fs::write(directory.join("teams/a/routes.yaml"), answering("one")).unwrap();
    })
    .await;
    gw.serves("one").await;
    let more = "routes: { b: { match: { path: { prefix: /b } }, respond: { body: two } } }\n";
    gw.write("teams/b/routes.yaml", more);
    eventually("it is served", || async { gw.get("/b").await.text() == "two" }).await;
    gw.stop().await;
}

#[tokio::test]
async fn a_directory_that_goes_and_comes_back_is_watched_again() {
    let root = tempfile::TempDir::new().unwrap();
    let text = |body: &str| format!("{DEFAULTS}reload: {{ poll: off }}\n{HTTP}{}", answering(body));
    let lay_out = |root: &Path, body: &str| {
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(root.join("etc/gateway.yaml"), text(body)).unwrap();
    };
    lay_out(root.path(), "one");
    let path = root.path().join("etc/gateway.yaml");
    let gw = Live::following(root, &path).await;
    for body in ["two", "three"] {
        let refused = gw.metric(FAILED).await;
        fs::remove_dir_all(gw.path("etc")).unwrap();
        eventually("that it is gone is seen", || async { gw.metric(FAILED).await != refused }).await;
        lay_out(gw.directory.path(), body);
        gw.serves(body).await;
    }
    gw.stop().await;
}

#[tokio::test]
async fn a_link_to_a_directory_that_is_turned_is_seen() {
    let root = tempfile::TempDir::new().unwrap();
    for (directory, body) in [("1", "one"), ("2", "two")] {
        fs::create_dir_all(root.path().join("releases").join(directory)).unwrap();
        let text = format!("{DEFAULTS}reload: {{ poll: off }}\n{HTTP}{}", answering(body));
        fs::write(root.path().join(format!("releases/{directory}/gateway.yaml")), text).unwrap();
    }
    symlink("1", root.path().join("releases/now")).unwrap();
    symlink("releases/now", root.path().join("current")).unwrap();
    let path = root.path().join("current/gateway.yaml");
    let gw = Live::following(root, &path).await;
    gw.serves("one").await;
    symlink("2", gw.path("releases/next")).unwrap();
    fs::rename(gw.path("releases/next"), gw.path("releases/now")).unwrap();
    gw.serves("two").await;
    gw.stop().await;
}

#[tokio::test]
async fn the_last_good_state_is_not_written_where_configuration_is_read() {
    let gw = Live::prepared(|directory| {
        fs::create_dir(directory.join("parts")).unwrap();
        fs::write(directory.join("parts/a.yaml"), answering("one")).unwrap();
        let text = format!("{DEFAULTS}include: [parts/*.yaml]\n{HTTP}reload: {{ watch: false }}\n");
        fs::write(directory.join("gateway.yaml"), text).unwrap();
    })
    .await;
    let before = fs::read_to_string(gw.path("gateway.yaml")).unwrap();
    for place in ["gateway.yaml", "parts/a.yaml", "parts/good.yaml"] {
        let text = before.replace("watch: false", &format!("watch: false, lastGoodFile: {place}"));
        gw.write("gateway.yaml", &text);
        let done = gw.hangup().await;
        assert_eq!(done.entry.verdict, ReloadResult::Refused, "{place}");
        let said = done.entry.diagnostics;
        assert!(said.contains("gateway.yaml:7:39"), "{place}: {said}");
        assert_eq!(fs::read_to_string(gw.path("gateway.yaml")).unwrap(), text, "{place}");
    }
    assert!(!gw.path("parts/good.yaml").exists());
    gw.write("gateway.yaml", &before.replace("watch: false", "watch: false, lastGoodFile: good.yaml"));
    gw.reloaded().await;
    assert!(gw.path("good.yaml").exists());
    gw.stop().await;
}
