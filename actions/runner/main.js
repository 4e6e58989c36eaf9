// Provisions runners and writes their configs to files of mode 0600.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { workflowClient } = require('./client');
const { append, failure, info, inputs, mask, sleep } = require('./workflow');

async function main(environment) {
  const { url, request, count, audience, wait } = inputs(environment);
  const deadline = Date.now() + wait;
  const client = await workflowClient(environment, { url, audience, sleep, mask, deadline });
  const folder = fs.mkdtempSync(path.join(environment.RUNNER_TEMP || '/tmp', 'rts-'));
  const run = [environment.GITHUB_RUN_ID, environment.GITHUB_RUN_ATTEMPT, environment.GITHUB_JOB, environment.GITHUB_ACTION];
  const runners = [];
  try {
    for (let index = 0; index < count; index += 1) {
      const issued = await client.provision(request, [...run, index].join('-'), deadline);
      mask(issued.encoded_jit_config);
      const file = path.join(folder, `${issued.runner_name}.jitconfig`);
      fs.writeFileSync(file, `${issued.encoded_jit_config}\n`, { mode: 0o600, flag: 'wx' });
      runners.push({ ...issued, file });
      info(`runner ${issued.runner_name} is ready, until ${issued.expires_at}`);
    }
  } finally {
    // The post step removes these if the job fails.
    append(environment.GITHUB_STATE, 'runners', runners.map((runner) => runner.runner_id).join(' '));
  }
  const lines = (name) => runners.map((runner) => runner[name]).join('\n');
  append(environment.GITHUB_OUTPUT, 'runner-name', lines('runner_name'));
  append(environment.GITHUB_OUTPUT, 'runner-id', lines('runner_id'));
  append(environment.GITHUB_OUTPUT, 'job-id', lines('job_id'));
  append(environment.GITHUB_OUTPUT, 'config-file', lines('file'));
  append(environment.GITHUB_OUTPUT, 'expires-at', lines('expires_at'));
}

main(process.env).catch((error) => {
  failure(error.message);
  process.exitCode = 1;
});
