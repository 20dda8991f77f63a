// The cluster as coloured cells on one canvas: nodes by domain, or a cell for each domain.

import { amount, counted, percent, share, watts } from "./dom.js";

export const STEPS = 8;
const HIGHEST = 560;
const LARGEST = 36;
const LABEL = 15;

// Step of a value between 0 and 1: 0 is nothing at all.
export const step = (value) => (value <= 0 ? 0 : Math.min(STEPS - 1, 1 + Math.floor(value * (STEPS - 1))));

export class ClusterMap {
  constructor(canvas, tip, said) {
    Object.assign(this, { canvas, tip, said });
    this.cluster = null;
    this.overview = null;
    this.scope = "";
    this.grain = "node";
    this.colour = "use";
    this.inside = -1;
    this.at = -1;
    this.cells = [];
    this.chosen = () => {};
    new ResizeObserver(() => this.arrange()).observe(canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("pointerleave", () => this.hint(-1));
    canvas.addEventListener("click", (event) => this.click(event));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.go(this.at < 0 ? 0 : this.at));
    canvas.addEventListener("blur", () => { this.hint(-1); this.draw(); });
  }

  show(cluster, overview) {
    const moved = cluster !== this.cluster;
    this.cluster = cluster;
    this.overview = overview;
    this.closed = new Set(overview.state.closed);
    this.most = Math.max(1, ...cluster.full_w.length ? [largest(cluster.full_w), largest(overview.watts)] : [1]);
    if (moved) this.regroup();
    else this.draw();
  }

  set(options) {
    Object.assign(this, options);
    this.regroup();
  }

  // -- what the cells are ----------------------------------------------------------------------

  regroup() {
    if (!this.cluster) return;
    const kept = this.cells[this.at]?.nodes;
    const scope = this.cluster.scopes[this.scope];
    const count = this.cluster.nodes.length;
    const groups = new Map();
    for (let n = 0; n < count; n++) {
      const d = scope ? scope.domain[n] : 0;
      if (!groups.has(d)) groups.set(d, []);
      groups.get(d).push(n);
    }
    const name = (d) => (!scope ? "" : d < 0 ? `no ${this.scope}` : scope.domains[d]);
    const whole = scope && this.grain === "domain" && this.inside < 0;
    this.groups = [...groups].map(([d, nodes]) => ({ d, name: name(d), nodes }));
    if (scope && this.inside >= 0) this.groups = this.groups.filter((g) => g.d === this.inside);
    if (whole) {
      this.cells = this.groups.map((g) => ({ name: g.name, nodes: g.nodes, d: g.d }));
      this.groups = [{ name: "", size: this.cells.length }];
    } else {
      const names = this.cluster.nodes;
      this.cells = this.groups.flatMap((g) => g.nodes.map((n) => ({ name: names[n], nodes: [n], d: -1 })));
      for (const g of this.groups) g.size = g.nodes.length;
    }
    this.at = kept?.length === 1 ? this.cells.findIndex((c) => c.nodes.length === 1 && c.nodes[0] === kept[0]) : -1;
    this.arrange();
  }

  // Of one cell: what it says in colour, between 0 and 1.
  value(cell) {
    const { used, watts: drawn } = this.overview;
    const total = (column) => cell.nodes.reduce((sum, n) => sum + column[n], 0);
    if (this.colour === "power") return total(drawn) / cell.nodes.length / this.most;
    const of = (r) => share(total(used[r]), total(this.cluster.capacity[r]));
    return this.colour === "use" ? Math.max(0, ...Object.keys(used).map(of)) : of(this.colour.slice(2));
  }

  words(cell) {
    const { used, watts: drawn, tasks } = this.overview;
    const total = (column) => cell.nodes.reduce((sum, n) => sum + column[n], 0);
    const shut = cell.nodes.filter((n) => this.closed.has(this.cluster.nodes[n])).length;
    const said = [cell.nodes.length > 1 ? `${cell.name}: ${counted(cell.nodes.length, "node")}` : cell.name];
    for (const [r, column] of Object.entries(used)) {
      const capacity = total(this.cluster.capacity[r]);
      if (capacity > 0) said.push(`${r}: ${percent(share(total(column), capacity))} of ${amount(capacity)}`);
    }
    if (drawn.length) said.push(`about ${watts(total(drawn))}`);
    said.push(counted(total(tasks), cell.nodes.length > 1 ? "task on its node" : "task"));
    if (shut) said.push(cell.nodes.length > 1 ? `${amount(shut)} closed` : "closed");
    return said;
  }

