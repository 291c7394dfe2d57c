//! Calls that are the same: one of them is sent, and the others get its answer, while it runs and for a while. Shared
//! by all workers, and bounded in calls and in bytes of answers. Time is an argument; who waits does so elsewhere.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::answer_room::AnswerRoom;
use super::shared_answer::SharedAnswer;
use crate::a2a::Operation;
use crate::config::model::A2a;

/// The shared calls of one route.
#[derive(Debug)]
pub struct RouteShares {
    /// Calls that send a message.
    sends: Option<Share>,
    /// Questions for a task.
    polls: Option<Share>,
}

/// Calls of one kind, and how long they are shared.
#[derive(Clone, Debug)]
pub struct Share {
    /// The calls.
    pub calls: Arc<SharedCalls>,
    /// How long.
    pub terms: ShareTerms,
}

/// How long a call is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareTerms {
    /// For such a time,
    pub keep: Duration,
    /// since the call began; else since its answer came, and only if that was good.
    pub from_start: bool,
}

impl RouteShares {
    /// What these settings ask for, or `None` where that is nothing. The calls of `previous`, the same route before, go
    /// on.
    #[must_use]
    pub fn adopt(settings: Option<&A2a>, previous: Option<&Self>) -> Option<Box<Self>> {
        let share = |keep: Option<Duration>, from_start, before: Option<&Share>| {
            let calls = || before.map(|share| Arc::clone(&share.calls)).unwrap_or_default();
            keep.map(|keep| Share { calls: calls(), terms: ShareTerms { keep, from_start } })
        };
        let settings = settings?;
        let sends = share(settings.single_flight, false, previous.and_then(|before| before.sends.as_ref()));
        let polls = share(settings.poll_damping, true, previous.and_then(|before| before.polls.as_ref()));
        (sends.is_some() || polls.is_some()).then(|| Box::new(Self { sends, polls }))
    }

    /// The calls that those of an operation are shared with.
    #[must_use]
    pub fn of(&self, operation: Operation) -> Option<&Share> {
        match operation {
            Operation::GetTask => self.polls.as_ref(),
            operation if operation.is_send() => self.sends.as_ref(),
            _ => None,
        }
    }
}

/// Calls by a hash of all that makes them the same.
#[derive(Debug)]
pub struct SharedCalls {
    parts: [Mutex<Part>; PARTS],
    /// Makes hashes that nobody outside can foresee.
    seed: u64,
    /// Room for the answers.
    room: AnswerRoom,
}

#[derive(Debug, Default)]
struct Part {
    calls: HashMap<u128, Entry>,
    /// When entries are over, in order.
    ends: VecDeque<(Instant, u128)>,
}

#[derive(Debug)]
struct Entry {
    call: Arc<SharedCall>,
    until: Option<Instant>,
}

/// A call that others may wait for.
#[derive(Debug, Default)]
pub struct SharedCall(watch::Sender<Option<Ended>>);

/// What a call came to, for the others.
#[derive(Clone, Debug)]
pub enum Ended {
    /// It has an answer for all.
    Answered(Arc<SharedAnswer>),
    /// Its answer is for its caller alone: a stream, or too large. It may be under way still.
    Alone,
    /// It failed, or was given up, and has no answer.
    GivenUp,
}

/// How a call begins.
#[derive(Debug)]
pub enum Begun {
    /// It is the first; it is to be sent.
    First(Run),
    /// There is an equal one.
    Known(Arc<SharedCall>),
    /// No more can be shared.
    Full,
}

impl Default for SharedCalls {
    fn default() -> Self {
        Self { parts: Default::default(), seed: fastrand::u64(..), room: AnswerRoom::default() }
    }
}

impl SharedCalls {
    /// What to hash with.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Begins a call with that hash.
    #[must_use]
    pub fn begin(self: &Arc<Self>, key: u128, terms: ShareTerms, now: Instant) -> Begun {
        let mut part = self.part(key);
        part.forget(now);
        let is_over = |entry: &&Entry| entry.until.is_some_and(|until| until <= now);
        if let Some(known) = part.calls.get(&key).filter(|entry| !is_over(entry)) {
            return Begun::Known(Arc::clone(&known.call));
        }
        if part.calls.len() >= PART || part.ends.len() >= 2 * PART {
            return Begun::Full;
        }
        let call = Arc::<SharedCall>::default();
        let until = terms.from_start.then(|| now + terms.keep);
        part.ends.extend(until.map(|until| (until, key)));
        part.calls.insert(key, Entry { call: Arc::clone(&call), until });
        Begun::First(Run { of: Arc::clone(self), key, call, terms, is_settled: false })
    }

