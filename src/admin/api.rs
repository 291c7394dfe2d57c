//! The admin API. A row of `OPERATIONS` describes an operation and its parameters; `carry_out` runs it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode};
use serde_json::{json, to_string as to_json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

use super::access::{self, Act, Caller};
use super::audit::Operator;
use super::blocks::{self, Now};
use super::control::{AdminControl, NotDone};
use super::journal::{ReloadResult, Trigger};
use super::operation::{Ask, Change, Follow, Look, OPERATIONS};
use super::query::Query;
use super::serve::{self, AdminResponse, Bounds, Follower, HEAD, JSON, TEXT, reply};
use super::socket::Socket;
use super::view::{agents, certificates, clusters, errors, limits, routes, streams, tasks};
use super::{dashboard, endpoints, follow, levels, openapi, rollouts, state, traffic};
use crate::config::model::Admin;
use crate::config::read_regular;
use crate::observe::live::TailFilter;

/// Serves until `shutdown`. Spawns nothing: dropping the future closes everything.
pub async fn serve(socket: &Socket, control: AdminControl, shutdown: CancellationToken) {
    tokio::select! {
        () = serve::serve(socket, stack(control.clone()), BOUNDS, shutdown) => {}
        () = state::keep(&control) => {}
    }
}

fn stack<B: Send + 'static>(
    control: AdminControl,
) -> impl Service<Request<B>, Response = AdminResponse, Error = BoxError, Future: Send> + Clone {
    serve::stack(BOUNDS, move |request: Request<B>| {
        let control = control.clone();
        let (head, _) = request.into_parts();
        async move { answer(head, &control).await }
    })
}

