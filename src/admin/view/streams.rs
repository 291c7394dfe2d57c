//! Streams that are open.

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use super::moment;
use crate::observe::live::{OpenStreams, StreamFacts, StreamNow};

/// Open streams, the oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct Streams {
    streams: Vec<StreamView>,
    /// How many more there are.
    left_out: usize,
}

/// One stream.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StreamView {
    request_id: String,
    /// When its request came.
    since: String,
    /// Seconds.
    age: f64,
    /// Seconds since the last piece came.
    last_event: f64,
    /// Pieces that came: nearly always one for each event.
    events: u64,
    bytes: u64,
    route: String,
    cluster: String,
    endpoint: String,
    client: String,
    principal: Option<String>,
    operation: Option<&'static str>,
    task: Option<String>,
    context: Option<String>,
}

/// At most `most` streams that `wants`.
pub(in crate::admin) fn list(streams: &OpenStreams, most: usize, wants: impl Fn(&StreamFacts) -> bool) -> Streams {
    let (streams, left_out) = streams.list(Instant::now(), most, wants);
    Streams { streams: streams.into_iter().map(StreamView::of).collect(), left_out }
}

impl StreamView {
    fn of(stream: StreamNow) -> Self {
        let StreamNow { facts, age, silent, pieces, bytes } = stream;
        Self {
            request_id: facts.request_id,
            since: moment(facts.time),
            age: age.as_secs_f64(),
            last_event: silent.as_secs_f64(),
            events: pieces,
            bytes,
            route: facts.route,
            cluster: facts.cluster,
            endpoint: facts.endpoint,
            client: facts.client.to_canonical().to_string(),
            principal: facts.principal,
            operation: facts.operation,
            task: facts.task,
            context: facts.context,
        }
    }
}
