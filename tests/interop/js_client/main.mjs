// Runs every check in every flavour of the JavaScript SDK; prints one JSON line for each.

import { CHECKS, GATEWAY_CHECKS } from './checks.mjs';
import { Caller, flavours } from './caller.mjs';

const plan = JSON.parse(process.argv[2]);
// Outcomes alone go to standard output, whatever the SDK has to say.
for (const level of ['log', 'info', 'debug']) console[level] = console.error;

/** Fails instead of hanging; nothing else depends on time. */
async function guarded(work) {
  let timer;
  const guard = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('hangs')), plan.guardSeconds * 2000);
  });
  try {
    await Promise.race([work(), guard]);
  } finally {
    clearTimeout(timer);
  }
}

async function run(flavour, entrance, check) {
  const caller = await Caller.open(plan, entrance, flavour);
  try {
    await check(caller, plan, flavour);
  } finally {
    await caller.close();
  }
}

let failures = 0;
for (const flavour of flavours(plan)) {
  for (const [title, entrance, check] of plan.past ? [...CHECKS, ...GATEWAY_CHECKS] : CHECKS) {
    const name = `${flavour.name} ${title}`;
    if (!name.includes(plan.only)) continue;
    let failure = null;
    try {
      if (failures >= plan.manyFailures) throw `not run: ${failures} others failed before`;
      await guarded(() => run(flavour, entrance, check));
    } catch (error) {
      failures += failures < plan.manyFailures;
      failure = `${error?.stack ?? error}`;
    }
    process.stdout.write(`${JSON.stringify({ name, failure })}\n`);
  }
}
process.exit(0); // connections that a failed check left open must not keep us
