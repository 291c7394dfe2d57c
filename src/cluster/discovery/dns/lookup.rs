//! A and AAAA of a name as two questions that do not wait for each other for long (RFC 8305 section 3): servers and
//! boxes between exist that never answer one of them.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::timeout;

use super::answer::{Error, Family, Missing, ResolvedName};

/// Addresses of one family.
#[derive(Debug)]
pub(super) struct Found {
    /// At least one.
    pub(super) addresses: Vec<IpAddr>,
    /// How long they hold.
    pub(super) ttl: Duration,
}

/// Why there are none.
#[derive(Debug)]
pub(super) enum Lack {
    /// The name has none of this family.
    NoData,
    /// There is no such name.
    NoName,
    /// No server knew.
    Failed(Error),
}

/// The answer about one family.
pub(super) type Reply = Result<Found, Lack>;

/// Asks for both families of one name. Once one of them brings addresses that can be reached, the other has `patience`
/// left. `Ok(None)` when the name has no addresses.
pub(super) async fn families<A: Future<Output = Reply>>(
    ask: impl Fn(Family) -> A,
    patience: Duration,
    has_route: impl Fn(IpAddr) -> bool,
) -> Result<Option<ResolvedName>, Error> {
    let (v4, v6) = (pin!(ask(Family::V4)), pin!(ask(Family::V6)));
    let (v4, v6) = match select(v4, v6).await {
        Either::Left((v4, rest)) => {
            // A name that does not exist has no names below it (RFC 8020). Some servers answer "no such name" to AAAA
            // when they mean "none" (RFC 4074 section 4.2).
            let v6 = match &v4 {
                Err(Lack::NoName) => Err(Lack::NoName),
                v4 => second(v4, rest, patience, &has_route).await,
            };
            (v4, v6)
        }
        Either::Right((v6, rest)) => {
            let v4 = second(&v6, rest, patience, &has_route).await;
            (v4, v6)
        }
    };
    together(v4, v6, has_route)
}

async fn second(
    first: &Reply,
    rest: impl Future<Output = Reply>,
    patience: Duration,
    has_route: impl Fn(IpAddr) -> bool,
) -> Reply {
    match first {
        Ok(found) if found.addresses.iter().any(|ip| has_route(*ip)) => {
            timeout(patience, rest).await.unwrap_or(Err(Lack::Failed(Error::TimedOut)))
        }
        _ => rest.await,
    }
}

fn together(v4: Reply, v6: Reply, has_route: impl Fn(IpAddr) -> bool) -> Result<Option<ResolvedName>, Error> {
    let whole = |found: Found| ResolvedName { addresses: found.addresses, ttl: found.ttl, missing: None };
    let half = |found, family, error: &Error| {
        let reason = error.to_string();
        ResolvedName { missing: Some(Missing { family, reason }), ..whole(found) }
    };
    Ok(Some(match (v4, v6) {
        (Ok(v4), Ok(v6)) => {
            let ttl = v4.ttl.min(v6.ttl);
            let addresses = [v4.addresses, v6.addresses].concat();
            whole(Found { addresses: usable(addresses, has_route), ttl })
        }
        (Ok(v4), Err(Lack::Failed(error))) => half(v4, Family::V6, &error),
        (Err(Lack::Failed(error)), Ok(v6)) => half(v6, Family::V4, &error),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) => whole(found),
        (Err(Lack::Failed(error)), Err(_)) | (Err(_), Err(Lack::Failed(error))) => {
            return Err(error);
        }
        (Err(_), Err(_)) => return Ok(None),
    }))
}

