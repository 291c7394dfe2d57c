//! `routes.X.a2a`: what the gateway does for agents that speak A2A.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::calls::{Methods, UrlGuard};
use super::cluster::field;
use super::limits::LimitKey;
use super::{Boxed, Bytes, Limit, Many, OrOff, Seconds, choice, find, one_of, section, text_or, word_values, words};
use crate::a2a::Generation;
use crate::a2a::card::SignedCards;
use crate::config::forms::words::Word;
use crate::config::types::PublicUrl;
use crate::config::units::{bytes, time};

// Each route has this, so what few have is in a box.
section! {
    #[derive(PartialEq, Eq)]
    /// What the gateway does for agents that speak A2A.
    pub struct A2a {
        /// Map the URLs of agent cards that lead to the agent itself, so that clients come through the gateway; `off`
        /// passes cards on as they are.
        agent_card: Option<AgentCard> as OrOff<AgentCard> = {},
        /// Send every call about a task, a context or a session to the endpoint that holds it; `off` balances each call
        /// by itself, which suits agents that share their tasks.
        affinity: Option<Affinity> as OrOff<Affinity> = {},
        /// How much of a body is looked at to know which call it is, in one piece of memory.
        max_body_bytes: usize as Bytes<1024, { 64 << 20 }> = 1MiB,
        /// What becomes of a call whose body is longer: `pass` sends it on as any request, `refuse` answers 413.
        large_bodies: LargeBodies = pass,
        /// Time without an event after which a stream of events gets a comment, `: keep-alive`, which clients and
        /// proxies take for a sign of life. It does not end the silence that `streaming.idleTimeout` limits.
        keep_alive: Option<Duration> as OrOff<Seconds<1, 3_600>> = off,
        /// Go on with a stream that an agent breaks off before its task is over: subscribe to the task again at the
        /// endpoint that holds it. Events in between may be missing; the first one tells how far the task is.
        continuity: bool = false,
        /// Which operations are let through: `{ allow: [..] }` or `{ deny: [..] }`, and limits of single ones:
        /// `{ SendMessage: { timeout: 60s } }`. Default: all, without limits.
        methods: Option<Box<Methods>> as Boxed<Methods>; whole,
        /// Generations of the protocol that are taken: `1.0`, `0.3` (which is 0.2 as well) and `0.1`. Default: all.
        versions: Option<Vec<Generation>> as Many<Generation>; whole,
        /// Send a message once that comes again with the same `messageId`, body and caller: it gets the answer of the
        /// first, while that is under way and for this long after; `off` sends each.
        single_flight: Option<Duration> as OrOff<Seconds<1, 3600>> = off,
        /// Equal `GetTask` calls of a caller within this time share one call of the agent; `off` sends each.
        poll_damping: Option<Duration> as OrOff<Limit> = off,
        /// Show tasks and contexts only to who made them; `off` shows them to everybody.
        ownership: Option<Box<Ownership>> as OrOff<Boxed<Ownership>> = off,
        /// Where clients may have agents post events to: by default `https` and no private address; `off` lets
        /// everything through.
        push_urls: Option<UrlGuard> as OrOff<UrlGuard> = {},
        /// The same for the files that agents are asked to fetch.
        file_urls: Option<UrlGuard> as OrOff<UrlGuard> = off,
    }

    #[derive(PartialEq, Eq)]
    /// How the gateway knows who holds what, and for how long.
    pub struct Affinity {
        /// What calls are followed by: `taskId`, `contextId`, `mcpSession` (`Mcp-Session-Id`), and
        /// `{ header: X-Session }` for any header whose value servers hand out in answers and clients send back.
        by: Vec<HeldBy> as Many<HeldBy> = [taskId, contextId, mcpSession],
        /// A task, context or session after it was last used.
        ttl: Duration as Seconds<1, 604_800> = 1h,
        /// A task that is over.
        ended_ttl: Duration as Seconds<1, 604_800> = 5m,
        /// What becomes of a call when the endpoint that held its task is gone: `rebalance` sends it to another one,
        /// `fail` answers 503.
        on_loss: OnLoss = rebalance,
        /// Ask the endpoints who holds a task or context that this gateway does not know, before the call is sent.
        lookup: bool = true,
    }

    #[derive(PartialEq, Eq)]
    /// To whom tasks and contexts belong.
    pub struct Ownership {
        /// What tells clients apart: `principal`, `clientIp`, `header:NAME`, `cookie:NAME`, or a list of these
        /// together.
        by: Vec<LimitKey> as Many<LimitKey> = clientIp,
        /// What becomes of a call about a task or context whose maker is not known: `refuse` or `allow`.
        unknown: UnknownMaker = refuse,
    }

    #[derive(PartialEq, Eq)]
    /// How agent cards are mapped.
    pub struct AgentCard {
        /// Where cards say that clients see what the gateway serves under `/`. Default: the `publicUrl` of the route or
        /// listener, else the address that the client asked for.
        public_url: Option<Box<PublicUrl>>,
        /// How long clients may keep a card (`Cache-Control: max-age`). Default: as the agent says.
        cache_ttl: Option<Duration> as Seconds<1, 31_536_000>,
        /// A signed card that has to change: `keep` leaves it as it is, `strip` takes the signatures out, `resign` puts
        /// one of the gateway in their place, `fail` answers 502.
        signed_cards: SignedCards = keep,
        /// What `resign` signs with.
        signing: Option<Box<Signing>>,
        /// Who says in cards how clients prove who they are: `keep` leaves it to the agent, `providers` puts those of
        /// the route's `auth` there.
        security_schemes: CardSecurity = keep,
    }
}

