"""One run of the pipeline, stage by stage, with the clock of each.

    read -> fix shapes -> prepare -> calibrate -> assign -> emit -> write -> verify, execute, compare

Each arrow is a module; this one only strings them together.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fullint.calibration.collect import calibrate, has_state
from fullint.calibration.observed import observed_tensors
from fullint.calibration.range_methods import InputValues
from fullint.calibration.samples import WAYS, Samples, open_samples, slots, synthetic
from fullint.calibration.signatures import Entry, samples_of, view
from fullint.calibration.statistics import Measured, Range, Stats, merged
from fullint.errors import NotIntegerError, RuntimeFailure, UsageError, VerificationError
from fullint.frontends import Framework, convert_with, framework_of
from fullint.frontends.report import Conversion
from fullint.model.census import count_float
from fullint.model.ir import Array, Buffer, Model, Op, Quant, Tensor
from fullint.model.numerics import representable
from fullint.model.subgraphs import LOOKUP
from fullint.model.tflite import internalise, read_model, write_model
from fullint.ops import ROWS
from fullint.ops.structure import check_readable, check_structure
from fullint.ops.targets import TARGETS
from fullint.passes import prepare
from fullint.passes.engine import sweep
from fullint.passes.expand_constants import expand_dequantize
from fullint.passes.keep_float import choose
from fullint.passes.qat_params import apply_qat_params, forget_float_params, make_runnable
from fullint.passes.static_shapes import densify, fix_batch, fold_constants, forget_signatures
from fullint.passes.tensorflow_ops import without_tensorflow
from fullint.quantization.assign import assign
from fullint.quantization.assignment import Assignment, Granularity
from fullint.quantization.bias_correction import Head, correct_bias, heads, means_model, sample_count
from fullint.quantization.emit import Emitted, emit
from fullint.quantization.equalization import equalize, streams
from fullint.quantization.feasibility import blockers, scale_blockers, unmeasured
from fullint.quantization.io_types import set_io
from fullint.quantization.lookup_tables import fill_tables
from fullint.quantization.mixed_precision import wide_operators
from fullint.quantization.options import Options
from fullint.quantization.report import QuantizeReport, already_integer, report_of
from fullint.reporting import Change, Progress
from fullint.runtime.messages import FinishMeasuring, Measure, Open, Run, Sample, TensorShapes
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.acceptance import verdict
from fullint.verification.certificate import certify, integer_inputs, joined
from fullint.verification.layer_errors import worst_operators
from fullint.verification.report import Certificate

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


class Job:
    """One run of the pipeline."""

    strict = True
    """Whether a file whose scales make no sense is refused when it is read."""
    reference = "the float model"
    """What results are compared with."""
    each = False
    """Whether every output must reach `min_sqnr`, not only their mean."""

    honours = True
    """Whether parameters that a model brings along are taken over; a repair has its own way with them."""

    def __init__(self, source: str | Path | bytes, samples: Any, options: Options, progress: Progress | None) -> None:
        if isinstance(source, bytearray | memoryview):
            source = bytes(source)
        if not isinstance(source, str | Path | bytes):
            raise UsageError(f"the model must be a path or bytes, not {type(source).__name__}")
        self.given = self.source = source
        self.samples, self.options = samples, options
        self.conversion: Conversion | None = None
        self.progress: Progress = progress or (lambda stage, done, total: None)
        self.seconds: dict[str, float] = {}
        self.changes: list[Change] = []
        self.warnings: list[str] = []
        self.worker_peak = 0
        self.kept: list[list[Array]] = []
        self.values = InputValues()
        self.pinned: dict[Tensor, tuple[Quant, str]] = {}
        self.heads: list[Head] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Job:
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
        if not any(self.model.ops()):
            raise UsageError("the model has no operators: there is nothing to make integer")
        if not count_float(self.model):
            return Result(*already_integer(self))
        return self._made()

    def _made(self) -> Result:
        """The integer model, from what was read."""
        planned = self._plan()
        with self.stage("rewrite"):
            emitted = emit(planned.model, planned.assignment)
        with self.stage("correct_bias"):
            self._correct_bias(emitted)
            self.kept.clear()
        self.other = self._stack.enter_context(WorkerProcess("the result"))
        with self.stage("rewrite"):
            for old, new in zip(planned.model.entries, emitted.model.entries, strict=True):
                inputs = {n for o, n in zip(old.inputs, new.inputs, strict=True) if o.is_float}
                outputs = {n for o, n in zip(old.outputs, new.outputs, strict=True) if o.is_float}
                set_io(view(emitted.model, new), self.options.io_types, inputs, outputs)
            places = emitted.places()
            gone = len(self.chosen) - len(emitted.kept)
            if gone > 0:
                self.warnings.append(
                    f"keep_float: {gone} operators are not in the result: nothing needs them, or they are constant"
                )
            if self.options.synthetic:
                emitted.model.metadata.append((UNCALIBRATED_KEY, Buffer.of(_ascii("synthetic samples"))))
            data = write_model(emitted.model)
        certificate = self._certify(data, places)
        self._judge(certificate, planned, emitted)
        return Result(data, report_of(self, "quantized", data, planned.assignment, emitted, certificate))

    def plan(self) -> Plan:
        self._read()
        if not count_float(self.model):
            raise UsageError("there is nothing to plan: the model is all integer already")
        return self._plan()

    def _read(self) -> None:
        self.worker = self._stack.enter_context(WorkerProcess())
        framework = framework_of(self.given, self.options.framework) if not isinstance(self.given, bytes) else None
        if framework is not None:
            self._convert(str(self.given), framework)
        with self.stage("read"):
            self.model = read_model(self.source if isinstance(self.source, bytes) else Path(self.source))
            path = Path(self.source) if not isinstance(self.source, bytes) else None
            outside = internalise(self.model, path and path.absolute().parent)
            check_readable(self.model, scales=self.strict)
            written = without_tensorflow(self.model) + make_runnable(self.model)
            self.changes += written
            if outside or any(c.done for c in written):
                self.path = self._stack.enter_context(model_file(self.model))
            elif isinstance(self.source, bytes):
                self.path = self._stack.enter_context(model_file(self.source))
            else:
                self.path = str(path)
            self.entries = [Entry.of(self.model, self.model.main, self.path)]
            for graph in self.model.entries[1:]:
                own = self._stack.enter_context(model_file(view(self.model, graph)))
                self.entries.append(Entry.of(self.model, graph, own))

    def _convert(self, given: str, framework: Framework) -> None:
        with self.stage("convert"):
            made = convert_with(given, framework, self.options.batch, self.options.shapes, self.progress)
        self.source, self.conversion = made.model, made.conversion

    def _plan(self) -> Plan:
        self._need_samples()
        with self.stage("prepare"):
            self._prepare()
        found = blockers(self.model)
        if found:
            raise NotIntegerError(found)
        measured = self._measured()
        with self.stage("assign"):
            types = self._types(measured.ranges)
            assignment = assign(self.model, measured, self._granularity(), types, self.options.activations, self.pinned)
            found = scale_blockers(self.model, assignment)
            if found:
                raise NotIntegerError(found)
            fill_tables(self.model, assignment, self._evaluate)
        return Plan(self.model, assignment)

    def _granularity(self) -> Granularity:
        return Granularity(self.options.per_tensor, self.options.dense_per_tensor)

    def _measured(self) -> Measured:
        """Ranges, from samples."""
        for entry in self.entries:
            entry.opened(self._open_samples(entry))
        with self.stage("calibrate"):
            tensors = observed_tensors(self.model)
            self.streams = [s for s in streams(self.model.main) if self.pinned.keys().isdisjoint(s.tensors)]
            streamed = {t for s in self.streams for t in s.tensors if t.shape[-1] == s.channels}
            exact = self.options.activations == "int16" or has_state(self.model)
            self.keep = 0 if exact else sample_count(self.model)
            self.heads = heads(self.model.main) if self.keep else []
            outputs = [h.op.outputs[0] for h in self.heads]
            stats = self._calibrate(tensors, streamed, outputs)
            self.means = stats.means
            self._warn_of_unseen(stats)
        found = unmeasured(self.model, stats.ranges)
        if found:
            raise NotIntegerError(found)
        with self.stage("equalize"):
            return replace(stats.measured, ranges=self._equalize(stats))

    def _calibrate(self, tensors: list[Tensor], streamed: set[Tensor], outputs: list[Tensor]) -> Stats:
        found = []
        for entry in self.entries:
            first = entry is self.entries[0]
            samples, model = self._counted(entry, keep=first), view(self.model, entry.graph)
            ends, keep = (outputs, self.keep) if first else ([], 0)
            found.append(calibrate(model, tensors, streamed, samples, self.worker, self.options.workers, ends, keep))
        return merged(found)

    def _types(self, ranges: Mapping[Tensor, Range]) -> dict[Op, str]:
        """Operators that do not compute in the type of the activations."""
        if self.options.activations == "int8":
            wide = wide_operators(self.model, ranges)
            why = "small values lie too close together for 8 bits: computes in int16"
            self.changes += [Change("widen", op.origin, op.kind, op.outputs[0].name, why) for op in wide]
            return wide
        return {
            op: "int8"
            for _, op in self.model.ops()
            if (row := ROWS.get(op.kind)) is not None and not row.int16 and not op.keep_float
        }

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
        if self.options.activations == "int8":
            self.ranges |= {t: self.values.clipped(t, self.ranges[t]) for t in self.values.count if t in self.ranges}
        self.ranges |= {t: representable(*given) for t, given in self.pinned.items()}
        return self.ranges

    def _correct_bias(self, emitted: Emitted) -> None:
        sound = [h for h in self.heads if _holds(emitted.int8[h.op.outputs[0]], self.ranges[h.op.outputs[0]])]
        if len(self.kept) < 2 or not sound:
            return
        columns = np.concatenate([np.full(h.channels, h in sound) for h in self.heads])
        try:
            measured = self._integer_means(emitted, sound)
        except RuntimeFailure as e:
            raise VerificationError([str(e).replace(self.worker.what, "the result")]) from e
        self.changes += correct_bias(emitted, sound, self.means[:, columns], measured)

    def _integer_means(self, emitted: Emitted, sound: Sequence[Head]) -> Array:
        with model_file(means_model(emitted, sound)) as path:
            self.worker.call(Measure(path, self.options.workers, self.keep))
            for index, sample in enumerate(self.kept):
                self.worker.post(Sample(index, integer_inputs(emitted.model, sample)))
            means: Array = self.worker.call(FinishMeasuring()).kept
            return means

    def _need_samples(self) -> None:
        if self.samples is None and not self.options.synthetic:
            raise UsageError("no representative samples; " + WAYS)
        if self.samples is not None and self.options.synthetic:
            raise UsageError("give samples or synthetic, not both")

    def _prepare(self) -> None:
        self.chosen = [] if any(op.keep_float for _, op in self.model.ops()) else choose(self.model, self.options.keep_float)
        for entry in self.entries:
            inputs = {None, *(t.name for t in entry.graph.inputs)}
            several = len(self.entries) > 1
            shapes = {n: s for n, s in self.options.shapes.items() if n in inputs or not several}
            one = view(self.model, entry.graph)
            self.changes += fix_batch(one, self.options.batch, partial(self._shapes, entry), shapes)
        forget_signatures(self.model)
        self.changes += densify(self.model)
        forget_float_params(self.model)
        if self.honours:
            found, done = apply_qat_params(self.model)
            self.pinned.update(found)
            self.changes += done
        self.changes += sweep(self.model, expand_dequantize)
        for entry in self.entries:
            self.changes += fold_constants(view(self.model, entry.graph), self._evaluate)
        check_structure(self.model)
        target = TARGETS[self.options.target]
        self.changes += prepare(self.model, self._evaluate, target.lookups, wide=self.options.activations == "int16")
        tables = [op for _, op in self.model.ops() if op.kind == LOOKUP]
        if tables and not target.lookups:
            names = ", ".join(f'"{op.outputs[0].name}"' for op in tables[:3])
            self.warnings.append(f"{len(tables)} look-ups ({names}) will not run on {target.name}: {target.why}")

    def _shapes(self, entry: Entry, wanted: list[tuple[int, ...]]) -> Sequence[tuple[int, ...]]:
        """Shape of each tensor of an entry's graph once its inputs have theirs."""
        return self.worker.call(TensorShapes(entry.path, wanted))

    def _evaluate(self, part: Model) -> list[Array]:
        """The runtime's values of a model of constants."""
        with model_file(part) as path:
            self.worker.call(Open(path, "builtin", 1))
            values: list[Array] = self.worker.call(Run([]))
            return values

    def _open_samples(self, entry: Entry) -> Samples:
        inputs, o = slots(view(self.model, entry.graph), entry.inputs), self.options
        if o.synthetic:
            return synthetic(inputs, o.num_samples or SYNTHETIC_SAMPLES)
        return open_samples(samples_of(self.samples, entry, self.entries), inputs, o.num_samples, o.images, o.batch)

    def _counted(self, entry: Entry, *, keep: bool) -> Iterator[tuple[int, list[Array]]]:
        assert entry.split is not None
        total = entry.split.samples.count
        for index, sample in entry.split.calibrating():
            self.values.add(entry.graph.inputs, sample)
            if keep and index < self.keep:
                self.kept.append(sample)
            yield index, sample
            self.progress("calibrate", index + 1, total)

    def _certify(self, data: bytes, kept: dict[tuple[int, int], str]) -> Certificate:
        found = []
        with self.stage("certify"):
            self.worker_peak = max(self.worker_peak, self.worker.peak_memory())
            result = read_model(data)
            for entry, graph in zip(self.entries, result.entries, strict=True):
                first = entry is self.entries[0]
                own = result if first else view(result, graph)
                assert entry.split is not None
                found.append(
                    certify(
                        entry.path,
                        (entry.inputs, entry.outputs),
                        own,
                        data if first else write_model(own),
                        entry.split.held,
                        self.worker,
                        self.other,
                        held_back=entry.split.held_back,
                        drawn=entry.split.drawn,
                        uncalibrated=self.options.synthetic,
                        float_io="float32" in self.options.io_types,
                        reference=self.reference,
                        kept=kept,
                        check=first,
                    )
                )
        return joined(found)

    def _judge(self, certificate: Certificate, planned: Plan, emitted: Emitted) -> None:
        """Refuse a result that is too far from float; warn of what a user should know."""

        def worst() -> list[str]:
            split = self.entries[0].split
            return worst_operators(planned.model, emitted.model, emitted.int8, split.last if split else None)

        self.warnings += verdict(certificate, self.options.min_sqnr, self.options.per_tensor, worst, each=self.each)
        ends = (*planned.model.main.inputs, *planned.model.main.outputs)
        if self.options.io != "auto" and not any(t.is_float for t in ends):
            self.warnings.append(f"io {self.options.io} has no effect: no input or output of the model is float")
        for t in planned.model.main.inputs:
            low, high = self.ranges.get(t, (0.0, 1.0))
            if low == high:
                self.warnings.append(f'every sample of input "{t.name}" is {low:g}: that calibrates nothing')


def _holds(t: Tensor, span: Range) -> bool:
    """Whether nothing of a range is saturated on purpose (its mean then says nothing)."""
    assert t.quant is not None
    low, high = representable(t.quant)
    step = float(t.quant.scale[0])
    return low - step <= span[0] and span[1] <= high + step


def _ascii(text: str) -> Array:
    codes: Array = np.frombuffer(text.encode("ascii"), np.uint8).copy()
    return codes
