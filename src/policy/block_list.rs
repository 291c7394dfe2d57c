//! Clients that operators block while the gateway runs: a bounded list of networks with a reason and perhaps an end.
//! While it is empty a request pays a look at two numbers; else one look into a table of many small locks for each
//! length of prefix in use.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use ipnet::IpNet;
use tokio::time::Instant;

/// What operators block.
#[derive(Debug, Default)]
pub struct BlockList {
    entries: DashMap<IpNet, Block>,
    lengths: Lengths,
    /// Held by whoever changes something, so that the lengths are those of the entries.
    changes: Mutex<()>,
}

/// Why and until when a network is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// In the words of who did it.
    pub reason: String,
    /// Who did it, as far as that is said.
    pub by: String,
    /// When.
    pub since: SystemTime,
    /// When it ends; `None` means when somebody ends it, or the gateway does.
    pub until: Option<Instant>,
}

/// The list is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} networks are blocked already, which is `blockList.maxEntries`")]
pub struct Full(pub usize);

impl BlockList {
    /// Whether `client` is blocked. The answer holds how long that lasts, where it ends by itself.
    #[must_use]
    pub fn blocks(&self, client: IpAddr, now: Instant) -> Option<Option<Duration>> {
        let client = client.to_canonical();
        let held = |length| {
            let network = IpNet::new(client, length).ok()?.trunc();
            let until = self.entries.get(&network)?.until;
            match until {
                None => Some(None),
                Some(until) => (until > now).then(|| Some(until - now)),
            }
        };
        self.lengths.of(client).find_map(held)
    }

    /// Blocks a network, in place of what was said of the same network before.
    ///
    /// # Errors
    /// When `limit` networks are blocked already.
    pub fn block(&self, network: IpNet, block: Block, limit: usize) -> Result<(), Full> {
        let _changing = self.changing();
        if !self.entries.contains_key(&network) && self.entries.len() >= limit {
            return Err(Full(limit));
        }
        self.entries.insert(network, block);
        // After the entry: who sees the length finds it.
        self.lengths.add(network);
        Ok(())
    }

    /// Takes a network out; whether it was there.
    pub fn unblock(&self, network: IpNet) -> bool {
        let _changing = self.changing();
        let was_there = self.entries.remove(&network).is_some();
        self.lengths.set(self.entries.iter().map(|entry| *entry.key()));
        was_there
    }

    /// Forgets what has ended.
    pub fn sweep(&self, now: Instant) {
        if self.lengths.is_empty() {
            return;
        }
        let _changing = self.changing();
        self.entries.retain(|_, block| block.until.is_none_or(|until| until > now));
        self.lengths.set(self.entries.iter().map(|entry| *entry.key()));
    }

    /// Everything that is blocked at this moment, in the order of addresses.
    #[must_use]
    pub fn list(&self, now: Instant) -> Vec<(IpNet, Block)> {
        let entries = self.entries.iter().map(|entry| (*entry.key(), entry.value().clone()));
        let mut listed: Vec<_> = entries.filter(|(_, block)| block.until.is_none_or(|until| until > now)).collect();
        listed.sort_by_key(|(network, _)| *network);
        listed
    }

    /// How many networks it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lengths of prefixes that are in use, a bit for each. No network has the length 0: it would be everybody.
#[derive(Debug, Default)]
struct Lengths {
    v4: AtomicU64,
    /// 1 to 64, and 65 to 128.
    v6: [AtomicU64; 2],
}

impl Lengths {
    /// Those of the family of `client`, the shortest first.
    fn of(&self, client: IpAddr) -> impl Iterator<Item = u8> + use<> {
        let load = |word: &AtomicU64| word.load(Ordering::Acquire);
        let [low, high] = &self.v6;
        let words = if client.is_ipv4() { [load(&self.v4), 0] } else { [load(low), load(high)] };
        words.into_iter().zip([1, 65]).flat_map(|(word, first)| bits(word).map(move |bit| first + bit))
    }

    fn is_empty(&self) -> bool {
        let [low, high] = &self.v6;
        [&self.v4, low, high].iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }

    fn add(&self, network: IpNet) {
        let (word, bit) = self.place(network);
        word.fetch_or(bit, Ordering::Release);
    }

    /// Only these are in use. One that goes and comes back at the same time is not missed: changes wait for each other.
    fn set(&self, networks: impl Iterator<Item = IpNet>) {
        let known = Self::default();
        networks.for_each(|network| known.add(network));
        let pairs = [(&self.v4, known.v4)].into_iter().chain(self.v6.iter().zip(known.v6));
        pairs.for_each(|(word, known)| word.store(known.into_inner(), Ordering::Release));
    }

