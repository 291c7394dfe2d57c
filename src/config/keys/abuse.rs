//! Who is not served because of where it comes from or what it did, and the log of such decisions: `blockList`,
//! `authFailures`, `auditLog`, and `ipAccess` of listeners and routes.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::access_log::LogOutput;
use super::limits::LimitMode;
use super::{Count, Limit, Many, Network, OrOff, choice, section};
use crate::config::units::time;

section! {
    #[derive(PartialEq, Eq)]
    /// Which addresses of clients are served. `deny` overrules `allow`.
    pub(in crate::config) struct IpAccess {
        /// Networks of the clients that are served, beside those of `allowFile`. Without both, all clients are.
        allow: Vec<IpNet> as Many<Network> = [],
        /// File with more of them, one a line; relative to this file. Default: none.
        allow_file: Option<PathBuf> as String,
        /// Networks of clients that are not served.
        deny: Vec<IpNet> as Many<Network> = [],
        /// File with more of them, one a line; relative to this file. Default: none.
        deny_file: Option<PathBuf> as String,
        /// `enforce` refuses, `shadow` only counts in the metrics and the audit log.
        mode: LimitMode = enforce,
    }

    #[derive(PartialEq, Eq)]
    /// Clients that are not served by any listener. Operators block more while the gateway runs.
    pub(in crate::config) struct BlockList {
        /// Their networks.
        networks: Vec<IpNet> as Many<Network> = [],
        /// File with more of them, one a line; relative to this file. Default: none.
        networks_file: Option<PathBuf> as String,
        /// How many operators may block at a time through the admin API.
        max_entries: usize as Count<1, 1_000_000> = 10000,
    }

    #[derive(PartialEq, Eq)]
    /// What becomes of clients that fail to authenticate again and again. A client is an IPv4 address, or an IPv6
    /// network of `clientIp.ipv6PrefixLen` bits.
    pub struct AuthFailures {
        /// Failures that have no consequence. After each further one the client waits.
        slow_after: u32 as Count<1, 100_000> = 5,
        /// How long it waits the first time; twice as long each time after.
        delay: Duration as Limit = 1s,
        /// How long it waits at most.
        max_delay: Duration as Limit = 30s,
        /// Failures after which the client is blocked; `off` never blocks.
        block_after: Option<u32> as OrOff<Count<1, 100_000>> = 20,
        /// How long it is blocked.
        block_for: Duration as Limit = 15m,
        /// A client that has not failed for so long begins anew.
        forget_after: Duration as Limit = 30m,
        /// Clients counted one by one; those beyond share their waits by groups, and are not blocked.
        max_clients: usize as Count<1024, 10_000_000> = 100000,
        /// Networks that nothing is counted for.
        exempt: Vec<IpNet> as Many<Network> = [],
        /// `enforce` refuses, `shadow` only counts in the metrics and the audit log.
        mode: LimitMode = enforce,
    }

    #[derive(PartialEq, Eq)]
    /// The audit log.
    pub struct AuditLog {
        /// `stdout`, `stderr`, `off`, the path of a file, relative to this one, which `USR1` opens again, or a server
        /// of syslog as in `accessLog`.
        output: Option<LogOutput> as OrOff<LogOutput> = off; restart,
        /// Kinds of events that are left out.
        exclude: Vec<AuditKind> as Many<AuditKind> = [],
    }
}

/// How long clients wait, and when they are blocked.
impl fmt::Display for AuthFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, first, longest) = (self.slow_after, time(self.delay), time(self.max_delay));
        write!(f, "after {after} wrong credentials a client waits {first} to {longest} (429)")?;
        if let Some(after) = self.block_after {
            write!(f, "; after {after} it is blocked for {}", time(self.block_for))?;
        }
        f.write_str(if self.mode == LimitMode::Shadow { " (only counted)" } else { "" })
    }
}

choice! {
    /// What an event of the audit log is about.
    pub enum AuditKind {
        /// Who a client is.
        Authentication = ["authentication"],
        /// What a client may do.
        Authorization = ["authorization"],
        /// Where a client comes from: `ipAccess` and `blockList`.
        Address = ["address"],
        /// For whose page a browser sends something: `cors` and `csrf`.
        Browser = ["browser"],
        /// What looks like an attack: `screening`.
        Screening = ["screening"],
        /// What an agent may be asked: the guards of `a2a`.
        Call = ["call"],
        /// How much a client may send.
        Limit = ["limit"],
        /// What operators do.
        Operator = ["operator"],
        /// Which configuration is in force.
        Configuration = ["configuration"],
    }
}
