"""Where accuracy is lost: every activation of the float model compared with the same activation of the result.

The outputs are compared in real values. The operators reported are those whose output adds most to the noise-to-signal
ratio of their noisiest input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fullint.calibration.signatures import with_outputs
from fullint.errors import RuntimeFailure
from fullint.model.ir import Array, Model, Op, Tensor
from fullint.passes.as_trained import Rounding, as_trained
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import integer_inputs, real
from fullint.verification.metrics import Score

WORST = 3
LOOKED_AT = 4
"""Samples that all activations are compared on."""


@dataclass(frozen=True, eq=False)
class LostAt:
    """An operator, and the noise-to-signal ratio at its noisiest input and at its output."""

    op: Op
    output: Tensor
    before: float
    after: float

    def __str__(self) -> str:
        where = f'op {self.op.origin} {self.op.kind} "{self.output.name}"'
        return f"{where} ({_said(self.before)} at its inputs, {_said(self.after)} at its output)"


def worst_operators(
    model: Model,
    result: Model,
    integer: Mapping[Tensor, Tensor],
    samples: Sequence[Sequence[Array]],
    workers: tuple[WorkerProcess, WorkerProcess],
    rounding: Rounding | None = None,
) -> list[LostAt]:
    """The `WORST` operators that lose most accuracy, worst first; empty if they cannot be found.

    Args:
        model: the prepared float model.
        result: the integer model made of it.
        integer: float activation of `model` -> the integer tensor in `result`.
        samples: those that judged, or the first of them; arrays in graph input order.
        workers: idle child processes, for the one model and for the other.
        rounding: how the float model was trained to round.
    """
    float_inputs = [t for t in model.main.inputs if t in integer]
    made = [t for op in model.main.ops for t in op.outputs if t in integer and not t.is_constant]
    pairs = [(t, integer[t]) for t in dict.fromkeys(float_inputs + made)]
    scores = [Score() for _ in pairs]
    if not samples:
        return []
    floats = as_trained(with_outputs(model, [a for a, _ in pairs]), rounding)
    integers = with_outputs(result, [b for _, b in pairs])
    try:
        with model_file(floats) as one, model_file(integers) as other:
            for worker, path in zip(workers, (one, other), strict=True):
                worker.call(Open(path, "xnnpack", 1))
            for sample in samples[:LOOKED_AT]:
                for worker, form in zip(workers, (model, result), strict=True):
                    worker.send(Run(integer_inputs(form, sample)))
                reference, values = (worker.receive(Run) for worker in workers)
                for score, (_, b), x, y in zip(scores, pairs, reference, values, strict=True):
                    score.add(x, real(y, b))
    except RuntimeFailure:
        return []
    noise = {a: min(s.noise / max(s.signal, 1e-30), 1e9) for (a, _), s in zip(pairs, scores, strict=True)}
    lost = []
    for op in model.main.ops:
        for t in op.outputs:
            if t in noise:
                before = max((noise[x] for x in op.inputs if x is not None and x in noise), default=0.0)
                lost.append(LostAt(op, t, before, noise[t]))
    lost.sort(key=lambda one: one.before - one.after)
    return [one for one in lost[:WORST] if one.after > one.before]


def _said(noise: float) -> str:
    return f"{-10 * math.log10(noise):.1f} dB" if noise > 0 else "no error"
