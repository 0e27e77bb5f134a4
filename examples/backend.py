"""What an app's backend does for the connect window: it mints a session for the user who is signed in, and confirms one.

Python's standard library alone. The API key stays here; the browser gets a session token, good once and for half an hour.
"""

import http.server
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

FRONT = os.environ.get("EVERGRANT_URL", "http://localhost:8080").rstrip("/")
PORT = int(os.environ.get("PORT", "3000"))
ORIGIN = f"http://localhost:{PORT}"


def key():
    file = pathlib.Path(".evergrant/api-key")
    if "EVERGRANT_API_KEY" in os.environ:
        return os.environ["EVERGRANT_API_KEY"]
    if not file.exists():
        sys.exit("No API key: start `./dev up` in this directory, or set EVERGRANT_API_KEY.")
    return file.read_text().strip()


def api(method, path, body=None):
    request = urllib.request.Request(FRONT + path, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {key()}")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or "{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or "{}")
    except urllib.error.URLError as error:
        return 502, {"title": f"{FRONT} is not there: {error.reason}. Is `./dev up` running?"}


def signed_in(_request):
    """The user of this browser's session with your app. A sample has one user; yours reads its own cookie."""
    return "grace@acme.test"


def serve(files):
    """`files`: path → (content type, bytes)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, status, kind, data):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            kind, data = files.get(self.path.split("?")[0], ("text/plain", None))
            self.answer(200 if data is not None else 404, kind, data if data is not None else b"nothing here")

        def do_POST(self):
            # Only this app's own pages: another site's form or script names another origin.
            if self.headers.get("Origin") != ORIGIN:
                return self.answer(403, "text/plain", b"from another site")
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
            if self.path == "/api/connect-session":
                status, told = api("POST", "/v1/sessions", {"kind": "embedded", "identity": signed_in(self)})
            elif self.path == "/api/connect-finish":
                path = f"/v1/sessions/{body.get('session')}/finish"
                status, told = api("POST", path, {"code": body.get("code"), "identity": signed_in(self)})
            else:
                status, told = 404, {}
            self.answer(status, "application/json", json.dumps(told).encode())

    status, environment = api("GET", "/v1/environment")
    if status != 200:
        sys.exit(environment.get("title", "The front refused the API key."))
    origins = set(environment["embedding_origins"]) | {ORIGIN}
    api("PATCH", "/v1/environment", {"embedding_origins": sorted(origins)})
    print(f"Open {ORIGIN}", flush=True)
    http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
