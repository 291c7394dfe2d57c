//! `routes.X.a2a.methods`, `pushUrls` and `fileUrls`: which calls of agents a route lets through.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::json_schema;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::limits::RateLimitUse;
use super::{Count, Limit, MILLION, Many, OrOff, find, schema_of, section, word_values, words};
use crate::a2a::{Generation, Operation};
use crate::config::de::invalid;
use crate::config::forms::reading::exactly_one;
use crate::config::forms::words::{Words as _, spellings};
use crate::config::types::HostPattern;

section! {
    #[derive(PartialEq, Eq)]
    /// Which addresses clients may give to an agent. Names are not looked up.
    pub struct UrlGuard {
        /// Only these hosts, and they may be private: `hooks.example.com`, or `*.example.com` for every name below it.
        /// Default: every public host.
        allow: Vec<HostPattern> as Many<HostPattern> = [],
        /// Whether private, loopback, link-local and metadata addresses and names of private networks are let through.
        private: bool = false,
        /// Whether `http` is let through beside `https`.
        http: bool = false,
    }
}

section! {
    #[derive(PartialEq, Eq)]
    /// What holds for the calls of one operation, beside what holds for the route.
    pub(in crate::config) struct MethodPolicy {
        /// Rate limits: names of shared ones, or limits of its own.
        rate_limit: Vec<RateLimitUse> as Many<RateLimitUse> = [],
        /// Calls that one client may have open, streams included.
        max_concurrent_per_client: Option<NonZeroU32> as OrOff<Count<1, MILLION>> = off,
        /// Calls of all clients together that may be open, streams included.
        max_concurrent: Option<NonZeroU32> as OrOff<Count<1, MILLION>> = off,
        /// Total time of a call; for a stream it ends at the response head. Default: the route's, none for calls that
        /// send a message or get a stream.
        timeout: Option<Duration> as Limit,
        /// Refuse it.
        deny: bool = false,
    }
}

/// Where it lets calls lead.
impl fmt::Display for UrlGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.http { "by http(s) to" } else { "by https to" })?;
        match (self.allow.as_slice(), self.private) {
            ([], true) => f.write_str(" any host"),
            ([], false) => f.write_str(" public hosts"),
            (hosts, _) => hosts.iter().try_for_each(|host| write!(f, " {host}")),
        }
    }
}

/// What a route does about the operations of A2A.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Methods {
    /// No others are let through; `None` lets all through.
    pub allow: Option<Vec<Operation>>,
    /// These are not let through.
    pub deny: Vec<Operation>,
    /// What holds for single operations, by the name they have in the file.
    pub(in crate::config) each: Vec<(String, Operation, MethodPolicy)>,
}

impl Methods {
    /// Whether it may refuse a call, and so has to know each.
    pub(super) fn is_guard(&self) -> bool {
        let limits = |policy: &MethodPolicy| {
            let open = policy.max_concurrent_per_client.or(policy.max_concurrent);
            open.is_some() || !policy.rate_limit.is_empty()
        };
        self.allow.is_some() || !self.deny.is_empty() || self.each.iter().any(|(.., policy)| limits(policy))
    }
}

/// Which operations are let through; nothing where all are.
impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |names: &[Operation]| names.iter().map(|name| format!(" {name:?}")).collect::<String>();
        let allowed = self.allow.as_deref().map(|allowed| match allowed {
            [] => "no method".to_owned(),
            allowed => format!("only{}", names(allowed)),
        });
        let denied = (!self.deny.is_empty()).then(|| format!("all but{}", names(&self.deny)));
        f.write_str(&allowed.into_iter().chain(denied).collect::<Vec<_>>().join(", "))
    }
}

/// A key of `methods`.
enum MethodKey {
    Allow,
    Deny,
    Each(String, Operation),
}

