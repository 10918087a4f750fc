"""What a certificate means for the user: refused, or handed out with warnings."""

from __future__ import annotations

from collections.abc import Callable

from fullint.errors import AccuracyError
from fullint.report import Certificate, OutputQuality

WARN_SQNR = 15.0
LIMIT_SLACK = 1.0
"""dB. A result this near to what its outputs' steps allow has lost nothing on the way."""


def verdict(certificate: Certificate, min_sqnr: float, per_tensor: bool, worst: Callable[[], list[str]]) -> list[str]:
    """Warnings about a result.

    Args:
        certificate: of the result.
        min_sqnr: dB its mean SQNR must reach, unless it was never calibrated or no int8 output could.
        per_tensor: whether per-channel weights are still to be tried.
        worst: the operators that lose most, found only when they are needed.

    Raises:
        AccuracyError: the mean is below `min_sqnr`.
    """
    warnings = []
    if not certificate.held_back:
        warnings.append("fewer than ten samples: the certificate uses the samples that calibrated")
    if certificate.uncalibrated:
        warnings.append("calibrated on random numbers: the result is for speed trials only, and min_sqnr was not applied")
    sqnr = certificate.sqnr_db
    if sqnr is None:
        return warnings
    if sqnr >= max(WARN_SQNR, min_sqnr):
        return warnings + [_weak(o, worst) for o in certificate.outputs if _is_weak(o)]
    limits = [o.limit_db for o in certificate.outputs if o.limit_db is not None]
    if limits and sqnr >= sum(limits) / len(limits) - LIMIT_SLACK:
        return [
            *warnings,
            f"SQNR {sqnr:.1f} dB is about the best that int8 outputs of the calibrated ranges allow on these samples",
        ]
    named = _named(worst)
    if sqnr < min_sqnr and not certificate.uncalibrated:
        ways = "more or more typical samples, a lower --min-sqnr" + (", per-channel weights" if per_tensor else "")
        raise AccuracyError(
            f"the result is only {sqnr:.1f} dB from the float model (at least {min_sqnr:g} asked for)\n"
            f"  where it is lost: {named}\n  try: {ways}"
        )
    return [*warnings, f"SQNR {sqnr:.1f} dB is below {WARN_SQNR:g}; where it is lost: {named}"]


def _is_weak(o: OutputQuality) -> bool:
    """Whether one output is far from float although it need not be and the mean does not show it."""
    return o.sqnr_db is not None and o.sqnr_db < WARN_SQNR and (o.limit_db is None or o.sqnr_db < o.limit_db - LIMIT_SLACK)


def _weak(o: OutputQuality, worst: Callable[[], list[str]]) -> str:
    return f'output "{o.name}" has only {o.sqnr_db:.1f} dB; where accuracy is lost: {_named(worst)}'


def _named(worst: Callable[[], list[str]]) -> str:
    return "; ".join(worst()) or "no operator stands out"
