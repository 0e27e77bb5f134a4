#!/usr/bin/env python3
"""Opens the window as the public AuthKit packages do, from a page that speaks their wire, in a real browser.

Needs Chromium with its driver, and selenium. The environment is as for connect_page.py: EVERGRANT_URL, EVERGRANT_API_KEY,
SANDBOX_URL, and optionally SCREENSHOTS.
"""

import json
import sys

from _app import FRONT, KEY, App, Browser, api, call, check

CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
WINDOWED = "Sandbox, windowed"

# What those packages do, written from the description of their wire.
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Other</title></head><body><button id="open">Connect</button>
<script>
window.calls = [];
const data = %(data)s;
document.querySelector("#open").onclick = () => {
  const bytes = new TextEncoder().encode(JSON.stringify(data));
  const frame = document.createElement("iframe");
  frame.id = "event-link";
  frame.src = "%(base)s?data=" + encodeURIComponent(btoa(String.fromCharCode(...bytes)));
  frame.style.cssText = "position:fixed;inset:0;width:100%%;height:100%%;border:0;display:none";
  frame.onload = () => setTimeout(() => {
    frame.style.display = "block";
    if (%(posts)s) frame.contentWindow.postMessage(data, "*");
  }, 100);
  document.body.append(frame);
};
let last = "";
addEventListener("message", (event) => {
  const frame = document.querySelector("#event-link");
  if (!frame || frame.style.display !== "block" || event.origin !== "%(front)s") return;
  const text = JSON.stringify(event.data);
  if (text === last) return;
  last = text;
  window.calls.push([event.data.messageType, event.data.message]);
  if (event.data.messageType === "EXIT_EVENT_LINK") setTimeout(() => frame.remove(), 200);
});
window.ready = true;
</script></body></html>"""


def main():
    app = App()
    environment = api("GET", "/v1/environment")
    base = f"{FRONT}/e/{environment['name']}"
    api("PATCH", "/v1/environment", {
        "app_name": "Acme Notes", "embedding_origins": [app.origin], "token_endpoints": [app.origin + "/authkit"]})
    for name, body in [("sandbox-windowed", CLIENT), ("sandbox-strict", CLIENT), ("sandbox-key", {})]:
        api("PUT", f"/v1/integrations/{name}", {"enabled": True, **body})
    app.cors = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
    answers = {}

    def post(path, headers, body):
        if headers.get("Authorization") != "Bearer app-user":
            return 401, {"error": "no"}
        if answers:
            return answers["status"], answers["body"]
        query = path.partition("?")[2]
        return 200, call(f"{FRONT}/v1/authkit?{query}", "POST", {"identity": "grace@acme.test", "identityType": "user"},
                         headers={"X-Pica-Secret": KEY})

    app.post = post
    usual = {"linkTokenEndpoint": app.origin + "/authkit", "linkHeaders": {"Authorization": "Bearer app-user"},
             "title": "Überall verbinden 日本", "imageUrl": "", "companyName": "Ecke & Söhne", "selectedConnection": "", "showNameInput": True,
             "appTheme": "light"}

    def page(posts=True, **more):
        app.pages["/"] = PAGE % {"data": json.dumps({**usual, **more}), "base": base, "front": FRONT, "posts": json.dumps(posts)}

    # In one process, so that the driver hears the frame's console as well.
    browser = Browser("--disable-site-isolation-trials")

    def opened():
        browser.host(app)
        browser.driver.find_element("id", "open").click()
        browser.frame()

    try:
        print("query and message, list, consent, record, exit", flush=True)
        page()
        opened()
        browser.says("Überall verbinden 日本", picture="compatible-list")
        check(browser.driver.execute_script("return location.search") == "", "the credentials are out of the address")
        browser.choose(WINDOWED)
        browser.says("to Ecke & Söhne")
        browser.driver.find_element("css selector", "input[name=' name']").send_keys("Mein Konto")
        browser.press(f"Continue to {WINDOWED}")
        browser.popup()
        browser.consent()
        browser.gone()
        browser.says("is connected")
        record = browser.wait(lambda: browser.called("LINK_SUCCESS"), "LINK_SUCCESS comes")[0]
        check(record["name"] == "Mein Konto" and record["identity"] == "grace@acme.test" and record["identityType"] == "user"
              and record["platform"] == "sandbox-windowed" and record["key"].startswith("test::") and record["_id"], "with its record")
        browser.frame()
        browser.press("Done")
        browser.top()
        browser.wait(lambda: browser.called("EXIT_EVENT_LINK"), "EXIT_EVENT_LINK comes")

        print("the query alone; an integration by its title; denied", flush=True)
        page(posts=False, selectedConnection=WINDOWED)
        opened()
        browser.says(f"Connect {WINDOWED} to Ecke & Söhne")
        browser.press(f"Continue to {WINDOWED}")
        browser.popup()
        browser.consent(allow=False)
        browser.gone()
        browser.says("You did not allow access")
        browser.wait(lambda: [each for each in browser.called("LINK_ERROR") if isinstance(each, str)], "LINK_ERROR comes, a string")

        print("an app that is not set up: one calm screen, and the cause in the console", flush=True)
        for more, answer, cause in [
            ({"linkTokenEndpoint": "/authkit"}, None, "no absolute URL"),
            ({"linkTokenEndpoint": app.origin + "/elsewhere"}, None, "token_endpoints"),
            ({"linkHeaders": {}}, None, "answered 401"),
            ({}, {"status": 200, "body": {"code": "unauthenticated"}}, "without rows"),
        ]:
            page(**more)
            answers.clear()
            answers.update(answer or {})
            browser.listen()
            opened()
            browser.says("is not set up yet")
            browser.wait(lambda: any(cause in line for line in browser.listen()), f"the console says {cause!r}")
        answers.clear()
        app.cors = {}
        page()
        opened()
        browser.says("is not set up yet")
        browser.wait(lambda: any("CORS" in line for line in browser.listen()), "and of CORS")
    finally:
        api("PATCH", "/v1/environment", {"token_endpoints": []})
        browser.quit()
        app.close()
    check(not [each for each in browser.complaints if "connect-src" not in each], "no page broke its own content security policy")


if __name__ == "__main__":
    sys.exit(main())
