//! The limits of clients.

use super::subject::Subject;

/// A line for each limit of the route, in their order.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    let Some(limits) = &subject.route.limits else {
        return Vec::new();
    };
    let open = limits.concurrency().map(|limit| {
        let max = limit.max;
        format!("at a time {max} of one client address, more get 429")
    });
    open.into_iter().chain(limits.rates().map(|limit| format!("rate      {limit}"))).collect()
}
