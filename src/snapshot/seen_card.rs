//! The agent card that last passed through a route, as operators see it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use xxhash_rust::xxh3::xxh3_64;

use crate::a2a::card::Listed;

/// What has been seen of the card of a route's agents.
#[derive(Debug, Default)]
pub struct SeenCard(Mutex<Option<CardSight>>);

/// A card that was seen.
#[derive(Clone, Debug)]
pub struct CardSight {
    /// What it says.
    pub card: Arc<Listed>,
    /// The endpoint it came from.
    pub endpoint: String,
    /// When it came last.
    pub at: SystemTime,
    /// Of the whole document.
    hash: u64,
}

impl SeenCard {
    /// A document came from `endpoint` that may be a card. It is read only where it is another one than before.
    pub fn note(&self, document: &[u8], endpoint: &str, at: SystemTime) {
        let hash = xxh3_64(document);
        let mut sight = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sight) = sight.as_mut().filter(|sight| sight.hash == hash) {
            sight.at = at;
            if sight.endpoint != endpoint {
                endpoint.clone_into(&mut sight.endpoint);
            }
            return;
        }
        drop(sight);
        let Some(card) = Listed::of(document) else { return };
        let seen = CardSight { card: Arc::new(card), endpoint: endpoint.to_owned(), at, hash };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    /// What was seen last.
    #[must_use]
    pub fn last(&self) -> Option<CardSight> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_last_card_is_kept_and_what_is_none_is_not() {
        let (seen, at) = (SeenCard::default(), |second| UNIX_EPOCH + Duration::from_secs(second));
        seen.note(b"no card", "10.0.0.1:80", at(1));
        assert!(seen.last().is_none());
        let card = br#"{"name":"a","url":"u"}"#;
        seen.note(card, "10.0.0.1:80", at(2));
        let first = seen.last().unwrap();
        seen.note(card, "10.0.0.2:80", at(3));
        let second = seen.last().unwrap();
        assert!(Arc::ptr_eq(&first.card, &second.card), "it is not read again");
        assert_eq!((second.endpoint.as_str(), second.at), ("10.0.0.2:80", at(3)));
    }
}
