"""Calibrate without the samples: ranges from a calibration file that was made where they lie.

fullint calibrate MODEL -c ALL -o stats.npz         there
fullint quantize MODEL --stats stats.npz -c FEW     here: ranges from the file; rounding, biases, certificate from the few
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fullint.calibration.from_stats import calibration_of, values_known
from fullint.calibration.samples import slots
from fullint.calibration.stats_files import CalibrationStats, read_stats
from fullint.calibration.value_keys import value_keys
from fullint.errors import UsageError
from fullint.quantization.given_ranges import DRAWN, drawn_inputs
from fullint.quantization.measure import calibrate as calibrate_here
from fullint.quantization.measure import calibrated_by
from fullint.quantization.opened import open_all
from fullint.quantization.stage_values import Calibrated, Prepared
from fullint.quantization.wanted import to_measure
from fullint.quantization.workbench import Workbench

UNCERTIFIED = (
    "uncertified: there are statistics, but no samples: weights have the nearest codes and biases are not corrected (effort is "
    f"fast), and the result was run on {DRAWN} random inputs only, min_sqnr not applied; give a few samples: -c DATA"
)
NOT_TRIED = "effort best: other ranges are not tried, since the statistics have none; make them with the same effort"


def calibrate(bench: Workbench, prepared: Prepared) -> Calibrated:
    """Ranges of all values that need one: from a calibration file, if one was given, or else measured here.

    Raises:
        UsageError: the file cannot be read, or is of another network; the first value that it lacks is named.
        SamplesError: samples do not fit.
        NotIntegerError: no sample reaches an operator.
    """
    return calibrate_here(bench, prepared) if prepared.loaded.options.stats is None else _from_file(bench, prepared)


def _from_file(bench: Workbench, prepared: Prepared) -> Calibrated:
    options, request = prepared.loaded.options, prepared.loaded.request
    given = options.stats
    stats = given if isinstance(given, CalibrationStats) else read_stats(str(given))
    if request.samples is None:
        prepared = replace(prepared, loaded=replace(prepared.loaded, options=replace(options, effort="fast")))
    model, asked = prepared.model, to_measure(prepared)
    samples = open_all(prepared.loaded, model) if request.samples is not None else []
    with bench.stage("calibrate"):
        keys = value_keys(model)
        tried = len(asked.others)
        asked = asked.without_others(values_known(stats, keys))
        inputs = [slots(entry.view(model), entry.inputs) for entry in prepared.loaded.entries]
        try:
            done = calibration_of(stats, model, asked.wanted, keys, inputs, samples, asked.ready, options.seed)
        except UsageError as e:
            name = "the statistics" if isinstance(given, CalibrationStats) else Path(str(given)).name
            way_out = "make others of this network: fullint calibrate MODEL -c DATA -o FILE"
            raise UsageError(f"{name}: do not fit: {e}; {way_out}") from e
        if not samples:
            done = replace(done, held=drawn_inputs(prepared, done.stats.ranges))
    found = calibrated_by(asked, done, samples)
    said = [NOT_TRIED] if len(asked.others) < tried else []
    said += [UNCERTIFIED] if not samples else []
    elsewhere = stats.count if done.elsewhere else None
    return _with(found, tuple(said), elsewhere, uncertified=not samples)


def _with(found: Calibrated, said: tuple[str, ...], elsewhere: int | None, *, uncertified: bool) -> Calibrated:
    rest = None if found.rest is None else _with(found.rest, said, elsewhere, uncertified=uncertified)
    return replace(found, warnings=(*found.warnings, *said), elsewhere=elsewhere, uncertified=uncertified, rest=rest)
