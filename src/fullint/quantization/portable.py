"""A calibrated run as another process can have it: without what only this one can do with samples and progress bars."""

from __future__ import annotations

from dataclasses import replace

from fullint.options import QuantizeOptions
from fullint.quantization.stage_values import Calibrated, Prepared


def portable(calibrated: Calibrated) -> Calibrated:
    """The same, to be pickled; files that it names are not where it is read."""
    return _with(calibrated, _prepared(calibrated.prepared))


def _prepared(prepared: Prepared) -> Prepared:
    loaded = prepared.loaded
    request = replace(loaded.request, options=_plain(loaded.request.options))
    return replace(prepared, loaded=replace(loaded, request=request, options=_plain(loaded.options), source=b""))


def _plain(options: QuantizeOptions) -> QuantizeOptions:
    return replace(options, progress=None, samples=None, labels=None, stats=None)


def _with(calibrated: Calibrated, prepared: Prepared) -> Calibrated:
    """With what it is made of; forms that the run may go back to are alike."""
    return replace(
        calibrated,
        prepared=prepared,
        samples=(),
        held=tuple(replace(h, samples=[], also=()) for h in calibrated.held),
        before=None if calibrated.before is None else _with(calibrated.before, prepared),
        plain=None if calibrated.plain is None else _with(calibrated.plain, prepared),
        rest=None if calibrated.rest is None else _with(calibrated.rest, prepared),
    )
