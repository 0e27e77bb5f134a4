"""A whole Evergrant as its user starts it: `evergrant up` in a directory of its own, and a client of its API."""

import contextlib
import ctypes
import html
import html.parser
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("EVERGRANT_BINARY") or ROOT / ".build/debug/evergrant").resolve()


class Failed(Exception):
    """Something is not as it should be; the message says what."""


def check(condition, sentence, detail=""):
    """Tells the sentence when it holds, else fails with it."""
    if not condition:
        raise Failed(f"not so: {sentence}" + (f"\n  {detail}" if detail != "" else ""))
    print(f"  {sentence}", flush=True)


def require(condition, complaint):
    """As `check`, without telling."""
    if not condition:
        raise Failed(complaint)


def eventually(probe, what, seconds=60, pause=0.1):
    """The first true answer of `probe`; fails when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}; last seen: {answer!r}")
        time.sleep(pause)


_ports = set()


def free_ports(count):
    """Ports in a row that are free now, below those that the system hands out itself."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(200):
        first = int.from_bytes(os.urandom(2), "big") % (low - 12000) + 10000
        wanted = range(first, first + count)
        if _ports.intersection(wanted):
            continue
        try:
            for port in wanted:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        _ports.update(wanted)
        return list(wanted)
    raise Failed("no free ports")


def clean_environment(settings=None):
    """Ours, without what could configure Evergrant by accident."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERGRANT_")}
    environment.update(settings or {})
    return environment


@contextlib.contextmanager
def temporary_directory():
    """One that a database server may pass through, which is another user when we are root."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="evergrant-interop-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _processes():
    """pid → (parent, start time) of all processes."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            found[int(entry.name)] = (int(fields[1]), fields[19], fields[0])
    return found


def descendants(pid):
    """(pid, start time) of every process below it, itself included."""
    everything = _processes()
    family, grown = {pid}, True
    while grown:
        more = {child for child, (parent, _, _) in everything.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return {(each, everything[each][1]) for each in family if each in everything}


def still_running(family):
    now = _processes()
    return [pid for pid, start in family if pid in now and now[pid][1] == start and now[pid][2] != "Z"]


def _end_with_us():
    """In the child: Ctrl-C for it when the test dies, however that happens (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


class Fleet:
    """`evergrant up` in a temporary directory."""

    def __init__(self, directory, settings=None, catalog=None):
        self.directory = pathlib.Path(directory)
        self.settings = dict(settings or {})
        if catalog:
            folder = self.directory / "catalog"
            folder.mkdir(exist_ok=True)
            for name, text in catalog.items():
                (folder / name).write_text(text)
            self.settings["EVERGRANT_CATALOG_DIRECTORIES"] = str(folder)
        self.data = self.directory / "data"
        self.output = self.directory / "up.out"
        self.process = None

    def start(self, seconds=120):
        self.port, self.admin, *_ = free_ports(5)
        self.sandbox = self.port + 4
        self.base = f"http://localhost:{self.port}"
        self.address = f"http://127.0.0.1:{self.port}"
        begin = len(self.output.read_text()) if self.output.exists() else 0
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [
                    BINARY,
                    "up",
                    "--directory",
                    str(self.data),
                    "--front-port",
                    str(self.port),
                    "--admin-port",
                    str(self.admin),
                    "--sandbox-port",
                    str(self.sandbox),
                ],
                cwd=self.directory,
                env=clean_environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_us,
            )
        end = time.monotonic() + seconds
        while "Evergrant is up" not in self.output.read_text()[begin:]:
            require(
                self.process.poll() is None,
                f"evergrant up ended with status {self.process.returncode}:\n{self.output.read_text()}",
            )
            if time.monotonic() > end:
                raise Failed(f"evergrant up was not ready within {seconds} s:\n{self.output.read_text()}")
            time.sleep(0.05)
        self.key = (self.data / "api-key").read_text().strip()
        self.api = requests.Session()
        self.api.trust_env = False
        self.api.headers["Authorization"] = f"Bearer {self.key}"

    def stop(self, seconds=90):
        """Ctrl-C. Fails unless all of it ends, in order, with status 0."""
        family = descendants(self.process.pid)
        os.kill(self.process.pid, signal.SIGINT)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(
                f"evergrant up did not stop within {seconds} s of Ctrl-C:\n{self.output.read_text()}"
            ) from None
        require(status == 0, f"evergrant up ended with status {status}:\n{self.output.read_text()}")
        left = still_running(family)
        require(not left, f"processes are left after the end of evergrant up: {left}")

    def destroy(self):
        """What is left of a fleet that did not stop as it should."""
        if self.process is None:
            return
        family = descendants(self.process.pid) if self.process.poll() is None else set()
        for pid in still_running(family):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    # The API

    def call(self, method, path, body=None, expect=None, **options):
        answer = self.api.request(method, self.address + path, json=body, timeout=60, **options)
        if expect is not None:
            require(
                answer.status_code == expect,
                f"{method} {path} answered {answer.status_code}, not {expect}: {answer.text[:2000]}",
            )
        return answer

    def passthrough(self, path, connection, method="GET", headers=None, **options):
        return self.call(
            method,
            "/v1/passthrough" + path,
            None,
            headers={"Evergrant-Connection": connection} | (headers or {}),
            **options,
        )

    def connection(self, identifier):
        return self.call("GET", f"/v1/connections/{identifier}", expect=200).json()

    def events(self, identifier):
        """Types of a connection's events, oldest first."""
        rows = self.call("GET", f"/v1/connections/{identifier}/events", expect=200).json()["data"]
        return [row["type"] for row in rows][::-1]

    def log(self, name):
        file = self.data / "log" / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def child(self, name):
        """Process id of a child by its role, as `ps` shows it."""
        for pid, _ in descendants(self.process.pid):
            try:
                arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if len(arguments) > 1 and arguments[1] == name.encode():
                return pid
        return None

    def kill_child(self, name):
        """SIGKILL, and the wait until the supervisor has another one running."""
        old = eventually(lambda: self.child(name), f"a {name} runs", 30)
        os.kill(old, signal.SIGKILL)
        eventually(lambda: self.child(name) not in (None, old), f"the supervisor starts another {name}", 30)


