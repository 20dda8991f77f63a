// The last decisions.

import { $, amount, clock, el, row } from "./dom.js";

let last = [];

export function drawDecisions(decisions, why) {
  last = decisions ?? last;
  const outcome = $("outcome").value;
  const kept = last.filter((d) => outcome === "all" || d.placed === (outcome === "placed"));
  const held = document.activeElement?.dataset?.row;
  $("decided").replaceChildren(...kept.map((d) => line(d, why)));
  if (held) [...$("decided").querySelectorAll("button")].find((b) => b.dataset.row === held)?.focus();
  $("nothing").hidden = kept.length > 0;
}

function line(decided, why) {
  const { at, task, placed, ms, request, reason } = decided;
  const row_ = `${at} ${task}`;
  const name = placed ? task : el("button", { type: "button", class: "link", "data-row": row_, on: { click: () => why(decided) } }, task);
  const outcome = `${placed ? "✓ placed" : "✕ refused"}${request === "place" ? "" : ` (${request})`}`;
  return row(
    el("td", { class: "when" }, clock(at)),
    name,
    el("td", { class: placed ? "placed" : "refused" }, outcome),
    placed ? where(decided) : reason,
    el("td", { class: "number" }, ms.toFixed(1)));
}

function where({ first, nodes }) {
  const more = nodes - first.length;
  return first.join(", ") + (more > 0 ? ` and ${amount(more)} more` : "");
}
