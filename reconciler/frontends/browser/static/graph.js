// The graph: nodes where they were, cables to their network, and what faults do to links.

import { cut, set, svg, write } from "./dom.js";
import { endsOf, leftOf, plus, pointing, scaled, timeLeft } from "./geometry.js";

const HOST = "@host";
const MOST_LABELS = 30;
const MARGIN = 16;
const MARK = { running: "●", "shut off": "○", paused: "◍", crashed: "✖", unknown: "?" };

export class Graph {
  #nodes = new Map();
  #edges = new Map();
  #view = null;
  #moved = {};
  #camera = null;
  #line = null;
  #cutting = null;

  // `choose(name)` when a node is chosen, `now()` is the server's time in seconds.
  constructor(root, choose, now) {
    this.root = root;
    this.choose = choose;
    this.now = now;
    this.chosen = "";
    this.cables = svg("g", { "aria-hidden": true });
    this.links = svg("g", { role: "list", "aria-label": "Links with faults" });
    this.hub = svg("g", { class: "hub" }, svg("rect"), svg("text", { class: "name" }), svg("text", { class: "small" }), svg("title"));
    this.boxes = svg("g", { role: "group", "aria-label": "Nodes" });
    this.labels = svg("g", { "aria-hidden": true });
    this.pen = svg("line", { class: "pen", visibility: "hidden" });
    root.append(svg("defs", {}, marker("cut", "M4,0 h3 v10 h-3 z"), marker("impaired", "M0,1 L9,5 L0,9 z")));
    root.append(this.cables, this.links, this.hub, this.boxes, this.labels, this.pen);
    root.addEventListener("pointerdown", (event) => this.#press(event));
    root.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    root.addEventListener("keydown", (event) => this.#key(event));
  }

  show(view) {
    if (this.#view?.name !== view.name) {
      this.#moved = keptPlaces(view.name);
      this.#camera = null;
    }
    const before = this.#view;
    this.#view = view;
    if (!before || JSON.stringify(before.layout) !== JSON.stringify(view.layout)) this.#camera = null;
    this.#showHub();
    this.#showNodes();
    this.#showEdges();
    this.#camera ??= this.#whole();
    this.#aim();
  }

  clear() {
    this.cutBy(null);
    this.#view = null;
    for (const group of [this.cables, this.links, this.boxes, this.labels]) group.replaceChildren();
    this.#nodes.clear();
    this.#edges.clear();
    this.hub.setAttribute("visibility", "hidden");
  }

  select(name) {
    this.chosen = name;
    for (const [of, node] of this.#nodes) {
      set(node.group, { "aria-pressed": of === name });
      node.group.classList.toggle("chosen", of === name);
    }
    this.#reachable();
  }

  // The times that are left; called every second.
  tick() {
    for (const edge of this.#edges.values()) if (edge.of.ends_at !== null) this.#tell(edge);
  }

  // Let the next line that is drawn divide the nodes; `done(left, right)` gets their names, or nothing if it does not.
  cutBy(done) {
    this.#cutting = done;
    this.root.classList.toggle("cutting", Boolean(done));
  }

  place(name) {
    if (name === HOST) return [this.#view.layout.x, this.#view.layout.y];
    if (Object.hasOwn(this.#moved, name)) return this.#moved[name];
    const { x, y } = this.#nodes.get(name).of;
    return [x, y];
  }

  #aim() {
    const { x, y, width, height } = this.#camera;
    set(this.root, { viewBox: `${x} ${y} ${width} ${height}` });
  }

  #showHub() {
    const { layout, network } = this.#view;
    const [box, name, small, title] = this.hub.children;
    const [width, height] = [layout.box_width, layout.box_height];
    set(this.hub, { visibility: "visible" });
    set(box, { x: layout.x - width / 2, y: layout.y - height / 2, width, height, rx: height / 2 });
    set(name, { x: layout.x, y: layout.y - 2 });
    set(small, { x: layout.x, y: layout.y + 16 });
    write(name, cut(network.name, 24));
    write(small, `${network.subnet} ${network.active ? "active" : "not active"}`);
    write(title, `Network ${network.name}, ${network.subnet}`);
  }

  #showNodes() {
    const there = new Set(this.#view.nodes.map((node) => node.name));
    for (const [name, node] of this.#nodes) if (!there.has(name)) this.#forget(name, node);
    for (const of of this.#view.nodes) {
      const known = this.#nodes.get(of.name) ?? this.#made(of.name);
      if (JSON.stringify(known.of) === JSON.stringify(of)) continue;
      known.of = of;
      this.#draw(known);
    }
    this.#reachable();
  }

  #made(name) {
    const rows = [svg("text", { class: "name" }), svg("text", { class: "small" }), svg("text", { class: "small" })];
    const [title, box, cable] = [svg("title"), svg("rect", { rx: 8 }), svg("line", { class: "cable" })];
    const group = svg("g", { class: "node", role: "button", tabindex: -1, "data-node": name }, title, box, ...rows);
    group.addEventListener("click", () => this.choose(name));
    const node = { of: null, group, title, box, rows, cable };
    this.#nodes.set(name, node);
    this.boxes.append(group);
    this.cables.append(cable);
    return node;
  }

  #forget(name, node) {
    node.group.remove();
    node.cable.remove();
    this.#nodes.delete(name);
  }

  #draw(node) {
    const { of, group, title, box, rows, cable } = node;
    const { layout } = this.#view;
    const [width, height] = [layout.box_width, layout.box_height];
    const [x, y] = this.place(of.name);
    const sick = of.problem || of.unplugged;
    const said = [of.state, of.unplugged ? "cable pulled" : "", of.problem].filter(Boolean).join(", ");
    set(group, { class: `node ${sick ? "sick" : of.state.replace(" ", "-")}${of.name === this.chosen ? " chosen" : ""}` });
    set(group, { "aria-label": `${of.name}, ${said}`, "aria-pressed": of.name === this.chosen });
    set(group, { transform: `translate(${x} ${y})` });
    set(box, { x: -width / 2, y: -height / 2, width, height });
    [cut(of.name, 22), cut([of.role, of.ip].filter(Boolean).join(" · "), 25), cut(`${MARK[of.state]} ${said}`, 25)].forEach(
      (text, row) => {
        write(rows[row], text);
        set(rows[row], { y: (row - 1) * 18 + 4 });
      },
    );
    write(title, [of.name, of.role, of.ip, of.host, said].filter(Boolean).join(" "));
    set(cable, { x1: layout.x, y1: layout.y, x2: x, y2: y, class: of.unplugged ? "cable unplugged" : "cable" });
  }

  #showEdges() {
    const { edges, layout } = this.#view;
    this.links.classList.toggle("many", edges.length > 2 * MOST_LABELS);
    const there = new Map(edges.map((edge) => [`${edge.from} ${edge.to}`, edge]));
    for (const [key, edge] of this.#edges)
      if (!there.has(key)) {
        edge.group.remove();
        edge.label.remove();
        this.#edges.delete(key);
      }
    for (const [key, of] of there) {
      const edge = this.#edges.get(key) ?? this.#madeEdge(key);
      edge.of = of;
      const [start, end] = endsOf(this.place(of.from), this.place(of.to), of.both, layout.box_width, layout.box_height);
      const kind = of.cut ? "cut" : "impaired";
      set(edge.line, { class: kind, x1: start[0], y1: start[1], x2: end[0], y2: end[1], "marker-end": `url(#${kind}-end)` });
      if (of.both) set(edge.line, { "marker-start": `url(#${kind}-end)` });
      else edge.line.removeAttribute("marker-start");
      const [x, y] = plus(plus(start, scaled(plus(end, scaled(start, -1)), 0.3)), [0, -6]);
      set(edge.label, { x, y, visibility: edges.length <= MOST_LABELS ? "visible" : "hidden" });
      edge.arrow = of.both ? "↔" : pointing(start, end);
      this.#tell(edge);
    }
  }

  #madeEdge(key) {
    const [title, line, label] = [svg("title"), svg("line"), svg("text", { class: "label" })];
    const edge = { of: null, group: svg("g", { role: "listitem" }, title, line), title, line, label };
    this.#edges.set(key, edge);
    this.links.append(edge.group);
    this.labels.append(label);
    return edge;
  }

  #tell(edge) {
    const { of } = edge;
    const left = of.ends_at === null ? "" : timeLeft(of.ends_at - this.now());
    const said = [of.effect, left].filter(Boolean).join(", ");
    write(edge.title, `${of.from} ${of.both ? "↔" : "→"} ${of.to}: ${said}`);
    set(edge.group, { "aria-label": edge.title.textContent });
    write(edge.label, `${edge.arrow} ${said}`);
  }

