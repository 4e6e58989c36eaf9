"""arq, as described in ../README.md: one request as JSON in the first argument, responses as JSON lines."""

import asyncio
import json
import os
import sys
import time
from urllib.parse import parse_qs, urlsplit

from arq.connections import RedisSettings, create_pool
from arq.worker import Worker

ASK = json.loads(sys.argv[1])
BOUND = ASK["bound"]


def say(**what):
    print(json.dumps(what), flush=True)


def redis():
    url = urlsplit(ASK["redis"])
    number = int(parse_qs(url.query).get("db", ["0"])[0])
    if url.scheme.endswith("unix"):
        return RedisSettings(unix_socket_path=url.path, database=number)
    return RedisSettings(host=url.hostname, port=url.port or 6379, database=number)


def pool():
    return create_pool(redis(), default_queue_name=ASK["queue"])


def worker(handler):
    handler.__qualname__ = "job"
    settings = {"functions": [handler], "queue_name": ASK["queue"], "max_jobs": ASK["width"]}
    if ASK["tuned"]:
        settings |= {"poll_delay": 0.01, "keep_result": 0}
    made = Worker(redis_settings=redis(), handle_signals=False, log_results=False, **settings)
    running = asyncio.create_task(made.async_run())
    # The process must not wait for what will never come.
    running.add_done_callback(failed)


def failed(task):
    print(f"the worker ended: {task.exception()}", file=sys.stderr, flush=True)
    os._exit(1)


async def enqueue():
    client, left = await pool(), iter(range(ASK["jobs"]))

    async def adding():
        for nth in left:
            await client.enqueue_job("job", nth, ASK["payload"])

    begun = time.monotonic()
    await asyncio.gather(*(adding() for _ in range(ASK["width"])))
    say(count=ASK["jobs"], seconds=time.monotonic() - begun)


async def work():
    done, begun, end = 0, None, asyncio.Event()

    async def job(_ctx, _nth, _payload):
        nonlocal done, begun
        begun = begun or time.monotonic()
        done += 1
        if done == ASK["jobs"]:
            end.set()

    worker(job)
    say(ready=True)
    try:
        await asyncio.wait_for(end.wait(), BOUND)
    except asyncio.TimeoutError:
        pass
    say(count=done, seconds=time.monotonic() - (begun or time.monotonic()))


async def hold():
    async def job(_ctx, nth, _payload):
        say(started=nth)
        await asyncio.Event().wait()

    worker(job)
    say(ready=True)
    await asyncio.Event().wait()


async def pickup():
    client, started, times = await pool(), asyncio.Queue(), []

    async def job(_ctx, _nth, _payload):
        started.put_nowait(time.monotonic())

    worker(job)
    say(ready=True)
    until = time.monotonic() + BOUND
    for nth in range(ASK["jobs"]):
        await asyncio.sleep((nth * 137 % 500) / 1000)
        begun = time.monotonic()
        if begun >= until:
            break
        await client.enqueue_job("job", nth, ASK["payload"])
        try:
            at = await asyncio.wait_for(started.get(), until - begun)
        except asyncio.TimeoutError:
            at = time.monotonic()
        times.append((at - begun) * 1000)
    say(times=times)


async def main():
    await {"enqueue": enqueue, "work": work, "hold": hold, "pickup": pickup}[ASK["do"]]()
    # arq's worker has no end of its own, and what it held does not matter any more.
    os._exit(0)


asyncio.run(main())
