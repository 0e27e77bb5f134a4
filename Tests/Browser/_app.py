"""An app that embeds the connect window: pages of its own, a backend that mints sessions, and a record of what both saw."""

import http.server
import json
import os
import threading
import urllib.error
import urllib.parse
import urllib.request

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FRONT = os.environ["EVERGRANT_URL"].rstrip("/")
KEY = os.environ["EVERGRANT_API_KEY"]
SANDBOX = os.environ["SANDBOX_URL"].rstrip("/")
PICTURES = os.environ.get("SCREENSHOTS")
DATABASE = os.environ.get("EVERGRANT_DATABASE_URL")

HOST_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Acme</title></head>
<body><h1>Acme Notes</h1><input id="before"><button id="open">Connect</button><button id="second">Connect too</button>
<a id="after" href="#x">after</a>
<script type="module">
import { AuthKit } from "%(front)s/authkit.js";
window.calls = [];
const note = (name) => (value) => window.calls.push([name, value ?? null]);
const options = { token: { url: "/token?" + new URLSearchParams(location.search).get("mint"), headers: { "X-App": "secret-of-the-host" } },
  finish: { url: "/finish" },
  onSuccess: note("success"), onError: note("error"), onClose: note("close"), ...%(options)s };
window.kit = new AuthKit(options);
window.other = new AuthKit(options);
document.querySelector("#open").onclick = () => window.kit.open();
document.querySelector("#second").onclick = () => window.other.open();
window.ready = true;
</script></body></html>"""


def call(url, method="GET", body=None, key=None, headers=None):
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{method} {url}: {error.code} {error.read().decode()}")
    return json.loads(text) if text else {}


def api(method, path, body=None):
    return call(FRONT + path, method, body, KEY)


def sandbox(method, path, body=None):
    return call(f"{SANDBOX}/control/{path}", method, body)


class App:
    """The host page's server, of another site than the front (localhost), so that the frame is third-party. `seen` is every request it got: (method, path, headers, body)."""

    def __init__(self, name="127.0.0.1"):
        app = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, kind, text, headers=None):
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                for key, value in (headers or {}).items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                app.seen.append(("GET", self.path, dict(self.headers), ""))
                path = urllib.parse.urlsplit(self.path)
                page = app.pages.get(path.path)
                if page is None:
                    page = HOST_PAGE % {"front": FRONT, "options": json.dumps(app.options)} if path.path == "/" else None
                if page is None:
                    return self.answer(404, "text/plain", "nothing here")
                self.answer(200, "text/html; charset=utf-8", page, {**app.headers, **app.page_headers.get(path.path, {})})

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                app.seen.append(("POST", self.path, dict(self.headers), body))
                status, answer = app.post(self.path, self.headers, body)
                self.answer(status, "application/json", json.dumps(answer), app.cors)

            def do_OPTIONS(self):
                self.answer(204, "text/plain", "", app.cors)

        self.seen, self.pages, self.headers, self.options, self.cors, self.page_headers = [], {}, {}, {}, {}, {}
        self.session = {"identity": "grace@acme.test"}
        self.fault = None
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"http://{name}:{self.server.server_address[1]}"
        self.minted = []

    def post(self, path, headers, body):
        if path.startswith("/token"):
            if self.fault:
                return self.fault
            made = api("POST", "/v1/sessions", {"kind": "embedded", **self.session})
            self.minted.append(made)
            return 200, made
        if path.startswith("/finish"):
            given = json.loads(body)
            return 200, api("POST", f"/v1/sessions/{given['session']}/finish", {"code": given["code"], "identity": self.session["identity"]})
        return 404, {}

    def close(self):
        self.server.shutdown()


