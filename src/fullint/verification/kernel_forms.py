"""Operators that stand for a large network on the slow kernel sets: one of each form, that with the least work.

    CONV_2D 3x3 (16 of them), ADD (16), ...     4.1 giga-MACs, four seconds on the reference kernels
      =>   CONV_2D 3x3 "b'"    ADD "c'"  ...    side by side; each reads what XNNPACK computed before it

How a kernel computes depends on an operator's form, not on where it stands: on its kind, its options, the types of what it
reads and makes, and the window of its weights. Given the same inputs, its outputs on two kernel sets differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fullint.calibration.signatures import with_outputs
from fullint.model.ir import Array, Graph, Model, Op, Tensor
from fullint.model.operators_alone import Isolated, operators_alone
from fullint.ops import ROWS
from fullint.ops.macs import macs, total_macs
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import count_far, largest_steps, real
from fullint.verification.kernels_apart import in_words
from fullint.verification.metrics import decibels

WHOLE_MACS = 150_000_000
"""A network with more multiply-accumulates does not run on the slow kernel sets as a whole."""
FORM_NUMBERS = 16
"""A constant of so few whole numbers (axes, a permutation) is part of the form."""


@dataclass(frozen=True, eq=False)
class Forms:
    """One operator of each form.

    Attributes:
        ops: of the result, in its order.
        alone: the same side by side.
        values: what XNNPACK computed for the first sample: what `alone` reads and, of the same tensors, what it makes.
    """

    ops: tuple[Op, ...]
    alone: Isolated
    values: Mapping[Tensor, Array]

    @property
    def given(self) -> list[Array]:
        """Inputs of `alone`."""
        return [self.values[t] for t in self.alone.inputs]

    def compare(self, outputs: Sequence[Array]) -> Iterator[FormTrial]:
        """Each operator on a kernel set, beside XNNPACK.

        Args:
            outputs: of `alone`.
        """
        found = dict(zip(self.alone.outputs, outputs, strict=True))
        for op in self.ops:
            one, other = [self.values[t] for t in op.outputs], [found[t] for t in op.outputs]
            exact = [real(a, t).astype(np.float64) for t, a in zip(op.outputs, one, strict=True)]
            errors = [real(b, t).astype(np.float64) - x for t, b, x in zip(op.outputs, other, exact, strict=True)]
            size = max(sum(a.size for a in one), 1)
            sqnr = decibels(sum(float((x * x).sum()) for x in exact), sum(float((e * e).sum()) for e in errors))
            yield FormTrial(op, largest_steps(one, other), count_far(one, other) / size, sqnr)


@dataclass(frozen=True, eq=False)
class FormTrial:
    """An operator on a kernel set, given what it is given on XNNPACK.

    Attributes:
        op: of the result.
        steps: largest difference from XNNPACK's outputs, in output steps.
        far: share of the values that differ by more than rounding explains, 0 to 1.
        sqnr_db: 10 log10(sum x^2 / sum (y - x)^2), x XNNPACK's outputs, y these.
    """

    op: Op
    steps: int
    far: float
    sqnr_db: float

    def __str__(self) -> str:
        return f"{in_words(self.op)}: {self.sqnr_db:.1f} dB from XNNPACK's outputs, up to {self.steps} steps"


def stands_alone(model: Model) -> list[Op]:
    """One operator of each form, where the network is too large for the slow kernel sets as a whole; else none."""
    if total_macs(model) <= WHOLE_MACS or any(t.is_variable for _, op in model.ops() for t in op.operands()):
        return []
    found: dict[Hashable, Op] = {}
    for op in model.main.ops:
        if any(True for _ in op.subgraphs()) or all(t is None or t.is_constant for t in op.inputs):
            return []
        form = _form(op)
        if form not in found or _work(op) < _work(found[form]):
            found[form] = op
    chosen = {*found.values()}
    return [op for op in model.main.ops if op in chosen]


def forms_of(worker: WorkerProcess, model: Model, ops: Sequence[Op], sample: Sequence[Array]) -> Forms:
    """Operators side by side, and what XNNPACK computes where they stand.

    Args:
        worker: runs the model.
        model: the result.
        ops: see `stands_alone`.
        sample: in graph input order, in the types of the inputs.

    Raises:
        RuntimeFailure: XNNPACK does not run it.
    """
    alone = operators_alone(ops, model.version)
    values = dict(zip(model.main.inputs, sample, strict=True))
    wanted = [t for t in dict.fromkeys((*alone.inputs, *alone.outputs)) if t not in values]
    with model_file(with_outputs(model, wanted)) as path:
        worker.call(Open(path, "xnnpack", 1))
        values |= zip(wanted, worker.call(Run(list(sample))), strict=True)
    return Forms(tuple(ops), alone, values)


def _work(op: Op) -> tuple[int, int]:
    return macs(op), sum(t.size for t in op.outputs)


def _form(op: Op) -> Hashable:
    """What a kernel chooses by how it computes."""
    row = ROWS.get(op.kind)
    weight = op.input(row.weight) if row is not None and row.weight is not None else None
    out = op.outputs[0] if op.outputs and weight is None else None
    operands = tuple(None if t is None else (_type(t), _place(t, out)) for t in op.inputs)
    options = tuple(sorted((name, str(value)) for name, value in op.options.items() if not isinstance(value, Graph)))
    window = weight.shape[1:-1] if weight is not None else ()
    return op.kind, op.version, op.custom_code, options, operands, tuple(map(_type, op.outputs)), window


def _type(t: Tensor) -> Hashable:
    return t.dtype, t.quant is not None and t.quant.per_channel, len(t.shape)


def _place(t: Tensor, out: Tensor | None) -> Hashable:
    """How an operand lies: whole numbers that say what is computed, or whether it is repeated along an axis."""
    if t.is_constant and t.dtype in ("int32", "int64") and t.quant is None and t.size <= FORM_NUMBERS and t.buffer is not None:
        return t.array.tobytes()
    return t.is_constant, out is not None and t.shape == out.shape
