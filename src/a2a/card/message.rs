//! The mapping of a card that is a message of protocol buffers, as gRPC answers with it. Fields are copied as they
//! came, unknown ones too; only an interface that has another URL is written anew.

use super::{Decision, Mapping, NoCard, SignedCards, Transport, Verdict};
use crate::a2a::operation::Generation;
use crate::a2a::wire::{self, Field, put};

/// The numbers of the fields that matter.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    /// The list of interfaces.
    interfaces: u32,
    /// The URL of the agent itself and its transport.
    main: Option<(u32, u32)>,
    signatures: u32,
}

impl Numbers {
    /// Of `lf.a2a.v1.AgentCard`, and of `a2a.v1.AgentCard` before.
    const fn of(generation: Generation) -> Self {
        match generation {
            Generation::V1_0 => Self { interfaces: 3, main: None, signatures: 13 },
            Generation::V0_1 | Generation::V0_3 => Self { interfaces: 15, main: Some((3, 14)), signatures: 17 },
        }
    }
}

/// Maps the URLs of the card in a message.
pub(super) fn map(
    message: &[u8],
    generation: Generation,
    signed: SignedCards,
    mut verdict: impl FnMut(Transport, &str) -> Verdict,
) -> Result<Mapping, NoCard> {
    let numbers = Numbers::of(generation);
    let mut mapping = Mapping::default();
    let is_signature = |field: &Field<'_>| field.number == numbers.signatures && field.bytes().is_some();
    let is_signed = fields(message).any(|field| field.is_ok_and(|field| is_signature(&field)));
    let decision = Decision::of(is_signed, signed);
    let main = numbers.main.map(|(_, transport)| last_transport(message, transport)).transpose()?;
    let has_other = has_leading(message, numbers.interfaces, &mut verdict)?;
    let mut card = Vec::with_capacity(message.len() + ROOM);
    let mut has_changed = false;
    for field in fields(message) {
        let field = field?;
        let new = match (field.bytes(), numbers.main) {
            _ if is_signature(&field) && decision == Decision::Strip => continue,
            (Some(interface), _) if field.number == numbers.interfaces => {
                let mut masked = |transport, url: &str| verdict(transport, url).beside(has_other);
                self::interface(interface, &mut mapping, &mut masked)?
            }
            (Some(url), Some((number, _))) if field.number == number => {
                let transport = main.unwrap_or(Transport::Http);
                let url = text(url)?;
                New::text(mapping.note(url, &super::of_main(transport, url, &mut verdict)))
            }
            _ => New::Same,
        };
        has_changed |= !matches!(new, New::Same);
        match new {
            New::Same => card.extend_from_slice(field.whole),
            New::Gone => mapping.dropped += 1,
            New::Content(content) => put(&mut card, field.tag, &content),
        }
    }
    if has_changed {
        mapping.settle(decision, card);
    }
    Ok(mapping)
}

/// What becomes of a field.
enum New {
    Same,
    Gone,
    Content(Vec<u8>),
}

impl New {
    fn text(text: Option<String>) -> Self {
        text.map_or(Self::Same, |text| Self::Content(text.into_bytes()))
    }
}

/// The transport of the agent's own URL: the last one counts.
fn last_transport(message: &[u8], number: u32) -> Result<Transport, NoCard> {
    let mut found = Transport::Http;
    for field in fields(message) {
        let field = field?;
        if let (true, Some(content)) = (field.number == number, field.bytes()) {
            found = Transport::of(text(content)?);
        }
    }
    Ok(found)
}

