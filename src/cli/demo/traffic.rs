//! The demo's own traffic: a few calls a second through the gateway's front door, and one line that counts them.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::{Instant, interval, timeout};

use super::client::{CALL_LIMIT, Client, events_in};
use crate::observe::stderr::Stderr;

/// A client and its counts.
pub(super) struct Traffic<'a> {
    client: &'a Client,
    stderr: Stderr,
    calls: Cell<u64>,
    refused: Cell<u64>,
    events: Cell<u64>,
}

impl<'a> Traffic<'a> {
    /// No call yet.
    pub(super) fn new(client: &'a Client, stderr: Stderr) -> Self {
        let (calls, refused, events) = <_>::default();
        Self { client, stderr, calls, refused, events }
    }

    /// Sends calls until the future is dropped.
    pub(super) async fn run(&self) {
        tokio::join!(self.send_often(), self.stream_often(), self.tell());
    }

    /// The counts in one line.
    pub(super) fn so_far(&self) -> String {
        format!(
            "traffic: {} calls, {} failed (the flaky agent's doing), {} stream events",
            self.calls.get(),
            self.refused.get(),
            self.events.get()
        )
    }

    async fn send_often(&self) {
        let mut pace = interval(Duration::from_millis(400));
        let agents = ["/fast/message:send", "/second/message:send", "/team/message:send", "/flaky/message:send"];
        for path in agents.into_iter().cycle() {
            pace.tick().await;
            self.count(path).await;
        }
    }

    async fn stream_often(&self) {
        let mut pace = interval(Duration::from_secs(10));
        loop {
            pace.tick().await;
            self.count("/slow/message:stream").await;
        }
    }

    /// Says how it goes: in place on a terminal, once in a while elsewhere.
    async fn tell(&self) {
        let is_terminal = io::stderr().is_terminal();
        let pace = if is_terminal { Duration::from_secs(1) } else { Duration::from_secs(30) };
        let mut pace = tokio::time::interval_at(Instant::now() + pace, pace);
        loop {
            pace.tick().await;
            self.stderr.write(if is_terminal {
                format!("\r{}", self.so_far())
            } else {
                format!("{}\n", self.so_far())
            });
        }
    }

    async fn count(&self, path: &'static str) {
        let count_events = |data: &Bytes| {
            self.events.set(self.events.get() + events_in(data));
            true
        };
        let call = self.client.watch(Method::POST, path, Bytes::from_static(MESSAGE), count_events);
        let answered = timeout(CALL_LIMIT, Box::pin(call)).await;
        self.calls.set(self.calls.get() + 1);
        if !matches!(answered, Ok(Ok(StatusCode::OK))) {
            self.refused.set(self.refused.get() + 1);
        }
    }
}

/// The agents whose work is long answer before it is done.
const MESSAGE: &[u8] = br#"{"message":{"messageId":"1","role":"ROLE_USER","parts":[{"text":"traffic"}]},"configuration":{"returnImmediately":true}}"#;
