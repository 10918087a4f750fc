"""The main job as two calls: float model in, all-integer model out, or the reason why not.

`QUANTIZE` lists the stages in order; `stage_values` shows what they hand on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fullint.model.ir import Model
from fullint.quantization.assignment import Assignment
from fullint.quantization.build import build
from fullint.quantization.certify import certify
from fullint.quantization.decide import decide
from fullint.quantization.load import checked_source, hand_on_integer, load, require_float
from fullint.quantization.measure import calibrate, equalize
from fullint.quantization.options import Options
from fullint.quantization.prepare import prepare, require_feasible, require_samples
from fullint.quantization.report import Result
from fullint.quantization.stage_values import Assigned, Request
from fullint.quantization.workbench import Workbench
from fullint.reporting import Progress

__all__ = ["Plan", "Progress", "Result", "plan", "quantize"]


@dataclass(frozen=True)
class Plan:
    """The decisions, before anything is rewritten: what `--plan` prints."""

    model: Model
    assignment: Assignment


Stage = Callable[[Workbench, Any], Any]
"""From one of the values of `stage_values` to the next."""

DECIDE: tuple[Stage, ...] = (require_samples, prepare, require_feasible, calibrate, equalize, decide)
"""From a float model to the parameters of all its tensors."""
QUANTIZE: tuple[Stage, ...] = (load, hand_on_integer, *DECIDE, build, certify)
PLAN: tuple[Stage, ...] = (load, require_float, *DECIDE)


def run(stages: Sequence[Stage], request: Request, progress: Progress | None, trail: list[Any] | None = None) -> Any:
    """The value that the last stage returns; a stage that has a `Result` already ends the run.

    Args:
        trail: gets the value of each stage, in order.
    """
    value: Any = request
    with Workbench(progress) as bench:
        for stage in stages:
            value = stage(bench, value)
            if trail is not None:
                trail.append(value)
            if isinstance(value, Result):
                break
    return value


def quantize(
    model: str | Path | bytes,
    samples: Any = None,
    *,
    num_samples: int | None = None,
    per_tensor: bool = False,
    dense_per_tensor: bool = False,
    activations: str = "int8",
    io: str = "auto",
    batch: int = 1,
    threads: int | None = None,
    min_sqnr: float = 5.0,
    synthetic: bool = False,
    target: str = "litert",
    keep_float: str | int | Sequence[str | int] | None = None,
    shape: str | Sequence[str] = (),
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 255.0,
    layout: str = "NHWC",
    framework: str = "auto",
    progress: Progress | None = None,
) -> Result:
    """Make a model all integer, verified and executed.

    Args:
        model: path or bytes of a float (or half-quantized) `.tflite`; or the path of a `.keras`, `.h5`, `.onnx` or `.pt2` file,
            of a SavedModel folder, or `module.py:function` (see `fullint.convert`).
        samples: representative samples (see `fullint.samples`): a path, arrays, an iterable of
            arrays, tuples or dicts, or a function that returns one.
        num_samples: use the first this many samples.
        per_tensor: one scale per weight tensor instead of one per output channel.
        dense_per_tensor: the same for FULLY_CONNECTED alone.
        activations: "int8", or "int16": 16-bit activations, 8-bit weights, 64-bit biases; operators
            without an int16 kernel compute in int8.
        io: type of the inputs and outputs that were float, or of each ("int8,float32"): "int8", "uint8", "int16",
            "float32" or "auto",
            that of the activations.
        batch: size to fix a dynamic batch at.
        threads: samples run at the same time while calibrating; the number of cores by default.
        min_sqnr: dB below which there is no result.
        synthetic: calibrate on random numbers; for speed trials only.
        target: where the result is to run: "litert", "tflm", "ethos-u" or "edgetpu" (`fullint.ops.targets`).
        keep_float: operators that stay float: indices, types or output names, in a sequence or with commas between.
        shape: shape of an input with dynamic dimensions: "1,224,224,3", or "NAME=1,224,224,3" for each.
        mean: a folder of images becomes (pixel - mean) / std; one number, or one per channel.
        std: the same.
        layout: layout of the model's image input, "NHWC" or "NCHW".
        framework: "keras" or "torch", where a Python file does not tell which of them makes its model.
        progress: called with (stage, done, total) as the work goes on.

    Raises:
        NotIntegerError: operators that cannot be integer; its `blockers` names each.
        AccuracyError: the result's SQNR is below `min_sqnr`.
        VerificationError: the result broke a rule of the contract.
        ConversionError: the float `.tflite` cannot be made, or computes something else than the original.
        SamplesError, ModelFormatError, UsageError, RuntimeFailure: bad samples, file, options, or a
            model the runtime does not run.
    """
    options = Options(
        num_samples,
        per_tensor,
        dense_per_tensor,
        activations,
        io,
        batch,
        threads,
        min_sqnr,
        synthetic,
        target,
        keep_float,
        shape,
        mean,
        std,
        layout,
        framework,
    )
    options.check()
    result: Result = run(QUANTIZE, Request(checked_source(model), samples, options), progress)
    return result


def plan(model: str | Path | bytes, samples: Any = None, *, progress: Progress | None = None, **options: Any) -> Plan:
    """The parameters `quantize` would give every tensor, with its options; nothing is written."""
    checked = Options(**options)
    checked.check()
    assigned: Assigned = run(PLAN, Request(checked_source(model), samples, checked), progress)
    return Plan(assigned.calibrated.model, assigned.assignment)
