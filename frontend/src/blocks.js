// The blocks of a report: lines, facts, tables that sort, pictures.
import { h } from 'preact';
import { useState } from 'preact/hooks';
import { plain, value } from './text.js';

const TAGS = { title: 'h2', heading: 'h3' };

export function Blocks({ blocks, go }) {
  const shown = [];
  let facts = [];
  const flush = () => {
    if (facts.length) shown.push(h('dl', { class: 'facts' }, facts.flatMap((f) => [h('dt', null, plain(f.label)), h('dd', null, plain(f.text))])));
    facts = [];
  };
  for (const b of blocks) {
    if (b.block === 'fact') {
      facts.push(b);
      continue;
    }
    flush();
    if (b.block === 'line' && b.text) shown.push(h(TAGS[b.level] ?? 'p', { class: `${b.level} depth${Math.min(b.depth, 3)}` }, plain(b.text)));
    if (b.block === 'table') shown.push(h(Table, { table: b, go }));
    if (b.block === 'picture') shown.push(h('figure', { class: 'sample' }, h('img', { src: b.data, alt: plain(b.text) }), h('figcaption', null, plain(b.text))));
  }
  flush();
  return shown;
}

function Table({ table, go }) {
  const [order, setOrder] = useState({ column: -1, down: false });
  const rows = order.column < 0 ? table.rows : sorted(table.rows, order);
  const head = table.columns.map((name, i) => {
    const by = order.column === i ? (order.down ? 'descending' : 'ascending') : 'none';
    const numbers = table.rows.length > 0 && table.rows.every((row) => !Number.isNaN(value(row[i])));
    const turn = () => setOrder({ column: i, down: order.column === i ? !order.down : numbers && i > 0 });
    return h('th', { key: i, scope: 'col', 'aria-sort': by }, h('button', { type: 'button', onClick: turn }, plain(name)));
  });
  const most = table.columns.map((_, i) => share(table.rows.map((row) => row[i])));
  const body = rows.map((row, i) =>
    h('tr', { key: i }, row.map((cell, j) => h('td', { key: j, class: `${Number.isNaN(value(cell)) ? '' : 'number'}${cell.length > 40 ? ' long' : ''}`, style: most[j] ? { '--part': `${(100 * value(cell)) / most[j]}%` } : undefined, 'data-bar': most[j] ? '' : undefined }, j === 0 && table.graph >= 0 && /^\d+$/.test(cell) ? h('button', { type: 'button', onClick: () => go(table.graph, Number(cell)) }, cell) : plain(cell)))),
  );
  return h('div', { class: 'wide' }, table.title && h('h3', null, plain(table.title)), h('table', null, h('thead', null, h('tr', null, head)), h('tbody', null, body)));
}

// The largest of a column of percents, which gets bars; 0 of any other.
function share(cells) {
  if (cells.length < 2 || !cells.every((c) => /^-?[\d.,]+ %$/.test(c.trim()) || c === '')) return 0;
  return Math.max(...cells.map((c) => value(c) || 0));
}

function sorted(rows, { column, down }) {
  const found = [...rows].sort((a, b) => {
    const [x, y] = [value(a[column]), value(b[column])];
    return Number.isNaN(x) || Number.isNaN(y) ? a[column].localeCompare(b[column]) : x - y;
  });
  return down ? found.reverse() : found;
}
