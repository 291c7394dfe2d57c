//! Which operations of A2A a route lets through.

use crate::a2a::Operation;
use crate::config::model::Methods;

/// Whether a call of `operation` is let through; `None` is one that this gateway does not know. The public card is no
/// call: without it clients do not find the agent.
#[must_use]
pub fn may_ask(methods: &Methods, operation: Option<Operation>) -> bool {
    let names = |names: &[Operation]| names.iter().any(|name| Some(*name) == operation);
    match methods {
        _ if operation == Some(Operation::GetAgentCard) => true,
        Methods::Allow(allowed) => names(allowed),
        Methods::Deny(denied) => !names(denied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_let_through_or_not() {
        let (allow, deny) = (
            Methods::Allow(vec![Operation::SendMessage, Operation::GetTask]),
            Methods::Deny(vec![Operation::SendMessage, Operation::GetTask]),
        );
        for (operation, is_named) in [
            (Some(Operation::SendMessage), true),
            (Some(Operation::GetTask), true),
            (Some(Operation::SendStreamingMessage), false),
            (Some(Operation::CancelTask), false),
            (None, false),
        ] {
            assert_eq!((may_ask(&allow, operation), may_ask(&deny, operation)), (is_named, !is_named), "{operation:?}");
        }
        assert!(may_ask(&allow, Some(Operation::GetAgentCard)));
        let none = Methods::Allow(Vec::new());
        assert!(Operation::ALL.iter().filter(|operation| may_ask(&none, Some(**operation))).count() == 1);
    }

    #[test]
    fn every_operation_has_the_name_it_has_elsewhere() {
        for operation in Operation::ALL.into_iter().filter(|operation| *operation != Operation::GetAgentCard) {
            let named: Operation = serde_json::from_value(operation.name().into()).unwrap();
            assert_eq!((named, format!("{named:?}")), (operation, operation.name().to_owned()));
        }
        for older in
            ["message/send", "tasks/send", "tasks/get", "tasks/pushNotificationConfig/set", "tasks/resubscribe"]
        {
            let named: Operation = serde_json::from_value(older.into()).unwrap();
            assert_eq!(Some(named), Operation::from_json_rpc(older).map(|(operation, _)| operation), "{older}");
        }
    }
}
