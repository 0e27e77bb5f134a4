#!/usr/bin/env python3
"""Opens the connect window inside an app's page in a real browser, and connects by consent, by key, and after every failure.

Needs Chromium with its driver, and selenium. The environment is as for connect_page.py: EVERGRANT_URL, EVERGRANT_API_KEY,
SANDBOX_URL, and optionally SCREENSHOTS and EVERGRANT_DATABASE_URL.
"""

import json
import os
import subprocess
import sys

from _app import DATABASE, FRONT, SANDBOX, App, Browser, api, check, sandbox
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

TIMEOUT = float(os.environ.get("EXCHANGE_TIMEOUT", "30"))
CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
WINDOWED = "Sandbox, windowed"


def main():
    app = App()
    api("PATCH", "/v1/environment", {"app_name": "Acme Notes", "embedding_origins": [app.origin], "redirect_origins": [FRONT]})
    for name, body in [("sandbox-windowed", CLIENT), ("sandbox-strict", CLIENT), ("sandbox-key", {})]:
        api("PUT", f"/v1/integrations/{name}", {"enabled": True, **body})
    sandbox("DELETE", "faults")
    # In one process, so that the driver hears the frame's console as well.
    browser = Browser("--disable-site-isolation-trials")
    try:
        for part in (consent, key, fields, failures, renewal, endings, reloads, buttons, keyboard, whole):
            print(part.__doc__, flush=True)
            app.session = {"identity": "grace@acme.test"}
            app.options, app.fault, app.headers = {}, None, {}
            part(browser, app)
    finally:
        sandbox("DELETE", "faults")
        browser.quit()
        app.close()
    check(not browser.complaints, "no page broke its own content security policy" + "".join(browser.complaints))


def consent(browser, app):
    """a click, a list, a consent in a popup, success"""
    browser.host(app)
    check(not [each for each in app.seen if each[0] == "POST"], "nothing is asked for before the click")
    browser.open()
    browser.says("Connect an account to Acme Notes", picture="list")
    posts = [each for each in app.seen if each[0] == "POST"]
    check(len(posts) == 1 and posts[0][2].get("X-App") == "secret-of-the-host", "token.url gets one POST with the page's headers")
    browser.choose(WINDOWED)
    browser.says(f"Connect {WINDOWED} to Acme Notes", picture="integration")
    browser.says("grace@acme.test", ".body")
    browser.press(f"Continue to {WINDOWED}")
    browser.says("Continue in the other window", picture="waiting")
    browser.popup()
    browser.consent()
    browser.gone()
    browser.says("is connected", picture="success")
    browser.says("ann@example.com", ".body")
    found = browser.called("success")
    check(len(found) == 1, "onSuccess is called once")
    wanted = {"key", "integration", "environment", "identity", "identity_type", "name", "tags"}
    check(wanted <= set(found[0]), f"it has {sorted(wanted)}")
    check(found[0]["identity"] == "grace@acme.test" and found[0]["key"].startswith("test::sandbox-windowed::"), "the key is the connection's")
    browser.frame()
    browser.press("Done")
    browser.top()
    check(browser.called("close") == [None], "onClose is called once")
    check(browser.driver.execute_script("return document.activeElement.id") == "open", "focus is back on the button")
    told = json.dumps(app.seen)
    check("access_token" not in told and "code=" not in told, "the app's server saw no credential")


def key(browser, app):
    """an API key: checked, tested, refused in words, stored"""
    app.session["integrations"] = ["sandbox-key"]
    browser.host(app)
    browser.open()
    browser.says("API key to Acme Notes", picture="key")
    browser.press("Connect")
    browser.says("Please fill this in", ".fault")
    field = browser.driver.find_element(By.CSS_SELECTOR, "input[name=api_key]")
    check(field.get_attribute("type") == "password", "the key is masked")
    field.send_keys("sk_sandbox_wrong")
    browser.press("Connect")
    browser.says("did not accept this key", ".notice", picture="key-refused")
    check("sk_sandbox_wrong" not in browser.driver.page_source, "a refused key is not shown again")
    field = browser.driver.find_element(By.CSS_SELECTOR, "input[name=api_key]")
    check(field.get_attribute("value") == "", "its field is empty")
    field.send_keys(sandbox("POST", "keys", {"account": "kim@example.com"})["key"])
    browser.press("Connect")
    browser.says("is connected")
    browser.says("kim@example.com", ".body")
    check([each["code"] for each in browser.called("error")] == ["key_refused"], "onError told the refused key")


