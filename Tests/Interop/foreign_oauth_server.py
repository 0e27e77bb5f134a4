"""The life of a connection at an OAuth server that is not ours: Authlib, with PKCE, rotation and reuse protection.

connect · call over many token lives · workers killed · revoked at the provider · told · reconnected · deleted
"""

import contextlib
import json
import pathlib
import re
import subprocess
import sys
import threading
import time

import requests
import standardwebhooks

from _fleet import (
    Browser,
    Failed,
    Receiver,
    check,
    eventually,
    free_ports,
    require,
    run,
    running_fleet,
)
from _oauth_server import CLIENT_ID, CLIENT_SECRET

ACCESS_SECONDS = 6
ATTEMPT_SECONDS = 6
KEY_SHAPE = r"(test|live)::[a-z0-9-]+::default::[0-9a-f]{32}(\|.+)?"

# What an operator writes: docs/catalog.md, "Your own OAuth server", on this machine. Nothing is said about replays, so
# the cautious class holds: strict, harm family.
CATALOG = """
allow_http: true
networks: [127.0.0.0/8]
providers:
  orchard:
    name: Orchard
    authorization_url: {server}/authorize
    token_url: {server}/token
    issuer: {{value: "{server}", required: true}}
    revocation:
      url: {server}/revoke
integrations:
  orchard-crm:
    title: Orchard CRM
    provider: orchard
    category: crm
    scopes: [profile, apples.read, offline_access]
    api_base: {server}/api
    probe:
      path: /whoami
    account:
      id: [probe.sub]
      label: [probe.email]
"""


class OAuthServer:
    def __init__(self, port, redirect_uri):
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                sys.executable,
                pathlib.Path(__file__).with_name("_oauth_server.py"),
                str(port),
                str(ACCESS_SECONDS),
                redirect_uri,
            ],
            stdin=subprocess.PIPE,
        )
        eventually(self._answers, "the Authlib server answers", 60)

    def _answers(self):
        require(self.process.poll() is None, "the Authlib server did not start")
        with contextlib.suppress(requests.ConnectionError):
            return self.report()

    def report(self):
        return requests.get(self.url + "/control/report", timeout=10).json()

    def grant(self, number=-1):
        return self.report()["grants"][number]

    def control(self, path):
        requests.post(self.url + "/control/" + path, timeout=10).raise_for_status()

    def stop(self):
        self.process.kill()
        self.process.wait()


class Calls:
    """An app that calls the provider's API steadily, and what it got."""

    def __init__(self, fleet, key):
        self.fleet, self.key, self.failures, self.count = fleet, key, [], 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.2):
            try:
                answer = self.fleet.passthrough("/apples?limit=2", self.key)
                if answer.status_code != 200 or answer.json().get("of") != "ann@orchard.example":
                    self.failures.append(f"{answer.status_code} {answer.text[:300]}")
            except requests.RequestException as error:
                self.failures.append(repr(error))
            self.count += 1

    def stop(self):
        self._stop.set()
        self._thread.join(90)


def consent(browser, account="ann@orchard.example", decision="allow"):
    """From the integration's page over the provider's back to ours."""
    browser.leave()
    require("Allow orchard-client?" in browser.words, f"not at the provider's consent page: {browser.words[:500]}")
    return browser.submit(account=account, decision=decision)


def connect(fleet, server):
    minted = fleet.call(
        "POST",
        "/v1/sessions",
        {"identity": "user-1", "integrations": ["orchard-crm"], "require_finish": False},
        expect=201,
    ).json()
    browser = Browser()
    browser.open_link(minted["connect_url"])
    check(
        "Connect Orchard CRM to" in browser.words and "user-1" in browser.words,
        "the connect page names the integration and the owner before anyone leaves",
    )
    denied = consent(browser, decision="deny")
    check(
        400 <= denied.status_code < 500 and "did not allow access" in browser.words,
        "a refusal at the provider is told in words, and the session stays open",
        f"{denied.status_code} {browser.words}",
    )
    browser.follow("Try again")
    consent(browser)
    require(browser.page.status_code == 200, f"the callback ended in {browser.page.status_code}: {browser.words}")
    check(
        "Orchard CRM is connected" in browser.words and "ann@orchard.example" in browser.words,
        "consent with PKCE S256 and `iss` connects, and the page names the account",
        browser.words,
    )
    require("code=" not in browser.page.url, f"the code stays in the address bar: {browser.page.url}")
    session = fleet.call("GET", f"/v1/sessions/{minted['id']}", expect=200).json()
    require(session["state"] == "finished", f"the session is {session['state']}")
    connection = fleet.connection(session["connection"])
    check(
        connection["state"] == "active" and connection["account"]["label"] == "ann@orchard.example",
        "the connection is active",
        connection,
    )
    check(
        re.fullmatch(KEY_SHAPE, connection["key"]) and connection["key"].startswith("test::orchard-crm::"),
        "its key has the documented shape",
        connection["key"],
    )
    check(
        sorted(connection["granted_scopes"]) == ["apples.read", "offline_access", "profile"],
        "the granted scopes are those that the server granted",
        connection["granted_scopes"],
    )
    again = Browser()
    refused = again.open_link(minted["connect_url"])
    check(
        refused.status_code in (403, 404, 409, 410) and refused.json()["code"] == "session_used",
        "the used link opens nothing in another browser",
        f"{refused.status_code} {refused.text}",
    )
    return connection


