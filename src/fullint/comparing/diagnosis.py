"""What is wrong with an operator whose own error is more than rounding, told by how its result differs when it is alone.

a = gain f + shift, per channel
gain far from 1 in all channels: the weights' scale;  in a few: the weights of these;  shift: the bias or the zero point;
codes at an end: values are cut off;  most codes never used: the scale is too wide
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fullint.comparing.figures import Codes, Sums
from fullint.comparing.operator_run import MeasuredActivation
from fullint.documents import many

SUSPICIOUS_DB = 12.0
"""Above what rounding explains: kernels, biases that take back earlier errors, and rounding in larger units stay below it."""
COUNTS_DB = 45.0
"""An error further below the signal than this is no matter, however it came about."""
ENOUGH_DB = 30.0
"""Beyond rounding by more than this is no surer sign."""
IDLE, MISPLACED = 0.03, 30.0
"""No quantizer leaves so many codes to values that cannot occur; and what that, and weights of another size, count as."""
SHOWN_CHANNELS = 3
GAIN, MOST_SHARE = 0.05, 0.5
SATURATED, SHIFTED, NARROW = 1e-4, 0.5, 0.25


def suspicion(sums: Sums) -> float | None:
    """How far an operator's own error is beyond rounding, in dB, in the whole or in its worst channel; None: not known."""
    whole = sums.excess()
    if whole is None:
        return None
    return max(whole, float(sums.excess_by_channel().max(initial=-np.inf)) - SUSPICIOUS_DB / 2)


def misplaced(m: MeasuredActivation, excuse: str = "") -> bool:
    """Whether its weights, bias or zero point are not what they should be, whatever the data shows of it."""
    misscaled = bool(m.wrong) and excuse != "heals"
    return misscaled or bool(m.lost_bias) or (m.codes is not None and m.codes.idle > IDLE)


def suspicious(m: MeasuredActivation, excuse: str = "") -> float:
    """How much an operator deserves to be looked into first; 0: not at all.

    The more its error is beyond rounding, the more likely something is wrong; and the larger the error is, the more it matters.

    Args:
        m: what was measured.
        excuse: see `excuses`.
    """
    found, added = suspicion(m.sums), m.sums.added_sqnr
    score = MISPLACED if misplaced(m, excuse) else 0.0
    if excuse:
        return score
    if found is not None and added is not None and found > SUSPICIOUS_DB and added < COUNTS_DB:
        score = max(score, min(found, ENOUGH_DB) + COUNTS_DB - added)
    return score


def cause(m: MeasuredActivation) -> tuple[str, str]:
    """(what the error looks like, what to do about it)."""
    sums, codes = m.sums, m.codes
    if len(m.lost_bias) == sums.channels:
        return "its bias is zero, and that of the float model is not", "check its bias: its values, type and scale"
    if m.lost_bias:
        lost = f"the bias of {len(m.lost_bias)} of its {sums.channels} channels is at an end of int32, and should be more"
        return lost, "give their weights, which are zero or nearly so, a scale with which the bias fits"
    if m.wrong and len(m.wrong) <= MOST_SHARE * sums.channels:
        return _channels(m.wrong, sums.channels), "check the weights and scales of these"
    if codes is not None and codes.idle > IDLE:
        return f"{100 * codes.idle:.0f} % of its codes are below 0, where RELU makes no values", "check its zero point"
    if codes is not None and codes.saturated > SATURATED and _cut_off(sums, codes):
        share = f"{100 * codes.saturated:.1f} % of its values are at the ends of their range"
        return f"values are cut off: {share}", "calibrate with samples that show larger values, or give it a wider range"
    gain, shift = sums.gains()
    off = np.abs(gain - 1) > GAIN
    rms = np.sqrt(sums.ff / max(sums.count, 1))
    shifted = np.abs(shift) > SHIFTED * np.sqrt(np.maximum(sums.added / max(sums.alone, 1), 0))
    if off.mean() > MOST_SHARE and float(np.median(gain)) > 0:
        middle = float(np.median(gain))
        return f"all of its values are {middle:.3g} times as large", "check the scales of its weights and bias, and of its output"
    if off.any() and float(np.square(gain - 1)[off].max() * np.square(rms)[off].max()) > 0 and off.sum() <= MOST_SHARE * off.size:
        worst = {int(c): float(gain[c]) for c in np.argsort(-np.abs(gain - 1) * rms)[: int(off.sum())]}
        return _channels(worst, off.size), "check the weights and scales of these"
    if shifted.mean() > MOST_SHARE:
        return "its values are shifted, each channel by its own amount", "check its bias: its values, type and scale"
    if codes is not None and codes.reach < NARROW:
        share = f"{100 * codes.reach:.0f} % of its codes"
        return f"its values use {share}", "give it a narrower range: calibrate on data as it is in use"
    return "its error is no gain and no shift", "compute it in int16, or keep it float (--int16, --keep-float)"


def _channels(times: Mapping[int, float], of: int) -> str:
    named = ", ".join(f"{c} ({value:.3g} times)" for c, value in [*times.items()][:SHOWN_CHANNELS])
    return f"{many(len(times), 'channel')} of {of} differ in size: {named}"


def _cut_off(sums: Sums, codes: Codes) -> bool:
    """Whether what is missing is at the ends: of the values there, the error is larger than what one scale for all would make."""
    at_ends = codes.saturated * sums.alone * sums.channels
    return float(sums.aa.sum()) < float(sums.ff.sum()) and sums.largest_added**2 * at_ends > float(sums.added.sum())
