"""Build: the assignment carried out, biases corrected, inputs and outputs in their types, and the bytes of the file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fullint.calibration.collect import KeptOutputs
from fullint.calibration.signatures import view
from fullint.calibration.statistics import stacked
from fullint.errors import NotIntegerError, RuntimeFailure, VerificationError
from fullint.model.ir import Array, Buffer, Graph, Tensor
from fullint.model.numerics import representable
from fullint.model.ranges import Range
from fullint.model.tflite import write_model
from fullint.model.tflite.packed_files import with_packed_files
from fullint.quantization.bias_correction import Head, correct_bias, means_model
from fullint.quantization.decide import refusal
from fullint.quantization.emit import Emitted, emit
from fullint.quantization.io_types import set_io
from fullint.quantization.stage_values import Assigned, Calibrated, Written
from fullint.quantization.workbench import Workbench
from fullint.reporting import Change
from fullint.runtime.messages import FinishMeasuring, Measure, Sample
from fullint.runtime.process import model_file
from fullint.verification.kernel_outputs import integer_inputs

UNCALIBRATED_KEY = "fullint_uncalibrated"


def build(bench: Workbench, assigned: Assigned) -> Written:
    """The all-integer model and its file.

    Raises:
        NotIntegerError: scales that a kernel does not take.
    """
    calibrated = assigned.calibrated
    prepared = calibrated.prepared
    options = prepared.loaded.options
    with bench.stage("rewrite"):
        try:
            emitted = emit(calibrated.model, assigned.assignment, options.float_ends)
        except NotIntegerError as e:
            raise refusal(list(e.blockers), calibrated) from e
    with bench.stage("correct_bias"):
        changes = _correct_biases(bench, calibrated, emitted)
    bench.second_worker()  # it starts while the file is written
    with bench.stage("rewrite"):
        for old, new, entry in zip(calibrated.model.entries, emitted.model.entries, prepared.loaded.entries, strict=True):
            given = zip(old.inputs, new.inputs, entry.inputs, strict=True)
            inputs = {n for o, n, g in given if (o.is_float or g.is_float) and not n.is_float}
            outputs = {n for o, n in zip(old.outputs, new.outputs, strict=True) if o.is_float and not n.is_float}
            outputs -= _of_named(calibrated, old, new)
            set_io(view(emitted.model, new), options.io_types, inputs, outputs)
        places = emitted.places()
        if options.synthetic:
            emitted.model.metadata.append((UNCALIBRATED_KEY, Buffer.of(_ascii("synthetic samples"))))
        data = with_packed_files(write_model(emitted.model), prepared.loaded.packed)
    return Written(assigned, emitted, data, places, changes, _warnings(prepared.chosen - len(emitted.kept)))


def _of_named(calibrated: Calibrated, old: Graph, new: Graph) -> set[Tensor]:
    """Outputs that stay int16, because an operator that was named to compute in it makes them."""
    prepared = calibrated.prepared
    if prepared.loaded.options.io.split(",")[-1] != "auto":
        return set()
    number = calibrated.model.graphs.index(old)
    named = {t for op in old.ops if (number, op.origin) in prepared.wide for t in op.outputs}
    return {n for o, n in zip(old.outputs, new.outputs, strict=True) if o in named and n.dtype == "int16"}


def _warnings(gone: int) -> tuple[str, ...]:
    if gone <= 0:
        return ()
    return (f"keep_float: {gone} operators are not in the result: nothing needs them, or they are constant",)


def _correct_biases(bench: Workbench, calibrated: Calibrated, emitted: Emitted) -> tuple[Change, ...]:
    """Take back the heads' mean errors, where samples were kept to see them on."""
    bias, ranges = calibrated.bias, calibrated.ranges
    kept = {t for op in calibrated.model.main.ops if op.keep_float for t in op.outputs}
    sound = [h for h in bias.heads if h.tensor not in kept and _holds(emitted.int8[h.tensor], ranges[h.tensor])]
    if len(bias.samples) < 2 or not sound or bias.means is None:
        return ()
    columns = np.concatenate([np.full(h.channels, h in sound) for h in bias.heads])
    try:
        measured = _integer_means(bench, calibrated, emitted, sound)
    except RuntimeFailure as e:
        raise VerificationError([str(e).replace(bench.worker.what, "the result")]) from e
    return tuple(correct_bias(emitted, sound, bias.means[:, columns], measured))


def _integer_means(bench: Workbench, calibrated: Calibrated, emitted: Emitted, sound: Sequence[Head]) -> Array:
    samples = calibrated.bias.samples
    with model_file(means_model(emitted, sound)) as path:
        bench.worker.call(Measure(path, calibrated.prepared.loaded.options.workers, KeptOutputs(len(samples))))
        for index, sample in enumerate(samples):
            bench.worker.post(Sample(index, integer_inputs(emitted.model, sample)))
        found = bench.worker.call(FinishMeasuring())
    assert isinstance(found, KeptOutputs)
    return stacked(found.kept)


def _holds(t: Tensor, span: Range) -> bool:
    """Whether nothing of a range is saturated on purpose (its mean then says nothing)."""
    assert t.quant is not None
    step = float(t.quant.scale[0])
    return representable(t.quant).contains(span, below=step, above=step)


def _ascii(text: str) -> Array:
    codes: Array = np.frombuffer(text.encode("ascii"), np.uint8).copy()
    return codes
