"""Time to break: from the moment a user revokes at the provider until the app has the webhook `connection.broken`.

Warm connections are called by the app once a second: the 401 leads to one refresh, whose refusal is tested again after
`lifecycle.confirm_after`. Cold ones nobody calls: their next scheduled validation finds it, so the interval of
validation decides.

Arguments: connections of each kind (40), confirm_after in seconds (60), validate_every in seconds (120)."""
import http.client
import http.server
import json
import random
import sys
import tempfile
import threading
import time

from _fleet import Fleet

count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
confirm = float(sys.argv[2]) if len(sys.argv) > 2 else 60
validate = float(sys.argv[3]) if len(sys.argv) > 3 else 120

heard = {}
lock = threading.Lock()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["type"] == "connection.broken":
            with lock:
                heard.setdefault(find(body, "id", "conn_"), time.monotonic())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def find(value, key, prefix):
    """The first text under `key` that begins with `prefix`, wherever it stands."""
    if isinstance(value, dict):
        if isinstance(value.get(key), str) and value[key].startswith(prefix):
            return value[key]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            found = find(each, key, prefix)
            if found:
                return found
    return None


def row(name, times):
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{name:<6} {len(ordered):>4} connections   p50 {ordered[len(ordered) // 2]:.2f} s   p99 {p99:.2f} s")


receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()

with tempfile.TemporaryDirectory() as directory:
    fleet = Fleet(
        directory, log_level="warning", webhooks_allow_http="true", webhooks_allowed_networks="127.0.0.0/8",
        lifecycle_confirm_after=f"{confirm:g}s", lifecycle_validate_every=f"{validate:g}s")
    try:
        fleet.own("PUT", "/v1/webhook-endpoints/app", {
            "url": f"http://127.0.0.1:{receiver.server_port}/", "types": ["connection.broken"]})
        accounts = {}
        for index in range(2 * count):
            account = f"user-{index}@example.com"
            fleet.connect("sandbox-strict", f"user-{index}", account)
        for found in fleet.own("GET", "/v1/connections?limit=200")["data"]:
            accounts[found["identity"]["id"] if isinstance(found["identity"], dict) else found["identity"]] = found
        warm = [accounts[f"user-{index}"] for index in range(count)]
        cold = [accounts[f"user-{index}"] for index in range(count, 2 * count)]
        revoked = {}

        def revoke(connection, index):
            provider = http.client.HTTPConnection("127.0.0.1", fleet.sandbox)
            provider.request("POST", f"/control/revoke?account=user-{index}@example.com&class=strict")
            provider.getresponse().read()
            revoked[connection["id"]] = time.monotonic()

        began = time.monotonic()
        for index, connection in enumerate(cold):
            revoke(connection, count + index)
        schedule = {index: began + random.uniform(0, 10) for index in range(count)}
        deadline = began + 3 * (validate + confirm) + 60
        while time.monotonic() < deadline:
            turn = time.monotonic()
            for index, connection in enumerate(warm):
                if index in schedule and schedule[index] <= time.monotonic():
                    revoke(connection, index)
                    del schedule[index]
                if connection["id"] not in heard:
                    key = connection["key"].split("|")[0]
                    fleet.call("GET", "/v1/passthrough/items", headers={
                        "Authorization": f"Bearer {fleet.key}", "Evergrant-Connection": key})
            if len(heard) == 2 * count:
                break
            time.sleep(max(0, 1 - (time.monotonic() - turn)))
        missing = [each["id"] for each in warm + cold if each["id"] not in heard]
        if missing:
            sys.exit(f"{len(missing)} of {2 * count} breaks were not heard of: {missing[:5]}")
        print(f"sandbox-strict, confirm_after {confirm:g} s, validate_every {validate:g} s")
        row("warm", [heard[each["id"]] - revoked[each["id"]] for each in warm])
        row("cold", [heard[each["id"]] - revoked[each["id"]] for each in cold])
    finally:
        fleet.stop()
        receiver.shutdown()
