//! What is held against clients, over time and in a crowd.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn settings() -> AuthFailures {
    AuthFailures {
        slow_after: 3,
        delay: SECOND,
        max_delay: 4 * SECOND,
        block_after: Some(8),
        block_for: 60 * SECOND,
        forget_after: 600 * SECOND,
        max_clients: 4,
        ..AuthFailures::default()
    }
}

fn client(text: &str) -> Client {
    Client::new(text.parse().unwrap(), 64)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_sweep_lets_nobody_slip_through() {
    let (now, settings) = (Instant::now(), settings());
    let table = FailureTable::new(now);
    for last in 1..=4 {
        table.failed(client(&format!("192.0.2.{last}")), &settings, now);
    }
    let crowded = client("192.0.2.99");
    for _ in 0..8 {
        table.failed(crowded, &settings, now);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                table.sweep(&settings, now);
            }
        });
        let slipped = (0..100_000).filter(|_| table.state(crowded, &settings, now) == ClientState::Free).count();
        done.store(true, Ordering::Relaxed);
        assert_eq!(slipped, 0);
    });
}

#[test]
fn waits_grow_and_end_in_a_block() {
    let (now, settings) = (Instant::now(), settings());
    let table = FailureTable::new(now);
    let one = client("192.0.2.1");
    assert_eq!(table.state(one, &settings, now), ClientState::Free);
    let states: Vec<_> = (0..9).map(|_| table.failed(one, &settings, now).state).collect();
    let slowed = |seconds| ClientState::Slowed(seconds * SECOND);
    let blocked = ClientState::Blocked(60 * SECOND);
    assert_eq!(
        states,
        [
            ClientState::Free,
            ClientState::Free,
            ClientState::Free,
            slowed(1),
            slowed(2),
            slowed(4),
            slowed(4),
            blocked,
            blocked
        ]
    );
    assert_eq!(table.state(one, &settings, now + 59 * SECOND), ClientState::Blocked(SECOND));
    assert_eq!(table.state(one, &settings, now + 60 * SECOND), ClientState::Free);
    assert_eq!(table.state(client("192.0.2.2"), &settings, now), ClientState::Free, "nobody else");
}

#[test]
fn who_was_blocked_is_let_in_and_not_trusted() {
    let (now, settings) = (Instant::now(), settings());
    let table = FailureTable::new(now);
    let one = client("192.0.2.1");
    for _ in 0..8 {
        table.failed(one, &settings, now);
    }
    let later = now + 60 * SECOND;
    assert_eq!(table.failed(one, &settings, later).state, ClientState::Slowed(SECOND), "slowed from the first on");
    let after: Vec<_> = (0..4).map(|_| table.failed(one, &settings, later).state).collect();
    assert_eq!(after.last(), Some(&ClientState::Blocked(60 * SECOND)));
    let much_later = later + 60 * SECOND + settings.forget_after;
    assert_eq!(
        table.failed(one, &settings, much_later),
        Failed { state: ClientState::Free, failures: 1, is_new_block: false }
    );
}

#[test]
fn never_blocking_only_slows() {
    let (now, settings) = (Instant::now(), AuthFailures { block_after: None, ..settings() });
    let table = FailureTable::new(now);
    let last = (0..10_000).map(|_| table.failed(client("::1"), &settings, now).state).last();
    assert_eq!(last, Some(ClientState::Slowed(4 * SECOND)));
}

#[test]
fn an_ipv6_client_is_its_network_and_exempt_ones_are_not_counted() {
    let now = Instant::now();
    let settings = AuthFailures { exempt: vec!["10.0.0.0/8".parse().unwrap()], ..settings() };
    let table = FailureTable::new(now);
    for host in 0..8 {
        let address = Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | host);
        table.failed(Client::new(address.into(), 64), &settings, now);
        table.failed(client("10.1.2.3"), &settings, now);
    }
    assert_eq!(table.state(client("2001:db8::ffff"), &settings, now), ClientState::Blocked(60 * SECOND));
    assert_eq!(table.state(client("2001:db8:0:1::"), &settings, now), ClientState::Free);
    assert_eq!(table.state(client("::ffff:10.1.2.3"), &settings, now), ClientState::Free);
    assert_eq!(table.clients(), 1);
    let blocked = table.blocked(now, 10);
    assert_eq!((blocked.len(), blocked[0].address, blocked[0].failures), (1, "2001:db8::".parse().unwrap(), 8));
    assert!(table.forgive("2001:db8::/64".parse().unwrap()));
    assert_eq!((table.state(client("2001:db8::1"), &settings, now), table.clients()), (ClientState::Free, 0));
    assert!(!table.forgive("2001:db8::/64".parse().unwrap()));
}

/// More addresses than there are places.
#[test]
fn many_addresses_free_nobody_and_are_slowed_together() {
    let (now, settings) = (Instant::now(), settings());
    let table = FailureTable::new(now);
    let known: Vec<_> = (1..=4).map(|last| client(&format!("192.0.2.{last}"))).collect();
    for one in &known {
        for _ in 0..8 {
            table.failed(*one, &settings, now);
        }
    }
    // A million networks of one owner: each fails once.
    let stranger =
        |network: u32| Client::new(Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(network) << 64).into(), 64);
    let mut passed = 0;
    for network in 0..1_000_000 {
        if table.state(stranger(network), &settings, now) == ClientState::Free {
            passed += 1;
            table.failed(stranger(network), &settings, now);
        }
    }
    assert_eq!(passed, settings.slow_after + 1, "all together have the tries of one");
    assert_eq!((table.clients(), table.take_overflowed()), (4, u64::from(passed)));
    for one in &known {
        assert_eq!(table.state(*one, &settings, now), ClientState::Blocked(60 * SECOND), "still");
    }
    let others = (0..100_u32).filter(|owner| {
        let other = Client::new(Ipv6Addr::from_bits(u128::from(0x2a00_0000 + owner) << 96).into(), 64);
        table.state(other, &settings, now) == ClientState::Free
    });
    assert!(others.count() >= 95, "other owners are in other groups");
    let later = now + SECOND;
    assert_eq!(table.state(stranger(7), &settings, later), ClientState::Free, "the wait of a group ends");
    let last = (0..100).map(|_| table.failed(stranger(7), &settings, later).state).last();
    assert_eq!(last, Some(ClientState::Slowed(4 * SECOND)), "and never becomes a block");
    table.sweep(&settings, later + settings.forget_after + 60 * SECOND);
    assert_eq!(table.clients(), 0);
    assert!(!table.is_crowded.load(Ordering::Relaxed), "and costs nothing again");
    assert_eq!(table.failed(stranger(1), &settings, later).failures, 1, "there is room again");
}

proptest! {
    #[test]
    fn nobody_is_let_in_early(gaps in proptest::collection::vec(0_u64..100_000, 1..60)) {
        let (settings, began) = (settings(), Instant::now());
        let (table, one) = (FailureTable::new(began), Client::new(Ipv4Addr::LOCALHOST.into(), 64));
        let (mut now, mut tries) = (began, Vec::new());
        for gap in gaps {
            now += Duration::from_millis(gap);
            if table.state(one, &settings, now) == ClientState::Free {
                tries.push(now);
                table.failed(one, &settings, now);
            }
        }
        // Slowed from the fourth on, it has at most that many tries in a second, however it spreads them.
        for first in &tries {
            let close = tries.iter().filter(|at| **at >= *first && at.duration_since(*first) < SECOND);
            prop_assert!(close.count() <= 4);
        }
    }
}
