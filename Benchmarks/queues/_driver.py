"""What the drivers of public queues share: worker processes, a closed loop, and a protocol of JSON lines.

Orders come as one line on standard input: shape (life, burndown, pickup), dsn, batch, seconds, jobs, probes. The driver
makes its tables, starts its workers, writes {"ready": how it is set up, "name": ..., "version": ...}, waits for a line,
does the work, writes {"jobs": ..., "seconds": ..., "ages": [ms, ...]}, and ends when its standard input does. Jobs are
counted where they run, and again in the queue's own history; a difference is an error."""
import asyncio
import json
import multiprocessing
import random
import sys
import time
from multiprocessing.sharedctypes import RawArray, RawValue

import uvloop

ENQUEUERS = 4
PAUSE = 0.020  # mean seconds between two jobs of `pickup`


def boot_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def payload(number):
    """As long as the payloads of the other sides."""
    return {"connection_id": f"c_{number:010d}", "operation": "refresh", "provider": "google",
            "trace": f"{number * 0x9E3779B97F4A7C15 & (1 << 64) - 1:016x}"}


class Tally:
    """What worker processes tell, without a lock: each writes only its own slots."""

    def __init__(self, workers, ages):
        self.done = RawArray("q", workers)
        self.ages = RawArray("d", ages or 1)
        self.ready = RawArray("b", workers)
        self.go = RawValue("b", 0)
        self.stop = RawValue("b", 0)

    def total(self):
        return sum(self.done)


class Worker:
    """One worker process; `job` is called by the queue for each job."""

    def __init__(self, number, orders, tally):
        self.number, self.orders, self.tally, self.aged = number, orders, tally, 0

    def job(self, arguments):
        called = arguments.get("called_at")
        if called is not None:
            self.tally.ages[self.aged] = (boot_ns() - called) / 1e6
            self.aged += 1
        self.tally.done[self.number] += 1

    async def begin(self):
        """Called when the worker is set up; returns when it may look for jobs."""
        self.tally.ready[self.number] = 1
        while not self.tally.go.value:
            await asyncio.sleep(0.002)

    async def stopped(self):
        while not self.tally.stop.value:
            await asyncio.sleep(0.01)


def _work(queue, number, orders, tally):
    uvloop.run(queue.work(Worker(number, orders, tally)))


def say(**values):
    print(json.dumps(values), flush=True)


async def _order():
    """Waits for a line; ends when there will be none."""
    if not await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        sys.exit("told to end")


async def _reach(tally, count):
    while tally.total() < count:
        await asyncio.sleep(0.002)


async def _life(queue, orders, tally):
    """Enqueuers stay a few batches ahead until the time is over; then everything is finished."""
    batch = orders["batch"]
    ahead = max(4 * batch * ENQUEUERS, 64)
    sent, over = 0, False

    async def enqueue(enqueuer):
        nonlocal sent
        while not over:
            if sent + batch - tally.total() > ahead:
                await asyncio.sleep(0.001)
                continue
            first, sent = sent, sent + batch
            await enqueuer([payload(first + index) for index in range(batch)])

    tasks = [asyncio.create_task(enqueue(queue.enqueue)) for _ in range(ENQUEUERS)]
    await _reach(tally, batch)
    began, first = time.monotonic(), tally.total()
    await asyncio.sleep(orders["seconds"])
    seconds, jobs = time.monotonic() - began, tally.total() - first
    over = True
    await asyncio.gather(*tasks)
    await _reach(tally, sent)
    return jobs, seconds, sent


async def _fill(queue, count):
    for first in range(0, count, 1000):
        await queue.enqueue([payload(index) for index in range(first, min(first + 1000, count))])


async def _pickup(queue, orders, tally):
    await queue.enqueue([payload(0)])
    await _reach(tally, 1)
    for number in range(1, orders["probes"] + 1):
        await asyncio.sleep(random.uniform(0, 2) * PAUSE)
        await queue.enqueue([{"called_at": boot_ns()}])
        await _reach(tally, number + 1)


async def _run(queue, orders):
    shape = orders["shape"]
    workers = 1 if shape == "pickup" else queue.workers
    tally = Tally(workers, orders["probes"])
    await queue.open(orders)
    await queue.install()
    if shape == "burndown":
        await _fill(queue, orders["jobs"])
        await queue.checkpoint()
    context = multiprocessing.get_context("spawn")
    # Daemons: they end when this process does.
    processes = [context.Process(target=_work, args=(queue.plain(), number, orders, tally), daemon=True)
                 for number in range(workers)]
    for process in processes:
        process.start()
    while not all(tally.ready):
        await asyncio.sleep(0.01)
    if shape != "burndown":
        tally.go.value = 1
        await asyncio.sleep(1)  # for LISTEN and the first, empty look
    settings = f"{workers} worker process{'es' if workers > 1 else ''}, {queue.settings(orders)}"
    say(ready=settings, name=queue.name, version=queue.version())
    await _order()
    began = time.monotonic()
    if shape == "burndown":
        tally.go.value = 1
        await _reach(tally, orders["jobs"])
        jobs, seconds, sent = orders["jobs"], time.monotonic() - began, orders["jobs"]
    elif shape == "pickup":
        await _pickup(queue, orders, tally)
        jobs, seconds, sent = orders["probes"], time.monotonic() - began, orders["probes"] + 1
    else:
        jobs, seconds, sent = await _life(queue, orders, tally)
    say(jobs=jobs, seconds=seconds, ages=list(tally.ages) if shape == "pickup" else [])
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)  # its end, when all went well
    tally.stop.value = 1
    for process in processes:
        await asyncio.get_running_loop().run_in_executor(None, process.join, 30)
        if process.is_alive():
            process.kill()
            sys.exit("a worker process did not stop")
    ran, kept = tally.total(), await queue.finished()
    await queue.close()
    if (ran, kept) != (sent, sent):
        sys.exit(f"{sent} jobs were enqueued, {ran} ran, and {kept} are in the history")


def main(queue):
    """Runs one shape with `queue`."""
    uvloop.run(_run(queue, json.loads(sys.stdin.readline())))
