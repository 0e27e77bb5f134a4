#!/usr/bin/env python3
"""Walks the connect pages in a real browser, through consent and every error, and takes a screenshot of each.

Needs Chromium with its driver, and selenium. Talks to a front and a sandbox provider that run already:

    EVERGRANT_URL           the public listener, as browsers reach it
    EVERGRANT_API_KEY       a key of role full, of an environment that this script may set up
    SANDBOX_URL             the sandbox provider
    SCREENSHOTS             directory for the pictures (default: none are taken)
    EVERGRANT_DATABASE_URL  optional; with it, and psql, the expired link is shown as well
    EXCHANGE_TIMEOUT        optional; seconds the front waits for a token answer. At most 5: the timeout is shown as well

Ends with 0 when every page said what it should and no page broke its own content security policy.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as wanted
from selenium.webdriver.support.ui import WebDriverWait

FRONT = os.environ["EVERGRANT_URL"].rstrip("/")
KEY = os.environ["EVERGRANT_API_KEY"]
SANDBOX = os.environ["SANDBOX_URL"].rstrip("/")
PICTURES = os.environ.get("SCREENSHOTS")
DATABASE = os.environ.get("EVERGRANT_DATABASE_URL")
TIMEOUT = float(os.environ.get("EXCHANGE_TIMEOUT", "30"))
PROVIDER = "sandbox-windowed"
KEYED = "sandbox-key"


def call(url, method="GET", body=None, key=None):
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
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


def mint(integrations=None, **more):
    body = {"identity": "grace@acme.test", "require_finish": False, **more}
    if integrations:
        body["integrations"] = integrations
    return api("POST", "/v1/sessions", body)


class Window:
    """A browser with nothing in it."""

    def __init__(self):
        options = webdriver.ChromeOptions()
        for argument in ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1100,900", "--lang=en"]:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options)
        self.complaints = []

    def close(self):
        self.listen()
        self.driver.quit()

    def listen(self):
        for line in self.driver.get_log("browser"):
            if "Content Security Policy" in line["message"] or "Refused to" in line["message"]:
                self.complaints.append(line["message"])

    def look(self, heading, picture=None, text=None):
        """Waits for a page with this heading; takes its picture light, dark and on a phone."""
        WebDriverWait(self.driver, 40).until(
            lambda driver: heading.lower() in (self.words("h1") + self.words(".notice")).lower(),
            f"no page says \"{heading}\"; it says \"{self.words('main')}\" at {self.driver.current_url.split('?')[0]}")
        if text and text not in self.words("main"):
            raise SystemExit(f"\"{text}\" is missing under \"{heading}\": {self.words('main')}")
        self.listen()
        if PICTURES and picture:
            self.snap(picture)
            self.emulate(dark=True)
            self.snap(f"{picture}-dark")
            self.emulate(dark=False, phone=True)
            self.snap(f"{picture}-phone")
            self.emulate()
        print(f"  {heading}")

    def words(self, selector):
        try:
            return " ".join(each.text for each in self.driver.find_elements(By.CSS_SELECTOR, selector))
        except Exception:  # the page is just leaving
            return ""

    def emulate(self, dark=False, phone=False):
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        if phone:
            self.driver.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True})
            width = self.driver.execute_script("return document.documentElement.scrollWidth")
            if width > 360:
                raise SystemExit(f"the page is {width} px wide on a phone of 360: {self.driver.title}")
        else:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def snap(self, name):
        self.driver.save_screenshot(os.path.join(PICTURES, f"{name}.png"))

    def press(self, selector):
        WebDriverWait(self.driver, 20).until(wanted.element_to_be_clickable((By.CSS_SELECTOR, selector))).click()

    def link(self, session, heading):
        """Opens a connect link and presses its button."""
        self.driver.get("about:blank")  # a change of the fragment alone would load nothing
        self.driver.get(session["connect_url"])
        self.press("#continue")
        self.look(heading)

    def consent(self, allow=True, account="ann@example.com"):
        """Goes to the provider and answers its page."""
        self.press("main form .button")
        WebDriverWait(self.driver, 20).until(lambda driver: driver.current_url.startswith(SANDBOX))
        field = self.driver.find_elements(By.NAME, "account")
        if field:
            field[0].clear()
            field[0].send_keys(account)
        self.press(f"button[value={'allow' if allow else 'deny'}]")


def main():
    if PICTURES:
        os.makedirs(PICTURES, exist_ok=True)
    client = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    api("PATCH", "/v1/environment", {"app_name": "Acme Notes", "redirect_origins": [FRONT]})
    for name, body in [(PROVIDER, client), ("sandbox-strict", client), (KEYED, {})]:
        api("PUT", f"/v1/integrations/{name}", {"enabled": True, **body})
    sandbox("DELETE", "faults")
    window = Window()
    try:
        walk(window, client)
    finally:
        sandbox("DELETE", "faults")
        window.close()
    if window.complaints:
        raise SystemExit("a page broke its content security policy:\n" + "\n".join(window.complaints))
    print("every page said what it should")


def walk(window, client):
    driver = window.driver

    print("the link, a list, one integration, consent, success")
    session = mint()
    driver.get(session["connect_url"])
    window.look("Connect an account", "entry")
    assert session["token"] in driver.current_url
    window.press("#continue")
    window.look("Connect an account to Acme Notes", "list", text="grace@acme.test")
    assert session["token"] not in driver.current_url
    driver.find_element(By.ID, "search").send_keys("windowed")
    assert [row.text for row in driver.find_elements(By.CSS_SELECTOR, ".list li") if row.is_displayed()], "nothing found"
    driver.find_element(By.ID, "search").send_keys("zzz")
    window.look("Connect an account to Acme Notes", "list-nothing", text="Nothing by that name")
    driver.get(f"{FRONT}/connect/s/{session['id']}/{PROVIDER}")
    window.look("to Acme Notes", "integration", text="grace@acme.test")
    window.consent()
    window.look("is connected", "success", text="ann@example.com")
    assert "code=" not in driver.current_url and "state=" not in driver.current_url
    connection = api("GET", f"/v1/sessions/{session['id']}")["connection"]

    print("an API key")
    session = mint([KEYED])
    window.link(session, "API key")
    window.look("to Acme Notes", "key")
    window.press("main form .button")
    window.look("Please check what you typed", "key-missing")
    driver.find_element(By.NAME, "api_key").send_keys("sk_sandbox_wrong")
    window.press("main form .button")
    window.look("did not accept this key", "error-key-refused")
    assert "sk_sandbox_wrong" not in driver.page_source
    driver.find_element(By.NAME, "api_key").send_keys(sandbox("POST", "keys", {"account": "kim@example.com"})["key"])
    window.press("main form .button")
    window.look("is connected", text="kim@example.com")

    print("links that do not work")
    driver.get(f"{FRONT}/connect")
    window.look("This link is incomplete", "error-incomplete")
    driver.get("about:blank")
    driver.get(f"{FRONT}/connect#nonsense")
    window.press("#continue")
    window.look("This link is not valid", "error-unknown")
    other = Window()
    other.driver.get(session["connect_url"])
    other.press("#continue")
    other.look("This link has been used", "error-used")
    other.driver.get(f"{FRONT}/connect/s/{session['id']}")
    other.look("same browser", "error-other-browser")
    other.close()
    window.complaints += other.complaints
    session = mint([PROVIDER])
    driver.get("about:blank")
    driver.get(session["connect_url"])
    window.look("Connect an account")
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    window.press("#continue")
    window.look("No connection", "error-offline")
    driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
    window.press("#continue")
    window.look("to Acme Notes")

    print("what a provider answers, and the way back")
    window.consent(allow=False)
    window.look("You did not allow access", "error-denied")
    window.press("main .actions .button")
    for fault, heading, picture in [
        ({"kind": "5xx_before"}, "is not answering", "error-provider"),
        ({"kind": "invalid_client"}, "is not set up for", "error-client"),
        ({"kind": "invalid_grant"}, "said no", "error-refused"),
    ] + ([({"kind": "hang", "processed": "never", "ms": 60000}, "took too long", "error-timeout")] if TIMEOUT <= 5 else []):
        window.look("to Acme Notes")
        sandbox("POST", "faults", {"endpoint": "token-code", "count": 1, **fault})
        window.consent()
        window.look(heading, picture)
        sandbox("DELETE", "faults")
        driver.get(f"{FRONT}/connect/s/{session['id']}/{PROVIDER}")
    window.look("to Acme Notes")
    driver.get(f"{FRONT}/oauth/callback/{PROVIDER}?code=x&state=tampered")
    window.look("no longer counts", "error-state")
    assert "state=" not in driver.current_url
    driver.get(f"{FRONT}/connect/s/{session['id']}/gmail")
    window.look("is not offered", "error-not-offered")
    driver.get(f"{FRONT}/connect/s/{session['id']}/{PROVIDER}")
    window.look("to Acme Notes")
    window.press("main form .button")
    WebDriverWait(driver, 20).until(lambda each: each.current_url.startswith(SANDBOX))
    kept = driver.current_url
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.get(kept)
    window.press("button[value=allow]")
    window.look("same browser", "error-lost-cookie")

    print("renewing")
    renewal = api("POST", f"/v1/connections/{connection}/reconnect", {"require_finish": False})
    window.link(renewal, "Renew")
    window.look("Renew", "renew", text="ann@example.com")
    window.consent(account="bob@example.com")
    window.look("a different account", "error-account")
    window.press("main .actions .button")
    window.look("Renew")
    window.consent(account="ann@example.com")
    window.look("is connected")
    assert api("GET", f"/v1/connections/{connection}")["id"] == connection

    print("a finish goes back to the app with its code")
    finish = mint([PROVIDER], require_finish=True, redirect_url=f"{FRONT}/assets/icon.svg?from=app")
    window.link(finish, "to Acme Notes")
    window.consent()
    WebDriverWait(driver, 20).until(lambda each: "evergrant_code=" in each.current_url)
    assert "from=app&evergrant_session=" in driver.current_url

    print("an app that is not set up")
    api("PUT", "/v1/integrations/sandbox-strict", {"client_id": "stranger", "client_secret": "x"})
    stranger = mint(["sandbox-strict"])
    window.link(stranger, "to Acme Notes")
    window.press("main form .button")
    WebDriverWait(driver, 20).until(lambda each: each.current_url.startswith(SANDBOX))
    api("PUT", "/v1/integrations/sandbox-strict", client)

    if DATABASE:
        print("an expired link")
        late = mint([PROVIDER])
        window.link(late, "to Acme Notes")
        subprocess.run(
            ["psql", DATABASE, "-qc",
             f"update evergrant.connect_sessions set expires_at = now() - interval '1 s' where uid = '{late['id']}'"],
            check=True)
        window.press("main form .button")
        window.look("This link has expired", "error-expired")


if __name__ == "__main__":
    sys.exit(main())
