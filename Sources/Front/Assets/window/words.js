// What the window says, in the language of one file under languages/.
import { h } from "./dom.js";

export const LANGUAGES = ["en", "de", "es", "fr", "ja", "pt-BR"];
const RIGHT_TO_LEFT = /^(ar|fa|he|ur|yi|dv|ps)\b/i;

let words = {};

/** The file for a tag such as `de-AT`; English where there is none. */
export function nearest(tag) {
  const wanted = String(tag ?? "").toLowerCase();
  return LANGUAGES.find((each) => each.toLowerCase() === wanted)
    ?? LANGUAGES.find((each) => each.slice(0, 2).toLowerCase() === wanted.slice(0, 2)) ?? "en";
}

export async function speak(tag, direction) {
  const language = nearest(tag);
  const answer = await fetch(new URL(`languages/${language}.json`, import.meta.url));
  words = await answer.json();
  document.documentElement.lang = language;
  document.documentElement.dir = direction ?? (RIGHT_TO_LEFT.test(tag ?? "") ? "rtl" : "ltr");
}

export const has = (key) => key in words;

/** Plain text with its values filled in. */
export function t(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The same as nodes: every value stands out, and keeps its own direction. */
export function rich(key, values = {}) {
  return (words[key] ?? key).split(/(\{\w+\})/).filter(Boolean).map((part) => {
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    return name && values[name] !== undefined ? h("strong", {}, h("bdi", {}, values[name])) : part;
  });
}
