"""Kernel sets that part are said to part at an operator; a variance of few codes is where they do."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import run
from half import Half

from fullint.model.ir import Model, Quant
from fullint.runtime.process import WorkerProcess
from fullint.verification import kernel_verdicts
from fullint.verification.kernel_verdicts import SLOW, KernelTrials
from fullint.verification.kernels_apart import parting


def normalization(scale: float = 0.1) -> Model:
    """1 / sqrt(mean(x x)) whose mean has few codes; kernels round means differently."""
    g = Half()
    x = g.coded(1, 8, 16, scale=0.05, zero=0)
    squares = g.op("MUL", x, x, dtype="int8", name="squares")
    squares.quant = Quant.of(0.1, -128)
    axis = g.const(np.array([2], np.int32))
    mean = g.op("MEAN", squares, axis, keep_dims=True, shape=(1, 8, 1), dtype="int8", name="variance")
    mean.quant = Quant.of(scale, -128)
    root = g.op("RSQRT", mean, dtype="int8", name="root")
    root.quant = Quant.of(0.02, -128)
    g.output(root)
    return g.model()


def sample(seed: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(-12, 12, (1, 8, 16)).astype(np.int8)]


@pytest.mark.parametrize("kernels", ["reference", "builtin"])
def test_the_root_of_a_variance_is_named(kernels: str) -> None:
    model = normalization()
    seed = next(s for s in range(30) if steps(model, s, kernels) > 10)
    with WorkerProcess() as worker:
        found = parting(worker, model, ("xnnpack", kernels), sample(seed))
    assert found is not None and found.variance
    assert (found.op.kind, found.of.name, found.given) == ("RSQRT", "variance", 1)
    assert found.steps == steps(model, seed, kernels)
    assert str(found).startswith('they part at RSQRT "root"') and "the variance of a normalization" in str(found)


def steps(model: Model, seed: int, kernels: str) -> int:
    one, other = (run(model, sample(seed), k)[0].astype(int) for k in ("xnnpack", kernels))
    return int(np.abs(one - other).max())


def test_sets_that_agree_do_not_part() -> None:
    g = Half()
    y = g.op("NEG", g.coded(1, 16), dtype="int8")
    y.quant = Quant.of(0.05, 3)
    g.output(y)
    with WorkerProcess() as worker:
        assert parting(worker, g.model(), ("xnnpack", "reference"), [np.arange(16, dtype=np.int8)[None]]) is None


def test_the_certificate_says_it() -> None:
    """Where the sets are far apart, in the error or among the facts."""
    model = normalization()
    seed = next(s for s in range(30) if steps(model, s, "reference") > 10)
    tried = KernelTrials(model, "", sample(seed), sample(seed), SLOW, {}, {}, {})
    assert kernel_verdicts._parting(tried, "reference").startswith('; they part at RSQRT "root"')
    assert kernel_verdicts._parting(tried, "xnnpack") == ""
