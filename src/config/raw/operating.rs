//! `reload` and `admin`: how the configuration is replaced while the gateway runs, and who may ask for it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::forms::{Many, OrOff};
use super::values::{Time, bind, text_value};
use super::words::{Word, Words, words};
use crate::config::de::with_hint;
use crate::config::model::{AdminAddress, Writes};

/// What `/ready` depends on beside the gateway itself.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Readiness {
    /// `clusters`: not ready while any cluster has no usable endpoint. For a gateway with one job, behind a balancer
    /// that has others to send to: with several clusters, the one that is down takes the traffic of all away. Default:
    /// none.
    pub(in crate::config) requires: Option<Many<Word<Required>>>,
}

/// Something readiness may require.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Required {
    Clusters,
}

words!(Required, "Required", Self::Clusters => ["clusters", "cluster"]);

/// Taking a changed configuration while running. `SIGHUP` and `attache reload` always do.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Reload {
    /// Take changed files without being asked, certificates and secrets included; `false` waits for `SIGHUP` or
    /// `attache reload`. Default: true.
    pub(in crate::config) watch: Option<bool>,
    /// A change is taken once it has been quiet for this long; `off` takes it at once. Default: 250ms.
    pub(in crate::config) debounce: Option<OrOff<Time>>,
    /// Also compare the files' content this often, for file systems that report no changes, such as NFS. Default: 30s.
    pub(in crate::config) poll: Option<OrOff<Time>>,
    /// After each good load the configuration is written here, and the gateway starts from it when its own file is
    /// broken. Secrets stay where they are. Default: none.
    pub(in crate::config) last_good_file: Option<String>,
}

/// The listener that operators ask and command. Without this section there is none.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Admin {
    /// IP address and port, `unix:/path` for a socket, or `off`. Anything but loopback and sockets needs `tokenFile`.
    /// Default: 127.0.0.1:9901.
    pub(in crate::config) address: Option<OrOff<AdminPlace>>,
    /// File with the token that callers send as `Authorization: Bearer`. The owner of a unix socket needs none.
    /// Default: none.
    pub(in crate::config) token_file: Option<String>,
    /// What callers may change: `none`, `rollouts` (reload and rollouts) or `all`. Default: rollouts.
    pub(in crate::config) writes: Option<Word<Writes>>,
}

words!(Writes, "Writes", Self::None => ["none", "off"], Self::Rollouts => ["rollouts"], Self::All => ["all"]);

/// Where the admin listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct AdminPlace(pub(in crate::config) AdminAddress);

text_value!(AdminPlace, place, "an address such as `127.0.0.1:9901` or `unix:/run/attache.sock`", {
    "type": "string",
    "description": "IP address and port, or a unix socket: 127.0.0.1:9901, unix:/run/attache.sock."
});

pub(in crate::config) fn place(text: &str) -> Result<AdminPlace, String> {
    match AdminAddress::parse(text) {
        Ok(address) => Ok(AdminPlace(address)),
        Err(message) if text.starts_with("unix:") => Err(with_hint(message, "write `unix:/run/attache.sock`")),
        // The messages for other addresses to bind fit this one.
        Err(_) => bind(text).map(|bind| AdminPlace(AdminAddress::Tcp(bind.0))),
    }
}
