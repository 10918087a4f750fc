"""What a certificate means for the user: refused, or handed out with warnings."""

from __future__ import annotations

from collections.abc import Callable

from fullint.errors import AccuracyError
from fullint.verification.report import Certificate, OutputQuality

WARN_SQNR = 15.0
WARN_EQUAL = 0.9
LOST_SQNR = 1.0
"""An output below it is as much noise as signal: no mean over outputs makes up for that."""
NO_SIGNAL, FEW_STEPS = -100.0, 2.0
"""An output that is zero everywhere has no SQNR worth the name; a step or two beside it, it is not lost."""
LIMIT_SLACK = 1.0
"""dB. A result this near to what its outputs' steps allow has lost nothing on the way."""


def verdict(
    certificate: Certificate,
    min_sqnr: float,
    per_tensor: bool,
    worst: Callable[[], list[str]],
    *,
    require_every_output: bool = False,
) -> list[str]:
    """Warnings about a result.

    Args:
        certificate: of the result.
        min_sqnr: dB the mean must reach, unless it was never calibrated or fixed steps do not allow it.
        per_tensor: whether per-channel weights are still to be tried.
        worst: the operators that lose most, found only when they are needed.
        require_every_output: whether every output must reach it, not only the mean.

    Raises:
        AccuracyError: the mean is below `min_sqnr`, or an output is lost altogether.
    """
    warnings = []
    if not certificate.held_back:
        warnings.append("fewer than ten samples: the certificate uses the samples that calibrated")
    if certificate.uncalibrated:
        warnings.append("calibrated on random numbers: the result is for speed trials only, and min_sqnr was not applied")
    warnings += [_unequal(o) for o in certificate.outputs if o.equal is not None and o.equal < WARN_EQUAL]
    sqnr = certificate.sqnr_db
    weak = [o for o in certificate.outputs if _below(o, max(WARN_SQNR, min_sqnr))]
    if sqnr is None or not weak:
        low = sqnr is not None and sqnr < WARN_SQNR
        return [*warnings, f"SQNR {sqnr:.1f} dB is all that outputs of fixed steps allow on these samples"] if low else warnings
    named = "; ".join(worst()) or "no operator stands out"
    floor = min_sqnr if require_every_output else min(min_sqnr, LOST_SQNR)
    failed = weak if sqnr < min_sqnr else [o for o in weak if _below(o, floor)]
    if failed and not certificate.uncalibrated:
        ways = "more or more typical samples, a lower --min-sqnr" + (", per-channel weights" if per_tensor else "")
        outputs = ", ".join(f'"{o.name}" {o.sqnr_db:.1f} dB' for o in failed)
        raise AccuracyError(
            f"the result is too far from {certificate.reference}: {outputs} (at least {min_sqnr:g} asked for)\n"
            f"  where it is lost: {named}\n  try: {ways}"
        )
    outputs = ", ".join(f'"{o.name}" {o.sqnr_db:.1f} dB' for o in weak)
    return [*warnings, f"below {max(WARN_SQNR, min_sqnr):g} dB: {outputs}; where it is lost: {named}"]


def _below(o: OutputQuality, floor: float) -> bool:
    """Whether an output is farther from float than asked, although its steps would allow better."""
    if o.sqnr_db is None or o.sqnr_db >= floor or (o.limit_db is not None and o.sqnr_db >= o.limit_db - LIMIT_SLACK):
        return False
    if o.sqnr_db > NO_SIGNAL or o.step is None or o.largest_error is None:
        return True
    return o.largest_error > FEW_STEPS * o.step


def _unequal(o: OutputQuality) -> str:
    assert o.equal is not None
    return f'output "{o.name}" equals the float model\'s in {100 * o.equal:.1f} % of its elements only'
