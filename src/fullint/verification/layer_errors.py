"""Where accuracy is lost: every activation of the float model compared with the same activation of the result.

The outputs are compared in real values. The operators reported are those whose output adds most to the noise-to-signal
ratio of their noisiest input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fullint.calibration.signatures import with_outputs
from fullint.errors import RuntimeFailure
from fullint.model.ir import Array, Model, Tensor
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import integer_inputs, real
from fullint.verification.metrics import Score

WORST = 3


def worst_operators(model: Model, result: Model, integer: Mapping[Tensor, Tensor], sample: Sequence[Array] | None) -> list[str]:
    """The `WORST` operators that lose most accuracy, worst first, as sentences; empty if they cannot be found.

    Args:
        model: the prepared float model.
        result: the integer model made of it.
        integer: float activation of `model` -> the integer tensor in `result`.
        sample: one sample in graph input order, in the types of the given model.
    """
    if sample is None:
        return []
    float_inputs = [t for t in model.main.inputs if t in integer]
    made = [t for op in model.main.ops for t in op.outputs if t in integer and not t.is_constant]
    pairs = [(t, integer[t]) for t in dict.fromkeys(float_inputs + made)]
    try:
        reference = _all_values(model, [a for a, _ in pairs], integer_inputs(model, sample))
        values = _all_values(result, [b for _, b in pairs], integer_inputs(result, sample))
    except RuntimeFailure:
        return []
    noise: dict[Tensor, float] = {}
    for (a, b), x, y in zip(pairs, reference, values, strict=True):
        score = Score()
        score.add(x, real(y, b))
        noise[a] = min(score.noise / max(score.signal, 1e-30), 1e9)
    lost = []
    for op in model.main.ops:
        for t in op.outputs:
            if t in noise:
                before = max((noise[x] for x in op.inputs if x is not None and x in noise), default=0.0)
                lost.append((noise[t] - before, before, op, t))
    lost.sort(key=lambda item: -item[0])
    return [
        f'op {op.origin} {op.kind} "{t.name}" ({_said(before)} at its inputs, {_said(noise[t])} at its output)'
        for more, before, op, t in lost[:WORST]
        if more > 0
    ]


def _said(noise: float) -> str:
    return f"{-10 * math.log10(noise):.1f} dB" if noise > 0 else "no error"


def _all_values(model: Model, tensors: Sequence[Tensor], sample: Sequence[Array]) -> list[Array]:
    with model_file(with_outputs(model, tensors)) as path, WorkerProcess() as worker:
        worker.call(Open(path, "xnnpack", 1))
        values: list[Array] = worker.call(Run(list(sample)))
        return values