def keep_alive(fleet, server, connection):
    before = server.grant()["refreshes"]
    calls = Calls(fleet, connection["key"])
    eventually(lambda: server.grant()["refreshes"] >= before + 6 or calls.failures, "six refreshes", 120)
    calls.stop()
    grant = server.grant()
    check(
        not calls.failures,
        f"{calls.count} calls over {grant['refreshes'] - before} token lives: none failed",
        calls.failures[:5],
    )
    check(
        grant["alive"] and grant["reuse"] == 0, "every refresh rotated, and reuse protection was never triggered", grant
    )
    check(grant["max_in_flight"] == 1, "no two refreshes of the grant were ever under way at once", grant)


def settled(fleet, server, connection):
    """Just after a refresh that has been committed: nothing is on the wire, and the gate is closed for the next one."""

    def quiet():
        before = fleet.connection(connection["id"])
        server.control("gate/close")
        report = server.report()
        after = fleet.connection(connection["id"])
        fresh = report["grants"][-1]["in_flight"] == 0 and before["last_refreshed_at"] == after["last_refreshed_at"]
        committed = fleet.connection(connection["id"])["last_refreshed_at"] == before["last_refreshed_at"]
        if fresh and committed and after["state"] == "active":
            return True
        server.control("gate/open")
        return False

    eventually(quiet, "a moment without a refresh under way", 60, 0.5)


def survive_kills(fleet, server, connection):
    # 1. Killed between refreshes, several times, while an app calls on.
    calls = Calls(fleet, connection["key"])
    for _ in range(3):
        settled(fleet, server, connection)
        fleet.kill_child("worker")
        before = server.grant()["refreshes"]
        server.control("gate/open")
        eventually(
            lambda: server.grant()["refreshes"] > before or not server.grant()["alive"], "a refresh after the kill", 60
        )
    calls.stop()
    grant = server.grant()
    check(
        grant["alive"] and grant["reuse"] == 0,
        "three workers killed between refreshes: the grant lives, no reuse",
        grant,
    )
    check(not calls.failures, f"{calls.count} calls meanwhile: none failed", calls.failures[:5])

    # 2. Killed with a refresh on the wire that the provider has not worked on.
    for place in ("first", "second"):
        before = server.grant()["refreshes"]
        settled(fleet, server, connection)
        eventually(lambda: server.report()["held"] >= 1, "a refresh on the wire", 60)
        began = time.monotonic()
        fleet.kill_child("worker")
        require(server.report()["held"] == 1, f"more than one refresh is on the wire: {server.report()}")
        server.control("gate/drop")
        waiting = fleet.passthrough("/apples", connection["key"])
        eventually(lambda: server.grant()["refreshes"] > before or not server.grant()["alive"], "the recovery", 90)
        took = time.monotonic() - began
        grant = server.grant()
        check(
            grant["alive"] and grant["reuse"] == 0 and grant["max_in_flight"] == 1,
            f"the {place} worker killed with a refresh on the wire: the grant lives, no reuse, no overlap",
            grant,
        )
        check(
            took > ATTEMPT_SECONDS,
            f"the token was not presented before its owner's time was over (waited {took:.0f} s)",
        )
        check(waiting.status_code == 200, "a call that came in the meantime waited, and got its answer", waiting.text)
        eventually(
            lambda: fleet.connection(connection["id"])["state"] == "active", "the connection is active again", 60
        )
    eventually(lambda: fleet.passthrough("/apples", connection["key"]).status_code == 200, "calls work again", 60)
    require("connection.broken" not in fleet.events(connection["id"]), "a kill was told as a break")
    check(True, "nobody was told of a break")


