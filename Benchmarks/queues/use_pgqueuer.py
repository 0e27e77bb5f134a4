"""pgqueuer at the settings its guide "Performance Tuning" and its own benchmark give for short jobs.

Durable tables (its default; the others lose jobs), `autovac` applied, producers on a pool, each queue manager on a
connection of its own, uvloop, batch_size as the shape's batch (100 in a burn-down: "increase for jobs under a second").
The job's status is written in batches of batch_size or each 0.1 s, its default. Log aggregation stays on (its default).
History: pgqueuer_log, one row when a job is picked and one when it ends."""
import asyncio
import json
from importlib import metadata

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.queries import Queries

import _driver


class Queue:
    name = "pgqueuer"
    workers = 2       # processes: one for each core of the usual machine
    managers = 2      # queue managers in each, with a connection each

    def plain(self):
        """For a worker process: without connections."""
        return Queue()

    def version(self):
        return metadata.version("pgqueuer")

    def settings(self, orders):
        managers = 1 if orders["shape"] == "pickup" else self.managers
        return f"{managers} queue manager{'s' if managers > 1 else ''} each, batch_size {self.batch(orders)}, asyncpg, uvloop, autovac, durable"

    @staticmethod
    def batch(orders):
        return {"burndown": 100, "pickup": 10}.get(orders["shape"], orders["batch"])

    async def open(self, orders):
        self.pool = await asyncpg.create_pool(orders["dsn"], min_size=_driver.ENQUEUERS, max_size=_driver.ENQUEUERS)
        self.queries = Queries(AsyncpgPoolDriver(self.pool))

    async def install(self):
        await self.queries.install()
        await self.queries.optimize_autovacuum()

    async def checkpoint(self):
        await self.pool.execute("checkpoint")

    async def enqueue(self, jobs):
        await self.queries.enqueue(
            ["job"] * len(jobs), [json.dumps(job).encode() for job in jobs], [0] * len(jobs))

    async def work(self, worker):
        managers = []
        for _ in range(1 if worker.orders["shape"] == "pickup" else self.managers):
            manager = PgQueuer(AsyncpgDriver(await asyncpg.connect(worker.orders["dsn"])))

            @manager.entrypoint("job")
            async def job(job):
                worker.job(json.loads(job.payload))

            managers.append(manager)

        async def stop():
            await worker.stopped()
            for manager in managers:
                manager.shutdown.set()

        await worker.begin()
        await asyncio.gather(stop(), *(manager.run(batch_size=self.batch(worker.orders)) for manager in managers))

    async def finished(self):
        return await self.pool.fetchval("select count(*) from pgqueuer_log where status = 'successful'")

    async def close(self):
        await self.pool.close()


if __name__ == "__main__":
    _driver.main(Queue())
