"""Whether an output computes what its input computes: both are run on LiteRT, on inputs that fullint has not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fullint.errors import FullintError
from fullint.model.tflite import read_model
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess
from fullint.verification.kernel_outputs import integer_inputs, real

DRAWS = 4
LEAST_DB = 0.0
"""Far below what a command writes; noise of the size of the signal is no result."""


def outputs_differ(given: Path, written: Path) -> str | None:
    """Why an output is wrong; None where it is right, or nothing can be said."""
    before, after = read_model(given), read_model(written)
    if any(t.dtype != "float32" or min(t.shape, default=1) < 1 for t in before.main.inputs):
        return None
    rng = np.random.default_rng(7)
    draws = [[rng.normal(size=t.shape).astype(np.float32) for t in before.main.inputs] for _ in range(DRAWS)]
    try:
        with WorkerProcess() as worker:
            worker.call(Open(str(given), "builtin", 1))
            expected = [worker.call(Run(x)) for x in draws]
    except FullintError:
        return None  # what LiteRT runs only in the form that fullint gives it
    with WorkerProcess() as worker:
        worker.call(Open(str(written), "builtin", 1))
        found = [worker.call(Run(integer_inputs(after, x, list(before.main.inputs)))) for x in draws]
    for i, t in enumerate(after.main.outputs[: len(before.main.outputs)]):  # those of signatures may follow
        if before.main.outputs[i].dtype != "float32":  # whether numbers are equal, or which is the largest: noise decides
            continue
        x = np.concatenate([np.ravel(e[i]).astype(np.float64) for e in expected])
        y = np.concatenate([np.ravel(real(f[i], t)).astype(np.float64) for f in found])
        if x.shape != y.shape:
            return f"output {i} has {y.size} values, not {x.size}"
        signal, noise = float(np.square(x).sum()), float(np.square(x - y).sum())
        if np.isfinite(signal) and noise > signal * 10 ** (-LEAST_DB / 10) and noise > 1e-12:
            return f"output {i} differs: signal {signal:.3g}, noise {noise:.3g}"
    return None
