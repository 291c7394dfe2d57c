// What every flavour of the JavaScript client must see through the gateway.

import assert from 'node:assert/strict';
import { AgentCard, verifyAgentCardSignature } from '@a2a-js/sdk';
import { A2AError, TaskNotCancelableError, TaskNotFoundError } from '@a2a-js/sdk/errors';
import { confirmed } from './confirmed.mjs';
import { noDifference } from './difference.mjs';

const EVENTS = 10;
const SUBMITTED = 1;
const COMPLETED = 3;
const CANCELED = 5;

/** An event in one word or two. */
function describe({ payload }) {
  switch (payload.$case) {
    case 'task':
      return 'task';
    case 'artifactUpdate':
      return payload.value.artifact.parts[0].content.value;
    case 'statusUpdate':
      return `state ${payload.value.status.state}`;
    default:
      return payload.$case;
  }
}

/** Reads a stream to its end. */
async function all(events) {
  const seen = [];
  for await (const event of events) seen.push(describe(event));
  return seen;
}

async function card(caller, plan) {
  const { url, grpc_target: target } = plan.steady;
  const urls = caller.card.supportedInterfaces.map((one) => one.url);
  assert.deepEqual(urls, [`${url}/`, `${url}/`, url, target]);
}

async function send(caller) {
  const task = await caller.send('send');
  assert.equal(task.status.state, COMPLETED);
  assert.equal(task.artifacts[0].parts[0].content.value, 'hello from steady');
}

async function stream(caller) {
  const seen = await all(confirmed(caller, caller.stream(`stream ${EVENTS}`), EVENTS));
  const numbered = Array.from({ length: EVENTS }, (_, index) => `event ${index + 1}`);
  assert.deepEqual(seen, ['task', ...numbered, `state ${COMPLETED}`]);
}

async function get(caller) {
  const sent = await caller.send('send');
  const task = await caller.get(sent.id);
  assert.deepEqual([task.id, task.status.state], [sent.id, COMPLETED]);
}

async function cancel(caller) {
  const events = confirmed(caller, caller.stream('hold 1'), 1);
  const first = (await events.next()).value;
  assert.equal(describe((await events.next()).value), 'event 1');
  const task = await caller.cancel(first.payload.value.id);
  assert.equal(task.status.state, CANCELED);
  assert.ok(await caller.agentSaw('cancelled'), 'the agent was not asked to cancel');
  assert.deepEqual(await all(events), [`state ${CANCELED}`]);
}

async function subscribe(caller) {
  const task = await caller.send('stream 3', { atOnce: true });
  const seen = await all(confirmed(caller, caller.subscribe(task.id), 3));
  assert.deepEqual(seen, ['task', 'event 1', 'event 2', 'event 3', `state ${COMPLETED}`]);
}

async function leave(caller) {
  const abort = new AbortController();
  const events = confirmed(caller, caller.stream('hold 1', abort.signal), 1);
  const first = (await events.next()).value;
  assert.equal(describe((await events.next()).value), 'event 1');
  abort.abort();
  await assert.rejects(events.next(), 'an aborted stream goes on');
  assert.ok(await caller.agentSaw('gone'), 'the agent still streams to nobody');
  const { id } = first.payload.value;
  assert.equal((await caller.get(id)).status.state, SUBMITTED);
  await caller.cancel(id);
}

async function errors(caller) {
  await assert.rejects(caller.get('no-such-task'), TaskNotFoundError);
  await assert.rejects(caller.cancel('no-such-task'), TaskNotFoundError);
  const { id } = await caller.send('send');
  await assert.rejects(caller.cancel(id), TaskNotCancelableError);
}

/** Cuts the agent off after event 3; the client must get an error, not an end. */
async function dies(caller, how) {
  const seen = [];
  const read = async () => {
    for await (const event of confirmed(caller, caller.stream('hold 3'), 3)) {
      seen.push(describe(event));
      if (seen.at(-1) === 'event 3') assert.ok((await caller.cut(how)) > 0, 'no connection to cut');
    }
  };
  await assert.rejects(read(), (error) => !(error instanceof assert.AssertionError), 'a clean end');
  assert.deepEqual(seen, ['task', 'event 1', 'event 2', 'event 3']);
}

