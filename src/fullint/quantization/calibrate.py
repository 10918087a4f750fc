"""`calibrate`: the stages of `quantize` up to the measuring, and what was measured as a file's contents.

model, samples  --load ... require_feasible-->  Prepared  --measure_all-->  CalibrationStats
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fullint.calibration.from_stats import stats_of
from fullint.calibration.stats_files import CalibrationStats, read_stats
from fullint.errors import UsageError
from fullint.options import CalibrateOptions, takes, with_recipe
from fullint.quantization.load import load, require_float, split
from fullint.quantization.measure import measured
from fullint.quantization.opened import open_all
from fullint.quantization.pipeline import Stage, run
from fullint.quantization.prepare import prepare, require_feasible
from fullint.quantization.stage_values import Prepared, Request
from fullint.quantization.wanted import to_measure
from fullint.quantization.workbench import Workbench
from fullint.runtime.damaged_models import diagnosing

__all__ = ["calibrate", "merge_stats"]


def measure_all(bench: Workbench, prepared: Prepared) -> CalibrationStats:
    """What the samples show; those that `quantize` would hold back are measured apart.

    Raises:
        SamplesError: samples do not fit, or drive a value to NaN or infinity.
    """
    asked = to_measure(prepared)
    done, said = measured(bench, asked, open_all(prepared.loaded, prepared.model))
    return replace(stats_of(prepared.model, done), notes=said)


CALIBRATE: tuple[Stage, ...] = (load, require_float, split, prepare, require_feasible, measure_all)


@takes(CalibrateOptions)
@diagnosing
def calibrate(options: CalibrateOptions) -> CalibrationStats:
    """Measure what samples show of a model, to be quantized elsewhere: `quantize(model, stats=...)`.

    Raises:
        NotIntegerError: operators that cannot be integer; its `blockers` names each.
        SamplesError, ModelFormatError, UsageError, RuntimeFailure: as `quantize`.
    """
    chosen = with_recipe(options.of_quantize())
    found: CalibrationStats = run(CALIBRATE, Request(chosen), options.progress)
    return found


def merge_stats(files: Sequence[str | Path | CalibrationStats]) -> CalibrationStats:
    """What several calibration files of one network have seen, as one run over all their samples would have.

    Args:
        files: paths, or what `calibrate` has returned; two or more.

    Raises:
        UsageError: one cannot be read, or is of another network, or was measured with other options.
    """
    if len(files) < 2:
        raise UsageError("merge: give two calibration files or more")
    found: Any = None
    for file in files:
        one = file if isinstance(file, CalibrationStats) else read_stats(file)
        try:
            found = one if found is None else found.merge(one)
        except UsageError as e:
            raise UsageError(f"{file}: does not go with those before it: {e}") from e
    merged: CalibrationStats = found
    return merged