    fn place(&self, network: IpNet) -> (&AtomicU64, u64) {
        let [low, high] = &self.v6;
        let length = network.prefix_len().max(1);
        match network {
            IpNet::V4(_) => (&self.v4, 1 << (length - 1)),
            IpNet::V6(_) if length <= 64 => (low, 1 << (length - 1)),
            IpNet::V6(_) => (high, 1 << (length - 65)),
        }
    }
}

/// The positions of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let bit = u8::try_from(word.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
        word &= word - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(until: Option<Instant>) -> Block {
        Block { reason: "scanning".to_owned(), by: String::new(), since: SystemTime::UNIX_EPOCH, until }
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_is_blocked_with_its_network_until_that_ends() {
        let (list, now) = (BlockList::default(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        list.block(net("192.0.2.0/24"), block(None), 10).unwrap();
        list.block(net("198.51.100.7/32"), block(Some(later(60))), 10).unwrap();
        list.block(net("2001:db8:1::/48"), block(None), 10).unwrap();
        list.block(net("2001:db8:2::1/128"), block(None), 10).unwrap();
        for (client, at, expected) in [
            ("192.0.2.200", 0, Some(None)),
            ("::ffff:192.0.2.200", 0, Some(None)),
            ("192.0.3.1", 0, None),
            ("198.51.100.7", 0, Some(Some(Duration::from_secs(60)))),
            ("198.51.100.7", 59, Some(Some(Duration::from_secs(1)))),
            ("198.51.100.7", 60, None),
            ("198.51.100.8", 0, None),
            ("2001:db8:1:2::3", 0, Some(None)),
            ("2001:db8:2::1", 0, Some(None)),
            ("2001:db8:2::2", 0, None),
        ] {
            assert_eq!(list.blocks(client.parse().unwrap(), later(at)), expected, "{client} after {at} s");
        }
        let listed: Vec<_> = list.list(later(60)).into_iter().map(|(network, _)| network.to_string()).collect();
        assert_eq!(listed, ["192.0.2.0/24", "2001:db8:1::/48", "2001:db8:2::1/128"]);
        list.sweep(later(60));
        assert_eq!(list.len(), 3);
        assert!(list.unblock(net("192.0.2.0/24")) && !list.unblock(net("192.0.2.0/24")));
        assert_eq!(list.blocks("192.0.2.200".parse().unwrap(), now), None);
    }

    #[test]
    fn a_full_list_takes_no_more_and_changes_what_it_has() {
        let (list, now) = (BlockList::default(), Instant::now());
        list.block(net("10.0.0.1/32"), block(None), 2).unwrap();
        list.block(net("10.0.0.2/32"), block(None), 2).unwrap();
        assert_eq!(list.block(net("10.0.0.3/32"), block(None), 2), Err(Full(2)));
        list.block(net("10.0.0.2/32"), block(Some(now + Duration::from_secs(1))), 2).unwrap();
        list.sweep(now + Duration::from_secs(1));
        list.block(net("10.0.0.3/32"), block(None), 2).unwrap();
        assert!(!list.is_empty());
        assert!(list.unblock(net("10.0.0.1/32")) && list.unblock(net("10.0.0.3/32")));
        assert!(list.is_empty(), "and costs nothing again");
    }

    proptest! {
        #[test]
        fn it_says_what_a_look_at_each_would(
            blocked in proptest::collection::vec((any::<u8>(), 9_u8..=32), 0..20),
            others in proptest::collection::vec((any::<u64>(), 1_u8..=128), 0..20),
            client: u8,
        ) {
            let (list, now) = (BlockList::default(), Instant::now());
            let v4 = blocked.iter().map(|(byte, length)| {
                IpNet::new(std::net::Ipv4Addr::new(10, *byte, 0, *byte).into(), *length).unwrap().trunc()
            });
            let v6 = others.iter().map(|(bits, length)| {
                IpNet::new(std::net::Ipv6Addr::from_bits(u128::from(*bits) << 64 | 1).into(), *length).unwrap().trunc()
            });
            let networks: Vec<IpNet> = v4.chain(v6).collect();
            networks.iter().for_each(|network| list.block(*network, block(None), 100).unwrap());
            let mut clients: Vec<IpAddr> = networks.iter().map(IpNet::network).collect();
            clients.push(std::net::Ipv4Addr::new(10, client, 0, client).into());
            for client in clients {
                let expected = networks.iter().any(|network| network.contains(&client.to_canonical()));
                prop_assert_eq!(list.blocks(client, now).is_some(), expected, "{}", client);
            }
        }
    }
}
