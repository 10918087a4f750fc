"""Timed runs and profiles, each model in its own child process.

Several models run in turns, so that a slow phase of the machine affects all of them.

    warm up -> turns: some runs, profiler off (latency); some runs of the same model compiled with the profiler (profile)
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fullint.calibration.samples import open_samples, slots
from fullint.deployment.benchmark.profile import EventRow, join
from fullint.deployment.benchmark.report import Comparison, ModelTiming, OperatorChange, OperatorTime, timing_stats
from fullint.deployment.benchmark.settings import Settings
from fullint.deployment.benchmark.simulate import Simulation, simulation
from fullint.deployment.partition import PartitionReport, cut
from fullint.errors import ModelFormatError, RuntimeFailure
from fullint.limits import limits
from fullint.model.ir import NUMPY_TYPES, Array, Model
from fullint.model.tflite import read_model
from fullint.ops.structure import check_readable
from fullint.runtime.benchmark_messages import Fill, Loop, Memory, OpenCompiled, OpenPlain, ProfileRuns, Profiles
from fullint.runtime.process import WorkerProcess, model_file

TURNS = 10
STUDENT_T = (math.inf, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Two-sided 95 % quantiles of Student's t distribution, by degrees of freedom (number of turns - 1)."""
MOST_RATIO = 20.0
"""Logarithm of the largest ratio that is reported; a single turn gives no upper bound."""
PROFILE_SECONDS, PROFILE_RUNS, MOST_RUNS = 1.0, 3, 100
"""Seconds of profiled runs in all turns together; minimum and maximum number of them per turn."""
GRACE = 10.0
"""Seconds that a single run may take beyond the maximum of all of them."""
Shapes = Sequence[tuple[tuple[int, ...], str]]


class TimedModel:
    """A model being measured, with its child process."""

    def __init__(self, stack: contextlib.ExitStack, source: str | Path | bytes, how: Settings) -> None:
        self.how = how
        self.name = "" if isinstance(source, bytes) else str(source)
        try:
            self.model = read_model(source)
            check_readable(self.model, scales=False)
        except ModelFormatError as e:
            raise ModelFormatError(f"{self.name}: {e}" if self.name and self.name not in str(e) else str(e)) from e
        self.path = stack.enter_context(model_file(source)) if isinstance(source, bytes) else str(source)
        self.size = Path(self.path).stat().st_size
        self.worker = stack.enter_context(
            WorkerProcess(self.name or "the model", limits().within(how.max_secs + GRACE, "--max_secs"))
        )
        self.played: Simulation | None = None
        self.before = self.worker.call(Memory())
        if how.simulate is not None:
            first = arrays(how.inputs, _graph_inputs(self.model), self.model, by_signature=False)
            self.played = simulation(stack, self.model, self.path, how, first)
        self.piece = self._piece()
        """How the delegate partitions it, None if unknown."""
        self.paths = [self.path] if self.played is None else [p.path for p in self.played.pieces]
        self.plain = ""
        """Why LiteRT's C API does not run it, so that the interpreter is used; "" if it does."""
        self.init, shapes = self._open(profiling=False)
        self.arrays = (
            [arrays(how.inputs, shapes[0], self.model, by_signature=not self._interpreted)]
            if self.played is None
            else self.played.values
        )
        self.worker.call(Fill(self.arrays))
        self.first = self.worker.call(Loop(1, 0.0, 1e9))[0]
        self.after_init, self.after_warmup = self._memory(), 0.0
        self.profile_runs = 0
        self.warmup: list[float] = []
        self.turns: list[list[float]] = []

    def _piece(self) -> PartitionReport | None:
        if self.played is not None:
            return self.played.cut
        known = self.how.kernels == "xnnpack" and self.how.external_delegate_path is None
        return cut(self.model, "xnnpack") if known else None

    def _open(self, *, profiling: bool) -> tuple[float, list[Shapes]]:
        how = self.how
        library, threads = how.external_delegate_path, how.num_threads
        if library is None and not self.plain:
            try:
                found = self.worker.call(OpenCompiled(self.paths, how.kernels, threads, profiling))
            except RuntimeFailure as e:
                if e.crashed or self.played is not None:
                    raise
                self.plain = str(e)
        if library is not None or self.plain:
            found = self.worker.call(OpenPlain(self.path, how.kernels, threads, library, how.external_delegate_options))
        return found[0], found[1]

    @property
    def _interpreted(self) -> bool:
        return bool(self.plain) or self.how.external_delegate_path is not None

    def warm_up(self) -> None:
        """Do the warm-up runs, then compile the model again with the profiler and choose the number of profiled runs."""
        how = self.how
        self.warmup = self.worker.call(Loop(how.warmup_runs, how.warmup_min_secs, how.max_secs))
        if not how.enable_op_profiling or self._interpreted:
            return
        self.after_warmup = self._memory()
        self._open(profiling=True)
        self.worker.call(Fill(self.arrays))
        self.worker.call(ProfileRuns(1, False))
        usual = self.worker.call(ProfileRuns(2, False))
        least = PROFILE_RUNS if usual < 0.1 else 1
        self.profile_runs = max(least, min(MOST_RUNS, int(PROFILE_SECONDS / TURNS / max(usual, 1e-6))))

    def turn(self) -> None:
        """Do one turn's share of the measured runs and of the profiled runs."""
        how = self.how
        runs = math.ceil(how.num_runs / TURNS)
        least, most, delay = how.min_secs / TURNS, how.max_secs / TURNS, max(how.run_delay, 0.0)
        self.turns.append(self.worker.call(Loop(runs, least, most, delay)))
        if self.profile_runs:
            self.worker.call(ProfileRuns(self.profile_runs))

    @property
    def done(self) -> bool:
        """Whether `max_secs` is used up."""
        return sum(map(sum, self.turns)) >= self.how.max_secs

    def timing(self) -> ModelTiming:
        """The measurements so far."""
        how, piece = self.how, self.piece
        series = [s for turn in self.turns for s in turn]
        operators, lost, profiled, totals = self._profile() if self.profile_runs else ((), "", 0.0, [])
        return ModelTiming(
            model=self.name,
            simulated=self.played is not None,
            delegate=how.external_delegate_path or (self.played.delegate if self.played is not None else ""),
            kernels=how.kernels,
            threads=how.num_threads,
            runs=len(series),
            warmup_runs=len(self.warmup),
            init_ms=round(self.init * 1e3, 3),
            first_us=round(self.first * 1e6, 3),
            **timing_stats(series),
            memory_init_mb=round(self.after_init, 3),
            memory_mb=round(self.after_warmup or self._memory(), 3),
            peak_mb=round(self.peak, 3),
            file_mb=round(self.size / 1e6, 6),
            profile_us=round(sum(o.us for o in operators if not o.nested), 3),
            profiled_us=round(profiled * 1e6, 3),
            operators=operators,
            not_joined=lost,
            nodes=len(self.model.main.ops),
            taken=piece.taken if piece is not None else 0,
            partitions=piece.partitions if piece is not None else 1,
            warmup=tuple(self.warmup),
            series=tuple(series),
            profile_series=tuple(totals),
        )

    def _memory(self) -> float:
        """Resident memory that this model has taken so far, in MiB."""
        self.peak = self.worker.peak_memory() / 2**20
        return float(self.worker.call(Memory()) - self.before) / 2**20

    def _profile(self) -> tuple[tuple[OperatorTime, ...], str, float, list[float]]:
        """(rows, why some are not matched, seconds of a profiled run, seconds of each profiled run by its rows)."""
        found = self.worker.call(Profiles())
        rows = [[EventRow(*row) for row in one] for one, _, _ in found]
        totals = [sum(each) for each in zip(*(t for _, t, _ in found), strict=True)]
        joined = self.played.joined(rows) if self.played is not None else join(rows[0], self.model)
        return (*joined, sum(seconds for _, _, seconds in found), totals)


