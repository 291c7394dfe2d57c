//! Whether the agent card that a check fetched leads clients past the gateway. The log says so once for each card,
//! before a client has asked for it.

use std::collections::BTreeSet;

use http::Uri;
use xxhash_rust::xxh3::xxh3_64;

use super::card::Seen;
use crate::cluster::{Cluster, Endpoint};
use crate::observe::told::Told;

/// What the routes to a cluster make of the cards of its agents.
#[derive(Clone, Debug, Default)]
pub struct CardPlaces {
    /// Hosts under which clients see the gateway, in lower case, as far as the configuration says.
    pub public: BTreeSet<String>,
    /// Whether a route passes cards on as they are.
    pub unmapped: bool,
    /// Whether a route leaves signed cards alone.
    pub keeps_signed: bool,
}

/// Looks at the cards of one cluster.
#[derive(Debug)]
pub(super) struct Watch {
    places: CardPlaces,
    told: Told,
}

/// Where a card leads past the gateway.
#[derive(Debug, PartialEq, Eq)]
enum Past<'c> {
    /// To an address that is neither the agent's nor public.
    Elsewhere(&'c str),
    /// To the agent itself, and a route does not map cards.
    Unmapped(&'c str),
    /// To the agent itself, and a route leaves it alone because it is signed.
    Signed(&'c str),
}

impl Watch {
    pub(super) fn new(places: CardPlaces) -> Self {
        Self { places, told: Told::default() }
    }

    /// Warns of a card that leads past the gateway, once.
    pub(super) fn look(&self, cluster: &Cluster, endpoint: &Endpoint, card: &Seen) {
        let is_agent = |host: &str, port| endpoint.means_itself(host, port) || cluster.is_at(host, port);
        let Some(past) = past(card, &self.places, is_agent) else { return };
        if !self.told.is_new(xxh3_64(format!("{past:?}").as_bytes())) {
            return;
        }
        let (cluster, address) = (&cluster.name, endpoint.address);
        match past {
            Past::Elsewhere(url) => tracing::warn!(
                %cluster, endpoint = %address, url,
                "an agent card names an address that is neither an endpoint of the cluster nor public, so clients go \
                 past the gateway"
            ),
            Past::Unmapped(url) => tracing::warn!(
                %cluster, endpoint = %address, url,
                "an agent card leads clients past the gateway, and `a2a.agentCard` is off on a route"
            ),
            Past::Signed(url) => tracing::warn!(
                %cluster, endpoint = %address, url,
                "an agent card leads clients past the gateway and is signed, so it is left alone: sign it with the \
                 public URL, or set `a2a.agentCard.signedCards`"
            ),
        }
    }
}

/// Where a card leads past the gateway, if it does: the first of its URLs that is nobody's, else one of the agent
/// itself that stays.
fn past<'c>(card: &'c Seen, places: &CardPlaces, is_agent: impl Fn(&str, u16) -> bool) -> Option<Past<'c>> {
    let mut own = None;
    for url in &card.urls {
        let Some((host, port)) = address(url) else { continue };
        if is_agent(&host, port) {
            own = own.or(Some(url));
        } else if !places.public.contains(&host) {
            return Some(Past::Elsewhere(url));
        }
    }
    let own = own?;
    if places.unmapped {
        return Some(Past::Unmapped(own));
    }
    (places.keeps_signed && card.is_signed).then_some(Past::Signed(own))
}

/// Host and port of a URL, or of a gRPC address without a scheme.
fn address(url: &str) -> Option<(String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let port = uri.port_u16().unwrap_or_else(|| if uri.scheme_str() == Some("http") { 80 } else { 443 });
    Some((uri.host()?.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(urls: &[&str], is_signed: bool) -> Seen {
        Seen { urls: urls.iter().map(|&url| url.to_owned()).collect(), is_signed }
    }

    fn is_agent(host: &str, port: u16) -> bool {
        (host, port) == ("10.0.0.1", 80) || (host, port) == ("10.0.0.1", 50051)
    }

    #[test]
    fn what_leads_past_the_gateway() {
        let public = BTreeSet::from(["agents.example".to_owned()]);
        let mapped = CardPlaces { public: public.clone(), unmapped: false, keeps_signed: true };
        let unmapped = CardPlaces { public: public.clone(), unmapped: true, keeps_signed: true };
        let strips = CardPlaces { public, unmapped: false, keeps_signed: false };
        let own = "http://10.0.0.1/a";
        for (urls, is_signed, places, expected) in [
            (&[own][..], false, &mapped, None),
            (&[own, "10.0.0.1:50051"], false, &mapped, None),
            (&[own], true, &mapped, Some(Past::Signed(own))),
            (&[own], true, &strips, None),
            (&[own], false, &unmapped, Some(Past::Unmapped(own))),
            (&["https://Agents.Example/a"], true, &unmapped, None),
            (&[own, "http://10.0.0.1:81/"], true, &mapped, Some(Past::Elsewhere("http://10.0.0.1:81/"))),
            (&["https://elsewhere.example/"], false, &strips, Some(Past::Elsewhere("https://elsewhere.example/"))),
            (&["/relative", "no address at all"], true, &unmapped, None),
        ] {
            assert_eq!(past(&seen(urls, is_signed), places, is_agent), expected, "{urls:?}");
        }
    }
}
