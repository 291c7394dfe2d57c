//! Which clients a limit refuses most: a short list that keeps the largest counts, approximately (space-saving). Many
//! clients cost no more than a few. Workers that meet at its lock do not wait: what is not counted then is few of many.

use std::net::IpAddr;
use std::sync::Mutex;

use tokio::time::Instant;

/// The clients refused most.
#[derive(Debug, Default)]
pub(super) struct MostLimited(Mutex<Vec<LimitedClient>>);

/// A client that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitedClient {
    /// Its address, or the network that is limited as one client.
    pub client: IpAddr,
    /// How often it was refused; a little too much where others were forgotten for it.
    pub refused: u64,
    /// When it was refused last.
    pub last: Instant,
}

impl MostLimited {
    /// A request of `client` was refused.
    pub(super) fn note(&self, client: IpAddr, now: Instant) {
        let Ok(mut known) = self.0.try_lock() else { return };
        if let Some(found) = known.iter_mut().find(|found| found.client == client) {
            (found.refused, found.last) = (found.refused + 1, now);
            return;
        }
        let mut refused = 1;
        if known.len() >= KEPT {
            let least = known.iter().enumerate().min_by_key(|(_, one)| one.refused).map(|(at, _)| at);
            refused += least.map_or(0, |at| known.swap_remove(at).refused);
        }
        known.push(LimitedClient { client, refused, last: now });
    }

    /// Those refused most, the most refused first.
    pub(super) fn list(&self) -> Vec<LimitedClient> {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        known.sort_by_key(|one| std::cmp::Reverse(one.refused));
        known
    }
}

/// Clients that are kept.
const KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_refused_most_stays_whatever_comes() {
        let (most, now) = (MostLimited::default(), Instant::now());
        for turn in 0..1_000_u32 {
            most.note([10, 0, 0, 1].into(), now);
            most.note(IpAddr::from((turn + 0x0b00_0000).to_be_bytes()), now);
        }
        let listed = most.list();
        assert_eq!(listed.len(), KEPT);
        assert_eq!((listed[0].client, listed[0].refused), ([10, 0, 0, 1].into(), 1_000));
    }
}
