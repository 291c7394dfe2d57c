//! The addresses of a server's name, as the system knows them. One look-up at a time, however many wait for it: it may
//! hang, and each holds a thread. Old addresses serve until there are new ones.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::Instant;

/// Where one server is.
#[derive(Debug)]
pub(super) struct Addresses {
    host: Box<str>,
    port: u16,
    known: ArcSwapOption<Known>,
    // Sequentially consistent: who waits subscribes first and then looks whether somebody asks.
    is_asked: AtomicBool,
    answers: watch::Sender<u64>,
}

#[derive(Debug)]
struct Known {
    addresses: Box<[SocketAddr]>,
    /// `None` for an address that was given as such.
    since: Option<Instant>,
}

impl Addresses {
    /// Of this host, a name or an address.
    pub(super) fn new(host: &str, port: u16) -> Arc<Self> {
        let given = host.parse().ok().map(|ip: IpAddr| [SocketAddr::new(ip, port)].into());
        let known = given.map(|addresses| Arc::new(Known { addresses, since: None }));
        Arc::new(Self {
            host: host.into(),
            port,
            known: ArcSwapOption::new(known),
            is_asked: AtomicBool::new(false),
            answers: watch::Sender::new(0),
        })
    }

    /// The addresses; waits for them where there are none yet. The caller limits the time.
    ///
    /// # Errors
    /// When the name has none.
    pub(super) async fn get(self: &Arc<Self>) -> io::Result<Box<[SocketAddr]>> {
        let mut answers = self.answers.subscribe();
        let known = self.known.load_full();
        let is_old = |known: &Arc<Known>| known.since.is_some_and(|since| since.elapsed() >= LONGEST);
        if known.as_ref().is_none_or(is_old) && !self.is_asked.swap(true, SeqCst) {
            // Goes on without who started it, so that a name that hangs is not asked for again and again.
            tokio::spawn(Arc::clone(self).ask());
        }
        let known = match known {
            Some(known) => Some(known),
            None => {
                let _changed = answers.changed().await.is_ok();
                self.known.load_full()
            }
        };
        let known = known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
        Ok(known.addresses.clone())
    }

    async fn ask(self: Arc<Self>) {
        let found = lookup_host((&*self.host, self.port)).await;
        let addresses: Box<[SocketAddr]> = found.into_iter().flatten().take(MOST).collect();
        if !addresses.is_empty() {
            self.known.store(Some(Arc::new(Known { addresses, since: Some(Instant::now()) })));
        }
        self.is_asked.store(false, SeqCst);
        self.answers.send_modify(|answers| *answers += 1);
    }
}

/// How long addresses count before the name is looked up again.
const LONGEST: Duration = Duration::from_secs(10);
/// Addresses of one name.
const MOST: usize = 4;

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::{Context, Waker};

    use super::*;

    impl Addresses {
        /// As if the system had just said so.
        pub(in crate::pool) fn know(&self, addresses: Box<[SocketAddr]>) {
            self.known.store(Some(Arc::new(Known { addresses, since: Some(Instant::now()) })));
        }
    }

    #[tokio::test]
    async fn names_are_looked_up_once_and_addresses_never() {
        let given = Addresses::new("192.0.2.1", 80);
        assert_eq!(*given.get().await.unwrap(), [SocketAddr::from(([192, 0, 2, 1], 80))]);
        let six = Addresses::new("::1", 443);
        assert_eq!(*six.get().await.unwrap(), ["[::1]:443".parse().unwrap()]);
        assert_eq!(*given.answers.borrow(), 0);
        let named = Addresses::new("localhost", 80);
        let (one, two) = tokio::join!(named.get(), named.get());
        assert!(one.unwrap().iter().all(|address| address.ip().is_loopback()) && two.is_ok());
        assert!(named.get().await.is_ok());
        assert_eq!(*named.answers.borrow(), 1, "one look-up was enough");
    }

    #[tokio::test]
    async fn a_name_that_hangs_is_asked_for_once() {
        let named = Addresses::new("localhost", 80);
        named.is_asked.store(true, SeqCst);
        let mut waiting = Box::pin(named.get());
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending(), "somebody asks already");
        Arc::clone(&named).ask().await;
        assert!(waiting.await.is_ok());
        assert_eq!(*named.answers.borrow(), 1);
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_an_error() {
        let error = Addresses::new("\0", 80).get().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
