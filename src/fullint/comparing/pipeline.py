"""`compare`: a float model and an integer model of it, whoever made it, compared as a whole and operator by operator.

    both files -> models -> inputs paired -> samples -> outputs, on all of them
                                                 '-> fingerprints -> matching -> groups, channel factors
                                                                                  -> each in the run and alone, on some

What an operator adds is measured with exact inputs, so that the first one that is wrong stands out, and not those behind it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fullint.calibration.collect import has_state
from fullint.calibration.samples import ImageOptions, Reading, draw_samples, open_samples, slots
from fullint.calibration.shards import SampleFile
from fullint.comparing.ends import PairedEnds, sizes_given
from fullint.comparing.operator_run import Bench
from fullint.comparing.operators import compare_operators
from fullint.comparing.outputs import compare_outputs
from fullint.comparing.report import CompareReport
from fullint.errors import UsageError
from fullint.frontends.conversion import convert_with
from fullint.frontends.formats import framework_of
from fullint.limits import limited
from fullint.model.ir import Model
from fullint.model.subgraphs import copy_model
from fullint.options import Progress, model_name, numbers
from fullint.options.of_samples import BYTES
from fullint.passes.engine import sweep
from fullint.passes.expand_constants import expand_dequantize, expand_hybrid
from fullint.passes.static_shapes import fix_batch, forget_signatures
from fullint.quantization.load import read_runnable
from fullint.reporting import SCHEMA_VERSION
from fullint.runtime.damaged_models import diagnosing
from fullint.runtime.messages import TensorShapes
from fullint.runtime.process import model_file
from fullint.verification.metrics import joined_quality
from fullint.version import __version__

__all__ = ["CompareReport", "compare"]

DRAWN_SAMPLES = 16
"""Random samples where none are given."""


@diagnosing
def compare(
    model: str | Path | bytes,
    integer: str | Path | bytes,
    samples: Any = None,
    *,
    num_samples: int | None = None,
    labels: Any = None,
    seed: int = 0,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 255.0,
    layout: str = "NHWC",
    worker_memory: float | None = None,
    worker_seconds: float | None = None,
    scheduler: str | None = None,
    shared: bool = False,
    progress: Progress | None = None,
) -> CompareReport:
    """Compare an integer model with the float model that it was made of, by any tool: outputs, parts, and each operator.

    Args:
        model: path or bytes of the float `.tflite`; or the path of a model that `fullint.convert` takes.
        integer: path or bytes of the integer or half-quantized `.tflite`.
        samples: as in `quantize`, for the float model's inputs; None: random numbers within the ranges of the integer model's.
        num_samples: use this many.
        labels: the right class of each sample, as in `quantize`.
        seed: of the draw of samples.
        mean, std, layout: of images, as in `quantize`.
        worker_memory, worker_seconds: limits of each process that runs a model, in GB and seconds of one run; as in
            `quantize`.
        scheduler: of a Dask cluster whose workers run both models on the samples, tcp://HOST:PORT; operators are compared
            here, on a few of them.
        shared: whether the workers read the samples themselves, by a path that all of them see.
        progress: called with (stage, done, total).

    Raises:
        ModelFormatError: a file is no model.
        ConversionError: a front end cannot make a `.tflite` of the model.
        UsageError: the models have other inputs or outputs than each other, or the cluster cannot be used.
        SamplesError: the samples do not fit.
        RuntimeFailure: LiteRT does not run one of the models.
    """
    told: Progress = progress or (lambda stage, done, total: None)
    told("read", 0, None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(limited(worker_memory, worker_seconds))
        bench = stack.enter_context(Bench())
        ends = _paired(bench, _read(_converted(model, told)), _read(integer))
        own = slots(ends.exact, tuple(ends.exact.main.inputs))
        in_order = has_state(ends.exact) or has_state(ends.integer)
        reading = Reading(num_samples, ImageOptions(numbers(mean), numbers(std), layout), 1, labels, seed, in_order)
        if samples is None:
            given = draw_samples(own, ends.spans(), num_samples or DRAWN_SAMPLES)
        else:
            given = open_samples(samples, own, reading)
        elsewhere = None
        said: tuple[str, ...] = ()
        if scheduler is not None and samples is not None:
            from fullint.comparing.on_cluster import NOT_SPREAD, can_be_spread, pairs_there  # mostly not needed

            if can_be_spread(ends, given):
                source = SampleFile.of(samples, own, replace(reading, labels=None)) if shared else None
                elsewhere = stack.enter_context(contextlib.closing(pairs_there(scheduler, ends, given, source)))
            else:
                said = (NOT_SPREAD,)
        whole = compare_outputs(bench, ends, given, told, labels=labels is not None, elsewhere=elsewhere)
        computed = PairedEnds.of(_with_float_constants(ends.exact), ends.integer)
        operators = compare_operators(bench, computed, whole.kept, told)
    return CompareReport(
        schema_version=SCHEMA_VERSION,
        fullint=__version__,
        exact=_named(model),
        integer=_named(integer),
        samples=whole.count,
        operator_samples=len(whole.kept),
        drawn=samples is None,
        sqnr_db=joined_quality(o.quality.sqnr_db for o in whole.outputs),
        outputs=whole.outputs,
        accuracy=whole.accuracy,
        operators=operators.ranked,
        unmatched=operators.unmatched,
        equalized=operators.equalized,
        notes=(*operators.notes, *said),
    )


def _named(source: str | Path | bytes) -> str:
    return model_name({"model": BYTES if isinstance(source, bytes) else source})


def _converted(source: str | Path | bytes, told: Progress) -> str | Path | bytes:
    """The float `.tflite` that a front end makes, where one is needed."""
    framework = framework_of(source) if isinstance(source, str | Path) else None
    return source if framework is None else convert_with(str(source), framework, 1, {}, told).model


def _read(source: str | Path | bytes) -> Model:
    """A model that LiteRT runs."""
    if not isinstance(source, str | Path | bytes):
        raise UsageError(f"a model must be a path or bytes, not {type(source).__name__}")
    return read_runnable(source)[0]


def _paired(bench: Bench, exact: Model, integer: Model) -> PairedEnds:
    """Both models; the float one with the integer one's sizes where it leaves them open."""
    given = sizes_given(exact, integer)
    if given:
        with model_file(exact) as path:
            fix_batch(exact, 1, lambda wanted: bench.workers[0].call(TensorShapes(path, wanted)), given)
        forget_signatures(exact)
    return PairedEnds.of(exact, integer)


def _with_float_constants(model: Model) -> Model:
    """A copy with the weights of operators that read them in fewer bits expanded to float32."""
    model, _ = copy_model(model)
    for rule in (expand_dequantize, expand_hybrid):
        sweep(model, rule)
    return model
