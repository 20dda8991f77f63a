// Elements are made here and nowhere else, and text is always text: no name can become markup.

export const $ = (id) => document.getElementById(id);

export function el(tag, given = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name === "on") for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...inside.filter((x) => x != null).map((x) => (x instanceof Node ? x : String(x))));
  return made;
}

export function svg(tag, given = {}, ...inside) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

export function row(...cells) {
  return el("tr", {}, ...cells.map((c) => (c instanceof HTMLTableCellElement ? c : el("td", {}, c))));
}

export function options(select, pairs) {
  const chosen = select.value;
  select.replaceChildren(...pairs.map(([value, text]) => el("option", { value }, text)));
  if (pairs.some(([value]) => value === chosen)) select.value = chosen;
}

const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
export const amount = (x) => numbers.format(x);
const shorter = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const short = (x) => (x >= 1e5 ? shorter.format(x) : amount(x));
export const percent = (x) => `${(100 * x).toFixed(x > 0 && x < 0.0995 ? 1 : 0)} %`;
export const watts = (x) => (x >= 1e6 ? `${amount(x / 1e6)} MW` : x >= 1e4 ? `${amount(x / 1e3)} kW` : `${amount(Math.round(x))} W`);
export const counted = (n, word) => `${amount(n)} ${word}${n === 1 ? "" : "s"}`;
export const clock = (s) => new Date(1000 * s).toLocaleTimeString([], { hour12: false });
export const share = (used, capacity) => (capacity > 0 ? Math.max(0, used / capacity) : 0);
