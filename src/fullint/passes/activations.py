"""Activations fused into the operator before them, and fused ones that int8 has not taken out.

    CONV_2D -> RELU6             =>   CONV_2D(RELU6)
    CONV_2D -> MAXIMUM(0)        =>   CONV_2D(RELU)
    CONV_2D(TANH)                =>   CONV_2D -> TANH
"""

from __future__ import annotations

from fullint.build import ACTIVATIONS, make_op
from fullint.ir import Op, Uses, twin
from fullint.ops import ROWS
from fullint.rewrite import No, Rewrite

_CLAMPS = {"RELU": "RELU", "RELU6": "RELU6", "RELU_N1_TO_1": "RELU_N1_TO_1"}
_NAMES = {v: k for k, v in ACTIVATIONS.items()}


def fuse_activation(op: Op, uses: Uses) -> Rewrite | No | None:
    """A clamp after an operator whose int8 kernel can clamp."""
    clamp = _clamp(op)
    x = op.inputs[0] if op.inputs else None
    before = uses.producer.get(x) if x is not None else None
    if clamp is None or x is None or before is None or not op.outputs[0].is_float:
        return None
    row = ROWS.get(before.kind)
    if row is None or clamp not in row.fuses or before.options.get("fused_activation_function"):
        return None
    if uses.only_reader(x) is not op:
        return No("the value before the activation is read elsewhere too")
    new = Op(before.kind, before.inputs, op.outputs, {**before.options}, before.options_type, version=before.version)
    new.options["fused_activation_function"] = ACTIVATIONS[clamp]
    return Rewrite((before, op), (new,), f"{clamp} fused into {before.kind}")


def unfuse_activation(op: Op, uses: Uses) -> Rewrite | No | None:
    """TANH or SIGN_BIT fused into an operator, which no int8 kernel applies."""
    name = _NAMES.get(op.options.get("fused_activation_function", 0), "NONE")
    if name != "TANH" or not op.outputs[0].is_float:
        return None
    middle = twin(op.outputs[0], op.outputs[0].name + "/linear")
    before = Op(op.kind, op.inputs, [middle], {**op.options, "fused_activation_function": 0}, op.options_type, version=op.version)
    return Rewrite((op,), (before, make_op("TANH", [middle], op.outputs)), "TANH taken out of the operator")


def _clamp(op: Op) -> str | None:
    """The clamp an operator is, if it is one."""
    if op.kind in _CLAMPS:
        return _CLAMPS[op.kind]
    if op.kind == "MAXIMUM" and (c := op.input(1)) is not None and c.buffer is not None and c.dtype == "float32":
        return "RELU" if c.size == 1 and float(c.array.reshape(-1)[0]) == 0 else None
    return None
