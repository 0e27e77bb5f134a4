"""What callers and users read who send nonsense: a coded problem or a page in words; nothing falls over."""

import re
import socket
import time
import urllib.parse

import requests
import yaml

from _fleet import Browser, check, require, run, running_fleet

hintless = set()


def problem(answer, status=None, code=None):
    """The problem of a refusal: RFC 9457, a stable code, a sentence, a hint."""
    said = f"{answer.request.method} {answer.request.url} → {answer.status_code} {answer.text[:1000]}"
    require(400 <= answer.status_code < 500, said)
    require(answer.headers.get("content-type") == "application/problem+json", f"no problem+json: {said}")
    told = answer.json()
    require(
        told["status"] == answer.status_code
        and re.fullmatch(r"[a-z_]+", told["code"])
        and told["title"].endswith(".")
        and told["request_id"].startswith("req_")
        and isinstance(told["retryable"], bool),
        said,
    )
    if not told.get("hint") and told["title"] not in hintless:
        hintless.add(told["title"])
        print(f"  FAILED no hint: {said}", flush=True)
    require(status is None or answer.status_code == status, f"not {status}: {said}")
    require(code is None or told["code"] == code, f"not {code}: {said}")
    return told


def wrong_calls(fleet):
    post = lambda body, **more: fleet.call("POST", "/v1/sessions", body, **more)
    raw = lambda data, **headers: fleet.api.post(
        fleet.address + "/v1/sessions", data=data, timeout=60, headers={"Content-Type": "application/json"} | headers
    )
    session = {"identity": "user-1", "integrations": ["sandbox-strict"], "require_finish": False}
    told = problem(post(session | {"integrations": ["nonsense"]}))
    require("nonsense" in str(told), f"the unknown integration is not named: {told}")
    problem(fleet.call("GET", "/v1/integrations/nonsense"), 404)
    problem(fleet.call("PUT", "/v1/integrations/nonsense", {"enabled": True}), 404)
    check(True, f"an unknown integration is named ({told['code']})")
    told = problem(post(session | {"identty": "x"}), 400)
    require("identty" in str(told), f"{told}")
    require("limt" in str(problem(fleet.call("GET", "/v1/connections?limt=3"), 400)), "the unknown filter is not named")
    check(True, "an unknown field or filter is refused by name")
    for body in (
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"{}",
        b'{"identity": 5}',
        b'{"identity": null}',
        b'{"identity": ""}',
        b'{"identity": "x", "integrations": "sandbox-strict"}',
        b'{"identity": "x", "expires_in": 1e99}',
        b"\xff\xfe{}",
        b'{"identity": "\xff"}',
        b'{"identity": "a\\ud800"}',
        b'{"identity": "a\\u0000b"}',
        b"[" * 200_000,
        b'{"identity": "x", "metadata": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
        b'{"identity": "x", "tags": ' + str(["t"] * 51).replace("'", '"').encode() + b"}",
        b'{"identity": "' + b"x" * 257 + b'"}',
        b'{"identity": "x", "identity_type": "robot"}',
    ):
        problem(raw(body), 400)
    check(
        True,
        "bodies that are no JSON, of another shape, too deep or with impossible values: each a 400 with code and hint",
    )
    for metadata in (
        '{"a": "b\\u0000c"}',
        '{"a\\u0000": 1}',
        '{"a": 1e999999}',
        '{"a": "\\ud800"}',
        '{"a": "' + "x" * 17_000 + '"}',
    ):
        answer = raw(
            '{"identity": "user-1", "integrations": ["sandbox-strict"], "require_finish": false, "metadata": '
            + metadata
            + "}"
        )
        require(
            answer.status_code == 201 or problem(answer, 400),
            f"metadata {metadata[:40]}: {answer.status_code} {answer.text}",
        )
    check(True, "metadata that the database could not hold is refused as the caller's mistake")
    problem(raw(b'{"identity": "' + b"x" * 400_000 + b'"}'), 413, "body_too_large")
    problem(raw(iter([b"x" * 65536] * 8)), 413, "body_too_large")
    with socket.create_connection(("127.0.0.1", fleet.port), timeout=10) as connection:
        connection.sendall(
            f"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fleet.key}\r\n"
            "Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{".encode()
        )
        require(b" 413 " in connection.recv(4096).split(b"\r\n")[0], "a huge Content-Length is not refused at once")
    check(True, "an oversized body is a 413, with a length, in chunks, and before it has arrived")
    for method, path in (
        ("PUT", "/v1/sessions"),
        ("DELETE", "/v1/connections"),
        ("POST", "/v1/integrations/exa"),
        ("PATCH", "/v1/jobs"),
        ("POST", "/openapi.yaml"),
        ("GET", "/connect/open"),
    ):
        answer = fleet.call(method, path)
        require(problem(answer, 405) and answer.headers.get("allow"), f"{method} {path}: no Allow")
    check(True, "a wrong method is a 405 that says which ones there are")
    for path in ("/", "/v1", "/v1/nothing", "/v2/sessions", "/v1/connections/..%2f..%2f", "/%00"):
        problem(fleet.call("GET", path), 404)
    for path in (
        "/v1/sessions/cs_nothing",
        "/v1/sessions/" + "x" * 5000,
        "/v1/connections/conn_" + "0" * 32,
        "/v1/connections/1'--",
        "/v1/connections/%ff",
        "/v1/jobs/999999999999999999999999",
        "/v1/jobs/-1",
        "/v1/jobs/x",
        "/v1/webhook-endpoints/none",
        "/v1/connections/x/events",
    ):
        problem(fleet.call("GET", path))
    check(True, "what does not exist is a 404 or a 400 with a code, whatever its id looks like")
    for query in (
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=99999999999999999999",
        "cursor=garbage",
        "cursor=%00",
        "state=happy",
        "identity=%ff",
        "identity=%00",
        "tag=%00",
        "key=evil.example/%23",
        "integration=%00",
    ):
        answer = fleet.call("GET", f"/v1/connections?{query}")
        require(answer.status_code == 200 or problem(answer), query)
        require(
            answer.status_code == 400 or query.split("=")[0] in ("identity", "tag", "integration", "key"),
            f"{query}: {answer.text[:300]}",
        )
    for query in ("after=-1", "after=x", "after=99999999999999999999", "limit=1001"):
        problem(fleet.call("GET", f"/v1/events?{query}"), 400)
    check(True, "queries with impossible values are refused or find nothing")
    bare = requests.Session()
    for headers in (
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer " + "x" * 5000},
        {"Authorization": "Bearer eg_live_" + fleet.key[8:]},
        {"Authorization": f"Bearer {fleet.key}x"},
    ):
        answer = bare.get(fleet.address + "/v1/connections", headers=headers, timeout=60)
        require(problem(answer, 401, "unauthenticated") and answer.headers["www-authenticate"], "no WWW-Authenticate")
    check(True, "a missing, cut or foreign API key is a 401")
    for url in (
        "javascript:alert(1)",
        "https://evil.example/",
        "//evil.example",
        "https://user:pass@evil.example/",
        "x",
    ):
        problem(post(session | {"redirect_url": url}))
    for url in ("ftp://a.example/", "file:///etc/passwd", "https://user:pass@a.example/", "x", ""):
        problem(fleet.call("PUT", "/v1/webhook-endpoints/bad", {"url": url}))
    check(True, "redirect URLs of other origins, and webhook URLs of other schemes or with a password, are refused")


