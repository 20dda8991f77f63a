// Why a task is refused: what was said then, and what would be said now.

import { ask } from "./ask.js";
import { $, amount, clock, counted, el, options, row } from "./dom.js";

const NAME = "what-if";
let go = () => {};

export function prepare(cluster, jump) {
  go = jump;
  const resources = Object.keys(cluster.capacity);
  const scopes = ["", ...Object.keys(cluster.scopes)];
  const field = (label, input) => el("label", {}, label, input);
  const within = el("select", { "data-within": true });
  options(within, scopes.map((scope) => [scope, scope ? `one ${scope}` : "anywhere"]));
  $("fields").replaceChildren(
    ...resources.map((r) => field(`${r} a replica`, el("input", { type: "number", min: 0, step: "any", "data-resource": r, value: 0 }))),
    field("Replicas", el("input", { type: "number", min: 1, step: 1, "data-replicas": true, value: 1 })),
    field("Within", within));
  if (!$("json").value) write();
}

function write() {
  const fields = $("fields");
  const demand = {};
  for (const input of fields.querySelectorAll("[data-resource]")) {
    if (Number(input.value)) demand[input.dataset.resource] = Number(input.value);
  }
  const task = { name: NAME, demand };
  const replicas = Number(fields.querySelector("[data-replicas]").value);
  const within = fields.querySelector("[data-within]").value;
  if (replicas !== 1) task.replicas = replicas;
  if (within) task.within = within;
  $("json").value = JSON.stringify(task, null, 1);
}

export function listen(failed) {
  $("fields").addEventListener("input", write);
  $("question").addEventListener("submit", async (event) => {
    event.preventDefault();
    $("answer").replaceChildren(await answer($("json").value, failed));
  });
}

export async function explain(decided, failed) {
  const { at, task, reason, asked } = decided;
  const said = reason.split(" | ").flatMap((way) => way.split("; "));
  const then = el("div", { class: "box" },
    el("h3", {}, task), el("p", {}, `Refused at ${clock(at)}:`), el("ul", {}, ...said.map((r) => el("li", {}, r))));
  $("answer").replaceChildren(then);
  $("why").scrollIntoView({ block: "nearest" });
  if (!asked) return;
  $("json").value = JSON.stringify(asked, null, 1);
  $("answer").replaceChildren(then, await answer(JSON.stringify(asked), failed));
}

async function answer(text, failed) {
  let told;
  try {
    told = await ask("v1/why-not", `{"task": ${JSON.stringify(JSON.parse(text))}}`);
  } catch (error) {
    if (error.status === 401) failed(error);
    const message = error instanceof SyntaxError ? `Expected JSON: ${error.message}` : error.message;
    return el("p", { class: "error", role: "alert" }, message);
  }
  if (told.decision) {
    const nodes = Object.entries(told.decision.nodes);
    return el("div", { class: "box", "data-answer": "fits" },
      el("p", { class: "placed" }, "✓ Now it would fit:"),
      el("ul", {}, ...nodes.slice(0, 20).map(([n, replicas]) => el("li", {}, node(n), ` (${counted(replicas, "replica")})`))),
      nodes.length > 20 ? el("p", {}, `and ${amount(nodes.length - 20)} more nodes`) : null);
  }
  return el("div", { class: "box", "data-answer": "refused" },
    el("p", { class: "refused" }, "✕ Now it would be refused:"), ...told.ways.flatMap(way), ...remedies(told));
}

function way({ configuration, wanted, fits, reasons }) {
  const head = [];
  if (configuration) head.push(el("h3", {}, configuration));
  if (wanted > 1) head.push(el("p", {}, `There is room for ${amount(fits)} of its ${amount(wanted)} replicas, one by one.`));
  if (!reasons.length) return head;
  return [...head, el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "number" }, "Nodes"), el("th", { scope: "col" }, "What is in the way"), el("th", { scope: "col" }, "Such as"))),
    el("tbody", {}, ...reasons.map((r) => row(
      el("td", { class: "number" }, amount(r.nodes)), r.reason,
      el("td", {}, ...r.first.slice(0, 3).flatMap((n, i) => (i ? [", ", node(n)] : [node(n)])))))))];
}

function remedies({ remedies }) {
  if (!remedies.length) return [];
  return [el("h3", {}, "What would make it fit"),
    el("ul", { "data-remedies": true }, ...remedies.map((r) => el("li", {}, r.words)))];
}

const node = (name) => el("button", { type: "button", class: "link", on: { click: () => go(name) } }, name);
