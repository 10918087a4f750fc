"""Random models, part of each left in float: audited, repaired, and none of it a surprise."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from conftest import assert_audit_is_content, some_slow
from random_graphs import made

from fullint.auditing.audit import audit
from fullint.errors import AccuracyError, NotIntegerError, UsageError, VerificationError
from fullint.model.census import count_float
from fullint.model.tflite import read_bytes
from fullint.quantization import pipeline
from fullint.repairing.pipeline import repair
from fullint.verification.contract import contract_problems

SEEDS = range(700_000, 700_040)


def half(seed: int) -> tuple[bytes, list]:
    """A random model, quantized but for some operators, and its samples."""
    g, samples = made(seed)
    rng = np.random.default_rng(seed)
    count = len(g.model().main.ops)
    keep = [i for i in range(count) if rng.random() < 0.3] or [0]
    io = str(rng.choice(["int8", "float32"]))
    try:
        return pipeline.quantize(g.bytes(), samples, keep_float=keep, io=io, min_sqnr=-1000).model, samples
    except (NotIntegerError, VerificationError, AccuracyError, UsageError) as e:
        pytest.skip(f"the model itself: {type(e).__name__}")


@pytest.mark.parametrize("seed", some_slow(SEEDS, 20))
def test_a_random_half_is_explained_and_repaired(seed: int) -> None:
    """One cause for each float operator; with samples all integer, without, all integer or a request for samples."""
    data, samples = half(seed)
    model = read_bytes(data)
    floats = {(n, op.origin) for n, op in model.ops() if any(t.is_float for t in op.values())}
    found = Counter((f.graph, f.index) for f in audit(data).findings if f.rule not in ("op-version", "dynamic-shape"))
    assert all(found[place] == 1 for place in floats)
    for given in (None, samples):
        try:
            check(repair(data, given, min_sqnr=-1000).model)
        except (NotIntegerError, AccuracyError) as e:
            named = [b.kind for b in getattr(e, "blockers", ())]
            assert (given is None and "-c DATA" in str(e)) or CUT_OFF.intersection(named), e  # noqa: PT017


CUT_OFF = {"POW"}
"""Of two values: integer where something before it says that the base is positive, which may have been cut off."""


def check(data: bytes) -> None:
    model = read_bytes(data)
    assert count_float(model) == 0
    assert list(contract_problems(model)) == []
    assert_audit_is_content(data, clips=True, losses=True)
