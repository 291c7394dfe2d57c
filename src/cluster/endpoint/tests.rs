//! What `endpoint.rs` does, held to its promises.

use std::rc::Rc;

use super::*;

fn endpoint(name: &str) -> Endpoint {
    Endpoint::new(SocketAddr::from(([10, 0, 0, 1], 80)), name, 1, BTreeMap::new())
}

#[test]
fn counts_while_the_guard_lives() {
    struct Local(Arc<Endpoint>);
    impl AsRef<Endpoint> for Local {
        fn as_ref(&self) -> &Endpoint {
            &self.0
        }
    }
    let endpoint = Arc::new(endpoint("a:80"));
    let first = InFlight::new(Arc::clone(&endpoint));
    let second = InFlight::new(Rc::new(Local(Arc::clone(&endpoint))));
    assert_eq!(endpoint.in_flight(), 2);
    assert_eq!(second.endpoint().id, endpoint.id);
    drop(first);
    assert_eq!(endpoint.in_flight(), 1);
    drop(second);
    assert_eq!(endpoint.in_flight(), 0);
}

#[test]
fn an_agent_means_itself_by_several_names() {
    let mut endpoint = endpoint("a:80");
    endpoint.grpc = Some(Binding { address: ([10, 0, 0, 2], 81).into(), name: "a:81".into() });
    for (host, port, is_at, means_itself) in [
        ("10.0.0.1", 80, true, true),
        ("10.0.0.2", 81, true, true),
        ("10.0.0.2", 80, false, false),
        ("10.0.0.1", 82, false, false),
        ("localhost", 80, false, true),
        ("[::1]", 81, false, true),
        ("0.0.0.0", 82, false, false),
        ("a", 80, false, false),
    ] {
        let found = (endpoint.is_at(host, port), endpoint.means_itself(host, port));
        assert_eq!(found, (is_at, means_itself), "{host}:{port}");
    }
}

#[test]
fn what_every_worker_writes_fits_the_lines_it_has() {
    assert_eq!(size_of::<Live>(), 128);
}

#[test]
fn warms_up_from_a_tenth_to_all_of_its_weight() {
    let endpoint = endpoint("a:80");
    let start = Instant::now() + Duration::from_secs(60);
    let window = Duration::from_secs(30);
    let at = |seconds| endpoint.warmth(window, start + Duration::from_secs(seconds));
    assert_eq!(at(0), FULL, "one that was there from the start is warm");
    endpoint.warm_up(start);
    for (seconds, share) in [(0, 102), (1, 102), (3, 102), (6, 204), (15, 512), (27, 921)] {
        assert_eq!(at(seconds), share, "{seconds} s");
    }
    assert_eq!((at(30), at(3_000)), (FULL, FULL));
    assert!(endpoint.is_warming(window, start - window));
    assert!(!endpoint.is_warming(window, start + window));
}

#[test]
fn a_pardon_ends_an_ejection_but_not_its_memory() {
    let endpoint = endpoint("a:80");
    let now = Instant::now();
    let window = Duration::from_secs(30);
    endpoint.pardon(now);
    assert!(!endpoint.is_warming(window, now), "it was not out");
    let record = &endpoint.live.record;
    record.eject(endpoint.live.born, now + window, true);
    assert!(endpoint.is_ejected(now));
    endpoint.pardon(now);
    assert!(!endpoint.is_ejected(now) && endpoint.is_warming(window, now));
    assert_eq!(record.times(), 1);
}