  // One node can be reached with Tab, the others from it with the arrow keys.
  #reachable() {
    const names = [...this.#nodes.keys()];
    const one = this.#nodes.has(this.chosen) ? this.chosen : names[0];
    for (const [name, node] of this.#nodes) set(node.group, { tabindex: name === one ? 0 : -1 });
  }

  #key(event) {
    if (!this.#view) return;
    const names = this.#view.nodes.map((node) => node.name);
    const at = names.indexOf(event.target.dataset?.node);
    if (event.key === "+" || event.key === "-") this.#zoom(event.key === "+" ? 0.8 : 1.25);
    else if (event.key === "0") this.#fit();
    else if (at < 0) return;
    else if (event.key === "Enter" || event.key === " ") this.choose(names[at]);
    else if (["ArrowRight", "ArrowDown"].includes(event.key)) this.#focus(names[(at + 1) % names.length]);
    else if (["ArrowLeft", "ArrowUp"].includes(event.key)) this.#focus(names[(at + names.length - 1) % names.length]);
    else return;
    event.preventDefault();
  }

  #focus(name) {
    for (const [of, node] of this.#nodes) set(node.group, { tabindex: of === name ? 0 : -1 });
    this.#nodes.get(name).group.focus();
  }

  #fit() {
    this.#camera = this.#whole();
    this.#aim();
  }

