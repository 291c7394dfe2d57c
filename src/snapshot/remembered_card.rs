//! What is remembered of the card of a route's agents, for catalogs. All workers share it: while one asks for the card,
//! the others wait. The last good card stays where a later one cannot be had.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::a2a::card::Listed;

/// What is known of one card.
#[derive(Debug, Default)]
pub struct RememberedCard {
    state: Mutex<State>,
    ends: Notify,
}

#[derive(Debug, Default)]
struct State {
    known: KnownCard,
    /// Until when nobody asks again.
    fresh_until: Option<Instant>,
    under_way: bool,
}

/// A card, and how the last question for it ended.
#[derive(Clone, Debug, Default)]
pub struct KnownCard {
    /// The last good one.
    pub card: Option<Arc<Listed>>,
    /// Why it could not be had last time; none also before anybody asked.
    pub fault: Option<CardFault>,
    /// Whether anybody has asked.
    pub is_asked: bool,
}

/// Why there is no card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardFault {
    /// The agents have none.
    NoCard,
    /// None of them can be reached.
    Unreachable,
    /// They did not answer in time.
    TimedOut,
    /// They do not show it to the gateway.
    Refused,
    /// It is no card.
    Invalid,
    /// It is larger than cards may be.
    TooLarge,
}

/// A question under way. The others wait until this is dropped.
#[derive(Debug)]
pub struct Asking(Arc<RememberedCard>);

impl RememberedCard {
    /// One that goes on from `previous`: the card is known, and asked for again.
    #[must_use]
    pub fn adopt(previous: Option<&Self>) -> Arc<Self> {
        let known = previous.map(|previous| previous.state().known.clone()).unwrap_or_default();
        Arc::new(Self { state: Mutex::new(State { known, ..State::default() }), ends: Notify::new() })
    }

    /// The right to ask, where that is due and nobody does.
    #[must_use]
    pub fn begin(self: &Arc<Self>, now: Instant) -> Option<Asking> {
        let mut state = self.state();
        let is_fresh = state.fresh_until.is_some_and(|until| now < until);
        if is_fresh || std::mem::replace(&mut state.under_way, true) {
            return None;
        }
        drop(state);
        Some(Asking(Arc::clone(self)))
    }

    /// What is known once nobody asks any more.
    pub async fn settled(&self) -> KnownCard {
        loop {
            // Before the look, or an end in between would be missed.
            let ends = self.ends.notified();
            {
                let state = self.state();
                if !state.under_way {
                    return state.known.clone();
                }
            }
            ends.await;
        }
    }

    /// What is known now.
    #[must_use]
    pub fn known(&self) -> KnownCard {
        self.state().known.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    /// Keeps what came of it, until `until`.
    pub fn end(self, found: Result<Listed, CardFault>, until: Instant) {
        let mut state = self.0.state();
        state.known.is_asked = true;
        state.known.fault = found.as_ref().err().copied();
        if let Ok(card) = found {
            state.known.card = Some(Arc::new(card));
        }
        state.fresh_until = Some(until);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.state().under_way = false;
        self.0.ends.notify_waiters();
    }
}

impl CardFault {
    /// The word in catalogs and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoCard => "no_card",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    fn card(name: &str) -> Listed {
        Listed::of(format!(r#"{{"name":"{name}","url":"u"}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn one_asks_and_the_others_wait() {
        let (remembered, now) = (RememberedCard::adopt(None), Instant::now());
        let asking = remembered.begin(now).unwrap();
        assert!(remembered.begin(now).is_none());
        assert!(remembered.settled().now_or_never().is_none());
        asking.end(Ok(card("a")), now + Duration::from_secs(60));
        let known = remembered.settled().now_or_never().unwrap();
        assert_eq!((known.card.as_deref(), known.fault), (Some(&card("a")), None));
        assert!(remembered.begin(now + Duration::from_secs(59)).is_none(), "it is fresh");
        assert!(remembered.begin(now + Duration::from_secs(60)).is_some());
    }

    #[test]
    fn the_last_good_card_stays() {
        let (remembered, now) = (RememberedCard::adopt(None), Instant::now());
        remembered.begin(now).unwrap().end(Ok(card("a")), now);
        remembered.begin(now).unwrap().end(Err(CardFault::Unreachable), now);
        let known = remembered.known();
        assert_eq!((known.card.as_deref(), known.fault), (Some(&card("a")), Some(CardFault::Unreachable)));
        let next = RememberedCard::adopt(Some(&remembered));
        assert_eq!(next.known().card.as_deref(), Some(&card("a")));
        drop(next.begin(now).unwrap());
        assert!(next.begin(now).is_some(), "one that was given up leaves nothing behind");
    }
}