def every_documented_call(fleet):
    """No call of the API's own description falls over ids and bodies that make no sense."""
    described = requests.get(fleet.address + "/openapi.yaml", timeout=60)
    paths = yaml.safe_load(described.text)["paths"]
    count = 0
    for path, methods in paths.items():
        if "passthrough" in path:
            continue
        target = re.sub(r"\{[^}]+\}", "nonsense", path)
        for method in set(methods) & {"get", "post", "put", "patch", "delete"}:
            for body in [None] if method in ("get", "delete") else [None, [], {"nonsense": 1}, "x"]:
                answer = fleet.call(method.upper(), target, body)
                require(
                    answer.status_code < 500 and answer.status_code != 405,
                    f"{method} {target} {body}: {answer.status_code} {answer.text}",
                )
                if answer.status_code >= 400:
                    require(
                        "There is nothing at this path" not in answer.text or "nonsense" in target,
                        f"{method} {target} is not served",
                    )
                    problem(answer)
                count += 1
    check(
        count > 60,
        f"{count} senseless calls over all documented paths: none is answered 5xx, every refusal is a coded problem",
    )


def words_of(browser, status, *words):
    page = browser.page
    require(page.status_code in status, f"{page.status_code}, not {status}: {browser.words[:500]}")
    require(page.headers["content-type"].startswith("text/html"), f"not a page: {page.headers}")
    for word in words:
        require(word in browser.words, f"`{word}` is not on the page: {browser.words[:500]}")


