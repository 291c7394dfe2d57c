//! Failures of an endpoint that one input can cause at every endpoint, such as the error -32603 of JSON-RPC. They count
//! in a row only once several clients have seen them in a row: otherwise one client with one poisonous input could
//! have every replica ejected.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The clients of an endpoint's latest such failures, since it last did well.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// Whether there was one. A success nearly always finds none, and then takes no lock.
    any: AtomicBool,
    /// The different clients that saw one. A lock of one endpoint that only such failures take.
    clients: Mutex<Vec<u64>>,
}

impl Suspicion {
    /// `client` has seen one; how many failures in a row that makes: none while it may be an input's fault, then one
    /// for each of the clients at once, and from there on one for each failure.
    pub(super) fn raise(&self, client: u64) -> u32 {
        self.any.store(true, Relaxed);
        let mut clients = self.clients();
        if clients.len() >= CLIENTS {
            return 1;
        }
        if !clients.contains(&client) {
            clients.push(client);
        }
        if clients.len() < CLIENTS { 0 } else { FAILURES }
    }

    /// The endpoint did well, or starts anew.
    pub(super) fn clear(&self) {
        if self.any.load(Relaxed) {
            self.any.store(false, Relaxed);
            self.clients().clear();
        }
    }

    fn clients(&self) -> MutexGuard<'_, Vec<u64>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many clients do not have the same bad input by chance.
const CLIENTS: usize = 3;
/// One of each.
const FAILURES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_clients_in_a_row_make_it_the_endpoints_fault() {
        // Digits are clients, a dot is a success.
        for (story, expected) in [
            ("1111111111", "0000000000"),
            ("1212121212", "0000000000"),
            ("123", "003"),
            ("1112213312", "0000003111"),
            ("12.3.12", "00.0.00"),
            ("12.123.1", "00.003.0"),
        ] {
            let suspicion = Suspicion::default();
            let counted = |client: char| match client.to_digit(10) {
                None => {
                    suspicion.clear();
                    '.'
                }
                Some(client) => char::from_digit(suspicion.raise(client.into()), 10).unwrap(),
            };
            assert_eq!(story.chars().map(counted).collect::<String>(), expected, "{story}");
        }
    }
}