    fn part(&self, key: u128) -> MutexGuard<'_, Part> {
        let [first, ..] = &self.parts;
        let at = usize::try_from(key % PARTS as u128).unwrap_or_default();
        self.parts.get(at).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// Forgets what is over.
    fn forget(&mut self, now: Instant) {
        while let Some((_, key)) = self.ends.pop_front_if(|(end, _)| *end <= now) {
            if self.calls.get(&key).is_some_and(|entry| entry.until.is_some_and(|until| until <= now)) {
                self.calls.remove(&key);
            }
        }
    }

    fn entry(&mut self, run: &Run) -> Option<&mut Entry> {
        self.calls.get_mut(&run.key).filter(|entry| Arc::ptr_eq(&entry.call, &run.call))
    }
}

impl SharedCall {
    /// Waits until it has come to something. Whoever calls this sets the deadline.
    pub async fn ended(&self) -> Ended {
        let mut waits = self.0.subscribe();
        let ended = waits.wait_for(Option::is_some).await;
        ended.ok().and_then(|ended| ended.clone()).unwrap_or(Ended::GivenUp)
    }

    /// Whether anybody waits.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.0.receiver_count() > 0
    }

    fn end(&self, ended: Ended) {
        self.0.send_replace(Some(ended));
    }
}

/// The call that is sent for all. Dropped before it is settled, it is given up.
#[derive(Debug)]
pub struct Run {
    of: Arc<SharedCalls>,
    key: u128,
    call: Arc<SharedCall>,
    terms: ShareTerms,
    is_settled: bool,
}

impl Run {
    /// What the others know of it.
    #[must_use]
    pub const fn call(&self) -> &Arc<SharedCall> {
        &self.call
    }

    /// How long it is shared.
    #[must_use]
    pub const fn terms(&self) -> ShareTerms {
        self.terms
    }

    /// Where its answer is kept.
    #[must_use]
    pub fn room(&self) -> &AnswerRoom {
        &self.of.room
    }

    /// It has an answer for all; `is_good`: for those who come later, too.
    pub fn answer(mut self, answer: SharedAnswer, is_good: bool, now: Instant) {
        self.settle(is_good, now);
        self.call.end(Ended::Answered(Arc::new(answer)));
    }

    /// Its answer will be for its caller alone.
    pub fn stands_alone(&self) {
        self.call.end(Ended::Alone);
    }

    /// The answer for its caller alone has come to its end.
    pub fn complete(mut self, now: Instant) {
        self.settle(true, now);
    }

    fn settle(&mut self, is_kept: bool, now: Instant) {
        self.is_settled = true;
        if self.terms.from_start {
            return;
        }
        let mut part = self.of.part(self.key);
        let until = now + self.terms.keep;
        match part.entry(self) {
            Some(entry) if is_kept => {
                entry.until = Some(until);
                part.ends.push_back((until, self.key));
            }
            Some(_) => drop(part.calls.remove(&self.key)),
            None => {}
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let mut part = self.of.part(self.key);
        if part.entry(self).is_some() {
            part.calls.remove(&self.key);
        }
        drop(part);
        self.call.end(Ended::GivenUp);
    }
}

/// Parts with a lock each, so that workers seldom meet.
const PARTS: usize = 16;
/// Calls of one part: 4,096 of a route in all.
const PART: usize = 256;

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    const SENDS: ShareTerms = ShareTerms { keep: Duration::from_secs(60), from_start: false };
    const POLLS: ShareTerms = ShareTerms { keep: Duration::from_millis(100), from_start: true };

    fn first(calls: &Arc<SharedCalls>, key: u128, terms: ShareTerms, now: Instant) -> Run {
        match calls.begin(key, terms, now) {
            Begun::First(run) => run,
            other => panic!("{other:?}"),
        }
    }

