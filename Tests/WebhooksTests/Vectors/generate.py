#!/usr/bin/env python3
"""Writes signature vectors with PyPI's `standardwebhooks`, the reference library.

Usage: python3 -m venv .venv-vectors && .venv-vectors/bin/pip install standardwebhooks
       .venv-vectors/bin/python Tests/WebhooksTests/Vectors/generate.py
"""
import base64
import hashlib
import json
import pathlib
from datetime import datetime, timezone

from standardwebhooks import Webhook

CASES = [
    ("evt_0123456789abcdef0123456789abcdef", 1700000000, '{"type":"connection.broken","data":{}}', 32),
    ("evt_1", 0, "", 24),
    ("evt_unicode", 1893456000, '{"name":"späßchen 🔑","nul":"\\u0000"}', 64),
    ("evt_large", 1700000001, "x" * 5000, 33),
]

vectors = []
for index, (event, timestamp, body, length) in enumerate(CASES):
    key = hashlib.shake_256(f"evergrant webhook vectors: {index}".encode()).digest(length)
    secret = "whsec_" + base64.b64encode(key).decode()
    moment = datetime.fromtimestamp(timestamp, tz=timezone.utc)
    vectors.append({
        "secret": secret, "id": event, "timestamp": timestamp, "body": body,
        "signature": Webhook(secret).sign(event, moment, body),
    })
text = json.dumps(vectors, indent=2, ensure_ascii=True)
(pathlib.Path(__file__).parent / "signatures.json").write_text(text + "\n")
