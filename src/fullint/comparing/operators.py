"""The operators of both models: matched, run in the whole and alone, ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fullint.comparing.biases import lost_bias
from fullint.comparing.channel_factors import channel_factors, misscaled_channels
from fullint.comparing.effects import effects
from fullint.comparing.ends import PairedEnds
from fullint.comparing.fingerprints import fingerprints
from fullint.comparing.groups import OperatorGroup, operator_groups
from fullint.comparing.matching import match
from fullint.comparing.operator_run import Bench, MatchedModels, measure_groups
from fullint.comparing.ranking import ranked, suspects
from fullint.comparing.reciprocal_errors import corrected_factors
from fullint.comparing.report import ComparedOperator, Unmatched
from fullint.model.ir import NUMPY_TYPES, Array, Op
from fullint.options import Progress

PRINTED = 2
"""Samples that activations are matched on."""


@dataclass(frozen=True)
class Operators:
    """What the comparison of the operators found; see `CompareReport`."""

    ranked: tuple[ComparedOperator, ...]
    unmatched: tuple[Unmatched, ...]
    equalized: int
    notes: tuple[str, ...]


def _readable(groups: Sequence[OperatorGroup], left: dict[Op, str]) -> tuple[list[OperatorGroup], dict[Op, str]]:
    """The groups whose values are numbers, and with the others what is left out, and why."""
    handles = [g for g in groups if any(t.dtype not in NUMPY_TYPES for t in (*g.takes, *g.gives))]
    why = dict.fromkeys((g.last for g in handles), "it has handles, not numbers")
    return [g for g in groups if g not in handles], {**left, **why}


def compare_operators(bench: Bench, ends: PairedEnds, samples: Sequence[list[Array]], told: Progress) -> Operators:
    """Compare them on some samples of the float model.

    Raises:
        RuntimeFailure: one of the models does not run.
    """
    exact, integer = ends.exact, ends.integer
    both = [(s, ends.converted(s)) for s in samples]
    told("match", 0, None)
    seen = (
        fingerprints(bench.workers[0], exact, [given for given, _ in both[:PRINTED]]),
        fingerprints(bench.workers[1], integer, [converted for _, converted in both[:PRINTED]]),
    )
    matching = match(exact.main, integer.main, ends.tensors(), (seen[0].prints, seen[1].prints))
    groups, left = _readable(*operator_groups(exact.main, integer.main, matching))
    factors = channel_factors(exact.main, groups, seen[0].peaks)
    pair = MatchedModels.of(exact, integer, matching, factors)
    found = measure_groups(bench, pair, groups, both, told)
    if better := corrected_factors(exact.main, groups, factors, found):
        pair = replace(pair, factors=better)
        found = measure_groups(bench, pair, groups, both, told)
    for group in groups:
        found[group.gives[0]].wrong = misscaled_channels(group, factors)
        found[group.gives[0]].lost_bias = lost_bias(group)
    outputs = effects(bench, pair, suspects(groups, found), both, told)
    place = {op: i for i, op in enumerate(integer.main.ops)}
    failures = dict.fromkeys(m.failure for m in found.values() if m.failure)
    return Operators(
        tuple(ranked(integer.main, groups, matching, found, outputs)),
        tuple(Unmatched(place[op], op.kind, op.output_name, why) for op, why in left.items()),
        sum(1 for t in matching.exact.values() if t in factors),
        tuple(f"some operators could not be run alone: {text}" for text in failures),
    )
