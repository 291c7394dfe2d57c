//! Tasks that go on at agents, as far as this gateway knows. The gateway keeps no ids of tasks, only hashes of them:
//! who knows an id can ask where its task is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::cluster::{EndpointId, HeldKind, Progress, Scope, TaskAge};
use crate::snapshot::Snapshot;

/// Tasks.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct Tasks {
    /// Tasks that go on.
    active: usize,
    endpoints: Vec<EndpointTasks>,
    /// Those known longest.
    oldest: Vec<TaskView>,
    /// Where the task is that was asked for: in each cluster that knows it.
    found: Vec<TaskView>,
}

/// Tasks of one endpoint.
#[derive(Debug, Serialize, JsonSchema)]
struct EndpointTasks {
    cluster: String,
    endpoint: String,
    active: usize,
}

/// One task.
#[derive(Debug, Serialize, JsonSchema)]
struct TaskView {
    cluster: String,
    /// Null when its endpoint is gone.
    endpoint: Option<String>,
    /// `active`, `ended` or `unknown`.
    progress: &'static str,
    /// Seconds for which it has been known.
    age: f64,
}

type Places = BTreeMap<EndpointId, (String, String)>;

/// All counts, the `most` oldest tasks, and where the task of this id is.
pub(in crate::admin) fn list(snapshot: &Snapshot, most: usize, id: Option<&str>) -> Tasks {
    let (affinity, now) = (&snapshot.agents.affinity, Instant::now());
    let mut places = Places::new();
    for cluster in &snapshot.clusters {
        for endpoint in &cluster.members().endpoints {
            places.insert(endpoint.id, (cluster.name.to_string(), endpoint.address.to_string()));
        }
    }
    let active = affinity.active_tasks(now);
    let sum = active.values().sum();
    let mut endpoints: Vec<EndpointTasks> = active
        .into_iter()
        .filter_map(|(id, active)| {
            let (cluster, endpoint) = places.get(&id)?.clone();
            Some(EndpointTasks { cluster, endpoint, active })
        })
        .collect();
    endpoints.sort_by(|one, other| (&one.cluster, &one.endpoint).cmp(&(&other.cluster, &other.endpoint)));
    let (oldest, _) = affinity.oldest_tasks(now, most);
    let found = id.into_iter().flat_map(|id| {
        snapshot.clusters.iter().filter_map(|cluster| {
            let key = affinity.key(Scope::of_cluster(&cluster.name), HeldKind::Task, id.as_bytes());
            let task = affinity.look(key, now)?;
            Some(TaskView { cluster: cluster.name.to_string(), ..view(task, &places) })
        })
    });
    Tasks {
        active: sum,
        found: found.collect(),
        oldest: oldest.into_iter().map(|task| view(task, &places)).collect(),
        endpoints,
    }
}

fn view(task: TaskAge, places: &Places) -> TaskView {
    let (cluster, endpoint) = places.get(&task.owner).cloned().unzip();
    let progress = match task.progress {
        Progress::Active => "active",
        Progress::Ended => "ended",
        Progress::Unknown => "unknown",
    };
    TaskView { cluster: cluster.unwrap_or_else(|| "-".to_owned()), endpoint, progress, age: task.age.as_secs_f64() }
}
