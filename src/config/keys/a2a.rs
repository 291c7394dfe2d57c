//! `routes.X.a2a`: what the gateway does for agents that speak A2A.

use std::time::Duration;

use super::{Seconds, section};
use crate::config::forms::either::OrOff;
use crate::config::forms::words::choice;
use crate::config::types::PublicUrl;

// Each route has this, so what few have is in a box.
section! {
    #[derive(PartialEq, Eq)]
    /// What the gateway does for agents that speak A2A.
    pub struct A2a {
        /// Map the URLs of agent cards that lead to the agent itself, so that clients come through the gateway; `off`
        /// passes cards on as they are.
        agent_card: Option<AgentCard> as OrOff<AgentCard> = {},
    }

    #[derive(PartialEq, Eq)]
    /// How agent cards are mapped.
    pub struct AgentCard {
        /// Where cards say that clients see what the gateway serves under `/`. Default: the `publicUrl` of the route or
        /// listener, else the address that the client asked for.
        public_url: Option<Box<PublicUrl>>,
        /// How long clients may keep a card (`Cache-Control: max-age`). Default: as the agent says.
        cache_ttl: Option<Duration> as Seconds<1, 31_536_000>,
        /// A signed card that has to change: `keep` leaves it as it is, `strip` takes the signatures out, `fail`
        /// answers 502.
        signed_cards: SignedCards = keep,
    }
}

choice! {
    /// What becomes of a signed card that has to change: every change breaks the signatures.
    pub enum SignedCards {
        /// It stays as it is, and leads clients past the gateway.
        Keep = ["keep"],
        /// It is changed, and its signatures are taken out.
        Strip = ["strip"],
        /// It is refused.
        Fail = ["fail"],
    }
}
