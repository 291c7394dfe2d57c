//! How many connections a listener holds, in total and per client address. A [`Permit`] counts one connection and
//! travels inside its IO, so a connection that became a tunnel still counts. Shared by all workers; touched once per
//! connection, never per request.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::Notify;

use crate::bounded::{self, Count};

/// Counts of one listener.
#[derive(Debug, Default)]
pub struct Ceiling {
    open: Arc<Count<Notify>>,
    hasher: RandomState,
    shards: [Mutex<HashMap<u128, u32, RandomState>>; SHARDS],
}

/// Room for one connection in the total; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    ceiling: Arc<Ceiling>,
    client: Option<u128>,
    /// Given back after the client's own.
    _place: bounded::Permit<Notify>,
}

impl Ceiling {
    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.taken()
    }

    /// Takes a permit of the total, if there is one under `maximum`.
    #[must_use]
    pub fn try_acquire(self: &Arc<Self>, maximum: usize) -> Option<Permit> {
        let place = self.open.enter(maximum)?;
        Some(Permit { ceiling: Arc::clone(self), client: None, _place: place })
    }

    /// Ends once a place has been given back, or the maximum may have changed, since `future` was made. Make the
    /// future, then try again, then await it: so no wake-up is lost.
    pub fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.open.waiters().notified()
    }

    /// Wakes all waiters, which then look again.
    pub fn wake(&self) {
        self.open.waiters().notify_waiters();
    }

    fn shard(&self, client: u128) -> &Mutex<HashMap<u128, u32, RandomState>> {
        let hash = usize::try_from(self.hasher.hash_one(client) >> 32).unwrap_or(0);
        self.shards.get(hash % SHARDS).unwrap_or(&self.shards[0])
    }
}

impl Permit {
    /// Counts the connection for its client. Gives the permit back when that client has `maximum` connections already.
    ///
    /// # Errors
    /// The permit was dropped: the connection must be closed.
    pub fn for_client(mut self, client: IpAddr, maximum: usize) -> Result<Self, OverClientCeiling> {
        let key = client_key(client);
        let shard = self.ceiling.shard(key);
        let mut counts = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_insert(0);
        if usize::try_from(*count).is_ok_and(|count| count >= maximum) {
            return Err(OverClientCeiling);
        }
        *count += 1;
        drop(counts);
        self.client = Some(key);
        Ok(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(key) = self.client {
            let shard = self.ceiling.shard(key);
            let mut counts = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = counts.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&key);
                }
            }
        }
    }
}

/// The client address has as many connections as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverClientCeiling;

/// One client is an IPv4 address or an IPv6 /64, which is what one customer gets.
fn client_key(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() & Ipv6Addr::from_bits(u128::MAX << 64).to_bits(),
    }
}

const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_given_back_by_their_drop() {
        let ceiling = Arc::new(Ceiling::default());
        let first = ceiling.try_acquire(2).unwrap();
        let second = ceiling.try_acquire(2).unwrap();
        assert!(ceiling.try_acquire(2).is_none());
        assert!(ceiling.try_acquire(3).is_some(), "a raised ceiling");
        drop(first);
        assert_eq!(ceiling.open(), 1);
        drop(second);
        assert_eq!(ceiling.open(), 0);
    }

    #[test]
    fn clients_are_counted_apart_and_forgotten() {
        let ceiling = Arc::new(Ceiling::default());
        let connect =
            |client: &str, maximum| ceiling.try_acquire(100).unwrap().for_client(client.parse().unwrap(), maximum);
        let one = connect("192.0.2.1", 2).unwrap();
        let two = connect("::ffff:192.0.2.1", 2).unwrap();
        assert_eq!(connect("192.0.2.1", 2).unwrap_err(), OverClientCeiling);
        assert_eq!(ceiling.open(), 2, "the refused one is not counted");
        connect("192.0.2.2", 1).expect("another client");
        let six = connect("2001:db8::1", 1).unwrap();
        assert!(connect("2001:db8::ffff:1", 1).is_err(), "the same /64");
        connect("2001:db8:0:1::1", 1).expect("another /64");
        drop(one);
        connect("192.0.2.1", 2).expect("there is room again");
        drop((two, six));
        assert!(
            ceiling.shards.iter().all(|shard| shard.lock().unwrap().is_empty()),
            "no entry outlives its connections"
        );
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let ceiling = Arc::new(Ceiling::default());
        let permit = ceiling.try_acquire(1).unwrap();
        let freed = ceiling.freed();
        drop(permit);
        freed.await;
    }
}
