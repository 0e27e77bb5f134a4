"""Start to ready of `evergrant up`, with a new and an existing cluster, and memory at rest of every process."""
import os
import re
import statistics
import tempfile
import time

from _fleet import BINARY, Fleet

REST = 20  # seconds without work before memory is read


def timed(work):
    began = time.monotonic()
    result = work()
    return result, time.monotonic() - began


def memory(process_id):
    """Resident and proportional set size, in MB (proc(5), smaps_rollup)."""
    text = open(f"/proc/{process_id}/smaps_rollup").read()
    return tuple(int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M).group(1)) / 1024 for field in ("Rss", "Pss"))


with tempfile.TemporaryDirectory() as directory:
    fleet, seconds = timed(lambda: Fleet(directory))
    print(f"start to ready, new cluster:      {seconds:5.2f} s")
    print(f"stop:                             {timed(fleet.stop)[1]:5.2f} s")
    times = []
    for turn in range(5):
        fleet, seconds = timed(lambda: Fleet(directory))
        times.append(seconds)
        if turn < 4:
            fleet.stop()
    print(f"start to ready, existing cluster: {statistics.median(times):5.2f} s "
          f"(median of 5; {min(times):.2f} to {max(times):.2f})")
    time.sleep(REST)
    print(f"memory after {REST} s at rest, MB:      resident  proportional")
    for name, process_id in [("supervisor", fleet.process.pid), *fleet.pids.items()]:
        resident, proportional = memory(process_id)
        print(f"  {name:<34} {resident:8.1f} {proportional:13.1f}")
    fleet.stop()
print(f"conditions: {os.cpu_count()} CPUs, {BINARY}")
