"""Constants of a written model share bytes if, and only if, these are equal, and type and parameters are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from fullint.model.ir import Buffer, Graph, Model, Quant, Tensor

WORTH_SHARING = 4096
"""Bytes from which on equal constants are looked for."""


def share_equal_bytes(model: Model, given: AbstractSet[Tensor]) -> None:
    """Constants share bytes if, and only if, these are equal, and type and parameters are; in place, but for tensors `given`."""
    buffers: dict[Tensor, Buffer] = {}
    equal: dict[tuple[bytes, str, bytes], Buffer] = {}
    seen: dict[Buffer, Tensor] = {}
    for t in (t for graph in model.graphs for t in graph.tensors if t.buffer is not None):
        assert t.buffer is not None
        shared = t.buffer
        if shared.data.nbytes >= WORTH_SHARING:
            digest = hashlib.blake2b(shared.data.tobytes()).digest()
            shared = equal.setdefault((digest, t.dtype, quant_key(t.quant) if t.quant is not None else b""), shared)
        buffers[t] = shared
    for t, shared in buffers.items():
        first = seen.setdefault(shared, t)
        same = first.quant is t.quant or (t.quant is not None and t.quant.same_as(first.quant))
        if first is not t and not (same and first.dtype == t.dtype):
            buffers[t] = Buffer(shared.data)
    own: dict[Tensor, Tensor] = {}
    for t, shared in buffers.items():
        if shared is not t.buffer and t in given:
            own[t] = replace(t, buffer=shared)
        else:
            t.buffer = shared
    if own:
        for graph in model.graphs:
            _swap(graph, own)
        for s in model.signatures:
            s.inputs, s.outputs = [(n, own.get(t, t)) for n, t in s.inputs], [(n, own.get(t, t)) for n, t in s.outputs]


def _swap(graph: Graph, own: Mapping[Tensor, Tensor]) -> None:
    """Put tensors in the place of others, in place."""
    graph.tensors = [own.get(t, t) for t in graph.tensors]
    graph.inputs, graph.outputs = [own.get(t, t) for t in graph.inputs], [own.get(t, t) for t in graph.outputs]
    for op in graph.ops:
        op.inputs = [None if t is None else own.get(t, t) for t in op.inputs]
        op.outputs = [own.get(t, t) for t in op.outputs]


def quant_key(quant: Quant) -> bytes:
    """Parameters as bytes: equal for equal ones."""
    return quant.scale.tobytes() + quant.zero_point.tobytes() + bytes([quant.axis])
