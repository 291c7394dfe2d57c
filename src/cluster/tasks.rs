//! Tasks of agents at the endpoints of a cluster: how many go on, and which removed endpoints have none left.

use std::collections::HashMap;

use tokio::time::Instant;
use tracing::{info, warn};

use super::Cluster;
use super::endpoint::EndpointId;

/// Tasks of a cluster's agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCount {
    /// Those that go on.
    pub active: usize,
    /// Those that were given up since the count before, because the drain of their endpoint was over.
    pub cut: usize,
}

impl Cluster {
    /// Takes in how many tasks go on at each endpoint, and lets go of removed ones that have none left or whose time is
    /// over.
    pub fn note_tasks(&self, active: &HashMap<EndpointId, usize>, now: Instant) -> TaskCount {
        let members = self.members();
        let mut count = TaskCount::default();
        for endpoint in &members.endpoints {
            let is_gone = endpoint.is_gone(now);
            let before = endpoint.tasks() as usize;
            if is_gone && before > 0 {
                count.cut += before;
                let (cluster, endpoint) = (&self.name, endpoint.address);
                warn!(%cluster, %endpoint, tasks = before, "a drain is over, and tasks that went on are given up");
            }
            let tasks = if is_gone { 0 } else { active.get(&endpoint.id).copied().unwrap_or_default() };
            endpoint.note_tasks(tasks);
            count.active += tasks;
        }
        if members.endpoints.iter().any(|endpoint| endpoint.was_removed && endpoint.tasks() == 0) {
            let mut roster = self.roster();
            let endpoints = self.settle(&mut roster, now);
            info!(cluster = %self.name, endpoints, "removed endpoints have no tasks left");
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::discovery::dns::Resolutions;
    use super::super::tests::{build, settings, socket};
    use super::*;
    use crate::config::model;
    use crate::outcome::{Outcome, Transport};

    const DRAIN: Duration = Duration::from_secs(300);

    fn cluster(weights: &[(&str, u32)], previous: Option<&Cluster>) -> Cluster {
        let members = weights.iter().map(|(address, weight)| socket(address, *weight)).collect();
        let settings = model::Cluster { drain_tasks: Some(DRAIN), ..settings(members) };
        build(settings, previous, &Resolutions::new())
    }

    /// Two endpoints, the first of which holds two tasks.
    fn holding() -> (Cluster, HashMap<EndpointId, usize>) {
        let cluster = cluster(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)], None);
        let active = HashMap::from([(cluster.members().endpoints[0].id, 2)]);
        assert_eq!(cluster.note_tasks(&active, Instant::now()), TaskCount { active: 2, cut: 0 });
        (cluster, active)
    }

    fn addresses(cluster: &Cluster) -> Vec<String> {
        cluster.members().endpoints.iter().map(|one| format!("{}*{}", one.address, one.weight)).collect()
    }

    #[test]
    fn a_removed_endpoint_stays_for_its_tasks_and_no_longer() {
        let (before, active) = holding();
        let after = cluster(&[("10.0.0.2:80", 1)], Some(&before));
        assert_eq!(addresses(&after), ["10.0.0.2:80*1", "10.0.0.1:80*0"]);
        let (old, kept) = (before.members(), after.members());
        assert_eq!((kept.endpoints[1].id, kept.endpoints[1].tasks()), (old.endpoints[0].id, 2));
        assert!(!kept.endpoints[1].is_gone(Instant::now()));
        assert_eq!(after.note_tasks(&active, Instant::now()), TaskCount { active: 2, cut: 0 });
        let again = cluster(&[("10.0.0.2:80", 1)], Some(&after));
        assert_eq!(addresses(&again), ["10.0.0.2:80*1", "10.0.0.1:80*0"], "another reload changes nothing");
        assert!(Arc::ptr_eq(&again.members().endpoints[1], &kept.endpoints[1]));
        assert_eq!(again.note_tasks(&HashMap::new(), Instant::now()), TaskCount::default());
        assert_eq!(addresses(&again), ["10.0.0.2:80*1"]);
        assert_eq!(again.generation(), again.members().generation);
    }

    #[test]
    fn one_without_tasks_goes_at_once_and_so_do_all_where_nobody_waits() {
        let (before, _) = holding();
        let after = cluster(&[("10.0.0.1:80", 1)], Some(&before));
        assert_eq!(addresses(&after), ["10.0.0.1:80*1"]);
        let off = model::Cluster { drain_tasks: None, ..settings(vec![socket("10.0.0.2:80", 1)]) };
        let after = build(off, Some(&before), &Resolutions::new());
        assert_eq!(addresses(&after), ["10.0.0.2:80*1"]);
    }

    #[test]
    fn a_task_that_has_just_begun_counts_at_once() {
        let before = cluster(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)], None);
        before.members().endpoints[0].holds_task(Instant::now());
        let after = cluster(&[("10.0.0.2:80", 1)], Some(&before));
        assert_eq!(addresses(&after), ["10.0.0.2:80*1", "10.0.0.1:80*0"]);
    }

    #[test]
    fn the_deadline_cuts_what_goes_on() {
        let (before, active) = holding();
        let drained = cluster(&[("10.0.0.1:80", 0), ("10.0.0.2:80", 1)], Some(&before));
        let removed = cluster(&[("10.0.0.2:80", 1)], Some(&before));
        let late = Instant::now() + DRAIN;
        for (after, left) in [(drained, &["10.0.0.1:80*0", "10.0.0.2:80*1"][..]), (removed, &["10.0.0.2:80*1"])] {
            let members = after.members();
            let endpoint = members.endpoints.iter().find(|one| one.weight == 0).unwrap();
            assert!(!endpoint.is_gone(Instant::now()) && endpoint.is_gone(late));
            endpoint.note_tasks(2);
            assert_eq!(after.note_tasks(&active, late), TaskCount { active: 0, cut: 2 });
            assert_eq!(after.note_tasks(&active, late), TaskCount::default(), "told once");
            assert_eq!(addresses(&after), left);
        }
    }

    #[test]
    fn a_removed_endpoint_that_does_not_answer_is_gone() {
        let (before, active) = holding();
        let after = cluster(&[("10.0.0.2:80", 1)], Some(&before));
        let (members, now) = (after.members(), Instant::now());
        for _ in 0..10 {
            after.detector.report(&members.endpoints[1], Outcome::ended(Transport::ConnectFailed), None, now);
        }
        assert_eq!(after.note_tasks(&active, now), TaskCount { active: 0, cut: 2 });
        assert_eq!(addresses(&after), ["10.0.0.2:80*1"]);
    }

    #[test]
    fn one_that_comes_back_is_the_same_and_one_that_drains_goes_on_draining() {
        let (before, _) = holding();
        let removed = cluster(&[("10.0.0.2:80", 1)], Some(&before));
        let until = removed.members().endpoints[1].drains_until;
        assert!(until.is_some());
        let drained = cluster(&[("10.0.0.1:80", 0), ("10.0.0.2:80", 1)], Some(&removed));
        assert_eq!(drained.members().endpoints[0].drains_until, until, "its time goes on");
        let back = cluster(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)], Some(&drained));
        let endpoint = Arc::clone(&back.members().endpoints[0]);
        assert_eq!((endpoint.id, endpoint.tasks()), (before.members().endpoints[0].id, 2));
        assert_eq!((endpoint.drains_until, endpoint.was_removed), (None, false));
    }
}
