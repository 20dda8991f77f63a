// Small line charts of what the service remembers.

import { $, amount, clock, el, percent, svg, watts } from "./dom.js";

const HIGH = 100, WIDE = 300;

const single = (title, name, told, floor) => ({ title, names: [name], told, floor });
const CHARTS = [
  { title: "In use", names: null, told: percent, floor: 1 },
  single("Power", "power_w", watts, 1),
  single("Gap to what is proven possible", "gap", percent, 0.01),
  single("Fragmentation", "fragmentation", percent, 0.01),
  single("Requests waiting", "queue", amount, 1),
  single("Tasks running", "tasks", amount, 1),
];

export function drawCharts(history) {
  const used = Object.keys(history.figures).filter((name) => name.startsWith("used."));
  $("charts").replaceChildren(...CHARTS.map((chart) => figure(history, chart, chart.names ?? used)));
}

function figure(history, { title, told, floor }, names) {
  const lines = names.map((name) => history.figures[name] ?? []);
  const known = lines.flat().filter((v) => v != null);
  const value = el("b", {});
  const caption = el("figcaption", {}, title, value);
  if (!known.length) {
    return el("figure", {}, caption, el("p", { class: "hint" }, "Not known yet."));
  }
  const last = (line) => line.findLast((v) => v != null);
  const now = lines.length === 1 ? told(last(lines[0])) : "";
  const most = Math.max(floor, known.reduce((a, b) => Math.max(a, b)));
  const { at } = history;
  const from = at[0], to = Math.max(at.at(-1), from + history.every_s);
  const x = (k) => (WIDE * (at[k] - from)) / (to - from);
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  lines.forEach((line, i) => picture.append(svg("path", { d: way(line, x, most), class: `s${i % 6}` })));
  const cursor = svg("line", { y1: 0, y2: HIGH, visibility: "hidden" });
  picture.append(cursor);
  value.textContent = now;
  const label = names.map((name, i) => `${plain(name)} ${told(last(lines[i]) ?? 0)}`).join(", ");
  const range = `between ${told(known.reduce((a, b) => Math.min(a, b)))} and ${told(known.reduce((a, b) => Math.max(a, b)))}`;
  const made = el("figure", { role: "img", "aria-label": `${title}: now ${label}; ${range} since ${clock(from)}` },
    caption,
    el("div", { class: "plot" },
      el("div", { class: "axis" }, el("span", {}, told(most)), el("span", {}, told(0))),
      picture,
      el("div", { class: "ends" }, el("span", {}, clock(from)), el("span", {}, clock(to)))),
    names.length > 1 ? el("ul", { class: "keys" }, ...names.map((name, i) => key(i, plain(name), told(last(lines[i]) ?? 0)))) : null);
  const point = (event) => {
    const box = picture.getBoundingClientRect();
    const wanted = from + ((event.clientX - box.left) / box.width) * (to - from);
    const k = at.reduce((best, t, j) => (Math.abs(t - wanted) < Math.abs(at[best] - wanted) ? j : best), 0);
    cursor.setAttribute("x1", x(k));
    cursor.setAttribute("x2", x(k));
    cursor.setAttribute("visibility", "visible");
    const said = lines.map((line) => (line[k] == null ? "?" : told(line[k]))).join(" · ");
    value.textContent = `${clock(at[k])}  ${said}`;
  };
  picture.addEventListener("pointermove", point);
  picture.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    value.textContent = now;
  });
  return made;
}

const plain = (name) => name.replace(/^used\./, "");

// A path that is broken where nothing was known.
function way(line, x, most) {
  let path = "", drawn = false;
  line.forEach((v, k) => {
    if (v != null) path += `${drawn ? "L" : "M"}${x(k).toFixed(1)} ${(HIGH * (1 - v / most)).toFixed(1)}`;
    if (v != null && !drawn) path += "h0.5";
    drawn = v != null;
  });
  return path;
}

function key(i, name, now) {
  const mark = svg("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" }, svg("path", { d: "M0 4H22", class: `s${i % 6}` }));
  return el("li", {}, mark, `${name} ${now}`);
}
