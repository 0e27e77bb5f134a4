"""What goes up to a provider's API and what comes down from it, whatever a caller tries: at a plain HTTP echo."""

import gzip
import hashlib
import http.server
import json
import os
import re
import socket
import threading

from _fleet import Browser, check, require, run, running_fleet

SECRET = "sk_echo_0123456789abcdef"
PLACEMENTS = {
    "bearer": None,
    "header": "{header: x-api-key}",
    "query": "{query: api_key}",
    "basic": '{basic: {username: "{api_key}", password: x}}',
}
HOSTILE = [
    "/..",
    "/../admin",
    "/me/../../admin",
    "/%2e%2e/admin",
    "/%2E%2E/admin",
    "/.%2e/admin",
    "/%2e./admin",
    "/a/%2e%2e%2f%2e%2e/admin",
    "/a%2f..%2f..%2fadmin",
    "/a%2F%2E%2E%2Fadmin",
    "/%252e%252e/admin",
    "/%25252e%25252e/admin",
    "//evil.example/x",
    "/%2fevil.example",
    "/%2F%2Fevil.example",
    "/\\evil.example",
    "/..\\admin",
    "/%5cevil.example",
    "/%5c%5cevil.example",
    "/%255cevil.example",
    "/..;/admin",
    "/..;x=1/admin",
    "/%2e%2e;/admin",
    "/./me",
    "/me/.",
    "/%00",
    "/a%0d%0ahost:evil.example",
    "/a%zz",
    "/%",
    "/x#y",
    "/a\tb",
    "@evil.example/",
    ":9@evil.example/",
    ".evil.example/",
]


