// The window as the public AuthKit packages open it. They say by query and by message where the app's token endpoint is
// and which headers it wants; this frame asks it, page by page, and only where the operator has listed it.
import { ConnectWindow } from "./main.js";
import { Failure, pause } from "./session.js";

const root = document.documentElement;
const origins = root.dataset.origins.split(" ").filter(Boolean);
const endpoints = root.dataset.compatible.split(" ").filter(Boolean);
const alone = window.parent === window;
const query = new URLSearchParams(location.search).get("data");
// The app's own credentials stand in it.
history.replaceState(null, "", location.pathname);

let parent = location.ancestorOrigins?.[0] ?? safely(() => new URL(document.referrer).origin);
let last = null;
let recorded = false;
// The package hears nothing before it has shown the frame, 100 ms after its load.
const shownToUser = new Promise((resolve) => {
  if (document.readyState === "complete") setTimeout(resolve, 300);
  else addEventListener("load", () => setTimeout(resolve, 300), { once: true });
});

function safely(read) { try { return read(); } catch { return null; } }

async function post(messageType, message) {
  await shownToUser;
  if (!alone && origins.includes(parent)) window.parent.postMessage({ messageType, message }, parent);
}

const host = {
  environment: root.dataset.environment,
  leavesWhole: false,
  get parent() { return parent; },
  restart() { if (last) begin(last); },
  tell(message) {
    switch (message.type) {
      case "success":
        if (!recorded) post("LINK_SUCCESS", record(message.connection));
        recorded = true;
        break;
      case "error":
        post("LINK_ERROR", message.message);
        break;
      case "close":
        post("EXIT_EVENT_LINK", {});
        break;
    }
  },
};

const shown = new ConnectWindow(host);

/** In the form those packages know, with our own fields beside it. Times are milliseconds since 1970. */
function record(connection) {
  const time = Date.parse(connection.since);
  return {
    ...connection,
    _id: connection.id, platformVersion: "v1", connectionDefinitionId: connection.integration, platform: connection.integration,
    secretsServiceId: connection.id, identityType: connection.identity_type,
    settings: { parseWebhookBody: true, showSecret: false, allowCustomEvents: false, oauth: true },
    throughput: { key: connection.key, limit: 100 }, createdAt: time, updatedAt: time, updated: false, version: "1.0.0",
    lastModifiedBy: "evergrant", deleted: false, active: true, deprecated: false,
  };
}

/** base64 of JSON, whose characters were one byte each, or UTF-8. */
function decode(text) {
  const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  return JSON.parse(safely(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes)) ?? String.fromCharCode(...bytes));
}

const setup = (hint) => new Failure("setup", { retryable: false, hint });

async function begin(data) {
  last = data;
  try {
    await shown.speak();
    const token = await ask(data);
    await shown.start(token, {
      title: data.title || undefined, companyName: data.companyName || undefined,
      selectedIntegration: data.selectedConnection || undefined, showNameInput: data.showNameInput === true,
      theme: ["light", "dark"].includes(data.appTheme) ? data.appTheme : undefined, imageSource: data.imageUrl || undefined,
    });
  } catch (error) {
    shown.fail(error);
  }
}

/** Every page of the app's answer; the id of the last one is the session. */
async function ask(data) {
  const url = safely(() => new URL(data.linkTokenEndpoint));
  if (!url) throw setup(`linkTokenEndpoint ${JSON.stringify(data.linkTokenEndpoint)} is no absolute URL: the window is of another origin than the page, so write it out`);
  const plain = url.origin + url.pathname;
  if (!endpoints.includes(plain)) throw setup(`${plain} is not among the environment's token_endpoints: add it with PATCH /v1/environment`);
  let id = null;
  for (let page = 1, pages = 1; page <= pages && page <= 100; page += 1) {
    url.searchParams.set("page", page);
    url.searchParams.set("limit", 100);
    let answer;
    try {
      answer = await fetch(url, {
        method: "POST", headers: { "Content-Type": "application/json", ...data.linkHeaders }, body: "{}", credentials: "omit", cache: "no-store",
      });
    } catch (error) {
      if (navigator.onLine === false) throw new Failure("network_lost");
      throw setup(`${plain} could not be called: it must answer cross-origin calls (CORS) of ${location.origin}, with the headers ${Object.keys(data.linkHeaders ?? {}).join(", ") || "Content-Type"}: ${error.message}`);
    }
    if (answer.status === 401 || answer.status === 403) throw setup(`${plain} answered ${answer.status}: it does not take the headers that the page gave as token.headers`);
    const body = await answer.json().catch(() => null);
    if (!answer.ok) throw setup(`${plain} answered ${answer.status}`);
    if (!Array.isArray(body?.rows)) throw setup(`${plain} answered without rows, but: ${JSON.stringify(body)?.slice(0, 300)}. Does its API key work?`);
    id = body.requestId ?? body.request_id ?? id;
    // A backend that knows no pages has answered everything at once.
    pages = body.page === page ? Math.max(1, Number(body.pages) || 1) : 1;
  }
  if (typeof id !== "string") throw setup(`${plain} answered without requestId`);
  return id;
}

let begun = false;
addEventListener("message", (event) => {
  if (alone || begun || event.source !== window.parent || !origins.includes(event.origin)) return;
  if (typeof event.data?.linkTokenEndpoint !== "string") return;
  begun = true;
  parent = event.origin;
  begin(event.data);
});

if (alone) {
  await shown.speak();
  shown.fail(setup("this page is a frame of an app's own page, and was opened on its own"));
} else {
  // The message says the same, without the query's trouble with other alphabets; the query is for when it does not come.
  await shownToUser;
  await pause(400);
  if (!begun) {
    const data = query && safely(() => decode(query));
    begun = true;
    if (data) begin(data);
    else {
      await shown.speak();
      shown.fail(setup("the query has no data, and no message came from a listed page"));
    }
  }
}
