"""What the passthrough adds to a call: the same GET at the sandbox provider's API, directly and through the front, in
turn on two kept-alive connections; one caller, so no queueing is in the numbers.

Arguments: pairs of calls (3000)."""
import statistics
import sys
import tempfile
import time

from _fleet import Fleet

pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 3000

with tempfile.TemporaryDirectory() as directory:
    fleet = Fleet(directory, log_level="warning")
    try:
        fleet.connect("sandbox-replayable", "user-1", "user-1@example.com")
        key = fleet.own("GET", "/v1/connections")["data"][0]["key"].split("|")[0]
        headers = {"Authorization": f"Bearer {fleet.key}", "Evergrant-Connection": key}
        direct, through = [], []
        for turn in range(pairs + 200):
            began = time.perf_counter()
            fleet.call("GET", "/replayable/api/items", connection=fleet.provider)
            middle = time.perf_counter()
            status, _, text = fleet.call("GET", "/v1/passthrough/items", headers=headers)
            end = time.perf_counter()
            if status != 200:
                sys.exit(f"passthrough: {status} {text.decode()[:300]}")
            if turn >= 200:
                direct.append((middle - began) * 1000)
                through.append((end - middle) * 1000)
        added = [b - a for a, b in zip(direct, through)]

        def row(name, values):
            ordered = sorted(values)
            print(f"{name:<10} median {statistics.median(ordered):.3f} ms   p99 {ordered[int(len(ordered) * .99)]:.3f} ms")

        row("direct", direct)
        row("through", through)
        row("added", added)
    finally:
        fleet.stop()
