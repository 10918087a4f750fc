"""What a suspect does to the outputs: the float model with the error of one group, and no other.

    float     x --A--> a --B--> y          =>        a' --B--> y'          a': the group's result, alone on exact inputs

A suspect with whose error the outputs would be worse than they are in the run is none: what it does is undone behind it,
as where channels were rescaled or constants moved. Of the others, one may be far beyond rounding in a channel that hardly counts,
and another less so where everything hangs on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fullint.calibration.portions import bytes_of, portions
from fullint.calibration.signatures import with_outputs
from fullint.comparing.diagnosis import COUNTS_DB
from fullint.comparing.groups import OperatorGroup
from fullint.comparing.isolated import isolated
from fullint.comparing.operator_run import Bench, MatchedModels
from fullint.errors import RuntimeFailure
from fullint.model.ir import Array, Graph, Model, Tensor, twin
from fullint.model.operators_alone import Isolated
from fullint.ops.macs import total_macs
from fullint.options import Progress
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import model_file
from fullint.verification.metrics import Score

FEWEST_MEASURED, MOST_MEASURED, MACS, OPERATORS = 12, 64, 20_000_000_000, 100_000
"""Suspects, for each of which the float model is written and run once more on all samples; multiply-accumulates and operators
spent on it."""
UNDONE_DB = 6.0
"""Outputs that are better by this in the run than with the error of one operator alone."""
GivenSample = tuple[list[Array], list[Array]]


@dataclass(frozen=True, eq=False)
class Effects:
    """What errors do to the outputs.

    Attributes:
        in_run: SQNR of the integer model's outputs, dB: output of the float model -> figure.
        alone: activation -> SQNR of the float model's outputs with nothing but the own error of this activation, likewise.
    """

    in_run: Mapping[Tensor, float]
    alone: Mapping[Tensor, Mapping[Tensor, float]]

    def worst(self, t: Tensor) -> float | None:
        """What is left of the output that the error of an activation harms most, dB; None where it was not measured."""
        return min(self.alone[t].values(), default=None) if t in self.alone else None

    def acquits(self, t: Tensor, *, by_error: bool) -> bool:
        """Whether the outputs show that an activation is sound.

        They are better in the run than they could be, were its error one; or its error, if that is all that speaks against it
        (`by_error`), is no matter to them.
        """
        worst = self.worst(t)
        return self.undone(t) or (by_error and worst is not None and worst > COUNTS_DB)

    def undone(self, t: Tensor) -> bool:
        """Whether what it does is undone behind it."""
        return any(db < self.in_run.get(out, db) - UNDONE_DB for out, db in self.alone.get(t, {}).items())


def effects(
    bench: Bench,
    pair: MatchedModels,
    suspects: Sequence[tuple[OperatorGroup, Tensor]],
    samples: Sequence[GivenSample],
    told: Progress,
) -> Effects:
    """The effects of suspects. One that the runtime refuses is left out.

    Args:
        bench: processes.
        pair: the models.
        suspects: groups, and what they give.
        samples: (inputs of the float model, inputs of the integer model).
        told: of each suspect.
    """
    found: dict[Tensor, Mapping[Tensor, float]] = {}
    affordable = MACS // max(total_macs(pair.exact) * len(samples), 1)
    affordable = min(affordable, OPERATORS // max(len(pair.exact.main.ops), 1))
    measured = suspects[: min(max(affordable, FEWEST_MEASURED), MOST_MEASURED)]
    given = [sample for sample, _ in samples]
    waiting = [_Job.of(pair, group, t) for group, t in measured if pair.matching.exact[t].dtype == "float32"]
    # the float model is run once for as many as memory holds the values of
    parts = [*portions(waiting, lambda job: sum(map(bytes_of, job.exact)) * len(samples))]
    while parts:
        jobs = parts.pop(0)
        try:
            values = _exact_values(bench, pair, jobs, given)
        except RuntimeFailure as e:
            _restarted(bench, e)
            parts = [[job] for job in jobs if len(jobs) > 1] + parts  # one of them is to blame
            continue
        for job in jobs:
            told("effects", len(found), len(waiting))
            try:
                found[job.t] = _effect(bench, pair, job, given, values)
            except RuntimeFailure as e:
                _restarted(bench, e)
    return Effects(_in_run(bench, pair, samples) if found else {}, found)


def _restarted(bench: Bench, failure: RuntimeFailure) -> None:
    for worker in bench.workers if failure.crashed else ():
        worker.restart()


@dataclass(frozen=True, eq=False)
class _Job:
    """A suspect, and what the float model has to give for it.

    Attributes:
        t: what it gives.
        alone: its group's operators.
        exact: values of the float model that it reads, and the one that it stands for.
    """

    t: Tensor
    alone: Isolated
    exact: tuple[Tensor, ...]

    @classmethod
    def of(cls, pair: MatchedModels, group: OperatorGroup, t: Tensor) -> _Job:
        alone, match = isolated([group], pair.integer.version), pair.matching.exact
        return cls(t, alone, tuple(dict.fromkeys((*(match[x] for x in alone.inputs), match[t]))))


_Values = list[dict[Tensor, Array]]
"""Of the float model, for each sample."""


def _exact_values(bench: Bench, pair: MatchedModels, jobs: Sequence[_Job], samples: Sequence[list[Array]]) -> _Values:
    """What the float model gives for some suspects, and its outputs."""
    needed = [*dict.fromkeys((*(t for job in jobs for t in job.exact), *_float_outputs(pair)))]
    with model_file(with_outputs(pair.exact, needed)) as whole:
        bench.workers[0].call(Open(whole, "xnnpack", 1))
        return [dict(zip(needed, bench.workers[0].call(Run(given)), strict=True)) for given in samples]


def _float_outputs(pair: MatchedModels) -> list[Tensor]:
    return [o for o in pair.exact.main.outputs if o.dtype == "float32"]


def _in_run(bench: Bench, pair: MatchedModels, samples: Sequence[GivenSample]) -> dict[Tensor, float]:
    """The integer model's outputs against the float model's."""
    outputs = {t: pair.matching.exact[t] for t in pair.integer.main.outputs if t in pair.matching.exact}
    scores = {t: Score() for t, exact in outputs.items() if exact.dtype == "float32"}
    first, second = bench.workers[:2]
    with (
        model_file(with_outputs(pair.exact, [outputs[t] for t in scores])) as exact,
        model_file(with_outputs(pair.integer, [*scores])) as integer,
    ):
        first.call(Open(exact, "xnnpack", 1))
        second.call(Open(integer, "xnnpack", 1))
        for given, converted in samples:
            second.send(Run(converted))
            for t, f, q in zip(scores, first.call(Run(given)), second.receive(Run), strict=True):
                scores[t].add(f, pair.real(t, q, f.shape).astype(np.float32))
    return {outputs[t]: score.sqnr for t, score in scores.items() if score.sqnr is not None}


def _effect(bench: Bench, pair: MatchedModels, job: _Job, samples: Sequence[list[Array]], values: _Values) -> dict[Tensor, float]:
    """Of one activation, on each output."""
    t, match, outputs = job.t, pair.matching.exact, _float_outputs(pair)
    scores = [Score() for _ in outputs]
    third, fourth = bench.workers[2:]
    with (
        model_file(job.alone.model) as operators,
        model_file(_behind(with_outputs(pair.exact, outputs), match[t])) as rest,
    ):
        for worker, path in ((third, operators), (fourth, rest)):
            worker.call(Open(path, "xnnpack", 1))
        for given, f in zip(samples, values, strict=True):
            codes = third.call(Run([pair.given(x, f[match[x]]) for x in job.alone.inputs]))[job.alone.outputs.index(t)]
            wrong = pair.real(t, codes, f[match[t]].shape).astype(np.float32)
            got = fourth.call(Run([*given, wrong]))
            for score, out, value in zip(scores, outputs, got, strict=True):
                score.add(f[out], wrong if out is match[t] else value)
    return {out: score.sqnr for out, score in zip(outputs, scores, strict=True) if score.sqnr is not None}


def _behind(model: Model, t: Tensor) -> Model:
    """The model with one activation given as its last input; what made it makes a twin, which nobody reads."""
    old, instead = model.main, twin(t)
    copies: Mapping[Tensor, Tensor] = {t: instead}
    ops = [replace(op, outputs=[copies.get(o, o) for o in op.outputs]) if t in op.outputs else op for op in old.ops]
    outputs = [copies.get(o, o) for o in old.outputs]  # an input is no output
    graph = Graph(old.name, [], [*old.inputs, t], outputs, ops)
    graph.sync_tensors()
    return Model([graph, *model.graphs[1:]], version=model.version)