  // -- where they are ----------------------------------------------------------------------------

  arrange() {
    if (!this.cells.length) return;
    const width = Math.max(120, this.canvas.parentElement.clientWidth);
    let size = LARGEST;
    let found = this.laid(size, width);
    while (found.height > HIGHEST && size > 4) found = this.laid(--size, width);
    Object.assign(this, found, { size, width });
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.canvas.style.height = `${this.height}px`;
    this.draw();
  }

  laid(size, width) {
    const xs = [], ys = [], labels = [];
    const told = this.groups.length > 1 && size >= 8;
    const gap = told ? 12 : Math.max(3, size / 2);
    let x = 1, y = 1, tallest = 0;
    for (const { name, size: count } of this.groups) {
      const most = Math.max(1, Math.floor((width - 2) / size));
      const alone = this.groups.length === 1;
      const columns = Math.min(most, alone ? most : count <= 4 ? count : Math.ceil(Math.sqrt(1.6 * count)));
      const wide = Math.max(columns * size, told ? Math.min(56, 7 * name.length) : 0);
      const high = Math.ceil(count / columns) * size + (told ? LABEL : 0);
      if (x > 1 && x + wide > width - 1) {
        x = 1;
        y += tallest + gap;
        tallest = 0;
      }
      if (told) labels.push([name, x, y + LABEL - 5, wide]);
      const top = y + (told ? LABEL : 0);
      for (let k = 0; k < count; k++) {
        xs.push(x + (k % columns) * size);
        ys.push(top + Math.floor(k / columns) * size);
      }
      x += wide + gap;
      tallest = Math.max(tallest, high);
    }
    return { xs, ys, labels, height: Math.ceil(y + tallest + 2) };
  }

  draw() {
    if (!this.overview || !this.xs) return;
    const paint = this.canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const token = (name) => style.getPropertyValue(name).trim();
    const ramp = this.colour === "power" ? "power" : "use";
    const scale = devicePixelRatio || 1;
    const inner = this.size - (this.size >= 7 ? 2 : 1);
    paint.setTransform(scale, 0, 0, scale, 0, 0);
    paint.clearRect(0, 0, this.width, this.height);
    const steps = this.cells.map((cell) => step(this.value(cell)));
    for (let s = 0; s < STEPS; s++) {
      paint.fillStyle = token(`--${ramp}-${s}`);
      steps.forEach((mine, k) => mine === s && paint.fillRect(this.xs[k], this.ys[k], inner, inner));
    }
    paint.lineWidth = 1;
    paint.strokeStyle = token("--cell");
    this.cells.forEach((_, k) => {
      if (steps[k] < 2) paint.strokeRect(this.xs[k] + 0.5, this.ys[k] + 0.5, inner - 1, inner - 1);
    });
    paint.fillStyle = token("--muted");
    paint.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    for (const [name, x, y, wide] of this.labels) paint.fillText(cut(paint, name, wide), x, y);
    this.cross(paint, inner, token("--card"), token("--text"));
    if (this.at >= 0) this.ring(paint, inner, token("--accent"), token("--card"));
    Object.assign(this.canvas.dataset, { cells: this.cells.length, size: this.size });
    const what = counted(this.cluster.nodes.length, "node");
    this.canvas.setAttribute("aria-label", `Cluster map of ${what}, ${counted(this.cells.length, "cell")}`);
  }

