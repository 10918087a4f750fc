"""The main job as two calls: float model in, all-integer model out, or the reason why not.

`QUANTIZE` lists the stages in order; `stage_values` shows what they hand on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fullint.files import unchanged
from fullint.options import Progress, QuantizeOptions, recipe_of_run, takes, with_recipe
from fullint.quantization.build import build
from fullint.quantization.certify import certify
from fullint.quantization.decide import decide
from fullint.quantization.from_stats import calibrate
from fullint.quantization.head_start import head_start
from fullint.quantization.load import hand_on_integer, load, require_float, split
from fullint.quantization.measure import equalize
from fullint.quantization.mixed import mix
from fullint.quantization.on_target import require_target
from fullint.quantization.plan import Plan
from fullint.quantization.prepare import prepare, require_feasible, require_samples
from fullint.quantization.report import Result
from fullint.quantization.search import search
from fullint.quantization.stage_values import Assigned, Request
from fullint.quantization.workbench import Workbench
from fullint.runtime.damaged_models import diagnosing

__all__ = ["Plan", "Result", "plan", "quantize"]


Stage = Callable[[Workbench, Any], Any]
"""From one of the values of `stage_values` to the next."""

MEASURE: tuple[Stage, ...] = (require_samples, prepare, require_feasible, calibrate, equalize)
"""From a float model to the ranges of its tensors."""
ASSIGN: tuple[Stage, ...] = (mix, decide)
"""From ranges to the parameters of all tensors."""
DECIDE: tuple[Stage, ...] = (*MEASURE, *ASSIGN)
DELIVER: tuple[Stage, ...] = (build, search, require_target, certify)
"""From parameters to a result with its certificate."""
QUANTIZE: tuple[Stage, ...] = (load, hand_on_integer, split, *MEASURE, head_start, *ASSIGN, *DELIVER)
PLAN: tuple[Stage, ...] = (load, require_float, split, *DECIDE)


def run(stages: Sequence[Stage], request: Request, progress: Progress | None, trail: list[Any] | None = None) -> Any:
    """The value that the last stage returns; a stage that has a `Result` already ends the run.

    Args:
        trail: gets the value of each stage, in order.
    """
    value: Any = request
    given = request.given
    same = contextlib.nullcontext() if isinstance(given, bytes) or not Path(given).is_file() else unchanged(given)
    with same, Workbench(progress) as bench:
        for stage in stages:
            value = stage(bench, value)
            if trail is not None:
                trail.append(value)
            if isinstance(value, Result):
                break
    return value


@takes(QuantizeOptions)
@diagnosing
def quantize(options: QuantizeOptions) -> Result:
    """Make a model all integer, verified and executed.

    Raises:
        NotIntegerError: operators that cannot be integer; its `blockers` names each.
        AccuracyError: the result's SQNR is below `min_sqnr`.
        VerificationError: the result broke a rule of the contract.
        ConversionError: the float `.tflite` cannot be made, or computes something else than the original.
        SamplesError, ModelFormatError, UsageError, RuntimeFailure: bad samples, file, options, or a
            model the runtime does not run.
    """
    result: Result = run(QUANTIZE, Request(with_recipe(options)), options.progress)
    return result


@takes(QuantizeOptions)
@diagnosing
def plan(options: QuantizeOptions) -> Plan:
    """The parameters `quantize` would give every tensor; nothing is written.

    Raises:
        NotIntegerError: operators that cannot be integer; its `blockers` names each.
        SamplesError, ModelFormatError, UsageError, RuntimeFailure: as `quantize`.
    """
    request = Request(with_recipe(options))
    assigned: Assigned = run(PLAN, request, options.progress)
    return Plan(
        assigned.calibrated.model,
        assigned.assignment,
        recipe_of_run(request.options, assigned.calibrated.found_rules),
    )
