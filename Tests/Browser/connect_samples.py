#!/usr/bin/env python3
"""Runs every sample under examples/ with its one command, and connects an account in it, in a real browser.

Needs Chromium with its driver, selenium, and Debian's node-react and node-react-dom (or REACT_DIRECTORY, where they are
unpacked). The environment is as for connect_page.py: EVERGRANT_URL, EVERGRANT_API_KEY, SANDBOX_URL.
"""

import os
import pathlib
import socket
import subprocess
import sys
import time

from _app import Browser, api, check

ROOT = pathlib.Path(__file__).resolve().parents[2]
WINDOWED = "Sandbox, windowed"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    api("PUT", "/v1/integrations/sandbox-windowed",
        {"enabled": True, "client_id": "sandbox-client", "client_secret": "sandbox-secret"})
    browser = Browser()
    try:
        for name in ("plain", "react"):
            print(f"examples/{name}", flush=True)
            port = free_port()
            command = [sys.executable, str(ROOT / f"examples/{name}/server.py")]
            if name == "react" and os.environ.get("REACT_DIRECTORY"):
                command += ["--react", os.environ["REACT_DIRECTORY"]]
            server = subprocess.Popen(command, env={**os.environ, "PORT": str(port)}, stdout=subprocess.PIPE, text=True)
            try:
                line = server.stdout.readline()
                check("Open http://localhost" in line, "it tells where it is")
                end = time.monotonic() + 20
                while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
                    if time.monotonic() > end or server.poll() is not None:
                        raise SystemExit(f"not so: the sample's server listens at {port}")
                browser.top()
                browser.driver.get(line.split()[1])
                browser.wait(lambda: browser.driver.find_elements("id", "connect"), "its button comes")
                browser.driver.find_element("id", "connect").click()
                browser.frame()
                browser.says("Connect an account")
                browser.choose(WINDOWED)
                browser.press(f"Continue to {WINDOWED}")
                browser.popup()
                browser.consent()
                browser.gone()
                browser.says("is connected")
                browser.press("Done")
                browser.top()
                browser.wait(lambda: "Connected: test::sandbox-windowed::" in browser.text("#told"), "the page has the connection's key")
            finally:
                server.terminate()
                server.wait()
    finally:
        browser.quit()


if __name__ == "__main__":
    sys.exit(main())
