#!/usr/bin/env python3
"""A page with React, and the backend it needs. Run it beside `./dev up`, then open what it prints.

React comes from Debian's `node-react` and `node-react-dom` (`apt install node-react node-react-dom`), or from the directory
of `--react`, which holds umd/react.development.js and umd/react-dom.development.js or the same without `umd/`.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import backend  # noqa: E402

reader = argparse.ArgumentParser(description=__doc__)
reader.add_argument("--react", action="append", type=pathlib.Path, default=[])
places = reader.parse_args().react + [
    pathlib.Path(root) / name for root in ("/usr/share/nodejs", "/usr/share/javascript") for name in ("react", "react-dom")
]


def find(name):
    found = [path for place in places if place.exists() for path in place.rglob(name)]
    # Those under cjs/ are for bundlers.
    for path in sorted(found, key=lambda each: "umd" not in each.parts):
        if "cjs" not in path.parts:
            return path.read_bytes()
    sys.exit(f"{name} was not found: apt install node-react node-react-dom, or --react DIR")


NAMES = "createElement useCallback useEffect useRef useState"
shim = f"export const {{ {', '.join(NAMES.split())} }} = globalThis.React; export default globalThis.React;"
page = (pathlib.Path(__file__).parent / "index.html").read_text().replace("{front}", backend.FRONT)
script = "text/javascript; charset=utf-8"
backend.serve({
    "/": ("text/html; charset=utf-8", page.encode()),
    "/react.js": (script, find("react.development.js")),
    "/react-dom.js": (script, find("react-dom.development.js")),
    "/react.mjs": (script, shim.encode()),
})