def fields(browser, app):
    """further fields: typed, checked before anyone leaves, kept"""
    api("PUT", "/v1/integrations/salesforce", {"enabled": True, "client_id": "x", "client_secret": "y"})
    app.options = {"selectedIntegration": "Salesforce", "showNameInput": True}
    browser.host(app)
    browser.open()
    browser.says("Connect Salesforce to Acme Notes")
    field = browser.driver.find_element(By.NAME, "domain")
    check(field.get_attribute("value") == "login.salesforce.com", "the usual value is there")
    field.clear()
    field.send_keys("evil.example.com")
    browser.press("Continue to Salesforce")
    browser.says("Enter a host name such as", ".fault", picture="field-refused")
    check(len(browser.driver.window_handles) == 1, "nobody leaves with a wrong value")
    field.clear()
    field.send_keys("acme.my.salesforce.com")
    browser.driver.find_element(By.NAME, " name").send_keys("Sales")
    browser.press("Continue to Salesforce")
    browser.says("Continue in the other window")
    browser.press("Cancel", ".actions button")
    check(browser.driver.find_element(By.NAME, "domain").get_attribute("value") == "acme.my.salesforce.com", "what was typed is kept")
    # The server has the same rule, whatever the page's own check says.
    browser.driver.execute_script("document.querySelector('[name=domain]').value = 'evil-company.example.com'; String.prototype.endsWith = () => true;")
    browser.press("Continue to Salesforce")
    browser.says("check what you typed", ".notice")
    api("PUT", "/v1/integrations/salesforce", {"enabled": False})


def failures(browser, app):
    """what a provider answers, and the way on"""
    app.session["integrations"] = ["sandbox-windowed"]
    browser.host(app)
    browser.open()
    browser.says("to Acme Notes")
    timeout = [({"kind": "hang", "processed": "never", "ms": 60000}, "took too long", "timeout")] if TIMEOUT <= 5 else []
    cases = timeout + [
        (None, "You did not allow access", "denied"),
        ({"kind": "5xx_before"}, "is not answering", "provider_unavailable"),
        ({"kind": "invalid_client"}, "is not set up for", "wrong_client"),
        ({"kind": "invalid_grant"}, "said no", "provider_refused"),
    ]
    for fault, words, code in cases:
        browser.press(f"Continue to {WINDOWED}")
        browser.popup()
        if fault:
            sandbox("POST", "faults", {"endpoint": "token-code", "count": 1, **fault})
        browser.consent(allow=fault is not None)
        browser.gone()
        browser.says(words, picture=f"error-{code}")
        check(browser.called("error")[-1]["code"] == code, f"onError says {code}")
        sandbox("DELETE", "faults")
        browser.frame()
        if code == "wrong_client":
            browser.press("Close")
            browser.host(app)
            browser.open()
        else:
            browser.press("Try again")
        browser.says("to Acme Notes")
    # The user closes the popup; and goes on with another.
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.wait(lambda: browser.driver.current_url.startswith(SANDBOX), "the provider's page comes")
    browser.driver.close()
    browser.frame()
    browser.says("was closed", picture="error-popup_closed")
    browser.press("Try again")
    # A state that somebody tampered with.
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.wait(lambda: browser.driver.current_url.startswith(SANDBOX), "the provider's page comes")
    browser.driver.execute_script(f"location.href = '{FRONT}/oauth/callback/sandbox-windowed?code=x&state=tampered'")
    browser.frame()
    browser.says("no longer counts", picture="error-state_mismatch")
    browser.press("Try again")
    # Cookies lost between leaving and coming back.
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.wait(lambda: browser.driver.current_url.startswith(SANDBOX), "the provider's page comes")
    browser.cdp("Network.clearBrowserCookies")
    browser.consent()
    browser.frame()
    browser.says("same browser", picture="error-wrong_browser")
    # And it still ends well.
    browser.press("Try again")
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.consent()
    browser.gone()
    browser.says("is connected")


