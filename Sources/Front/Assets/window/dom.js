// Elements, without markup from strings: nothing that anybody typed can become one.

/** `h("button.main", {type: "button", onclick}, "text", child)`; a null child is left out. */
export function h(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list" && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const SHAPES = {
  close: "M5 5l10 10M15 5L5 15",
  back: "M12 4.5 6.5 10l5.5 5.5",
  go: "m8 4.5 5.5 5.5L8 15.5",
  tick: "m4 10.5 4 4 8-9",
  alert: "M10 4.5v7M10 15.5v.01",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({
    viewBox: "0 0 20 20", fill: "none", stroke: "currentColor", "stroke-width": "2", "stroke-linecap": "round",
    "stroke-linejoin": "round", "aria-hidden": "true", class: `icon ${name}`,
  })) svg.setAttribute(key, value);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

/** An integration's mark: the operator's image, or initials on its colour. */
export function mark({ title, color, logo }) {
  if (logo) return h("img.mark", { src: logo, alt: "", loading: "lazy", decoding: "async" });
  const words = title.split(/\s+/).filter((word) => /^\p{L}/u.test(word));
  const initials = words.length > 1 ? [...words[0]][0] + [...words[1]][0] : [...title][0] ?? "";
  const tile = h("span.mark.tile", { "aria-hidden": "true" }, initials.toUpperCase());
  if (/^#[0-9a-f]{6}$/i.test(color ?? "")) {
    tile.style.backgroundColor = color;
    tile.style.color = light(color) ? "#111" : "#fff";
  }
  return tile;
}

function light(color) {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const part = parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.36;
}
