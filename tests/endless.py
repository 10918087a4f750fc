"""Models that take too much: a loop that never ends, and one that asks for more memory than it may have."""

from __future__ import annotations

import numpy as np

from fullint.ops.builder import Builder


def endless_loop() -> bytes:
    """x / 2, again and again: its condition is always true."""
    cond, body, g = Builder(name="cond"), Builder(name="body"), Builder()
    x = cond.input(1, 4)
    cond.output(
        cond.op("LESS", cond.op("REDUCE_MIN", x, cond.const(np.array([0, 1], np.int32)), shape=()), cond.const(1e30), shape=())
    )
    y = body.input(1, 4)
    body.output(body.op("MUL", y, body.const(0.5)))
    graphs = {"cond_subgraph_index": cond.graph, "body_subgraph_index": body.graph}
    g.output(g.op("WHILE", g.input(1, 4), shape=(1, 4), dtype="float32", outputs=1, **graphs))
    return g.bytes("serve")


def large(gigabytes: float) -> bytes:
    """A small file whose only intermediate tensor has so many gigabytes."""
    g = Builder()
    count = int(gigabytes * 1e9 / 4 / 1024)
    x = g.input(1, 1024)
    wide = g.op("BROADCAST_TO", x, g.const(np.array([count, 1024], np.int32)), shape=(count, 1024))
    wide = g.op("NEG", wide)
    g.output(g.op("REDUCE_MAX", wide, g.const(np.array([0], np.int32)), shape=(1, 1024), keep_dims=True))
    return g.bytes("serve")