    /// What an equal call comes upon: nothing, a running one, or what one came to.
    fn met(calls: &Arc<SharedCalls>, key: u128, now: Instant) -> &'static str {
        let call = match calls.begin(key, SENDS, now) {
            Begun::First(_) => return "nothing",
            Begun::Full => return "full",
            Begun::Known(call) => call,
        };
        match now_of(&call) {
            None => "running",
            Some(Ended::Answered(_)) => "an answer",
            Some(Ended::Alone) => "another's",
            Some(Ended::GivenUp) => "given up",
        }
    }

    /// What it has come to.
    fn now_of(call: &SharedCall) -> Option<Ended> {
        call.0.borrow().clone()
    }

    fn answer(run: &Run) -> SharedAnswer {
        SharedAnswer::of(run.room(), StatusCode::OK, &HeaderMap::new(), b"{}", false).unwrap()
    }

    #[test]
    fn a_good_answer_is_kept_for_its_time_and_another_is_not() {
        let (calls, start) = (Arc::<SharedCalls>::default(), Instant::now());
        let run = first(&calls, 1, SENDS, start);
        assert_eq!(met(&calls, 1, start), "running");
        let (good, later) = (answer(&run), start + Duration::from_secs(500));
        run.answer(good, true, later);
        assert_eq!(met(&calls, 1, later + Duration::from_millis(59_999)), "an answer");
        assert_eq!(met(&calls, 1, later + SENDS.keep), "nothing");
        let run = first(&calls, 2, SENDS, start);
        let (known, bad) = (Arc::clone(run.call()), answer(&run));
        run.answer(bad, false, start);
        assert!(matches!(now_of(&known), Some(Ended::Answered(_))), "who waited gets it");
        assert_eq!(met(&calls, 2, start), "nothing");
        assert!(calls.room.taken() > 0);
        drop(known);
        assert_eq!(calls.room.taken(), 0, "what is forgotten takes no room");
    }

    #[test]
    fn a_question_is_shared_from_its_start() {
        let (calls, start) = (Arc::<SharedCalls>::default(), Instant::now());
        let run = first(&calls, 1, POLLS, start);
        assert_eq!(met(&calls, 1, start + Duration::from_millis(99)), "running");
        let second = first(&calls, 1, POLLS, start + POLLS.keep);
        let given = answer(&run);
        run.answer(given, true, start + POLLS.keep);
        assert_eq!(met(&calls, 1, start + POLLS.keep), "running", "the first is nobody's any more");
        let given = answer(&second);
        second.answer(given, true, start + POLLS.keep);
        assert_eq!(met(&calls, 1, start + 2 * POLLS.keep - Duration::from_millis(1)), "an answer");
        assert_eq!(met(&calls, 1, start + 2 * POLLS.keep), "nothing");
    }

    #[test]
    fn what_is_given_up_or_for_one_alone_is_said_to_all() {
        let (calls, now) = (Arc::<SharedCalls>::default(), Instant::now());
        let run = first(&calls, 1, SENDS, now);
        let known = Arc::clone(run.call());
        let waits = known.0.subscribe();
        assert!(known.is_awaited());
        drop((waits, run));
        assert!(!known.is_awaited() && matches!(now_of(&known), Some(Ended::GivenUp)));
        let run = first(&calls, 1, SENDS, now);
        run.stands_alone();
        assert_eq!(met(&calls, 1, now), "another's");
        run.complete(now);
        assert_eq!(met(&calls, 1, now + Duration::from_secs(59)), "another's");
        assert_eq!(met(&calls, 1, now + SENDS.keep), "nothing");
        let cut = first(&calls, 2, SENDS, now);
        cut.stands_alone();
        drop(cut);
        assert_eq!(met(&calls, 2, now), "nothing");
    }

    #[test]
    fn there_are_no_more_calls_than_there_may_be() {
        let (calls, now) = (Arc::<SharedCalls>::default(), Instant::now());
        let begun = (0..20_000).map(|key| calls.begin(key, SENDS, now));
        let runs: Vec<_> = begun.filter(|begun| matches!(begun, Begun::First(_))).collect();
        assert_eq!(runs.len(), PARTS * PART);
        drop(runs);
        assert_eq!(met(&calls, 1, now), "nothing");
        for turn in 0..20_000 {
            drop(calls.begin(7, POLLS, now));
            assert!(calls.part(7).ends.len() <= 2 * PART, "{turn}");
        }
    }
}
