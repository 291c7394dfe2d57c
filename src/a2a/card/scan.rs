//! Where in the text of a card the URLs are. Values are slices of the text, so that their places are known. Fields that
//! come twice are all found: which of them a client reads depends on the client.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Transport;

/// A card, as far as it is looked at.
#[derive(Debug, Default)]
pub(super) struct Card<'c> {
    /// `supportedInterfaces` (1.0) and `additionalInterfaces` (0.2.4 to 0.3).
    pub(super) lists: Vec<List<'c>>,
    /// `url` with `preferredTransport` (0.1 to 0.3).
    pub(super) main: Interface<'c>,
    /// Every member of the object.
    pub(super) members: Vec<Member<'c>>,
}

/// A list of interfaces.
#[derive(Debug, Default)]
pub(super) struct List<'c> {
    pub(super) items: Vec<Interface<'c>>,
}

/// An interface of an agent.
#[derive(Debug, Default)]
pub(super) struct Interface<'c> {
    /// The whole object; empty for the main one, which is none.
    pub(super) text: &'c str,
    pub(super) urls: Vec<&'c RawValue>,
    binding: Option<Cow<'c, str>>,
}

/// A member of an object.
#[derive(Debug)]
pub(super) struct Member<'c> {
    pub(super) name: Cow<'c, str>,
    pub(super) key: &'c str,
    pub(super) value: &'c str,
}

impl Card<'_> {
    /// Whether there is a signature to break.
    pub(super) fn is_signed(&self) -> bool {
        let holds = |value: &str| !matches!(value, "null") && value.bytes().any(|byte| !b"[] \t\r\n".contains(&byte));
        self.members.iter().any(|member| member.name == super::SIGNATURES && holds(member.value))
    }
}

impl Interface<'_> {
    pub(super) fn transport(&self) -> Transport {
        self.binding.as_deref().map_or(Transport::Http, Transport::of)
    }
}

impl<'de> Deserialize<'de> for Card<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut card = Self::default();
        deserializer.deserialize_map(Members(|key: &'de RawValue, value: &'de RawValue| {
            let Some(name) = name_of(key) else { return };
            match &*name {
                "supportedInterfaces" | "additionalInterfaces" => card.lists.extend(list(value)),
                "url" => card.main.urls.push(value),
                "preferredTransport" => card.main.binding = name_of(value),
                _ => {}
            }
            card.members.push(Member { name, key: key.get(), value: value.get() });
        }))?;
        Ok(card)
    }
}

/// The interfaces of a list; `None` where it is none, which is no matter of the gateway.
fn list(value: &RawValue) -> Option<List<'_>> {
    let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
    Some(List { items: items.into_iter().map(interface).collect() })
}

fn interface(value: &RawValue) -> Interface<'_> {
    let mut found = Interface { text: value.get(), ..Interface::default() };
    let mut deserializer = serde_json::Deserializer::from_str(value.get());
    // What is not an object has no URL.
    let _read = deserializer.deserialize_map(Members(|key: &RawValue, value| match name_of(key).as_deref() {
        Some("url") => found.urls.push(value),
        Some("protocolBinding" | "transport") => found.binding = name_of(value),
        _ => {}
    }));
    found
}

/// The value of the last member of this name.
pub(super) fn member<'c>(document: &'c [u8], wanted: &str) -> Result<Option<&'c RawValue>, serde_json::Error> {
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    deserializer.deserialize_map(Members(|key: &'c RawValue, value: &'c RawValue| {
        if name_of(key).is_some_and(|name| name == wanted) {
            found = Some(value);
        }
    }))?;
    deserializer.end()?;
    Ok(found)
}

/// The text of a JSON string, borrowed where it has no escapes.
fn name_of(value: &RawValue) -> Option<Cow<'_, str>> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Cow<'de, str>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }
        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.to_owned()))
        }
    }
    serde_json::Deserializer::from_str(value.get()).deserialize_str(Text).ok()
}

/// Shows every member of an object to a function.
struct Members<F>(F);

impl<'de, F: FnMut(&'de RawValue, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry()? {
            (self.0)(key, value);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Err(serde::de::Error::custom("a list where an object has to be"))
    }
}
