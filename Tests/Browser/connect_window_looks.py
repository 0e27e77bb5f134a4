#!/usr/bin/env python3
"""The window in every language, light, dark, on a phone, mirrored, magnified: pictures, and rules that a program can check.

Needs Chromium with its driver, and selenium. The environment is as for connect_page.py: EVERGRANT_URL, EVERGRANT_API_KEY,
SANDBOX_URL, and optionally SCREENSHOTS.
"""

import sys

from _app import FRONT, Browser, api, check

LANGUAGES = ["en", "de", "es", "fr", "ja", "pt-BR"]
SCREENS = ["list", "consent", "key", "waiting", "success", "failure"]

# Rules of WCAG 2.2 that need no judgement: names, labels, contrast, one heading, target size, no reference that leads nowhere.
RULES = """
const faults = [];
const luminance = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgba = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = "#000"; canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
const ground = (element) => { for (let each = element; each; each = each.parentElement) { const c = rgba(getComputedStyle(each).backgroundColor); if (c[3] > 250) return c; } return [255, 255, 255, 255]; };
const shown = (element) => element.getClientRects().length > 0 && !element.closest("[hidden], .hidden, nav");
const name = (element) => (element.getAttribute("aria-label") || element.textContent || "").trim();
for (const each of document.querySelectorAll("main button, main a")) if (shown(each)) {
  if (!name(each)) faults.push("no name: " + each.outerHTML.slice(0, 80));
  const box = each.getBoundingClientRect();
  if (box.width < 24 || box.height < 24) faults.push("smaller than 24 px: " + each.outerHTML.slice(0, 80));
}
for (const each of document.querySelectorAll("main input, main select"))
  if (!each.labels?.length && !each.getAttribute("aria-label")) faults.push("no label: " + each.outerHTML.slice(0, 80));
for (const each of document.querySelectorAll("img")) if (!each.hasAttribute("alt")) faults.push("no alt: " + each.outerHTML.slice(0, 80));
if (document.querySelectorAll("h1").length !== 1) faults.push("not one heading");
const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
if (new Set(ids).size !== ids.length) faults.push("an id is there twice");
for (const each of document.querySelectorAll("[aria-describedby], [aria-labelledby]"))
  for (const id of [each.getAttribute("aria-describedby"), each.getAttribute("aria-labelledby")].filter(Boolean).join(" ").split(" "))
    if (!document.getElementById(id)) faults.push("leads nowhere: " + id);
for (const each of document.querySelectorAll("main *")) {
  const text = [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!text || !shown(each) || each.closest("[aria-hidden=true]")) continue;
  const style = getComputedStyle(each);
  const [one, other] = [luminance(rgba(style.color).slice(0, 3)), luminance(ground(each).slice(0, 3))];
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
  if (ratio < (large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${each.textContent.slice(0, 40)}`);
}
if (!document.documentElement.lang) faults.push("no language");
if (document.documentElement.scrollWidth > innerWidth) faults.push(`wider than the window: ${document.documentElement.scrollWidth} of ${innerWidth}`);
if (document.documentElement.scrollHeight > innerHeight) faults.push(`higher than the window: ${document.documentElement.scrollHeight} of ${innerHeight}`);
for (const each of document.querySelectorAll("main h1, main p, main .button, main .row b")) if (shown(each) && each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== "inline") faults.push("cut off: " + each.textContent.slice(0, 40));
return faults;
"""


def main():
    environment = api("GET", "/v1/environment")
    api("PATCH", "/v1/environment", {"app_name": "Acme Notes", "branding": {}})
    base = f"{FRONT}/e/{environment['id']}/preview"
    browser = Browser()

    def look(query, picture, heading=None):
        browser.driver.get(f"{base}?{query}")
        browser.wait(lambda: browser.driver.find_elements("id", "heading"), f"a screen comes for {query}")
        # Its entrance is over: half-way in, colours are mixed with what is behind.
        browser.wait(lambda: browser.driver.execute_script(
            "return document.getAnimations().every((each) => each.playState === 'finished' || each.effect.getTiming().iterations === Infinity)"),
            "the window stands still")
        faults = browser.driver.execute_script(RULES)
        if faults:
            raise SystemExit(f"not so: {picture} breaks no rule: {faults}")
        browser.snap(picture)
        return browser.text("h1")

    try:
        print("every screen, in light and dark", flush=True)
        for screen in SCREENS:
            for theme in ("light", "dark"):
                look(f"screen={screen}&theme={theme}", f"look-{screen}-{theme}")
        print("every language", flush=True)
        for screen in ("list", "consent", "failure"):
            said = {look(f"screen={screen}&language={language}", f"look-{screen}-{language}") for language in LANGUAGES}
            check(len(said) >= len(LANGUAGES) - 1, f"{screen}: every language has its own heading (Spanish and Portuguese may share one)")
        print("mirrored", flush=True)
        look("screen=list&direction=rtl", "look-list-rtl")
        look("screen=consent&direction=rtl", "look-consent-rtl")
        sides = browser.driver.execute_script(
            "const p = document.querySelector('h1').getBoundingClientRect(); return getComputedStyle(document.querySelector('h1')).direction")
        check(sides == "rtl", "it reads from the right")
        print("320 px wide, and a desktop window at 200 %", flush=True)
        for name, width, height, scale in [("phone", 320, 640, 2), ("zoom", 640, 400, 2)]:
            browser.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)
            for screen in SCREENS:
                for language in ("en", "de", "ja"):
                    look(f"screen={screen}&language={language}", f"look-{screen}-{name}-{language}")
        browser.cdp("Emulation.clearDeviceMetricsOverride")
        print("less motion, forced colours", flush=True)
        browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
        look("screen=list", "look-list-still")
        check(browser.driver.execute_script("return getComputedStyle(document.querySelector('.card')).animationName") == "none", "nothing moves in")
        browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "forced-colors", "value": "active"}])
        browser.driver.get(base)
        browser.wait(lambda: browser.driver.find_elements("id", "heading"), "the list comes")
        browser.snap("look-list-forced")
        check(browser.driver.execute_script("return getComputedStyle(document.querySelector('.card')).borderTopStyle") == "solid", "the window keeps its edge")
        browser.cdp("Emulation.setEmulatedMedia", features=[])
        print("an environment's own look", flush=True)
        api("PATCH", "/v1/environment", {"branding": {
            "light": {"accent": "#5b2a86", "background": "#fffdf8", "text": "#20142e"}, "dark": {"accent": "#c9a4f2"},
            "radius": 4, "font": "Georgia, serif", "footer": "", "title": "Bring your tools", "intro": "Pick one to begin."}})
        check(look("screen=list&theme=light", "look-brand-light") == "Bring your tools", "its title")
        check("Georgia" in browser.driver.execute_script("return getComputedStyle(document.body).fontFamily"), "its font")
        check(not browser.driver.find_elements("css selector", "footer"), "no footer")
        look("screen=consent&theme=light", "look-brand-consent")
        color = browser.driver.execute_script("return getComputedStyle(document.querySelector('.button.main')).backgroundColor")
        check(color == "rgb(91, 42, 134)", "its colour")
        look("screen=consent&theme=dark", "look-brand-dark")
    finally:
        api("PATCH", "/v1/environment", {"branding": {}})
        browser.quit()
    check(not browser.complaints, "no page broke its own content security policy" + "".join(browser.complaints))


if __name__ == "__main__":
    sys.exit(main())
