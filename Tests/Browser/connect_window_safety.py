#!/usr/bin/env python3
"""What strangers try on the connect window, and browsers that allow less, in a real browser.

Needs Chromium with its driver, and selenium. The environment is as for connect_page.py: EVERGRANT_URL, EVERGRANT_API_KEY,
SANDBOX_URL, and optionally SCREENSHOTS.
"""

import json
import sys
import urllib.parse

from _app import FRONT, SANDBOX, App, Browser, api, check
from selenium.webdriver.common.by import By

CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
WINDOWED = "Sandbox, windowed"


def main():
    app, foreign = App(), App()
    api("PATCH", "/v1/environment",
        {"app_name": "Acme Notes", "embedding_origins": [app.origin], "redirect_origins": [FRONT]})
    api("PUT", "/v1/integrations/sandbox-windowed", {"enabled": True, **CLIENT})
    browser = Browser(prefs={"profile.cookie_controls_mode": 1, "profile.block_third_party_cookies": True})
    try:
        for part in (cookies, frames, forged, popups, links, severed_host, severed_provider, blocked, tabs):
            print(part.__doc__, flush=True)
            app.session = {"identity": "grace@acme.test", "integrations": ["sandbox-windowed"]}
            app.options, app.page_headers, app.minted = {}, {}, []
            part(browser, app, foreign)
            for handle in browser.driver.window_handles:
                if handle != browser.main:
                    browser.driver.switch_to.window(handle)
                    browser.driver.close()
    finally:
        browser.quit()
        app.close()
        foreign.close()
    print("nobody got in")


def begin(browser, app):
    browser.host(app)
    browser.open()
    browser.says("to Acme Notes")


def connect(browser):
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.consent()
    browser.gone()
    browser.says("is connected")


def connections():
    return api("GET", "/v1/connections?limit=200")["total"]


def cookies(browser, app, _):
    """third-party cookies blocked"""
    begin(browser, app)
    connect(browser)
    check(len(browser.called("success")) == 1, "the app is told")


def frames(browser, app, foreign):
    """a frame in a foreign page, and one without a page"""
    environment = api("GET", "/v1/environment")["id"]
    browser.driver.get(f"{FRONT}/e/{environment}/frame")
    browser.says("is not set up yet")
    foreign.pages["/steal"] = f'<iframe id="event-link" src="{FRONT}/e/{environment}/frame"></iframe>'
    browser.driver.get(foreign.origin + "/steal")
    browser.frame()
    check(not browser.driver.find_elements(By.TAG_NAME, "main"), "a page of an unlisted origin gets no frame")
    refused = [line for line in browser.listen() if "frame-ancestors" in line]
    check(refused, "and its console says why")


def forged(browser, app, _):
    """messages from windows that are not the frame, and to a frame from windows that are not its page"""
    begin(browser, app)
    browser.top()
    browser.driver.execute_script("""
        const fake = document.createElement("iframe");
        fake.srcdoc = `<script>parent.postMessage({evergrant: 1, type: "success", connection: {key: "forged"}}, "*");
          parent.postMessage({evergrant: 1, type: "close"}, "*");
          for (let at = 0; at < parent.length; at += 1) if (parent[at] !== window) { const each = parent[at];
            each.postMessage({evergrant: 1, type: "start", token: "forged"}, "*");
            each.postMessage({evergrant: 1, type: "depart", token: "forged"}, "*");
            each.postMessage({evergrant: 1, type: "popup-ended", code: "success"}, "*");
          }
          parent.document.title = "sent"<\\/script>`;
        document.body.append(fake);
        postMessage({evergrant: 1, type: "success", connection: {key: "forged"}}, "*");
        document.querySelector("dialog iframe").contentWindow.postMessage("nonsense", "*");
    """)
    browser.wait(lambda: browser.driver.title == "sent", "the forged messages are sent")
    browser.frame()
    connect(browser)
    check([each["identity"] for each in browser.called("success")] == ["grace@acme.test"], "only the real success is told")


def popups(browser, app, foreign):
    """the popup's page in another profile, from a foreign opener, and with its address copied"""
    stranger = Browser()
    stranger.driver.get(f"{FRONT}/connect/start")
    stranger.says("Please go on in the app", "h1")
    foreign.pages["/lure"] = f"""<button id="open">x</button><script>
      document.querySelector("button").onclick = () => {{
        const popup = open("{FRONT}/connect/start");
        setInterval(() => popup.postMessage({{evergrant: 1, type: "depart", token: location.hash.slice(1), integration: "sandbox-windowed"}}, "*"), 50);
      }};</script>"""
    mallory = api("POST", "/v1/sessions", {"kind": "embedded", "identity": "mallory", "integrations": ["sandbox-windowed"]})
    stranger.driver.get(f"{foreign.origin}/lure#{mallory['token']}")
    stranger.driver.find_element(By.ID, "open").click()
    stranger.popup()
    stranger.says("Please go on in the app", "h1")
    check(api("GET", f"/v1/sessions/{mallory['id']}")["state"] == "minted", "an opener of a foreign origin gets nowhere")
    # What the attacker's own popup went to, opened by a victim: it comes back to a browser that never left.
    begin(browser, app)
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.wait(lambda: browser.driver.current_url.startswith(SANDBOX), "the provider's page comes")
    before = connections()
    stranger.driver.switch_to.window(stranger.main)
    stranger.driver.get(browser.driver.current_url)
    stranger.consent()
    stranger.says("same browser", "h1")
    check(connections() == before, "a consent in another browser connects nothing")
    stranger.quit()


