//! Accepting: one loop per worker and listener. It stops at the ceiling, backs off when the system is out of something,
//! and turns each connection into a task of its worker.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::config::model::Limits;
use crate::context::Connection;
use crate::listener::bind::listen;
use crate::listener::ceiling::Permit;
use crate::listener::open::{HandshakeEnd, converse};
use crate::listener::running::{Accepting, Group, Running};
use crate::listener::serve::{ConnectionEnd, Serves, cut};
use crate::listener::settings::Shared;
use crate::listener::watchdog::Watchdog;
use crate::pool::tcp;

/// Something a listener did, for logs and metrics.
#[derive(Debug)]
pub enum Report<'a> {
    /// A connection was accepted.
    Accepted,
    /// The ceiling is reached: nothing is accepted until a connection ends, and clients wait in the kernel's queue.
    AtCeiling,
    /// A connection was closed because no place under the ceiling became free for it in time.
    OverCeiling,
    /// A connection was closed at once because its client has too many.
    OverClientCeiling,
    /// `accept` failed; the listener backs off and goes on. Said once a second at most.
    AcceptFailed(&'a io::Error),
    /// A connection ended before it carried HTTP.
    HandshakeFailed(HandshakeEnd),
    /// A connection ended.
    Ended(&'a Connection, ConnectionEnd),
}

/// Starts a listener on this worker, on a bound socket. `service` makes the service of one connection, `report` hears
/// what happens.
///
/// # Errors
/// When the socket cannot listen or cannot be registered with the runtime.
pub fn start<F, S, R>(
    watchdog: &Rc<Watchdog>,
    socket: std::net::TcpListener,
    shared: Arc<Shared>,
    service: F,
    report: R,
) -> io::Result<Running>
where
    F: Fn(&Rc<Connection>) -> S + 'static,
    S: Serves,
    R: Fn(&Report<'_>) + 'static,
{
    listen(&socket)?;
    let socket = TcpListener::from_std(socket)?;
    let group = Group::new(Rc::clone(watchdog));
    let accepting = group.accepting();
    let door = Rc::new(Door { shared, group: Rc::clone(&group), service, report });
    let task = tokio::task::spawn_local(run(door, socket, accepting));
    Ok(Running::new(group, task.abort_handle()))
}

/// The state that the connections of one listener on one worker share.
struct Door<F, R> {
    shared: Arc<Shared>,
    group: Rc<Group>,
    service: F,
    report: R,
}

async fn run<F, S, R>(door: Rc<Door<F, R>>, socket: TcpListener, accepting: Accepting)
where
    F: Fn(&Rc<Connection>) -> S + 'static,
    S: Serves,
    R: Fn(&Report<'_>) + 'static,
{
    let mut pause = Pause::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = door.group.drained() => break,
            accepted = door.accept(&socket) => accepted,
        };
        match accepted {
            Ok(stream) => {
                pause = Pause::default();
                welcome(&door, stream).await;
            }
            Err(error) => door.failed(&error, &mut pause).await,
        }
    }
    if let Ok(socket) = socket.into_std() {
        empty_queue(&door, &socket).await;
    }
    drop(accepting);
}

/// Accepts the connections that are in the kernel's queue already, because closing the socket would reset them. Asks
/// the kernel itself, because the runtime may not know of the latest ones.
async fn empty_queue<F, S, R>(door: &Rc<Door<F, R>>, socket: &std::net::TcpListener)
where
    F: Fn(&Rc<Connection>) -> S + 'static,
    S: Serves,
    R: Fn(&Report<'_>) + 'static,
{
    while !door.shared.is_held() && door.has_room() {
        let Ok((stream, _)) = socket.accept() else {
            return;
        };
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            welcome(door, stream).await;
        }
    }
}

impl<F, R> Door<F, R>
where
    R: Fn(&Report<'_>),
{
    /// Waits until there is room under the ceiling, then for a connection. Takes no permit meanwhile: a worker without
    /// new connections must not hold one. Nothing is lost when the future is dropped.
    async fn accept(&self, socket: &TcpListener) -> io::Result<TcpStream> {
        self.admitted().await;
        self.until(|| self.has_room().then_some(())).await;
        socket.accept().await.map(|(stream, _)| stream)
    }

    async fn admitted(&self) {
        loop {
            let changed = self.shared.ceiling.freed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.shared.is_held() {
                return;
            }
            changed.await;
        }
    }

    /// Takes a permit. Another worker may have taken the last one meanwhile. Then this waits, at most as long as a
    /// handshake may take, and not until draining connections end.
    async fn place(&self, limits: &Limits) -> Option<Permit> {
        let acquire = || self.shared.ceiling.try_acquire(limits.max_connections);
        if let Some(permit) = acquire() {
            return Some(permit);
        }
        tokio::select! {
            biased;
            waited = timeout(limits.handshake_timeout, self.until(acquire)) => waited.ok(),
            () = self.group.drained() => None,
        }
    }

    async fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        let mut told = false;
        loop {
            let freed = self.shared.ceiling.freed();
            tokio::pin!(freed);
            // Must listen before looking, or a place freed in between is missed.
            freed.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            if !std::mem::replace(&mut told, true) {
                (self.report)(&Report::AtCeiling);
            }
            freed.await;
        }
    }

    fn has_room(&self) -> bool {
        self.shared.open() < self.shared.settings().limits.max_connections
    }

    async fn failed(&self, error: &io::Error, pause: &mut Pause) {
        if pause.may_log(self.group.watchdog().now()) {
            (self.report)(&Report::AcceptFailed(error));
        }
        if !is_about_one_connection(error) {
            tokio::time::sleep(pause.next()).await;
        }
    }
}

/// Counts a connection for its client and gives it a task.
async fn welcome<F, S, R>(door: &Rc<Door<F, R>>, stream: TcpStream)
where
    F: Fn(&Rc<Connection>) -> S + 'static,
    S: Serves,
    R: Fn(&Report<'_>) + 'static,
{
    let settings = door.shared.settings();
    let Some(permit) = Box::pin(door.place(&settings.limits)).await else {
        return (door.report)(&Report::OverCeiling);
    };
    // Neither fails for a connection that is still there.
    let Ok(peer) = stream.peer_addr() else { return };
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let permit = match settings.limits.max_connections_per_ip {
        // Behind a balancer all peers are one; the header tells them apart, and counts are made then.
        Some(maximum) if !settings.believes(peer.ip()) => match permit.for_client(peer.ip(), maximum) {
            Ok(permit) => permit,
            Err(_) => return (door.report)(&Report::OverClientCeiling),
        },
        _ => permit,
    };
    // A client that reads slowly has its own limit, which names the cause.
    let patience = settings.limits.body_idle_timeout + KERNEL_IS_LATER;
    tcp::watch(&stream, settings.tcp_keepalive.as_ref(), patience);
    (door.report)(&Report::Accepted);
    let member = door.group.join(&settings.limits);
    let door = Rc::clone(door);
    tokio::task::spawn_local(async move {
        let handle = Rc::clone(member.handle());
        let connection = std::cell::OnceCell::new();
        let talk = pin!(converse(stream, &settings, permit, Rc::clone(&handle), |facts| {
            let facts = connection.get_or_init(|| facts);
            (Rc::clone(facts), (door.service)(facts))
        }));
        let end = match handle.hold(talk).await {
            Ok(end) => end,
            Err(command) => Ok(cut(command)),
        };
        match (end, connection.get()) {
            (Ok(end), Some(connection)) if connection.plain_on_tls.get() => {
                (door.report)(&Report::HandshakeFailed(HandshakeEnd::PlainHttp));
                (door.report)(&Report::Ended(connection, end));
            }
            (Ok(end), Some(connection)) => (door.report)(&Report::Ended(connection, end)),
            (Ok(_), None) => (door.report)(&Report::HandshakeFailed(HandshakeEnd::Stopped)),
            (Err(HandshakeEnd::OverClientCeiling), _) => (door.report)(&Report::OverClientCeiling),
            (Err(end), _) => (door.report)(&Report::HandshakeFailed(end)),
        }
        drop(member);
    });
}

/// Waiting after a failed `accept`: longer each time, and said in the log once a second at most.
#[derive(Debug, Default)]
struct Pause {
    last: Duration,
    logged: Option<Instant>,
}

impl Pause {
    fn next(&mut self) -> Duration {
        self.last = (self.last * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.last
    }

    fn may_log(&mut self, now: Instant) -> bool {
        let due = self.logged.is_none_or(|logged| now.duration_since(logged) >= Duration::from_secs(1));
        if due {
            self.logged = Some(now);
        }
        due
    }
}

/// Errors of a connection that was gone before it was accepted; the next one may be fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// What our own limit on a client that does not read has before the kernel's.
const KERNEL_IS_LATER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_five_milliseconds_to_a_second() {
        let mut pause = Pause::default();
        let pauses: Vec<_> = (0..10).map(|_| pause.next().as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_logged_once_a_second() {
        let mut pause = Pause::default();
        let start = Instant::now();
        assert!(pause.may_log(start));
        assert!(!pause.may_log(start + Duration::from_millis(999)));
        assert!(pause.may_log(start + Duration::from_secs(1)));
    }

    #[test]
    fn only_shortage_makes_the_loop_wait() {
        assert!(is_about_one_connection(&io::ErrorKind::ConnectionAborted.into()));
        assert!(!is_about_one_connection(&io::Error::from_raw_os_error(24)), "EMFILE");
    }
}
