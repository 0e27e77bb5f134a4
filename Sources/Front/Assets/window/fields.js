// A form from the catalog's fields: typed, checked as they are left, faults under the field and in its description.
import { h } from "./dom.js";
import { t } from "./words.js";

const example = (suffix) => (suffix.startsWith(".") ? `name${suffix}` : suffix);

/** What is wrong with a value, in words; null: nothing. The server checks the same, by the same rules. */
export function fault(field, typed) {
  const value = typed.trim();
  if (!value) return field.optional ? null : t("field.missing");
  switch (field.kind) {
    case "label":
      return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(value) ? null : t("field.label");
    case "host": {
      const shown = (field.suffixes ?? []).map(example).join(", ");
      const fits = (field.suffixes ?? []).some((suffix) => (suffix.startsWith(".") ? value.endsWith(suffix) && value.length > suffix.length : value === suffix));
      return fits && /^[a-z0-9.-]+$/i.test(value) ? null : t("field.host", { example: shown });
    }
    case "segment":
      return /^[A-Za-z0-9._~-]{1,128}$/.test(value) && matches(field.pattern, value) ? null : t("field.form");
    case "key":
      if (!/^[\x20-\x7e]{1,4096}$/.test(value)) return t("field.key");
      return matches(field.pattern, value) ? null : t("field.form");
    default:
      return null;
  }
}

function matches(pattern, value) {
  if (!pattern) return true;
  // A pattern that only the server's dialect reads is left to the server.
  try { return new RegExp(`^(?:${pattern})$`, "u").test(value); } catch { return true; }
}

/** {node, values(), check()}: `check` shows every fault and moves to the first. */
export function form(fields, typed = {}) {
  const rows = fields.map((field) => row(field, typed[field.name]));
  return {
    nodes: rows.map((each) => each.node),
    values: () => Object.fromEntries(rows.map((each) => [each.field.name, each.input.value.trim()])),
    check() {
      const wrong = rows.filter((each) => !each.check());
      wrong[0]?.input.focus();
      return wrong.length === 0;
    },
    refuse(name, text) {
      const found = rows.find((each) => each.field.name === name) ?? rows[0];
      found?.show(text);
      found?.input.focus();
      return Boolean(found);
    },
  };
}

function row(field, typed) {
  const id = `field-${field.name}`;
  const input = field.kind === "options"
    ? h("select", { id, name: field.name }, field.options.map((value) => h("option", { value }, value)))
    : h("input", {
      id, name: field.name, type: field.secret ? "password" : "text", placeholder: field.placeholder || null,
      autocomplete: "off", autocapitalize: "none", spellcheck: "false", autocorrect: "off",
      "data-1p-ignore": true, "data-lpignore": "true",
    });
  input.value = typed ?? (field.value || (field.kind === "options" ? field.options[0] : ""));
  const help = field.help ? h("p.help", { id: `${id}-help` }, field.help) : null;
  const wrong = h("p.fault", { id: `${id}-fault`, hidden: true });
  if (help) input.setAttribute("aria-describedby", help.id);
  if (!field.optional) input.setAttribute("aria-required", "true");
  const show = (text) => {
    wrong.textContent = text ?? "";
    wrong.hidden = !text;
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    const described = [help?.id, text ? wrong.id : null].filter(Boolean).join(" ");
    if (described) input.setAttribute("aria-describedby", described);
    else input.removeAttribute("aria-describedby");
  };
  const check = () => {
    const text = fault(field, input.value);
    show(text);
    return text === null;
  };
  input.addEventListener("change", () => { if (input.value) check(); });
  input.addEventListener("input", () => { if (input.hasAttribute("aria-invalid")) check(); });
  let box = input;
  if (field.secret) {
    const toggle = h("button.reveal", { type: "button", "aria-pressed": "false", "aria-label": `${t("show")}: ${field.label}` }, t("show"));
    toggle.addEventListener("click", () => {
      const shown = input.type === "password";
      input.type = shown ? "text" : "password";
      toggle.setAttribute("aria-pressed", String(shown));
      toggle.textContent = t(shown ? "hide" : "show");
      toggle.setAttribute("aria-label", `${toggle.textContent}: ${field.label}`);
    });
    box = h("div.secret", {}, input, toggle);
  }
  const label = h("label", { for: id }, field.label, field.optional ? h("span.optional", {}, ` (${t("optional")})`) : null);
  return { field, input, check, show, node: h("div.field", {}, label, box, help, wrong) };
}
