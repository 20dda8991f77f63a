// One node: what is free, and what runs on it.

import { ask, forgetAnswer } from "./ask.js";
import { $, amount, counted, el, percent, row, share, watts } from "./dom.js";

let shown = "";

export const shownNode = () => shown;

export async function showNode(name) {
  shown = name;
  const path = `v1/node/${name.split("/").map(encodeURIComponent).join("/")}`;
  forgetAnswer(path);
  try {
    const node = await ask(path);
    if (shown !== name) return;
    const before = $("node-body").querySelector(".scroll");
    const there = { top: before?.scrollTop ?? 0, held: before?.contains(document.activeElement) };
    const same = $("node-body").dataset.node === name;
    $("node-body").replaceChildren(...parts(node));
    $("node-body").dataset.node = name;
    const after = $("node-body").querySelector(".scroll");
    if (!same) $("map-said").textContent = `${name}: ${counted(node.tasks, "task")}, shown under Node`;
    else if (after) after.scrollTop = there.top;
    if (same && there.held) after?.focus({ preventScroll: true });
  } catch (error) {
    $("node-body").replaceChildren(el("p", { class: "error" }, error.message));
    if (error.status === 401) throw error;
  }
}

export function showDomain(words) {
  shown = "";
  $("node-body").replaceChildren(el("p", { class: "name" }, words[0]), el("ul", {}, ...words.slice(1).map((w) => el("li", {}, w))));
}

function* parts(node) {
  yield el("p", { class: "name" }, node.node);
  const about = [...Object.entries(node.domains), ...Object.entries(node.labels)].map(([k, v]) => `${k}: ${v}`);
  if (node.type) about.unshift(node.type);
  yield el("div", {},
    node.closed ? el("span", { class: "tag closed" }, "closed: nothing may come") : null,
    ...about.map((text) => el("span", { class: "tag" }, text)));
  yield el("table", {},
    el("thead", {}, el("tr", {}, ...["Resource", "Free", "Total"].map((t, i) => el("th", { scope: "col", class: i ? "number" : null }, t)), el("th", { scope: "col" }, "In use"))),
    el("tbody", {}, ...Object.entries(node.resources).map(([name, { capacity, used }]) => row(
      name, number(amount(Math.round((capacity - used) * 1e6) / 1e6)), number(amount(capacity)),
      el("td", {}, el("meter", { min: 0, max: capacity || 1, value: used, "aria-label": `${name} in use` }), el("small", {}, percent(share(used, capacity))))))));
  if (node.watts != null) yield el("p", { class: "hint" }, `About ${watts(node.watts)}, estimated from its use.`);
  if (node.devices.length) {
    yield el("h3", {}, "Devices");
    yield el("ol", { class: "devices", start: 0 }, ...node.devices.map((device, i) => {
      const memory = device.free_gib ? `, ${amount(device.free_gib)} GiB` : "";
      return el("li", {}, `${i}: ${device.free === 0 ? "taken" : device.free === 1 ? "free" : `${percent(device.free)} free`}${memory}`);
    }));
  }
  yield el("h3", {}, counted(node.tasks, "task"));
  if (!node.tasks) return;
  yield el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Tasks on the node" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Task"), el("th", { scope: "col", class: "number" }, "Replicas"), el("th", { scope: "col" }, "Devices"))),
    el("tbody", {}, ...node.running.map((one) => row(one.task, number(amount(one.replicas)), one.devices.join(", "))))));
  if (node.running.length < node.tasks) yield el("p", { class: "hint" }, `and ${amount(node.tasks - node.running.length)} more`);
}

const number = (text) => el("td", { class: "number" }, text);
