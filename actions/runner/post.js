// Removes the runners of a failed job that never came online.
'use strict';

const { workflowClient } = require('./client');
const { info, inputs, mask, sleep } = require('./workflow');

const LONGEST_MS = 60_000;

async function post(environment) {
  const ids = (environment.STATE_runners ?? '').split(' ').filter(Boolean);
  const { url, audience, removeOnFailure } = inputs(environment);
  if (!removeOnFailure || ids.length === 0) return;
  const deadline = Date.now() + LONGEST_MS;
  const client = await workflowClient(environment, { url, audience, sleep, mask, deadline });
  for (const id of ids) {
    const removed = await client.removeUnused(id, Date.now() + LONGEST_MS);
    info(removed ? `runner ${id} never came online; its removal was requested` : `runner ${id} was used or is gone`);
  }
}

// A clean-up that fails does not change the result of the job; the service removes unused runners by itself.
post(process.env).catch((error) => info(`not removed: ${error.message}`));
