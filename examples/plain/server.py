#!/usr/bin/env python3
"""A page without any framework, and the backend it needs. Run it beside `./dev up`, then open what it prints."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import backend  # noqa: E402

page = (pathlib.Path(__file__).parent / "index.html").read_text().replace("{front}", backend.FRONT)
backend.serve({"/": ("text/html; charset=utf-8", page.encode())})