def renewal(browser, app):
    """a renewal, with another account and then with the same"""
    app.session = {"identity": "grace@acme.test", "integrations": ["sandbox-windowed"]}
    browser.host(app)
    browser.open()
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.consent()
    browser.gone()
    browser.says("is connected")
    old = browser.called("success")[0]
    app.session = {"identity": "grace@acme.test", "connection": old["id"]}
    browser.host(app)
    browser.open()
    browser.says(f"Renew {WINDOWED} for Acme Notes", picture="renew")
    browser.says("ann@example.com", ".body")
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.consent(account="bob@example.com")
    browser.gone()
    browser.says("a different account", picture="error-account_mismatch")
    browser.press("Try again")
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.consent()
    browser.gone()
    browser.says("is connected")
    check(browser.called("success")[0]["key"] == old["key"], "the key is the same")


def reloads(browser, app):
    """reloading and going back at every step"""
    app.session["integrations"] = ["sandbox-windowed"]
    browser.host(app)
    browser.open()
    browser.says("to Acme Notes")
    # The frame alone loads again: the page starts it anew, the session goes on.
    browser.driver.execute_script("location.reload()")
    browser.frame()
    browser.says("to Acme Notes")
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.wait(lambda: browser.driver.current_url.startswith(SANDBOX), "the provider's page comes")
    browser.driver.refresh()
    browser.consent()
    browser.gone()
    browser.says("is connected")
    # The page itself loads again while the popup is open: the next window is a new session.
    browser.host(app)
    browser.open()
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.wait(lambda: browser.driver.current_url.startswith(SANDBOX), "the provider's page comes")
    browser.driver.close()
    browser.top()
    browser.driver.refresh()
    browser.wait(lambda: browser.driver.execute_script("return window.ready === true"), "the page is back")
    browser.open()
    browser.says("to Acme Notes")
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.consent()
    browser.gone()
    browser.says("is connected")
    # In the whole window, back from the provider leads to the session's page, which still works.
    app.options = {"authWindow": "same"}
    app.session.pop("integrations")
    browser.host(app, "/?x=1#y")
    browser.open()
    browser.choose(WINDOWED)
    browser.top()
    browser.says("to Acme Notes", "h1")
    browser.driver.find_element(By.CSS_SELECTOR, "main form .button").click()
    browser.wait(lambda: browser.driver.current_url.startswith(SANDBOX), "the provider's page comes")
    browser.driver.back()
    browser.driver.refresh()
    browser.says("to Acme Notes", "h1")
    browser.press("Back to Acme Notes", "a")
    browser.wait(lambda: browser.driver.current_url == app.origin + "/?x=1#y", "the way back leads to the exact page")
    browser.wait(lambda: browser.called("error"), "and the page is told")


def buttons(browser, app):
    """two buttons: one window, one answer"""
    app.session["integrations"] = ["sandbox-windowed"]
    browser.host(app)
    browser.open("#second")
    browser.top()
    browser.driver.execute_script("window.kit.open(); window.other.open()")
    check(len(browser.driver.find_elements(By.CSS_SELECTOR, "dialog")) == 1, "one window is open")
    browser.frame()
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.consent()
    browser.gone()
    browser.says("is connected")
    check(len(browser.called("success")) == 1, "one success is told")


