// The first page of a sign-in in the whole window: trades the token of the fragment for this browser's cookie, and goes on
// to the session's own page, which names the app and the owner and waits for a click.
import { speak, t } from "./words.js";
import { Session } from "./session.js";

const fragment = new URLSearchParams(location.hash.slice(1));
history.replaceState(null, "", location.pathname);

const say = (heading, text = "") => {
  document.getElementById("heading").textContent = heading;
  document.getElementById("text").textContent = text;
  document.title = heading;
};

await speak(document.documentElement.lang);
say(t("loading"));
try {
  const { location: next } = await new Session(fragment.get("token") ?? "").call("leave", {
    return_url: fragment.get("return") ?? "", integration: fragment.get("integration") ?? undefined,
  });
  location.replace(next);
} catch (error) {
  document.querySelector(".spinner")?.remove();
  if (error.hint) console.error(`AuthKit: ${error.code}: ${error.hint}`);
  say(t(`error.${error.code}.title`, { app: "…", integration: "…" }), t("alone.text"));
}
