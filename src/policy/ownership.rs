//! Which tasks and contexts a client may touch: those that it made itself.

use crate::a2a::Operation;
use crate::config::model::UnknownMaker;

/// What a call names, for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Nothing.
    Nothing,
    /// What the caller made.
    Own,
    /// What another made.
    Others,
    /// What nobody is known to have made.
    Unknown,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It goes on.
    Passes,
    /// There is no such thing for its caller.
    NotFound,
    /// It asks for more than what its caller made.
    Lists,
}

/// Whether a call that names this task and this context goes on. `None` is an operation that this gateway does not
/// know.
#[must_use]
pub fn may_touch(operation: Option<Operation>, task: Named, context: Named, unknown: UnknownMaker) -> Touch {
    let allows = |named| match named {
        Named::Nothing | Named::Own => true,
        Named::Others => false,
        Named::Unknown => unknown == UnknownMaker::Allow,
    };
    let found = |is_found: bool| if is_found { Touch::Passes } else { Touch::NotFound };
    match operation {
        Some(Operation::ListTasks) if context == Named::Nothing || !allows(context) => Touch::Lists,
        None | Some(Operation::GetAgentCard | Operation::GetExtendedAgentCard | Operation::ListTasks) => Touch::Passes,
        Some(operation) if operation.is_send() => found(allows(task) && allows(context)),
        Some(_) => found(task != Named::Nothing && allows(task)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_touches_what_it_made_and_nothing_else() {
        use Named::{Nothing, Others, Own, Unknown};
        use Operation::{CancelTask, GetAgentCard, GetTask, ListTasks, SendMessage};
        use Touch::{Lists, NotFound, Passes};
        for (operation, task, context, strict, lax) in [
            (Some(SendMessage), Nothing, Nothing, Passes, Passes),
            (Some(SendMessage), Own, Own, Passes, Passes),
            (Some(SendMessage), Own, Others, NotFound, NotFound),
            (Some(SendMessage), Others, Own, NotFound, NotFound),
            (Some(SendMessage), Nothing, Unknown, NotFound, Passes),
            (Some(SendMessage), Unknown, Nothing, NotFound, Passes),
            (Some(GetTask), Own, Nothing, Passes, Passes),
            (Some(GetTask), Others, Nothing, NotFound, NotFound),
            (Some(GetTask), Unknown, Nothing, NotFound, Passes),
            (Some(CancelTask), Nothing, Nothing, NotFound, NotFound),
            (Some(ListTasks), Nothing, Nothing, Lists, Lists),
            (Some(ListTasks), Nothing, Own, Passes, Passes),
            (Some(ListTasks), Nothing, Others, Lists, Lists),
            (Some(ListTasks), Nothing, Unknown, Lists, Passes),
            (Some(GetAgentCard), Nothing, Nothing, Passes, Passes),
            (None, Nothing, Nothing, Passes, Passes),
        ] {
            for (unknown, expected) in [(UnknownMaker::Refuse, strict), (UnknownMaker::Allow, lax)] {
                let found = may_touch(operation, task, context, unknown);
                assert_eq!(found, expected, "{operation:?} {task:?} {context:?} {unknown:?}");
            }
        }
    }
}
