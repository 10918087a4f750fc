"""Refinement as a stage of a run: which operators, on which samples, in which processes; `refine` does it.

Emitted, samples --pairs--> operators --refine--> other weights and biases, not yet applied
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from threadpoolctl import threadpool_limits

from fullint.errors import RuntimeFailure, VerificationError
from fullint.model.ir import Array, Op
from fullint.quantization.emit import Emitted
from fullint.quantization.pairs import operators_to_refine, pairs, staying
from fullint.quantization.refine import Refined, carried_over, refine
from fullint.quantization.side_by_side import SteppedModel
from fullint.quantization.stage_values import Calibrated
from fullint.quantization.workbench import Workbench
from fullint.verification.kernel_outputs import as_read, integer_inputs

CARRIED_SHARE = 0.5
"""Where at least this share of the operators can be carried over from another build, none is refined anew."""


def refined_weights(
    bench: Workbench, calibrated: Calibrated, emitted: Emitted, known: Sequence[Refined] = ()
) -> tuple[Refined, ...]:
    """Other weights and biases, where samples were kept to see them on.

    Args:
        bench: tools of the run.
        calibrated: with these samples.
        emitted: the integer model; it is not changed.
        known: what was decided in another build, from which it is carried over where most of it fits.

    Raises:
        VerificationError: the runtime does not run the integer model.
    """
    model, samples = calibrated.model, calibrated.refining
    loaded = calibrated.prepared.loaded
    rounding = calibrated.prepared.pinned
    found = pairs(model, emitted, refined_operators(calibrated))
    if len(samples) < 2 or not found:
        return ()
    carried = carried_over(found, known)
    if carried and len(carried) >= CARRIED_SHARE * len(found):
        return tuple(carried)
    stay = staying(emitted, found)
    if not calibrated.form.rounded:
        stay |= dict.fromkeys((p.integer for p in found), "the nearest codes are better")
    stay |= {p.integer: "effort is fast" for p in found if calibrated.prepared.effort(p.exact) == "fast"}
    given = given_samples(calibrated)
    codes = [integer_inputs(emitted.model, s) for s in given]
    threads = loaded.options.workers
    second = bench.second_worker()
    try:
        cuts = [p.exact for p in found]
        exact = bench.begun_steps(model, cuts) or SteppedModel(model, cuts, bench.worker, given, threads, rounding)
        integer = SteppedModel(emitted.model, [p.integer for p in found], second, codes, threads)
        with threadpool_limits(1, "blas"):  # threads of our own instead: the same bits on any number of cores
            told = functools.partial(bench.progress, "refine")
            return tuple(refine(found, exact, integer, len(samples), stay, told, min(2, loaded.options.workers)))
    except RuntimeFailure as e:
        raise VerificationError([str(e)]) from e


def refined_operators(calibrated: Calibrated) -> list[Op]:
    """Operators of the float model that are to be refined, where the integer model has them."""
    prepared = calibrated.prepared
    return operators_to_refine(calibrated.model.main, prepared.effort, prepared.pinned)


def given_samples(calibrated: Calibrated) -> list[list[Array]]:
    """The samples that are refined on, as the float model reads them."""
    entry = calibrated.prepared.loaded.entries[0]
    return [as_read(s, entry.inputs, calibrated.model.main.inputs) for s in calibrated.refining]
