//! The admin API. A row of `ENDPOINTS` describes an endpoint and its parameters; `carry_out` runs it.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, StatusCode};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

use super::access::{self, Act, Caller};
use super::audit::Operator;
use super::blocks::{self, Now};
use super::control::{AdminControl, NotDone};
use super::journal::{ReloadResult, Trigger};
use super::rollouts;
use super::serve::{self, AdminResponse, Bounds, HEAD, JSON, TEXT, reply};
use super::socket::Socket;
use crate::config::model::{Admin, Writes};
use crate::config::read_regular;

/// Something to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Config,
    Status,
    Reloads,
    Reload,
    Rollouts,
    MoveRollout,
    Blocks,
    Block,
    Unblock,
}

struct Endpoint {
    method: Method,
    path: &'static str,
    act: Act,
    ask: Ask,
    about: &'static str,
}

const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Method::GET,
        path: "/config",
        act: Act::Read,
        ask: Ask::Config,
        about: "the configuration in force, secrets redacted (YAML)",
    },
    Endpoint {
        method: Method::GET,
        path: "/status",
        act: Act::Read,
        ask: Ask::Status,
        about: "health, clusters and endpoints (JSON)",
    },
    Endpoint {
        method: Method::GET,
        path: "/reloads",
        act: Act::Read,
        ask: Ask::Reloads,
        about: "the last reloads with what they changed (JSON)",
    },
    Endpoint {
        method: Method::POST,
        path: "/reload",
        act: Act::Write(Writes::Rollouts),
        ask: Ask::Reload,
        about: "read the configuration again; answers when it is in force or refused (JSON)",
    },
    Endpoint {
        method: Method::GET,
        path: "/rollouts",
        act: Act::Read,
        ask: Ask::Rollouts,
        about: "splits with their shares, and how far rollouts are (JSON)",
    },
    Endpoint {
        method: Method::POST,
        path: "/rollouts",
        act: Act::Write(Writes::Rollouts),
        ask: Ask::MoveRollout,
        about: "?route=R&verb=pause|resume|promote|abort|restart|release, set-weight&weight=N[&cluster=C][&for=MS], switch[&cluster=C] (JSON)",
    },
    Endpoint {
        method: Method::GET,
        path: "/blocks",
        act: Act::Read,
        ask: Ask::Blocks,
        about: "clients that are blocked, by operators and for failures to authenticate (JSON)",
    },
    Endpoint {
        method: Method::POST,
        path: "/blocks",
        act: Act::Write(Writes::All),
        ask: Ask::Block,
        about: "?network=192.0.2.0/24[&for=12h][&reason=TEXT][&by=NAME] (JSON)",
    },
    Endpoint {
        method: Method::DELETE,
        path: "/blocks",
        act: Act::Write(Writes::All),
        ask: Ask::Unblock,
        about: "?network=192.0.2.0/24[&reason=TEXT][&by=NAME]; forgives failures to authenticate too (JSON)",
    },
];

/// Serves until `shutdown`. Spawns nothing: dropping the future closes everything.
pub async fn serve(socket: &Socket, control: AdminControl, shutdown: CancellationToken) {
    serve::serve(socket, stack(control), BOUNDS, shutdown).await;
}

fn stack<B: Send + 'static>(
    control: AdminControl,
) -> impl Service<Request<B>, Response = AdminResponse, Error = BoxError, Future: Send> + Clone {
    serve::stack(BOUNDS, move |request: Request<B>| {
        let control = control.clone();
        let (head, _) = request.into_parts();
        async move { answer(&head, &control).await }
    })
}

async fn answer(head: &http::request::Parts, control: &AdminControl) -> AdminResponse {
    let path = head.uri.path();
    let found = ENDPOINTS.iter().filter(|endpoint| endpoint.path == path);
    let endpoint = found.clone().find(|endpoint| endpoint.method == head.method);
    // A caller without access must not learn which endpoints exist.
    let act = endpoint.map_or(Act::Read, |endpoint| endpoint.act);
    let Some(settings) = control.hub.current().config.admin.clone() else {
        return reply(StatusCode::NOT_FOUND, TEXT, "");
    };
    let token = match token(&settings).await {
        Ok(token) => token,
        Err(error) => {
            if control.refusals.tells(Instant::now()).is_some() {
                tracing::error!(%error, "admin.tokenFile cannot be read, so nobody is let in");
            }
            return reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the token cannot be read\n");
        }
    };
    let caller = head.extensions.get().copied().unwrap_or(Caller::Other);
    if let Err((status, why)) = access::check(head, caller, token.as_deref(), act, settings.writes) {
        control.refusals.refused(&control.metrics, head, status, Instant::now());
        let detail = format!("{} {}: {}", head.method, path, status.as_u16());
        Operator { auditor: &control.auditor, caller }.refused(&control.hub.current(), "admin_refused", &detail);
        let mut refused = reply(status, TEXT, why);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            refused.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        return refused;
    }
    match endpoint {
        Some(endpoint) => carry_out(endpoint.ask, head, caller, control).await,
        None if found.clone().next().is_some() => {
            let methods: Vec<&str> = found.map(|endpoint| endpoint.method.as_str()).collect();
            let mut refused = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "another method\n");
            if let Ok(value) = HeaderValue::from_str(&methods.join(", ")) {
                refused.headers_mut().insert(ALLOW, value);
            }
            refused
        }
        None if path == "/" => reply(StatusCode::OK, TEXT, directory()),
        None => reply(StatusCode::NOT_FOUND, TEXT, format!("not found; here are:\n{}", directory())),
    }
}

