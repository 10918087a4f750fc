// A graph that can be moved: boxes as buttons where they are near, painted where they are far.
import { place } from './layout.js';
import { plain, short } from './text.js';

const WIDTH = 206;
const HEIGHT = 44;
const NEAR = 0.45; // below this scale the text of a box cannot be read, and it is only painted
const MOST = 400; // boxes that are buttons at once
const EDGE = 40;

export class Viewer {
  constructor(root, graph, onPick) {
    this.root = root;
    this.graph = graph;
    this.onPick = onPick;
    this.shown = new Map();
    this.picked = -1;
    this.found = new Set();
    this.depth = 0;
    this.colour = (node) => `var(--${node.type})`;
    root.classList.add('viewer');
    this.canvas = make(root, 'canvas', 'paint');
    this.world = make(root, 'div', 'world');
    this.map = make(root, 'canvas', 'map');
    this.map.setAttribute('aria-hidden', 'true');
    this.view = { x: 0, y: 0, scale: 1 };
    this.listen();
    this.group(0);
  }

  // Boxes: operators, or with a depth the layers whose names agree in so many parts.
  group(depth) {
    const started = performance.now();
    const chosen = this.picked >= 0 ? this.nodes[this.picked].ops[0] : -1;
    this.depth = depth;
    const { nodes, edges } = depth ? merged(this.graph, depth) : plainBoxes(this.graph);
    this.nodes = nodes;
    this.edges = edges.filter((e) => e.source >= 0);
    const at = place(nodes, edges);
    nodes.forEach((n, i) => Object.assign(n, at[i]));
    this.into = nodes.map(() => []);
    this.out = nodes.map(() => []);
    for (const e of this.edges) {
      this.out[e.source].push(e.target);
      this.into[e.target].push(e.source);
    }
    const xs = nodes.map((n) => n.x);
    const ys = nodes.map((n) => n.y);
    this.bounds = nodes.length
      ? { left: min(xs) - WIDTH, right: max(xs) + WIDTH, top: min(ys) - HEIGHT, bottom: max(ys) + HEIGHT }
      : { left: 0, right: 1, top: 0, bottom: 1 };
    this.rows = new Shelves(this.bounds);
    nodes.forEach((n, i) => this.rows.put(i, n.y - n.h, n.y + n.h));
    this.lines = new Shelves(this.bounds);
    this.edges.forEach((e) => this.lines.put(e, ...[nodes[e.source].y, nodes[e.target].y].sort((a, b) => a - b)));
    this.world.replaceChildren();
    this.shown.clear();
    this.picked = chosen < 0 ? -1 : this.boxOf(chosen);
    this.took = performance.now() - started;
    this.top();
  }

  top() {
    const box = this.root.getBoundingClientRect();
    const scale = 0.9;
    this.view = { scale, x: box.width / 2 - (this.nodes[0]?.x ?? 0) * scale, y: EDGE - this.bounds.top * scale };
    this.draw();
  }

  whole() {
    const box = this.root.getBoundingClientRect();
    const { left, right, top, bottom } = this.bounds;
    const scale = Math.min(1, box.width / (right - left), box.height / (bottom - top));
    this.view = { scale, x: box.width / 2 - ((left + right) / 2) * scale, y: box.height / 2 - ((top + bottom) / 2) * scale };
    this.draw();
  }

