//! The slots for connections of metrics, probes and the admin API, and which connection is closed when all are taken. A
//! connection without a complete head never blocks another one, and probes have slots of their own.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What holds a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// An IPv4 address, or the /64 of an IPv6 address.
    Network(IpAddr),
    /// A user of this machine.
    User(u32),
}

impl Peer {
    pub(super) fn at(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Self::Network(IpAddr::V6(network.into()))
            }
            address => Self::Network(address),
        }
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its head is not complete.
    Silent,
    /// It asked how the gateway is.
    Probe,
    /// It asked for anything else.
    Asked,
    /// Its answer goes on.
    Following,
}

/// What the connections of one listener hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(Arc<Mutex<Table>>);

/// In order of arrival.
#[derive(Debug, Default)]
struct Table {
    held: Vec<Held>,
    next: u64,
}

#[derive(Debug)]
struct Held {
    id: u64,
    peer: Peer,
    stage: Stage,
    cut: CancellationToken,
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    places: Slots,
    id: u64,
    /// Cancelled when it has to give way.
    pub(super) cut: CancellationToken,
    /// When its reader took something last, once its answer goes on.
    moved: Mutex<Option<Instant>>,
}

impl Slots {
    /// A slot for a connection. When none is free, the oldest silent connection is closed.
    pub(super) fn take(&self, peer: Peer) -> Slot {
        let cut = CancellationToken::new();
        let id = self.with(|table| {
            table.make_room(Stage::Silent, peer);
            table.next += 1;
            let held = Held { id: table.next, peer, stage: Stage::Silent, cut: cut.clone() };
            table.held.push(held);
            table.next
        });
        Slot { places: self.clone(), id, cut, moved: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Slot {
    /// Says that the request is known now; false when there are too many of its kind.
    pub(super) fn asks(&self, is_probe: bool) -> bool {
        self.places.with(|table| {
            let Some(peer) = table.find(self.id).map(|held| held.peer) else {
                return false;
            };
            let stage = if is_probe { Stage::Probe } else { Stage::Asked };
            if is_probe {
                table.make_room(stage, peer);
            } else if table.gives_way(stage, peer).is_some() {
                return false;
            }
            if let Some(held) = table.find(self.id) {
                held.stage = stage;
            }
            true
        })
    }

    /// Its answer will go on; false when too many do already.
    pub(super) fn follows(&self) -> bool {
        let may = self.places.with(|table| {
            let following = table.held.iter().filter(|held| held.stage == Stage::Following).count();
            let place = table.find(self.id).filter(|_| following < FOLLOWING);
            place.map(|held| held.stage = Stage::Following).is_some()
        });
        if may {
            self.moves();
        }
        may
    }

    /// Its reader takes more of an answer that goes on.
    pub(super) fn moves(&self) {
        *self.moved() = Some(Instant::now());
    }

    /// For how long its reader has taken nothing of an answer that goes on; `None` where the answer has an end.
    pub(super) fn stalled(&self) -> Option<Duration> {
        self.moved().map(|moved| moved.elapsed())
    }

    fn moved(&self) -> MutexGuard<'_, Option<Instant>> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its request is not known yet.
    pub(super) fn is_silent(&self) -> bool {
        let silent = |held: &mut Held| held.stage == Stage::Silent;
        self.places.with(|table| table.find(self.id).is_some_and(silent))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.places.with(|table| table.held.retain(|held| held.id != self.id));
    }
}

impl Table {
    fn find(&mut self, id: u64) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.id == id)
    }

    fn make_room(&mut self, stage: Stage, peer: Peer) {
        if let Some(at) = self.gives_way(stage, peer) {
            self.held.remove(at).cut.cancel();
        }
    }

    /// The connection to close for a new one of `peer`: the peer's own oldest one when it has its share, else the
    /// oldest one of the peer that holds the most.
    fn gives_way(&self, stage: Stage, peer: Peer) -> Option<usize> {
        let at_stage = || {
            let all = self.held.iter().enumerate();
            all.filter(move |(_, held)| held.stage == stage)
        };
        let held_by = |peer: Peer| at_stage().filter(|(_, held)| held.peer == peer).count();
        let oldest_of = |peer: Peer| at_stage().find(|(_, held)| held.peer == peer);
        let found = if held_by(peer) >= SHARE {
            oldest_of(peer)
        } else if at_stage().count() >= MOST {
            // Of several that hold as many the first is taken: `max_by_key` would take the last.
            let most = at_stage().rev().max_by_key(|(_, held)| held_by(held.peer));
            most.and_then(|(_, held)| oldest_of(held.peer))
        } else {
            None
        };
        found.map(|(at, _)| at)
    }
}

/// Answers that go on at a time.
const FOLLOWING: usize = 16;
/// Places at each stage.
pub(super) const MOST: usize = 64;
/// How many of these one peer may hold.
const SHARE: usize = MOST / 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> Peer {
        Peer::at(IpAddr::from([10, 0, 0, number]))
    }

