// Streams whose events the agent emits one at a time.

import assert from 'node:assert/strict';

/**
 * Yields events and confirms each up to `last`: the agent emits the next one only then.
 * A gateway that holds an event back would wait for an event that the agent does not send.
 */
export async function* confirmed(caller, events, last) {
  let number = 0;
  for await (const event of events) {
    if (number <= last) {
      const emitted = await caller.confirm(number);
      assert.equal(emitted, number, `event ${number} arrived when the agent had already emitted ${emitted}`);
    }
    number += 1;
    yield event;
  }
}
