//! Counts the open exchanges of each client on one route. A client is in the table only while it has an open exchange,
//! so the table is bounded by the open exchanges.

use std::hash::RandomState;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::Key;
use crate::bounded::{Count, Permit};

/// Open exchanges by client.
#[derive(Debug, Default)]
pub struct Concurrency {
    /// Made for the first client, so an unused route takes no memory.
    open: OnceLock<DashMap<Key, Client, RandomState>>,
    clients: Arc<Count>,
    /// Open exchanges of clients for which the table has no room.
    overflow: Arc<Count>,
}

/// What one client has open.
#[derive(Debug)]
struct Client {
    open: u32,
    _place: Permit,
}

impl Concurrency {
    /// Counts one more open exchange of this client until the guard is dropped; `None` when it has `max` already.
    #[must_use]
    pub fn enter(self: &Arc<Self>, key: Key, max: NonZeroU32) -> Option<Open> {
        let guard = |counted| Open { of: Arc::clone(self), key, counted };
        match self.table().entry(key) {
            Entry::Occupied(mut open) => {
                let open = &mut open.get_mut().open;
                (*open < max.get()).then(|| {
                    *open += 1;
                    guard(Counted::Alone)
                })
            }
            Entry::Vacant(client) => match self.clients.enter(MAX_CLIENTS) {
                Some(place) => {
                    drop(client.insert(Client { open: 1, _place: place }));
                    Some(guard(Counted::Alone))
                }
                None => {
                    let max = usize::try_from(max.get()).unwrap_or(usize::MAX);
                    self.overflow.enter(max).map(|place| guard(Counted::Together { _place: place }))
                }
            },
        }
    }

    fn table(&self) -> &DashMap<Key, Client, RandomState> {
        self.open.get_or_init(DashMap::default)
    }

    /// Clients with something open.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.taken()
    }
}

/// One open exchange of a client.
#[derive(Debug)]
pub struct Open {
    of: Arc<Concurrency>,
    key: Key,
    counted: Counted,
}

#[derive(Debug)]
enum Counted {
    Alone,
    Together { _place: Permit },
}

impl Drop for Open {
    fn drop(&mut self) {
        if matches!(self.counted, Counted::Alone)
            && let Entry::Occupied(mut client) = self.of.table().entry(self.key)
        {
            let open = &mut client.get_mut().open;
            *open = open.saturating_sub(1);
            if *open == 0 {
                client.remove();
            }
        }
    }
}

/// Clients counted one by one. Each has an exchange open, which takes several hundred times the memory of its entry.
const MAX_CLIENTS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8) -> Key {
        Key::address([192, 0, 2, last].into(), 64)
    }

    #[test]
    fn a_client_has_so_many_open_and_no_more() {
        let open = Arc::new(Concurrency::default());
        let max = NonZeroU32::new(2).unwrap();
        let first = open.enter(key(1), max).unwrap();
        let second = open.enter(key(1), max).unwrap();
        assert!(open.enter(key(1), max).is_none());
        assert!(open.enter(key(2), max).is_some(), "another client");
        drop(first);
        let third = open.enter(key(1), max).unwrap();
        assert!(open.enter(key(1), NonZeroU32::MIN).is_none());
        drop((second, third));
        assert_eq!(open.clients(), 0, "who has nothing open is forgotten");
        assert!(open.table().is_empty());
    }

    #[test]
    fn clients_without_room_are_counted_together() {
        let open = Arc::new(Concurrency::default());
        let _all: Vec<_> = (0..MAX_CLIENTS).map(|_| open.clients.add()).collect();
        let max = NonZeroU32::new(2).unwrap();
        let guards: Vec<_> = (0..9).filter_map(|last| open.enter(key(last), max)).collect();
        assert_eq!(guards.len(), 2);
        assert_eq!(open.clients(), MAX_CLIENTS);
        drop(guards);
        assert!(open.enter(key(9), max).is_some());
        assert_eq!(open.overflow.taken(), 0);
    }

    #[test]
    fn workers_together_count_right() {
        let open = Arc::new(Concurrency::default());
        let workers = (0..4).map(|_| {
            let open = Arc::clone(&open);
            std::thread::spawn(move || {
                for turn in 0..250 {
                    let max = NonZeroU32::new(4).unwrap();
                    assert!(open.enter(key(turn % 3), max).is_some(), "four at most");
                }
            })
        });
        let workers: Vec<_> = workers.collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(open.clients(), 0);
    }
}
