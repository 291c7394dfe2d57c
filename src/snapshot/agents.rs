//! What the gateway knows of agents behind all routes. Lives as long as the process.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::body::Room;
use crate::bounded::Count;
use crate::cluster::{Affinity, UnknownIds};
use crate::policy::Makers;

/// What all workers share about agents.
#[derive(Clone, Debug)]
pub struct Agents {
    /// Which endpoint holds which task, context and session.
    pub affinity: Arc<Affinity>,
    /// What nobody held when the endpoints were asked last.
    pub unknown: Arc<UnknownIds>,
    /// Searches for who holds something, under way.
    pub lookups: Arc<Count>,
    /// Places for questions for cards, for catalogs.
    pub card_questions: Arc<Semaphore>,
    /// Places for questions who else has the task of a stream that broke off.
    pub resumptions: Arc<Semaphore>,
    /// Makes the numbers of clients that made a task.
    pub makers: Makers,
    /// The memory for the bodies that are looked at.
    pub room: Room,
}

impl Agents {
    /// Goes on from the state before, or begins.
    pub(super) fn adopt(previous: Option<&Self>) -> Self {
        previous.cloned().unwrap_or_else(|| Self {
            affinity: Affinity::new(MAX_IDS, fastrand::u64(..), Instant::now()),
            unknown: UnknownIds::new(Instant::now()),
            lookups: Count::new(()),
            card_questions: Arc::new(Semaphore::new(MAX_CARD_QUESTIONS)),
            resumptions: Arc::new(Semaphore::new(MAX_RESUMPTIONS)),
            makers: Makers::default(),
            room: Room { held: Count::new(()), blocks: MAX_BLOCKS },
        })
    }
}

/// Ids that are remembered: a task and a context for each of 100,000 tasks, about 20 MB.
const MAX_IDS: usize = 200_000;
/// Cards that are asked for at the same time; others wait, at most one for each route.
const MAX_CARD_QUESTIONS: usize = 16;
/// Streams for which other endpoints are asked at the same time, for 2 s at most; others wait for their turn.
const MAX_RESUMPTIONS: usize = 16;
/// Blocks of 64 KiB that bodies may hold beyond their first pieces while they are looked at: 64 MiB.
const MAX_BLOCKS: usize = 1024;