class Browser:
    """Chromium, with what people do in it."""

    def __init__(self, *arguments, size="1100,900", language="en", prefs=None):
        options = webdriver.ChromeOptions()
        for argument in ["--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={size}", f"--lang={language}", *arguments]:
            options.add_argument(argument)
        options.add_experimental_option("prefs", {"intl.accept_languages": language, **(prefs or {})})
        # The driver switches it off otherwise.
        options.add_experimental_option("excludeSwitches", ["disable-popup-blocking"])
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options)
        self.complaints = []
        self.main = self.driver.current_window_handle

    def quit(self):
        self.listen()
        self.driver.quit()

    def listen(self):
        """What the console said; CSP breaches are kept."""
        lines = [line["message"] for line in self.driver.get_log("browser")]
        self.complaints += [line for line in lines if "Content Security Policy" in line and "frame-ancestors" not in line]
        return lines

    def wait(self, probe, complaint, seconds=20):
        try:
            return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: self._quietly(probe))
        except Exception as error:
            raise SystemExit(f"not so: {complaint}; {self.where()}\n{type(error).__name__}") from None

    def _quietly(self, probe):
        try:
            return probe()
        except Exception:  # elements come and go while a page changes
            return False

    def where(self):
        try:
            return f"at {self.driver.current_url.split('?')[0]}: {self.driver.find_element(By.TAG_NAME, 'body').text[:400]!r}"
        except Exception as error:
            return repr(error)

    def host(self, app, path="/"):
        """Opens the app's page."""
        self.driver.switch_to.window(self.main)
        self.driver.get(app.origin + path)
        self.wait(lambda: self.driver.execute_script("return window.ready === true"), "the host page is ready")

    def top(self):
        self.driver.switch_to.window(self.main)
        self.driver.switch_to.default_content()

    def frame(self):
        """Into the window."""
        self.top()
        self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, "dialog iframe, iframe#event-link"), "a frame is there")
        self.driver.switch_to.frame(self.driver.find_element(By.CSS_SELECTOR, "dialog iframe, iframe#event-link"))

    def open(self, button="#open"):
        self.top()
        self.driver.find_element(By.CSS_SELECTOR, button).click()
        self.frame()

    def text(self, selector):
        return " ".join(each.text for each in self.driver.find_elements(By.CSS_SELECTOR, selector))

    def says(self, words, selector="#heading", picture=None, seconds=20):
        self.wait(lambda: words.lower() in self.text(selector).lower(), f"the window says {words!r}", seconds)
        print(f"  {words}", flush=True)
        if picture:
            self.snap(picture)

    def press(self, label, selector="button"):
        """The visible button of that text or name."""
        def found():
            for each in self.driver.find_elements(By.CSS_SELECTOR, selector):
                if each.is_displayed() and label in (each.text.strip(), each.get_attribute("aria-label")):
                    return each
            return None
        self.wait(found, f"there is a button {label!r}").click()

    def choose(self, name):
        self.wait(lambda: [each for each in self.driver.find_elements(By.CSS_SELECTOR, "button.row") if name in each.text and each.is_displayed()],
                  f"{name} is in the list")[0].click()

    def popup(self):
        """Into the window that the frame opened."""
        self.wait(lambda: len(self.driver.window_handles) > 1, "a popup opens")
        self.driver.switch_to.window([each for each in self.driver.window_handles if each != self.main][-1])

    def consent(self, allow=True, account="ann@example.com"):
        """Answers the sandbox provider's page, in the window that shows it."""
        self.wait(lambda: self.driver.current_url.startswith(SANDBOX), "the provider's page comes")
        field = self.driver.find_elements(By.NAME, "account")
        if field:
            field[0].clear()
            field[0].send_keys(account)
        self.driver.find_element(By.CSS_SELECTOR, f"button[value={'allow' if allow else 'deny'}]").click()

    def gone(self):
        """The popup closes by itself."""
        self.wait(lambda: len(self.driver.window_handles) == 1, "the popup closes")
        self.frame()

    def calls(self):
        here = self.driver.current_window_handle
        self.top()
        found = self.driver.execute_script("return window.calls")
        assert here
        return found

    def called(self, name):
        return [value for each, value in self.calls() if each == name]

    def snap(self, name):
        if PICTURES:
            os.makedirs(PICTURES, exist_ok=True)
            self.driver.save_screenshot(os.path.join(PICTURES, f"window-{name}.png"))

    def cdp(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)


def check(condition, sentence):
    if not condition:
        raise SystemExit(f"not so: {sentence}")
    print(f"  {sentence}", flush=True)