def tell_a_break(fleet, server, connection, receiver, secret):
    receiver.refuse = 1
    server.control(f"grants/{server.grant()['id']}/revoke")
    answer = fleet.passthrough("/apples", connection["key"])
    check(
        answer.status_code == 401
        and answer.json() == {"error": "invalid_token"}
        and "Evergrant-Error" not in answer.headers,
        "the next call gets the provider's own 401",
        f"{answer.status_code} {answer.headers} {answer.text}",
    )
    broken = eventually(
        lambda: (shown := fleet.connection(connection["id"]))["state"] == "broken" and shown,
        "the connection is broken",
        60,
    )
    check(broken["reason"] == "refused", "revoked at the provider: the connection is broken, reason `refused`", broken)
    names = fleet.events(connection["id"])
    require("connection.suspected" in names, f"it was never suspected: {names}")
    check(
        names.index("connection.suspected") < names.index("connection.broken")
        and names.count("connection.broken") == 1,
        "it was suspected first, and the break is one event",
        names,
    )
    require(server.grant()["reuse"] == 0, "a spent token was presented to find out")
    refused = fleet.passthrough("/apples", connection["key"])
    check(
        refused.status_code == 409 and refused.json()["code"] == "connection_broken" and refused.json()["hint"],
        "a call is refused with the code connection_broken and a hint",
        refused.text,
    )

    deliveries = eventually(
        lambda: (seen := receiver.of_type("connection.broken")) and seen[-1]["status"] == 204 and seen,
        "the webhook is delivered",
        60,
    )
    check(
        [each["status"] for each in deliveries] == [500, 204],
        "the webhook connection.broken that was answered 500 was sent again",
        [each["status"] for each in deliveries],
    )
    ids = {each["headers"]["webhook-id"] for each in deliveries}
    check(
        len(ids) == 1 and len({each["body"] for each in deliveries}) == 1,
        "both have the same webhook-id and the same body",
        ids,
    )
    verifier = standardwebhooks.Webhook(secret)
    for each in deliveries:
        verifier.verify(each["body"], each["headers"])
    forged = deliveries[0]["body"].replace(b"broken", b"broken ")
    try:
        verifier.verify(forged, deliveries[0]["headers"])
        raise Failed("a forged body passes for ours")
    except standardwebhooks.WebhookVerificationError:
        pass
    check(True, "PyPI's standardwebhooks verifies both, and refuses an altered body")
    event = json.loads(deliveries[0]["body"])
    told = event["data"]["connection"]
    check(
        event["id"] in ids
        and told["id"] == connection["id"]
        and told["key"] == connection["key"]
        and told["state"] == "broken"
        and told["reason"] == "refused"
        and told["identity"] == "user-1",
        "it names the connection, its key, its owner and the reason",
        event,
    )
    for word in (b"access_token", b"refresh_token", CLIENT_SECRET.encode()):
        require(word not in deliveries[0]["body"], f"{word} is in the webhook")


def reconnect(fleet, server, connection, receiver):
    minted = fleet.call(
        "POST", f"/v1/connections/{connection['id']}/reconnect", {"require_finish": False}, expect=201
    ).json()
    browser = Browser()
    browser.open_link(minted["connect_url"])
    check(
        "Renew Orchard CRM" in browser.words and "ann@orchard.example" in browser.words,
        "the reconnect page names the account that it renews",
        browser.words,
    )
    other = consent(browser, account="bob@orchard.example")
    check(
        other.status_code == 409 and "different account" in browser.words,
        "another account is refused in words",
        f"{other.status_code} {browser.words}",
    )
    browser.follow("Try again")
    consent(browser)
    require(browser.page.status_code == 200, f"the reconnect ended in {browser.page.status_code}: {browser.words}")
    after = fleet.connection(connection["id"])
    check(
        after["state"] == "active" and after["key"] == connection["key"],
        "after the reconnect it is active under the same id and the same key",
        after,
    )
    check(fleet.passthrough("/apples", connection["key"]).status_code == 200, "calls work with the old key")
    eventually(lambda: receiver.of_type("connection.recovered"), "the webhook connection.recovered", 60)
    check(len(receiver.of_type("connection.recovered")) == 1, "the webhook connection.recovered arrived")
    listed = fleet.call("GET", "/v1/connections", expect=200).json()
    require(listed["total"] == 1, f"there are {listed['total']} connections")


def delete(fleet, server, connection, receiver):
    before = server.report()["revocations"]
    fleet.call("DELETE", f"/v1/connections/{connection['id']}", expect=200)
    began = time.monotonic()
    refused = fleet.passthrough("/apples", connection["key"])
    check(
        refused.status_code in (404, 409, 410)
        and refused.headers.get("Evergrant-Error")
        and time.monotonic() - began < 1,
        f"a call within a second of the deletion is refused ({refused.status_code} {refused.json()['code']})",
        refused.text,
    )
    shown = eventually(
        lambda: (row := fleet.connection(connection["id"]))["state"] == "revoked" and row,
        "the connection is revoked",
        60,
    )
    grant = next(each for each in server.report()["grants"][::-1] if each["account"] == "ann@orchard.example")
    check(
        server.report()["revocations"] == before + 1 and grant["why"] == "revoked by its client",
        "the provider's revocation endpoint was called, and the grant is gone there",
        server.report(),
    )
    check(shown["state"] == "revoked", "the connection is revoked")
    eventually(lambda: receiver.of_type("connection.revoked"), "the webhook connection.revoked", 60)
    check(
        len(receiver.of_type("connection.deleted")) == 1 and len(receiver.of_type("connection.revoked")) == 1,
        "the webhooks connection.deleted and connection.revoked arrived, once each",
    )
    require(fleet.call("GET", "/v1/connections", expect=200).json()["total"] == 0, "the list still shows it")


