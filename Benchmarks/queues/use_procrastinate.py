"""procrastinate at the settings its manual gives for throughput.

`batch_defer_async` for batches, a pool as large as its concurrency, several worker processes (it fetches and finishes
jobs one by one, whatever the batch), LISTEN/NOTIFY on (its default), log level WARNING as in production. History: its
default, finished jobs stay in procrastinate_jobs, and each change of state is a row of procrastinate_events."""
import asyncio
import logging
from importlib import metadata

import procrastinate

import _driver

logging.getLogger("procrastinate").setLevel(logging.WARNING)


class Queue:
    name = "procrastinate"
    workers = 2       # processes: one for each core of the usual machine
    concurrency = 8   # jobs at a time in each, each with a connection

    def plain(self):
        """For a worker process: without connections."""
        return Queue()

    def version(self):
        return metadata.version("procrastinate")

    def settings(self, orders):
        return f"concurrency {self.concurrency} each, psycopg pool of {self.concurrency + 2}, uvloop"

    def make(self, orders, connections, perform):
        connector = procrastinate.PsycopgConnector(
            conninfo=orders["dsn"], min_size=connections, max_size=connections)
        app = procrastinate.App(connector=connector)

        @app.task(name="job")
        async def job(**arguments):
            perform(arguments)

        self.task = job
        return app

    async def open(self, orders):
        self.app = self.make(orders, _driver.ENQUEUERS, lambda arguments: None)
        await self.app.open_async()

    async def install(self):
        await self.app.schema_manager.apply_schema_async()

    async def checkpoint(self):
        await self.app.connector.execute_query_async("checkpoint")

    async def enqueue(self, jobs):
        if len(jobs) == 1:
            await self.task.defer_async(**jobs[0])
        else:
            await self.task.batch_defer_async(*jobs)

    async def work(self, worker):
        app = self.make(worker.orders, self.concurrency + 2, worker.job)
        async with app.open_async():
            await worker.begin()
            running = asyncio.create_task(
                app.run_worker_async(concurrency=self.concurrency, install_signal_handlers=False))
            stopping = asyncio.create_task(worker.stopped())
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            running.cancel()
            try:
                await running
            except asyncio.CancelledError:
                pass

    async def finished(self):
        row = await self.app.connector.execute_query_one_async(
            "select count(*) as kept from procrastinate_jobs where status = 'succeeded'")
        return row["kept"]

    async def close(self):
        await self.app.close_async()


if __name__ == "__main__":
    _driver.main(Queue())
