//! What the demo begins with: tasks of three replicas that share nothing are made, asked for, followed and cancelled
//! through the gateway, and one replica is killed in between.

use std::fmt::Write;
use std::io;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use super::client::{CallError, Client, events_in};
use crate::demo::{Agent, Personality};

/// Why the tour did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Mishap {
    #[error("{0}: {1}")]
    Call(String, CallError),
    #[error("{0} was answered {1}: {2}")]
    Refused(String, StatusCode, Value),
    #[error("there are too few replicas")]
    Alone,
    #[error("{0} cannot be started again: {1}")]
    Agent(&'static str, io::Error),
}

/// Does all of it and says what came of it. `public_url` is for the card of the replica that is started again.
pub(super) async fn show(
    client: &Client,
    agents: &mut Vec<Agent>,
    public_url: impl Fn(Personality) -> String,
) -> Result<String, Mishap> {
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        tasks.push(make(client).await?);
    }
    let mut told = format!(
        "Three replicas of one agent behind /team, each with tasks of its own:\n  made       {TASKS} tasks: {}\n",
        shares(agents, &tasks)
    );
    let mut found = 0;
    for task in &tasks {
        let answer = expect(client, Method::GET, &path(task, "")).await?;
        found += usize::from(text(&answer, "/id") == Some(task));
    }
    tell(&mut told, format_args!("asked for  each of them: {found} of {TASKS} found"));

    let first = tasks.first().cloned().ok_or(Mishap::Alone)?;
    let place = victim(agents, &tasks, &first).ok_or(Mishap::Alone)?;
    let victim = agents.remove(place);
    let (personality, address) = (victim.personality(), victim.address());
    let (lost, left): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|task| victim.holds(task));
    victim.kill().await;
    tell(&mut told, format_args!("killed     {} and its {} tasks", personality.name(), lost.len()));

    let another = make(client).await?;
    tell(&mut told, format_args!("made       another one: {}", shares(agents, std::slice::from_ref(&another))));
    let events = follow(client, &first).await?;
    tell(&mut told, format_args!("followed   the first: {events} events"));
    let mut cancelled = 0;
    for task in left.iter().chain([&another]) {
        let answer = expect(client, Method::POST, &path(task, ":cancel")).await?;
        cancelled += usize::from(text(&answer, "/status/state") == Some("TASK_STATE_CANCELED"));
    }
    tell(&mut told, format_args!("cancelled  all that are left: {cancelled} of {}", left.len() + 1));

    let again = Agent::start(personality, address, Some(public_url(personality))).await;
    agents.insert(place, again.map_err(|error| Mishap::Agent(personality.name(), error))?);
    tell(&mut told, format_args!("started    {} again", personality.name()));
    Ok(told)
}

/// Adds a line.
fn tell(told: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(told, "  {line}").ok();
}

async fn make(client: &Client) -> Result<String, Mishap> {
    let path = "/team/message:send";
    let (status, answer) = call(client, Method::POST, path, Bytes::from_static(MESSAGE)).await?;
    let task = text(&answer, "/task/id").map(ToOwned::to_owned);
    task.ok_or_else(|| Mishap::Refused(path.to_owned(), status, answer))
}

/// A call without a body that must succeed.
async fn expect(client: &Client, method: Method, path: &str) -> Result<Value, Mishap> {
    let (status, answer) = call(client, method, path, Bytes::new()).await?;
    if status == StatusCode::OK { Ok(answer) } else { Err(Mishap::Refused(path.to_owned(), status, answer)) }
}

async fn call(client: &Client, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Value), Mishap> {
    client.call(method, path, body).await.map_err(|error| Mishap::Call(path.to_owned(), error))
}

/// Subscribes to a task for two events: how it stands, and the next piece of its work.
async fn follow(client: &Client, task: &str) -> Result<u64, Mishap> {
    let (path, mut events) = (path(task, ":subscribe"), 0);
    let count = |data: &Bytes| {
        events += events_in(data);
        events < 2
    };
    let status = client.watch(Method::POST, &path, Bytes::new(), count).await;
    match status.map_err(|error| Mishap::Call(path.clone(), error))? {
        StatusCode::OK => Ok(events),
        status => Err(Mishap::Refused(path, status, Value::Null)),
    }
}

fn text<'a>(answer: &'a Value, pointer: &str) -> Option<&'a str> {
    answer.pointer(pointer)?.as_str()
}

fn path(task: &str, verb: &str) -> String {
    format!("/team/tasks/{task}{verb}")
}

/// How many of the tasks each replica has.
fn shares(agents: &[Agent], tasks: &[String]) -> String {
    let share = |agent: &Agent| (tasks.iter().filter(|task| agent.holds(task)).count(), agent.personality().name());
    let shares = agents.iter().map(share).filter(|(count, _)| *count > 0);
    shares.map(|(count, name)| format!("{count} on {name}")).collect::<Vec<_>>().join(", ")
}

/// Where the replica is that has the most tasks, but not the first.
fn victim(agents: &[Agent], tasks: &[String], first: &str) -> Option<usize> {
    let candidates = agents.iter().enumerate();
    let candidates = candidates.filter(|(_, agent)| agent.personality().is_replica() && !agent.holds(first));
    let most = candidates.max_by_key(|(_, agent)| tasks.iter().filter(|task| agent.holds(task)).count());
    most.map(|(at, _)| at)
}

const TASKS: usize = 9;
const MESSAGE: &[u8] = br#"{"message":{"messageId":"1","role":"ROLE_USER","parts":[{"text":"hello"}]},"configuration":{"returnImmediately":true}}"#;
