//! `routes.X.a2a.methods`, `pushUrls` and `fileUrls`: which calls of agents a route lets through.

use serde::{Deserialize, Deserializer, de};

use super::section;
use crate::config::forms::either::Many;
use crate::config::forms::reading::{one_of, schema_of};
use crate::config::forms::words::choice;
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
    Allow(Vec<CallName>),
    /// All but these.
    Deny(Vec<CallName>),
}

one_of! {
    /// Exactly one of these.
    MethodsFields [schemars(rename = "Methods")] => Methods {
        /// Only these operations, and no other call of JSON-RPC.
        allow: Many<CallName> => |names| Ok(Methods::Allow(names.0)),
        /// All but these operations.
        deny: Many<CallName> => |names| Ok(Methods::Deny(names.0)),
    }
}

impl<'de> Deserialize<'de> for Methods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(MethodsFields::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

schema_of!(Methods => MethodsFields);

choice! {
    /// An operation by its name in A2A 1.0; the names of JSON-RPC in older generations mean the same.
    pub enum CallName {
        /// Begins or continues work, answered once.
        SendMessage = ["SendMessage", "message/send", "tasks/send"],
        /// Begins or continues work, answered by a stream.
        SendStreamingMessage = ["SendStreamingMessage", "message/stream", "tasks/sendSubscribe"],
        /// Asks for the state of a task.
        GetTask = ["GetTask", "tasks/get"],
        /// Asks for the tasks of the caller or of a context.
        ListTasks = ["ListTasks", "tasks/list"],
        /// Ends a task.
        CancelTask = ["CancelTask", "tasks/cancel"],
        /// Asks for the further events of a task.
        SubscribeToTask = ["SubscribeToTask", "tasks/resubscribe"],
        /// Registers a webhook for a task.
        CreateTaskPushNotificationConfig =
            ["CreateTaskPushNotificationConfig", "tasks/pushNotificationConfig/set", "tasks/pushNotification/set"],
        /// Asks for one webhook of a task.
        GetTaskPushNotificationConfig =
            ["GetTaskPushNotificationConfig", "tasks/pushNotificationConfig/get", "tasks/pushNotification/get"],
        /// Asks for the webhooks of a task.
        ListTaskPushNotificationConfigs = ["ListTaskPushNotificationConfigs", "tasks/pushNotificationConfig/list"],
        /// Removes a webhook of a task.
        DeleteTaskPushNotificationConfig = ["DeleteTaskPushNotificationConfig", "tasks/pushNotificationConfig/delete"],
        /// Asks for the card that only known callers get.
        GetExtendedAgentCard =
            ["GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard", "agent/authenticatedExtendedCard"],
    }
}
