//! What `affinity.rs` does, held to its promises.

use super::*;

const RETENTION: Retention = Retention { active: Duration::from_secs(100), ended: Duration::from_secs(10) };

struct Fixture {
    table: Arc<Affinity>,
    start: Instant,
    scope: Scope,
}

impl Fixture {
    fn new(limit: usize) -> Self {
        let start = Instant::now();
        Self { table: Affinity::new(limit, 7, start), start, scope: Scope::of_cluster("agents") }
    }

    fn key(&self, id: &str) -> HeldKey {
        self.table.key(self.scope, HeldKind::Task, id.as_bytes())
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn learn(&self, id: &str, owner: EndpointId, progress: Progress, at: u64) {
        let held = Held { kind: HeldKind::Task, owner, progress, maker: None };
        self.table.learn(self.key(id), held, None, RETENTION, self.at(at));
    }

    /// How long the task went on, if this says that it is over; `began` is when the call was made that began it.
    fn ends(&self, id: &str, owner: EndpointId, began: Option<u64>, at: u64) -> Option<u64> {
        let held = Held { kind: HeldKind::Task, owner, progress: Progress::Ended, maker: None };
        let began = began.map(|began| self.at(began));
        let took = self.table.learn(self.key(id), held, began, RETENTION, self.at(at));
        took.map(|took| took.as_secs())
    }

    fn owner(&self, id: &str, at: u64) -> Option<EndpointId> {
        self.table.owner(self.key(id), RETENTION, self.at(at))
    }
}

fn endpoints() -> [EndpointId; 2] {
    [EndpointId::next(), EndpointId::next()]
}

#[test]
fn what_an_agent_said_is_known_for_its_time_and_longer_while_it_is_used() {
    let (fixture, [one, two]) = (Fixture::new(100), endpoints());
    fixture.learn("a", one, Progress::Active, 0);
    fixture.learn("b", two, Progress::Active, 0);
    assert_eq!((fixture.owner("a", 99), fixture.owner("c", 0)), (Some(one), None));
    assert_eq!((fixture.owner("b", 100), fixture.owner("a", 190)), (None, Some(one)));
    assert_eq!(fixture.owner("a", 290), None);
}

#[test]
fn what_is_said_again_is_written_only_when_it_is_new_or_due() {
    let (fixture, [one, two]) = (Fixture::new(100), endpoints());
    for (again, owner, asked, expected) in
        [(5, one, 100, None), (50, one, 149, Some(one)), (5, two, 104, Some(two)), (50, two, 150, None)]
    {
        fixture.table.forget(fixture.key("a"));
        fixture.learn("a", one, Progress::Active, 0);
        fixture.learn("a", owner, Progress::Active, again);
        assert_eq!(fixture.owner("a", asked), expected, "said by {owner:?} at {again}, asked at {asked}");
    }
    fixture.learn("a", one, Progress::Active, 200);
    fixture.learn("a", one, Progress::Ended, 201);
    fixture.learn("a", one, Progress::Ended, 202);
    assert_eq!(fixture.owner("a", 211), None);
}

#[test]
fn what_is_over_is_known_for_a_shorter_time_and_counts_no_more() {
    let (fixture, [one, two]) = (Fixture::new(100), endpoints());
    fixture.learn("a", one, Progress::Active, 0);
    fixture.learn("b", one, Progress::Active, 0);
    fixture.learn("c", two, Progress::Active, 0);
    assert_eq!(fixture.table.active_tasks(fixture.at(1)), HashMap::from([(one, 2), (two, 1)]));
    fixture.learn("a", one, Progress::Ended, 1);
    assert_eq!(fixture.table.active_tasks(fixture.at(1)), HashMap::from([(one, 1), (two, 1)]));
    assert_eq!((fixture.owner("a", 9), fixture.owner("a", 20)), (Some(one), None));
    assert!(fixture.table.active_tasks(fixture.at(101)).is_empty());
    fixture.table.sweep(fixture.at(101));
    assert!(fixture.table.is_empty());
}

#[test]
fn the_end_of_a_task_is_told_once_with_its_time() {
    let (fixture, [one, two]) = (Fixture::new(100), endpoints());
    fixture.learn("a", one, Progress::Active, 10);
    fixture.learn("a", one, Progress::Active, 20);
    assert_eq!(fixture.ends("a", one, Some(25), 40), Some(30), "since it was first heard of");
    assert_eq!(fixture.ends("a", two, None, 41), None, "it is known to be over");
    assert_eq!(fixture.ends("b", one, Some(35), 42), Some(7), "over with the call that began it");
    assert_eq!(fixture.ends("b", one, Some(41), 43), None);
    assert_eq!(fixture.ends("c", one, None, 44), None, "nobody here saw it begin");
    assert_eq!(fixture.ends("a", one, None, 60), None, "forgotten, and asked for again");
    fixture.learn("d", one, Progress::Active, 100);
    fixture.learn("d", one, Progress::Active, 190);
    assert_eq!(fixture.ends("d", one, None, 250), Some(150));
}

#[test]
fn a_task_that_is_only_listed_does_not_count_and_stays_what_it_was() {
    let (fixture, [one, two]) = (Fixture::new(100), endpoints());
    let hear_of = |id: &str, owner, at| {
        fixture.table.hear_of(fixture.key(id), HeldKind::Task, owner, RETENTION, fixture.at(at));
    };
    fixture.learn("active", one, Progress::Active, 0);
    fixture.learn("ended", one, Progress::Ended, 0);
    for id in ["active", "ended", "other"] {
        hear_of(id, one, 5);
    }
    assert_eq!(fixture.table.active_tasks(fixture.at(5)), HashMap::from([(one, 1)]));
    let owners = |at| ["active", "ended", "other"].map(|id| fixture.owner(id, at));
    assert_eq!(owners(14), [Some(one); 3]);
    assert_eq!(owners(30), [Some(one), None, Some(one)], "one that is over is kept as such");
    hear_of("active", two, 40);
    assert_eq!(fixture.owner("active", 40), Some(two));
    assert!(fixture.table.active_tasks(fixture.at(40)).is_empty(), "nobody knows how far it is there");
}

#[test]
fn what_is_over_stays_over_unless_another_call_begins_it_or_another_endpoint_has_it() {
    let (fixture, [one, two]) = (Fixture::new(100), endpoints());
    fixture.learn("a", one, Progress::Ended, 0);
    fixture.learn("a", one, Progress::Active, 1);
    assert!(fixture.table.active_tasks(fixture.at(1)).is_empty(), "an answer that was older");
    let held = Held { kind: HeldKind::Task, owner: one, progress: Progress::Active, maker: None };
    fixture.table.learn(fixture.key("a"), held, Some(fixture.at(2)), RETENTION, fixture.at(2));
    assert_eq!(fixture.table.active_tasks(fixture.at(2)), HashMap::from([(one, 1)]), "begun anew");
    fixture.learn("a", one, Progress::Ended, 3);
    fixture.learn("a", two, Progress::Active, 4);
    assert_eq!(fixture.table.active_tasks(fixture.at(4)), HashMap::from([(two, 1)]));
}

#[test]
fn ids_of_other_clusters_and_kinds_are_others() {
    let (fixture, [one, _]) = (Fixture::new(100), endpoints());
    fixture.learn("a", one, Progress::Active, 0);
    let table = &fixture.table;
    for (cluster, kind, expected) in [
        ("agents", HeldKind::Task, Some(one)),
        ("agents", HeldKind::Context, None),
        ("agents", HeldKind::Session, None),
        ("others", HeldKind::Task, None),
    ] {
        let key = table.key(Scope::of_cluster(cluster), kind, b"a");
        assert_eq!(table.owner(key, RETENTION, fixture.start), expected, "{cluster} {kind:?}");
    }
    table.forget(fixture.key("a"));
    assert_eq!(fixture.owner("a", 0), None);
    let by_header = |name: &str| table.key(fixture.scope.of_header(HeaderScope::of(name)), HeldKind::Session, b"1");
    assert_ne!(by_header("x-one"), by_header("x-two"));
}

#[test]
fn what_was_made_keeps_its_maker() {
    let (fixture, [one, two]) = (Fixture::new(100), endpoints());
    let [ann, bob] = [1, 2].map(|number| Some(Maker(NonZeroU64::new(number).unwrap())));
    let learn = |id: &str, owner, maker, at| {
        let held = Held { kind: HeldKind::Task, owner, progress: Progress::Active, maker };
        fixture.table.learn(fixture.key(id), held, None, RETENTION, fixture.at(at));
    };
    let maker = |id: &str, at| fixture.table.maker(fixture.key(id), fixture.at(at));
    learn("a", one, ann, 0);
    learn("a", one, None, 1);
    learn("a", one, bob, 2);
    assert_eq!(maker("a", 3), ann, "said again, to whomever");
    learn("a", two, None, 4);
    assert_eq!(maker("a", 5), ann, "agents may share their tasks");
    fixture.table.hear_of(fixture.key("a"), HeldKind::Task, two, RETENTION, fixture.at(6));
    assert_eq!(maker("a", 7), ann);
    learn("a", one, bob, 8);
    assert_eq!(maker("a", 9), bob, "another endpoint made another task of that name");
    learn("b", one, None, 0);
    learn("b", one, bob, 1);
    assert_eq!(maker("b", 2), None, "it was there before");
    assert_eq!(maker("a", 108), None, "forgotten");
    learn("a", one, ann, 108);
    assert_eq!(maker("a", 109), ann);
}

#[test]
fn it_never_holds_more_than_it_may() {
    let (fixture, [one, _]) = (Fixture::new(1_000), endpoints());
    for id in 0..5_000 {
        fixture.learn(&id.to_string(), one, Progress::Active, 0);
    }
    let (len, capacity) = (fixture.table.len() as u64, fixture.table.capacity());
    assert!(len <= capacity && capacity < 1_100, "{len} of {capacity}");
    assert!(len > 900, "{len}");
}
