//! The operations of A2A under one name each, whatever generation and binding a client speaks (A2A 1.0 sections 3, 9 to
//! 11), and what they mean for a gateway.

/// What a client asks of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Begins or continues work, answered once.
    SendMessage,
    /// Begins or continues work, answered by a stream.
    SendStreamingMessage,
    /// Asks for the state of a task.
    GetTask,
    /// Asks for the tasks of the caller or of a context.
    ListTasks,
    /// Ends a task.
    CancelTask,
    /// Asks for the further events of a task.
    SubscribeToTask,
    /// Registers a webhook for a task.
    CreateTaskPushNotificationConfig,
    /// Asks for one webhook of a task.
    GetTaskPushNotificationConfig,
    /// Asks for the webhooks of a task.
    ListTaskPushNotificationConfigs,
    /// Removes a webhook of a task.
    DeleteTaskPushNotificationConfig,
    /// Asks for the card that only known callers get.
    GetExtendedAgentCard,
    /// Asks for the public card at its well-known path.
    GetAgentCard,
}

/// A generation of the protocol, told apart by the shape of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Generation {
    /// 0.1: `tasks/send`, the client makes the task's id.
    V0_1,
    /// 0.2 and 0.3: `message/send`. Names that 0.1 shares count as this one.
    V0_3,
    /// 1.0.
    V1_0,
}

/// How operations are carried over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// JSON-RPC 2.0, every operation a POST to one URL.
    JsonRpc,
    /// HTTP and JSON, a path for each operation.
    Rest,
    /// gRPC.
    Grpc,
}

/// When an operation may be sent a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// It changes nothing: again after any failure, before a byte of an answer went to the client.
    Safe,
    /// Twice is as good as once: as [`RetryClass::Safe`].
    Idempotent,
    /// The second time is an error in practice: again only when the first surely was not processed.
    Cancel,
    /// Twice may make two: again only after failures of a connection.
    Create,
    /// Twice is work done twice: again only when no byte can have reached an agent.
    Send,
}

impl Operation {
    /// All of them; [`Operation::index`] is the place in this list.
    pub const ALL: [Self; 12] = [
        Self::SendMessage,
        Self::SendStreamingMessage,
        Self::GetTask,
        Self::ListTasks,
        Self::CancelTask,
        Self::SubscribeToTask,
        Self::CreateTaskPushNotificationConfig,
        Self::GetTaskPushNotificationConfig,
        Self::ListTaskPushNotificationConfigs,
        Self::DeleteTaskPushNotificationConfig,
        Self::GetExtendedAgentCard,
        Self::GetAgentCard,
    ];

