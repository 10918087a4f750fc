"""Build: the assignment carried out, biases corrected, inputs and outputs in their types, and the bytes of the file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fullint.calibration.signatures import view
from fullint.delegates.targets import lacks_of
from fullint.errors import NotIntegerError
from fullint.model.ir import Array, Buffer, Graph, Tensor
from fullint.model.tflite import write_model
from fullint.model.tflite.packed_files import with_packed_files
from fullint.passes.byte_tables import with_byte_tables
from fullint.quantization.decide import refusal
from fullint.quantization.emit import emit
from fullint.quantization.io_types import set_io
from fullint.quantization.refine import Refined, apply
from fullint.quantization.refinement import refined_weights
from fullint.quantization.stage_values import Assigned, Calibrated, Written
from fullint.quantization.workbench import Workbench

UNCALIBRATED_KEY = "fullint_uncalibrated"


def build(bench: Workbench, assigned: Assigned, known: Sequence[Refined] = ()) -> Written:
    """The all-integer model and its file.

    Args:
        bench: tools of the run.
        assigned: parameters of every tensor.
        known: what a build of another form of the run has made of the weights, to save doing it again.

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
    with bench.stage("refine"):
        refined = refined_weights(bench, calibrated, emitted, known)
        changes = tuple(apply(emitted.model, refined))
    bench.second_worker()  # it starts while the file is written
    with bench.stage("rewrite"):
        for old, new, entry in zip(calibrated.model.entries, emitted.model.entries, prepared.loaded.entries, strict=True):
            given = zip(old.inputs, new.inputs, entry.inputs, strict=True)
            inputs = {n for o, n, g in given if (o.is_float or g.is_float) and not n.is_float}
            outputs = {n for o, n in zip(old.outputs, new.outputs, strict=True) if o.is_float and not n.is_float}
            outputs -= _of_named(calibrated, old, new)
            set_io(view(emitted.model, new), options.io_types, inputs, outputs)
        changes += tuple(with_byte_tables(emitted.model, lacks_of(options.target)))
        places = emitted.places()
        if options.synthetic:
            emitted.model.metadata.append((UNCALIBRATED_KEY, Buffer.of(_ascii("synthetic samples"))))
        data = with_packed_files(write_model(emitted.model), prepared.loaded.packed)
    return Written(assigned, emitted, data, places, refined, changes, _warnings(prepared.chosen - len(emitted.kept)))


def _of_named(calibrated: Calibrated, old: Graph, new: Graph) -> set[Tensor]:
    """Outputs that stay int16, because an operator that was named to compute in it makes them."""
    prepared = calibrated.prepared
    if prepared.loaded.options.io.split(",")[-1] != "auto":
        return set()
    number = calibrated.model.graphs.index(old)
    named = {t for op in old.ops if prepared.is_wide(number, op) for t in op.outputs}
    return {n for o, n in zip(old.outputs, new.outputs, strict=True) if o in named and n.dtype == "int16"}


def _warnings(gone: int) -> tuple[str, ...]:
    if gone <= 0:
        return ()
    return (f"keep_float: {gone} operators are not in the result: nothing needs them, or they are constant",)


def _ascii(text: str) -> Array:
    codes: Array = np.frombuffer(text.encode("ascii"), np.uint8).copy()
    return codes
