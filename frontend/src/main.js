// The page: one or two graphs, what is known of the operator that is chosen, and the report below.
import { h, render } from 'preact';
import { Blocks } from './blocks.js';
import { Panel, twins } from './panel.js';
import { number, plain } from './text.js';
import { Viewer } from './viewer.js';

const data = JSON.parse(document.getElementById('report').textContent);
const root = document.getElementById('page');
const viewers = [];

function element(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, v] of Object.entries(attributes)) {
    if (name.startsWith('on')) e.addEventListener(name.slice(2), v);
    else e.setAttribute(name, v);
  }
  e.append(...children);
  return e;
}

function header() {
  const theme = element('button', { type: 'button', class: 'theme', 'aria-label': 'light or dark', onclick: turn }, 'light / dark');
  return element('header', {}, element('h1', {}, plain(data.title)), element('span', { class: 'by' }, `fullint ${data.fullint}`), theme);
}

function turn() {
  const own = document.documentElement.dataset;
  const dark = own.theme ? own.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  own.theme = dark ? 'light' : 'dark';
  viewers.forEach((v) => v.viewer.draw());
}

function section(part) {
  const graphs = part.blocks.filter((b) => b.block === 'graph');
  graphs.forEach((g) => g.nodes.forEach((n, i) => (n.place = i)));
  const body = element('div', { class: 'report' });
  const first = part.blocks.findIndex((b) => b.block === 'graph');
  const above = element('div', { class: 'report' });
  const picture = graphs.length ? drawing(graphs) : null;
  const go = (graph, i) => picture?.go(graphs[graph], i);
  render(h(Blocks, { blocks: part.blocks.slice(0, Math.max(first, 0)), go }), above);
  render(h(Blocks, { blocks: part.blocks.slice(Math.max(first, 0)), go }), body);
  const s = element('section', {}, ...(data.parts.length > 1 ? [element('h2', { class: 'part' }, plain(part.title))] : []));
  s.append(above, ...(picture ? [picture.element] : []), body);
  return s;
}

function drawing(graphs) {
  const panel = element('aside', { class: 'panel', 'aria-live': 'polite', 'aria-label': 'the chosen operator' });
  const views = element('div', { class: 'views' });
  const all = element('div', { class: 'drawing' }, views, panel);
  const own = [];
  const pick = (graph, operators) => {
    const others = graphs.filter((g) => g !== graph);
    render(h(Panel, { graph, operators, others, go }), panel);
    if (operators.length === 1) {
      for (const { graph: other, viewer } of own.filter((v) => v.graph !== graph)) {
        const [same] = twins(other, graph.nodes[operators[0]]);
        if (same !== undefined) viewer.show(same);
        else viewer.unpick();
      }
    }
  };
  const go = (graph, i) => {
    own.find((v) => v.graph === graph).viewer.show(i);
    pick(graph, [i]);
    views.scrollIntoView({ block: 'start' });
  };
  for (const graph of graphs) {
    const space = element('div', { class: 'space', tabindex: '0', role: 'group', 'aria-label': `${plain(graph.title)}: graph; arrows move, + and - zoom` });
    const box = element('div', { class: 'view' });
    views.append(box);
    box.append(element('h3', {}, plain(graph.title)), space);
    const viewer = new Viewer(space, graph, (ops) => pick(graph, ops));
    own.push({ graph, viewer });
    viewers.push({ graph, viewer });
    box.insertBefore(tools(graph, viewer, (i) => go(graph, i)), space);
    box.append(bars(graph, (i) => go(graph, i)));
  }
  pick(graphs[0], []);
  return { element: all, go };
}

function tools(graph, viewer, go) {
  const count = element('span', { class: 'count', role: 'status' });
  const search = element('input', { type: 'search', placeholder: 'search name, kind, finding', 'aria-label': `search in ${plain(graph.title)}` });
  let at = -1;
  let found = [];
  search.addEventListener('input', () => {
    const text = search.value.trim().toLowerCase();
    found = text ? graph.nodes.flatMap((n, i) => (matches(n, text) ? [i] : [])) : [];
    at = -1;
    viewer.mark(found);
    count.textContent = text ? `${found.length} found` : '';
  });
  search.addEventListener('keydown', (e) => {
    if (e.key !== 'Enter' || !found.length) return;
    at = (at + (e.shiftKey ? found.length - 1 : 1)) % found.length;
    count.textContent = `${at + 1} of ${found.length}`;
    go(found[at]);
  });
  const depth = element('select', { 'aria-label': 'what is one box', onchange: () => viewer.group(Number(depth.value)) });
  for (const [n, text] of [[0, 'each operator'], [1, 'layers, 1 name'], [2, 'layers, 2 names'], [3, 'layers, 3 names']]) depth.append(element('option', { value: n }, text));
  const buttons = [
    ['+', 'zoom in', () => viewer.zoom(1.25)],
    ['\u2212', 'zoom out', () => viewer.zoom(0.8)],
    ['whole', 'the whole graph', () => viewer.whole()],
    ['top', 'the beginning', () => viewer.top()],
  ].map(([text, label, run]) => element('button', { type: 'button', 'aria-label': label, onclick: run }, text));
  return element('div', { class: 'tools' }, search, count, ...colours(graph, viewer), depth, ...buttons, legend(graph));
}

