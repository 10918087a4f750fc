"""Whether a result is accepted, with warnings, or refused, judged by its certificate."""

from __future__ import annotations

from collections.abc import Callable

from fullint.errors import AccuracyError
from fullint.verification.metrics import joined_quality
from fullint.verification.report import Certificate, OutputQuality

WARN_SQNR = 15.0
WARN_EQUAL = 0.9
LOST_SQNR = 1.0
"""dB. An output below this has as much noise as signal; the result is refused whatever the mean."""
NO_SIGNAL, FEW_STEPS = -100.0, 2.0
"""The SQNR of an output that is zero everywhere means nothing; an error of up to two steps is accepted there."""
LIMIT_SLACK = 1.0
"""dB. A result this close to the limit set by fixed output scales is accepted."""


def verdict(
    certificate: Certificate,
    min_sqnr: float,
    per_tensor: bool,
    worst: Callable[[], list[str]],
    *,
    require_every_output: bool = False,
) -> list[str]:
    """Accept or refuse a result; returns warnings about it.

    Args:
        certificate: of the result.
        min_sqnr: dB the mean SQNR must reach, unless calibration was synthetic or a fixed output scale does not allow it.
        per_tensor: whether the weights are per-tensor, so that per-channel ones can be suggested.
        worst: returns the operators that lose most accuracy; called only if needed.
        require_every_output: whether every output must reach `min_sqnr`, not only the mean.

    Raises:
        AccuracyError: the mean is below `min_sqnr`, or an output is below `LOST_SQNR`.
    """
    warnings = []
    if not certificate.held_back:
        warnings.append("fewer than ten samples: the certificate uses the calibration samples; give at least ten")
    if certificate.uncalibrated:
        warnings.append("calibrated on random numbers: use the result for speed tests only; min_sqnr was not applied")
    warnings += [_unequal(o) for o in certificate.outputs if o.equal is not None and o.equal < WARN_EQUAL]
    sqnr = _mean(certificate)
    weak = [o for o in certificate.outputs if _below(o, max(WARN_SQNR, min_sqnr))]
    if sqnr is None or not weak:
        low = sqnr is not None and sqnr < WARN_SQNR
        return [*warnings, f"SQNR {sqnr:.1f} dB is the most that fixed output scales allow on these samples"] if low else warnings
    named = "; ".join(worst()) or "no operator stands out"
    floor = min_sqnr if require_every_output else min(min_sqnr, LOST_SQNR)
    failed = weak if sqnr < min_sqnr else [o for o in weak if _below(o, floor)]
    if failed and not certificate.uncalibrated:
        ways = "more, or more typical, samples; a lower --min-sqnr" + ("; per-channel weights" if per_tensor else "")
        outputs = ", ".join(f'"{o.name}" {o.sqnr_db:.1f} dB' for o in failed)
        raise AccuracyError(
            f"the SQNR against {certificate.reference} is too low: {outputs} (min_sqnr is {min_sqnr:g} dB)\n"
            f"  most accuracy is lost at: {named}\n  try: {ways}"
        )
    outputs = ", ".join(f'"{o.name}" {o.sqnr_db:.1f} dB' for o in weak)
    return [*warnings, f"SQNR below {max(WARN_SQNR, min_sqnr):g} dB: {outputs}; most accuracy is lost at: {named}"]


def _mean(certificate: Certificate) -> float | None:
    """Mean SQNR of the outputs; one that is as good as its fixed scale allows does not pull the others down."""
    judged = [o.sqnr_db for o in certificate.outputs if o.sqnr_db is not None and not _at_limit(o)]
    return joined_quality(judged) if judged else certificate.sqnr_db


def _at_limit(o: OutputQuality) -> bool:
    return o.sqnr_db is not None and o.limit_db is not None and o.sqnr_db >= o.limit_db - LIMIT_SLACK


def _below(o: OutputQuality, floor: float) -> bool:
    """Whether an output's SQNR is below `floor`, although its scale would allow more."""
    if o.sqnr_db is None or o.sqnr_db >= floor or _at_limit(o):
        return False
    if o.sqnr_db > NO_SIGNAL or o.step is None or o.largest_error is None:
        return True
    return o.largest_error > FEW_STEPS * o.step


def _unequal(o: OutputQuality) -> str:
    assert o.equal is not None
    return f'only {100 * o.equal:.1f} % of the elements of output "{o.name}" equal the float model\'s'
