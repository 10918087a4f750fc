"""Output scales raised to the least that kernels take.

    y = a/2 + b/2 with b = -a        y is a few rounding errors, 1e-9; a step of a is 0.01
    ADD:  s_y > max(s_a, s_b) / 2^19                            =>   y gets steps of 2e-8, and is zero

A result that small beside its operands is a cancellation: it is less than a two-thousandth of an operand's step, so nothing
of it is left in integers whatever its scale. Where a mask, not a cancellation, makes an operand large, the result is not
small; only the part of it that readers can tell apart is (`useful_ranges`). Then its scale stays, and the operator is refused.

SOFTMAX needs input steps above 2^-26: a network that is not trained, or vanishes, has smaller ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Op, Tensor
from fullint.model.numerics import BIAS_MAX, TINY_RANGE, activation_params
from fullint.model.ranges import Range
from fullint.model.weights import INT8_WEIGHTS
from fullint.ops import ROWS, OpRow, Role
from fullint.quantization.assignment import Encoding, Operand
from fullint.quantization.element_types import ElementTypes
from fullint.quantization.tensor_groups import TensorGroups

ROOM = 1.001
"""The least scale is exceeded by this factor."""
SWEEPS = 20
"""A raised scale may raise those behind it, in a loop for ever."""


def raise_scales(
    ops: Sequence[Op],
    groups: TensorGroups,
    constants: Mapping[Operand, Encoding],
    measured: Mapping[Tensor, Range],
    types: ElementTypes,
) -> tuple[str, ...]:
    """Widen the ranges of groups whose scales kernels do not take, in place, and say so in sentences.

    Args:
        ops: that are to be integer, in execution order.
        groups: joined.
        constants: encodings of constants that are used like activations.
        measured: ranges as they were measured.
        types: element types.
    """
    operands = _Operands(groups, constants, types)
    before: dict[Op, float] = {}
    inputs: dict[Op, float] = {}
    for _ in range(SWEEPS):
        raised = 0
        for op in ops:
            needed = operands.least_input(op)
            if needed is not None and (x := op.input(0)) is not None:
                inputs.setdefault(op, float(groups.params(x).scale[0]))
                _widen(groups, x, needed * ROOM, types.of(op))
                raised += 1
            least = operands.least(op)
            if least is None or _scale_of(measured.get(op.outputs[0], Range(0.0, 0.0)), types.of(op)) > least:
                continue
            before.setdefault(op, float(groups.params(op.outputs[0]).scale[0]))
            _widen(groups, op.outputs[0], least * ROOM, types.of(op))
            raised += 1
        if not raised:
            break
    return (*_raised_inputs(groups, inputs), *_raised_outputs(groups, before))


def _raised_inputs(groups: TensorGroups, before: Mapping[Op, float]) -> Iterator[str]:
    for op, own in before.items():
        x = op.inputs[0]
        assert x is not None
        yield (
            f'{op.kind} "{op.output_name}": its input hardly differs from a constant; input scale raised from {own:.3g} to '
            f"{float(groups.params(x).scale[0]):.3g}, the least that the kernel takes"
        )


def _raised_outputs(groups: TensorGroups, before: Mapping[Op, float]) -> tuple[str, ...]:
    return tuple(
        f'{op.kind} "{op.output_name}": its operands cancel to less than their own rounding; output scale raised from {own:.3g}'
        f" to {float(groups.params(op.outputs[0]).scale[0]):.3g}, the least that the kernel takes"
        for op, own in before.items()
    )


def _widen(groups: TensorGroups, t: Tensor, scale: float, kind: str) -> None:
    """Let a tensor's group have a scale."""
    span = groups.whole_range(t)
    half = scale * (127.5 if kind == "int8" else 32767)
    groups.widen(t, span.scale(scale / _scale_of(span, kind)) if span.width >= TINY_RANGE else Range(-half, half))


def _scale_of(span: Range, kind: str) -> float:
    return float(activation_params(span, kind).scale[0])


@dataclass(frozen=True)
class _Operands:
    """The scales of operands as kernels will see them, as far as groups are known."""

    groups: TensorGroups
    constants: Mapping[Operand, Encoding]
    types: ElementTypes

    def least(self, op: Op) -> float | None:
        """What the scale of an operator's output has to exceed, where it does not, and can be changed."""
        row, out = ROWS.get(op.kind), op.outputs[0] if op.outputs else None
        if row is None or out is None or out.dtype != "float32" or self.groups.root(out) in self.groups.fixed:
            return None
        found = [self.scale(op, row, i, t) for i, t in enumerate(op.inputs) if t is not None and row.scaled(i)]
        scales = [s for s in found if s is not None]
        least = row.least_scale(scales, self.types.of(op) == "int16") if scales else 0.0
        return None if float(self.groups.params(out).scale[0]) > least else least

    def least_input(self, op: Op) -> float | None:
        """What the scale of an operator's first input has to exceed, where it does not, and can be changed."""
        row, x = ROWS.get(op.kind), op.input(0)
        if row is None or x is None or x.is_constant or x.dtype != "float32" or self.groups.root(x) in self.groups.fixed:
            return None
        needed = row.least_input(op) if self.types.of(op) == "int8" else 0.0
        return needed if needed > 0 and not float(self.groups.params(x).scale[0]) > needed else None

    def scale(self, op: Op, row: OpRow, index: int, t: Tensor) -> float | None:
        """The scale of one operand; None for what has any."""
        kind = self.types.of(op)
        if row.role(index) is Role.WEIGHT:
            return self.weights(op, row, t)
        if t.is_constant:
            zeros = row.traits.adds is not None and not t.array.any()
            return None if zeros else float(self.constants[op, index].quant.scale[0])
        if self.types.of_tensor(t) != kind:
            return _scale_of(self.groups.whole_range(t), kind)
        return float(self.groups.params(t).scale[0])

    def weights(self, op: Op, row: OpRow, w: Tensor) -> float:
        """The largest scale of the weights, raised where the bias asks for it."""
        if not w.is_constant:
            return self.groups.whole_range(w).largest / INT8_WEIGHTS.most
        x, b = op.input(row.data), op.input(row.bias) if row.bias is not None else None
        own = float(INT8_WEIGHTS.scales(w.array).max())
        given = float(w.quant.scale.max()) if w.quant is not None and w.quant.scale.size else 0.0
        of_bias = 0.0
        if b is not None and b.is_constant and x is not None and not x.is_constant:
            of_bias = float(np.abs(b.array).max(initial=0.0)) / BIAS_MAX / float(self.groups.params(x).scale[0])
        return max(own, given, of_bias)