    /// Its word in logs, metrics and keys: the name in A2A 1.0.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendMessage => "SendMessage",
            Self::SendStreamingMessage => "SendStreamingMessage",
            Self::GetTask => "GetTask",
            Self::ListTasks => "ListTasks",
            Self::CancelTask => "CancelTask",
            Self::SubscribeToTask => "SubscribeToTask",
            Self::CreateTaskPushNotificationConfig => "CreateTaskPushNotificationConfig",
            Self::GetTaskPushNotificationConfig => "GetTaskPushNotificationConfig",
            Self::ListTaskPushNotificationConfigs => "ListTaskPushNotificationConfigs",
            Self::DeleteTaskPushNotificationConfig => "DeleteTaskPushNotificationConfig",
            Self::GetExtendedAgentCard => "GetExtendedAgentCard",
            Self::GetAgentCard => "GetAgentCard",
        }
    }

    /// Its place in [`Operation::ALL`], for tables with a row for each.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The operation of that name in A2A 1.0, as configurations and JSON-RPC spell it. The well-known card has none in
    /// JSON-RPC and is not found.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "SendMessage" => Self::SendMessage,
            "SendStreamingMessage" => Self::SendStreamingMessage,
            "GetTask" => Self::GetTask,
            "ListTasks" => Self::ListTasks,
            "CancelTask" => Self::CancelTask,
            "SubscribeToTask" => Self::SubscribeToTask,
            "CreateTaskPushNotificationConfig" => Self::CreateTaskPushNotificationConfig,
            "GetTaskPushNotificationConfig" => Self::GetTaskPushNotificationConfig,
            "ListTaskPushNotificationConfigs" => Self::ListTaskPushNotificationConfigs,
            "DeleteTaskPushNotificationConfig" => Self::DeleteTaskPushNotificationConfig,
            "GetExtendedAgentCard" => Self::GetExtendedAgentCard,
            _ => return None,
        })
    }

    /// The operation that a JSON-RPC method of any generation names, and the generation that spells it so (A2A 1.0
    /// section 9.4, 0.3 section 7, 0.1 section 7).
    #[must_use]
    pub fn from_json_rpc(method: &str) -> Option<(Self, Generation)> {
        if let Some(operation) = Self::from_name(method) {
            return Some((operation, Generation::V1_0));
        }
        let older = match method {
            "message/send" => Self::SendMessage,
            "message/stream" => Self::SendStreamingMessage,
            "tasks/get" => Self::GetTask,
            "tasks/list" => Self::ListTasks,
            "tasks/cancel" => Self::CancelTask,
            "tasks/resubscribe" => Self::SubscribeToTask,
            "tasks/pushNotificationConfig/set" => Self::CreateTaskPushNotificationConfig,
            "tasks/pushNotificationConfig/get" => Self::GetTaskPushNotificationConfig,
            "tasks/pushNotificationConfig/list" => Self::ListTaskPushNotificationConfigs,
            "tasks/pushNotificationConfig/delete" => Self::DeleteTaskPushNotificationConfig,
            "agent/getAuthenticatedExtendedCard" | "agent/authenticatedExtendedCard" => Self::GetExtendedAgentCard,
            "tasks/send" => return Some((Self::SendMessage, Generation::V0_1)),
            "tasks/sendSubscribe" => return Some((Self::SendStreamingMessage, Generation::V0_1)),
            "tasks/pushNotification/set" => return Some((Self::CreateTaskPushNotificationConfig, Generation::V0_1)),
            "tasks/pushNotification/get" => return Some((Self::GetTaskPushNotificationConfig, Generation::V0_1)),
            _ => return None,
        };
        Some((older, Generation::V0_3))
    }

    /// The operation and the generation of a gRPC path (A2A 1.0 section 10). The operation is absent when the service
    /// is A2A's and the method is not known.
    #[must_use]
    pub fn from_grpc_path(path: &str) -> Option<(Option<Self>, Generation)> {
        if let Some(method) = path.strip_prefix("/lf.a2a.v1.A2AService/") {
            return Some((Self::from_name(method), Generation::V1_0));
        }
        let method = path.strip_prefix("/a2a.v1.A2AService/")?;
        let operation = match method {
            "TaskSubscription" => Some(Self::SubscribeToTask),
            "ListTaskPushNotificationConfig" => Some(Self::ListTaskPushNotificationConfigs),
            "GetAgentCard" => Some(Self::GetExtendedAgentCard),
            "SubscribeToTask" | "ListTaskPushNotificationConfigs" | "GetExtendedAgentCard" => None,
            method => Self::from_name(method),
        };
        Some((operation, Generation::V0_3))
    }

    /// Whether the answer is a stream of events where it succeeds. An agent may answer an error as a plain body.
    #[must_use]
    pub const fn is_streaming(self) -> bool {
        matches!(self, Self::SendStreamingMessage | Self::SubscribeToTask)
    }

    /// Whether the agent may take as long as it likes: it works, or answers when something happens.
    #[must_use]
    pub const fn has_time(self) -> bool {
        self.is_send() || self.is_streaming()
    }

    /// Whether it begins or continues work.
    #[must_use]
    pub const fn is_send(self) -> bool {
        matches!(self, Self::SendMessage | Self::SendStreamingMessage)
    }

    /// When it may be sent a second time.
    #[must_use]
    pub const fn retry_class(self) -> RetryClass {
        match self {
            Self::SendMessage | Self::SendStreamingMessage => RetryClass::Send,
            Self::CancelTask => RetryClass::Cancel,
            Self::CreateTaskPushNotificationConfig => RetryClass::Create,
            Self::DeleteTaskPushNotificationConfig => RetryClass::Idempotent,
            Self::GetTask
            | Self::ListTasks
            | Self::SubscribeToTask
            | Self::GetTaskPushNotificationConfig
            | Self::ListTaskPushNotificationConfigs
            | Self::GetExtendedAgentCard
            | Self::GetAgentCard => RetryClass::Safe,
        }
    }
}

