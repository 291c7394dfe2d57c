//! What happens to the files of a configuration beside honest changes: something else in their place, editors at work, directories that
//! go and come.

use std::fs;
use std::path::Path;
use std::process::Command;

use attache::admin::client::Client as Operator;
use http::Method;

use crate::support::{Ca, GUARD, Live, Place, USUAL, eventually};

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
    eventually("the watch is done with it", || async {
        gw.metric(LOAD_OK).await == Some(0.0)
    })
    .await;
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
    let usual = USUAL.replace(
        "'127.0.0.1:0' }\naccess",
        "'127.0.0.1:0', tokenFile: token }\naccess",
    );
    let gw = Live::prepared(|directory| {
        fs::write(directory.join("token"), "0123456789abcdef").unwrap();
        let text = format!(
            "{usual}reload: {{ watch: false }}\n{HTTP}{}",
            answering("one")
        );
        fs::write(directory.join("gateway.yaml"), text).unwrap();
    })
    .await;
    let operator = Operator::new(gw.admin.clone(), Some(&gw.path("token"))).unwrap();
    pipe(&gw.path("token"));
    let (status, _) = operator.ask(Method::GET, "/status", GUARD).await.unwrap();
    assert_eq!(status, 503);
    gw.stop().await;
}
