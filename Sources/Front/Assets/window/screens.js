// What the window shows. Every screen is one function that returns its nodes; `window.js` decides which comes when.
import { h, icon, mark } from "./dom.js";
import { form } from "./fields.js";
import { has, rich, t } from "./words.js";

const heading = (text) => h("h1", { id: "heading", tabindex: "-1" }, text);
const button = (label, action, kind = "main") => h(`button.button.${kind}`, { type: "button", onclick: action }, label);
const owner = (state) => rich(`owner.${state.owner.type}`, { owner: state.owner.value });

export function loading() {
  return [h("div.spinner", { "aria-hidden": "true" }), heading(t("loading"))];
}

/** Search narrows as one types; categories narrow further. Rows out of sight cost nothing (`content-visibility`). */
export function list(state, { choose }) {
  const { app, integrations } = state;
  if (integrations.length === 0) {
    return [badge("alert", "bad"), heading(t("list.empty.title")), h("p", {}, rich("list.empty.text", { app }))];
  }
  const rows = integrations.map((each) => {
    const category = each.category.charAt(0).toUpperCase() + each.category.slice(1);
    const row = h("li", {},
      h("button.row", { type: "button", "data-id": each.id },
        mark(each), h("span.name", {}, h("b", {}, each.title), h("small", {}, category)), icon("go")));
    return { row, category, words: plain(`${each.title} ${each.category} ${each.id}`) };
  });
  const holder = h("ul.list", {}, rows.map((each) => each.row));
  holder.addEventListener("click", (event) => {
    const id = event.target.closest("button.row")?.dataset.id;
    if (id) choose(id);
  });
  // Up and down go through the rows, as in any list.
  holder.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const shown = rows.filter((each) => !each.row.hidden).map((each) => each.row.firstChild);
    const next = shown[shown.indexOf(document.activeElement) + step];
    event.preventDefault();
    (next ?? (step < 0 ? search : null))?.focus();
  });
  const count = h("p.count", { role: "status", "aria-live": "polite" });
  const none = h("p", { hidden: true }, t("list.none"));
  const search = h("input.search", {
    type: "search", placeholder: t("search"), "aria-label": t("search"), autocomplete: "off", spellcheck: "false", enterkeyhint: "search",
  });
  const categories = [...new Set(rows.map((each) => each.category))].sort((a, b) => a.localeCompare(b));
  const chips = categories.length > 1 && rows.length > 8
    ? h("div.chips", { role: "group", "aria-label": t("search") }, [null, ...categories].map((name) =>
      h("button.chip", { type: "button", "aria-pressed": String(name === null), "data-name": name ?? "" }, name ?? t("category.all"))))
    : null;
  let category = "";
  const narrow = () => {
    const wanted = plain(search.value).trim();
    let shown = 0;
    for (const each of rows) {
      const fits = (!category || each.category === category) && each.words.includes(wanted);
      if (each.row.hidden === fits) each.row.hidden = !fits;
      if (fits) shown += 1;
    }
    none.hidden = shown > 0;
    count.textContent = wanted || category ? t("list.count", { count: shown }) : "";
  };
  search.addEventListener("input", narrow);
  search.addEventListener("keydown", (event) => {
    const first = rows.find((each) => !each.row.hidden)?.row.firstChild;
    if (event.key === "ArrowDown" && first) { event.preventDefault(); first.focus(); }
    if (event.key === "Enter" && search.value && first) { event.preventDefault(); first.click(); }
  });
  chips?.addEventListener("click", (event) => {
    const pressed = event.target.closest("button.chip");
    if (!pressed) return;
    category = pressed.dataset.name;
    for (const chip of chips.children) chip.setAttribute("aria-pressed", String(chip === pressed));
    narrow();
  });
  return [
    heading(state.title ?? t("list.title", { app })),
    state.intro ? h("p", {}, state.intro) : null, h("p", {}, owner(state)),
    rows.length > 5 ? search : null, chips, count, holder, none,
  ];
}

