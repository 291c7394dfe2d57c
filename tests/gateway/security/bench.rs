//! A gateway between raw clients and an [`Origin`], and the judgements most tests share.

use super::origin::{Arrived, Origin};
use crate::support::{Gw, Raw};

/// Everything to the one endpoint.
pub(super) const TO_ONE: &str = "routes: { all: { endpoints: ['{0}'] } }";

/// Follows every case on its connection; it must never be seen again. Taken for a request, it ends the connection.
pub(super) const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Ends a connection that is expected to go on.
pub(super) const LAST: &[u8] = b"GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A gateway and its endpoint.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) gw: Gw,
    pub(super) origin: Origin,
}

/// Everything one connection answered.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) text: String,
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(TO_ONE).await
    }

    /// With another configuration.
    pub(super) async fn with(template: &str) -> Self {
        let origin = Origin::start().await;
        Self { gw: Gw::with(template, &[&origin]).await, origin }
    }

    /// Sends all pieces at once and reads until the gateway closes.
    pub(super) async fn converse(&self, pieces: &[&[u8]]) -> Answers {
        let mut client = self.gw.raw().await;
        client.try_write(pieces.concat()).await;
        Answers { text: client.rest().await }
    }

    /// Sends all pieces byte by byte and reads until the gateway closes.
    pub(super) async fn dribble(&self, pieces: &[&[u8]]) -> Answers {
        let mut client = self.gw.raw().await;
        for byte in pieces.concat() {
            if !client.try_write([byte]).await {
                break;
            }
            tokio::task::yield_now().await;
        }
        Answers { text: client.rest().await }
    }

    /// Sends a request that should be served, and a last one.
    pub(super) async fn serves(&self, request: impl AsRef<[u8]>) -> Answers {
        let mut client: Raw = self.gw.raw().await;
        client.write([request.as_ref(), LAST].concat()).await;
        Answers { text: client.rest().await }
    }

    /// Ends the gateway and returns what the endpoint received, but for the requests that only end connections.
    pub(super) async fn finish(self) -> Vec<Arrived> {
        self.gw.shutdown().await;
        let arrived = self.origin.arrived().await;
        arrived.into_iter().filter(|arrived| arrived.target() != "/last").collect()
    }
}

impl Answers {
    /// The status of each answer.
    pub(super) fn statuses(&self) -> Vec<u16> {
        let starts = self.text.match_indices("HTTP/1.").map(|(at, _)| &self.text.as_bytes()[at + 9..at + 12]);
        starts.map(|status| std::str::from_utf8(status).unwrap().parse().unwrap()).collect()
    }

    /// The only answer's status; 0 for none.
    pub(super) fn status(&self) -> u16 {
        let statuses = self.statuses();
        assert!(statuses.len() < 2, "one answer at most: {}", self.text);
        statuses.first().copied().unwrap_or(0)
    }
}

/// Each of these heads is refused with one of `statuses`, is the last thing on its connection, and nothing of it is
/// forwarded.
pub(super) async fn refused<T: AsRef<[u8]>>(statuses: &[u16], cases: &[T]) {
    let arrived = judged(cases, |seen| matches!(seen, [only] if statuses.contains(only))).await;
    assert!(arrived.is_empty(), "nothing is forwarded: {arrived:#?}");
}

/// Each of these messages has a sound head and a broken body: it may be forwarded, but never to its end, and what
/// follows on its connection is never read as a request.
pub(super) async fn broken<T: AsRef<[u8]>>(cases: &[T]) {
    let arrived = judged(cases, |seen| matches!(seen, [] | [400..500])).await;
    for arrived in arrived {
        assert!(!arrived.whole, "never complete: {arrived:#?}");
        assert_ne!(arrived.target(), "/smuggled", "{arrived:#?}");
    }
}

/// Sends each case at once and byte by byte, and asks what its statuses are worth.
async fn judged<T: AsRef<[u8]>>(cases: &[T], good: impl Fn(&[u16]) -> bool) -> Vec<Arrived> {
    let bench = Bench::new().await;
    let mut complaints = Vec::new();
    for case in cases {
        let case = case.as_ref();
        let mut all = vec![bench.converse(&[case, SMUGGLED]).await];
        if case.len() < 1000 {
            all.push(bench.dribble(&[case, SMUGGLED]).await);
        }
        for answers in all.iter().filter(|answers| !good(&answers.statuses())) {
            complaints.push(format!(
                "{:?} got {:?}",
                String::from_utf8_lossy(&case[..case.len().min(300)]),
                answers.text
            ));
        }
    }
    assert!(complaints.is_empty(), "of {} cases {} fail:\n{}", cases.len(), complaints.len(), complaints.join("\n"));
    bench.finish().await
}
