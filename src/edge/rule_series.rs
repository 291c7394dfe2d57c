//! The series in which the rules, or patterns, of a route are counted when one decides about a request.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use super::facts::Noted;
use crate::config::model::UNREAD;
use crate::observe::handles::{AuthorizationHandles, ScreeningHandles};
use crate::observe::metrics::Metrics;

/// The series of the rules of one route, for one worker. Each is made when it is first counted.
#[derive(Debug)]
pub(super) struct RuleSeries<H> {
    route: Box<str>,
    metrics: Arc<Metrics>,
    make: fn(&Arc<Metrics>, &str, &str) -> H,
    /// By their numbers, and last what is none of them.
    rules: Box<[OneRule<H>]>,
}

#[derive(Debug)]
struct OneRule<H> {
    name: Rc<str>,
    noted: Rc<Noted>,
    handles: OnceCell<H>,
}

impl<H> RuleSeries<H> {
    fn new<'n>(
        route: &str,
        names: impl Iterator<Item = &'n str>,
        metrics: &Arc<Metrics>,
        noted: fn(Rc<str>) -> Noted,
        make: fn(&Arc<Metrics>, &str, &str) -> H,
    ) -> Self {
        let one = |name: &str| {
            let name: Rc<str> = name.into();
            OneRule { noted: Rc::new(noted(Rc::clone(&name))), name, handles: OnceCell::new() }
        };
        Self { route: route.into(), metrics: Arc::clone(metrics), make, rules: names.map(one).collect() }
    }

    /// A rule, or what is none, with its handles.
    fn of(&self, rule: Option<usize>) -> Option<(&Rc<Noted>, &H)> {
        let found = rule.and_then(|number| self.rules.get(number)).or_else(|| self.rules.last())?;
        let handles = found.handles.get_or_init(|| (self.make)(&self.metrics, &self.route, &found.name));
        Some((&found.noted, handles))
    }
}

impl RuleSeries<AuthorizationHandles> {
    /// Those of rules with these names.
    pub(super) fn of_rules<'n>(route: &str, names: impl Iterator<Item = &'n str>, metrics: &Arc<Metrics>) -> Box<Self> {
        let rule = |name| Noted { rule: Some(name), ..Noted::default() };
        let make = |metrics: &Arc<Metrics>, route: &str, rule: &str| AuthorizationHandles::new(metrics, route, rule);
        Box::new(Self::new(route, names.chain([NO_RULE]), metrics, rule, make))
    }

    /// Counts what a rule decided, or that none did, and says what to note.
    pub(super) fn count(&self, rule: Option<usize>, result: &'static str) -> Option<Rc<Noted>> {
        let (noted, handles) = self.of(rule)?;
        handles.decisions.count(result);
        Some(Rc::clone(noted))
    }
}

impl RuleSeries<ScreeningHandles> {
    /// Those of patterns with these names, and of what could not be searched.
    pub(super) fn of_patterns<'n>(
        route: &str,
        names: impl Iterator<Item = &'n str>,
        metrics: &Arc<Metrics>,
    ) -> Box<Self> {
        let pattern = |name| Noted { pattern: Some(name), ..Noted::default() };
        let make = |metrics: &Arc<Metrics>, route: &str, name: &str| ScreeningHandles::new(metrics, route, name);
        Box::new(Self::new(route, names.chain([UNREAD]), metrics, pattern, make))
    }

    /// Counts what was found, or that nothing could be looked for, and says what to note.
    pub(super) fn count(&self, pattern: Option<usize>, result: &'static str) -> Option<Rc<Noted>> {
        let (noted, handles) = self.of(pattern)?;
        handles.screened.count(result);
        Some(Rc::clone(noted))
    }
}

/// For what no rule is about.
const NO_RULE: &str = "-";
