"""Rows of recurrent operators, whose weights and state have special rules.

UNIDIRECTIONAL_SEQUENCE_LSTM, input and output int8, cell state int16:

    input weights        int8, scale |w|max / 127        bias  int32, scale s_in * s_w
    recurrent weights    int8                            projection bias  int32, scale s_hidden * s_w
    output state         int8, the output's parameters
    cell state           int16, power-of-two scale 2^m / 32768 that covers the largest cell value
    peephole weights     int16, scale |w|max / 32767
    intermediates        five; without layer normalization the kernel uses 2^-12 for the four gates and only
                         reads the fifth: the hidden state before the projection, int8 (without one, the output's)

SVDF, input and output int8, state int16:

    weights_feature      int8        weights_time  int16        state  int16
    bias                 int32, scale s_state * s_time
"""

from __future__ import annotations

import math

import numpy as np

from fullint.model.ir import Op, Quant
from fullint.model.weights import INT8_WEIGHTS, WeightSpec
from fullint.ops.base import Derived, Given, Observed, OpRow, Role, static

_INPUT_WEIGHTS, _RECURRENT_WEIGHTS, _PEEPHOLE, _BIAS = range(1, 5), range(5, 9), range(9, 12), range(12, 16)
_PROJECTION, _PROJECTION_BIAS, _OUTPUT_STATE, _CELL_STATE = 16, 17, 18, 19
_LAYER_NORM = range(20, 24)
_INT16_WEIGHTS = WeightSpec(bits=16)
CELL_ROOM = 2.0
"""Cell values are measured between runs, not within a run; the scale covers this multiple of the largest one."""


def _lstm(op: Op, given: Given) -> Derived:
    found: dict[int, tuple[str, Quant]] = {}
    scales: dict[int, float] = {}
    for i in (*_INPUT_WEIGHTS, *_RECURRENT_WEIGHTS, *_PEEPHOLE, _PROJECTION):
        w = op.input(i)
        if w is not None:
            spec = _INT16_WEIGHTS if i in _PEEPHOLE else INT8_WEIGHTS
            scales[i] = float(spec.scales(w.array)[0])
            found[i] = (spec.dtype, Quant.of(scales[i]))
    projected = op.input(_PROJECTION) is not None
    hidden = Quant.of(1 / 128, 0) if projected else given.output
    for i in _BIAS:
        if op.input(i) is not None:
            found[i] = ("int32", Quant.of(np.float32(given.inputs[0].scale[0]) * np.float32(scales[i - 11])))
    if op.input(_PROJECTION_BIAS) is not None:
        found[_PROJECTION_BIAS] = ("int32", Quant.of(hidden.scale[0] * np.float32(scales[_PROJECTION])))
    cell = max(given.state.get(_CELL_STATE, 1.0) * CELL_ROOM, 1.0)
    if (clip := op.options.get("cell_clip", 0.0)) > 0:
        cell = max(min(cell, clip), 1.0)  # the kernel's tanh does not support a smaller scale
    found[_OUTPUT_STATE] = ("int8", given.output)
    found[_CELL_STATE] = ("int16", Quant.of(2.0 ** (math.ceil(math.log2(cell)) - 15)))
    gates = tuple(("int16", Quant.of(2.0**-12)) for _ in range(4))
    return Derived(found, (*gates, ("int8", hidden)))


def _lstm_refuses(op: Op) -> str | None:
    if any(op.input(i) is not None for i in _LAYER_NORM):
        return "it has layer normalization, for which the kernel needs ranges of the gates, which cannot be measured from outside"
    if op.options.get("fused_activation_function") != 4:
        return "its activation is not TANH, the only one that the integer kernel supports"
    if any((w := op.input(i)) is not None and len(w.shape) != 2 for i in _RECURRENT_WEIGHTS):
        return "its recurrent weights are diagonal; the integer kernel requires matrices"
    return static(*(i for i in range(1, 18)))(op)


def _svdf(op: Op, given: Given) -> Derived:
    feature, time, bias = op.inputs[1], op.inputs[2], op.input(3)
    assert feature is not None and time is not None
    s_time = _INT16_WEIGHTS.scales(time.array)[0]
    s_state = np.float32(max(given.state.get(4, 1.0), 1e-6) * 1.25 / 32767)
    found = {
        1: (INT8_WEIGHTS.dtype, INT8_WEIGHTS.quant(INT8_WEIGHTS.scales(feature.array))),
        2: (_INT16_WEIGHTS.dtype, Quant.of(s_time)),
        4: ("int16", Quant.of(s_state)),
    }
    if bias is not None:
        found[3] = ("int32", Quant.of(s_state * s_time))
    return Derived(found)


def _svdf_refuses(op: Op) -> str | None:
    if op.options.get("fused_activation_function", 0) != 1:
        return "its fused activation is not RELU, the only one that the integer kernel supports (kernels/svdf.cc)"
    return static(1, 2, 3)(op)


ROWS = (
    OpRow(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        (Role.OWN, *(Role.DERIVED,) * 23),
        (Observed(),),
        3,
        "kernels/unidirectional_sequence_lstm.cc",
        "int8 input and output, int16 cell state with a power-of-two scale",
        derive=_lstm,
        refuses=_lstm_refuses,
        steps=6,
    ),
    OpRow(
        "SVDF",
        (Role.OWN, Role.DERIVED, Role.DERIVED, Role.DERIVED, Role.DERIVED),
        (Observed(),),
        3,
        "kernels/svdf.cc",
        "int8 input and output, int16 state and time weights",
        derive=_svdf,
        refuses=_svdf_refuses,
        steps=3,
    ),
)