// The status of HTTP, and that of gRPC.
const REFUSALS = { 400: 3, 401: 16, 403: 7, 404: 12, 413: 8, 429: 8, 502: 14, 503: 14, 504: 4 };
const REFUSED = 'a fault was injected on purpose';

/** Every refusal, of a call that reads, one that acts and one that streams, is an error of the SDK that says why. */
async function refusals(caller, _plan, { binding }) {
  for (const [status, code] of Object.entries(REFUSALS)) {
    caller.fields = { 'x-attache-fault-abort': status };
    for (const call of [() => caller.get('a-task'), () => caller.send('send'), () => caller.stream('stream 1').next()]) {
      const error = await call().then((answer) => assert.fail(JSON.stringify(answer)), (error) => error);
      assert.ok(error instanceof A2AError, `${status}: ${error.stack}`);
      assert.ok(error.message.includes(REFUSED), error.message);
      if (binding === 'JSONRPC') assert.equal(error.data[0].reason, 'fault_injected');
      if (binding === 'HTTP+JSON') assert.equal(error.statusCode, Number(status));
      if (binding === 'GRPC') assert.ok(error.message.includes(`: ${code} `), error.message);
    }
  }
}

/** A webhook at a private address is refused with 400, and the SDK raises its own error. */
async function guarded(caller, _plan, { binding }) {
  const { id } = await caller.send('ask', { atOnce: true });
  caller.renew();
  const refused = caller.setPush(id, 'hook', 'https://10.0.0.1/hook');
  const error = await refused.then((answer) => assert.fail(JSON.stringify(answer)), (error) => error);
  assert.ok(error instanceof A2AError, error.stack);
  if (binding === 'JSONRPC') assert.equal(error.data[0].reason, 'push_url_refused');
  if (binding === 'HTTP+JSON') assert.equal(error.statusCode, 400);
  if (binding === 'GRPC') assert.ok(error.message.includes(': 3 '), error.message);
  caller.renew();
  await caller.cancel(id);
}

/** The card that the gateway signed anew is genuine to the SDK's own verifier, and not once it was changed. */
async function signature(_caller, plan) {
  const fetched = async (path) => (await fetch(`${plan.signing.url}${path}`)).json();
  const card = AgentCard.fromJSON(await fetched('/signed/.well-known/agent-card.json'));
  const { keys } = await fetched('/.well-known/jwks.json');
  const asked = [];
  const verify = verifyAgentCardSignature(async (kid, jku) => {
    asked.push([kid, jku]);
    return keys[0];
  });
  await verify(card);
  assert.deepEqual(asked, [['gateway', `${plan.signing.url}/.well-known/jwks.json`]]);
  card.supportedInterfaces[0].url = 'https://elsewhere.example/';
  await assert.rejects(verify(card));
}

/** Title, the agent it is made against, and the check, which gets the client, the plan and the flavour. */
export const CHECKS = [
  ['card names the gateway', 'steady', card],
  ['send', 'steady', send],
  [`stream ${EVENTS} events in order, gaps kept`, 'steady', stream],
  ['get', 'steady', get],
  ['cancel reaches the agent and ends the open stream', 'steady', cancel],
  ['subscribe joins a running task', 'steady', subscribe],
  ['leaving a stream is seen by the agent, the task lives on', 'steady', leave],
  ['TaskNotFound and TaskNotCancelable arrive as such', 'steady', errors],
  ['agent dies mid-stream (fin): an error, not an end', 'fragile', (caller) => dies(caller, 'fin')],
  ['agent dies mid-stream (rst): an error, not an end', 'fragile', (caller) => dies(caller, 'rst')],
];

/** Those that need a gateway. */
export const GATEWAY_CHECKS = [
  ['refusals of the gateway are errors of the SDK', 'steady', refusals],
  ['what a guard refuses is an error of the SDK', 'steady', guarded],
  ['the signature of the gateway is verified by the SDK', 'steady', signature],
  ['no answer differs from what it is past the gateway', 'steady', noDifference],
];