/// Whether an interface leads through the gateway.
fn has_leading(
    message: &[u8],
    number: u32,
    verdict: &mut impl FnMut(Transport, &str) -> Verdict,
) -> Result<bool, NoCard> {
    for field in fields(message) {
        let field = field?;
        let Some(interface) = field.bytes().filter(|_| field.number == number) else { continue };
        let transport = last_transport(interface, BINDING)?;
        let mut leads = false;
        for field in fields(interface) {
            let field = field?;
            if let Some(url) = field.bytes().filter(|_| field.number == URL) {
                // The last one counts.
                leads = verdict(transport, text(url)?).leads();
            }
        }
        if leads {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Asks for the URL of an interface.
fn interface(
    interface: &[u8],
    mapping: &mut Mapping,
    verdict: &mut impl FnMut(Transport, &str) -> Verdict,
) -> Result<New, NoCard> {
    let transport = last_transport(interface, BINDING)?;
    let mut new = Vec::new();
    let (mut has_changed, mut last) = (false, None);
    for field in fields(interface) {
        let field = field?;
        let Some(url) = field.bytes().filter(|_| field.number == URL) else {
            new.extend_from_slice(field.whole);
            continue;
        };
        let url = text(url)?;
        let found = verdict(transport, url);
        match mapping.note(url, &found) {
            Some(mapped) => {
                has_changed = true;
                put(&mut new, field.tag, mapped.as_bytes());
            }
            None => new.extend_from_slice(field.whole),
        }
        last = Some(found);
    }
    Ok(match last {
        Some(Verdict::NotServed) => New::Gone,
        _ if has_changed => New::Content(new),
        _ => New::Same,
    })
}

fn text(content: &[u8]) -> Result<&str, NoCard> {
    std::str::from_utf8(content).map_err(|_no_text| NoCard::NotAMessage)
}

/// The fields of a message, up to the first that is none.
fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, NoCard>> {
    wire::fields(message).map(|field| field.ok_or(NoCard::NotAMessage))
}

/// Fields of an interface, in both generations.
const URL: u32 = 1;
const BINDING: u32 = 2;
/// For URLs that become longer.
const ROOM: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::a2a::card::{Outcome, Place};

    const V1_0: Generation = Generation::V1_0;
    const V0_3: Generation = Generation::V0_3;

    fn put(number: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
        let mut field = Vec::new();
        let tag = [number << 3 | 2];
        let long = [(number << 3 | 2) & 0x7f | 0x80, number >> 4];
        let tag: &[u8] = if number < 16 { &tag } else { &long };
        wire::put(&mut field, tag, content.as_ref());
        field
    }

    fn interface(url: &str, binding: &str) -> Vec<u8> {
        [put(1, url), put(2, binding), put(9, "unknown")].concat()
    }

    fn verdict(transport: Transport, url: &str) -> Verdict {
        match (url.strip_prefix("http://inner"), transport) {
            (Some(path), _) => Verdict::Mapped(format!("https://outside.example{path}")),
            (None, Transport::Grpc) => Verdict::NotServed,
            (None, Transport::Http) if url.starts_with("http://10.") => Verdict::UnknownPath,
            (None, Transport::Http) => Verdict::UnknownHost,
        }
    }

    fn mapped(message: &[u8], generation: Generation, signed: SignedCards) -> Result<Mapping, NoCard> {
        crate::a2a::card::map(message, Place::Message(generation), signed, verdict)
    }

    /// A card of 1.0 between fields that nobody asks for: a number, fixed numbers, a long text, an unknown field.
    fn card(interfaces: &[Vec<u8>]) -> Vec<u8> {
        let mut card = [put(1, "name"), vec![0x60, 0x96, 1], put(2, "x".repeat(300))].concat();
        interfaces.iter().for_each(|interface| card.extend(put(3, interface)));
        card.extend([0x61, 1, 2, 3, 4, 5, 6, 7, 8, 0x75, 1, 2, 3, 4]);
        card.extend(put(31, "of a later version"));
        card
    }

    #[test]
    fn urls_are_mapped_and_all_other_bytes_stay() {
        let before = card(&[interface("http://inner/a", "JSONRPC"), interface("10.0.0.1:5", "GRPC")]);
        let found = mapped(&before, V1_0, SignedCards::Keep).unwrap();
        assert_eq!((found.mapped, found.dropped, found.left), (1, 1, None));
        let after = card(&[interface("https://outside.example/a", "JSONRPC")]);
        assert_eq!(found.outcome, Outcome::Changed(after.clone()));
        let beside = card(&[interface("http://10.1/x", "HTTP+JSON"), interface("http://inner/a", "JSONRPC")]);
        assert_eq!(mapped(&beside, V1_0, SignedCards::Keep).unwrap().outcome, Outcome::Changed(after), "no route");
        let alone = mapped(&card(&[interface("http://10.1/x", "JSONRPC")]), V1_0, SignedCards::Keep).unwrap();
        assert_eq!((alone.outcome, alone.left.unwrap().1), (Outcome::Unchanged, Verdict::UnknownPath));
        let same = card(&[interface("https://x/", "HTTP+JSON")]);
        let found = mapped(&same, V1_0, SignedCards::Keep).unwrap();
        assert_eq!(found.outcome, Outcome::Unchanged);
        assert_eq!(found.left, Some(("https://x/".to_owned(), Verdict::UnknownHost)));
    }

    #[test]
    fn an_interface_leads_where_its_last_url_does() {
        let two = put(3, [put(1, "http://inner/a"), put(1, "http://10.1/x")].concat());
        let found = mapped(&two, V1_0, SignedCards::Keep).unwrap();
        assert_eq!((found.mapped, found.dropped), (1, 0), "the only interface stays, though it leads nowhere");
    }

    #[test]
    fn before_1_0_the_agent_has_a_url_of_its_own() {
        let card = |url: &str, transport: &str, other: &str| {
            [put(3, url), put(14, transport), put(15, interface(other, "HTTP+JSON")), put(16, "0.3.0")].concat()
        };
        let found = mapped(&card("http://inner/", "JSONRPC", "http://inner/v1"), V0_3, SignedCards::Keep).unwrap();
        let after = card("https://outside.example/", "JSONRPC", "https://outside.example/v1");
        assert_eq!((found.outcome, found.mapped), (Outcome::Changed(after), 2));
        // The field has to be there, so a transport that is not served is not left out.
        let found = mapped(&card("10.0.0.1:1", "GRPC", "https://x/"), V0_3, SignedCards::Keep).unwrap();
        assert_eq!((found.outcome, found.dropped), (Outcome::Unchanged, 0));
        let found = mapped(&card("http://inner/", "JSONRPC", "http://inner/v1"), V1_0, SignedCards::Keep);
        assert!(found.is_err(), "the field is a message since 1.0");
    }

    #[test]
    fn a_signed_card_does_as_its_route_says() {
        let plain = card(&[interface("http://inner/a", "JSONRPC")]);
        let signed = [plain, put(13, put(1, "e30")), put(14, "icon"), put(13, put(1, "e30"))].concat();
        let outcome = |signed_cards| mapped(&signed, V1_0, signed_cards).unwrap().outcome;
        assert_eq!(outcome(SignedCards::Keep), Outcome::LeftSigned);
        assert_eq!(outcome(SignedCards::Fail), Outcome::Refused);
        let stripped = [card(&[interface("https://outside.example/a", "JSONRPC")]), put(14, "icon")].concat();
        assert_eq!(outcome(SignedCards::Strip), Outcome::Changed(stripped));
        let public = [card(&[interface("https://x/", "JSONRPC")]), put(13, put(1, "e30"))].concat();
        assert_eq!(mapped(&public, V1_0, SignedCards::Strip).unwrap().outcome, Outcome::Unchanged);
    }

    #[test]
    fn what_is_no_message_is_no_card() {
        for (bytes, why) in [
            (&b"\x1a\x02\x0a"[..], "a length beyond the message"),
            (b"\x1a\x02\x0a\x05", "a length beyond the interface"),
            (b"\x1a\x03\x0a\x01\xff", "a URL that is no text"),
            (b"\x08", "a tag without a number"),
            (b"\x09\x01", "a fixed number that is cut off"),
            (b"\x0b\x0c", "a group"),
            (b"\x00\x00", "field zero"),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "a number of more than 64 bits"),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a length of 64 bits"),
        ] {
            assert!(matches!(mapped(bytes, V1_0, SignedCards::Keep), Err(NoCard::NotAMessage)), "{why}");
        }
        assert_eq!(mapped(b"", V1_0, SignedCards::Keep).unwrap(), Mapping::default(), "an empty card is one");
    }

    proptest! {
        #[test]
        fn any_bytes_map_once(tail in proptest::collection::vec(any::<u8>(), 0..40), at in 0_usize..60) {
            let mut bytes = card(&[interface("http://inner/a", "JSONRPC"), interface("x:1", "GRPC")]);
            bytes.splice(at.min(bytes.len()).., tail);
            for generation in [V1_0, V0_3] {
                let Ok(found) = mapped(&bytes, generation, SignedCards::Strip) else { continue };
                if let Outcome::Changed(once) = found.outcome {
                    let again = mapped(&once, generation, SignedCards::Strip).unwrap();
                    prop_assert_eq!(again.outcome, Outcome::Unchanged);
                }
            }
        }

        #[test]
        fn interfaces_of_unknown_hosts_stay_as_they_are_in_any_order(
            fields in proptest::collection::vec((0_usize..4, "[a-z]{0,9}"), 0..8).prop_shuffle(),
        ) {
            let one = |url: &str, word: &str| put(3, interface(&format!("{url}/{word}"), "JSONRPC"));
            let field = |inner: &str, (kind, word): &(usize, String)| match kind {
                0 => put(1, word),
                1 => one(inner, word),
                2 => one("http://elsewhere", word),
                _ => put(31, word),
            };
            let card = |inner: &str| fields.iter().flat_map(|part| field(inner, part)).collect::<Vec<u8>>();
            let found = mapped(&card("http://inner"), V1_0, SignedCards::Keep).unwrap();
            let is_mapped = fields.iter().any(|(kind, _)| *kind == 1);
            let outside = Outcome::Changed(card("https://outside.example"));
            prop_assert_eq!((found.outcome, found.dropped), (if is_mapped { outside } else { Outcome::Unchanged }, 0));
        }
    }
}
