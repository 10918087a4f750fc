// What is known of one operator, and of its output's range.
import { h } from 'preact';
import { number, plain } from './text.js';

export function Panel({ graph, operators, others, go }) {
  if (!operators.length) return h('p', { class: 'hint' }, 'Choose an operator: click it, or search for it.');
  if (operators.length > 1) return h(Group, { graph, operators, go });
  const [index] = operators;
  const node = graph.nodes[index];
  return h(
    'div',
    null,
    h('h3', null, `op ${node.index} ${plain(node.kind)} `, h('span', { class: `badge ${node.type}` }, node.badge)),
    h('p', { class: 'name' }, plain(node.name)),
    node.histogram && h(Histogram, { of: node.histogram }),
    h('dl', null, ...graph.measures.flatMap((m) => (m.values[index] === null ? [] : [h('dt', { class: 'wide' }, plain(m.name)), h('dd', { class: 'wide' }, `${number(m.values[index])} ${m.unit}`)]))),
    h('dl', null, ...node.facts.flatMap(([label, text]) => {
      const wide = label.length > 12 || text.length > 60 ? 'wide' : '';
      return [h('dt', { class: wide }, plain(label)), h('dd', { class: wide }, plain(text))];
    })),
    h(Neighbours, { graph, index, go }),
    others.map((other) => h(Twin, { key: other.title, other, node, go })),
  );
}

function Group({ graph, operators, go }) {
  const rows = operators.map((i) => h('li', { key: i }, h('button', { type: 'button', onClick: () => go(graph, i) }, `op ${graph.nodes[i].index} ${plain(graph.nodes[i].kind)}`)));
  return h('div', null, h('h3', null, `${operators.length} operators`), h('ul', { class: 'list' }, rows));
}

function Neighbours({ graph, index, go }) {
  const from = graph.edges.filter((e) => e.target === index && e.source >= 0).map((e) => e.source);
  const to = graph.edges.filter((e) => e.source === index).map((e) => e.target);
  const list = (title, found) =>
    found.length > 0 &&
    h('p', { class: 'near' }, title, ...[...new Set(found)].map((i) => h('button', { type: 'button', onClick: () => go(graph, i) }, `op ${graph.nodes[i].index} ${plain(graph.nodes[i].kind)}`)));
  return h('div', null, list('reads ', from), list('read by ', to));
}

// Positions of the operators of another graph that do the same.
export function twins(other, node) {
  return other.nodes.flatMap((n, i) => (n.name === node.name || node.twins.includes(i) || n.twins.includes(node.place) ? [i] : []));
}

function Twin({ other, node, go }) {
  const found = twins(other, node);
  if (!found.length) return null;
  return h('p', { class: 'near' }, `${plain(other.title)}: `, ...found.map((i) => h('button', { type: 'button', onClick: () => go(other, i) }, `op ${other.nodes[i].index} ${plain(other.nodes[i].kind)}`)));
}

// Counts over the range that the codes have; the bars at its ends are what saturates.
function Histogram({ of }) {
  const most = Math.max(1, ...of.counts.map((n) => Math.sqrt(n)));
  const width = 100 / of.counts.length;
  const bars = of.counts.map((n, i) => {
    const height = (Math.sqrt(n) / most) * 60;
    const end = (i === 0 && of.clipped_low > 0) || (i === of.counts.length - 1 && of.clipped_high > 0);
    return h('rect', { key: i, x: i * width, y: 60 - height, width: width * 0.9, height, class: end ? 'end' : 'bar' });
  });
  const ends = [[of.clipped_low, 'smallest'], [of.clipped_high, 'largest']].filter(([part]) => part > 0);
  const said = ends.length ? ends.map(([part, which]) => `${number(100 * part)} % have the ${which} code`).join(', ') : 'none has the smallest or largest code';
  return h(
    'figure',
    { class: 'histogram' },
    h('svg', { viewBox: '0 0 100 60', preserveAspectRatio: 'none', role: 'img', 'aria-label': `values from ${number(of.low)} to ${number(of.high)}; ${said}` }, bars),
    h('figcaption', null, h('span', null, number(of.low)), h('span', null, said), h('span', null, number(of.high))),
  );
}