async fn carry_out(ask: Ask, head: &http::request::Parts, caller: Caller, control: &AdminControl) -> AdminResponse {
    let (operator, query) = (Operator { auditor: &control.auditor, caller }, head.uri.query().unwrap_or_default());
    match ask {
        Ask::Config => {
            let effective = Arc::clone(&control.hub.current().config.effective);
            beside(move || reply(StatusCode::OK, YAML, effective.yaml())).await
        }
        Ask::Status => status(control),
        Ask::Reloads => json(StatusCode::OK, &json!({ "reloads": control.journal.entries() })),
        Ask::Rollouts => json(StatusCode::OK, &rollouts::list(&control.hub.current())),
        Ask::MoveRollout => {
            let (status, answer) = rollouts::operate(&control.hub.current(), &control.metrics, &operator, query);
            json(status, &answer)
        }
        Ask::Blocks => {
            let snapshot = control.hub.current();
            beside(move || json(StatusCode::OK, &blocks::list(&snapshot, Now::here()))).await
        }
        Ask::Block => {
            let (status, answer) = blocks::block(&control.hub.current(), &operator, query, Now::here());
            json(status, &answer)
        }
        Ask::Unblock => {
            // Every client that is remembered is looked at.
            let (control, query) = (control.clone(), query.to_owned());
            let unblock = move || {
                let operator = Operator { auditor: &control.auditor, caller };
                let (status, answer) = blocks::unblock(&control.hub.current(), &operator, &query);
                json(status, &answer)
            };
            beside(unblock).await
        }
        Ask::Reload => {
            let colored = head.uri.query() == Some("color=true");
            reload(control, colored).await
        }
    }
}

/// Answers on a thread that may take its time. A defect there is an answer too, and not one that says that all is well.
async fn beside(answer: impl FnOnce() -> AdminResponse + Send + 'static) -> AdminResponse {
    tokio::task::spawn_blocking(answer).await.unwrap_or_else(|broken| {
        tracing::error!(error = %broken, "an answer of the admin API broke");
        reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the answer broke, see the log of the gateway\n")
    })
}

fn status(control: &AdminControl) -> AdminResponse {
    let snapshot = control.hub.current();
    let clusters: Vec<_> = snapshot.clusters.iter().map(|cluster| cluster.status()).collect();
    let health = control.health.report();
    json(
        StatusCode::OK,
        &json!({
            "version": health.version,
            "status": health.status,
            "ready": health.ready,
            "configHash": health.config_hash,
            "lastReload": control.journal.entries().first(),
            "clusters": clusters,
        }),
    )
}

async fn reload(control: &AdminControl, colored: bool) -> AdminResponse {
    let done = match control.reload(Trigger::Api).await {
        Ok(done) => done,
        Err(error @ (NotDone::Busy | NotDone::Stopping)) => {
            return reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{error}\n"));
        }
    };
    let status = match done.entry.verdict {
        ReloadResult::Applied | ReloadResult::Unchanged => StatusCode::OK,
        ReloadResult::Refused => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let mut entry = done.entry;
    if let Some(report) = done.report.filter(|_| colored) {
        entry.diagnostics = report.human(true);
    }
    let summary = entry.summary();
    let mut body = json!(entry);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("summary".to_owned(), summary.into());
    }
    json(status, &body)
}

/// Read for each request, so that a new token counts at once.
async fn token(settings: &Admin) -> std::io::Result<Option<Vec<u8>>> {
    let Some(path) = &settings.token_file else {
        return Ok(None);
    };
    let path = path.clone();
    let read = tokio::task::spawn_blocking(move || read_regular(&path, MAX_TOKEN));
    Ok(Some(read.await??.trim_ascii().to_vec()))
}

fn json(status: StatusCode, value: &serde_json::Value) -> AdminResponse {
    reply(status, JSON, format!("{value}\n"))
}

fn directory() -> String {
    let lines = ENDPOINTS.iter();
    lines.map(|endpoint| format!("{} {}: {}\n", endpoint.method, endpoint.path, endpoint.about)).collect()
}

const YAML: &str = "application/yaml";
const MAX_TOKEN: usize = 4 << 10;
const BOUNDS: Bounds = Bounds {
    name: "admin",
    requests: 8,
    probes: &[],
    head: HEAD,
    // A reload may wait for DNS and for others before it.
    answer: Duration::from_secs(60),
    connection: Duration::from_secs(90),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_breaks_does_not_look_like_one_that_is_empty() {
        let whole = beside(|| reply(StatusCode::OK, TEXT, "fine\n")).await;
        assert_eq!(whole.status(), StatusCode::OK);
        let broken = beside(|| std::panic::resume_unwind(Box::new(()))).await;
        assert_eq!(broken.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
