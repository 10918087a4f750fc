"""BIDIRECTIONAL_SEQUENCE_LSTM written with UNIDIRECTIONAL_SEQUENCE_LSTM, which has an integer kernel.

    BIDIRECTIONAL_SEQUENCE_LSTM(x)   =>   f = UNIDIRECTIONAL_SEQUENCE_LSTM(x)
                                          b = REVERSE_V2(UNIDIRECTIONAL_SEQUENCE_LSTM(REVERSE_V2(x)))
                                          f, b    or, merged,    CONCATENATION(f, b)

(Each direction keeps its own state.)
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant, twin
from fullint.ops.make import make_op
from fullint.passes.engine import No, Rewrite

_SIDE = 17
"""Number of operands of one direction: weights, peepholes, biases, projection."""
_FIRST_STATE, _AUX = 35, 39
_FULL = 24


def bidirectional_apart(op: Op, uses: Uses) -> Rewrite | No | None:
    """Write each direction as an operator of its own."""
    x = op.input(0)
    if op.kind != "BIDIRECTIONAL_SEQUENCE_LSTM" or x is None or not op.outputs[0].is_float:
        return None
    if any(op.input(i) is not None for i in range(_AUX, len(op.inputs))):
        return No("it has an auxiliary input")
    time = 0 if op.options.get("time_major") else 1
    axis = constant(f"{op.outputs[0].name}/time", np.array([time], np.int32))
    merged = bool(op.options.get("merge_outputs"))
    forward, backward = _results(op, merged)
    turned, result = twin(x, f"{x.name}/reversed"), twin(backward, f"{backward.name}/reversed")
    ops = [
        _one_way(op, 0, x, forward),
        make_op("REVERSE_V2", [x, axis], [turned]),
        _one_way(op, 1, turned, result),
        make_op("REVERSE_V2", [result, axis], [backward]),
    ]
    if merged:
        ops.append(make_op("CONCATENATION", [forward, backward], [op.outputs[0]], axis=2))
    return Rewrite((op,), tuple(ops), "written as two UNIDIRECTIONAL_SEQUENCE_LSTM, one on the reversed sequence")


def _results(op: Op, merged: bool) -> tuple[Tensor, Tensor]:
    if not merged:
        return op.outputs[0], op.outputs[1]
    out = op.outputs[0]
    widths = [(op.input(16 + side * _SIDE) or op.inputs[6 + side * _SIDE]) for side in (0, 1)]
    made = []
    for name, w in zip(("forward", "backward"), widths, strict=True):
        t = twin(out, f"{out.name}/{name}")
        assert w is not None
        t.shape = (*out.shape[:-1], w.shape[0])
        made.append(t)
    return made[0], made[1]


def _one_way(op: Op, side: int, x: Tensor, out: Tensor) -> Op:
    start = 1 + side * _SIDE
    states = op.inputs[_FIRST_STATE + 2 * side : _FIRST_STATE + 2 * side + 2]
    inputs: list[Tensor | None] = [x, *op.inputs[start : start + _SIDE], *states]
    o = op.options
    new = make_op(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        inputs,
        [out],
        fused_activation_function=o.get("fused_activation_function", 0),
        cell_clip=o.get("cell_clip", 0.0),
        proj_clip=o.get("proj_clip", 0.0),
        time_major=o.get("time_major", False),
    )
    new.inputs = [*inputs, *[None] * (_FULL - len(inputs))]
    return new
