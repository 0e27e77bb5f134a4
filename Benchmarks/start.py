"""Start to ready of `evergrant up`, with a new and an existing cluster, and memory at rest of every process."""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

BINARY = os.environ["EVERGRANT_BINARY"]
REST = 20  # seconds without work before memory is read


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def admin_port():
    """One of three free ports in a row."""
    while True:
        (port,) = free_ports(1)
        try:
            for offset in (0, 1, 2):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
            return port
        except OSError:
            continue


def start(directory):
    front, sandbox = free_ports(2)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("EVERGRANT_")}
    began = time.monotonic()
    process = subprocess.Popen(
        [BINARY, "up", "--front-port", str(front), "--admin-port", str(admin_port()), "--sandbox-port", str(sandbox)],
        cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("  3. "):
            return process, time.monotonic() - began, lines
    sys.exit("evergrant up ended: " + "".join(lines))


def stop(process):
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=90)
    return time.monotonic() - began


def memory(process_id):
    """Resident and proportional set size, in MB (proc(5), smaps_rollup)."""
    text = open(f"/proc/{process_id}/smaps_rollup").read()
    return tuple(int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M).group(1)) / 1024 for field in ("Rss", "Pss"))


with tempfile.TemporaryDirectory() as directory:
    os.chmod(directory, 0o711)
    process, seconds, lines = start(directory)
    print(f"start to ready, new cluster:      {seconds:5.2f} s")
    print(f"stop:                             {stop(process):5.2f} s")
    times = []
    for _ in range(5):
        process, seconds, lines = start(directory)
        times.append(seconds)
        if len(times) < 5:
            stop(process)
    print(f"start to ready, existing cluster: {sorted(times)[2]:5.2f} s (median of 5; {min(times):.2f} to {max(times):.2f})")
    time.sleep(REST)
    print(f"memory after {REST} s at rest, MB:      resident  proportional")
    processes = [("supervisor", process.pid)]
    processes += [(match[1], int(match[2])) for line in lines if (match := re.match(r"  (\w+)\s+pid (\d+)", line))]
    for name, process_id in processes:
        resident, proportional = memory(process_id)
        print(f"  {name:30} {resident:8.1f} {proportional:13.1f}")
    stop(process)
print(f"conditions: {os.cpu_count()} CPUs, {BINARY}")
