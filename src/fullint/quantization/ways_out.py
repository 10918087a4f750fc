"""Ways to a better result, tried in the run that needs them.

    Calibrated --another form of it--> Calibrated' --decide--> --build--> result' --a few samples--> dB

The ranges are those of the run wherever they can be. A way is named with what it gave, as helping or not; or as one that was not
tried, since the time that the effort allows is up (`trial_costs`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from fullint.documents import many
from fullint.errors import FullintError
from fullint.model.ir import Array, Graph, Op, Uses
from fullint.ops import has_int16, traits_of
from fullint.ops.base import CONVERSIONS
from fullint.ops.macs import total_macs
from fullint.passes.split_outputs import find_splits, split_graph
from fullint.quantization.assignment import Granularity
from fullint.quantization.figures import Figures, FloatAnswers, figures_of, float_answers
from fullint.quantization.measure import calibrate, equalize
from fullint.quantization.prepare import prepare, require_feasible
from fullint.quantization.stage_values import Calibrated, Written
from fullint.quantization.trial_costs import trial_seconds
from fullint.quantization.variants import in_float, in_int16, with_main
from fullint.quantization.workbench import Workbench
from fullint.verification.kernel_outputs import as_read
from fullint.verification.layer_errors import LostAt
from fullint.verification.part_scores import LOST_DB, WEAK_DB
from fullint.verification.report import Certificate

NOTHING_LEFT = 200.0
"""What a result has whose parts are all equal, or as near as kernels' scales allow."""
HELPS_DB = 3.0
"""A way that gives less than this more does not help."""
INT16_MACS = 1_000_000_000
"""Multiply-accumulates that are spent on trying a whole network in int16, which LiteRT computes slowly: on fewer samples, where
a network has many."""


@dataclass(frozen=True, eq=False)
class Way:
    """Another form of a run.

    Attributes:
        option: asks for it.
        make: what the deciding stages start from.
        samples: those that it is judged on, where some of the others are left out.
        wide: operators that have 16 bits in it.
        same_outputs: whether its outputs are those of the run.
    """

    option: str
    make: Callable[[], Calibrated]
    samples: Sequence[Sequence[Array]] | None = None
    wide: Sequence[Op] = ()
    same_outputs: bool = True


@dataclass(frozen=True)
class Tried:
    """What a way gave, in dB, whether that helps, and on how many samples that was seen, where on fewer than the others."""

    option: str
    figure: float
    helps: bool
    fewer: int | None = None

    def __str__(self) -> str:
        gave = f"{self.figure:.1f} dB" if self.figure < NOTHING_LEFT else "all parts kept"
        return f"{self.option}: {gave}" + (f" on {many(self.fewer, 'sample')}" if self.fewer is not None else "")


@dataclass(frozen=True)
class Ways:
    """What came of some ways.

    Attributes:
        tried: best first.
        left: options that were not tried.
        seconds: that the trials take, about.
    """

    tried: Sequence[Tried] = ()
    left: Sequence[str] = ()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Needed:
    """What is to be bettered.

    Attributes:
        bench: tools of the run.
        written: the result.
        samples: a few that judged it, as the prepared model takes them.
        given: the same and others, as the given model takes them; to calibrate on again.
    """

    bench: Workbench
    written: Written
    samples: Sequence[Sequence[Array]]
    given: Sequence[list[Array]]

    @property
    def calibrated(self) -> Calibrated:
        """What the result was decided on, before any of it was changed for it."""
        return self.written.assigned.given

    @cached_property
    def answers(self) -> FloatAnswers:
        """Of the float model to the samples."""
        return float_answers(self.bench, self.written.assigned.calibrated, self.samples)

    def answers_to(self, way: Way) -> FloatAnswers | None:
        """What the float model answers to the samples of a way; None where that is not known."""
        if not way.same_outputs:
            return None
        own = way.samples if way.samples is not None else self.samples
        same = all(a is b for a, b in zip(own, self.samples, strict=False))
        return self.answers[: len(own)] if same else None


def ways_for_parts(needed: Needed, certificate: Certificate, seconds: float) -> Ways:
    """Ways to keep parts of outputs that are not kept, by the dB of the worst part.

    Args:
        needed: the result, and samples.
        certificate: of the result.
        seconds: that may be spent.
    """
    bad = [p for o in certificate.outputs for p in o.parts if p.status != "kept"]
    if not needed.samples or not bad:
        return Ways()
    now = min(p.spread_db for p in bad)
    ways = chain(_for_parts(needed.calibrated, {p.operator for p in bad if p.operator >= 0}), _all_in_int16(needed))
    least = WEAK_DB if all(p.status == "weak" for p in bad) else LOST_DB  # what is lost stops the run
    return _tried(ways, needed, seconds, lambda f: f.worst_part, max(now + HELPS_DB, least))


def ways_for_outputs(needed: Needed, lost: Sequence[LostAt], now: float, seconds: float) -> Ways:
    """Ways to a better SQNR of the outputs, by their mean.

    Args:
        needed: the result, and samples.
        lost: the operators that lose most.
        now: the mean SQNR of the result on these samples, in dB.
        seconds: that may be spent.
    """
    return _tried(_for_outputs(needed, lost), needed, seconds, lambda f: f.sqnr, now + HELPS_DB)


