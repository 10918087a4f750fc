"""The main job: float model in, all-integer model out, or the reason why not.

    read -> fix shapes -> prepare -> calibrate -> assign -> emit -> write -> verify, execute, compare

Each arrow is a module; this one only strings them together and keeps the clock.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fullint import __version__
from fullint.assign import assign, observed_tensors
from fullint.assignment import Assignment, Granularity, Range
from fullint.blockers import blockers, scale_blockers
from fullint.calibrate import Stats, calibrate, has_state
from fullint.certificate import certify, integer_inputs
from fullint.correct_bias import Head, correct_bias, heads, means_model, sample_count
from fullint.diagnose import worst_operators
from fullint.emit import Emitted, emit, set_io
from fullint.equalize import equalize, streams
from fullint.errors import NotIntegerError, RuntimeFailure, UsageError, VerificationError
from fullint.ir import Array, Buffer, Model, Tensor
from fullint.numerics import representable
from fullint.options import Options
from fullint.passes import prepare
from fullint.passes.expand_constants import expand_dequantize
from fullint.passes.static_shapes import fix_batch, fold_constants
from fullint.report import (
    SCHEMA_VERSION,
    Certificate,
    CutReport,
    QuantizeReport,
    count_conv,
    count_float,
    operator_counts,
)
from fullint.rewrite import Change, sweep
from fullint.samples import WAYS, Samples, Split, open_samples, slots, synthetic
from fullint.sandbox import Sandbox, model_file
from fullint.tables import fill_tables
from fullint.tflite import read_model, write_model
from fullint.verdict import verdict
from fullint.verify import check_readable, check_structure, contract_problems

Progress = Callable[[str, int, int | None], None]
"""(stage, done, total or None), called as the work goes on."""

SYNTHETIC_SAMPLES = 32
UNCALIBRATED_KEY = "fullint_uncalibrated"


@dataclass(frozen=True)
class Result:
    """An all-integer model and how it came about.

    Attributes:
        model: the `.tflite` file's bytes.
        report: what `--json` prints.
    """

    model: bytes
    report: QuantizeReport


@dataclass(frozen=True)
class Plan:
    """The decisions, before anything is rewritten: what `--plan` prints."""

    model: Model
    assignment: Assignment


def quantize(
    model: str | Path | bytes,
    samples: Any = None,
    *,
    num_samples: int | None = None,
    per_tensor: bool = False,
    dense_per_tensor: bool = False,
    io: str = "int8",
    batch: int = 1,
    threads: int | None = None,
    min_sqnr: float = 5.0,
    synthetic: bool = False,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 255.0,
    layout: str = "NHWC",
    progress: Progress | None = None,
) -> Result:
    """Make a TFLite model all integer, verified and executed.

    Args:
        model: path or bytes of a float (or half-quantized) `.tflite`.
        samples: representative samples (see `fullint.samples`): a path, arrays, an iterable of
            arrays, tuples or dicts, or a function that returns one.
        num_samples: use the first this many samples.
        per_tensor: one scale per weight tensor instead of one per output channel.
        dense_per_tensor: the same for FULLY_CONNECTED alone.
        io: type of the inputs and outputs that were float: "int8", "uint8" or "float32".
        batch: size to fix a dynamic batch at.
        threads: samples run at the same time while calibrating; the number of cores by default.
        min_sqnr: dB below which there is no result.
        synthetic: calibrate on random numbers; for speed trials only.
        mean, std: a folder of images becomes (pixel - mean) / std; one number, or one per channel.
        layout: layout of the model's image input, "NHWC" or "NCHW".
        progress: called with (stage, done, total) as the work goes on.

    Raises:
        NotIntegerError: operators that cannot be integer; its `blockers` names each.
        AccuracyError: the result's SQNR is below `min_sqnr`.
        VerificationError: the result broke a rule of the contract.
        SamplesError, ModelFormatError, UsageError, RuntimeFailure: bad samples, file, options, or a
            model the runtime does not run.
    """
    options = Options(num_samples, per_tensor, dense_per_tensor, io, batch, threads, min_sqnr, synthetic, mean, std, layout)
    options.check()
    with _Job(model, samples, options, progress) as job:
        return job.result()


def plan(model: str | Path | bytes, samples: Any = None, *, progress: Progress | None = None, **options: Any) -> Plan:
    """The parameters `quantize` would give every tensor, with its options; nothing is written."""
    checked = Options(**options)
    checked.check()
    with _Job(model, samples, checked, progress) as job:
        return job.plan()


class _Job:
    """One run of the pipeline."""

    def __init__(self, source: str | Path | bytes, samples: Any, options: Options, progress: Progress | None) -> None:
        if isinstance(source, bytearray | memoryview):
            source = bytes(source)
        if not isinstance(source, str | Path | bytes):
            raise UsageError(f"the model must be a path or bytes, not {type(source).__name__}")
        self.source, self.samples, self.options = source, samples, options
        self.progress: Progress = progress or (lambda stage, done, total: None)
        self.seconds: dict[str, float] = {}
        self.changes: list[Change] = []
        self.warnings: list[str] = []
        self.box_peak = 0
        self.kept: list[list[Array]] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _Job:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Keep the clock of one stage."""
        self.progress(name, 0, None)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 4)

    def result(self) -> Result:
        self._read()
        if not count_float(self.model):
            return self._already_integer()
        planned = self._plan()
        with self.stage("rewrite"):
            emitted = emit(planned.model, planned.assignment)
        with self.stage("correct_bias"):
            self._correct_bias(emitted)
            self.kept.clear()
        self.other = self._stack.enter_context(Sandbox("the result"))
        with self.stage("rewrite"):
            old, new = planned.model.main, emitted.model.main
            inputs = {n for o, n in zip(old.inputs, new.inputs, strict=True) if o.is_float}
            outputs = {n for o, n in zip(old.outputs, new.outputs, strict=True) if o.is_float}
            set_io(emitted.model, self.options.io, inputs, outputs)
            if self.options.synthetic:
                emitted.model.metadata.append((UNCALIBRATED_KEY, Buffer.of(_ascii("synthetic samples"))))
            data = write_model(emitted.model)
        certificate = self._certify(data)
        self._judge(certificate, planned, emitted)
        return Result(data, self._report("quantized", data, planned.assignment, emitted, certificate))

    def plan(self) -> Plan:
        self._read()
        if not count_float(self.model):
            raise UsageError("there is nothing to plan: the model is all integer already")
        return self._plan()

    def _read(self) -> None:
        self.box = self._stack.enter_context(Sandbox())
        with self.stage("read"):
            self.model = read_model(self.source if isinstance(self.source, bytes) else Path(self.source))
            check_readable(self.model)
            if isinstance(self.source, bytes):
                self.path = self._stack.enter_context(model_file(self.source))
            else:
                self.path = str(self.source)

    def _plan(self) -> Plan:
        self._need_samples()
        with self.stage("prepare"):
            self._prepare()
        found = blockers(self.model)
        if found:
            raise NotIntegerError(found)
        self.split = Split(self._open_samples())
        with self.stage("calibrate"):
            tensors = observed_tensors(self.model)
            self.streams = streams(self.model.main)
            streamed = {t for s in self.streams for t in s.tensors if t.shape[-1] == s.channels}
            self.keep = 0 if has_state(self.model) else sample_count(self.model)
            self.heads = heads(self.model.main) if self.keep else []
            outputs = [h.op.outputs[0] for h in self.heads]
            stats = calibrate(self.model, tensors, streamed, self._counted(), self.box, self.options.workers, outputs, self.keep)
            self.means = stats.means
            self._warn_of_unseen(stats)
        with self.stage("equalize"):
            ranges = self._equalize(stats)
        with self.stage("assign"):
            granularity = Granularity(self.options.per_tensor, self.options.dense_per_tensor)
            assignment = assign(self.model, replace(stats.measured, ranges=ranges), granularity)
            found = scale_blockers(self.model, assignment)
            if found:
                raise NotIntegerError(found)
            fill_tables(self.model, assignment, self._evaluate)
        return Plan(self.model, assignment)

    def _warn_of_unseen(self, stats: Stats) -> None:
        if stats.unseen:
            names = ", ".join(f'"{t.name}"' for t in stats.unseen[:3])
            more = f" and {len(stats.unseen) - 3} more" if len(stats.unseen) > 3 else ""
            self.warnings.append(f"no sample took the branch that computes {names}{more}: they have no range")

    def _equalize(self, stats: Stats) -> dict[Tensor, Range]:
        known, per_tensor = set(stats.ranges), self.options.per_tensor
        changes, channels = equalize(self.model.main, self.streams, known, stats.channels, per_tensor=per_tensor)
        self.changes += changes
        self.ranges = stats.ranges | {t: (float(low.min()), float(high.max())) for t, (low, high) in channels.items()}
        return self.ranges

    def _correct_bias(self, emitted: Emitted) -> None:
        sound = [h for h in self.heads if _holds(emitted.int8[h.op.outputs[0]], self.ranges[h.op.outputs[0]])]
        if len(self.kept) < 2 or not sound:
            return
        columns = np.concatenate([np.full(h.channels, h in sound) for h in self.heads])
        try:
            measured = self._integer_means(emitted, sound)
        except RuntimeFailure as e:
            raise VerificationError([str(e).replace(self.box.what, "the result")]) from e
        self.changes += correct_bias(emitted, sound, self.means[:, columns], measured)

    def _integer_means(self, emitted: Emitted, sound: Sequence[Head]) -> Array:
        with model_file(means_model(emitted, sound)) as path:
            self.box.call("measure", path, self.options.workers, self.keep)
            for index, sample in enumerate(self.kept):
                self.box.send("sample", index, integer_inputs(emitted.model, sample))
            means: Array = self.box.call("measured")[3]
            return means

    def _need_samples(self) -> None:
        if self.samples is None and not self.options.synthetic:
            raise UsageError("no representative samples; " + WAYS)
        if self.samples is not None and self.options.synthetic:
            raise UsageError("give samples or synthetic, not both")

    def _prepare(self) -> None:
        def shapes_of(shapes: list[tuple[int, ...]]) -> Sequence[tuple[int, ...]]:
            found: Sequence[tuple[int, ...]] = self.box.call("shapes", self.path, shapes)
            return found

        self.changes += fix_batch(self.model, self.options.batch, shapes_of)
        self.changes += sweep(self.model, expand_dequantize)
        self.changes += fold_constants(self.model, self._evaluate)
        check_structure(self.model)
        self.changes += prepare(self.model, self._evaluate)

    def _evaluate(self, part: Model) -> list[Array]:
        """The runtime's values of a model of constants."""
        with model_file(part) as path:
            self.box.call("open", path, "builtin", 1)
            values: list[Array] = self.box.call("run", [])
            return values

    def _open_samples(self) -> Samples:
        inputs = slots(self.model)
        if self.options.synthetic:
            return synthetic(inputs, self.options.num_samples or SYNTHETIC_SAMPLES)
        return open_samples(self.samples, inputs, self.options.num_samples, self.options.images, self.options.batch)

    def _counted(self) -> Iterator[tuple[int, list[Array]]]:
        total = self.split.samples.count
        for index, sample in self.split.calibrating():
            if index < self.keep:
                self.kept.append(sample)
            yield index, sample
            self.progress("calibrate", index + 1, total)

    def _certify(self, data: bytes) -> Certificate:
        with self.stage("certify"):
            self.box_peak = max(self.box_peak, self.box.peak_memory())
            return certify(
                self.path,
                self.model.main.outputs,
                read_model(data),
                data,
                self.split.held,
                self.box,
                self.other,
                held_back=self.split.held_back,
                uncalibrated=self.options.synthetic,
                float_io=self.options.io == "float32",
            )

    def _judge(self, certificate: Certificate, planned: Plan, emitted: Emitted) -> None:
        """Refuse a result that is too far from float; warn of what a user should know."""

        def worst() -> list[str]:
            return worst_operators(planned.model, emitted, self.split.last)

        self.warnings += verdict(certificate, self.options.min_sqnr, self.options.per_tensor, worst)
        ends = (*planned.model.main.inputs, *planned.model.main.outputs)
        if self.options.io != "int8" and not any(t.is_float for t in ends):
            self.warnings.append(f"io {self.options.io} has no effect: no input or output of the model is float")
        for t in planned.model.main.inputs:
            low, high = self.ranges.get(t, (0.0, 1.0))
            if low == high:
                self.warnings.append(f'every sample of input "{t.name}" is {low:g}: that calibrates nothing')

    def _already_integer(self) -> Result:
        data = self.source if isinstance(self.source, bytes) else Path(self.source).read_bytes()
        problems = list(contract_problems(read_model(data)))
        dynamic = [p for p in problems if p.endswith("has a dynamic shape")]
        if len(problems) > len(dynamic):
            broken = [p for p in problems if p not in dynamic]
            raise VerificationError(broken, "the model has no float operator, but breaks the contract")
        with self.stage("certify"):
            self.box.call("shapes", self.path)
        self.warnings += dynamic[:1]
        if any(t.dtype == "uint8" and t.is_constant and t.quant is not None for t in self.model.main.tensors):
            self.warnings.append("it is a uint8 model of the older scheme: all integer, but not int8")
        changed = [
            n
            for n, v in vars(Options()).items()
            if n in ("io", "per_tensor", "dense_per_tensor", "batch") and v != getattr(self.options, n)
        ]
        if changed:
            self.warnings.append(f"{', '.join(changed)}: no effect on a model that is all integer already")
        report = self._report("already-integer", data, Assignment(), Emitted(self.model), None)
        return Result(data, report)

    def _report(
        self, status: str, data: bytes, assignment: Assignment, emitted: Emitted, certificate: Certificate | None
    ) -> QuantizeReport:
        before = len(self.source) if isinstance(self.source, bytes) else Path(self.source).stat().st_size
        split: Split | None = getattr(self, "split", None)
        return QuantizeReport(
            schema_version=SCHEMA_VERSION,
            fullint=__version__,
            status=status,
            options=self._option_report(),
            operators=sum(1 for _ in emitted.model.ops()),
            float_operators=count_float(emitted.model),
            operator_counts=operator_counts(emitted.model),
            conv_2d=count_conv(emitted.model),
            changes=tuple(c for c in self.changes if c.done),
            cuts=tuple(CutReport(c.op.origin, c.op.kind, c.where, c.input, c.why) for c in assignment.cuts),
            requantizes=tuple(emitted.requantizes),
            notes=(*assignment.notes, *(f'{c.rule} left {c.kind} "{c.output}": {c.why}' for c in self.changes if not c.done)),
            warnings=tuple(self.warnings),
            samples={"calibrated": split.calibrated, "total": split.total, "held_back": split.held_back} if split else {},
            sizes={"before": before, "after": len(data)},
            seconds=dict(self.seconds),
            peak_memory_bytes=_own_peak() + max(self.box_peak, self.box.peak_memory()),
            certificate=certificate,
        )

    def _option_report(self) -> dict[str, Any]:
        o = self.options
        return {
            "model": _digest(self.source) if isinstance(self.source, bytes) else str(self.source),
            "num_samples": o.num_samples,
            "per_tensor": o.per_tensor,
            "dense_per_tensor": o.dense_per_tensor,
            "io": o.io,
            "batch": o.batch,
            "min_sqnr": o.min_sqnr,
            "synthetic": o.synthetic,
        }


def _holds(t: Tensor, span: Range) -> bool:
    """Whether nothing of a range is saturated on purpose (its mean then says nothing)."""
    assert t.quant is not None
    low, high = representable(t.quant)
    step = float(t.quant.scale[0])
    return low - step <= span[0] and span[1] <= high + step


def _own_peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _digest(data: bytes) -> str:
    import hashlib

    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _ascii(text: str) -> Array:
    codes: Array = np.frombuffer(text.encode("ascii"), np.uint8).copy()
    return codes
