//! Which operations of A2A a route lets through.

use crate::a2a::{Generation, Operation, Version};
use crate::config::model::Methods;

/// Whether a call of `operation` is let through; `None` is one that this gateway does not know. The public card is no
/// call: without it clients do not find the agent.
#[must_use]
pub fn may_ask(methods: &Methods, operation: Option<Operation>) -> bool {
    let names = |names: &Vec<Operation>| names.iter().any(|name| Some(*name) == operation);
    let is_let_through = || methods.allow.as_ref().is_none_or(names) && !names(&methods.deny);
    operation == Some(Operation::GetAgentCard) || is_let_through()
}

/// Whether a call of the generation `shape`, whose client says that it speaks `said`, is let through.
#[must_use]
pub fn may_speak(taken: &[Generation], shape: Generation, said: Version) -> bool {
    let said = match said {
        Version::Unsaid => true,
        Version::Known(said) => taken.contains(&said),
        Version::Other => false,
    };
    said && taken.contains(&shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment};

    fn methods(text: &str) -> Methods {
        let text = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\n\
             routes: {{ all: {{ endpoints: ['a:80'], a2a: {{ methods: {text} }} }} }}"
        );
        let loaded = config::parse(&text, "test.yaml", &Environment::empty(std::time::UNIX_EPOCH));
        let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
        Methods::clone(config.routes[0].a2a.as_ref().unwrap().methods.as_ref().unwrap())
    }

    #[test]
    fn what_is_named_is_let_through_or_not() {
        let (allow, deny) = (methods("{ allow: [SendMessage, GetTask] }"), methods("{ deny: [SendMessage, GetTask] }"));
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
        let single = methods("{ allow: [SendMessage, GetTask], tasks/get: { deny: true } }");
        assert!(may_ask(&single, Some(Operation::SendMessage)) && !may_ask(&single, Some(Operation::GetTask)));
        let none = methods("{ allow: [] }");
        assert!(Operation::ALL.iter().filter(|operation| may_ask(&none, Some(**operation))).count() == 1);
    }

    #[test]
    fn a_call_is_of_a_generation_that_is_taken_by_its_shape_and_by_its_word() {
        use Generation::{V0_1, V0_3, V1_0};
        for (taken, shape, said, expected) in [
            (&[V1_0][..], V1_0, Version::Unsaid, true),
            (&[V1_0], V1_0, Version::Known(V1_0), true),
            (&[V1_0], V1_0, Version::Known(V0_3), false),
            (&[V1_0], V1_0, Version::Other, false),
            (&[V1_0], V0_3, Version::Unsaid, false),
            (&[V1_0, V0_3], V0_3, Version::Known(V0_3), true),
            (&[V1_0, V0_3], V0_1, Version::Unsaid, false),
            (&[], V1_0, Version::Unsaid, false),
        ] {
            assert_eq!(may_speak(taken, shape, said), expected, "{taken:?} {shape:?} {said:?}");
        }
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
