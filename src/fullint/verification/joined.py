"""Certificates of several entries of a model as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fullint.verification.metrics import joined_quality
from fullint.verification.qualities import mean_interval
from fullint.verification.report import Certificate, KernelSet

_WORST = ("faulty", "absent", "skipped", "ran")


def join_certificates(certificates: Sequence[Certificate]) -> Certificate:
    """Combine certificates: all outputs, the mean of their figures, and the worst status of each kernel set."""
    first = certificates[0]
    if len(certificates) == 1:
        return first
    outputs = tuple(o for c in certificates for o in c.outputs)
    sets = tuple(_joined_set([c.kernel_sets[i] for c in certificates]) for i in range(len(first.kernel_sets)))
    return replace(
        first,
        samples=sum(c.samples for c in certificates),
        held_back=all(c.held_back for c in certificates),
        sqnr_db=joined_quality(o.sqnr_db for o in outputs if o.judged),
        outputs=outputs,
        kernel_sets=sets,
        interval_db=mean_interval(outputs),
        held_back_sqnr_db=joined_quality(c.held_back_sqnr_db for c in certificates),
        also_calibrated=sum(c.also_calibrated for c in certificates),
    )


def _joined_set(sets: Sequence[KernelSet]) -> KernelSet:
    alone = [s.operators for s in sets if s.operators is not None]
    steps = [s.disagreement_steps for s in sets if s.disagreement_steps is not None]
    return KernelSet(
        sets[0].name,
        next(w for w in _WORST if any(s.status == w for s in sets)),
        sum(s.samples for s in sets),
        joined_quality(s.sqnr_db for s in sets),
        max(steps, default=None),
        tuple(dict.fromkeys(f for s in sets for f in s.facts)),
        sum(alone) if alone else None,
    )
