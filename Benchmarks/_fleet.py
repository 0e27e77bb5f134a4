"""What the measurements share: a fleet of their own in a temporary directory, and connections at its sandbox provider."""
import html
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.parse

BINARY = os.environ["EVERGRANT_BINARY"]


def free_port(count=1):
    """The first of `count` free ports in a row."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        try:
            for offset in range(count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + offset))
            return port
        except OSError:
            continue


class Fleet:
    """`evergrant up` in `directory`, ready when the constructor returns."""

    def __init__(self, directory, **settings):
        self.front, self.sandbox = free_port(), free_port()
        self.directory = directory
        os.chmod(directory, 0o711)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EVERGRANT_")}
        environment.update({f"EVERGRANT_{key.upper()}": str(value) for key, value in settings.items()})
        self.process = subprocess.Popen(
            [BINARY, "up", "--front-port", str(self.front), "--admin-port", str(free_port(3)), "--sandbox-port",
             str(self.sandbox)],
            cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("  3. "):
                break
        else:
            sys.exit("evergrant up ended: " + "".join(lines))
        self.pids = {name: int(pid) for name, pid in re.findall(r"^  (\w+) +pid (\d+)", "".join(lines), re.M)}
        self.key = open(f"{directory}/.evergrant/api-key").read().strip()
        self.api = http.client.HTTPConnection("127.0.0.1", self.front)
        self.provider = http.client.HTTPConnection("127.0.0.1", self.sandbox)

    def call(self, method, path, body=None, headers=None, connection=None):
        connection = connection or self.api
        sent = {"Host": f"localhost:{self.front}"} if connection is self.api else {}
        sent.update(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def own(self, method, path, body=None, **headers):
        """A call with the fleet's API key; the decoded answer."""
        status, _, text = self.call(method, path, body, {"Authorization": f"Bearer {self.key}", **headers})
        if status >= 300:
            sys.exit(f"{method} {path}: {status} {text.decode()[:300]}")
        return json.loads(text or b"null")

    def connect(self, integration, identity, account):
        """Walks a user's way through link, consent and callback; the new connection's key."""
        session = self.own("POST", "/v1/sessions", {
            "identity": identity, "identity_type": "user", "integrations": [integration], "require_finish": False})
        status, headers, text = self.call("POST", "/connect/open", {"token": session["token"]})
        cookie = headers["Set-Cookie"].split(";")[0]
        place = f"/connect/s/{session['id']}/{integration}"
        status, _, page = self.call(
            "POST", place, "", {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"})
        found = re.search(r'<a href="([^"]+)" rel="noreferrer"', page.decode())
        if not found:
            sys.exit(f"{place}: {status} {page.decode()[:500]}")
        leave = urllib.parse.urlsplit(html.unescape(found.group(1)))
        _, headers, _ = self.call(
            "GET", f"{leave.path}?{leave.query}&auto=allow&account={account}", connection=self.provider)
        back = urllib.parse.urlsplit(headers["Location"])
        status, _, text = self.call("GET", f"{back.path}?{back.query}", headers={"Cookie": cookie})
        if status >= 400:
            sys.exit(f"callback: {status} {text.decode()[:500]}")

    def sql(self, statement):
        done = subprocess.run(
            ["psql", "-h", f"{self.directory}/.evergrant/postgres/socket", "-U", "postgres", "-At", "-c", statement,
             "postgres"], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return done.stdout.strip()

    def cpu(self, name):
        """Processor seconds that a process of the fleet has used (proc(5), stat)."""
        fields = open(f"/proc/{self.pids[name]}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=90)