impl<'de> Deserialize<'de> for MethodKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = String::deserialize(deserializer)?;
        Ok(match key.as_str() {
            "allow" => Self::Allow,
            "deny" => Self::Deny,
            name => {
                let name = find(name).map_err(de::Error::custom)?;
                Self::Each(key, name)
            }
        })
    }
}

impl<'de> Deserialize<'de> for Methods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Methods;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping such as `{ allow: [SendMessage] }`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Methods, A::Error> {
                let (mut allow, mut deny, mut each) = (None, None, Vec::<(_, Operation, MethodPolicy)>::new());
                while let Some(key) = map.next_key()? {
                    match key {
                        MethodKey::Allow => allow = Some(map.next_value::<Many<Operation>>()?.0),
                        MethodKey::Deny => deny = Some(map.next_value::<Many<Operation>>()?.0),
                        MethodKey::Each(key, name) if each.iter().any(|(_, known, _)| *known == name) => {
                            return Err(invalid(format!("`{key}` is given twice"), "older names mean the same"));
                        }
                        MethodKey::Each(key, name) => each.push((key, name, map.next_value()?)),
                    }
                }
                let denied = each.iter().filter(|(.., policy)| policy.deny).map(|(_, name, _)| *name);
                let denied: Vec<_> = deny.iter().flatten().copied().chain(denied).collect();
                if allow.is_some() && deny.is_some() || allow.is_none() && deny.is_none() && each.is_empty() {
                    exactly_one(&["allow", "deny"], [allow.as_ref(), deny.as_ref()]).map_err(de::Error::custom)?;
                }
                Ok(Methods { allow, deny: denied, each })
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

schema_of!(Methods as "Methods", |generator| {
    let names = Operation::WORDS.iter().flat_map(|(_, words)| words.iter().copied());
    let mut list = || generator.subschema_for::<Many<Operation>>();
    let (list, again) = (list(), list());
    let each = generator.subschema_for::<MethodPolicy>();
    json_schema!({
        "type": "object",
        "description": "Which operations are let through, and what holds for single ones, by their names.",
        "properties": {
            "allow": { "description": "Only these operations, and no other call of JSON-RPC.", "anyOf": [list] },
            "deny": { "description": "All but these operations.", "anyOf": [again] },
        },
        "propertyNames": { "pattern": format!("^(allow|deny|{})$", spellings(names)) },
        "additionalProperties": each,
        "minProperties": 1,
    })
});

// By its name in A2A 1.0; the names of JSON-RPC in older generations mean the same.
words!(
    Operation, "Operation",
    Self::SendMessage => ["SendMessage", "message/send", "tasks/send"],
    Self::SendStreamingMessage => ["SendStreamingMessage", "message/stream", "tasks/sendSubscribe"],
    Self::GetTask => ["GetTask", "tasks/get"],
    Self::ListTasks => ["ListTasks", "tasks/list"],
    Self::CancelTask => ["CancelTask", "tasks/cancel"],
    Self::SubscribeToTask => ["SubscribeToTask", "tasks/resubscribe"],
    Self::CreateTaskPushNotificationConfig
        => ["CreateTaskPushNotificationConfig", "tasks/pushNotificationConfig/set", "tasks/pushNotification/set"],
    Self::GetTaskPushNotificationConfig
        => ["GetTaskPushNotificationConfig", "tasks/pushNotificationConfig/get", "tasks/pushNotification/get"],
    Self::ListTaskPushNotificationConfigs
        => ["ListTaskPushNotificationConfigs", "tasks/pushNotificationConfig/list"],
    Self::DeleteTaskPushNotificationConfig
        => ["DeleteTaskPushNotificationConfig", "tasks/pushNotificationConfig/delete"],
    Self::GetExtendedAgentCard
        => ["GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard", "agent/authenticatedExtendedCard"],
);

words!(
    Generation, "Generation",
    Self::V1_0 => ["1.0", "1"],
    Self::V0_3 => ["0.3", "0.2"],
    Self::V0_1 => ["0.1"],
);

word_values!(Operation, Generation);
