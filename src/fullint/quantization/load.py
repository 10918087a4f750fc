"""Load: what was given becomes a model that LiteRT runs.

path or bytes --front end--> float .tflite --read--> Model --builtins for what LiteRT does not run--> Loaded
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fullint.calibration.samples.first import first_sample
from fullint.calibration.signatures import Entry, view
from fullint.errors import UsageError
from fullint.frontends.formats import framework_of
from fullint.model.census import count_float
from fullint.model.ir import Model
from fullint.model.subgraphs import copy_model
from fullint.model.tflite import internalise, mappings, read_model
from fullint.model.tflite.packed_files import packed_files
from fullint.ops.structure import check_readable
from fullint.passes.custom_ops import without_custom
from fullint.passes.qat_params import make_runnable
from fullint.passes.signature_ends import outputs_of_signatures
from fullint.passes.split_outputs import split_outputs
from fullint.quantization.assignment import Granularity
from fullint.quantization.report import Result, report_integer
from fullint.quantization.stage_values import Loaded, Request, Source
from fullint.quantization.workbench import Workbench
from fullint.reporting import Change

if TYPE_CHECKING:
    from fullint.frontends.conversion import Converted


def load(bench: Workbench, request: Request) -> Loaded:
    """Read what was asked for.

    Raises:
        ModelFormatError: it is no model, or a damaged one.
        ConversionError: a front end cannot make a `.tflite` of it.
    """
    options = request.options
    converted = _convert(bench, request)
    source = converted.model if converted is not None else request.given
    with bench.stage("read"):
        model, changes, rewritten = read_runnable(source, scales=request.reject_bad_scales)
        bench.mapped |= mappings(model)
        return Loaded(
            request,
            options,
            source,
            model,
            _entries(bench, model, source, rewritten=rewritten),
            Granularity(options.per_tensor, options.dense_per_tensor),
            converted.conversion if converted is not None else None,
            changes=changes,
            packed=packed_files(source),
        )


def read_runnable(source: Source, *, scales: bool = True) -> tuple[Model, tuple[Change, ...], bool]:
    """A model in the form that LiteRT runs, what was changed for that, and whether the file is another one.

    Args:
        source: a `.tflite`.
        scales: whether to refuse scales that make no sense.

    Raises:
        ModelFormatError: it is no model, or a damaged one.
    """
    model = read_model(source if isinstance(source, bytes) else Path(source))
    outside = internalise(model, None if isinstance(source, bytes) else Path(source).absolute().parent)
    check_readable(model, scales=scales)
    _forget_recorded_ranges(model)
    in_file = [list(g.tensors) for g in model.graphs]
    changes = (*outputs_of_signatures(model), *without_custom(model), *make_runnable(model))
    same = in_file == [g.tensors for g in model.graphs]  # the runtime tells tensors by their place in the file
    return model, changes, outside or not same or any(c.done for c in changes)


def _forget_recorded_ranges(model: Model) -> None:
    """Drop what TensorFlow 1 wrote into float tensors: a smallest and a largest value, and no scale; in place."""
    for graph in model.graphs:
        for t in graph.tensors:
            if t.is_float and t.quant is not None and not t.quant.scale.size:
                t.quant = None


def _convert(bench: Workbench, request: Request) -> Converted | None:
    """What a front end makes of the model, where one is needed."""
    given, options = request.given, request.options
    framework = framework_of(given, options.framework) if not isinstance(given, bytes) else None
    if framework is None:
        return None
    from fullint.frontends.conversion import convert_with  # slow to import, and mostly not needed

    with bench.stage("convert"):
        sample = first_sample(request.samples)
        return convert_with(str(given), framework, options.batch, options.shapes, bench.progress, sample)


def _entries(bench: Workbench, model: Model, source: Source, *, rewritten: bool) -> tuple[Entry, ...]:
    """The graphs that are run, each with a file in which it is the main graph."""
    main = bench.file(model) if rewritten else bench.file(source) if isinstance(source, bytes) else str(Path(source).absolute())
    others = [bench.file(view(model, graph)) for graph in model.entries[1:]]
    return tuple(Entry.of(model, number, path) for number, path in enumerate([main, *others]))


def split(bench: Workbench, loaded: Loaded) -> Loaded:
    """The model with the joins at its outputs taken off, where that was asked for; it is what results are compared with.

    Raises:
        UsageError: no output is made by a CONCATENATION or PACK.
    """
    if not loaded.options.split_outputs:
        return loaded
    model, twins = copy_model(loaded.model)
    done = split_outputs(model)
    if not done:
        raise UsageError("split_outputs: no output is made by a CONCATENATION or PACK of activations")
    changes = [Change("split_outputs", s.join.origin, s.join.kind, s.output.name, f"taken off: {s.code}") for s in done]
    entries = tuple(Entry.of(model, e.number, bench.file(e.view(model))) for e in loaded.entries)
    pinned = {twins[t]: given for t, given in loaded.pinned.items()}
    return replace(loaded, model=model, entries=entries, pinned=pinned, changes=(*loaded.changes, *changes))


def hand_on_integer(bench: Workbench, loaded: Loaded) -> Loaded | Result:
    """A model without a float operator is the result as it is.

    Raises:
        UsageError: it has no operators at all.
        VerificationError: it has no float operator, and breaks the contract all the same.
    """
    if not any(loaded.model.ops()):
        raise UsageError("the model has no operators: there is nothing to make integer")
    return loaded if count_float(loaded.model) else report_integer(bench, loaded)


def require_float(bench: Workbench, loaded: Loaded) -> Loaded:
    """Raise UsageError where there is nothing to plan."""
    if not count_float(loaded.model):
        raise UsageError("there is nothing to plan: the model is all integer already")
    return loaded
