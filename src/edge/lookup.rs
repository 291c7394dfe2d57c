//! Who holds what this gateway does not know: another gateway may have made the task, or this one was started anew.
//! Every endpoint of the route is asked for it, in the caller's own words and with the caller's credentials, and the
//! one that has it gets the call. A call that may do something is therefore sent once, to the right endpoint. Requests
//! that need none of this pass by with one look.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{HeaderValue, Request, Response, header};
use http_body::Body as _;
use tokio::time::{Instant, timeout_at};

use super::affinity::{self, Holder};
use super::call::Call;
use super::exchange::Exchange;
use super::followed::Followed;
use super::question;
use super::running_lookups::Turn;
use super::stage::{Entry, Passage, ServedRoute};
use super::told::Told;
use crate::a2a::{Answer, AnswerReader, Binding, GrpcAnswerReader, Kind, Question, Subject};
use crate::cluster::{self, Affinity, HeldKey, HeldKind, Progress, Scope};
use crate::error::Error;
use crate::outcome::{Application, Outcome};
use crate::pool::ResponseBody;
use crate::snapshot::Agents;
use crate::upstream::{Admission, AskPlan, WorkerCluster, WorkerEndpoint, ask};

/// Finds the endpoint that holds what the request is about, where the table does not know it.
pub(super) async fn find(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    if exchange.call.is_some() && exchange.destination.preferred.is_none() {
        let followed = route.followed.as_ref().filter(|followed| followed.lookup);
        let asked_for = |followed: &&_| exchange.call.as_deref().and_then(|call| question_of(call, followed)).is_some();
        if let Some(followed) = followed.filter(asked_for)
            && let Some(holder) = Box::pin(look(exchange, entry, route, followed)).await
        {
            affinity::prefer(exchange, holder, followed);
        }
    }
    Ok(Passage::On)
}

/// What endpoints are asked for the sake of a call.
fn question_of<'a>(call: &'a Call, followed: &Followed) -> Option<Question<'a>> {
    Question::of(call.operation?, call.binding, call.generation, &followed.ids(call))
}

/// What came of it.
enum Found {
    Holder(Holder),
    /// Every endpoint said no.
    Nobody,
    /// Nobody said yes, and not every endpoint answered.
    Unsure,
}

async fn look(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>, followed: &Followed) -> Option<Holder> {
    let agents = &entry.view.snapshot.agents;
    if route.clusters().map(|cluster| cluster.size()).sum::<usize>() < 2 {
        return None;
    }
    let question = question_of(exchange.call.as_deref()?, followed)?;
    let key = key(exchange, route, &agents.affinity, &question);
    let (worker, end) = (Rc::clone(&exchange.worker), Instant::now() + PATIENCE);
    let _looking = loop {
        if agents.unknown.contains(key, Instant::now()) {
            return None;
        }
        // One that was given up leaves nothing behind, and the next begins anew.
        match worker.lookups.begin(key) {
            Turn::Own(looking) => break looking,
            Turn::Others(ends) => timeout_at(end, ends.notified()).await.ok()?,
        }
        exchange.guards.waited = true;
        if let Some(holder) = affinity::known(exchange, route, &agents.affinity, followed) {
            return Some(holder);
        }
    };
    let counters = &route.handles.agent().lookups;
    let Some(_place) = agents.lookups.enter(MAX_LOOKUPS) else {
        counters.count("limited");
        return None;
    };
    let found = everywhere(exchange, agents, route, &question).await;
    let (word, holder) = match found {
        Ok(Found::Holder(holder)) => ("found", Some(holder)),
        Ok(Found::Nobody) => ("unknown", None),
        Ok(Found::Unsure) | Err(_) => ("failed", None),
    };
    counters.count(word);
    if holder.is_none() {
        agents.unknown.note(key, Instant::now());
    }
    tracing::debug!(route = &*route.settings().name, subject = ?question.subject, result = word, "a lookup");
    // The clock that the first try goes by is old.
    exchange.guards.waited = true;
    holder
}

/// What an id is remembered by that nobody has. Agents may hide from one caller what they show to another.
fn key(exchange: &Exchange, route: &ServedRoute<'_>, table: &Affinity, question: &Question<'_>) -> HeldKey {
    let (kind, id) = match question.subject {
        Subject::Task(task) | Subject::Whole(task) | Subject::Events(task) => (HeldKind::Task, task),
        Subject::Context(context) => (HeldKind::Context, context),
    };
    let identity = &exchange.client.identity;
    let client = exchange.client.address.to_string();
    let said = [
        id,
        question.tenant.unwrap_or_default(),
        &client,
        identity.provider().unwrap_or_default(),
        identity.name().unwrap_or_default(),
    ];
    let fields = exchange.message.as_ref().map(Request::headers);
    let shown =
        fields.into_iter().flat_map(|fields| [header::AUTHORIZATION, header::COOKIE].map(|name| fields.get_all(name)));
    let shown = shown.flatten().map(HeaderValue::as_bytes);
    let vouched = exchange.request.vouched.iter().flat_map(|vouched| vouched.iter()).map(|(_, value)| value.as_bytes());
    let mut key = Vec::new();
    for part in said.iter().map(|said| said.as_bytes()).chain(shown).chain(vouched) {
        // With its length, so that ("ab", "c") and ("a", "bc") differ.
        key.extend_from_slice(&part.len().to_be_bytes());
        key.extend_from_slice(part);
    }
    table.key(Scope::of_cluster(&route.settings().name), kind, &key)
}

