//! Lists of addresses, with the files of them, and what becomes of clients that fail to authenticate. A file is read as
//! part of the configuration: what cannot be read stops a start, and a reload keeps what was.

use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;

use super::Scope;
use crate::config::keys::abuse as raw;
use crate::config::model::{AuthFailures, BlockList, IpAccess, Networks};
use crate::config::networks_file::{self, BadLine};
use crate::config::node::{Step, below, steps};

/// `ipAccess` of a listener or route, which stands at this place.
pub(super) fn ip_access(at: &[Step], raw: Option<raw::IpAccess>, scope: &mut Scope<'_>) -> Option<Box<IpAccess>> {
    let raw = raw?;
    let is_open = raw.allow.is_empty() && raw.allow_file.is_none();
    let allow = (!is_open).then(|| networks(at, raw.allow, "allowFile", raw.allow_file.as_deref(), scope));
    let deny = networks(at, raw.deny, "denyFile", raw.deny_file.as_deref(), scope);
    if allow.as_ref().is_some_and(Networks::is_empty) {
        let message = "the list of clients that are served is empty, so nobody is";
        scope.warn(at, "allows-nobody", message, "add a network to it, or take it out");
    } else if is_open && deny.is_empty() && raw.deny_file.is_none() {
        let name = scope.tree.locate(at).path;
        scope.warn(at, "no-networks", format!("`{name}` names no network"), "add `allow` or `deny`");
    }
    Some(Box::new(IpAccess { allow, deny, mode: raw.mode }))
}

/// `blockList`.
pub(super) fn block_list(raw: raw::BlockList, scope: &mut Scope<'_>) -> BlockList {
    let at = steps!["blockList"];
    let networks = networks(&at, raw.networks, "networksFile", raw.networks_file.as_deref(), scope);
    if let Some(all) = ["0.0.0.0", "::"].iter().find(|all| all.parse().is_ok_and(|all| networks.contains(all))) {
        let message = format!("this list holds {all}: probably a whole family of addresses, and with it everybody");
        scope.warn(&at, "blocks-everybody", message, "name the networks that are to be blocked");
    }
    BlockList { networks, max_entries: raw.max_entries }
}

/// The networks of a list and of its file.
fn networks(
    at: &[Step],
    listed: Vec<IpNet>,
    key: &'static str,
    file: Option<&Path>,
    scope: &mut Scope<'_>,
) -> Networks {
    let more = file.map(|file| read(&below(at, key), file, scope)).unwrap_or_default();
    listed.into_iter().chain(more).collect()
}

fn read(at: &[Step], file: &Path, scope: &mut Scope<'_>) -> Vec<IpNet> {
    let Some(bytes) = scope.read_file(at, file, MAX_FILE) else { return Vec::new() };
    networks_file::parse(&bytes).unwrap_or_else(|BadLine { line, what }| {
        let message = format!("`{}`, line {line}: {what}", file.display());
        scope.invalid(at, message, "a line is a network such as `10.0.0.0/8`, an address, or a comment after `#`");
        Vec::new()
    })
}

/// `authFailures`.
pub(super) fn auth_failures(raw: Option<AuthFailures>, scope: &mut Scope<'_>) -> Option<Arc<AuthFailures>> {
    let settings = raw?;
    let at = steps!["authFailures"];
    if settings.max_delay < settings.delay {
        let message = "`maxDelay` is shorter than `delay`";
        scope.invalid(&below(&at, "maxDelay"), message, "take it out, or write a longer time");
    }
    if let Some(block_after) = settings.block_after.filter(|block_after| *block_after <= settings.slow_after) {
        let message = format!("a client is blocked after {block_after} failures, before it is slowed down");
        scope.warn(&at, "never-slowed", message, "make `slowAfter` smaller than `blockAfter`");
    }
    Some(Arc::new(settings))
}

/// Size of a file of networks: half a million, as most lists write them.
const MAX_FILE: usize = 16 << 20;
