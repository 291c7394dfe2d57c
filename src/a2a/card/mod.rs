//! The mapping of agent cards. A card names the URLs that clients call, and clients call them instead of the URL they
//! fetched the card from. So a card that names the agent's own address leads clients past the gateway. The mapping
//! replaces the texts of these URLs and changes no other byte: what it does not know it keeps.
//!
//! Which URL becomes which is the caller's affair: it gets each URL with its transport and says a verdict.

mod edit;
pub mod inspect;
mod listed;
mod message;
mod scan;
mod security;
mod sign;
mod tag;

use serde::Deserialize as _;
use serde_json::value::RawValue;

use super::operation::Generation;
use edit::Edits;
use scan::{Card, Interface, member};

pub use listed::Listed;
pub use security::{Scheme, Security};
pub use sign::signed;
pub use tag::{is_known, weak_tag};

/// Where cards are, below an agent's base URL: since 0.3, and before.
pub const NAMES: [&str; 2] = ["/.well-known/agent-card.json", "/.well-known/agent.json"];
/// Bytes of a card that are looked at. Larger ones are passed on as they are.
pub const MAX_CARD: usize = 1 << 20;

/// What a URL of a card is spoken to with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// gRPC: the URL is a host and a port, in most cards without a scheme.
    Grpc,
    /// JSON-RPC, REST, or a binding of the agent's own: a URL.
    Http,
}

impl Transport {
    /// The transport that a card names.
    fn of(binding: &str) -> Self {
        if binding.eq_ignore_ascii_case("grpc") { Self::Grpc } else { Self::Http }
    }
}

/// What is to become of one URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leads through the gateway already.
    Public,
    /// This one leads through the gateway.
    Mapped(String),
    /// The gateway does not serve this transport: the interface is left out.
    NotServed,
    /// It is not an address of this agent.
    UnknownHost,
    /// It is an address of this agent, and nothing that clients could ask for leads to this path.
    UnknownPath,
}

impl Verdict {
    /// Whether clients get through the gateway by it.
    const fn leads(&self) -> bool {
        matches!(self, Self::Public | Self::Mapped(_))
    }

    /// The same for an interface in a list. Where another one of the list leads through the gateway, one that the
    /// gateway does not lead to is left out; alone it stays, as a card without any is of no use.
    fn beside(self, has_other: bool) -> Self {
        if has_other && self == Self::UnknownPath { Self::NotServed } else { self }
    }
}

/// Where in a document the card is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the document.
    Whole,
    /// It is the `result` of a JSON-RPC answer.
    Result,
    /// The document is a message of protocol buffers.
    Message(Generation),
}

/// What becomes of a signed card that has to change: every change breaks the signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedCards {
    /// It stays as it is, and leads clients past the gateway.
    Keep,
    /// It is changed, and its signatures are taken out.
    Strip,
    /// It is changed, and signed by the gateway.
    Resign,
    /// It is refused.
    Fail,
}

/// What a card came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// What was done.
    pub outcome: Outcome,
    /// URLs that have another text now.
    pub mapped: usize,
    /// Interfaces that are left out.
    pub dropped: usize,
    /// Whether it lost its signatures.
    pub is_stripped: bool,
    /// The first URL that leads past the gateway, and why it stays.
    pub left: Option<(String, Verdict)>,
}

/// What was done with a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing had to change.
    #[default]
    Unchanged,
    /// The card is this one.
    Changed(Vec<u8>),
    /// It would have changed, but it is signed.
    LeftSigned,
    /// It would have changed, and a signed card that changes is refused.
    Refused,
}

/// A document that holds no card.
#[derive(Debug, thiserror::Error)]
pub enum NoCard {
    /// Not JSON, or not an object where one has to be.
    #[error("not a JSON object")]
    NotAnObject(#[from] serde_json::Error),
    /// A JSON-RPC answer that is an error.
    #[error("no `result`")]
    NoResult,
    /// No message of protocol buffers.
    #[error("not a message")]
    NotAMessage,
}

/// What becomes of a card that has to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// It changes.
    Change,
    /// It changes, and loses its signatures.
    Strip,
    /// It is signed and stays.
    Leave,
    /// It is signed and refused.
    Refuse,
}

impl Decision {
    const fn of(is_signed: bool, signed: SignedCards) -> Self {
        match (is_signed, signed) {
            (false, _) => Self::Change,
            (true, SignedCards::Keep) => Self::Leave,
            (true, SignedCards::Strip | SignedCards::Resign) => Self::Strip,
            (true, SignedCards::Fail) => Self::Refuse,
        }
    }
}

impl Mapping {
    /// Notes what is done with a card that would be `card`.
    fn settle(&mut self, decision: Decision, card: Vec<u8>) {
        self.is_stripped = decision == Decision::Strip;
        self.outcome = match decision {
            Decision::Change | Decision::Strip => Outcome::Changed(card),
            Decision::Leave => Outcome::LeftSigned,
            Decision::Refuse => Outcome::Refused,
        };
    }

