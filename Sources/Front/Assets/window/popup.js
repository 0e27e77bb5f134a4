// The window that goes to the provider. It begins on a page of ours, so that our cookie is first-party there, and it asks
// for its session by message: the answer goes to that window and to our own origin alone.

const NAME = "evergrant-connect";

// Windows opened here. One whose attempt is over may still arrive at its last page: it is asked to close then, too.
const opened = new WeakSet();
addEventListener("message", (event) => {
  if (event.origin === location.origin && event.data?.type === "popup-ended" && opened.has(event.source)) dismiss(event.source);
});

/** Opens it; call it in the click itself. null: the browser blocked it, or the page's own headers cut it off. */
export function openPopup() {
  const width = Math.min(540, screen.availWidth);
  const height = Math.min(760, screen.availHeight);
  const left = Math.max(0, Math.round((screen.availWidth - width) / 2));
  const top = Math.max(0, Math.round((screen.availHeight - height) / 2));
  const popup = window.open("/connect/start", NAME, `popup,width=${width},height=${height},left=${left},top=${top}`);
  if (popup) opened.add(popup);
  return popup;
}

/**
 * Serves one popup until `signal` ends it.
 * @param request what it is to ask for: {token, integration, fields, name}
 * @param departed called with the attempt's number when the popup leaves for the provider
 * @param told called with {code, …} when the popup says how it ended. A hint: the server decides.
 * @param closed called once when the popup seems to be gone. A hint, too: across a provider's headers it always does.
 */
export function attend(popup, request, { departed, told, closed, signal }) {
  addEventListener("message", (event) => {
    if (event.source !== popup || event.origin !== location.origin || event.data?.evergrant !== 1) return;
    if (event.data.type === "popup-ready") {
      popup.postMessage({ evergrant: 1, type: "depart", ...request }, location.origin);
    } else if (event.data.type === "popup-departed") {
      departed(event.data.departure);
    } else if (event.data.type === "popup-ended") {
      told(event.data);
    }
  }, { signal });
  const timer = setInterval(() => {
    if (!popup.closed) return;
    clearInterval(timer);
    closed();
  }, 400);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

/** Asks the popup to close, when it shows a page of ours; anything else does not hear it. */
export function dismiss(popup) {
  try { popup.postMessage({ evergrant: 1, type: "close" }, location.origin); } catch { /* it is gone */ }
}
