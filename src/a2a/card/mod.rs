//! The mapping of agent cards. A card names the URLs that clients call, and clients call them instead of the URL they
//! fetched the card from. So a card that names the agent's own address leads clients past the gateway. The mapping
//! replaces the texts of these URLs and changes no other byte: what it does not know it keeps.
//!
//! Which URL becomes which is the caller's affair: it gets each URL with its transport and says a verdict.

mod edit;
pub mod inspect;
mod scan;
mod tag;

use serde::Deserialize as _;
use serde_json::value::RawValue;

use edit::Edits;
use scan::{Card, Interface, member};

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

/// Where in a document the card is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the document.
    Whole,
    /// It is the `result` of a JSON-RPC answer.
    Result,
}

/// What becomes of a signed card that has to change: every change breaks the signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedCards {
    /// It stays as it is, and leads clients past the gateway.
    Keep,
    /// It is changed, and its signatures are taken out.
    Strip,
    /// It is refused.
    Fail,
}

/// What a card came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// What was done.
    pub outcome: Outcome,
    /// URLs that have another text now.
    pub mapped: usize,
    /// Interfaces that are left out.
    pub dropped: usize,
    /// The first URL that leads past the gateway, and why it stays.
    pub left: Option<(String, Verdict)>,
}

/// What was done with a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing had to change.
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
    let card = read(document, place)?;
    let mut mapping = Mapping { outcome: Outcome::Unchanged, mapped: 0, dropped: 0, left: None };
    let mut edits = Edits::of(document);
    check_urls(&card, &mut mapping, &mut edits, verdict);
    if edits.are_none() {
        return Ok(mapping);
    }
    mapping.outcome = match (card.is_signed(), signed) {
        (true, SignedCards::Keep) => Outcome::LeftSigned,
        (true, SignedCards::Fail) => Outcome::Refused,
        (true, SignedCards::Strip) => {
            edits.drop_items(&card.members, |member| member.name == SIGNATURES);
            Outcome::Changed(edits.applied())
        }
        (false, _) => Outcome::Changed(edits.applied()),
    };
    Ok(mapping)
}

fn read(document: &[u8], place: Place) -> Result<Card<'_>, NoCard> {
    let whole = match place {
        Place::Whole => document,
        Place::Result => member(document, "result")?.ok_or(NoCard::NoResult)?.get().as_bytes(),
    };
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
        let mut dropped = Vec::new();
        for interface in &list.items {
            let is_left_out = take(interface, mapping, edits, &mut verdict) == Some(Verdict::NotServed);
            dropped.push(is_left_out);
        }
        mapping.dropped += dropped.iter().filter(|is_left_out| **is_left_out).count();
        let mut turns = dropped.into_iter();
        edits.drop_items(&list.items, |_| turns.next().unwrap_or(false));
    }
    // The field has to be there, so an address that is not served cannot be left out: it is mapped all the same, and
    // fails where it would have led past the gateway.
    let main = |transport, url: &str| match verdict(transport, url) {
        Verdict::NotServed => verdict(Transport::Http, url),
        other => other,
    };
    take(&card.main, mapping, edits, main);
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
        match &found {
            Verdict::Mapped(new) if *new != text => {
                mapping.mapped += 1;
                edits.replace(url.get(), new);
            }
            Verdict::UnknownHost | Verdict::UnknownPath if mapping.left.is_none() => {
                mapping.left = Some((text, found.clone()));
            }
            Verdict::Mapped(_) | Verdict::Public | Verdict::NotServed | Verdict::UnknownHost | Verdict::UnknownPath => {
            }
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
