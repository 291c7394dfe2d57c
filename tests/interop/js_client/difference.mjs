// The same calls past the gateway and through it, to the same agent: `python_client/difference_checks.py` in another
// language.

import assert from 'node:assert/strict';
import { Caller } from './caller.mjs';
import { confirmed } from './confirmed.mjs';

// All that is masked: what is made anew for each task. Ids become numbers in the order in which they come.
const IDS = ['id', 'taskId', 'contextId', 'messageId', 'artifactId'];
const TIMES = ['timestamp'];
// Calls that fail, both ways alike. Any other one that fails is a fault of the suite, which would hide a difference.
const MUST_FAIL = [
  'push get of nothing',
  'cancel again',
  'subscribe to what is over',
  'get of nothing',
  'continue nothing',
];

export async function noDifference(caller, plan, flavour) {
  const past = await Caller.open(plan.past, 'steady', { ...flavour, http: flavour.binding === 'GRPC' ? 'h2' : 'h1' });
  try {
    const expected = await everything(past, flavour);
    const failed = Object.keys(expected).filter((name) => expected[name]?.error !== undefined);
    assert.deepEqual(failed, MUST_FAIL, `past the gateway: ${JSON.stringify(expected)}`);
    // The agent's cards name its own addresses, and the gateway puts its own in their place.
    assert.deepEqual(await everything(caller, flavour), replaced(expected, plan.past.places));
  } finally {
    await past.close();
  }
}

/** One call of each kind, and those that fail. */
async function everything(caller, { version }) {
  const told = { card: plain(caller.card) };
  const names = new Map();
  const note = async (name, call) => {
    let result;
    try {
      result = await call();
      told[name] = masked(plain(result), names);
    } catch (error) {
      const text = replaced(error.message, Object.fromEntries(names));
      told[name] = { error: error.constructor.name, text, details: plain(error.details) };
    }
    caller.renew();
    return result;
  };
  const first = async (events) => {
    const { value } = await events.next();
    await events.return();
    return value;
  };

  const done = await note('send', () => caller.send('send'));
  await note('stream', () => collected(confirmed(caller, caller.stream('stream 3'), 3)));
  await note('get', () => caller.get(done.id));
  await note('get with some history', () => caller.get(done.id, 1));
  if (version !== '0.3') await note('list', () => caller.list(done.contextId));
  const { id } = await note('send at once', () => caller.send('ask', { atOnce: true }));
  await note('continue', () => caller.send('more', { task: id }));
  await note('subscribe', () => first(caller.subscribe(id)));
  await note('push set', () => caller.setPush(id, 'hook'));
  await note('push get', () => caller.getPush(id, 'hook'));
  await note('push list', () => caller.listPush(id));
  await note('push delete', () => caller.deletePush(id, 'hook'));
  await note('push get of nothing', () => caller.getPush(id, 'hook'));
  await note('cancel', () => caller.cancel(id));
  await note('cancel again', () => caller.cancel(id));
  await note('subscribe to what is over', () => first(caller.subscribe(done.id)));
  await note('get of nothing', () => caller.get('no-such-task'));
  await note('continue nothing', () => caller.send('more', { task: 'no-such-task' }));
  await note('extended card', () => caller.extendedCard());
  return told;
}

async function collected(events) {
  const seen = [];
  for await (const event of events) seen.push(event);
  return seen;
}

/** An answer as data: dates and byte strings as text, and nothing that is undefined. */
function plain(answer) {
  return answer === undefined ? null : JSON.parse(JSON.stringify(answer));
}

/** The same with what is made anew for each task put out of the way. */
function masked(value, names) {
  if (Array.isArray(value)) return value.map((one) => masked(one, names));
  if (value === null || typeof value !== 'object') return value;
  const of = (key, one) => {
    if (TIMES.includes(key)) return 'a time';
    if (!IDS.includes(key) || typeof one !== 'string') return masked(one, names);
    if (!names.has(one)) names.set(one, `#${names.size}`);
    return names.get(one);
  };
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, of(key, one)]));
}

/** The same with texts in the place of others, wherever they are. */
function replaced(value, places) {
  if (typeof value === 'string') {
    return Object.entries(places).reduce((text, [old, other]) => (old ? text.replaceAll(old, other) : text), value);
  }
  if (Array.isArray(value)) return value.map((one) => replaced(one, places));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, replaced(one, places)]));
}
