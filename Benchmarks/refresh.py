"""Refreshes per second of one worker process against the sandbox provider, everything on this machine: connections
come due at once, and the clock runs from the first to the last `last_refreshed_at`.

Arguments: connections (2000), rounds (5), the sandbox's class (replayable)."""
import statistics
import sys
import tempfile
import time

from _fleet import Fleet

count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
integration = "sandbox-" + (sys.argv[3] if len(sys.argv) > 3 else "replayable")

with tempfile.TemporaryDirectory() as directory:
    fleet = Fleet(directory, worker_concurrency=128, database_maximum_connections=16, log_level="warning")
    try:
        for index in range(count):
            fleet.connect(integration, f"user-{index}", f"user-{index}@example.com")
        rates, shares = [], []
        for turn in range(rounds + 1):
            generation = turn + 2
            before = {name: fleet.cpu(name) for name in fleet.pids}
            fleet.sql("update evergrant.connections set refresh_due_at = now()")
            deadline = time.monotonic() + 120
            while int(fleet.sql(f"select count(*) from evergrant.connections where generation < {generation}")):
                if time.monotonic() > deadline:
                    sys.exit("the refreshes did not end in 120 s")
                time.sleep(0.5)  # each look costs processor time that the fleet needs
            seconds = float(fleet.sql(
                "select extract(epoch from max(last_refreshed_at) - min(access_issued_at)) from evergrant.connections"))
            if turn:  # the first warms up
                rates.append(count / seconds)
                shares.append({name: (fleet.cpu(name) - before[name]) / count * 1e6 for name in fleet.pids})
        print(f"{integration}, {count} connections, {rounds} rounds after one to warm up")
        print(f"refreshes per second: median {statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})")
        for name in fleet.pids:
            print(f"  processor time of {name}: {statistics.median(s[name] for s in shares):.0f} us a refresh")
    finally:
        fleet.stop()
