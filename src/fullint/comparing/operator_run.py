"""The activations of both models, and each group alone, measured on samples; a portion of the groups at a time.

    worker 1   float model        -> f of a portion      worker 3   groups alone on quantized f             -> a
    worker 2   integer model      -> q of a portion      worker 4   float groups on f rounded, likewise     -> i

Only the activations of one portion and one sample are held, so that memory does not grow with the model or the samples.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from fullint.auditing.saturation import natural_ends
from fullint.calibration.portions import bytes_of, portions
from fullint.calibration.signatures import with_outputs
from fullint.comparing.channel_factors import Factors
from fullint.comparing.figures import Codes, Sums
from fullint.comparing.groups import OperatorGroup
from fullint.comparing.isolated import isolated, rounded
from fullint.comparing.matching import Matching
from fullint.comparing.output_runs import MODELS
from fullint.errors import RuntimeFailure
from fullint.model.ir import NUMPY_TYPES, Array, Model, Op, Quant, Tensor, Uses
from fullint.model.numerics import RANGES, quantize, representable
from fullint.model.operators_alone import Isolated
from fullint.ops import ROWS, traits_of
from fullint.ops.base import plain_scale
from fullint.ops.make import CLAMPS
from fullint.options import Progress
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.kernel_outputs import real

MOST_GROUPS, MOST_PORTIONS = 400, 8
"""Run in one model, since the runtime's time to load one grows faster than the model; more, where that would be so many portions
that running both models for each of them took longer."""


@dataclass(frozen=True, eq=False)
class MatchedModels:
    """A float and an integer model with what is known of how they belong together.

    Attributes:
        exact, integer: the models.
        matching: their activations.
        factors: what channels of the integer model's were divided by.
        uses: readers in the integer model.
        natural: its activations -> whether the network asks for values at the low, and the high end of their range.
    """

    exact: Model
    integer: Model
    matching: Matching
    factors: Factors
    uses: Uses
    natural: Mapping[Tensor, tuple[bool, bool]]

    @classmethod
    def of(cls, exact: Model, integer: Model, matching: Matching, factors: Factors) -> MatchedModels:
        """With what the integer model itself tells."""
        return cls(exact, integer, matching, factors, Uses(integer.main), natural_ends(integer))

    def given(self, t: Tensor, exact: Array) -> Array:
        """A float activation as the integer model has it: its codes where it is quantized."""
        value = self._rescaled(t, exact)
        if not _has_codes(t, exact):
            return value.astype(NUMPY_TYPES[t.dtype])
        return quantize(value.astype(np.float32), cast(Quant, t.quant), t.dtype)

    def rounded(self, t: Tensor, exact: Array) -> Array:
        """A float activation as float32, but with the values that the integer model's codes stand for."""
        return self.real(t, self.given(t, exact), exact.shape).astype(np.float32) if _has_codes(t, exact) else exact

    def real(self, t: Tensor, value: Array, shape: tuple[int, ...]) -> Array:
        """What an activation of the integer model stands for in the float model."""
        found, factor = real(value, t).reshape(shape), self.factors.get(self.matching.exact[t])
        return found * factor if factor is not None else found

    def _rescaled(self, t: Tensor, exact: Array) -> Array:
        factor = self.factors.get(self.matching.exact[t])
        return (exact / factor if factor is not None else exact).reshape(t.shape)


def _has_codes(t: Tensor, exact: Array) -> bool:
    """Whether a float activation is quantized in the integer model."""
    return exact.dtype.kind == "f" and t.dtype in RANGES and t.quant is not None and t.quant.scale.size == 1


@dataclass(eq=False)
class MeasuredActivation:
    """What was measured of an activation that a group gives.

    Attributes:
        sums, codes: of its values.
        wrong: channels whose weights are not as large as they should be -> how many times as large they are.
        lost_bias: channels whose bias is not there, and should be.
        failure: why its group was not run alone.
    """

    sums: Sums
    codes: Codes | None
    wrong: Mapping[int, float] = field(default_factory=dict)
    lost_bias: Collection[int] = ()
    failure: str = ""


