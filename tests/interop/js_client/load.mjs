// Many unfinished tasks, over every flavour of the JavaScript SDK at the same time: `python_client/load.py` in another
// language. Reads commands as JSON lines, and answers each with one.

import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { TaskNotFoundError } from '@a2a-js/sdk/errors';
import { Caller, flavours } from './caller.mjs';

const { caFile, count } = JSON.parse(process.argv[2]);
const lanes = flavours({ caFile }).map((flavour, index, all) => ({
  flavour,
  count: Math.floor(count / all.length) + (index < count % all.length ? 1 : 0),
  tasks: [],
}));

/** The first event of a stream, and how to leave it. */
async function begin(open) {
  const abort = new AbortController();
  const events = open(abort.signal);
  const { value } = await events.next();
  return { id: value.payload.value.id, leave: () => abort.abort() };
}

/** New tasks. The streams of every other one stay open until all are made, as those of working agents do. */
async function create(count, next, key) {
  const tasks = [];
  const leaving = [];
  for (let number = 0; number < count; number += 1) {
    const caller = next();
    caller.renew();
    if (number % 2) {
      tasks.push((await caller.send('ask', { atOnce: true })).id);
    } else {
      const { id, leave } = await begin((signal) => caller.stream(`ask ${key}`, signal));
      tasks.push(id);
      leaving.push(leave);
    }
  }
  leaving.forEach((leave) => leave());
  return tasks;
}

/** What is done with a task; each says which task it was. */
const OPERATIONS = {
  get: async (caller, task) => (await caller.get(task, 1)).id,
  subscribe: async (caller, task) => {
    const { id, leave } = await begin((signal) => caller.subscribe(task, signal));
    leave();
    return id;
  },
  continue: async (caller, task) => (await caller.send('more', { task })).id,
  cancel: async (caller, task) => (await caller.cancel(task)).id,
};

/** One call: 1 when the agent that got it does not have the task. */
async function lost(caller, operation, task) {
  caller.renew();
  try {
    assert.equal(await OPERATIONS[operation](caller, task), task, `${operation} was answered about another task`);
    return 0;
  } catch (error) {
    // Of an error in a 0.3 stream, the SDK makes a plain Error.
    if (error instanceof TaskNotFoundError || error.message.includes('(Code: -32001)')) return 1;
    throw error;
  }
}

/** One flavour: its calls follow one another, and entrances are taken in turn. */
async function run(lane, { operation, entrances, key }) {
  const callers = await Promise.all(
    entrances.map((entrance) => Caller.open({ caFile, entrance }, 'entrance', lane.flavour)),
  );
  let turn = 0;
  const next = () => callers[turn++ % callers.length];
  try {
    if (operation === 'create') {
      lane.tasks = await create(lane.count, next, key);
      return 0;
    }
    let sum = 0;
    for (const task of lane.tasks) sum += await lost(next(), operation, task);
    return sum;
  } catch (error) {
    throw new Error(`${lane.flavour.name}: ${error?.stack ?? error}`);
  } finally {
    await Promise.all(callers.map((caller) => caller.close()));
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const sums = await Promise.all(lanes.map((lane) => run(lane, JSON.parse(line))));
    const answer = { tasks: lanes.flatMap((lane) => lane.tasks), lost: sums.reduce((one, other) => one + other) };
    console.log(JSON.stringify(answer));
  } catch (error) {
    console.log(JSON.stringify({ error: `${error?.stack ?? error}` }));
  }
}
process.exit(0);