/// Leaves out the addresses of a family this machine has no route to, unless that would leave none (RFC 6724 section 6,
/// rule 1). A machine without IPv6 would otherwise see half of the endpoints of a dual-stack name fail.
fn usable(addresses: Vec<IpAddr>, has_route: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    let (reachable, unreachable): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|ip| has_route(*ip));
    if reachable.is_empty() { unreachable } else { reachable }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[derive(Clone, Copy)]
    enum Says {
        Is,
        Nothing,
        NoName,
        Fails,
        Never,
    }
    use Says::{Fails, Is, Never, NoName, Nothing};

    const V4: &str = "10.0.0.1";
    const V6: &str = "fd00::1";

    async fn reply(says: Says, after: u64, ip: &str, ttl: u64) -> Reply {
        sleep(Duration::from_millis(after)).await;
        match says {
            Is => Ok(Found { addresses: vec![ip.parse().unwrap()], ttl: Duration::from_secs(ttl) }),
            Nothing => Err(Lack::NoData),
            NoName => Err(Lack::NoName),
            Fails => Err(Lack::Failed(Error::TimedOut)),
            Never => pending().await,
        }
    }

    /// `+` after the addresses when a family is missing, and how long it took.
    async fn asked(v4: (Says, u64), v6: (Says, u64), routes: [bool; 2]) -> (String, u64) {
        let start = Instant::now();
        let ask = |family| match family {
            Family::V4 => reply(v4.0, v4.1, V4, 20),
            Family::V6 => reply(v6.0, v6.1, V6, 30),
        };
        let has_route = |ip: IpAddr| routes[usize::from(ip.is_ipv6())];
        let found = families(ask, Duration::from_millis(50), has_route).await;
        let text = match found {
            Ok(Some(answer)) => {
                let ips: Vec<String> = answer.addresses.iter().map(IpAddr::to_string).collect();
                let missing = answer.missing.map_or("", |_| "+");
                format!("{}{missing}", ips.join(" "))
            }
            Ok(None) => "none".to_owned(),
            Err(_) => "failed".to_owned(),
        };
        (text, u64::try_from(start.elapsed().as_millis()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn one_family_does_not_wait_long_for_the_other() {
        let both = [true, true];
        for (v4, v6, routes, expected, took) in [
            ((Is, 5), (Is, 9), both, "10.0.0.1 fd00::1", 9),
            ((Is, 9), (Is, 5), both, "10.0.0.1 fd00::1", 9),
            ((Is, 5), (Never, 0), both, "10.0.0.1+", 55),
            ((Never, 0), (Is, 5), both, "fd00::1+", 55),
            ((Is, 5), (Is, 90), both, "10.0.0.1+", 55),
            ((Is, 5), (Fails, 9), both, "10.0.0.1+", 9),
            ((Fails, 5), (Is, 900), both, "fd00::1+", 900),
            ((Is, 5), (Nothing, 9), both, "10.0.0.1", 9),
            ((Nothing, 5), (Is, 900), both, "fd00::1", 900),
            // A caller that cannot use the first answer waits for the other one.
            ((Is, 900), (Is, 5), [true, false], "10.0.0.1", 900),
            ((Is, 5), (Is, 9), [false, true], "fd00::1", 9),
            ((Is, 5), (Is, 9), [false, false], "10.0.0.1 fd00::1", 9),
            // "No such name" for A holds for both families.
            ((NoName, 5), (Never, 0), both, "none", 5),
            ((Is, 900), (NoName, 5), both, "10.0.0.1", 900),
            ((Nothing, 5), (Nothing, 9), both, "none", 9),
            ((Nothing, 5), (Fails, 9), both, "failed", 9),
            ((Fails, 9), (Nothing, 5), both, "failed", 9),
            ((Fails, 5), (Fails, 9), both, "failed", 9),
        ] {
            assert_eq!(asked(v4, v6, routes).await, (expected.to_owned(), took));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn both_hold_as_long_as_the_shorter_one() {
        let ask = |family| match family {
            Family::V4 => reply(Is, 1, V4, 20),
            Family::V6 => reply(Is, 1, V6, 30),
        };
        let found = families(ask, Duration::ZERO, |_| true).await;
        assert_eq!(found.unwrap().unwrap().ttl, Duration::from_secs(20));
    }
}
