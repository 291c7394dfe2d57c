//! The conductor: every stage of a request, in order. docs/resilience.md lists the same stages; a test holds the two
//! together. A stage is one function. It gets the exchange and what the request came to so far (the listener, then the
//! route), and lets it go on, answers it or refuses it. A stage may wait, and may look at the beginning of the body
//! before an endpoint is chosen. What is rare in one is boxed, so that it adds nothing to the future of every request.

use super::exchange::Exchange;
use super::stage::{Answered, Entry, Passage, ServedRoute};
use super::{
    acme_challenge, admission, affinity, agent_card, answer, attempts, authentication, authorization, block_list,
    catalog, certificate, csrf, expectation, fault, guards, https_redirect, hygiene, identify, ip_access, limits,
    lookup, mirror, own_answer, ownership, preflight, prepare, recognition, resource_metadata, resumption, routing,
    screening, sharing, version,
};
use crate::error::Error;

/// Asks a stage, and ends here with its answer, if it has one.
macro_rules! pass {
    ($stage:expr) => {
        if let Passage::Answer(response) = $stage? {
            return Ok(Answered::Here(response));
        }
    };
}

/// Takes a request through its stages. Dropping the future cancels what is under way upstream.
pub(super) async fn run(exchange: &mut Exchange, entry: &Entry) -> Result<Answered, Error> {
    pass!(identify::identify(exchange, entry));
    pass!(block_list::check(exchange, entry));
    pass!(ip_access::of_listener(exchange, entry));
    pass!(hygiene::admit(exchange, entry));
    pass!(acme_challenge::answer(exchange, entry));
    pass!(https_redirect::redirect(exchange, entry));
    pass!(certificate::check(exchange, entry));
    pass!(catalog::answer(exchange, entry).await);
    pass!(resource_metadata::answer(exchange, entry));
    pass!(routing::find(exchange, entry).await);
    let route = &entry.route(exchange)?;
    pass!(ip_access::of_route(exchange, entry, route));
    pass!(preflight::answer(exchange, route));
    pass!(csrf::check(exchange, entry, route));
    pass!(authentication::check(exchange, entry, route).await);
    pass!(authorization::check(exchange, entry, route));
    pass!(limits::admit(exchange, route));
    pass!(own_answer::answer(exchange, route));
    pass!(screening::check(exchange, entry, route).await);
    pass!(fault::inject(exchange, route).await);
    pass!(recognition::recognize(exchange, entry, route).await);
    pass!(authorization::check_call(exchange, entry, route));
    pass!(limits::admit_call(exchange, route));
    pass!(guards::check(exchange, route));
    pass!(ownership::check(exchange, entry, route));
    if let Some(shared) = sharing::join(exchange, route) {
        return Ok(Answered::Shared(shared));
    }
    serve(exchange, entry, route).await
}

/// Takes it through the others, from where it is known which call it is and that it may go on.
pub(super) async fn serve(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Answered, Error> {
    pass!(affinity::find(exchange, entry, route));
    pass!(lookup::find(exchange, entry, route).await);
    pass!(version::choose(exchange, route));
    pass!(resumption::plan(exchange, route));
    pass!(prepare::prepare(exchange, route));
    pass!(mirror::start(exchange, route));
    pass!(expectation::meet(exchange, route.listener).await);
    pass!(admission::admit(exchange, route).await);
    if exchange.request.card.is_some() {
        return Box::pin(agent_card::fetch(exchange, entry, route)).await;
    }
    let response = attempts::send(exchange, route).await?;
    answer::receive(exchange, entry, route, response)
}

#[cfg(test)]
mod tests {
    /// The modules whose functions the conductor calls with an exchange, in order.
    fn conducted() -> Vec<String> {
        let source = include_str!("pipeline.rs");
        let body = source.split("pub(super) async fn run").nth(1).unwrap().split("#[cfg(test)]").next().unwrap();
        let called = |line: &str| {
            let (before, _) = line.split_once("(exchange")?;
            let (module, _) = before.rsplit_once("::")?;
            Some(module.rsplit(|c: char| !(c.is_ascii_lowercase() || c == '_')).next()?.to_owned())
        };
        body.lines().filter_map(called).collect()
    }

    /// The words in backticks at the head of the numbered list of the section.
    fn documented() -> Vec<String> {
        let text = include_str!("../../docs/resilience.md");
        let section = text.split("## In which order").nth(1).unwrap().split("\n## ").next().unwrap();
        let item = |line: &str| {
            let (number, rest) = line.split_once(". ")?;
            number.parse::<u32>().ok()?;
            Some(rest.split('`').nth(1)?.to_owned())
        };
        section.lines().filter_map(item).collect()
    }

    #[test]
    fn the_documentation_lists_the_stages_in_their_order() {
        let mut expected = conducted();
        assert!(expected.len() > 10, "{expected:?}");
        // The exit is what every answer passes, whichever stage made it.
        expected.push("depart".to_owned());
        assert_eq!(documented(), expected);
    }
}
