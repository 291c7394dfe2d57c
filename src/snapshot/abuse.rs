//! What is known of clients that are not to be served. Lives as long as the process.

use std::sync::Arc;

use tokio::time::Instant;

use crate::policy::auth_failures::FailureTable;
use crate::policy::block_list::BlockList;

/// What all workers share about such clients.
#[derive(Clone, Debug)]
pub struct Abuse {
    /// Whom operators block.
    pub blocks: Arc<BlockList>,
    /// Who failed to authenticate.
    pub failures: Arc<FailureTable>,
}

impl Abuse {
    /// What `previous` knows, or nothing.
    #[must_use]
    pub fn adopt(previous: Option<&Self>) -> Self {
        let new = || Self { blocks: Arc::default(), failures: Arc::new(FailureTable::new(Instant::now())) };
        previous.cloned().unwrap_or_else(new)
    }
}
