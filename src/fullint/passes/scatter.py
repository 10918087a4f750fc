"""Operators that write at indices, rewritten with static shapes and correct zeros.

    CONCATENATION(SLICE(a, 0, [i, -1..]), x, SLICE(a, [i + 1, 0..], -1))  =>  DYNAMIC_UPDATE_SLICE(a, x, [i, 0..])
    SCATTER_ND(constant indices, x, shape)          =>   GATHER(CONCATENATION(x, zeros), source of each row)
    SEGMENT_SUM(x, constant segments)               =>   a product with a matrix of 0 and 1

Converters use the first form to write to a list inside a loop. The int8 kernels of the second and third leave the integer
0 where nothing is written, which is not the real value 0.
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Array, Op, Tensor, Uses, constant, twin
from fullint.ops.make import make_op, make_reshape
from fullint.passes.engine import No, Rewrite, private


def list_update(op: Op, uses: Uses) -> Rewrite | None:
    """Recognise the pattern at its CONCATENATION."""
    if op.kind != "CONCATENATION" or len(op.inputs) != 3 or op.options.get("axis") != 0 or not op.outputs[0].is_float:
        return None
    before, x, after = op.inputs
    first, last = (uses.producer.get(t) if t is not None else None for t in (before, after))
    if x is None or first is None or last is None or first.kind != "SLICE" or last.kind != "SLICE":
        return None
    a = first.inputs[0]
    size, start = _joined(first.inputs[2], uses), _joined(last.inputs[1], uses)
    if a is None or last.inputs[0] is not a or size is None or start is None or x.shape[0] != 1:
        return None
    i, after_i = _scalar(size.inputs[0], uses), _scalar(start.inputs[0], uses)
    step = uses.producer.get(after_i) if after_i is not None else None
    if i is None or step is None or step.kind != "ADD" or i not in step.inputs or not _has_one(step):
        return None
    zeros = constant(f"{op.outputs[0].name}/zeros", np.zeros(len(a.shape) - 1, np.int32))
    at = Tensor(f"{op.outputs[0].name}/start", (len(a.shape),), "int32")
    new = (
        make_op("CONCATENATION", [size.inputs[0], zeros], [at], axis=0),
        make_op("DYNAMIC_UPDATE_SLICE", [a, x, at], op.outputs),
    )
    gone = private(op, [first, last], uses)
    return Rewrite((*gone, op), new, "SLICE, SLICE, CONCATENATION recognised as DYNAMIC_UPDATE_SLICE")


def _joined(t: Tensor | None, uses: Uses) -> Op | None:
    """The CONCATENATION or PACK of an index and constants that makes a start or size, or None."""
    op = uses.producer.get(t) if t is not None else None
    return op if op is not None and op.kind in ("CONCATENATION", "PACK") and op.inputs[0] is not None else None


def _scalar(t: Tensor | None, uses: Uses) -> Tensor | None:
    """The scalar before a RESHAPE to [1]; otherwise the tensor itself."""
    op = uses.producer.get(t) if t is not None else None
    return op.inputs[0] if op is not None and op.kind in ("RESHAPE", "EXPAND_DIMS") else t


def _has_one(op: Op) -> bool:
    return any(t is not None and t.buffer is not None and t.array.reshape(-1).tolist() == [1] for t in op.inputs)


def scatter_as_gather(op: Op, uses: Uses) -> Rewrite | No | None:
    """SCATTER_ND at constant indices as GATHER."""
    if op.kind != "SCATTER_ND" or not op.outputs[0].is_float:
        return None
    indices, x, out = op.inputs[0], op.inputs[1], op.outputs[0]
    if indices is None or x is None or indices.buffer is None or any(n < 0 for n in out.shape):
        return No("its indices are computed at run time")
    depth = indices.shape[-1]
    rows, width = int(np.prod(out.shape[:depth])), int(np.prod(out.shape[depth:]))
    at = indices.array.reshape(-1, depth)
    if (at < 0).any() or (at >= np.asarray(out.shape[:depth])).any():
        return No("an index is outside the result")
    places = np.ravel_multi_index(tuple(at.T), out.shape[:depth])
    if np.unique(places).size != places.size:
        return No("it adds several values at the same index")
    source = np.full(rows, places.size, np.int32)
    source[places] = np.arange(places.size)
    flat, more, picked = (Tensor(f"{out.name}/{n}", (k, width), "float32") for n, k in _parts(places.size, rows))
    zeros = constant(f"{out.name}/zeros", np.zeros((1, width), np.float32))
    new = (
        make_reshape(x, flat),
        make_op("CONCATENATION", [flat, zeros], [more], axis=0),
        make_op("GATHER", [more, constant(f"{out.name}/rows", source)], [picked], axis=0),
        make_reshape(picked, out),
    )
    return Rewrite((op,), new, "SCATTER_ND at constant indices written as GATHER")


def _parts(given: int, rows: int) -> tuple[tuple[str, int], ...]:
    return ("flat", given), ("more", given + 1), ("picked", rows)


def segment_sum_as_dense(op: Op, uses: Uses) -> Rewrite | No | None:
    """SEGMENT_SUM and UNSORTED_SEGMENT_SUM with constant segments as FULLY_CONNECTED."""
    if op.kind not in ("SEGMENT_SUM", "UNSORTED_SEGMENT_SUM") or not op.outputs[0].is_float:
        return None
    x, ids, out = op.inputs[0], op.inputs[1], op.outputs[0]
    if x is None or ids is None or ids.buffer is None or len(ids.shape) != 1:
        return No("its segments are computed at run time")
    n, count, width = x.shape[0], out.shape[0], int(np.prod(x.shape[1:]))
    member = (np.arange(count)[:, None] == ids.array[None, :]).astype(np.float32)
    return Rewrite(
        (op,), tuple(_product(x, out, member, n, width)), f"sum of {count} segments written as a product with zeros and ones"
    )


def _product(x: Tensor, out: Tensor, member: Array, n: int, width: int) -> list[Op]:
    """The product member . x along the first axis; `member` is a matrix of zeros and ones."""
    swap = constant(f"{out.name}/swap", np.array([1, 0], np.int32))
    flat, turned, sums, back = (twin(out, f"{out.name}/{s}") for s in ("flat", "turned", "sums", "back"))
    flat.shape, turned.shape = (n, width), (width, n)
    sums.shape, back.shape = (width, len(member)), (len(member), width)
    return [
        make_reshape(x, flat),
        make_op("TRANSPOSE", [flat, swap], [turned]),
        make_op("FULLY_CONNECTED", [turned, constant(f"{out.name}/member", member), None], [sums]),
        make_op("TRANSPOSE", [sums, swap], [back]),
        make_reshape(back, out),
    ]