  zoom(factor, cx, cy) {
    const box = this.root.getBoundingClientRect();
    const x = cx ?? box.width / 2;
    const y = cy ?? box.height / 2;
    const scale = Math.min(3, Math.max(0.01, this.view.scale * factor));
    const real = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * real, y: y - (y - this.view.y) * real };
    this.draw();
  }

  pan(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.draw();
  }

  boxOf(operator) {
    return this.nodes.findIndex((n) => n.ops.includes(operator));
  }

  // Show an operator in the middle, and pick it.
  show(operator, { focus = false } = {}) {
    const i = this.boxOf(operator);
    if (i < 0) return;
    const box = this.root.getBoundingClientRect();
    const scale = Math.max(this.view.scale, 0.8);
    const n = this.nodes[i];
    this.view = { scale, x: box.width / 2 - n.x * scale, y: box.height / 2 - n.y * scale };
    this.picked = i;
    this.draw();
    if (focus) this.shown.get(i)?.focus();
  }

  pick(i) {
    this.picked = i;
    this.draw();
    this.onPick(this.nodes[i].ops);
  }

  unpick() {
    this.picked = -1;
    this.draw();
  }

  mark(operators) {
    this.found = new Set(operators);
    this.draw();
  }

  paintBy(colour) {
    this.colour = colour;
    this.draw();
  }

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.drawNow();
    });
  }

  drawNow() {
    const box = this.root.getBoundingClientRect();
    if (!box.width || !box.height) return;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(box.width * ratio) || this.canvas.height !== Math.round(box.height * ratio)) {
      this.canvas.width = Math.round(box.width * ratio);
      this.canvas.height = Math.round(box.height * ratio);
      this.canvas.style.width = `${box.width}px`; // also where a printer has another width
      this.canvas.style.height = `${box.height}px`;
    }
    const { x, y, scale } = this.view;
    const seen = { left: -x / scale, right: (box.width - x) / scale, top: -y / scale, bottom: (box.height - y) / scale };
    const near = this.rows.between(seen.top, seen.bottom);
    const inside = near.filter((i) => {
      const n = this.nodes[i];
      return n.y + n.h > seen.top && n.y - n.h < seen.bottom && n.x + n.w > seen.left && n.x - n.w < seen.right;
    });
    this.paint(this.canvas.getContext('2d'), ratio, seen, near);
    this.buttons(scale >= NEAR && inside.length <= MOST ? inside : []);
    this.world.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.drawMap(box);
  }

  paint(g, ratio, seen, near) {
    const { x, y, scale } = this.view;
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.clearRect(0, 0, this.canvas.width, this.canvas.height);
    g.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * x, ratio * y);
    const style = getComputedStyle(this.root);
    g.strokeStyle = style.getPropertyValue('--line');
    g.lineWidth = Math.max(1, 0.7 / scale);
    g.beginPath();
    for (const e of this.lines.between(seen.top, seen.bottom)) {
      const a = this.nodes[e.source];
      const b = this.nodes[e.target];
      const [ay, by] = [a.y + a.h / 2, b.y - b.h / 2];
      if (Math.max(ay, by) < seen.top || Math.min(ay, by) > seen.bottom) continue;
      g.moveTo(a.x, ay);
      const bend = Math.max(12, (by - ay) / 2);
      g.bezierCurveTo(a.x, ay + bend, b.x, by - bend, b.x, by);
    }
    g.stroke();
    const colours = new Map();
    for (const i of near) {
      const n = this.nodes[i];
      const colour = this.colour(n);
      if (!colours.has(colour)) colours.set(colour, resolved(style, colour));
      g.fillStyle = colours.get(colour);
      g.fillRect(n.x - n.w / 2, n.y - n.h / 2, n.w, n.h);
    }
  }

  buttons(wanted) {
    const keep = new Set(wanted);
    const active = document.activeElement;
    for (const [i, b] of this.shown) {
      if (!keep.has(i) && b !== active) {
        b.remove();
        this.shown.delete(i);
      }
    }
    for (const i of wanted) {
      const n = this.nodes[i];
      let b = this.shown.get(i);
      if (!b) {
        b = this.button(n, i);
        this.world.append(b);
        this.shown.set(i, b);
      }
      b.style.setProperty('--own', this.colour(n));
      b.setAttribute('aria-pressed', String(i === this.picked));
      b.classList.toggle('found', n.ops.some((o) => this.found.has(o)));
    }
  }

  button(n, i) {
    const b = document.createElement('button');
    b.type = 'button';
    b.className = `box ${n.type}${n.marks.length ? ' marked' : ''}`;
    b.dataset.op = String(n.ops[0]);
    b.style.left = `${n.x - n.w / 2}px`;
    b.style.top = `${n.y - n.h / 2}px`;
    b.style.width = `${n.w}px`;
    b.style.height = `${n.h}px`;
    const kind = document.createElement('b');
    kind.textContent = n.title;
    const badge = document.createElement('i');
    badge.textContent = n.badge;
    const name = document.createElement('span');
    name.textContent = n.name;
    b.append(badge, kind, name);
    const marks = n.marks.length ? `, ${n.marks.join(', ')}` : '';
    b.setAttribute('aria-label', `op ${n.title}, ${n.badge}${marks}: ${n.name}`);
    b.addEventListener('click', () => this.pick(i));
    b.addEventListener('keydown', (e) => this.key(e, i));
    return b;
  }

  key(e, i) {
    const beside = () => {
      const { y } = this.nodes[i];
      const row = this.rows.between(y - HEIGHT, y + HEIGHT).filter((j) => Math.abs(this.nodes[j].y - y) < HEIGHT).sort((a, b) => this.nodes[a].x - this.nodes[b].x);
      return row[row.indexOf(i) + (e.key === 'ArrowRight' ? 1 : -1)];
    };
    const to = { ArrowDown: () => this.out[i][0], ArrowUp: () => this.into[i][0], ArrowLeft: beside, ArrowRight: beside }[e.key]?.();
    if (to === undefined) return;
    e.preventDefault();
    e.stopPropagation();
    this.show(this.nodes[to].ops[0]);
    this.drawNow();
    this.shown.get(to)?.focus();
    this.pick(to);
  }

  drawMap(box) {
    const { left, right, top, bottom } = this.bounds;
    const scale = Math.min(120 / (right - left), 220 / (bottom - top));
    const width = Math.max(8, Math.round((right - left) * scale));
    const height = Math.max(8, Math.round((bottom - top) * scale));
    const key = `${width}x${height}:${this.depth}:${this.colour}:${document.documentElement.dataset.theme}`;
    if (this.mapKey !== key) {
      this.mapKey = key;
      this.still = document.createElement('canvas');
      this.still.width = width;
      this.still.height = height;
      const s = this.still.getContext('2d');
      const style = getComputedStyle(this.root);
      for (const n of this.nodes) {
        s.fillStyle = resolved(style, this.colour(n));
        s.fillRect((n.x - n.w / 2 - left) * scale, (n.y - n.h / 2 - top) * scale, Math.max(1, n.w * scale), Math.max(1, n.h * scale));
      }
      this.map.width = width;
      this.map.height = height;
    }
    const g = this.map.getContext('2d');
    g.clearRect(0, 0, width, height);
    g.drawImage(this.still, 0, 0);
    g.strokeStyle = getComputedStyle(this.root).getPropertyValue('--ink');
    const v = this.view;
    g.strokeRect((-v.x / v.scale - left) * scale, (-v.y / v.scale - top) * scale, (box.width / v.scale) * scale, (box.height / v.scale) * scale);
    this.mapScale = scale;
  }

  listen() {
    let last = null;
    this.root.addEventListener('pointerdown', (e) => {
      if (e.target.closest('.box, .map')) return;
      last = [e.clientX, e.clientY];
      this.root.setPointerCapture(e.pointerId);
    });
    this.root.addEventListener('pointermove', (e) => {
      if (!last) return;
      this.pan(e.clientX - last[0], e.clientY - last[1]);
      last = [e.clientX, e.clientY];
    });
    this.root.addEventListener('pointerup', (e) => {
      if (last && this.view.scale < NEAR) this.pickAt(e);
      last = null;
    });
    this.root.addEventListener(
      'wheel',
      (e) => {
        if (!e.ctrlKey && !e.metaKey && !this.root.matches(':focus-within')) return;
        e.preventDefault();
        const box = this.root.getBoundingClientRect();
        this.zoom(Math.exp(-e.deltaY / 400), e.clientX - box.left, e.clientY - box.top);
      },
      { passive: false },
    );
    this.root.addEventListener('keydown', (e) => {
      const step = { ArrowDown: [0, -80], ArrowUp: [0, 80], ArrowLeft: [80, 0], ArrowRight: [-80, 0] }[e.key];
      if (step) this.pan(...step);
      else if (e.key === '+' || e.key === '=') this.zoom(1.25);
      else if (e.key === '-') this.zoom(0.8);
      else if (e.key === '0') this.whole();
      else return;
      e.preventDefault();
    });
    this.map.addEventListener('pointerdown', (e) => {
      const box = this.root.getBoundingClientRect();
      const { scale } = this.view;
      const x = e.offsetX / this.mapScale + this.bounds.left;
      const y = e.offsetY / this.mapScale + this.bounds.top;
      this.view = { scale, x: box.width / 2 - x * scale, y: box.height / 2 - y * scale };
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  pickAt(e) {
    const box = this.root.getBoundingClientRect();
    const x = (e.clientX - box.left - this.view.x) / this.view.scale;
    const y = (e.clientY - box.top - this.view.y) / this.view.scale;
    const i = this.nodes.findIndex((n) => Math.abs(n.x - x) < n.w / 2 && Math.abs(n.y - y) < n.h / 2);
    if (i >= 0) this.pick(i);
  }
}

// Things by the part of the height that they reach over, so that a frame looks only at what can be seen.
class Shelves {
  constructor({ top, bottom }) {
    this.top = top;
    this.step = Math.max(200, (bottom - top) / 2000);
    this.shelves = new Map();
  }

  put(thing, from, to) {
    for (let k = this.at(from); k <= this.at(to); k++) {
      if (!this.shelves.has(k)) this.shelves.set(k, []);
      this.shelves.get(k).push(thing);
    }
  }

  between(from, to) {
    const found = new Set();
    const [first, last] = [Math.max(0, this.at(from)), Math.min(this.at(to), 2001)];
    for (let k = first; k <= last; k++) for (const thing of this.shelves.get(k) ?? []) found.add(thing);
    return [...found];
  }

  at(y) {
    return Math.floor((y - this.top) / this.step);
  }
}

function plainBoxes(graph) {
  const nodes = graph.nodes.map((n, i) => ({
    ops: [i],
    title: `${n.index} ${plain(n.kind)}`,
    name: short(n.name, 34),
    type: n.type,
    badge: n.badge,
    marks: n.marks,
    w: WIDTH,
    h: HEIGHT,
  }));
  return { nodes, edges: graph.edges };
}

// Consecutive operators of one layer as one box.
function merged(graph, depth) {
  const nodes = [];
  const of = [];
  graph.nodes.forEach((n, i) => {
    const layer = n.layer.split('/').slice(0, depth).join('/');
    const last = nodes[nodes.length - 1];
    if (last && last.layer === layer && layer) last.ops.push(i);
    else nodes.push({ layer, ops: [i], w: WIDTH, h: HEIGHT });
    of.push(nodes.length - 1);
  });
  for (const box of nodes) {
    const inside = box.ops.map((i) => graph.nodes[i]);
    const floats = inside.filter((n) => n.type === 'float').length;
    box.type = floats ? 'float' : inside.some((n) => n.type === 'int') ? 'int' : 'other';
    box.badge = floats ? `${floats} float` : inside[0].badge;
    box.title = box.ops.length === 1 ? `${inside[0].index} ${plain(inside[0].kind)}` : `${box.ops.length} operators`;
    box.name = short(box.layer || inside[0].name);
    box.marks = [...new Set(inside.flatMap((n) => n.marks))];
  }
  const seen = new Set();
  const edges = [];
  for (const e of graph.edges) {
    const from = e.source < 0 ? -1 : of[e.source];
    const to = of[e.target];
    if (from !== to && from >= 0 && !seen.has(`${from} ${to}`)) {
      seen.add(`${from} ${to}`);
      edges.push({ source: from, target: to });
    }
  }
  return { nodes, edges };
}

function make(parent, tag, name) {
  const e = document.createElement(tag);
  e.className = name;
  parent.append(e);
  return e;
}

function resolved(style, colour) {
  const m = /^var\((--[\w-]+)\)$/.exec(colour);
  return m ? style.getPropertyValue(m[1]) : colour;
}

const min = (list) => list.reduce((a, b) => Math.min(a, b), Infinity);
const max = (list) => list.reduce((a, b) => Math.max(a, b), -Infinity);
