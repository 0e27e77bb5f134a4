// The window's screens with made-up contents, for the operator who sets its look. `?screen=`, `?language=`, `?theme=`.
import { h } from "./dom.js";
import * as screens from "./screens.js";
import { Failure } from "./session.js";
import { LANGUAGES, speak, t } from "./words.js";

const root = document.documentElement;
const query = new URLSearchParams(location.search);
const { logo, title, intro, footer, app } = root.dataset;
const language = LANGUAGES.includes(query.get("language")) ? query.get("language") : root.lang;
if (["light", "dark"].includes(query.get("theme"))) root.dataset.theme = query.get("theme");
await speak(language, query.get("direction") ?? undefined);

const samples = ["Mail", "Calendar", "Team Chat", "Tickets", "Notes", "Invoices", "Storage", "Code"].map((name, at) => ({
  id: name.toLowerCase().replace(" ", "-"), title: name, category: at % 2 ? "work" : "office", method: "oauth2", logo: null,
  color: ["#b3261e", "#1a56b0", "#5b2a86", "#0b6b4f", "#111827", "#8a4b0f", "#2563a8", "#3f3f46"][at],
}));
const state = {
  app, title: title || null, intro: intro || null, owner: { type: "user", value: "grace@example.com" }, integrations: samples,
  renews: null, is_renewal: false, showNameInput: false, name: "", line: (id) => samples.find((each) => each.id === id),
  appMark: () => (logo ? h("img.mark", { src: logo, alt: "" }) : h("span.mark.monogram", {}, app.charAt(0).toUpperCase())),
};
const nothing = () => {};
const offer = {
  ...samples[0], guide: "", scopes: ["mail.read"], method: "api_key",
  fields: [{ name: "key", label: "API key", placeholder: "", help: "", kind: "key", secret: true, optional: false, value: "" }],
};
const all = {
  list: () => screens.list(state, { choose: nothing }),
  consent: () => screens.integration(state, { ...offer, method: "oauth2", fields: [] }, { submit: nothing }),
  key: () => screens.integration(state, offer, { submit: nothing }),
  waiting: () => screens.waiting(offer, { show: nothing, cancel: nothing }),
  success: () => screens.success(state, { integration: "mail", account: "grace@example.com", state: "active" }, { done: nothing }),
  failure: () => screens.failure(new Failure("denied"), { app, integration: "Mail" }, [{ label: t("again"), action: nothing }, { label: t("close"), action: nothing, quiet: true }]),
};
const wanted = Object.hasOwn(all, query.get("screen")) ? query.get("screen") : "list";
const body = h("div.body", {}, all[wanted]());
const foot = footer === "-" ? t("footer") : footer;
const links = h("nav.preview", { "aria-label": "Preview" },
  Object.keys(all).map((name) => {
    const there = new URLSearchParams(query);
    there.set("screen", name);
    return h("a", { href: `?${there}`, "aria-current": name === wanted ? "page" : null }, name);
  }));
document.body.append(links, h("main.card", { "aria-labelledby": "heading" }, h("div.bar"), body, foot ? h("footer", {}, foot) : null));