  // Closed nodes are crossed out, whatever their colour.
  cross(paint, inner, under, over) {
    for (const [colour, width] of [[under, 3], [over, 1.2]]) {
      paint.strokeStyle = colour;
      paint.lineWidth = width;
      paint.beginPath();
      this.cells.forEach((cell, k) => {
        if (!cell.nodes.every((n) => this.closed.has(this.cluster.nodes[n]))) return;
        const x = this.xs[k] + 1, y = this.ys[k] + 1, far = inner - 2;
        paint.moveTo(x, y);
        paint.lineTo(x + far, y + far);
        paint.moveTo(x + far, y);
        paint.lineTo(x, y + far);
      });
      paint.stroke();
    }
  }

  ring(paint, inner, colour, around) {
    const x = this.xs[this.at], y = this.ys[this.at];
    for (const [stroke, width] of [[around, 5], [colour, 3]]) {
      paint.strokeStyle = stroke;
      paint.lineWidth = width;
      paint.strokeRect(x - 1, y - 1, inner + 2, inner + 2);
    }
  }

  // -- pointer and keys --------------------------------------------------------------------------

  hit(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const x = event.clientX - left, y = event.clientY - top;
    return this.cells.findIndex((_, k) => x >= this.xs[k] && x < this.xs[k] + this.size && y >= this.ys[k] && y < this.ys[k] + this.size);
  }

  hover(event) {
    const k = this.hit(event);
    this.canvas.style.cursor = k < 0 ? "default" : "pointer";
    this.hint(k);
  }

  hint(k) {
    this.tip.hidden = k < 0;
    if (k < 0) return;
    this.tip.textContent = this.words(this.cells[k]).join("\n");
    const right = this.xs[k] > this.width / 2;
    this.tip.style.left = right ? "auto" : `${this.xs[k] + this.size + 6}px`;
    this.tip.style.right = right ? `${this.width - this.xs[k] + 6}px` : "auto";
    this.tip.style.top = `${Math.min(this.ys[k], this.height - this.tip.offsetHeight)}px`;
  }

  click(event) {
    const k = this.hit(event);
    if (k < 0) return;
    this.at = k;
    this.open();
  }

  key(event) {
    const to = {
      ArrowRight: () => this.at + 1,
      ArrowLeft: () => this.at - 1,
      ArrowDown: () => this.beyond(1),
      ArrowUp: () => this.beyond(-1),
      Home: () => 0,
      End: () => this.cells.length - 1,
    }[event.key];
    if (to) {
      event.preventDefault();
      this.go(Math.max(0, Math.min(this.cells.length - 1, to())));
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (this.at >= 0) this.open();
    } else if (event.key === "Escape") {
      this.hint(-1);
    }
  }

  // The nearest cell in the next line up or down.
  beyond(sign) {
    const x = this.xs[this.at], y = this.ys[this.at];
    let best = this.at, least = Infinity;
    this.cells.forEach((_, k) => {
      const down = sign * (this.ys[k] - y);
      const away = down * 4 + Math.abs(this.xs[k] - x);
      if (down > 0 && away < least) [best, least] = [k, away];
    });
    return best;
  }

  go(k) {
    if (!this.cells.length) return;
    this.at = k;
    this.said.textContent = this.words(this.cells[k]).join(", ");
    this.draw();
    this.hint(k);
  }

  open() {
    this.draw();
    this.chosen(this.cells[this.at]);
  }

  // Show a node, wherever it is; whether there is one of that name.
  find(name) {
    const n = this.cluster.nodes.indexOf(name);
    if (n < 0) return false;
    if (this.grain === "domain" && this.scope) this.set({ inside: this.cluster.scopes[this.scope].domain[n] });
    let k = this.cells.findIndex((c) => c.nodes.length === 1 && c.nodes[0] === n);
    if (k < 0) {
      this.set({ inside: -1, grain: "node" });
      k = this.cells.findIndex((c) => c.nodes[0] === n);
    }
    this.go(k);
    this.hint(-1);
    this.open();
    return true;
  }
}

// Math.max(...) of a long array would be a call with as many arguments.
const largest = (column) => column.reduce((a, b) => Math.max(a, b), 0);

function cut(paint, text, wide) {
  if (paint.measureText(text).width <= wide) return text;
  let n = text.length;
  while (n > 1 && paint.measureText(`${text.slice(0, n)}…`).width > wide) n--;
  return `${text.slice(0, n)}…`;
}
