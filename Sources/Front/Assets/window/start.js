// The first page of the popup. It believes one window: its opener, when that is a document of our own origin.
import { speak, t } from "./words.js";
import { Session } from "./session.js";

const say = (heading, text = "") => {
  document.getElementById("heading").textContent = heading;
  document.getElementById("text").textContent = text;
  document.title = heading;
};
const still = () => document.querySelector(".spinner")?.remove();

const speaking = speak(document.documentElement.lang).then(() => say(t("loading")));
let asked = false;

async function alone() {
  await speaking;
  still();
  say(t("alone.title"), t("alone.text"));
}

/** Whether the opener is one of our own documents: nobody else's can be looked into. */
function isOurs(opener) {
  try { return opener.location.origin === location.origin; } catch { return false; }
}

addEventListener("message", async (event) => {
  if (event.source !== window.opener || event.origin !== location.origin || event.data?.evergrant !== 1) return;
  if (event.data.type === "close") { window.close(); return; }
  if (event.data.type !== "depart" || asked) return;
  asked = true;
  const { token, integration, title, fields, name } = event.data;
  await speaking;
  say(t("moving.title", { integration: title }));
  try {
    const { url, departure } = await new Session(token).call("depart", { integration, fields, name });
    // From now on a failure that the server tells is this attempt's.
    window.opener?.postMessage({ evergrant: 1, type: "popup-departed", departure }, location.origin);
    // replace: going back from the provider leads nowhere that asks again.
    location.replace(url);
  } catch (error) {
    still();
    asked = false;
    say(t(`error.${error.code}.title`, { integration: title, app: "…" }), t("popup.done"));
    window.opener?.postMessage(
      { evergrant: 1, type: "popup-ended", code: error.code, field: error.field, integration: error.integration },
      location.origin);
  }
});

if (window.opener && isOurs(window.opener)) window.opener.postMessage({ evergrant: 1, type: "popup-ready" }, location.origin);
else alone();
