//! `reload` and `admin`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Scope;
use crate::config::environment::reason;
use crate::config::model::{Admin, AdminAddress, Listener, Readiness, Reload};
use crate::config::node::steps;
use crate::config::raw::OrOff;
use crate::config::raw::operating as raw;
use crate::config::report::Diagnostic;

/// Size of a token file.
const MAX_TOKEN: usize = 4 << 10;

pub(super) fn reload(raw: Option<raw::Reload>, scope: &mut Scope<'_>) -> Reload {
    let raw = raw.unwrap_or_default();
    let poll = raw.poll.map_or(Some(Duration::from_secs(30)), |time| time.on().map(|t| t.0));
    if let Some(poll) = poll.filter(|poll| *poll < SHORTEST_POLL) {
        let diagnostic = Diagnostic::error("invalid-value", format!("the files would be read every {poll:?}"));
        scope.add(&steps!["reload", "poll"], diagnostic.hint("100ms or more; the watch is what sees changes at once"));
    }
    Reload {
        watch: raw.watch.unwrap_or(true),
        debounce: match raw.debounce {
            None => Duration::from_millis(250),
            Some(OrOff::On(time)) => time.0,
            Some(OrOff::Off) => Duration::ZERO,
        },
        poll,
        last_good_file: raw.last_good_file.map(PathBuf::from),
    }
}

pub(super) fn readiness(raw: Option<raw::Readiness>) -> Readiness {
    let required = raw.unwrap_or_default().requires;
    let required = required.map_or_else(Vec::new, |many| many.0);
    Readiness { requires_clusters: required.iter().any(|word| word.0 == raw::Required::Clusters) }
}

/// `None` when there is no admin listener.
pub(super) fn admin(
    raw: Option<raw::Admin>,
    listeners: &[Listener],
    metrics: Option<SocketAddr>,
    scope: &mut Scope<'_>,
) -> Option<Admin> {
    let (raw, default) = (raw?, Admin::default());
    let token_file = raw.token_file.map(PathBuf::from);
    let address = match raw.address {
        None => default.address,
        Some(OrOff::On(place)) => place.0,
        Some(OrOff::Off) => return None,
    };
    if let Some(path) = &token_file {
        token(path, scope);
    }
    if let AdminAddress::Tcp(address) = address {
        exposed(address, token_file.is_some(), scope);
        taken(address, listeners, metrics, scope);
    }
    Some(Admin { address, token_file, writes: raw.writes.map_or(default.writes, |word| word.0) })
}

fn exposed(address: SocketAddr, has_token: bool, scope: &mut Scope<'_>) {
    if address.ip().to_canonical().is_loopback() || has_token {
        return;
    }
    let message = format!("anybody who reaches {address} could command the gateway");
    let diagnostic = Diagnostic::error("admin-unprotected", message);
    scope.add(&steps!["admin", "address"], diagnostic.hint("add `tokenFile`, or write `127.0.0.1:9901`"));
}

fn taken(address: SocketAddr, listeners: &[Listener], metrics: Option<SocketAddr>, scope: &mut Scope<'_>) {
    let other = listeners
        .iter()
        .find(|listener| listener.address == address)
        .map(|listener| format!("`listeners.{}`", listener.name))
        .or_else(|| (metrics == Some(address)).then(|| "`metrics`".to_owned()));
    if let Some(other) = other.filter(|_| address.port() != 0) {
        let diagnostic = Diagnostic::error("duplicate-address", format!("{other} binds {address} as well"));
        scope.add(&steps!["admin", "address"], diagnostic.hint("choose another port"));
    }
}

fn token(path: &Path, scope: &mut Scope<'_>) {
    let diagnostic = match scope.env.read(path, MAX_TOKEN) {
        Err(error) => {
            Diagnostic::error("missing-file", format!("cannot read `{}`: {}", path.display(), reason(&error)))
        }
        Ok(bytes) => match bytes.trim_ascii().len() {
            0 => Diagnostic::error("invalid-value", format!("`{}` is empty", path.display())),
            length if length < SHORT_TOKEN => {
                Diagnostic::warning("weak-token", format!("the token in `{}` is short", path.display()))
                    .hint("`openssl rand -hex 32` makes a good one")
            }
            _ => return,
        },
    };
    scope.add(&steps!["admin", "tokenFile"], diagnostic);
}

/// A token of fewer bytes can be guessed.
const SHORT_TOKEN: usize = 16;
/// Reading the files more often would be a busy loop.
const SHORTEST_POLL: Duration = Duration::from_millis(100);