AS_COARSE = 256
"""An int16 operator may be as coarse as one in int8, since int16 kernels read tables that are."""


class Bench:
    """Four processes, so that a crash of one model takes nothing else down; started when they are needed."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.workers = [self._stack.enter_context(WorkerProcess(what)) for what in _WHAT]

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


_WHAT = (*MODELS, "operators of the integer model", "operators of the float model")


def measure_groups(
    bench: Bench,
    pair: MatchedModels,
    groups: Sequence[OperatorGroup],
    samples: Sequence[tuple[list[Array], list[Array]]],
    progress: Progress,
) -> dict[Tensor, MeasuredActivation]:
    """What each group adds and inherits: integer model's activation -> figures.

    Args:
        bench: processes.
        pair: the models.
        groups: of them.
        samples: (inputs of the float model, inputs of the integer model).
        progress: told of each portion.

    Raises:
        RuntimeFailure: one of the two models does not run.
    """
    found: dict[Tensor, MeasuredActivation] = {}
    parts = [*portions(groups, _bytes_of, max(MOST_GROUPS, -(-len(groups) // MOST_PORTIONS)))]
    for number, part in enumerate(parts):
        progress("compare", number, len(parts))
        found |= _measured(bench, pair, part, samples)
    progress("compare", len(parts), len(parts))
    return found


def _measured(
    bench: Bench, pair: MatchedModels, groups: Sequence[OperatorGroup], samples: Sequence[tuple[list[Array], list[Array]]]
) -> dict[Tensor, MeasuredActivation]:
    """Some groups; where the runtime refuses them together, each half by itself, so that one takes no others with it."""
    found = _Portion(bench, pair, groups).run(samples)
    if len(groups) < 2 or not any(m.failure for m in found.values()):
        return found
    middle = len(groups) // 2
    return {**_measured(bench, pair, groups[:middle], samples), **_measured(bench, pair, groups[middle:], samples)}


def _bytes_of(group: OperatorGroup) -> int:
    return sum(map(bytes_of, (*group.takes, *group.gives)))


class _Portion:
    """Some groups, measured on all samples."""

    def __init__(self, bench: Bench, pair: MatchedModels, groups: Sequence[OperatorGroup]) -> None:
        self.bench, self.pair, self.groups = bench, pair, groups
        self.match = pair.matching.exact
        values = dict.fromkeys(t for g in groups for t in (*g.takes, *g.gives))
        self.exact = [*dict.fromkeys(self.match[t] for t in values)]
        self.own = [*dict.fromkeys(t for g in groups for t in g.gives)]
        self.found = {t: self._measured(g, t) for g in groups for t in g.gives}

    def _measured(self, group: OperatorGroup, t: Tensor) -> MeasuredActivation:
        step = (plain_scale(t) or 0.0) * (AS_COARSE if t.dtype == "int16" else 1)
        sums = Sums(self.match[t], step, _steps(group), _limit(t, self.pair.uses))
        return MeasuredActivation(sums, _codes(t, group.last, self.pair))

    def run(self, samples: Sequence[tuple[list[Array], list[Array]]]) -> dict[Tensor, MeasuredActivation]:
        with contextlib.ExitStack() as files:
            first, second, third, fourth = self.bench.workers
            for worker, model, tensors in ((first, self.pair.exact, self.exact), (second, self.pair.integer, self.own)):
                worker.call(Open(files.enter_context(model_file(with_outputs(model, tensors))), "xnnpack", 1))
            alone = self._opened(files, third, isolated(self.groups, self.pair.integer.version))
            closed = [g for g in self.groups if g.closed]
            floats = self._opened(files, fourth, rounded(closed, self.match, self.pair.exact.version))
            if len(self.groups) > 1 and any(m.failure for m in self.found.values()):
                return self.found  # the halves are measured instead
            for given, converted in samples:
                second.send(Run(converted))
                f = dict(zip(self.exact, first.call(Run(given)), strict=True))
                q = dict(zip(self.own, second.receive(Run), strict=True))
                a = self._alone(third, alone, f)
                i = self._alone(fourth, floats, f, rounding=True)
                self._add(f, q, a, i)
        return self.found

    def _opened(self, files: contextlib.ExitStack, worker: WorkerProcess, made: Isolated) -> Isolated | None:
        """Groups side by side, opened; None where there are none, or the runtime refuses them."""
        if not made.outputs:
            return None
        try:
            worker.call(Open(files.enter_context(model_file(made.model)), "xnnpack", 1))
        except RuntimeFailure as e:
            self._failed(worker, e)
            return None
        return made

    def _failed(self, worker: WorkerProcess, error: RuntimeFailure) -> None:
        if error.crashed:
            worker.restart()
        for measured in self.found.values():
            measured.failure = str(error)

    def _alone(
        self, worker: WorkerProcess, model: Isolated | None, f: dict[Tensor, Array], *, rounding: bool = False
    ) -> dict[Tensor, Array]:
        if model is None:
            return {}
        as_given = self.pair.rounded if rounding else self.pair.given
        given = [as_given(t, f[self.match[t]]) for t in model.inputs]
        try:
            return dict(zip(model.outputs, worker.call(Run(given)), strict=True))
        except RuntimeFailure as e:
            self._failed(worker, e)
            return {}

    def _add(self, f: dict[Tensor, Array], q: dict[Tensor, Array], a: dict[Tensor, Array], i: dict[Tensor, Array]) -> None:
        for t, measured in self.found.items():
            exact = f[self.match[t]]
            factor = self.pair.factors.get(self.match[t])
            measured.sums.add(exact, self.pair.real(t, q[t], exact.shape))
            if measured.codes is not None:
                measured.codes.add(q[t])
            if t in a:
                measured.sums.add_alone(exact, self.pair.real(t, a[t], exact.shape), i.get(t), factor)


def _codes(t: Tensor, maker: Op, pair: MatchedModels) -> Codes | None:
    if t.dtype not in ("int8", "uint8", "int16") or t.quant is None:
        return None
    return Codes(t.dtype, pair.natural.get(t, (False, False)), _idle(t, maker, pair.uses))


def _idle(t: Tensor, maker: Op, uses: Uses) -> float:
    """Share of the codes that stand for values which a fused RELU never makes; none where a join may have asked for them."""
    ends = CLAMPS.get(maker.options.get("fused_activation_function", 0))
    if ends is None or t.quant is None or t.dtype == "int16" or _joined(t, uses):
        return 0.0
    low, high = representable(t.quant, t.dtype)
    return max(ends[0] - low, 0.0) / (high - low)


def _joined(t: Tensor, uses: Uses) -> bool:
    """Whether a join reads an activation, by way of movements or not: its scale is then that of others, too."""
    waiting, seen = [t], {t}
    while waiting:
        readers = [op for op, _ in uses.of(waiting.pop())]
        if any(traits_of(op.kind).joins for op in readers):
            return True
        further = [out for op in readers if traits_of(op.kind).moves for out in op.outputs if out not in seen]
        seen.update(further)
        waiting += further
    return False


def _limit(t: Tensor, uses: Uses) -> float:
    """The size from which values are alike to all operators that read an activation (TANH); infinity where they are not."""
    rows = [ROWS.get(op.kind) for op, _ in uses.of(t)]
    ends = [row.saturates for row in rows if row is not None and row.saturates is not None]
    return max(ends) if ends and len(ends) == len(rows) and t not in uses.outputs else math.inf


def _steps(group: OperatorGroup) -> int:
    """Output steps by which the kernels of the group may miss the rounded result."""
    return max((ROWS[op.kind].steps for op in group.ops if op.kind in ROWS), default=1)