// Each word somewhere: in names and kinds, in what is known; "op 32" is a number.
function matches(n, text) {
  const op = /^(?:op )?(\d+)$/.exec(text);
  if (op) return n.index === Number(op[1]);
  const all = [n.name, n.kind, n.layer, n.badge, ...n.marks, ...n.facts.flat()].join(' ').toLowerCase();
  return text.split(/\s+/).every((word) => all.includes(word));
}

function colours(graph, viewer) {
  const choice = element('select', { 'aria-label': 'colour by' }, element('option', { value: '' }, 'colour: integer or float'));
  const scale = element('span', { class: 'scale' });
  if (graph.nodes.some((n) => n.piece !== null)) choice.append(element('option', { value: 'piece' }, 'colour: partition'));
  graph.measures.forEach((m, i) => choice.append(element('option', { value: i }, `colour: ${plain(m.name)}`)));
  choice.addEventListener('change', () => {
    viewer.root.classList.toggle('painted', choice.value !== '');
    scale.replaceChildren();
    if (choice.value === '') viewer.paintBy((n) => `var(--${n.type})`);
    else if (choice.value === 'piece') viewer.paintBy((n) => hue(graph.nodes[n.ops[0]].piece));
    else {
      const { values, low_is_bad: low } = graph.measures[Number(choice.value)];
      const known = values.filter((v) => v !== null);
      const [least, most] = [Math.min(...known), Math.max(...known)];
      const { unit } = graph.measures[Number(choice.value)];
      scale.replaceChildren(...[0, 0.5, 1].map((part) => {
        const step = element('span', {}, number(least + (low ? 1 - part : part) * (most - least)) + (part === 1 ? ` ${unit}` : ''));
        step.style.background = heat(part);
        return step;
      }));
      viewer.paintBy((n) => {
        const own = n.ops.map((o) => values[o]).filter((v) => v !== null);
        if (!own.length) return 'var(--other)';
        const worst = low ? Math.min(...own) : Math.max(...own);
        const part = (worst - least) / (most - least || 1);
        return heat(low ? 1 - part : part);
      });
    }
  });
  return [choice, scale];
}

const heat = (part) => `hsl(${Math.round(48 - 34 * part)} 90% ${Math.round(93 - 33 * part)}%)`; // pale yellow to orange
const hue = (piece) => (piece === null ? 'var(--other)' : piece < 0 ? 'hsl(14 85% 80%)' : `hsl(${(piece * 67 + 150) % 360} 45% 74%)`);

function legend(graph) {
  const count = (type) => graph.nodes.filter((n) => n.type === type).length;
  const item = (type, text) => element('span', { class: `badge ${type}` }, `${text}: ${count(type)}`);
  return element('span', { class: 'legend' }, item('int', 'integer'), item('float', 'float'), ...(count('other') ? [item('other', 'neither')] : []));
}

// The operators with most of a measure, as bars.
function bars(graph, go) {
  const all = element('div', { class: 'bars' });
  for (const m of graph.measures) {
    const order = m.values.flatMap((v, i) => (v === null ? [] : [i])).sort((a, b) => (m.low_is_bad ? m.values[a] - m.values[b] : m.values[b] - m.values[a]));
    const most = Math.max(...order.map((i) => Math.abs(m.values[i])), 1e-30);
    const rows = order.slice(0, 10).map((i) => {
      const n = graph.nodes[i];
      const bar = element('span', { class: `bar ${n.type}` });
      bar.style.width = `${(100 * Math.abs(m.values[i])) / most}%`;
      return element('li', {}, element('button', { type: 'button', onclick: () => go(i) }, `op ${n.index} ${plain(n.kind)}`), element('span', { class: 'track' }, bar), element('span', { class: 'amount' }, `${number(m.values[i])} ${m.unit}`));
    });
    const sum = m.values.reduce((a, v) => a + (v ?? 0), 0);
    const shown = order.slice(0, 10).reduce((a, i) => a + m.values[i], 0);
    const said = m.low_is_bad ? '' : `: ${number(sum)} ${m.unit} in all, ${number((100 * shown) / (sum || 1))} % in these`;
    const details = element('details', {}, element('summary', {}, `${plain(m.name)}${said}`), element('ol', {}, ...rows));
    details.open = true;
    all.append(details);
  }
  return all;
}

root.append(header());
for (const part of data.parts) root.append(section(part));
viewers.forEach((v) => v.viewer.top());
window.fullint = { viewers };
document.documentElement.dataset.ready = 'yes';