def _tried(ways: Iterator[Way], needed: Needed, seconds: float, figure: Callable[[Figures], float], least: float) -> Ways:
    """What each way gives for which there is time; it helps where that is more than `least`."""
    bench, model = needed.bench, needed.calibrated.model
    found, left, spent = [], [], 0.0
    for way in ways:
        samples = way.samples if way.samples is not None else needed.samples
        takes = trial_seconds(model, len(samples), way.wide)
        if spent + takes > seconds:
            left.append(way.option)
            continue
        spent += takes
        try:
            gives = figure(figures_of(bench, way.make(), samples, needed.written.refined, needed.answers_to(way)))
        except FullintError:
            continue  # it is no way for this model
        fewer = len(samples) if len(samples) < len(needed.samples) else None
        found.append(Tried(way.option, gives, gives > least, fewer))
    return Ways(sorted(found, key=lambda t: -t.figure), left, spent)


def _for_parts(calibrated: Calibrated, origins: set[int]) -> Iterator[Way]:
    graph = calibrated.model.main
    splits = find_splits(graph)
    if splits and calibrated.prepared.loaded.request.can_split:
        yield Way("--split-outputs", lambda: with_main(calibrated, split_graph(graph, splits)), same_outputs=False)
    yield from _named(calibrated, _to_the_end(graph, origins))


def _for_outputs(needed: Needed, lost: Sequence[LostAt]) -> Iterator[Way]:
    bench, calibrated = needed.bench, needed.calibrated
    loaded = calibrated.prepared.loaded
    rest = calibrated.rest
    if rest is not None:
        given, now = loaded.entries[0].inputs, calibrated.model.main.inputs
        others = [*rest.held[0].samples, *(sample for _, sample in rest.held[0].also)][: max(len(needed.samples), 1)]
        yield Way("--drop-outliers", lambda: equalize(bench, rest), [as_read(s, given, now) for s in others] or None)
    plain = calibrated.plain
    if plain is not None:
        yield Way("--ranges minmax", lambda: equalize(bench, plain))
    if loaded.options.per_tensor:
        options = replace(loaded.options, per_tensor=False)
        finer = replace(loaded, options=options, granularity=Granularity(False, options.dense_per_tensor))
        yield Way("without --per-tensor", lambda: replace(calibrated, prepared=replace(calibrated.prepared, loaded=finer)))
    worst = [one.op.origin for one in lost]
    yield from _named(calibrated, _from(calibrated, worst[:1]))
    if len(worst) > 1:
        yield from _named(calibrated, _from(calibrated, worst))
    yield from _all_in_int16(needed)


def _all_in_int16(needed: Needed) -> Iterator[Way]:
    """The whole network with 16-bit activations, where it has 8-bit ones."""
    bench, calibrated = needed.bench, needed.calibrated
    loaded = calibrated.prepared.loaded
    one_entry = len(loaded.entries) == 1 and loaded.request.can_split and loaded.options.batch == 1
    fit = min(len(needed.samples), INT16_MACS // max(total_macs(calibrated.model), 1))
    if loaded.options.activations == "int8" and one_entry and fit:
        few, wide = needed.samples[:fit], calibrated.model.main.ops
        yield Way("--activations int16", lambda: _in_int16(bench, calibrated, needed.given), few, wide)


def _named(calibrated: Calibrated, ops: Sequence[Op]) -> Iterator[Way]:
    """Operators of the main graph computed in int16, or left in float."""
    graph, prepared = calibrated.model.main, calibrated.prepared
    indices = ",".join(map(str, dict.fromkeys(op.origin for op in ops)))
    if not ops or any(op.origin < 0 for op in ops):
        return
    if all(map(has_int16, ops)):
        yield Way(f"--int16 {indices}", lambda: in_int16(calibrated, {op.origin for op in ops}), wide=ops)
    if any(traits_of(op.kind).effects for op in ops):  # loops, branches and variables are not kept in float
        return
    given = {op.origin: op.kind for op in prepared.loaded.model.main.ops}
    if any(given.get(op.origin) != op.kind for op in ops):  # something was folded into it, which would stay with it only here
        return
    origins = {op.origin for op in ops}  # all that was made of an operator stays with it
    kept = {op for op in graph.ops if op.origin in origins}
    yield Way(f"--keep-float {indices}", lambda: in_float(calibrated, kept))


def _from(calibrated: Calibrated, origins: Sequence[int]) -> list[Op]:
    """The operators of the main graph that come from some of the given file."""
    return [op for op in calibrated.model.main.ops if op.origin in origins]


def _in_int16(bench: Workbench, calibrated: Calibrated, given: Sequence[list[Array]]) -> Calibrated:
    """The run again with 16-bit activations, on the samples at hand."""
    loaded = calibrated.prepared.loaded
    options = replace(
        loaded.options, activations="int16", samples=list(given), num_samples=None, labels=None, drop_outliers=False
    )
    again = replace(loaded, options=options, request=replace(loaded.request, options=options))
    return equalize(bench, calibrate(bench, require_feasible(bench, prepare(bench, again))))


def _to_the_end(graph: Graph, origins: set[int]) -> list[Op]:
    """The operators of the given file with these indices, and all that their results pass through to an output."""
    uses = Uses(graph)
    found: dict[Op, None] = {}
    waiting = [op for op in graph.ops if op.origin in origins and op.kind not in CONVERSIONS]
    while waiting:
        op = waiting.pop()
        found[op] = None
        waiting += [reader for t in op.outputs for reader, _ in uses.of(t) if reader not in found]
    return [op for op in graph.ops if op in found]