async fn answer(head: Parts, control: &AdminControl) -> AdminResponse {
    let path = head.uri.path();
    let found = OPERATIONS.iter().filter(|operation| operation.path == path);
    let operation = found.clone().find(|operation| head.method == operation.method.name());
    // A caller without access must not learn which operations exist.
    let act = operation.map_or(Act::Read, |operation| operation.act);
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
    let caller = head.extensions.get().copied().unwrap_or(Caller::Network);
    if let Err((status, why)) = access::check(&head, caller, token.as_deref(), act, settings.writes) {
        control.refusals.refused(&control.metrics, &head, status, Instant::now());
        let detail = format!("{} {}: {}", head.method, path, status.as_u16());
        Operator { auditor: &control.auditor, caller }.refused(&control.hub.current(), "admin_refused", &detail);
        let mut refused = reply(status, TEXT, why);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            refused.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        return refused;
    }
    match operation {
        Some(operation) => match Query::parse(operation.parameters, head.uri.query().unwrap_or_default()) {
            Ok(query) => carry_out(operation.ask, &head, &query, caller, control).await,
            Err(why) => json(StatusCode::BAD_REQUEST, &json!({ "error": why })),
        },
        None if found.clone().next().is_some() => {
            let methods: Vec<&str> = found.map(|operation| operation.method.name()).collect();
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

async fn carry_out(ask: Ask, head: &Parts, query: &Query, caller: Caller, control: &AdminControl) -> AdminResponse {
    match ask {
        Ask::Reload => reload(control, query.is_on("color")).await,
        Ask::Endpoint => {
            let operator = Operator { auditor: &control.auditor, caller };
            match endpoints::operate(control, &operator, query).await {
                Ok((status, answer)) => json(status, &answer),
                Err(error) => not_done(error),
            }
        }
        Ask::Dashboard => dashboard::page(),
        Ask::OpenApi => reply(StatusCode::OK, JSON, openapi::document()),
        Ask::Follow(what) => follow(what, head, query, control),
        Ask::Config => {
            let effective = Arc::clone(&control.hub.current().config.effective);
            beside(move || reply(StatusCode::OK, YAML, effective.yaml())).await
        }
        Ask::Change(what) => {
            let (control, query) = (control.clone(), query.clone());
            // To unblock looks at every client that is remembered.
            beside(move || {
                let operator = Operator { auditor: &control.auditor, caller };
                let (status, answer) = change(what, &query, &operator, &control);
                json(status, &answer)
            })
            .await
        }
        Ask::Look(what) => {
            let (control, query) = (control.clone(), query.clone());
            // Thousands of routes or streams take long enough to keep a probe waiting.
            beside(move || match look(what, &query, &control) {
                Ok(answer) => reply(StatusCode::OK, JSON, answer + "\n"),
                Err(_) => reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the answer could not be made\n"),
            })
            .await
        }
    }
}

/// What somebody wants to see, as JSON.
fn look(what: Look, query: &Query, control: &AdminControl) -> serde_json::Result<String> {
    let (snapshot, most) = (control.hub.current(), query.limit());
    let (rates, live) = (|| control.traffic.rates(), &control.live);
    let of = |route: &str, cluster: &str| query.wants("route", route) && query.wants("cluster", cluster);
    match what {
        Look::Agents => to_json(&agents::list(&snapshot, most)),
        Look::Blocks => to_json(&blocks::list(&snapshot, Now::here())),
        Look::Certificates => to_json(&certificates::list(&control.metrics, SystemTime::now())),
        Look::Clusters => {
            to_json(&clusters::list(&snapshot, &rates(), &live.streams, most, |name| query.wants("cluster", name)))
        }
        Look::Errors => to_json(&errors::list(&live.errors, most, |one| of(&one.route, &one.cluster))),
        Look::Events => {
            let events = live.events().last_events();
            Ok(format!("{{\"events\":[{}]}}", events.join(",")))
        }
        Look::History => {
            let (all, routes) = control.traffic.history();
            to_json(&json!({ "interval": traffic::INTERVAL.as_secs(), "all": all, "routes": routes }))
        }
        Look::Limits => to_json(&limits::list(&snapshot, &control.metrics, most)),
        Look::LogLevel => to_json(&levels::show(&live.log_level)),
        Look::Reloads => to_json(&json!({ "reloads": control.journal.entries() })),
        Look::Rollouts => to_json(&rollouts::list(&snapshot)),
        Look::Routes => to_json(&routes::list(&snapshot, &rates(), most, |name| query.wants("route", name))),
        Look::Status => to_json(&state::with_clusters(control)),
        Look::Streams => to_json(&streams::list(&live.streams, most, |one| of(&one.route, &one.cluster))),
        Look::Tasks => to_json(&tasks::list(&snapshot, most, query.text("id"))),
    }
}

/// What somebody wants to change.
fn change(
    what: Change,
    query: &Query,
    operator: &Operator<'_>,
    control: &AdminControl,
) -> (StatusCode, serde_json::Value) {
    let snapshot = control.hub.current();
    match what {
        Change::Block => blocks::block(&snapshot, operator, query, Now::here()),
        Change::LogLevel => levels::set(&snapshot, &control.live.log_level, operator, query),
        Change::Rollout => rollouts::operate(&snapshot, &control.metrics, operator, query),
        Change::Unblock => blocks::unblock(&snapshot, operator, query),
    }
}

/// Answers on a thread that may take its time. A defect there is an answer too, and not one that says that all is well.
async fn beside(answer: impl FnOnce() -> AdminResponse + Send + 'static) -> AdminResponse {
    tokio::task::spawn_blocking(answer).await.unwrap_or_else(|broken| {
        tracing::error!(error = %broken, "an answer of the admin API broke");
        reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the answer broke, see the log of the gateway\n")
    })
}

/// An answer that goes on.
fn follow(what: Follow, head: &Parts, query: &Query, control: &AdminControl) -> AdminResponse {
    let mut filter = TailFilter::default();
    let refused = query.iter().find_map(|(name, value)| filter.set(name, value)?.err());
    if let Some(why) = refused {
        return json(StatusCode::BAD_REQUEST, &json!({ "error": why }));
    }
    let Some(follower) = head.extensions.get::<Follower>().cloned() else {
        return reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "this cannot be followed here\n");
    };
    let control = control.clone();
    follower.answer(|| match what {
        Follow::Requests => follow::requests(control.live.tail.subscribe(filter)),
        Follow::Events => follow::events(control.live.events()),
        Follow::State => follow::states(STATE_EVERY, move || {
            let control = control.clone();
            async move { state::now(&control).await }
        }),
    })
}

fn not_done(error: NotDone) -> AdminResponse {
    match error {
        NotDone::Busy | NotDone::Stopping => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{error}\n")),
    }
}

async fn reload(control: &AdminControl, colored: bool) -> AdminResponse {
    let done = match control.reload(Trigger::Api).await {
        Ok(done) => done,
        Err(error) => return not_done(error),
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
    let lines = OPERATIONS.iter().map(|operation| {
        let names = operation
            .parameters
            .iter()
            .map(|one| if one.required { one.name.to_owned() } else { format!("[{}]", one.name) });
        let names: Vec<String> = names.collect();
        let query = if names.is_empty() { String::new() } else { format!("?{}", names.join("&")) };
        format!("{} {}{query}: {}\n", operation.method.name(), operation.path, operation.about)
    });
    lines.collect()
}

const YAML: &str = "application/yaml";
const MAX_TOKEN: usize = 4 << 10;
/// Time between two states that a dashboard gets.
const STATE_EVERY: Duration = Duration::from_secs(1);
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