def pages(fleet):
    fleet.call("PUT", "/v1/integrations/salesforce", {"client_id": "an-id", "client_secret": "a-secret"}, expect=200)
    mint = lambda name, **more: fleet.call(
        "POST",
        "/v1/sessions",
        {"identity": "user-1", "integrations": [name], "require_finish": False} | more,
        expect=201,
    ).json()
    browser = Browser()
    minted = mint("salesforce")
    browser.open_link(minted["connect_url"])
    form = browser.page.url
    bad = [
        "evil.com/#",
        "evil.com",
        "evil.com/#.my.salesforce.com",
        "evil.com?.my.salesforce.com",
        "evil.com/.my.salesforce.com",
        "login.salesforce.com.evil.com",
        "login.salesforce.com@evil.com",
        "x@y.my.salesforce.com",
        "evil.com\\.my.salesforce.com",
        "acme.my.salesforce.com:8080",
        "127.0.0.1",
        "169.254.169.254",
        "evil.com%2f.my.salesforce.com",
        ".my.salesforce.com",
        "https://acme.my.salesforce.com",
        "acme.my.salesforce.com.",
        "a b.my.salesforce.com",
        "аcme.my.salesforce.com",
        "evil.com\r\nx.my.salesforce.com",
        "evil.com\0.my.salesforce.com",
        "",
        "x" * 300 + ".my.salesforce.com",
    ]
    for domain in bad:
        browser.get(form)
        browser.submit(domain=domain)
        target = browser.parsed().refresh
        if target:
            host = urllib.parse.urlsplit(target).hostname
            require(host in ("login.salesforce.com", "acme.my.salesforce.com"), f"{domain!r} leads to {target}")
            require(
                domain in ("", "https://acme.my.salesforce.com", "acme.my.salesforce.com."),
                f"{domain!r} was accepted: {target}",
            )
        else:
            words_of(browser, (400, 422), "Login domain")
    browser.get(form)
    browser.submit(domain="acme.my.salesforce.com")
    target = browser.parsed().refresh
    check(
        target and target.startswith("https://acme.my.salesforce.com/services/oauth2/authorize?"),
        f"{len(bad)} domains such as `evil.com/#` are refused in the form, in words; a right one leads there",
        target,
    )

    state = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)["state"][0]
    callback = f"{fleet.base}/oauth/callback/"
    for query in (
        "",
        "code=x",
        "state=",
        f"code=x&state={state[:-2]}xx",
        f"code=x&state={state}&state=other",
        "code=x&state=%00",
        "code=x&state=" + "x" * 5000,
        "code=x&state=%ff",
    ):
        browser.get(callback + "salesforce?" + query)
        words_of(browser, (400, 403, 404, 409, 410, 422), "Nothing was connected")
    Browser.get(browser, callback + f"github?code=x&state={state}")
    words_of(browser, (400, 403, 404, 409, 410, 422))
    stranger = Browser()
    stranger.get(callback + f"salesforce?code=x&state={state}")
    words_of(stranger, (400, 403, 409), "Nothing was connected")
    check(True, "a callback with a tampered, doubled, foreign or missing state connects nothing, and says so in words")
    require(fleet.call("GET", "/v1/connections", expect=200).json()["total"] == 0, "a connection came of it")

    used = mint("sandbox-strict")
    first = Browser()
    first.open_link(used["connect_url"])
    first.leave()
    first.submit(account="ann@example.com", decision="allow")
    words_of(first, (200,), "is connected")
    where = first.page.url
    stranger = Browser()
    stranger.get(where)
    words_of(stranger, (403,))
    for token in ("", "x", used["token"][:-1], used["token"] + "x", "\0", "x" * 4000):
        answer = Browser().open_link(f"{fleet.base}/connect#{token}")
        require(
            400 <= answer.status_code < 500 and answer.json()["heading"] and answer.json()["code"],
            f"{token!r}: {answer.text}",
        )
    problem_page = Browser()
    problem_page.get(f"{fleet.base}/connect/s/{used['id']}/nonsense")
    words_of(problem_page, (403, 404))
    foreign = first.session.post(
        f"{fleet.base}/connect/s/{used['id']}/sandbox-strict",
        data={},
        headers={"Origin": "https://evil.example"},
        timeout=60,
    )
    require(400 <= foreign.status_code < 500, f"another site's form: {foreign.status_code}")
    check(
        True, "a link that is cut, used or another's, and a form of another site, each get a page or an answer in words"
    )


def expired(fleet, minted, moment):
    """The session was made at the beginning, for the shortest time there is."""
    while time.time() < moment:
        time.sleep(0.2)
    answer = Browser().open_link(minted["connect_url"])
    check(
        answer.status_code == 410
        and answer.json()["code"] == "session_expired"
        and "expired" in answer.json()["heading"],
        "an expired link says so, and where to get another",
        answer.text,
    )
    shown = fleet.call("GET", f"/v1/sessions/{minted['id']}", expect=200).json()
    require(shown["state"] == "expired", f"the session is {shown['state']}")


def main():
    with running_fleet() as fleet:
        minted = fleet.call(
            "POST",
            "/v1/sessions",
            {"identity": "user-1", "integrations": ["sandbox-strict"], "require_finish": False, "expires_in": 60},
            expect=201,
        ).json()
        moment = time.time() + 60.5
        wrong_calls(fleet)
        every_documented_call(fleet)
        pages(fleet)
        for name in ("front", "worker", "scheduler"):
            faults = [line for line in fleet.log(name).splitlines() if '"level":"error"' in line or "critical" in line]
            require(not faults, f"{name}.log has errors: {faults[:5]}")
        check(True, "none of it left an error in a log")
        expired(fleet, minted, moment)
        require("starting it again" not in fleet.output.read_text(), fleet.output.read_text())
        check(True, "and no process fell over")
    require(not hintless, f"{len(hintless)} problems have no hint (above)")


run(main)
