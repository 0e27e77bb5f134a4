"""A million connections in the database: sweep cost, plans, smoothing, memory of the scheduler.

Arguments go to `evergrant bench sweep`."""
import os
import sys

binary = os.environ["EVERGRANT_BINARY"]
sys.stdout.flush()
os.execv(binary, [binary, "bench", "sweep", *sys.argv[1:]])
