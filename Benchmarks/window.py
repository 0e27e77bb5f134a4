#!/usr/bin/env python3
"""Connect window: sizes, first paint of a list of 600, time of a search.

Starts a fleet of its own with 600 integrations, opens the window in Chromium, and prints what it took, each the median of
several rounds with its conditions. `--rounds N` (default 7). Needs selenium; see deploy/requirements.txt.
"""

import argparse
import gzip
import os
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
# In place of this directory, whose queue.py would hide the standard library's.
sys.path[0:1] = [str(ROOT / "Tests/Interop"), str(ROOT / "Tests/Browser")]
COUNT = 600
ASSETS = ROOT / "Sources/Front/Assets"


def catalog():
    words = ["Mail", "Desk", "Chart", "Cloud", "Note", "Ship", "Pay", "Team", "Form", "Sign"]
    entries = "".join(
        f"""
  many-{number:03}:
    title: {words[number % 10]} {words[number // 10 % 10]} {number}
    category: {["office", "sales", "support", "code"][number % 4]}
    color: "#{(number * 5501) % 0xFFFFFF:06x}"
    summary: One of many.
    api_key: {{fields: {{api_key: {{label: API key}}}}}}
    credential: {{header: x-api-key}}
    api_base: https://many.example.com/v1
    sources: [docs/sandbox.md]
    grade: D
"""
        for number in range(COUNT)
    )
    return {"many.yaml": "integrations:" + entries}


def packed(files):
    return sum(len(gzip.compress(file.read_bytes(), 9)) for file in files)


def sizes():
    window = [file for file in sorted((ASSETS / "window").glob("*.*")) if file.stem not in ("preview", "compatible", "start", "go")]
    language = [ASSETS / "window/languages/en.json"]
    page = [ASSETS / "authkit/authkit.js"]
    print(f"compressed: page {packed(page) / 1024:.1f} kB, frame {packed(window) / 1024:.1f} kB, "
          f"one language {packed(language) / 1024:.1f} kB, together {packed(page + window + language) / 1024:.1f} kB (at most 40)")


def main():
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--rounds", type=int, default=7)
    rounds = reader.parse_args().rounds
    sizes()
    from _fleet import running_fleet

    with running_fleet(catalog=catalog()) as fleet:
        os.environ.update(EVERGRANT_URL=fleet.base, EVERGRANT_API_KEY=fleet.key, SANDBOX_URL=f"http://127.0.0.1:{fleet.sandbox}")
        from _app import App, Browser, api

        app = App()
        api("PATCH", "/v1/environment", {"app_name": "Acme Notes", "embedding_origins": [app.origin]})
        for number in range(COUNT):
            api("PUT", f"/v1/integrations/many-{number:03}", {"enabled": True})
        # In one process, so that the page and the frame have one clock.
        browser = Browser("--disable-site-isolation-trials")
        opened, painted, searched = [], [], []
        for _ in range(rounds):
            browser.host(app)
            browser.driver.execute_script("""
                addEventListener("message", (event) => { if (event.data?.type === "painted") window.painted = performance.now(); });
                window.clicked = performance.now(); document.querySelector("#open").click();""")
            browser.wait(lambda: browser.driver.execute_script("return window.painted > 0"), "the window paints")
            opened.append(browser.driver.execute_script("return window.painted - window.clicked"))
            browser.frame()
            rows = browser.driver.execute_script("return document.querySelectorAll('.row').length")
            if rows < COUNT:
                raise SystemExit(f"{rows} rows, not {COUNT}")
            # From the list's data being there to its paint.
            painted.append(browser.driver.execute_script("""
                const open = performance.getEntriesByType("resource").find((each) => each.name.endsWith("/connect/api/open"));
                const paint = performance.getEntriesByType("paint").find((each) => each.name === "first-contentful-paint");
                return paint.startTime - open.responseEnd;"""))
            searched.append(browser.driver.execute_async_script("""
                const done = arguments[0], field = document.querySelector("input.search"), times = [];
                (async () => {
                  for (const text of ["m", "ma", "mail", "mail 1", "zzz", ""]) {
                    const start = performance.now();
                    field.value = text;
                    field.dispatchEvent(new Event("input"));
                    document.body.offsetHeight;
                    times.push(performance.now() - start);
                    await new Promise((go) => requestAnimationFrame(go));
                  }
                  done(Math.max(...times));
                })();"""))
        browser.quit()
        app.close()
        for name, values, goal in [
            ("click to painted list", opened, ""), ("list's data to first paint", painted, " (at most 200)"),
            ("slowest key of a search, with layout", searched, ""),
        ]:  # fmt: skip
            print(f"{name}, {COUNT} integrations: median {statistics.median(values):.0f} ms, worst {max(values):.0f} ms of {rounds}{goal}")


if __name__ == "__main__":
    main()
