"""The operator at which two kernel sets part, so that a result is named that computes one thing here and another there.

    XNNPACK      SQUARED_DIFFERENCE 3  ->  MEAN 2  ->  RSQRT 90
    reference    SQUARED_DIFFERENCE 3  ->  MEAN 1  ->  RSQRT 127        at the RSQRT: 37 steps, of 1 in the variance

Kernels round differently by a step. What follows makes many of it where its slope is steep: the root of a variance of few codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fullint.calibration.portions import bytes_of, portions
from fullint.calibration.signatures import with_outputs
from fullint.model.ir import Array, Model, Op, Tensor, Uses
from fullint.ops import ROWS
from fullint.ops.base import codes
from fullint.ops.traits import traits_of
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file

AMPLIFIED = 3
"""An operator parts two kernel sets if the steps between its outputs are more than so many times those between its inputs."""
SOURCES = 4
"""Operators before one that are looked at for whether it reads a variance."""


@dataclass(frozen=True, eq=False)
class Parting:
    """Where two kernel sets part.

    Attributes:
        op: the operator.
        steps: the largest difference between its outputs, in steps.
        of: its input that differs most.
        given: the largest difference between these inputs, in steps.
        variance: whether that input is the variance of a normalization.
    """

    op: Op
    steps: int
    of: Tensor
    given: int
    variance: bool

    def __str__(self) -> str:
        what = "the variance of a normalization, " if self.variance else ""
        return f'they part at {in_words(self.op)}: {self.steps} steps, of {self.given} in {what}"{self.of.name}"'


def in_words(op: Op) -> str:
    """An operator in a message, with its index in the given file where it comes from there."""
    return f'{op.kind} "{op.output_name}"' + (f", op {op.origin}" if op.origin >= 0 else "")


def parting(worker: WorkerProcess, model: Model, kernels: Sequence[str], sample: Sequence[Array]) -> Parting | None:
    """The first operator of the main graph that makes much of a small difference between two kernel sets.

    Args:
        worker: runs the model.
        model: an integer model with fixed shapes.
        kernels: the two sets.
        sample: in graph input order, in the types of the inputs.
    """
    steps = dict.fromkeys(model.main.inputs, 0)
    made = [t for op in model.main.ops for t in op.outputs if codes(t) and t.size]
    for portion in portions(made, bytes_of):
        with model_file(with_outputs(model, portion)) as path:
            one, other = (_values(worker, path, name, sample) for name in kernels)
        steps |= {t: _largest(a, b) for t, a, b in zip(portion, one, other, strict=True)}
    uses = Uses(model.main)
    for op in model.main.ops:
        before = [(steps.get(t, 0), t) for t in op.inputs if t is not None and t.buffer is None]
        given, of = max(before, key=lambda item: item[0], default=(0, None))
        own = max((steps.get(t, 0) for t in op.outputs), default=0)
        if of is not None and own > AMPLIFIED * max(given, 1):
            return Parting(op, own, of, given, traits_of(op.kind).steep and _averaged(of, uses))
    return None


def _values(worker: WorkerProcess, path: str, kernels: str, sample: Sequence[Array]) -> list[Array]:
    worker.call(Open(path, kernels, 1))
    return worker.call(Run(list(sample)))


def _largest(a: Array, b: Array) -> int:
    return int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max(initial=0))


def _averaged(t: Tensor, uses: Uses) -> bool:
    """Whether a value is an average, but for a constant that is added or multiplied."""
    for _ in range(SOURCES):
        op = uses.producer.get(t)
        if op is None:
            return False
        if traits_of(op.kind).averages:
            return True
        data = [x for x in op.inputs if x is not None and x.buffer is None]
        if len(data) != 1:
            return False
        t = data[0]
    return False


def known_faults(model: Model, kernels: str) -> tuple[list[str], list[str]]:
    """Known faults of a kernel set for this model: (operators it lacks, operators it computes wrong), as sentences."""
    absent: dict[str, None] = {}
    wrong: dict[str, None] = {}
    for _, op in model.ops():
        row = ROWS.get(op.kind)
        fault = row.fault(op, kernels) if row else None
        if kernels in traits_of(op.kind).absent:
            absent[f"{op.kind}: the {kernels} kernels do not register it"] = None
        if fault is not None:
            (absent if fault.absent else wrong)[f"{op.kind}: {fault.what}"] = None
    return list(absent), list(wrong)