def check_secrets(fleet, server, receiver):
    """Nothing on disk and nothing sent shows a token or the client's secret: logs, database, WAL, journal, webhooks."""
    secrets = [CLIENT_SECRET, *requests.get(server.url + "/control/tokens", timeout=10).json()]
    require(len(secrets) > 20, "the server has issued fewer tokens than expected")
    words = re.compile("|".join(re.escape(each) for each in secrets).encode())
    size = 0
    for file in sorted(fleet.data.rglob("*")):
        if file.is_file():
            with contextlib.suppress(FileNotFoundError):
                content = file.read_bytes()
                size += len(content)
                require(not words.search(content), f"{file.relative_to(fleet.data)} holds a token or the client secret")
    for each in receiver.received:
        require(not words.search(each["body"]), "a webhook holds a token or the client secret")
    require(size > 10_000_000, f"only {size} bytes were looked through")
    for name in ("front", "worker", "scheduler"):
        require(fleet.key not in fleet.log(name), f"{name}.log holds the API key")
    check(
        True,
        f"none of {len(secrets) - 1} tokens and no client secret is in {size >> 20} MiB of logs, database, WAL and "
        "journal, or in a webhook",
    )


def main():
    oauth_port = free_ports(1)[0]
    url = f"http://127.0.0.1:{oauth_port}"
    settings = {
        "EVERGRANT_LIFECYCLE_CONFIRM_AFTER": "2s",
        "EVERGRANT_LIFECYCLE_ATTEMPT_LENGTH": f"{ATTEMPT_SECONDS}s",
        "EVERGRANT_LIFECYCLE_SEND_WITHIN": "2s",
        "EVERGRANT_LIFECYCLE_REQUEST_TIMEOUT": "4s",
        "EVERGRANT_LIFECYCLE_BACKOFF_BASE": "1s",
    }
    receiver = Receiver()
    with running_fleet(settings, {"orchard.yaml": CATALOG.format(server=url)}) as fleet:
        shown = fleet.call("GET", "/v1/integrations/orchard-crm", expect=200).json()
        check(
            shown["enabled"] is False and shown["ready"] is False, "the operator's integration is in the catalog, off"
        )
        server = OAuthServer(oauth_port, f"{fleet.base}/oauth/callback/orchard-crm")
        try:
            configured = fleet.call(
                "PUT",
                "/v1/integrations/orchard-crm",
                {"enabled": True, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
                expect=200,
            ).json()
            check(
                configured["ready"] and configured["redirect_uri"] == f"{fleet.base}/oauth/callback/orchard-crm",
                "client id and secret make it ready, and it tells the redirect URI to register",
                configured,
            )
            require(CLIENT_SECRET not in json.dumps(configured), "the answer shows the client secret")
            secret = fleet.call("PUT", "/v1/webhook-endpoints/app", {"url": receiver.url}, expect=201).json()["secret"]
            connection = connect(fleet, server)
            answer = fleet.passthrough("/apples?limit=2", connection["key"])
            check(
                answer.status_code == 200
                and answer.json() == {"apples": ["Boskoop", "Elstar"], "of": "ann@orchard.example", "limit": "2"},
                "a passthrough call returns the API's data",
                answer.text,
            )
            keep_alive(fleet, server, connection)
            survive_kills(fleet, server, connection)
            tell_a_break(fleet, server, connection, receiver, secret)
            reconnect(fleet, server, connection, receiver)
            delete(fleet, server, connection, receiver)
            check_secrets(fleet, server, receiver)
            counts = {
                name: len({each["headers"]["webhook-id"] for each in receiver.of_type(f"connection.{name}")})
                for name in ("created", "broken", "recovered", "deleted", "revoked")
            }
            check(
                set(counts.values()) == {1} and len(receiver.received) == 6,
                "in all, each change was one webhook; only the refused one came twice",
                counts,
            )
        except BaseException:
            with contextlib.suppress(Exception):
                print(f"-- the server's report\n{json.dumps(server.report(), indent=1)}")
            raise
        finally:
            server.stop()
            receiver.close()
    check(True, "Ctrl-C stops all of it with status 0, and no process is left")


run(main)