  // All boxes, and a little around them.
  #whole() {
    const { nodes, layout } = this.#view;
    const places = [this.place(HOST), ...nodes.map((node) => this.place(node.name))];
    const [left, right] = [Math.min(...places.map(([x]) => x)), Math.max(...places.map(([x]) => x))];
    const [top, bottom] = [Math.min(...places.map(([, y]) => y)), Math.max(...places.map(([, y]) => y))];
    const [across, down] = [layout.box_width / 2 + MARGIN, layout.box_height / 2 + MARGIN];
    return { x: left - across, y: top - down, width: right - left + 2 * across, height: bottom - top + 2 * down };
  }

  #zoom(by, [x, y] = [this.#camera.x + this.#camera.width / 2, this.#camera.y + this.#camera.height / 2]) {
    const camera = this.#camera;
    const width = Math.min(Math.max(camera.width * by, 300), this.#view.layout.width * 2);
    const factor = width / camera.width;
    this.#camera = {
      x: x - (x - camera.x) * factor,
      y: y - (y - camera.y) * factor,
      width,
      height: camera.height * factor,
    };
    this.#aim();
  }

  #wheel(event) {
    if (!this.#view || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.#zoom(event.deltaY < 0 ? 0.9 : 1.1, this.#point(event));
  }

  #point(event) {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.root.getScreenCTM().inverse());
    return [x, y];
  }

  #press(event) {
    if (!this.#view || event.button !== 0) return;
    const start = this.#point(event);
    const name = event.target.closest?.("[data-node]")?.dataset.node;
    const drag = this.#cutting ? this.#drawing(start) : name ? this.#moving(name, start) : this.#panning(event);
    const there = () => this.#view && (!name || this.#nodes.has(name)); // what is dragged may go meanwhile
    const release = new AbortController();
    const on = (kind, act) => this.root.addEventListener(kind, act, { signal: release.signal });
    if (this.#cutting) event.preventDefault();
    this.root.setPointerCapture?.(event.pointerId);
    on("pointermove", (next) => there() && drag.move(next));
    on("pointerup", (last) => {
      release.abort();
      if (there()) drag.end(last);
      else drag.undo();
    });
    // The browser takes the pointer for itself, to scroll.
    on("pointercancel", () => {
      release.abort();
      drag.undo();
    });
  }

  #drawing(start) {
    const done = this.#cutting;
    const sides = (end) => {
      const names = this.#view.nodes.map((node) => node.name);
      return [true, false].map((left) => names.filter((name) => leftOf(start, end, this.place(name)) === left));
    };
    const paint = ([left, right]) => {
      for (const [name, node] of this.#nodes) {
        node.group.classList.toggle("left", left.includes(name));
        node.group.classList.toggle("right", right.includes(name));
      }
    };
    const undo = () => {
      set(this.pen, { visibility: "hidden" });
      paint([[], []]);
    };
    return {
      undo,
      move: (event) => {
        const end = this.#point(event);
        set(this.pen, { visibility: "visible", x1: start[0], y1: start[1], x2: end[0], y2: end[1] });
        paint(sides(end));
      },
      end: (event) => {
        const [left, right] = sides(this.#point(event));
        undo();
        this.cutBy(null);
        if (left.length && right.length) done(left, right);
        else done();
      },
    };
  }

  #moving(name, start) {
    const before = this.place(name);
    const kept = this.#moved[name];
    let moved = false;
    return {
      undo: () => {
        if (!moved || !this.#nodes.has(name)) return;
        if (kept) this.#moved[name] = kept;
        else delete this.#moved[name];
        this.#draw(this.#nodes.get(name));
        this.#showEdges();
      },
      move: (event) => {
        const [x, y] = this.#point(event);
        moved ||= Math.hypot(x - start[0], y - start[1]) > 4;
        if (!moved) return;
        this.#moved[name] = [before[0] + x - start[0], before[1] + y - start[1]];
        this.#draw(this.#nodes.get(name));
        this.#showEdges();
      },
      end: () => {
        if (moved) keepPlaces(this.#view.name, this.#moved);
        else this.choose(name);
      },
    };
  }

  #panning(first) {
    const before = this.#camera;
    const scale = 1 / this.root.getScreenCTM().a;
    return {
      move: (event) => {
        const [x, y] = [(event.clientX - first.clientX) * scale, (event.clientY - first.clientY) * scale];
        this.#camera = { ...before, x: before.x - x, y: before.y - y };
        this.#aim();
      },
      end: () => {},
      undo: () => {},
    };
  }
}

// Where nodes were dragged to; a frame without an origin may keep nothing.
function keptPlaces(cluster) {
  try {
    return JSON.parse(localStorage.getItem(`vmcluster-places:${cluster}`) ?? "{}");
  } catch {
    return {};
  }
}

function keepPlaces(cluster, places) {
  try {
    localStorage.setItem(`vmcluster-places:${cluster}`, JSON.stringify(places));
  } catch {}
}

function marker(kind, path) {
  const box = { viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 14, markerHeight: 14 };
  const units = { markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" };
  return svg("marker", { id: `${kind}-end`, ...box, ...units }, svg("path", { d: path, class: `${kind}-end` }));
}