def arrays(inputs: Any, shapes: Shapes, model: Model, *, by_signature: bool = True) -> list[Array]:
    """The inputs of a run, in the order of the signature or of the graph.

    Raises:
        UsageError, SamplesError: `inputs` is not "random", "zeros" or samples that fit the model.
    """
    if isinstance(inputs, str) and inputs in ("random", "zeros"):
        rng = np.random.default_rng(0)
        return [_random(rng, s, d) if inputs == "random" else np.zeros(s, NUMPY_TYPES[d]) for s, d in shapes]
    sample = next(iter(open_samples(inputs, slots(model))))
    signature = next((s for s in model.signatures if s.graph is model.main), None) if by_signature else None
    order = [t for _, t in signature.inputs] if signature is not None else model.main.inputs
    by_tensor = dict(zip(model.main.inputs, sample, strict=True))
    return [by_tensor[t] for t in order]


def _graph_inputs(model: Model) -> Shapes:
    return [(tuple(max(n, 1) for n in t.shape), t.dtype) for t in model.main.inputs]


def _random(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    kind = NUMPY_TYPES[dtype]
    if dtype in ("int8", "uint8", "int16"):
        info = np.iinfo(kind)
        return rng.integers(info.min, info.max, shape, kind, endpoint=True)
    return rng.normal(size=shape).astype(kind) if np.dtype(kind).kind == "f" else np.zeros(shape, kind)


def compared(a: TimedModel, b: TimedModel, before: ModelTiming, after: ModelTiming) -> Comparison:
    """Compare two models by the ratios of their medians in each turn."""
    ratios = np.log([np.median(x) / np.median(y) for x, y in zip(a.turns, b.turns, strict=True)])
    middle, spread = float(ratios.mean()), float(ratios.std(ddof=1)) if len(ratios) > 1 else 0.0
    half = STUDENT_T[len(ratios) - 1] * spread / math.sqrt(len(ratios)) if len(ratios) > 1 else math.inf
    kinds = sorted({o.kind or o.node_type for t in (before, after) for o in t.operators})
    table = {k: (_of_kind(before, k), _of_kind(after, k)) for k in kinds}
    return Comparison(
        before.model,
        after.model,
        round(math.exp(middle), 4),
        round(math.exp(middle - half), 4),
        round(math.exp(min(middle + half, MOST_RATIO)), 4),
        dict(sorted(table.items(), key=lambda item: -max(item[1]))),
        _by_operator(before, after),
    )


def _by_operator(before: ModelTiming, after: ModelTiming) -> tuple[OperatorChange, ...]:
    """Operators with the same type and output name in both models, in the first model's order."""
    old, new = (
        {key: sum(o.us for o in t.operators if (o.kind, o.output) == key) for o in t.operators if (key := (o.kind, o.output))[1]}
        for t in (before, after)
    )
    return tuple(OperatorChange(*key, round(us, 3), round(new[key], 3)) for key, us in old.items() if key in new)


def _of_kind(t: ModelTiming, kind: str) -> float:
    return round(sum(o.us for o in t.operators if (o.kind or o.node_type) == kind and not o.nested), 3)