/// Asks every endpoint of the route's clusters, as many as may be, and takes the first that says yes.
async fn everywhere(
    exchange: &Exchange,
    agents: &Agents,
    route: &ServedRoute<'_>,
    question: &Question<'_>,
) -> Result<Found, Error> {
    let (head, body) = question::request(exchange, route, question)?;
    let now = Instant::now();
    let own = now + PATIENCE;
    let deadline = exchange.deadline(route).map_or(own, |deadline| deadline.min(own));
    let (host, grpc) = (&route.settings().upstream_host, question.binding == Binding::Grpc);
    let plan = AskPlan { head: &head, body: &body, host, grpc, deadline, kind: cluster::Kind::Request };
    let (places, _admissions) = places(exchange, route, now);
    let mut is_sure = !places.is_empty();
    let mut asked: FuturesUnordered<_> =
        places.into_iter().map(|place| place.ask(&plan, &agents.affinity, route, question)).collect();
    loop {
        match timeout_at(deadline, asked.next()).await {
            Ok(Some((holder, Said::Yes))) => return Ok(Found::Holder(holder)),
            Ok(Some((_, said))) => is_sure &= said == Said::No,
            Ok(None) if is_sure => return Ok(Found::Nobody),
            Ok(None) | Err(_) => return Ok(Found::Unsure),
        }
    }
}

/// An endpoint to be asked.
struct Place {
    part: usize,
    cluster: Rc<WorkerCluster>,
    worker_endpoint: Rc<WorkerEndpoint>,
}

/// Those to be asked: of clusters that take requests now. Each cluster counts a lookup as one request.
fn places(exchange: &Exchange, route: &ServedRoute<'_>, now: Instant) -> (Vec<Place>, Vec<Admission>) {
    let (mut places, mut admissions, mut rng) = (Vec::new(), Vec::new(), exchange.worker.fork_rng());
    for (part, cluster) in route.clusters().enumerate() {
        if cluster.is_guarded() {
            let admitted = cluster.admit(cluster::Kind::Request, now, &mut rng);
            let Some(admission) = admitted.ok().filter(|admission| !admission.waits()) else { continue };
            admissions.push(admission);
        }
        let endpoints = cluster.askable().into_iter();
        let of = |worker_endpoint| Place { part, cluster: Rc::clone(cluster), worker_endpoint };
        places.extend(endpoints.map(of).take(MAX_ENDPOINTS.saturating_sub(places.len())));
    }
    (places, admissions)
}

/// An endpoint's answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Yes,
    No,
    Nothing,
}

impl Place {
    async fn ask(
        self,
        plan: &AskPlan<'_>,
        table: &Arc<Affinity>,
        route: &ServedRoute<'_>,
        question: &Question<'_>,
    ) -> (Holder, Said) {
        let holder = Holder { part: self.part, endpoint: self.worker_endpoint.endpoint().id };
        let Ok(asked) = ask(plan, Rc::clone(&self.worker_endpoint)).await else { return (holder, Said::Nothing) };
        let mut said = Said::Nothing;
        let read = read(asked.response, question, |answer| {
            if !is_yes(answer, question) {
                said = Said::No;
                return;
            }
            said = Said::Yes;
            let mut keeper = affinity::keeper_for(Rc::clone(&self.worker_endpoint), table, route, &self.cluster);
            keeper.keep(answer, &mut Told::default());
            if let Subject::Context(context) = question.subject {
                keeper.learn(HeldKind::Context, context, Progress::Active, Instant::now());
            }
        });
        // A refusal need not have a body that says more, and in gRPC it has none.
        if read.await.is_some_and(Outcome::is_refusal) {
            said = Said::No;
        }
        drop(asked.in_flight);
        (holder, said)
    }
}

/// Whether an endpoint says that it holds what is asked for.
fn is_yes(answer: &Answer, question: &Question<'_>) -> bool {
    match question.subject {
        Subject::Task(task) | Subject::Whole(task) | Subject::Events(task) => {
            answer.kind() == Kind::Task && answer.task() == Some(task)
        }
        Subject::Context(_) => answer.kind() == Kind::Tasks && answer.tasks().next().is_some(),
    }
}

/// Reads an answer and gives it to `seen`. Where it cannot be read: what its head and trailers make of it.
async fn read(
    response: Response<ResponseBody>,
    question: &Question<'_>,
    seen: impl FnOnce(&Answer),
) -> Option<Outcome> {
    let is_grpc = question.binding == Binding::Grpc;
    let (head, mut body) = response.into_parts();
    let said = if is_grpc { Application::of_head(&head.headers) } else { Application::Silent };
    let mut outcome = Outcome::answered(head.status, said);
    let mut left = MAX_ANSWER;
    let mut json = AnswerReader::of(question.binding);
    let mut grpc = GrpcAnswerReader::new(question.operation());
    let is_seen = |answer: Option<&Answer>| answer.map(seen).is_some();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(frame) = frame else { return Some(outcome) };
        if let Some(fields) = frame.trailers_ref().filter(|_| is_grpc) {
            outcome.application = outcome.application.or_trailers(fields);
        }
        let Ok(data) = frame.into_data() else { continue };
        left = left.saturating_sub(data.len());
        if !is_grpc {
            if json.feed(&data).is_err() {
                return Some(outcome);
            }
        } else if grpc.read(&data).is_some() {
            return (!is_seen(grpc.answer())).then_some(outcome);
        }
        if left == 0 {
            // Which task it is stands before what the task has made.
            let so_far = if is_grpc { grpc.answer() } else { Some(json.so_far()) };
            return (!is_seen(so_far)).then_some(outcome);
        }
    }
    let is_read = !is_grpc && is_seen(json.finish().ok());
    (!is_read).then_some(outcome)
}

/// Lookups at the same time, over all workers.
const MAX_LOOKUPS: usize = 64;
/// Endpoints that are asked in one.
const MAX_ENDPOINTS: usize = 32;
/// Time for one.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read: a task comes without its history, but with what it has made.
const MAX_ANSWER: usize = 1 << 20;