section! {
    #[derive(PartialEq, Eq)]
    /// The gateway's own signature of agent cards (ES256).
    pub struct Signing {
        /// PEM file with a private key on the curve P-256; relative to this file. Required.
        key_file: Option<PathBuf> as String,
        /// Name of the key in signatures (`kid`). Default: its thumbprint.
        key_id: Option<String>,
        /// Serve the public key below the route, at `/.well-known/jwks.json`, and say so in signatures (`jku`).
        jwks: bool = true,
    }
}

/// What a call may be held by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// The task it names.
    TaskId,
    /// The context it names.
    ContextId,
    /// The session of MCP it names, until that is ended by DELETE or 404.
    McpSession,
    /// What it has in this header.
    Header(HeaderName),
}

one_of! {
    /// A header.
    HeldByFields => HeldBy {
        /// Its name.
        header: String => |name| field(&name).map(HeldBy::Header)
    }
}

text_or!(
    HeldBy, HeldByFields, "`taskId`, `contextId`, `mcpSession` or `{ header: .. }`", find, as Word<HeldBy>
);

words!(
    HeldBy, "HeldByWord",
    Self::TaskId => ["taskId"], Self::ContextId => ["contextId"], Self::McpSession => ["mcpSession"],
);

impl A2a {
    /// Whether its guards are more than the usual. Then it leads to agents beyond doubt, and no call may pass unread.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        let chosen = self.push_urls.as_ref().is_some_and(|guard| !guard.allow.is_empty());
        let chosen = chosen || self.versions.is_some() || self.ownership.is_some();
        chosen || self.methods.as_ref().is_some_and(|methods| methods.is_guard()) || self.file_urls.is_some()
    }

    /// How calls are recognised and followed, in words. `is_strict`: none passes unread.
    #[must_use]
    pub fn recognition(&self, is_strict: bool) -> String {
        let most = bytes(u64::try_from(self.max_body_bytes).unwrap_or(u64::MAX));
        let is_refused = is_strict || self.large_bodies == LargeBodies::Refuse;
        let longer = if is_refused { "longer ones refused" } else { "longer ones pass unread" };
        let tasks = self.affinity.as_ref().map_or_else(|| "tasks at any endpoint".to_owned(), ToString::to_string);
        let alive = self.keep_alive.map(|silence| format!(", a comment after {} of a silent stream", time(silence)));
        format!("calls recognised, in bodies up to {most}, {longer}, {tasks}{}", alive.unwrap_or_default())
    }

    /// Which calls share an answer with equal ones, in words.
    pub fn sharing(&self) -> impl Iterator<Item = String> {
        let sends =
            self.single_flight.map(|keep| format!("a message sent again within {} gets its answer", time(keep)));
        let polls = self.poll_damping.map(|keep| format!("GetTask within {} once for all", time(keep)));
        sends.into_iter().chain(polls)
    }

    /// Its guards in words.
    pub fn guards(&self) -> impl Iterator<Item = String> {
        let versions = self.versions.iter().map(|taken| {
            let taken: Vec<_> = taken.iter().map(|version| version.name()).collect();
            format!("A2A {} only", taken.join(" and "))
        });
        let methods = self.methods.iter().map(ToString::to_string).filter(|methods| !methods.is_empty());
        let owned = self.ownership.iter().map(|ownership| {
            let by: Vec<_> = ownership.by.iter().map(ToString::to_string).collect();
            format!("tasks only for who made them, by {}", by.join(" and "))
        });
        let urls = [("push", &self.push_urls), ("file", &self.file_urls)];
        let urls = urls.into_iter().map(|(kind, guard)| match guard {
            None => format!("{kind} URLs unchecked"),
            Some(guard) => format!("{kind} URLs {guard}"),
        });
        versions.chain(methods).chain(owned).chain(urls)
    }
}

/// How long tasks stay where they are, and what then.
impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = match self.on_loss {
            OnLoss::Rebalance => "then at another",
            OnLoss::Fail => "then 503",
        };
        write!(f, "tasks stay with their endpoint for {}, {lost} when it is gone", time(self.ttl))
    }
}

choice! {
    /// Who says in cards how clients prove who they are.
    pub enum CardSecurity {
        /// The agent.
        Keep = ["keep"],
        /// The providers of the route.
        Providers = ["providers"],
    }
}

choice! {
    /// What becomes of a call about something whose maker is not known.
    pub enum UnknownMaker {
        /// There is no such thing.
        Refuse = ["refuse"],
        /// It passes.
        Allow = ["allow"],
    }
}

choice! {
    /// What becomes of a body that is longer than what is looked at.
    pub enum LargeBodies {
        /// It is sent on as any request.
        Pass = ["pass"],
        /// It is refused.
        Refuse = ["refuse"],
    }

    /// What becomes of a call when the endpoint that held its task is gone.
    pub enum OnLoss {
        /// Another endpoint gets it.
        Rebalance = ["rebalance"],
        /// It is refused.
        Fail = ["fail"],
    }
}

words!(
    SignedCards, "SignedCards",
    Self::Keep => ["keep"], Self::Strip => ["strip"], Self::Resign => ["resign"], Self::Fail => ["fail"],
);

word_values!(SignedCards);
