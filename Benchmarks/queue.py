"""The job queue, beside its statements driven straight through libpq and beside public queues; about half an hour.

Arguments go to `evergrant bench queue`; everything measured is also written to .build/bench-queue.json."""
import os
import sys

binary = os.environ["EVERGRANT_BINARY"]
here = os.path.dirname(os.path.abspath(__file__))
arguments = ["--drivers", os.path.join(here, "queues"),
             "--json", os.path.join(here, os.pardir, ".build", "bench-queue.json")]
if python := os.environ.get("EVERGRANT_BENCH_PYTHON"):
    arguments += ["--python", python]
sys.stdout.flush()
os.execv(binary, [binary, "bench", "queue", *arguments, *sys.argv[1:]])
