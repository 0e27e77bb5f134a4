// The window in a page that uses /authkit.js. It believes its parent alone, and that only from an origin which the
// environment lists; opened on its own it has no parent, and refuses.
import { ConnectWindow } from "./main.js";
import { Failure } from "./session.js";

const root = document.documentElement;
const origins = root.dataset.origins.split(" ").filter(Boolean);
const alone = window.parent === window;

/** The page's origin: as the browser tells it, where it does; else as its messages do. */
function parentOrigin() {
  const told = location.ancestorOrigins?.[0];
  if (told) return told;
  try { return new URL(document.referrer).origin; } catch { return null; }
}

let parent = parentOrigin();

const host = {
  environment: root.dataset.environment,
  leavesWhole: true,
  get parent() { return parent; },
  tell(message) {
    if (!alone && origins.includes(parent)) window.parent.postMessage({ evergrant: 1, ...message }, parent);
  },
  restart() { this.tell({ type: "restart" }); },
};

const shown = new ConnectWindow(host);

addEventListener("message", (event) => {
  if (alone || event.source !== window.parent || !origins.includes(event.origin) || event.data?.evergrant !== 1) return;
  parent = event.origin;
  switch (event.data.type) {
    case "start":
      if (typeof event.data.token === "string") shown.start(event.data.token, event.data.options ?? {});
      break;
    case "image":
      if (event.data.image instanceof ImageBitmap) shown.image(event.data.image);
      break;
    case "escape":
      shown.escape();
      break;
  }
});

if (alone) {
  await shown.speak();
  shown.fail(new Failure("setup", { retryable: false, hint: "this page is a frame of an app's own page, and was opened on its own" }));
} else if (origins.includes(parent)) {
  host.tell({ type: "ready" });
} else {
  // Without ancestorOrigins and without a referrer: asked of every listed origin; only the real one receives it.
  for (const each of origins) window.parent.postMessage({ evergrant: 1, type: "ready" }, each);
}
