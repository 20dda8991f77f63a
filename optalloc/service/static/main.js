// Asks the service every few seconds, and shows what it says.

import { ask, forgetAnswer, hasToken, useToken } from "./ask.js";
import { drawCharts } from "./charts.js";
import { drawDecisions } from "./decisions.js";
import { $, amount, el, options, percent, share, short, watts } from "./dom.js";
import { ClusterMap, STEPS } from "./map.js";
import { showDomain, shownNode, showNode } from "./node.js";
import { explain, listen, prepare } from "./why.js";

const EVERY_MS = 2000;
const MANY = 3000;

export const map = new ClusterMap($("map"), $("tip"), $("map-said"));
let cluster = null, overview = null, queue = 0, timer = 0, asking = false;

// -- asking ----------------------------------------------------------------------------------------

async function refresh() {
  clearTimeout(timer);
  if (!asking && !document.hidden && !$("door").open) {
    asking = true;
    try {
      await Promise.all([state(), activity(), history()]);
      status(`Version ${amount(overview.version)}, seen at ${new Date().toLocaleTimeString([], { hour12: false })}`);
    } catch (error) {
      failed(error);
    }
    asking = false;
  }
  timer = setTimeout(refresh, EVERY_MS);
}

async function state() {
  const told = await ask("v1/overview");
  if (!told) return;
  if (cluster?.layout !== told.layout) {
    forgetAnswer("v1/cluster");
    cluster = await ask("v1/cluster");
    begin();
  }
  if (cluster.nodes.length !== told.tasks.length) return forgetAnswer("v1/overview");
  overview = told;
  map.show(cluster, overview);
  tiles();
  if (shownNode()) await showNode(shownNode());
}

async function activity() {
  const told = await ask("v1/activity");
  if (!told) return;
  queue = told.queue;
  drawDecisions(told.decisions, (decided) => explain(decided, failed));
  if (overview) tiles();
}

async function history() {
  const told = await ask("v1/history");
  if (told) drawCharts(told);
}

function failed(error) {
  if (error.status === 401) return door(hasToken() ? "The service does not know this token." : "This service asks for a token.");
  status(error.status ? error.message : "The service cannot be reached; trying again …", true);
}

function status(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
  $("forget").hidden = !hasToken();
}

// -- the token -------------------------------------------------------------------------------------

function door(said) {
  useToken("");
  $("door-said").textContent = said;
  status("Waiting for a token.");
  if (!$("door").open) $("door").showModal();
}

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken($("token").value.trim());
  $("token").value = "";
  $("door").close();
  refresh();
});
$("forget").addEventListener("click", () => {
  useToken("");
  location.reload();
});

// -- the map ---------------------------------------------------------------------------------------

function begin() {
  const scopes = Object.entries(cluster.scopes);
  const size = ([, scope]) => scope.domains.length;
  scopes.sort((a, b) => size(a) - size(b));
  options($("scope"), [...scopes.map(([name]) => [name, name]), ["", "nothing"]]);
  const fine = scopes.filter((s) => size(s) > 1).at(-1);
  if (!map.cluster) {
    $("scope").value = fine?.[0] ?? "";
    $("grain").value = cluster.nodes.length > MANY && fine ? "domain" : "node";
  }
  const resources = Object.keys(cluster.capacity);
  options($("colour"), [
    ["use", "use: the fullest resource"],
    ...resources.map((r) => [`r:${r}`, `use: ${r}`]),
    ...(cluster.full_w.length ? [["power", "power"]] : []),
  ]);
  map.set({ scope: $("scope").value, grain: $("grain").value, colour: $("colour").value, inside: -1 });
  prepare(cluster, (name) => find(name));
}

function legend() {
  const ramp = map.colour === "power" ? "power" : "use";
  const ends = ramp === "power" ? ["0 W", `${watts(map.most)} a node`] : ["0 %", "100 %"];
  const swatches = Array.from({ length: STEPS }, (_, s) => {
    const made = el("i", { "data-step": s, title: s ? `${ends[0]} + ${Math.round((100 * (s - 1)) / (STEPS - 1))} % of the scale` : "nothing in use" });
    made.style.background = `var(--${ramp}-${s})`;
    return made;
  });
  $("legend").replaceChildren(
    el("span", {}, ramp === "power" ? "Power (estimated) " : "In use ", ends[0], el("span", { class: "ramp", "aria-hidden": "true" }, ...swatches), ends[1]),
    el("span", {}, el("span", { class: "crossed", "aria-hidden": "true" }), "closed"));
}

function changed() {
  $("grain").disabled = !map.scope;
  $("trail").hidden = map.inside < 0;
  $("where").textContent = map.inside < 0 ? "" : `${map.scope}: ${cluster.scopes[map.scope].domains[map.inside]}`;
  $("grain").options[1].textContent = `a ${map.scope || "domain"}`;
  if (overview) legend();
}

function set(how) {
  map.set(how);
  changed();
}

$("scope").addEventListener("change", () => set({ scope: $("scope").value, inside: -1 }));
$("grain").addEventListener("change", () => set({ grain: $("grain").value, inside: -1 }));
$("colour").addEventListener("change", () => set({ colour: $("colour").value }));
$("back").addEventListener("click", () => set({ inside: -1 }));

map.chosen = (cell) => {
  if (cell.nodes.length === 1 && cell.d < 0) return showNode(cell.name).catch(failed);
  showDomain(map.words(cell));
  if (cell.d >= 0) set({ inside: cell.d });
};

function find(name) {
  const found = map.find(name);
  $("grain").value = map.grain;
  changed();
  return found;
}

$("find").addEventListener("input", () => {
  const text = $("find").value;
  const like = [];
  for (const name of cluster?.nodes ?? []) {
    if (like.length === 20) break;
    if (text && name.includes(text)) like.push(name);
  }
  $("found").replaceChildren(...like.map((value) => el("option", { value })));
  if (text && cluster?.nodes.includes(text)) find(text);
});
$("find").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  const name = cluster?.nodes.find((n) => n.includes($("find").value));
  if (name) find(name);
});

// -- figures ---------------------------------------------------------------------------------------

function tiles() {
  const { state } = overview;
  const tile = (title, value, small, meter) => el("div", {}, el("dt", {}, title), el("dd", {}, value, small ? el("small", {}, ` ${small}`) : null, meter ?? null));
  const shut = state.closed.length ? `${amount(state.closed.length)} closed` : "";
  $("tiles").replaceChildren(
    tile("Tasks running", amount(state.tasks)),
    tile("Nodes", amount(state.nodes), shut),
    tile("Requests waiting", amount(queue)),
    ...(state.power_w == null ? [] : [tile("Power", watts(state.power_w))]),
    ...Object.entries(state.resources).map(([name, { capacity, used }]) => tile(
      `${name} in use`, percent(share(used, capacity)), `of ${short(capacity)}`,
      el("meter", { min: 0, max: capacity || 1, value: used, "aria-label": `${name} in use` }))));
  changed();
}

$("outcome").addEventListener("change", () => drawDecisions(null, (decided) => explain(decided, failed)));
document.addEventListener("visibilitychange", refresh);
listen(failed);
refresh();
