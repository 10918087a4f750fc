// Where the boxes of a graph stand.
//
//   a -> b -> c          cut where one box alone is passed       [a] [b] [c ...] [h]
//             c -> d,e -> h                                      each piece by dagre, one below the other
//
// A network is mostly a chain, so pieces are small, and the time grows with the number of boxes instead of its square.
import { Graph, layout } from '@dagrejs/dagre';

const GAP = 28;

export function place(nodes, edges) {
  const next = nodes.map(() => []);
  for (const e of edges) if (e.source >= 0) next[e.source].push(e.target);
  const at = nodes.map(() => ({ x: 0, y: 0 }));
  let y = 0;
  for (const piece of pieces(nodes.length, next)) {
    y = placed(piece, nodes, edges, at, y) + GAP;
  }
  return at;
}

// Consecutive boxes, cut after each that all later boxes are reached through. Boxes are in an order in which they can run.
function pieces(count, next) {
  const found = [];
  let start = 0;
  let furthest = 0; // the last box that something before reaches
  for (let i = 0; i < count; i++) {
    if (i >= furthest) {
      found.push([start, i]);
      start = i + 1;
    }
    for (const to of next[i]) furthest = Math.max(furthest, to);
  }
  if (start < count) found.push([start, count - 1]);
  return found;
}

function placed([first, last], nodes, edges, at, top) {
  if (first === last) {
    at[first] = { x: 0, y: top + nodes[first].h / 2 };
    return top + nodes[first].h;
  }
  const g = new Graph({ multigraph: false });
  g.setGraph({ rankdir: 'TB', nodesep: 18, ranksep: GAP, ranker: last - first > 400 ? 'longest-path' : 'network-simplex' });
  g.setDefaultEdgeLabel(() => ({}));
  for (let i = first; i <= last; i++) g.setNode(String(i), { width: nodes[i].w, height: nodes[i].h });
  for (const e of edges) {
    if (e.source >= first && e.source <= last && e.target >= first && e.target <= last) g.setEdge(String(e.source), String(e.target));
  }
  layout(g);
  const xs = [];
  let bottom = 0;
  for (let i = first; i <= last; i++) {
    const n = g.node(String(i));
    at[i] = { x: n.x, y: top + n.y };
    xs.push(n.x);
    bottom = Math.max(bottom, n.y + nodes[i].h / 2);
  }
  const middle = (Math.min(...xs) + Math.max(...xs)) / 2;
  for (let i = first; i <= last; i++) at[i].x -= middle;
  return top + bottom;
}