    fn take(places: &Slots, number: u8) -> Slot {
        places.take(peer(number))
    }

    #[test]
    fn who_is_silent_gives_way() {
        let places = Slots::default();
        let gone = |held: &[Slot]| held.iter().filter(|place| place.cut.is_cancelled()).count();
        let greedy: Vec<Slot> = (0..70).map(|_| take(&places, 1)).collect();
        assert_eq!(gone(&greedy), 70 - SHARE, "a share for each peer");
        assert!(greedy[0].cut.is_cancelled() && !greedy[69].cut.is_cancelled());
        let others: Vec<Slot> = (2..=49).map(|number| take(&places, number)).collect();
        assert_eq!((gone(&greedy), gone(&others)), (70 - SHARE, 0), "all taken");
        let more: Vec<Slot> = (50..60).map(|number| take(&places, number)).collect();
        let lost = (gone(&greedy), gone(&others), gone(&more));
        assert_eq!(lost, (80 - SHARE, 0, 0), "who holds most gives way");
        drop((greedy, others, more));
        assert_eq!(places.with(|table| table.held.len()), 0);
    }

    #[test]
    fn the_oldest_gives_way_where_all_hold_one() {
        let places = Slots::default();
        let held: Vec<Slot> = (1..=64).map(|number| take(&places, number)).collect();
        let _one_more = take(&places, 100);
        let gone: Vec<bool> = held.iter().map(|place| place.cut.is_cancelled()).collect();
        assert!(gone[0] && gone[1..].iter().all(|gone| !gone));
    }

    #[test]
    fn who_has_asked_is_not_cut_for_others_and_probes_have_their_own_places() {
        let places = Slots::default();
        let asking: Vec<Slot> = (0..SHARE).map(|_| take(&places, 1)).collect();
        assert!(asking.iter().all(|place| place.asks(false)));
        assert!(!take(&places, 1).asks(false), "more than its share");
        assert!(take(&places, 2).asks(false), "another peer");
        let probes: Vec<Slot> = (0..70).map(|_| take(&places, 1)).collect();
        let last = probes.last().unwrap();
        assert!(last.is_silent() && last.asks(true) && !last.is_silent());
        assert!(asking.iter().all(|place| !place.cut.is_cancelled()));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_go_on_have_places_of_their_own() {
        let places = Slots::default();
        let following: Vec<Slot> = (0..FOLLOWING).map(|_| take(&places, 1)).collect();
        assert!(following.iter().all(|place| place.asks(false) && place.follows()));
        let late = take(&places, 1);
        assert!(late.asks(false) && !late.follows(), "as many as may follow do");
        assert_eq!(late.stalled(), None);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(following[0].stalled(), Some(Duration::from_secs(3)));
        following[0].moves();
        assert_eq!(following[0].stalled(), Some(Duration::ZERO));
        drop(following);
        assert!(late.follows());
    }

    #[test]
    fn peers() {
        for (one, other, same) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8::1", "2001:db8::ffff:0:0:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let [one, other] = [one, other].map(|text| Peer::at(text.parse().unwrap()));
            assert_eq!(one == other, same, "{one:?} {other:?}");
        }
    }
}
