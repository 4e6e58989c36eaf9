// The service's API as the action uses it. No dependencies.
'use strict';

const http = require('node:http');
const https = require('node:https');

const REQUEST_TIMEOUT_MS = 40_000;
const MAX_BODY_BYTES = 1 << 20;

// An answer other than the expected one, with the problem document's code and detail.
class Refused extends Error {
  constructor(status, body) {
    const problem = parse(body) ?? {};
    super(`${status} ${problem.code ?? 'unexpected answer'}: ${problem.detail ?? ''}`.trim());
    this.status = status;
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// One request. Resolves with {status, headers, body}; rejects when no answer came.
function send(method, address, headers, body) {
  const url = new URL(address);
  const library = url.protocol === 'https:' ? https : http;
  const options = { method, headers, timeout: REQUEST_TIMEOUT_MS };
  return new Promise((resolve, reject) => {
    const request = library.request(url, options, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part) => {
        text += part;
        if (text.length > MAX_BODY_BYTES) request.destroy(new Error('the answer is too large'));
      });
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body: text }));
      answer.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
    request.end(body);
  });
}

const DEFAULT_AUDIENCE = 'runner-token-service';
// Names that only services of this kind have.
const OWN_AUDIENCES = [DEFAULT_AUDIENCE, 'runner-tokens'];

function isOwn(audience, host) {
  const address = audience.replace(/^https:\/\//, '');
  return OWN_AUDIENCES.includes(audience) || address === host || address.startsWith(`${host}/`);
}

// The audience that the service names. A token for a name that other services may have too would be good there, so such a
// name is not taken over.
async function namedAudience(url, sleep, deadline) {
  const client = new Client(url, undefined, sleep);
  const answer = await client.request('GET', '/auth/config', { deadline });
  if (![200, 404].includes(answer.status)) throw new Refused(answer.status, answer.body);
  const audience = parse(answer.body)?.token_audience ?? DEFAULT_AUDIENCE;
  if (isOwn(audience, new URL(url).host)) return audience;
  throw new Error(`The service names the audience "${audience}", as others may; set the input audience to it if that is right.`);
}

// An OIDC token of this workflow run for `audience`.
async function idToken(environment, audience) {
  const address = environment.ACTIONS_ID_TOKEN_REQUEST_URL;
  if (!address) throw new Error('This job may not request an OIDC token: add `permissions: id-token: write` to it.');
  const headers = { authorization: `bearer ${environment.ACTIONS_ID_TOKEN_REQUEST_TOKEN}` };
  const answer = await send('GET', `${address}&audience=${encodeURIComponent(audience)}`, headers);
  const token = parse(answer.body)?.value;
  if (answer.status !== 200 || !token) throw new Error(`GitHub gave no OIDC token (status ${answer.status}).`);
  return token;
}

class Client {
  constructor(url, token, sleep) {
    this.base = `${url.replace(/\/+$/, '')}/api/v1`;
    this.token = token;
    this.sleep = sleep;
  }

  // Sends until an answer comes that is no wait (429, 503, lost), at most until `deadline`. Without a token source it
  // sends no token.
  async request(method, path, { headers = {}, body, deadline }) {
    for (let attempt = 0; ; attempt += 1) {
      const all = this.token ? { authorization: `Bearer ${await this.token()}`, ...headers } : { ...headers };
      let answer;
      try {
        if (body !== undefined) all['content-type'] = 'application/json';
        answer = await send(method, this.base + path, all, body === undefined ? undefined : JSON.stringify(body));
      } catch (error) {
        // A wrong certificate stays wrong.
        if (/CERT|SIGNATURE/.test(error.code ?? '')) {
          throw new Error(`The certificate of the service cannot be trusted (${error.code}); NODE_EXTRA_CA_CERTS names a file of authorities.`);
        }
        answer = { status: 0, headers: {}, body: JSON.stringify({ code: 'no_answer', detail: error.message }) };
      }
      if (![0, 429, 503].includes(answer.status)) return answer;
      const asked = Number(answer.headers['retry-after']) * 1000 || Math.min(1000 * 2 ** attempt, 15_000);
      const wait = asked * (1 + Math.random() / 4);
      if (Date.now() + wait > deadline) throw new Refused(answer.status, answer.body);
      await this.sleep(wait);
    }
  }

  // Provisions one runner and returns the body with its config.
  async provision(request, key, deadline) {
    const headers = { prefer: 'wait=25', 'idempotency-key': key };
    const accepted = await this.request('POST', '/runners/jit', { headers, body: request, deadline });
    if (accepted.status === 201) return parse(accepted.body);
    if (accepted.status !== 202) throw new Refused(accepted.status, accepted.body);
    const job = parse(accepted.body).job_id;
    for (;;) {
      const answer = await this.request('GET', `/jobs/${job}?wait=25`, { deadline });
      if (answer.status !== 200) throw new Refused(answer.status, answer.body);
      const { state, blocked_on: reason, error } = parse(answer.body);
      if (state === 'succeeded') break;
      if (!['queued', 'running'].includes(state)) throw new Error(`The job ${state}: ${error?.detail ?? 'no reason given'}`);
      if (Date.now() > deadline) throw new Error(`The job still waits (${reason ?? state}); run the step again to go on.`);
      await this.sleep(500);
    }
    const issued = await this.request('POST', `/jobs/${job}/credential`, { deadline });
    if (issued.status !== 200) throw new Refused(issued.status, issued.body);
    return { job_id: job, ...parse(issued.body) };
  }

  // Removes a runner unless it has been online. Returns whether its removal was requested.
  async removeUnused(id, deadline) {
    const answer = await this.request('GET', `/runners/${id}`, { deadline });
    if (answer.status === 404) return false;
    if (answer.status !== 200) throw new Refused(answer.status, answer.body);
    if (!['requested', 'pending'].includes(parse(answer.body).status)) return false;
    const removed = await this.request('DELETE', `/runners/${id}`, { deadline });
    if (removed.status >= 300 && removed.status !== 404) throw new Refused(removed.status, removed.body);
    return true;
  }
}

// A client with this workflow's own token. Each token is kept from the log by `mask`.
async function workflowClient(environment, { url, audience, sleep, mask, deadline }) {
  const chosen = audience || (await namedAudience(url, sleep, deadline));
  const token = async () => {
    const text = await idToken(environment, chosen);
    mask(text);
    return text;
  };
  return new Client(url, token, sleep);
}

module.exports = { workflowClient };
