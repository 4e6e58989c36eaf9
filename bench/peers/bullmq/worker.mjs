// BullMQ, as described in ../README.md: one request as JSON in the first argument, responses as JSON lines.

import { Queue, Worker } from 'bullmq';

const ask = JSON.parse(process.argv[2]);
const bound = ask.bound * 1000;
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const now = () => performance.now();

function connection() {
  const url = new URL(ask.redis.replace(/^redis\+unix:/, 'unix:'));
  const db = Number(url.searchParams.get('db') ?? 0);
  return url.protocol === 'unix:'
    ? { path: url.pathname, db }
    : { host: url.hostname, port: Number(url.port || 6379), db };
}

function queue() {
  const options = ask.tuned ? { defaultJobOptions: { removeOnComplete: true } } : {};
  return new Queue(ask.queue, { connection: connection(), ...options });
}

async function worker(handler) {
  const made = new Worker(ask.queue, handler, {
    connection: { ...connection(), maxRetriesPerRequest: null },
    concurrency: ask.width,
  });
  made.on('error', (error) => process.stderr.write(`${error}\n`));
  await made.waitUntilReady();
  say({ ready: true });
}

/** Does `what` or gives up after so long; true: done. */
async function within(ms, what) {
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(() => resolve(false), ms); });
  const done = await Promise.race([what.then(() => true), late]);
  clearTimeout(timer);
  return done;
}

const deeds = {
  async enqueue() {
    const jobs = queue();
    await jobs.waitUntilReady();
    let next = 0;
    const adding = async () => {
      while (next < ask.jobs) {
        const nth = next++;
        await jobs.add('job', { nth, payload: ask.payload });
      }
    };
    const begun = now();
    await Promise.all(Array.from({ length: ask.width }, adding));
    say({ count: ask.jobs, seconds: (now() - begun) / 1000 });
  },

  async work() {
    let count = 0;
    let begun;
    let end;
    const ended = new Promise((resolve) => { end = resolve; });
    await worker(async () => {
      begun ??= now();
      count += 1;
      if (count === ask.jobs) end();
    });
    await within(bound, ended);
    say({ count, seconds: (now() - (begun ?? now())) / 1000 });
  },

  async hold() {
    await worker(async (job) => {
      say({ started: job.data.nth });
      await new Promise(() => setInterval(() => {}, 1e6));
    });
    await new Promise(() => {});
  },

  async pickup() {
    const jobs = queue();
    let started;
    await worker(async () => started(now()));
    const until = now() + bound;
    const times = [];
    for (let nth = 0; nth < ask.jobs; nth += 1) {
      await sleep((nth * 137) % 500);
      const begun = now();
      if (begun >= until) break;
      let at = until;
      const start = new Promise((resolve) => { started = (when) => { at = when; resolve(); }; });
      await jobs.add('job', { nth, payload: ask.payload });
      await within(until - begun, start);
      times.push(at - begun);
    }
    say({ times });
  },
};

await deeds[ask.do]();
process.exit(0);
