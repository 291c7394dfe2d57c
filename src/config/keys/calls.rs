//! `routes.X.a2a.methods`, `pushUrls` and `fileUrls`: which calls of agents a route lets through.

use serde::{Deserialize, Deserializer, de};

use super::{Many, one_of, schema_of, section, word_values, words};
use crate::a2a::Operation;
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

/// Which operations of A2A a route lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// These and no others.
    Allow(Vec<Operation>),
    /// All but these.
    Deny(Vec<Operation>),
}

one_of! {
    /// Exactly one of these.
    MethodsFields [schemars(rename = "Methods")] => Methods {
        /// Only these operations, and no other call of JSON-RPC.
        allow: Many<Operation> => |names| Ok(Methods::Allow(names.0)),
        /// All but these operations.
        deny: Many<Operation> => |names| Ok(Methods::Deny(names.0)),
    }
}

impl<'de> Deserialize<'de> for Methods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(MethodsFields::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

schema_of!(Methods => MethodsFields);

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

word_values!(Operation);
