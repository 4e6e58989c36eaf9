// Inputs, outputs and log commands of a workflow step.
'use strict';

const fs = require('node:fs');
const crypto = require('node:crypto');

const UNITS = { s: 1000, m: 60_000, h: 3_600_000 };

function input(environment, name) {
  return (environment[`INPUT_${name.toUpperCase()}`] ?? '').trim();
}

// Milliseconds of a text such as 90s, 5m or 1h.
function duration(text) {
  const found = /^(\d{1,4})([smh])$/.exec(text);
  if (!found) throw new Error(`wait: "${text}" is no duration such as 90s or 5m`);
  return Number(found[1]) * UNITS[found[2]];
}

// The inputs, checked.
function inputs(environment) {
  const url = input(environment, 'url');
  if (!/^https?:\/\/[^/]/.test(url)) throw new Error('url: should be the https address of the service');
  const { protocol, hostname } = new URL(url);
  const loopback = ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
  if (protocol !== 'https:' && !loopback) throw new Error('url: the token and the config need https');
  const labels = input(environment, 'labels').split(/[\n,]/).map((label) => label.trim()).filter(Boolean);
  if (labels.length === 0) throw new Error('labels: name at least one');
  const count = Number(input(environment, 'count') || '1');
  if (!Number.isInteger(count) || count < 1 || count > 50) throw new Error('count: should be 1 to 50');
  const request = { runner_name_prefix: input(environment, 'prefix') || 'ci', labels };
  const [team, group, folder] = ['team', 'group', 'work-folder'].map((name) => input(environment, name));
  if (team) request.team = team;
  if (group) request.runner_group_id = Number(group);
  if (folder) request.work_folder = folder;
  return {
    url,
    request,
    count,
    audience: input(environment, 'audience'),
    wait: duration(input(environment, 'wait') || '5m'),
    removeOnFailure: input(environment, 'remove-on-failure') !== 'false',
  };
}

// Appends a value to one of the runner's command files, with a delimiter it cannot contain.
function append(file, name, value) {
  const end = `end-${crypto.randomUUID()}`;
  fs.appendFileSync(file, `${name}<<${end}\n${value}\n${end}\n`);
}

function escape(text) {
  return String(text).replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
}

const mask = (secret) => process.stdout.write(`::add-mask::${escape(secret)}\n`);
const info = (text) => process.stdout.write(`${String(text).replace(/[\r\n]+/g, ' ').replace(/^::/, ': :')}\n`);
const failure = (text) => process.stdout.write(`::error::${escape(text)}\n`);
const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));

module.exports = { append, duration, failure, info, inputs, mask, sleep };
