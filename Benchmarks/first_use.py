"""What the first call through a connection that rested costs: a token request on the way, beside the same call with a
living token; the sandbox provider answers at once, so a real provider's own time comes on top.

Arguments: pairs of calls (300), the sandbox's class (replayable)."""
import statistics
import sys
import tempfile
import time

from _fleet import Fleet

pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
integration = "sandbox-" + (sys.argv[2] if len(sys.argv) > 2 else "replayable")

with tempfile.TemporaryDirectory() as directory:
    fleet = Fleet(directory, log_level="warning")
    try:
        fleet.connect(integration, "user-1", "user-1@example.com")
        key = fleet.own("GET", "/v1/connections")["data"][0]["key"].split("|")[0]
        headers = {"Authorization": f"Bearer {fleet.key}", "Evergrant-Connection": key}

        def call():
            began = time.perf_counter()
            status, _, text = fleet.call("GET", "/v1/passthrough/items", headers=headers)
            if status != 200:
                sys.exit(f"passthrough: {status} {text.decode()[:300]}")
            return (time.perf_counter() - began) * 1000

        alive, rested = [], []
        for turn in range(pairs + 20):
            # As a connection stands that nobody used: its token has ended, and nothing is due for a long time.
            fleet.sql("update evergrant.connections set access_issued_at = now() - interval '2 hours', "
                      "access_expires_at = now() - interval '1 hour', refresh_due_at = now() + interval '30 days'")
            first, second = call(), call()
            if turn >= 20:
                rested.append(first)
                alive.append(second)
        refreshed = int(fleet.sql("select generation - 1 from evergrant.connections"))
        if refreshed < pairs:
            sys.exit(f"only {refreshed} of {pairs + 20} first calls refreshed")

        def row(name, values):
            ordered = sorted(values)
            print(f"{name:<12} median {statistics.median(ordered):.2f} ms   p99 {ordered[int(len(ordered) * .99)]:.2f} ms")

        row("living token", alive)
        row("first use", rested)
        row("added", [b - a for a, b in zip(alive, rested)])
    finally:
        fleet.stop()
