"""Fuse activations into the operator before them.

    CONV_2D -> RELU6             =>   CONV_2D(RELU6)
    CONV_2D -> MAXIMUM(0)        =>   CONV_2D(RELU)

A fused TANH or SIGN_BIT, which the format allows, is left as it is: LiteRT's float kernels do not apply it either.
"""

from __future__ import annotations

from fullint.model.ir import Op, Uses
from fullint.ops import ROWS
from fullint.ops.make import ACTIVATIONS
from fullint.passes.engine import No, Rewrite

_CLAMPS = {"RELU": "RELU", "RELU6": "RELU6", "RELU_N1_TO_1": "RELU_N1_TO_1"}


def fuse_activation(op: Op, uses: Uses) -> Rewrite | No | None:
    """Fuse a clamp into the operator before it, if that operator's int8 kernel can clamp."""
    clamp = _clamp(op)
    x = op.inputs[0] if op.inputs else None
    before = uses.producer.get(x) if x is not None else None
    if clamp is None or x is None or before is None or not op.outputs[0].is_float or op.outputs[0].shape != x.shape:
        return None
    row = ROWS.get(before.kind)
    if row is None or clamp not in row.fuses or before.options.get("fused_activation_function"):
        return None
    if uses.only_reader(x) is not op:
        return No("the value before the activation has other readers")
    new = Op(before.kind, before.inputs, op.outputs, {**before.options}, before.options_type, version=before.version)
    new.options["fused_activation_function"] = ACTIVATIONS[clamp]
    return Rewrite((before, op), (new,), f"{clamp} fused into {before.kind}")


def _clamp(op: Op) -> str | None:
    """The name of the clamp that an operator computes, or None."""
    if op.kind in _CLAMPS:
        return _CLAMPS[op.kind]
    if op.kind == "MAXIMUM" and (c := op.input(1)) is not None and c.buffer is not None and c.dtype == "float32":
        return "RELU" if c.size == 1 and float(c.array.reshape(-1)[0]) == 0 else None
    return None