@contextlib.contextmanager
def running_fleet(settings=None, catalog=None):
    """A fleet that is stopped as a person stops it; its logs are shown when something failed."""
    with temporary_directory() as directory:
        fleet = Fleet(directory, settings, catalog)
        try:
            fleet.start()
            yield fleet
            fleet.stop()
        except BaseException:
            print(f"-- evergrant up\n{fleet.output.read_text()[-2000:] if fleet.output.exists() else ''}")
            for name in ("front", "worker", "scheduler"):
                print(f"-- {name}.log, its end\n{fleet.log(name)[-3000:]}")
            raise
        finally:
            fleet.destroy()


class _Forms(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.forms = []
        self.refresh = None

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "form":
            self.forms.append({"action": values.get("action", ""), "method": values.get("method", "get"), "fields": {}})
        elif tag in ("input", "button") and self.forms and values.get("name"):
            if tag == "input" and values.get("type") not in ("submit", "button"):
                self.forms[-1]["fields"][values["name"]] = values.get("value") or ""
        elif tag == "meta" and (values.get("http-equiv") or "").lower() == "refresh":
            self.refresh = values["content"].split("url=", 1)[1]


class Browser:
    """What a user's browser does: keeps cookies, follows redirects and refreshes, fills in forms."""

    def __init__(self):
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["User-Agent"] = "Mozilla/5.0"
        self.page = None

    def get(self, url):
        self.page = self.session.get(
            urllib.parse.urljoin(self.page.url if self.page is not None else "", url), timeout=60
        )
        return self.page

    def parsed(self):
        parser = _Forms()
        parser.feed(self.page.text)
        return parser

    @property
    def words(self):
        """The page's text."""
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", self.page.text))).strip()

    def follow(self, text):
        """The link of that text."""
        for target, label in re.findall(r'<a [^>]*href="([^"]+)"[^>]*>(.*?)</a>', self.page.text, re.DOTALL):
            if text == re.sub(r"<[^>]+>", "", label).strip():
                return self.get(html.unescape(target))
        raise Failed(f"no link `{text}` on the page: {self.words[:500]}")

    def submit(self, **values):
        form = next(each for each in self.parsed().forms if each["method"].lower() == "post")
        target = urllib.parse.urljoin(self.page.url, form["action"])
        parts = urllib.parse.urlsplit(self.page.url)
        self.page = self.session.post(
            target, data=form["fields"] | values, headers={"Origin": f"{parts.scheme}://{parts.netloc}"}, timeout=60
        )
        return self.page

    def open_link(self, connect_url):
        """The link's first page, and the press of its button."""
        link, _, token = connect_url.partition("#")
        self.get(link)
        require(self.page.status_code == 200, f"the connect link answered {self.page.status_code}")
        parts = urllib.parse.urlsplit(link)
        origin = f"{parts.scheme}://{parts.netloc}"
        answer = self.session.post(
            origin + "/connect/open", json={"token": token}, headers={"Origin": origin}, timeout=60
        )
        if answer.status_code == 200:
            self.get(origin + answer.json()["location"])
        return answer

    def leave(self, **fields):
        """The button of the integration's page, to where it leads."""
        self.submit(**fields)
        target = self.parsed().refresh
        require(target, f"the page leads nowhere ({self.page.status_code}): {self.words[:500]}")
        return self.get(target)


class Receiver:
    """An HTTP server of the app that collects webhooks; `refuse` answers the next so many with 500."""

    def __init__(self):
        import http.server

        received = self.received = []
        outer = self
        self.refuse = 0
        self._lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with outer._lock:
                    status = 500 if outer.refuse > 0 else 204
                    outer.refuse -= 1 if status == 500 else 0
                    received.append({"headers": dict(self.headers.items()), "body": body, "status": status})
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hooks"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of_type(self, name):
        import json

        return [each for each in list(self.received) if json.loads(each["body"])["type"] == name]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def run(script):
    """Runs a script's main function: its title, its sentences, its status."""
    began = time.monotonic()
    try:
        require(BINARY.exists(), f"{BINARY} does not exist; run ./dev build or set EVERGRANT_BINARY")
        script()
    except Failed as failure:
        print(f"FAILED after {time.monotonic() - began:.0f} s: {failure}", flush=True)
        raise SystemExit(1) from None
    print(f"passed in {time.monotonic() - began:.0f} s", flush=True)
