// The window itself: which screen comes when. It knows its page only as `host`: who it is, and how it is told things.
import { h, icon } from "./dom.js";
import { attend, dismiss, openPopup } from "./popup.js";
import * as screens from "./screens.js";
import { Failure, Session, pause } from "./session.js";
import { nearest, speak, t } from "./words.js";

const SESSION_ENDED = ["session_expired", "session_used", "session_unknown", "connection_gone", "finish_refused"];
const SETUP = ["setup", "session_unknown"];

export class ConnectWindow {
  #host;
  #session = null;
  #state = null;
  #options = {};
  #offers = new Map();
  #image = null;
  #attempt = null;
  #told = false;
  #typed = {};
  #root;
  #card;
  #body;
  #live;
  #back;

  /** @param host {environment, parent, tell(message), restart()} */
  constructor(host) {
    this.#host = host;
    this.#root = document.documentElement;
    this.#back = h("button.corner.back", { type: "button", hidden: true }, icon("back"));
    const close = h("button.corner.close", { type: "button" }, icon("close"));
    close.addEventListener("click", () => this.close());
    this.#body = h("div.body");
    this.#live = h("div.hidden", { role: "status", "aria-live": "polite" });
    this.#card = h("main.card", { role: "dialog", "aria-modal": "true", "aria-labelledby": "heading" },
      h("div.bar", {}, this.#back, close), this.#body, this.#live, h("footer", { hidden: true }));
    document.body.append(this.#card);
    document.body.addEventListener("mousedown", (event) => {
      if (event.target === document.body && !this.#attempt) this.close();
    });
    addEventListener("keydown", (event) => this.#key(event));
  }

  /** A session, and how its page wants the window. */
  async start(token, options = {}) {
    this.#endAttempt();
    this.#options = options;
    this.#session = new Session(token);
    this.#told = false;
    this.#offers.clear();
    this.#typed = {};
    if (options.theme) this.#root.dataset.theme = options.theme;
    const speaking = this.speak();
    try {
      const [state] = await Promise.all([
        this.#session.call("open", { parent: this.#host.parent, environment: this.#host.environment }), speaking,
      ]);
      this.#receive(state);
    } catch (error) {
      await speaking.catch(() => {});
      this.fail(error);
    }
  }

  /** The language of the page's option, else of the browser. */
  async speak() {
    const { language, direction } = this.#options;
    await speak(language ?? nearest(navigator.language), direction);
    this.#back.setAttribute("aria-label", t("back"));
    this.#card.querySelector(".close").setAttribute("aria-label", t("close"));
  }

  /** The page's own mark, as pixels. */
  image(bitmap) {
    this.#image = bitmap;
    const old = this.#body.querySelector(".marks > :first-child");
    if (old && this.#state) old.replaceWith(this.#state.appMark());
  }

  escape() {
    if (!this.#back.hidden) this.#back.click();
    else this.close();
  }

  close() {
    this.#endAttempt();
    this.#host.tell({ type: "close" });
  }

  #receive(state) {
    const lines = new Map(state.integrations.map((each) => [each.id, each]));
    const { title, companyName, showNameInput, selectedIntegration } = this.#options;
    this.#state = {
      ...state, app: companyName || state.app, title: title || state.title, showNameInput,
      line: (id) => lines.get(id),
      appMark: () => this.#mark(),
    };
    const footer = this.#card.querySelector("footer");
    footer.textContent = state.footer ?? t("footer");
    footer.hidden = footer.textContent === "";
    this.#root.title = this.#state.app;
    document.title = this.#state.app;
    const wanted = selectedIntegration && this.#find(selectedIntegration);
    if (selectedIntegration && !wanted) {
      console.warn(`AuthKit: selectedIntegration "${selectedIntegration}" is not offered here; the list is shown.`);
    }
    if (wanted) this.#choose(wanted.id, { alone: true });
    else if (state.integrations.length === 1) this.#choose(state.integrations[0].id, { alone: true });
    else this.#list();
  }

  #find(name) {
    const plain = (text) => text.trim().toLowerCase();
    return this.#state.integrations.find((each) => each.id === name)
      ?? this.#state.integrations.find((each) => plain(each.title) === plain(name));
  }

  #mark() {
    if (this.#image) {
      const canvas = h("canvas.mark", { "aria-hidden": "true" });
      canvas.width = this.#image.width;
      canvas.height = this.#image.height;
      canvas.getContext("2d").drawImage(this.#image, 0, 0);
      return canvas;
    }
    const { app, app_logo: logo } = this.#state;
    const source = this.#options.imageSource ?? logo;
    const letter = h("span.mark.monogram", {}, [...app][0]?.toUpperCase() ?? "");
    if (!source) return letter;
    const image = h("img.mark", { src: source, alt: "" });
    // An image that may not be loaded from where it is, or is none.
    image.addEventListener("error", () => image.replaceWith(letter), { once: true });
    return image;
  }

  // Screens.

  #show(nodes, { back = null, focus = "#heading" } = {}) {
    this.#back.hidden = !back;
    this.#back.onclick = back;
    this.#body.replaceChildren(...nodes.filter(Boolean));
    const head = this.#body.querySelector("#heading");
    this.#body.scrollTop = 0;
    const target = this.#body.querySelector(focus) ?? head;
    target?.focus({ preventScroll: true });
    // Read out as the screen changes; a heading that has the focus is read out by itself.
    this.#live.textContent = target === head ? "" : head?.textContent ?? "";
    if (!this.#told) {
      this.#told = true;
      // After the paint: then the page takes its own notice away.
      requestAnimationFrame(() => requestAnimationFrame(() => this.#host.tell({ type: "painted" })));
    }
  }

  #list() {
    this.#show(screens.list(this.#state, { choose: (id) => this.#choose(id) }), { focus: "input.search" });
    if (this.#state.integrations.length === 0) {
      this.#report(new Failure("setup", { retryable: false, hint: "no integration is enabled and set up" }));
    }
  }

  async #choose(id, { alone = false, refused = null } = {}) {
    const back = alone && this.#state.integrations.length < 2 ? null : () => this.#list();
    if (this.#options.authWindow === "same" && this.#state.line(id)?.method === "oauth2" && !refused) {
      return this.#whole(id);
    }
    try {
      if (!this.#offers.has(id)) {
        const slow = setTimeout(() => this.#show(screens.loading(), { back }), 150);
        try { this.#offers.set(id, await this.#session.call(`integrations/${encodeURIComponent(id)}`)); } finally { clearTimeout(slow); }
      }
      const offer = this.#offers.get(id);
      const nodes = screens.integration(this.#state, offer, {
        typed: this.#typed[id], refused,
        submit: (given) => (offer.method === "api_key" ? this.#key_(offer, given, back) : this.#leave(offer, given)),
      });
      this.#show(nodes, { back, focus: offer.fields.length ? ".field input, .field select" : "#heading" });
      return nodes;
    } catch (error) {
      this.fail(error, { id });
    }
  }

  // By key.

  async #key_(offer, { values, name }) {
    this.#keep(offer, values, name);
    this.#show(screens.working(t("testing.title", { integration: offer.title })));
    try {
      const outcome = await this.#session.call("key", { integration: offer.id, fields: values, name });
      this.#succeed(outcome.connection);
    } catch (error) {
      if (error.code === "invalid_field" || error.code === "key_refused") {
        // What was typed stays, except for the key itself.
        this.#report(error, offer);
        await this.#choose(offer.id, { refused: error });
      } else {
        this.fail(error, { id: offer.id });
      }
    }
  }

  // By consent.

  #leave(offer, { values, name }) {
    this.#keep(offer, values, name);
    // In the click: anything awaited before it would make the browser block the window.
    const popup = openPopup();
    if (!popup) {
      this.fail(new Failure("popup_blocked"), { id: offer.id });
      return;
    }
    this.#endAttempt();
    const attempt = new AbortController();
    this.#attempt = attempt;
    const { signal } = attempt;
    let number = Infinity;
    const request = { token: this.#session.token, integration: offer.id, title: offer.title, fields: values, name };
    const cancel = () => {
      this.#endAttempt();
      popup.close();
      this.#choose(offer.id);
    };
    this.#show(screens.waiting(offer, { show: () => popup.focus(), cancel }), { back: cancel });

    const ended = (error) => {
      if (signal.aborted) return;
      this.#endAttempt();
      dismiss(popup);
      this.fail(error, { id: offer.id });
    };
    const hear = (outcome) => {
      if (signal.aborted) return;
      if (outcome.connection && outcome.state === "finished") {
        if (outcome.connection.state === "pending") { this.#await(outcome.connection, signal); return; }
        this.#endAttempt();
        dismiss(popup);
        this.#succeed(outcome.connection);
      } else if (outcome.state === "finished") {
        ended(new Failure("session_used", { retryable: false }));
      } else if (outcome.state === "expired") {
        ended(new Failure("session_expired", { retryable: false }));
      } else if (outcome.failure && outcome.failure.departure >= number) {
        ended(new Failure(outcome.failure.code, { integration: outcome.failure.integration }));
      }
    };
    this.#session.watch(hear, signal);
    attend(popup, request, {
      signal,
      departed: (each) => { number = each; },
      told: async ({ code, field, integration }) => {
        if (code === "success") {
          try { hear(await this.#session.call("outcome", undefined, signal)); } catch { /* the stream tells it */ }
        } else if (code === "invalid_field") {
          this.#endAttempt();
          const error = new Failure(code, { field, integration });
          this.#report(error, offer);
          this.#choose(offer.id, { refused: error });
        } else {
          ended(new Failure(code, { field, integration }));
        }
      },
      closed: async () => {
        // Perhaps closed by its user, perhaps only out of sight; perhaps its last word is still on the way.
        for (let tries = 0; tries < 3 && !signal.aborted; tries += 1) {
          try { hear(await this.#session.call("outcome", undefined, signal)); } catch { /* asked again */ }
          await pause(600, signal);
        }
        if (signal.aborted) return;
        const error = new Failure("popup_closed");
        this.#report(error, offer);
        // The watch goes on: the sign-in may still end well.
        this.#show(screens.failure(error, this.#names(offer), [
          { label: t("again"), action: () => { this.#endAttempt(); this.#choose(offer.id); } },
          { label: t("close"), action: () => this.close(), quiet: true },
        ]), { back: () => { this.#endAttempt(); this.#choose(offer.id); } });
      },
    });
  }

  /** The app has yet to confirm: asked for until it has, or until the user closes the window. */
  async #await(connection, signal) {
    if (this.#body.dataset.pending) return;
    this.#body.dataset.pending = "yes";
    this.#show(screens.success(this.#state, connection, { done: () => this.close() }));
    while (!signal.aborted) {
      await pause(2000, signal);
      try {
        const outcome = await this.#session.call("outcome", undefined, signal);
        if (outcome.connection && outcome.connection.state !== "pending") {
          this.#endAttempt();
          this.#succeed(outcome.connection);
        }
      } catch { /* asked again */ }
    }
    delete this.#body.dataset.pending;
  }

  #whole(id) {
    this.#show(screens.working(t("moving.title", { integration: this.#state.line(id)?.title ?? "" })));
    this.#host.tell({ type: "whole", integration: id });
  }

  #succeed(connection) {
    this.#show(screens.success(this.#state, connection, { done: () => this.close() }), { focus: ".actions .button" });
    this.#host.tell({ type: "success", connection });
  }

  #keep(offer, values, name) {
    const secret = new Set(offer.fields.filter((each) => each.secret).map((each) => each.name));
    this.#typed[offer.id] = Object.fromEntries(Object.entries({ ...values, ...(name === undefined ? {} : { " name": name }) })
      .filter(([key]) => !secret.has(key)));
  }

  #endAttempt() {
    this.#attempt?.abort();
    this.#attempt = null;
  }

  // Failures.

  #names(offer) {
    return { app: this.#state?.app ?? this.#root.dataset.app, integration: offer?.title ?? this.#state?.line?.(offer?.id)?.title ?? "" };
  }

  /** Every failure has a screen, a way forward, and a code for the page. */
  fail(problem, { id = null } = {}) {
    const error = problem instanceof Failure ? problem : new Failure("our_trouble", { hint: String(problem) });
    const offer = id ? this.#offers.get(id) ?? this.#state?.line(id) : null;
    this.#report(error, offer);
    const actions = [];
    const many = (this.#state?.integrations.length ?? 0) > 1;
    if (SESSION_ENDED.includes(error.code)) {
      actions.push({ label: t("over"), action: () => { this.#show(screens.loading()); this.#host.restart(); } });
    } else if (error.retryable && id && this.#state?.line(id)) {
      actions.push({ label: t("again"), action: () => this.#choose(id) });
    } else if (error.retryable && !this.#state) {
      actions.push({ label: t("again"), action: () => { this.#show(screens.loading()); this.#host.restart(); } });
    }
    if (error.code === "popup_blocked" && this.#host.leavesWhole) {
      actions.push({ label: t("whole"), action: () => this.#whole(id), quiet: true });
    }
    if (many && !SESSION_ENDED.includes(error.code)) actions.push({ label: t("others"), action: () => this.#list(), quiet: true });
    actions.push({ label: t("close"), action: () => this.close(), quiet: true });
    const names = { ...this.#names(offer), ...(error.integration ? { integration: error.integration } : {}) };
    this.#show(screens.failure(error, names, actions), { back: many && !SESSION_ENDED.includes(error.code) ? () => this.#list() : null });
  }

  #report(error, offer) {
    if (error.hint && (SETUP.includes(error.code) || error.hint !== error.code)) console.error(`AuthKit: ${error.code}: ${error.hint}`);
    const said = screens.words(error, this.#names(offer));
    this.#host.tell({ type: "error", code: error.code, message: `${said.title}: ${said.text}`, retryable: error.retryable });
  }

  // Keys: Esc goes back or closes, Tab stays inside.

  #key(event) {
    if (event.key === "Escape") {
      event.preventDefault();
      this.escape();
    }
    if (event.key !== "Tab") return;
    const stops = [...this.#card.querySelectorAll("button, input, select, summary, a[href]")]
      .filter((each) => !each.disabled && each.getClientRects().length > 0);
    if (stops.length === 0) return;
    const at = stops.indexOf(document.activeElement);
    if (event.shiftKey ? at <= 0 : at === stops.length - 1) {
      event.preventDefault();
      stops[event.shiftKey ? stops.length - 1 : 0].focus();
    }
  }
}
