"""A layer whose result is only cut in pieces becomes a layer for each piece, which then has a scale of its own.

    FULLY_CONNECTED(x, W, b) --SPLIT--> r, z, n       =>       r = FULLY_CONNECTED(x, Wr, br),  z = ...,  n = ...

So are the gates of recurrent cells made, and their sizes differ. Where the pieces of two layers are added, the sums can then be
made in one layer each (`quantization.joined_layers`). Which channels a piece has is what the runtime makes of their numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fullint.model.ir import Array, Graph, Model, Op, Tensor, Uses, constant
from fullint.ops import ROWS, traits_of
from fullint.passes.engine import Evaluate, Rewrite
from fullint.passes.fold_affine import is_dense, with_weights

MOST_PIECES, FEWEST_CHANNELS = 4, 8
"""A layer for less than this takes longer than what it saves."""

Pieces = Callable[[Op, Tensor], list[Array] | None]
CutWeights = dict[tuple[Tensor, bytes], Tensor]


def layers_apart(evaluate: Evaluate) -> Callable[[Op, Uses], Rewrite | None]:
    """The rule; layers that share their weights share the pieces, too.

    Args:
        evaluate: runs a model without inputs and returns its outputs.
    """
    known: dict[object, list[Array] | None] = {}
    cut: CutWeights = {}

    def pieces(op: Op, whole: Tensor) -> list[Array] | None:
        others = tuple(x.array.tobytes() if x is not None and x.is_constant else x for x in op.inputs if x is not whole)
        key = (op.kind, whole.shape, others, repr(op.options))
        if key not in known:
            known[key] = _channels_of(op, whole, evaluate)
        return known[key]

    def layer_apart(op: Op, uses: Uses) -> Rewrite | None:
        return _apart(op, uses, pieces, cut)

    return layer_apart


def _apart(op: Op, uses: Uses, pieces: Pieces, cut: CutWeights) -> Rewrite | None:
    """An operator that takes pieces of a layer's result, as layers; the old one goes when all such operators have gone."""
    whole = next((t for t in op.inputs if t is not None and t in uses.producer), None)
    layer = uses.producer[whole] if whole is not None and traits_of(op.kind).moves else None
    if whole is None or layer is None or whole in uses.outputs or not _can_be_cut(layer):
        return None
    readers = [reader for reader, _ in uses.of(whole)]
    found = {reader: None if reader.keep_float else pieces(reader, whole) for reader in readers if traits_of(reader.kind).moves}
    each = [channels for of_reader in found.values() for channels in of_reader or ()]
    taken = {int(c) for channels in each for c in channels}
    if None in found.values() or len(found) < len(readers) or len(taken) < sum(map(len, each)):
        return None
    if not 1 < len(each) <= MOST_PIECES or min(map(len, each)) < FEWEST_CHANNELS:
        return None
    new = tuple(_piece(layer, t, channels, cut) for t, channels in zip(op.outputs, found[op] or (), strict=True))
    return Rewrite((op,), new, f"one of {len(each)} pieces of a {layer.kind}, each written as a layer")


def _can_be_cut(op: Op) -> bool:
    """Whether an operator is a layer with weights, and perhaps a bias, for each channel of its only output."""
    if not is_dense(op) or len(op.outputs) != 1:
        return False
    row = ROWS[op.kind]
    w, b = op.input(row.weight or 0), op.input(row.bias or 0)
    return w is not None and w.quant is None and (b is None or b.size == op.outputs[0].shape[-1])


def _channels_of(op: Op, whole: Tensor, evaluate: Evaluate) -> list[Array] | None:
    """The channels of a tensor that each output of an operator has; None where they are not the same in all rows."""
    if not whole.shape or any(x is None or not (x is whole or x.is_constant) for x in op.inputs):
        return None
    numbers = np.broadcast_to(np.arange(whole.shape[-1], dtype=np.float32), whole.shape)
    inputs = [constant("numbers", np.ascontiguousarray(numbers)) if x is whole else x for x in op.inputs]
    outputs = [Tensor(t.name, t.shape, t.dtype) for t in op.outputs]
    inner = Op(op.kind, inputs, outputs, {**op.options}, op.options_type, version=op.version)
    graph = Graph("pieces", [], [], outputs, [inner])
    graph.sync_tensors()
    found = []
    for values in evaluate(Model([graph])):
        rows = values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)
        if values.shape[:-1] != tuple(whole.shape[:-1]) or (rows != rows[:1]).any():
            return None
        found.append(rows[0].astype(np.int64))
    return found


def _piece(op: Op, out: Tensor, channels: Array, cut: CutWeights) -> Op:
    row = ROWS[op.kind]
    w, b = op.inputs[row.weight or 0], op.input(row.bias or 0)
    assert w is not None
    new = with_weights(
        op, _rows(w, w.array, channels, cut), _rows(b, b.array.reshape(-1), channels, cut) if b is not None else None
    )
    new.outputs = [out]
    return new


def _rows(t: Tensor, values: Array, channels: Array, cut: CutWeights) -> Tensor:
    """The rows of a constant that make some channels."""
    key = (t, channels.tobytes())
    if key not in cut:
        cut[key] = constant(f"{t.name}/{int(channels[0])}", np.ascontiguousarray(values[channels]))
    return cut[key]
