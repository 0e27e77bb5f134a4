"""Refreshes a second and per core: replayable and rotating providers at 50 and 500 ms, the latter also over TLS.

Arguments go to `evergrant bench refresh`; everything measured is also written to .build/bench-refresh.json."""
import os
import sys

binary = os.environ["EVERGRANT_BINARY"]
here = os.path.dirname(os.path.abspath(__file__))
sys.stdout.flush()
os.execv(binary, [binary, "bench", "refresh", "--json", os.path.join(here, os.pardir, ".build", "bench-refresh.json"),
                  *sys.argv[1:]])
