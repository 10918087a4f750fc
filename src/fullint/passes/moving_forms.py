"""Operators that move values, written with those that a target has.

SQUEEZE(x)                     =>   RESHAPE(x)
SPLIT_V(x, [2, 3])             =>   SLICE(x, 0, 2), SLICE(x, 2, 3)
GATHER(x, [4, 5, 1])           =>   CONCATENATION(SLICE(x, 4, 2), SLICE(x, 1, 1))
TILE([a, b], (2, 3))           =>   RESHAPE [1, a, 1, b] -> BROADCAST_TO [2, a, 3, b] -> RESHAPE [2 a, 3 b]
DEPTH_TO_SPACE([n, h, w, b b c])
    =>   RESHAPE [n h, 1, w, b b c] -> SPLIT, b times [n h, 1, w, b c] -> CONCATENATION [n h, b, w, b c] -> RESHAPE
SPACE_TO_DEPTH                 =>   the same the other way round
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fullint.model.ir import Op, Tensor, constant
from fullint.ops.make import make_op, make_reshape
from fullint.passes.engine import Rewrite

MOST_AXES = 5
"""Of BROADCAST_TO, where a target has it (TensorFlow Lite Micro, kernels/broadcast_to.cc)."""
MOST_STRETCHES = 16
"""Of a GATHER, each of which is a copy."""


def _squeeze(op: Op) -> Rewrite | None:
    x, out = op.input(0), op.outputs[0]
    if x is None or -1 in out.shape:
        return None
    return Rewrite((op,), (make_reshape(x, out),), "the target has no SQUEEZE: written as RESHAPE")


def _split_v(op: Op) -> Rewrite | None:
    x, axis = op.input(0), op.input(2)
    if x is None or axis is None or axis.buffer is None or -1 in x.shape:
        return None
    along = int(axis.array.reshape(-1)[0]) % len(x.shape)
    new, begin = [], 0
    for out in op.outputs:
        new.append(_slice(x, along, begin, out))
        begin += out.shape[along]
    return Rewrite((op,), tuple(new), "the target has no SPLIT_V: written as SLICE")


def _gather(op: Op) -> Rewrite | None:
    x, indices, out = op.input(0), op.input(1), op.outputs[0]
    if x is None or indices is None or x.buffer is not None or indices.buffer is None or -1 in x.shape:
        return None
    if int(op.options.get("batch_dims") or 0) or not indices.array.size:
        return None
    axis = int(op.options.get("axis") or 0) % len(x.shape)
    flat = indices.array.reshape(-1).astype(int)
    starts = np.flatnonzero(np.diff(flat, prepend=flat[0] - 2) != 1)
    if len(starts) > MOST_STRETCHES or flat.min() < 0 or flat.max() >= x.shape[axis]:
        return None
    ends = [*starts[1:], len(flat)]
    joined = Tensor(f"{out.name}/joined", (*x.shape[:axis], len(flat), *x.shape[axis + 1 :]), x.dtype)
    pieces = [_like(joined, axis, int(end - start), f"piece{i}") for i, (start, end) in enumerate(zip(starts, ends, strict=True))]
    new = [_slice(x, axis, int(flat[start]), piece) for start, piece in zip(starts, pieces, strict=True)]
    if len(pieces) == 1:
        joined = pieces[0]
    else:
        new.append(make_op("CONCATENATION", pieces, [joined], axis=axis))
    new.append(make_reshape(joined, out))
    return Rewrite((op,), tuple(new), "the target has no GATHER: written as SLICE of what it picks")


def _tile(op: Op) -> Rewrite | None:
    x, times, out = op.input(0), op.input(1), op.outputs[0]
    if x is None or times is None or times.buffer is None or not all(x.shape):
        return None
    counts = [int(n) for n in times.array.reshape(-1)]
    blocks: list[tuple[int, int]] = []  # (count, size): what follows an axis and is not repeated is part of its block
    for size, count in zip(x.shape, counts, strict=True):
        if count == 1 and blocks:
            blocks[-1] = (blocks[-1][0], blocks[-1][1] * size)
        else:
            blocks.append((count, size))
    before = [n for count, size in blocks for n in ((1, size) if count > 1 else (size,))]
    after = [n for count, size in blocks for n in ((count, size) if count > 1 else (size,))]
    if len(after) > MOST_AXES or 0 in counts:
        return None
    apart = Tensor(f"{out.name}/apart", tuple(before), x.dtype)
    spread = Tensor(f"{out.name}/spread", tuple(after), x.dtype)
    sizes = constant(f"{out.name}/sizes", np.array(after, np.int32))
    new = (make_reshape(x, apart), make_op("BROADCAST_TO", [apart, sizes], [spread]), make_reshape(spread, out))
    return Rewrite((op,), new, "the target has no TILE: written as RESHAPE, BROADCAST_TO, RESHAPE")


def _depth_to_space(op: Op) -> Rewrite | None:
    x, out, b = op.input(0), op.outputs[0], int(op.options["block_size"])
    if x is None or len(x.shape) != 4 or -1 in x.shape:
        return None
    n, h, w, c = x.shape
    return _regrouped(op, x, (n * h, 1, w, c), 3, (n * h, b, w, c // b), 1, out)


def _space_to_depth(op: Op) -> Rewrite | None:
    x, out, b = op.input(0), op.outputs[0], int(op.options["block_size"])
    if x is None or len(x.shape) != 4 or -1 in x.shape:
        return None
    n, h, w, c = x.shape
    return _regrouped(op, x, (n * h // b, b, w // b, b * c), 1, (n * h // b, 1, w // b, b * b * c), 3, out)


def _regrouped(op: Op, x: Tensor, before: Sequence[int], apart: int, after: Sequence[int], join: int, out: Tensor) -> Rewrite:
    """One axis taken apart in blocks, and the blocks joined along another."""
    b = int(op.options["block_size"])
    first = Tensor(f"{out.name}/apart", tuple(before), x.dtype)
    last = Tensor(f"{out.name}/joined", tuple(after), x.dtype)
    pieces = [_like(first, apart, before[apart] // b, f"piece{i}") for i in range(b)]
    axis = constant(f"{out.name}/axis", np.array(apart, np.int32))
    new = (
        make_reshape(x, first),
        make_op("SPLIT", [axis, first], pieces, num_splits=b),
        make_op("CONCATENATION", pieces, [last], axis=join),
        make_reshape(last, out),
    )
    return Rewrite((op,), new, f"the target has no {op.kind}: written as SPLIT and CONCATENATION of its blocks")


def _like(t: Tensor, axis: int, size: int, name: str) -> Tensor:
    """A tensor of another size along one axis."""
    return Tensor(f"{t.name}/{name}", (*t.shape[:axis], size, *t.shape[axis + 1 :]), t.dtype)


def _slice(x: Tensor, axis: int, begin: int, out: Tensor) -> Op:
    starts = np.zeros(len(x.shape), np.int32)
    starts[axis] = begin
    sizes = np.array(x.shape, np.int32)
    sizes[axis] = out.shape[axis]
    return make_op("SLICE", [x, constant(f"{out.name}/begin", starts), constant(f"{out.name}/size", sizes)], [out])


MOVING_FORMS: Mapping[str, Callable[[Op], Rewrite | None]] = {
    "SQUEEZE": _squeeze,
    "SPLIT_V": _split_v,
    "GATHER": _gather,
    "TILE": _tile,
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_DEPTH": _space_to_depth,
}
"""Operators that only move values, whatever their type, written with others."""
