// The connect window for a page of yours: a module without dependencies. Types: authkit.d.ts; everything about it:
// docs/connect.md.
//
// The session token goes to the frame by a message to the front's exact origin. What comes back is believed when it comes
// from that frame and that origin, and not otherwise. Nothing of the page's own credentials leaves the page.

const MARK = "evergrant";
const RETURN = "evergrant:left";

// Said before the frame is there to say it better.
const WORDS = {
  en: ["One moment…", "This window could not be opened", "Please try again. If it happens again, tell the people who run this app.", "Try again", "Close"],
  de: ["Einen Moment…", "Dieses Fenster ließ sich nicht öffnen", "Bitte versuche es noch einmal. Wenn es wieder geschieht, wende dich an die Betreiber dieser App.", "Noch einmal", "Schließen"],
  es: ["Un momento…", "No se pudo abrir esta ventana", "Inténtalo de nuevo. Si vuelve a ocurrir, avisa a los responsables de esta aplicación.", "Reintentar", "Cerrar"],
  fr: ["Un instant…", "Cette fenêtre n’a pas pu s’ouvrir", "Réessayez. Si cela se reproduit, prévenez les responsables de cette application.", "Réessayer", "Fermer"],
  ja: ["お待ちください…", "この画面を開けませんでした", "もう一度お試しください。繰り返す場合は、このアプリの運営者にお知らせください。", "再試行", "閉じる"],
  pt: ["Um momento…", "Não foi possível abrir esta janela", "Tente de novo. Se acontecer outra vez, avise os responsáveis por este aplicativo.", "Tentar de novo", "Fechar"],
};

/** What happened, in a form for a program. */
export class AuthKitError extends Error {
  constructor(code, message, retryable = false) {
    super(message);
    this.name = "AuthKitError";
    this.code = code;
    this.retryable = retryable;
  }
}

// One window at a time, however many buttons a page has.
let current = null;

// A whole-window sign-in that has come back: read once, taken out of the address at once.
let returned = readReturn();

export class AuthKit {
  #options;
  #front;
  #dialog = null;
  #frame = null;
  #notice = null;
  #session = null;
  #environment;
  #loading = false;
  #succeeded = false;
  #abort = null;
  #timer = 0;
  #listener = (event) => this.#hear(event);