class Echo:
    """A provider's API: keeps every request as it came, and answers with it."""

    def __init__(self):
        seen = self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = self.headers.get("content-length")
                if self.headers.get("transfer-encoding", "").lower() == "chunked":
                    body = b""
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(length)) if length else b""
                record = {
                    "line": self.requestline,
                    "headers": [[k.lower(), v] for k, v in self.headers.items()],
                    "bytes": len(body),
                    "sha256": hashlib.sha256(body).hexdigest(),
                }
                seen.append(record)
                path = self.path.split("?")[0]
                if path.endswith("/hostile-answer"):
                    return self.send(
                        418,
                        b"teapot",
                        {
                            "Set-Cookie": "session=of-the-provider",
                            "Set-Cookie2": "a=b",
                            "Access-Control-Allow-Origin": "*",
                            "Access-Control-Allow-Credentials": "true",
                            "Strict-Transport-Security": "max-age=1",
                            "Connection": "x-private",
                            "X-Private": "1",
                            "Clear-Site-Data": '"*"',
                            "Alt-Svc": 'h3=":1"',
                            "Evergrant-Error": "forged",
                            "Proxy-Authenticate": "Basic",
                            "Content-Type": "text/html",
                            "X-RateLimit-Remaining": "7",
                            "Retry-After": "9",
                            "ETag": '"v1"',
                            "Link": "</x>; rel=next",
                        },
                    )
                if path.endswith("/redirect"):
                    return self.send(302, b"", {"Location": "https://elsewhere.example" + self.path})
                if path.endswith("/gzip"):
                    return self.send(200, gzip.compress(b"packed" * 1000), {"Content-Encoding": "gzip"})
                if path.endswith("/empty"):
                    return self.send(204, None, {})
                return self.send(200, json.dumps(record).encode(), {"Content-Type": "application/json"})

            def send(self, status, body, headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if body is not None:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if body and self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_TRACE = do_PROPFIND = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def catalog(self):
        text = "allow_http: true\nnetworks: [127.0.0.0/8]\nintegrations:\n"
        for name, placement in PLACEMENTS.items():
            text += (
                f"  echo-{name}:\n    title: Echo by {name}\n    category: test\n"
                "    api_key: {fields: {api_key: {label: API key}}}\n"
                + (f"    credential: {placement}\n" if placement else "")
                + f"    api_base: http://{self.address}/base/v1\n    probe: {{path: /probe}}\n"
            )
        return text

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def connect(fleet, integration):
    fleet.call("PUT", f"/v1/integrations/{integration}", {"enabled": True}, expect=200)
    minted = fleet.call(
        "POST",
        "/v1/sessions",
        {"identity": "user-1", "integrations": [integration], "require_finish": False},
        expect=201,
    ).json()
    browser = Browser()
    browser.open_link(minted["connect_url"])
    browser.submit(api_key=SECRET)
    require(browser.page.status_code == 200 and "is connected" in browser.words, f"{integration}: {browser.words}")
    session = fleet.call("GET", f"/v1/sessions/{minted['id']}", expect=200).json()
    return fleet.connection(session["connection"])["key"]


def raw(fleet, text, wait=10):
    """One request with bytes exactly as written, over a connection of its own: all that came back."""
    with socket.create_connection(("127.0.0.1", fleet.port), timeout=wait) as connection:
        connection.sendall(text.encode("latin-1"))
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except (TimeoutError, ConnectionResetError):
            pass
    return answer.decode("latin-1")


def go_up(fleet, echo, keys):
    for name, key in keys.items():
        answer = fleet.passthrough(
            "/things?x=1&y=%2F&z=a+b",
            key,
            "POST",
            {
                "Cookie": "session=hidden-cookie",
                "X-Forwarded-For": "1.2.3.4",
                "X-Forwarded-Host": "evil.example",
                "X-Forwarded-Proto": "gopher",
                "X-Real-IP": "1.2.3.4",
                "Forwarded": "host=evil.example",
                "X-Original-URL": "/evil.example",
                "Evergrant-Identity": "user/user-1",
                "Proxy-Authorization": "Basic ZXZpbA==",
                "X-Private": "nobody-asked",
                "Connection": "keep-alive, authorization, x-api-key",
                "TE": "trailers",
                "Accept": "text/plain",
                "Accept-Language": "de",
                "If-None-Match": '"e"',
                "Content-Type": "text/x-test",
                "User-Agent": "app/1",
                "Idempotency-Key": "once",
            },
            data=b"hello",
        )
        require(answer.status_code == 200, f"{name}: {answer.status_code} {answer.text}")
        record = answer.json()
        headers = dict(record["headers"])
        everything = json.dumps(record).lower()
        for word in (
            "hidden-cookie",
            "forwarded",
            "evil",
            "1.2.3.4",
            "evergrant",
            "proxy-",
            "x-private",
            "nobody",
            "x-real",
            "x-original",
            "trailers",
            fleet.key.lower(),
            key.split("|")[0].lower(),
        ):
            require(word not in everything, f"{name}: `{word}` went up: {everything}")
        expected = {
            "bearer": ("authorization", f"Bearer {SECRET}"),
            "header": ("x-api-key", SECRET),
            "basic": ("authorization", "Basic c2tfZWNob18wMTIzNDU2Nzg5YWJjZGVmOng="),
        }.get(name)
        if expected:
            require(headers.get(expected[0]) == expected[1], f"{name}: {headers}")
            require(record["line"] == "POST /base/v1/things?x=1&y=%2F&z=a+b HTTP/1.1", f"{name}: {record['line']}")
        else:
            require("authorization" not in headers, f"{name}: {headers}")
            require(record["line"] == f"POST /base/v1/things?x=1&y=%2F&z=a+b&api_key={SECRET} HTTP/1.1", record["line"])
        require(headers["host"] == echo.address, f"{name}: Host {headers['host']}")
        for field, value in (
            ("accept", "text/plain"),
            ("accept-language", "de"),
            ("if-none-match", '"e"'),
            ("content-type", "text/x-test"),
            ("user-agent", "app/1"),
            ("idempotency-key", "once"),
        ):
            require(headers.get(field) == value, f"{name}: {field} is {headers.get(field)}")
        require(
            record["bytes"] == 5 and len([1 for k, _ in record["headers"] if k == "authorization"]) <= 1,
            f"{name}: {record}",
        )
    check(
        True,
        "by bearer, header, query and basic: our key, cookies, Host and forwarding fields stay here; path, query, body "
        "and the fields of the call go up as they were",
    )


def override(fleet, keys):
    for name, key in keys.items():
        answer = fleet.passthrough(
            "/x?api_key=mine&API%5FKEY=mine2&api%5fke%79=mine3&keep=1" if name == "query" else "/x?keep=1",
            key,
            headers={"X-Api-Key": "mine4"},
        )
        require(
            answer.status_code == 200 and "mine" not in answer.text and "keep=1" in answer.text,
            f"{name}: {answer.text}",
        )
        require(SECRET in answer.text or name == "basic", f"{name}: {answer.text}")
    check(True, "a credential that a caller sends is replaced by the connection's")


def hostile_paths(fleet, echo, keys):
    before = len(echo.seen)
    for name, key in keys.items():
        for path in HOSTILE:
            answer = raw(
                fleet,
                f"GET /v1/passthrough{path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n"
                f"Authorization: Bearer {fleet.key}\r\nEvergrant-Connection: {key.split('|')[0]}\r\n\r\n",
            )
            status = answer.split(" ", 2)[1] if answer.startswith("HTTP/1.1 ") else answer[:100]
            require(status in ("400", "404"), f"{name}: {path!r} was answered {status}: {answer[:500]}")
            require(SECRET not in answer, f"{name}: {path!r} shows the credential")
    require(len(echo.seen) == before, f"something went up: {echo.seen[before:]}")
    check(True, f"{len(HOSTILE)} hostile paths with each of the four: refused, and nothing reached the provider")
    key = keys["header"]
    path = "/group%2Fproject/files/a%2Eb%20c/100%25?path=a%2Fb&empty=&plus=a+b&dots=../.."
    answer = raw(
        fleet,
        f"GET /v1/passthrough{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {fleet.key}\r\n"
        f"Evergrant-Connection: {key.split('|')[0]}\r\n\r\n",
    )
    check(
        f"GET /base/v1{path} HTTP/1.1" in answer,
        "an encoded slash inside a segment, and the query, go up as they were sent",
        answer,
    )


def hostile_requests(fleet, echo, keys):
    key = keys["bearer"].split("|")[0]
    rest = f"Authorization: Bearer {fleet.key}\r\nEvergrant-Connection: {key}\r\n"
    for first in (
        "GET /v1/passthrough/x HTTP/1.1\r\nHost: evil.example\r\n",
        "GET http://evil.example/v1/passthrough/x HTTP/1.1\r\nHost: evil.example\r\n",
    ):
        answer = raw(fleet, first + "Connection: close\r\n" + rest + "\r\n")
        require("evil.example" not in answer, f"{first!r}: {answer}")
    check(True, "a forged Host or an absolute request target reaches no other host")
    before = len(echo.seen)
    refused = {}
    post = "POST /v1/passthrough/x HTTP/1.1\r\nHost: x\r\n"
    for name, text in {
        "two Content-Lengths": post + "Content-Length: 5\r\nContent-Length: 30\r\n" + rest + "\r\nhello",
        "Content-Length and chunked": post
        + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
        + rest
        + "\r\n0\r\n\r\nGET /v1/passthrough/smuggled HTTP/1.1\r\nHost: x\r\n"
        + rest
        + "\r\n",
        "a bare CR in a field": "GET /v1/passthrough/x HTTP/1.1\r\nHost: x\r\nAccept: a\rHost: evil.example\r\n"
        + rest
        + "\r\n",
    }.items():
        answer = raw(fleet, text.replace("HTTP/1.1\r\n", "HTTP/1.1\r\nConnection: close\r\n", 1), 3)
        refused[name] = re.findall(r"HTTP/1\.1 (\d+)", answer)
        require("200" not in refused[name], f"{name}: {answer}")
    require(len(echo.seen) == before, f"something went up: {echo.seen[before:]}")
    check(True, "requests of ambiguous framing are refused, and nothing of them goes up")
    for method in ("TRACE", "trace", "TRACK", "CONNECT"):
        answer = raw(fleet, f"{method} /v1/passthrough/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{rest}\r\n", 5)
        require(SECRET not in answer, f"{method} shows the credential: {answer}")
        require(answer == "" or re.match(r"HTTP/1\.1 4\d\d", answer), f"{method}: {answer}")
    check(True, "TRACE, by which a server would show the credential, and CONNECT are refused")
    doubled = raw(
        fleet,
        f"GET /v1/passthrough/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{rest}Authorization: Bearer mine\r\n\r\n",
    )
    require("mine" not in doubled, f"a second Authorization: {doubled}")
    check(True, "a second Authorization field does not go up")


def come_down(fleet, keys):
    answer = fleet.passthrough("/hostile-answer", keys["bearer"])
    require(answer.status_code == 418 and answer.text == "teapot", f"{answer.status_code} {answer.text}")
    for name in (
        "set-cookie",
        "set-cookie2",
        "access-control-allow-origin",
        "access-control-allow-credentials",
        "strict-transport-security",
        "x-private",
        "clear-site-data",
        "alt-svc",
        "evergrant-error",
        "proxy-authenticate",
    ):
        require(
            name not in answer.headers, f"{name}: {answer.headers[name] if name in answer.headers else ''} came down"
        )
    for name, value in (
        ("x-ratelimit-remaining", "7"),
        ("retry-after", "9"),
        ("etag", '"v1"'),
        ("link", "</x>; rel=next"),
        ("content-type", "text/html"),
        ("x-content-type-options", "nosniff"),
    ):
        require(answer.headers.get(name) == value, f"{name} is {answer.headers.get(name)}")
    require("sandbox" in answer.headers["content-security-policy"], "HTML of a provider could run on our origin")
    check(True, "cookies, CORS, HSTS and hop-by-hop fields do not come down; status, body and the rest do")
    for name, key in keys.items():
        answer = fleet.passthrough("/redirect", key, allow_redirects=False)
        require(answer.status_code == 302 and SECRET not in str(answer.headers), f"{name}: {answer.headers}")
    check(True, "a redirect is handed down, not followed, and without the credential")
    packed = fleet.passthrough("/gzip", keys["bearer"], headers={"Accept-Encoding": "gzip"})
    require(packed.headers.get("content-encoding") == "gzip" and packed.text == "packed" * 1000, f"{packed.headers}")
    require(fleet.passthrough("/empty", keys["bearer"]).status_code == 204, "no 204")
    head = fleet.passthrough("/x", keys["bearer"], "HEAD")
    require(head.status_code == 200 and head.content == b"", f"HEAD: {head.status_code} {head.content}")
    check(True, "gzip, 204 and HEAD come down as they are")
    body = os.urandom(8 << 20)
    for data in (body, (body[at : at + 65536] for at in range(0, len(body), 65536))):
        answer = fleet.passthrough("/upload", keys["bearer"], "PUT", data=data)
        require(
            answer.status_code == 200 and answer.json()["sha256"] == hashlib.sha256(body).hexdigest(), answer.text[:500]
        )
    check(True, "8 MiB go up byte for byte, with a length and in chunks")


def strangers(fleet, echo, keys):
    before = len(echo.seen)
    key = keys["bearer"]
    made = fleet.call("POST", "/v1/environments", {"name": "other"}, expect=201).json()
    reader = fleet.call("POST", "/v1/api-keys", {"name": "reader", "role": "read"}, expect=201).json()["key"]

    def code(headers, expect):
        answer = fleet.call("GET", "/v1/passthrough/x", headers=headers)
        problem = answer.json()
        require(
            answer.status_code == expect
            and answer.headers["content-type"] == "application/problem+json"
            and answer.headers.get("evergrant-error") == problem["code"],
            f"{headers}: {answer.status_code} {answer.text}",
        )
        return problem["code"]

    named = {"Evergrant-Connection": key}
    other = made["api_key"]["key"]
    found = [
        code({}, 400),
        code(named | {"Authorization": "Bearer eg_test_nonsense"}, 401),
        code(named | {"Authorization": ""}, 401),
        code(named | {"Authorization": f"Bearer {other}"}, 404),
        code(named | {"Authorization": f"Bearer {reader}"}, 403),
        code(named | {"Evergrant-Identity": "user/user-2"}, 404),
        code(named | {"Evergrant-Identity": "team/user-1"}, 404),
        code({"Evergrant-Connection": key.replace("test::", "live::")}, 404),
        code({"Evergrant-Connection": key.replace("echo-bearer", "echo-query")}, 404),
        code({"Evergrant-Connection": "test::echo-bearer::default::" + "0" * 32}, 404),
    ]
    code({"Evergrant-Connection": "evil.example/#"}, 400)
    require(len(echo.seen) == before, f"something went up: {echo.seen[before:]}")
    check(
        True,
        "a stranger's key, environment, role, identity or connection key gets a coded refusal, and nothing goes up "
        f"({', '.join(dict.fromkeys(found))})",
    )


def main():
    echo = Echo()
    try:
        with running_fleet(catalog={"echo.yaml": echo.catalog()}) as fleet:
            keys = {name: connect(fleet, f"echo-{name}") for name in PLACEMENTS}
            go_up(fleet, echo, keys)
            override(fleet, keys)
            hostile_paths(fleet, echo, keys)
            hostile_requests(fleet, echo, keys)
            come_down(fleet, keys)
            strangers(fleet, echo, keys)
            for record in echo.seen:
                require(fleet.key not in json.dumps(record), f"our key went up: {record}")
            for name in ("front", "worker"):
                require(
                    SECRET not in fleet.log(name) and fleet.key not in fleet.log(name), f"{name}.log holds a secret"
                )
            check(True, "no request held our key, and no log a key or a credential")
    finally:
        echo.close()


run(main)