/** One integration: who asks for what and for whom, what is to be typed, and the button that leaves. */
export function integration(state, offer, { submit, typed = {}, refused = null }) {
  const { app } = state;
  const names = { app, integration: offer.title };
  const isKey = offer.method === "api_key";
  const fields = [...offer.fields];
  if (state.showNameInput) {
    fields.push({ name: " name", label: t("name.label"), placeholder: "", help: t("name.help"), kind: "text", optional: true, value: state.name });
  }
  const made = form(fields, typed);
  const notice = refused ? h("div.notice", { role: "alert" }, h("strong", {}, words(refused, names).title), h("span", {}, words(refused, names).text)) : null;
  const fact = (...children) => h("li", {}, icon("tick"), h("span", {}, ...children));
  const body = h("form", { novalidate: true, autocomplete: "off" },
    made.nodes, h("div.actions", {}, h("button.button.main", { type: "submit" }, isKey ? t("connect") : t("continue", names))));
  body.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!made.check()) return;
    const { " name": name, ...values } = made.values();
    submit({ values, name: state.showNameInput ? name : undefined, form: made });
  });
  return [
    h("div.marks", { "aria-hidden": "true" }, state.appMark(), h("span.between"), mark({ ...offer, ...state.line(offer.id) })),
    heading(t(state.is_renewal ? "integration.renew" : "integration.title", names)),
    h("p", {}, state.renews ? rich("asks.account", { ...names, account: state.renews }) : rich("asks", names), " ", owner(state)),
    offer.guide ? h("p.guide", {}, offer.guide) : null, notice, body,
    h("ul.facts", {}, fact(rich(isKey ? "fact.key" : "fact.password", names)), fact(t("fact.end"))),
    offer.scopes.length
      ? h("details", {}, h("summary", {}, t("scopes", names)), h("ul", {}, offer.scopes.map((scope) => h("li", {}, h("code", {}, scope)))))
      : null,
  ];
}

export function waiting(offer, { show, cancel }) {
  return [
    h("div.spinner", { "aria-hidden": "true" }), heading(t("waiting.title")),
    h("p", {}, rich("waiting.text", { integration: offer.title })),
    h("div.actions", {}, show ? button(t("waiting.show"), show) : null, button(t("waiting.cancel"), cancel, "quiet")),
  ];
}

export function working(text) {
  return [h("div.spinner", { "aria-hidden": "true" }), heading(text)];
}

export function success(state, connection, { done }) {
  const title = state.line(connection.integration)?.title ?? connection.integration;
  const names = { app: state.app, owner: state.owner.value, integration: title };
  const pending = connection.state === "pending";
  return [
    badge("tick", "good"), heading(t(pending ? "pending.title" : "success.title", names)),
    h("p", {}, pending ? rich("pending.text", names)
      : connection.account ? rich("success.account", { ...names, account: connection.account }) : rich("success.text", names)),
    h("div.actions", {}, button(t("done"), done)),
  ];
}

/** A failure: what happened, what to do next, a code for support. */
export function failure(error, names, actions) {
  const said = words(error, names);
  return [
    badge("alert", "bad"), heading(said.title), h("p", {}, said.text),
    h("div.actions", {}, actions.map(({ label, action, quiet }) => button(label, action, quiet ? "quiet" : "main"))),
    h("p.reference", {}, t("reference", { code: error.reference ? `${error.code} · ${error.reference}` : error.code })),
  ];
}

export function words(error, names) {
  const code = has(`error.${error.code}.title`) ? error.code : "our_trouble";
  return { title: t(`error.${code}.title`, names), text: t(`error.${code}.text`, names) };
}

function badge(name, kind) { return h(`div.badge.${kind}`, { "aria-hidden": "true" }, icon(name)); }

/** Without case and accents, so that "slack" and "Notión" are found as they are typed. */
function plain(text) { return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase(); }