    /// Notes what becomes of a URL; its new text, where it has one.
    fn note(&mut self, url: &str, verdict: &Verdict) -> Option<String> {
        match verdict {
            Verdict::Mapped(new) if new != url => {
                self.mapped += 1;
                return Some(new.clone());
            }
            Verdict::UnknownHost | Verdict::UnknownPath if self.left.is_none() => {
                self.left = Some((url.to_owned(), verdict.clone()));
            }
            Verdict::Mapped(_) | Verdict::Public | Verdict::NotServed | Verdict::UnknownHost | Verdict::UnknownPath => {
            }
        }
        None
    }
}

/// Maps the URLs of a card by `verdict`.
///
/// # Errors
/// When there is no card.
pub fn map(
    document: &[u8],
    place: Place,
    signed: SignedCards,
    verdict: impl FnMut(Transport, &str) -> Verdict,
) -> Result<Mapping, NoCard> {
    map_with(document, place, signed, None, verdict)
}

/// The same, and puts `security` in the place of what the card says about how clients prove who they are. Cards in
/// protocol buffers keep what they say of it.
///
/// # Errors
/// When there is no card.
pub fn map_with(
    document: &[u8],
    place: Place,
    signed: SignedCards,
    security: Option<&Security>,
    verdict: impl FnMut(Transport, &str) -> Verdict,
) -> Result<Mapping, NoCard> {
    let whole = match place {
        Place::Whole => document,
        Place::Result => member(document, "result")?.ok_or(NoCard::NoResult)?.get().as_bytes(),
        Place::Message(generation) => return message::map(document, generation, signed, verdict),
    };
    let card = read(whole)?;
    let mut mapping = Mapping::default();
    let mut edits = Edits::of(document);
    check_urls(&card, &mut mapping, &mut edits, verdict);
    let security = security.zip(std::str::from_utf8(whole).ok());
    if let Some((security, whole)) = security {
        let is_current = card.members.iter().any(|member| member.name == "supportedInterfaces");
        edits.add_member(whole.trim(), &security.members(is_current));
    }
    if edits.are_none() {
        return Ok(mapping);
    }
    let decision = Decision::of(card.is_signed(), signed);
    edits.drop_items(&card.members, |member| {
        let is_signature = decision == Decision::Strip && member.name == SIGNATURES;
        is_signature || (security.is_some() && security::is_about(&member.name))
    });
    mapping.settle(decision, edits.applied());
    Ok(mapping)
}

fn read(whole: &[u8]) -> Result<Card<'_>, NoCard> {
    let mut deserializer = serde_json::Deserializer::from_slice(whole);
    let card = Card::deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(card)
}

/// Asks for every URL of the card.
fn check_urls<'c>(
    card: &Card<'c>,
    mapping: &mut Mapping,
    edits: &mut Edits<'c>,
    mut verdict: impl FnMut(Transport, &str) -> Verdict,
) {
    for list in &card.lists {
        let leads = |interface: &Interface<'_>| {
            let mut urls = interface.urls.iter().filter_map(|url| text_of(url));
            urls.any(|url| verdict(interface.transport(), &url).leads())
        };
        let has_other = list.items.iter().any(leads);
        let mut masked = |transport, url: &str| verdict(transport, url).beside(has_other);
        let mut dropped = Vec::new();
        for interface in &list.items {
            let is_left_out = take(interface, mapping, edits, &mut masked) == Some(Verdict::NotServed);
            dropped.push(is_left_out);
        }
        mapping.dropped += dropped.iter().filter(|is_left_out| **is_left_out).count();
        let mut turns = dropped.into_iter();
        edits.drop_items(&list.items, |_| turns.next().unwrap_or(false));
    }
    let main = |transport, url: &str| of_main(transport, url, &mut verdict);
    take(&card.main, mapping, edits, main);
}

/// The verdict on the agent's own URL. The field has to be there, so an address that is not served cannot be left out:
/// it is mapped all the same, and fails where it would have led past the gateway.
fn of_main(transport: Transport, url: &str, verdict: &mut impl FnMut(Transport, &str) -> Verdict) -> Verdict {
    match verdict(transport, url) {
        Verdict::NotServed => verdict(Transport::Http, url),
        other => other,
    }
}

/// Asks for the URLs of one interface: usually one. The last verdict is the one that counts for the whole, as the last
/// of several fields of one name counts for most readers.
fn take<'c>(
    interface: &Interface<'c>,
    mapping: &mut Mapping,
    edits: &mut Edits<'c>,
    mut verdict: impl FnMut(Transport, &str) -> Verdict,
) -> Option<Verdict> {
    let mut last = None;
    for url in &interface.urls {
        let Some(text) = text_of(url) else { continue };
        let found = verdict(interface.transport(), &text);
        if let Some(new) = mapping.note(&text, &found) {
            edits.replace(url.get(), &new);
        }
        last = Some(found);
    }
    last
}

/// A URL that is not text is not one.
fn text_of(url: &RawValue) -> Option<String> {
    serde_json::from_str(url.get()).ok()
}

const SIGNATURES: &str = "signatures";

#[cfg(test)]
mod tests;