def links(browser, app, _):
    """an embedded session's token as a link, and its whole window sent to a victim"""
    mallory = api("POST", "/v1/sessions", {"kind": "embedded", "identity": "mallory", "integrations": ["sandbox-windowed"]})
    check("connect_url" not in mallory, "an embedded session has no link")
    victim = Browser()
    victim.driver.get(f"{FRONT}/connect#{mallory['token']}")
    victim.driver.find_element(By.ID, "continue").click()
    victim.wait(lambda: "not valid" in victim.text(".notice"), "its token opens no link page")
    evil = urllib.parse.urlencode({"token": mallory["token"], "return": "https://evil.example/", "integration": "sandbox-windowed"})
    victim.driver.get("about:blank")
    victim.driver.get(f"{FRONT}/connect/go#{evil}")
    victim.says("check what you typed", "h1")
    lure = urllib.parse.urlencode({"token": mallory["token"], "return": app.origin + "/", "integration": "sandbox-windowed"})
    victim.driver.get("about:blank")
    victim.driver.get(f"{FRONT}/connect/go#{lure}")
    victim.wait(lambda: "/connect/s/" in victim.driver.current_url, "the session's page comes")
    check("mallory" in victim.text("main") and "Acme Notes" in victim.text("main"), "it names the app and the owner")
    victim.driver.find_element(By.CSS_SELECTOR, "main form .button").click()
    victim.consent()
    victim.wait(lambda: victim.driver.current_url.startswith(app.origin), "the victim comes to the app's page")
    made = api("GET", f"/v1/sessions/{mallory['id']}")
    check(api("GET", f"/v1/connections/{made['connection']}")["state"] == "pending", "what comes of it is pending")
    # The attacker opens the finished session again: it is another browser's.
    attacker = Browser()
    attacker.driver.get(f"{FRONT}/connect/go#{lure}")
    attacker.says("has been used", "h1")
    attacker.driver.get(f"{FRONT}/connect/s/{mallory['id']}")
    attacker.says("same browser", "h1")
    check(api("GET", f"/v1/connections/{made['connection']}")["state"] == "pending", "and stays so: nobody has the finish code")
    attacker.quit()
    victim.quit()


def severed_host(browser, app, _):
    """a host page with Cross-Origin-Opener-Policy: the window goes on in the whole window"""
    app.page_headers["/"] = {"Cross-Origin-Opener-Policy": "same-origin"}
    begin(browser, app)
    browser.press(f"Continue to {WINDOWED}")
    browser.says("blocked the sign-in window", picture="error-popup_blocked")
    check(browser.called("error")[-1]["code"] == "popup_blocked", "onError says popup_blocked")
    browser.frame()
    browser.press("Continue in this window")
    browser.top()
    browser.wait(lambda: "/connect/s/" in browser.driver.current_url, "the whole window goes to the session's page")
    browser.driver.find_element(By.CSS_SELECTOR, "main form .button").click()
    browser.consent()
    browser.wait(lambda: browser.driver.current_url == app.origin + "/", "it comes back")
    browser.wait(lambda: browser.called("success"), "and the app is told")


def severed_provider(browser, app, foreign):
    """a provider with Cross-Origin-Opener-Policy: the popup has no opener any more, the server tells the outcome"""
    foreign.pages["/coop"] = "<script>location.href = decodeURIComponent(location.hash.slice(1))</script>"
    foreign.page_headers["/coop"] = {"Cross-Origin-Opener-Policy": "same-origin"}
    begin(browser, app)
    browser.press(f"Continue to {WINDOWED}")
    browser.popup()
    browser.wait(lambda: browser.driver.current_url.startswith(SANDBOX), "the provider's page comes")
    there = urllib.parse.quote(browser.driver.current_url, safe="")
    browser.driver.execute_script(f"location.href = {json.dumps(foreign.origin + '/coop#' + there)}")
    browser.wait(lambda: browser.driver.current_url.startswith(SANDBOX) and browser.driver.execute_script("return opener === null"),
                 "the popup has lost its opener")
    browser.frame()
    browser.says("was closed", seconds=10)
    browser.popup()
    browser.consent()
    browser.says("is connected", "h1")
    browser.frame()
    browser.says("is connected")
    check(len(browser.called("success")) == 1, "the app is told once")


def blocked(browser, app, _):
    """a popup that the browser blocks by its own policy"""
    begin(browser, app)
    browser.driver.execute_script("setTimeout(() => document.querySelector('form').requestSubmit(), 6500)")
    # Six seconds later the click that opened the window no longer counts as one (transient activation).
    browser.says("blocked the sign-in window", seconds=15)
    browser.press("Try again")
    connect(browser)


def tabs(browser, app, _):
    """two tabs with one session: one connects, the other hears of it"""
    session = api("POST", "/v1/sessions", {"kind": "embedded", **app.session})
    app.post = lambda path, headers, body: (200, session)
    before = connections()
    begin(browser, app)
    browser.driver.switch_to.new_window("tab")
    second = browser.driver.current_window_handle
    first, browser.main = browser.main, second
    begin(browser, app)
    browser.main = first
    browser.frame()
    browser.press(f"Continue to {WINDOWED}")
    browser.wait(lambda: len(browser.driver.window_handles) == 3, "a popup opens")
    browser.driver.switch_to.window([each for each in browser.driver.window_handles if each not in (first, second)][0])
    browser.consent()
    browser.wait(lambda: len(browser.driver.window_handles) == 2, "it closes")
    browser.frame()
    browser.says("is connected")
    browser.main = second
    browser.frame()
    browser.press(f"Continue to {WINDOWED}")
    browser.says("is connected")
    browser.main = first
    check(connections() == before + 1, "one connection came of it")


if __name__ == "__main__":
    sys.exit(main())