  constructor(options) {
    this.#options = check(options);
    this.#front = new URL(options.baseUrl ?? import.meta.url).origin;
    this.#environment = options.environment ?? null;
    this.open = this.open.bind(this);
    this.close = this.close.bind(this);
    if (returned && returned.front === this.#front) {
      const mine = returned;
      returned = null;
      queueMicrotask(() => this.#resume(mine));
    }
  }

  /** Whether the window is on its way: from `open` until its first screen is there. */
  get isLoading() { return this.#loading; }

  /** Options may change between two openings. */
  set options(options) { this.#options = check(options); }

  /** Opens the window. Call it from a click. Does nothing while a window is open. */
  open() {
    if (current) return;
    current = this;
    this.#succeeded = false;
    this.#build();
    this.#begin();
  }

  /** Closes the window, as its user's "close" does. */
  close() {
    if (current !== this || !this.#dialog) return;
    window.removeEventListener("message", this.#listener);
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#setLoading(false);
    const dialog = this.#dialog;
    this.#dialog = this.#frame = this.#notice = this.#session = null;
    current = null;
    // Focus goes back to what had it: the platform's own rule for dialogs.
    dialog.close();
    dialog.remove();
    this.#tell("onClose");
  }

  // The token, from the app's own backend.

  async #begin() {
    this.#setLoading(true);
    this.#say(words()[0]);
    const abort = (this.#abort = new AbortController());
    try {
      const asked = this.#ask(abort.signal);
      if (this.#environment && !this.#frame) this.#embed();
      const answer = await asked;
      if (abort.signal.aborted) return;
      this.#session = answer;
      if (answer.environment && answer.environment !== this.#environment) {
        this.#environment = answer.environment;
        this.#frame?.remove();
        this.#frame = null;
      }
      if (!this.#environment) {
        throw new AuthKitError("token_invalid", "the answer of token.url names no environment: pass on the whole answer of POST /v1/sessions, or set the option environment");
      }
      if (this.#frame) this.#start();
      else this.#embed();
    } catch (error) {
      if (abort.signal.aborted) return;
      this.#fail(error instanceof AuthKitError ? error : new AuthKitError("token_unavailable", `token.url did not answer: ${error.message}`, true));
    }
  }

  async #ask(signal) {
    const { url, headers } = this.#options.token;
    const given = typeof headers === "function" ? await headers() : headers;
    let answer;
    try {
      answer = await fetch(url, {
        method: "POST", headers: { Accept: "application/json", "Content-Type": "application/json", ...given },
        body: "{}", credentials: this.#options.token.credentials ?? "same-origin", signal, cache: "no-store",
      });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new AuthKitError(navigator.onLine === false ? "network_lost" : "token_unavailable", `token.url could not be reached: ${error.message}`, true);
    }
    const body = await answer.json().catch(() => null);
    if (!answer.ok) throw new AuthKitError("token_unavailable", `token.url answered ${answer.status}`, answer.status >= 500);
    if (typeof body?.token !== "string") throw new AuthKitError("token_invalid", "the answer of token.url holds no token: pass on the answer of POST /v1/sessions");
    if (body.kind && body.kind !== "embedded") throw new AuthKitError("token_invalid", "this token is of a link: mint the session with kind: \"embedded\"");
    return { token: body.token, environment: body.environment ?? null };
  }

  // The dialog, and the frame in it.

  #build() {
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-label", this.#options.title ?? this.#options.companyName ?? "Connect");
    Object.assign(dialog.style, {
      position: "fixed", inset: "0", width: "100vw", height: "100dvh", maxWidth: "none", maxHeight: "none", margin: "0",
      padding: "0", border: "0", background: "transparent", overflow: "hidden", colorScheme: "light", outline: "none",
    });
    // Esc: the frame decides while it is there, since something may be typed in it.
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (this.#frame && !this.#loading) this.#send({ type: "escape" });
      else this.close();
    });
    document.body.append(dialog);
    this.#dialog = dialog;
    dialog.showModal();
    window.addEventListener("message", this.#listener);
  }

  #embed() {
    const frame = document.createElement("iframe");
    frame.title = this.#dialog.getAttribute("aria-label");
    frame.src = `${this.#front}/e/${encodeURIComponent(this.#environment)}/frame`;
    frame.allow = "clipboard-write";
    Object.assign(frame.style, {
      position: "absolute", inset: "0", width: "100%", height: "100%", border: "0", background: "transparent",
      colorScheme: "light",
    });
    this.#frame = frame;
    this.#dialog.append(frame);
    clearTimeout(this.#timer);
    // A frame that its own headers refuse to show fires `load` like any other, and never speaks.
    this.#timer = setTimeout(() => {
      this.#fail(new AuthKitError("window_unavailable", `the window did not load from ${this.#front}: is ${location.origin} among the environment's embedding_origins, and does this page's own policy allow frames from there?`, true));
    }, this.#options.patience ?? 15000);
  }

  async #start() {
    if (!this.#session || !this.#frame?.isReady) return;
    const { theme, title, companyName, selectedIntegration, showNameInput, authWindow, language, direction } = this.#options;
    const token = this.#session.token;
    // The frame keeps it from here on.
    this.#session = { environment: this.#session.environment, token };
    this.#send({
      type: "start", token,
      options: { theme, title, companyName, selectedIntegration, showNameInput, authWindow, language, direction },
    });
    const image = await picture(this.#options.imageUrl);
    if (image && this.#frame) this.#send({ type: "image", image }, [image]);
  }

  #send(message, transfer = []) {
    this.#frame?.contentWindow?.postMessage({ [MARK]: 1, ...message }, this.#front, transfer);
  }

  #hear(event) {
    if (!this.#frame || event.source !== this.#frame.contentWindow || event.origin !== this.#front) return;
    const message = event.data;
    if (message?.[MARK] !== 1) return;
    switch (message.type) {
      case "ready":
        // Loaded again inside: the session goes on where it stands.
        this.#frame.isReady = true;
        this.#start();
        break;
      case "painted":
        clearTimeout(this.#timer);
        this.#setLoading(false);
        this.#notice?.remove();
        this.#notice = null;
        this.#frame.focus();
        break;
      case "restart":
        this.#abort?.abort();
        this.#session = null;
        this.#begin();
        break;
      case "success":
        if (this.#succeeded) break;
        this.#succeeded = true;
        this.#tell("onSuccess", message.connection);
        break;
      case "error":
        this.#tell("onError", { code: message.code, message: message.message, retryable: message.retryable === true });
        break;
      case "whole":
        this.#leave(message.integration);
        break;
      case "close":
        this.close();
        break;
    }
  }

  // The whole window, instead of a popup.

  #leave(integration) {
    sessionStorage.setItem(RETURN, JSON.stringify({ front: this.#front, at: Date.now() }));
    const fragment = new URLSearchParams({ token: this.#session.token, return: location.href });
    if (integration) fragment.set("integration", integration);
    this.#session = null;
    location.assign(`${this.#front}/connect/go#${fragment}`);
  }

  async #resume({ session, code, error }) {
    if (error) {
      this.#tell("onError", { code: error, message: "the sign-in in the whole window did not end in a connection", retryable: true });
      return;
    }
    const finish = this.#options.finish;
    if (!finish) {
      if (code) {
        this.#tell("onError", { code: "finish_missing", message: "the option finish is not set: your backend must confirm a whole-window sign-in with POST /v1/sessions/{id}/finish", retryable: false });
      } else {
        this.#tell("onSuccess", { session });
      }
      return;
    }
    try {
      const headers = typeof finish.headers === "function" ? await finish.headers() : finish.headers;
      const answer = await fetch(finish.url, {
        method: "POST", headers: { Accept: "application/json", "Content-Type": "application/json", ...headers },
        body: JSON.stringify({ session, code }), credentials: finish.credentials ?? "same-origin", cache: "no-store",
      });
      if (!answer.ok) throw new AuthKitError("finish_refused", `finish.url answered ${answer.status}`);
      const body = await answer.json().catch(() => null);
      this.#tell("onSuccess", body?.key ? body : { session, ...body });
    } catch (problem) {
      this.#tell("onError", { code: problem.code ?? "finish_refused", message: problem.message, retryable: false });
    }
  }

  // Small things.

  #setLoading(value) {
    if (this.#loading === value) return;
    this.#loading = value;
    this.#options.onLoading?.(value);
  }

  /** A callback of the page: what it throws is the page's affair, and must not stop the window. */
  #tell(name, ...values) {
    try { this.#options[name]?.(...values); } catch (error) { reportError(error); }
  }

  #fail(error) {
    clearTimeout(this.#timer);
    console.error(`AuthKit: ${error.code}: ${error.message}`);
    this.#frame?.remove();
    this.#frame = null;
    this.#setLoading(false);
    this.#say(null, error);
    this.#tell("onError", { code: error.code, message: error.message, retryable: error.retryable });
  }

  /** A card of the page's own, for before the frame is there and for when it cannot be. */
  #say(text, error) {
    this.#notice?.remove();
    const shade = document.createElement("div");
    Object.assign(shade.style, {
      position: "absolute", inset: "0", display: "grid", placeItems: "center", padding: "1rem",
      background: "rgb(10 15 12 / 45%)", font: "400 16px/1.5 system-ui, sans-serif",
    });
    const card = document.createElement("div");
    card.setAttribute("role", error ? "alert" : "status");
    Object.assign(card.style, {
      background: "Canvas", color: "CanvasText", borderRadius: "18px", padding: "1.75rem", maxWidth: "26rem",
      colorScheme: "light dark", boxShadow: "0 16px 40px -12px rgb(0 0 0 / 35%)",
    });
    shade.append(card);
    if (!error) {
      card.textContent = text;
    } else {
      const [, heading, advice, again, close] = words();
      const title = document.createElement("h1");
      title.textContent = heading;
      Object.assign(title.style, { font: "600 1.25rem/1.3 inherit", margin: "0 0 .5rem", fontFamily: "inherit", fontSize: "1.25rem", fontWeight: "600" });
      const line = document.createElement("p");
      line.textContent = advice;
      line.style.margin = "0 0 1rem";
      const code = document.createElement("p");
      code.textContent = error.code;
      Object.assign(code.style, { margin: "0 0 1.25rem", fontSize: ".8125rem", opacity: ".75" });
      card.append(title, line, code);
      const button = (label, action, strong) => {
        const made = document.createElement("button");
        made.type = "button";
        made.textContent = label;
        Object.assign(made.style, {
          font: "inherit", padding: ".6rem 1.1rem", marginInlineEnd: ".5rem", borderRadius: "10px", cursor: "pointer",
          border: "1px solid GrayText", background: strong ? "CanvasText" : "transparent", color: strong ? "Canvas" : "CanvasText",
        });
        made.addEventListener("click", action);
        card.append(made);
        return made;
      };
      if (error.retryable) button(again, () => { this.#session = null; this.#begin(); }, true).focus();
      const last = button(close, () => this.close(), false);
      if (!error.retryable) last.focus();
    }
    this.#dialog?.append(shade);
    this.#notice = shade;
  }
}

function check(options) {
  if (typeof options?.token?.url !== "string") {
    throw new AuthKitError("option_invalid", "AuthKit needs token: { url } – the address of your backend that mints the session");
  }
  const allowed = { theme: ["light", "dark", "system"], authWindow: ["popup", "same"], direction: ["ltr", "rtl"] };
  for (const [name, values] of Object.entries(allowed)) {
    if (options[name] !== undefined && !values.includes(options[name])) {
      throw new AuthKitError("option_invalid", `AuthKit's ${name} is ${JSON.stringify(options[name])}; it takes ${values.join(", ")}`);
    }
  }
  return options;
}

function words() {
  const tag = (document.documentElement.lang || navigator.language || "en").slice(0, 2).toLowerCase();
  return WORDS[tag] ?? WORDS.en;
}

/** The image as pixels, so that the frame loads nothing from elsewhere; nil for what is no raster or may not be read. */
async function picture(url) {
  if (!url) return null;
  try {
    const answer = await fetch(url, { mode: "cors", credentials: "omit" });
    if (!answer.ok) throw new Error(`${answer.status}`);
    return await createImageBitmap(await answer.blob(), { resizeHeight: 128, resizeQuality: "high" });
  } catch (error) {
    console.warn(`AuthKit: imageUrl is not shown: ${error.message}. It must be a raster image that this page may read.`);
    return null;
  }
}

/** Only a return that this very tab left for counts; its traces go out of the address, the page's own query and hash stay. */
function readReturn() {
  if (typeof location === "undefined" || !location.search.includes("evergrant_session=")) return null;
  let left = null;
  try { left = JSON.parse(sessionStorage.getItem(RETURN)); } catch { return null; }
  if (!left) return null;
  sessionStorage.removeItem(RETURN);
  const pairs = location.search.slice(1).split("&");
  const ours = new URLSearchParams(pairs.filter((pair) => pair.startsWith("evergrant_")).join("&"));
  // Cut out as text: what the page has in its query stays as it is written.
  const rest = pairs.filter((pair) => !/^evergrant_(session|code|error)=/.test(pair)).join("&");
  history.replaceState(history.state, "", location.pathname + (rest ? `?${rest}` : "") + location.hash);
  return { front: left.front, session: ours.get("evergrant_session"), code: ours.get("evergrant_code"), error: ours.get("evergrant_error") };
}