impl Generation {
    /// Its word in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1",
            Self::V0_3 => "0.3",
            Self::V1_0 => "1.0",
        }
    }
}

impl Binding {
    /// Its word in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::JsonRpc => "jsonrpc",
            Self::Rest => "rest",
            Self::Grpc => "grpc",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_generations_mean_one_operation() {
        use Generation::{V0_1, V0_3, V1_0};
        for (method, expected) in [
            ("tasks/send", Some((Operation::SendMessage, V0_1))),
            ("tasks/sendSubscribe", Some((Operation::SendStreamingMessage, V0_1))),
            ("message/send", Some((Operation::SendMessage, V0_3))),
            ("message/stream", Some((Operation::SendStreamingMessage, V0_3))),
            ("tasks/get", Some((Operation::GetTask, V0_3))),
            ("tasks/cancel", Some((Operation::CancelTask, V0_3))),
            ("tasks/resubscribe", Some((Operation::SubscribeToTask, V0_3))),
            ("tasks/pushNotification/set", Some((Operation::CreateTaskPushNotificationConfig, V0_1))),
            ("tasks/pushNotificationConfig/set", Some((Operation::CreateTaskPushNotificationConfig, V0_3))),
            ("tasks/pushNotificationConfig/delete", Some((Operation::DeleteTaskPushNotificationConfig, V0_3))),
            ("agent/getAuthenticatedExtendedCard", Some((Operation::GetExtendedAgentCard, V0_3))),
            ("GetAgentCard", None),
            ("getTask", None),
            ("tools/call", None),
            ("", None),
        ] {
            assert_eq!(Operation::from_json_rpc(method), expected, "{method}");
        }
        for operation in Operation::ALL.into_iter().filter(|operation| *operation != Operation::GetAgentCard) {
            assert_eq!(Operation::from_json_rpc(operation.name()), Some((operation, V1_0)));
        }
    }

    #[test]
    fn both_packages_of_grpc_are_known() {
        use Generation::{V0_3, V1_0};
        for (path, expected) in [
            ("/lf.a2a.v1.A2AService/SendMessage", Some((Some(Operation::SendMessage), V1_0))),
            ("/lf.a2a.v1.A2AService/SubscribeToTask", Some((Some(Operation::SubscribeToTask), V1_0))),
            ("/lf.a2a.v1.A2AService/TaskSubscription", Some((None, V1_0))),
            ("/a2a.v1.A2AService/TaskSubscription", Some((Some(Operation::SubscribeToTask), V0_3))),
            ("/a2a.v1.A2AService/GetAgentCard", Some((Some(Operation::GetExtendedAgentCard), V0_3))),
            ("/a2a.v1.A2AService/GetTask", Some((Some(Operation::GetTask), V0_3))),
            (
                "/a2a.v1.A2AService/ListTaskPushNotificationConfig",
                Some((Some(Operation::ListTaskPushNotificationConfigs), V0_3)),
            ),
            ("/a2a.v1.A2AService/SubscribeToTask", Some((None, V0_3))),
            ("/a2a.v1.A2AService", None),
            ("/grpc.health.v1.Health/Check", None),
        ] {
            assert_eq!(Operation::from_grpc_path(path), expected, "{path}");
        }
    }

    #[test]
    fn every_operation_has_its_place_and_a_meaning() {
        for (index, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation.index(), index);
            let is_send = operation.retry_class() == RetryClass::Send;
            assert_eq!(operation.is_send(), is_send, "{operation:?}");
        }
        let streaming: Vec<_> = Operation::ALL.into_iter().filter(|operation| operation.is_streaming()).collect();
        assert_eq!(streaming, [Operation::SendStreamingMessage, Operation::SubscribeToTask]);
        assert_eq!(Operation::SubscribeToTask.retry_class(), RetryClass::Safe);
        assert_eq!(Operation::CancelTask.retry_class(), RetryClass::Cancel);
    }
}