def endings(browser, app):
    """sessions that have ended, an app that does not answer, a network that is gone"""
    browser.host(app)
    app.fault = (500, {"error": "no"})
    browser.top()
    browser.driver.find_element(By.ID, "open").click()
    browser.wait(lambda: "could not be opened" in browser.text("dialog"), "the page's own card tells that the app did not answer")
    check(browser.called("error")[-1]["code"] == "token_unavailable", "onError says token_unavailable")
    app.fault = None
    browser.press("Try again")
    browser.frame()
    browser.says("Connect an account to Acme Notes")
    session = app.minted[-1]["id"]
    if DATABASE:
        subprocess.run(["psql", DATABASE, "-qc",
                        f"update evergrant.connect_sessions set expires_at = now() - interval '1 s' where uid = '{session}'"], check=True)
        browser.choose("Sandbox, API key")
        browser.says("API key to Acme")
        browser.driver.find_element(By.CSS_SELECTOR, "input[name=api_key]").send_keys("sk_x")
        browser.press("Connect")
        browser.says("has expired", picture="error-session_expired")
        browser.press("Start over")
        browser.says("Connect an account to Acme Notes")
    browser.cdp("Network.enable")
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.cdp("Network.emulateNetworkConditions", offline=True, **offline)
    browser.choose(WINDOWED)
    browser.says("No connection", picture="error-network_lost")
    browser.cdp("Network.emulateNetworkConditions", offline=False, **offline)
    browser.press("Try again")
    browser.says(f"Connect {WINDOWED}")
    browser.press("Back")
    browser.says("Connect an account to Acme Notes")


def keyboard(browser, app):
    """keys alone: search, arrows, Esc, focus that stays inside"""
    browser.host(app)
    browser.open()
    browser.says("Connect an account to Acme Notes")
    active = browser.driver.switch_to.active_element
    for _ in range(12):
        active.send_keys(Keys.TAB)
        active = browser.driver.switch_to.active_element
    inside = browser.driver.execute_script("return document.querySelector('main').contains(document.activeElement)")
    check(inside, "twelve tabs later the focus is still inside")
    said = browser.driver.execute_script("return document.querySelector('.hidden[role=status]').textContent")
    check(said == "Connect an account to Acme Notes", "a screen reader is told what came, since the focus is in the search")
    named = browser.driver.execute_script("const card = document.querySelector('main'); return [card.getAttribute('role'), document.getElementById(card.getAttribute('aria-labelledby')).textContent]")
    check(named == ["dialog", "Connect an account to Acme Notes"], "the dialog has its heading for a name")
    search = browser.driver.find_element(By.CSS_SELECTOR, "input.search")
    search.send_keys("zzz")
    browser.says("0 found", ".count")
    search.send_keys(Keys.BACKSPACE * 3 + "wíndow")
    browser.says("1 found", ".count")
    search.send_keys(Keys.ARROW_DOWN)
    check("windowed" in browser.driver.switch_to.active_element.text, "down leads from the search to the first row")
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    browser.says(f"Connect {WINDOWED}")
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    browser.says("Connect an account to Acme Notes")
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    browser.top()
    browser.wait(lambda: not browser.driver.find_elements(By.TAG_NAME, "dialog"), "Esc closes the window")
    check(browser.driver.execute_script("return document.activeElement.id") == "open", "and focus goes back")


def whole(browser, app):
    """the whole window instead of a popup, and back to the exact page"""
    app.options = {"authWindow": "same"}
    browser.host(app, "/?a=1&b=%20x&a=2#part/two")
    browser.open()
    browser.choose(WINDOWED)
    browser.top()
    browser.wait(lambda: "/connect/s/" in browser.driver.current_url, "the whole window goes to the session's page")
    check("token" not in browser.driver.current_url, "the token is not in the address")
    browser.says("Connect Sandbox, windowed to Acme Notes", "h1")
    browser.driver.find_element(By.CSS_SELECTOR, "main form .button").click()
    browser.consent()
    browser.wait(lambda: browser.driver.current_url == app.origin + "/?a=1&b=%20x&a=2#part/two", "it comes back to the exact page")
    browser.wait(lambda: browser.called("success"), "onSuccess is called after the return")
    check(browser.called("success")[0]["identity"] == "grace@acme.test" and browser.called("success")[0]["state"] == "active",
          "the app's server has confirmed who consented")


if __name__ == "__main__":
    sys.exit(main())
