//! `metrics`, `reload` and `admin`: addresses that are free, and an admin listener that is protected.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::Scope;
use crate::config::files::reason;
use crate::config::keys::operation as raw;
use crate::config::model::{Admin, AdminAddress, Listener, Metrics, Reload};
use crate::config::node::steps;
use crate::config::report::Diagnostic;

/// Size of a token file.
const MAX_TOKEN: usize = 4 << 10;

pub(super) fn check_metrics(metrics: &Metrics, listeners: &[Listener], scope: &mut Scope<'_>) {
    let same = |listener: &&Listener| Some(listener.address) == metrics.address && listener.address.port() != 0;
    if let Some(listener) = listeners.iter().find(same) {
        let message = format!("`listeners.{}` binds the address of metrics, {}", listener.name, listener.address);
        let at = steps!["listeners", listener.name.as_str(), "address"];
        scope.error(&at, "duplicate-address", message, "move one of them, or write `metrics: { address: off }`");
    }
}

pub(super) fn check_reload(reload: &Reload, scope: &mut Scope<'_>) {
    if let Some(poll) = reload.poll.filter(|poll| *poll < SHORTEST_POLL) {
        let message = format!("the files would be read every {poll:?}");
        scope.invalid(&steps!["reload", "poll"], message, "100ms or more; the watch is what sees changes at once");
    }
}

/// `None` when there is no admin listener.
pub(super) fn admin(
    raw: Option<raw::Admin>,
    listeners: &[Listener],
    metrics: Option<SocketAddr>,
    scope: &mut Scope<'_>,
) -> Option<Admin> {
    let raw::Admin { address, token_file, writes } = raw?;
    let address = address?;
    if let Some(path) = &token_file {
        token(path, scope);
    }
    if let AdminAddress::Tcp(address) = address {
        exposed(address, token_file.is_some(), scope);
        taken(address, listeners, metrics, scope);
    }
    Some(Admin { address, token_file, writes })
}

fn exposed(address: SocketAddr, has_token: bool, scope: &mut Scope<'_>) {
    if address.ip().to_canonical().is_loopback() || has_token {
        return;
    }
    let message = format!("anybody who reaches {address} could command the gateway");
    let hint = "add `tokenFile`, or write `127.0.0.1:9901`";
    scope.error(&steps!["admin", "address"], "admin-unprotected", message, hint);
}

fn taken(address: SocketAddr, listeners: &[Listener], metrics: Option<SocketAddr>, scope: &mut Scope<'_>) {
    let other = listeners
        .iter()
        .find(|listener| listener.address == address)
        .map(|listener| format!("`listeners.{}`", listener.name))
        .or_else(|| (metrics == Some(address)).then(|| "`metrics`".to_owned()));
    if let Some(other) = other.filter(|_| address.port() != 0) {
        let message = format!("{other} binds {address} as well");
        scope.error(&steps!["admin", "address"], "duplicate-address", message, "choose another port");
    }
}

fn token(path: &Path, scope: &mut Scope<'_>) {
    let diagnostic = match scope.env.read(path, MAX_TOKEN) {
        Err(error) => {
            Diagnostic::error("missing-file", format!("cannot read `{}`: {}", path.display(), reason(&error)))
        }
        Ok(bytes) => match bytes.trim_ascii().len() {
            0 => Diagnostic::invalid(format!("`{}` is empty", path.display())),
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
