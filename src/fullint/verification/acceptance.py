"""Whether a result is accepted, with warnings, or refused, judged by its certificate."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from fullint.documents import many
from fullint.errors import AccuracyError
from fullint.verification.metrics import joined_quality
from fullint.verification.report import Certificate, OutputQuality, PartQuality

WARN_SQNR = 15.0
WARN_EQUAL = 0.9
LOST_SQNR = 1.0
"""dB. An output below this has as much noise as signal; the result is refused whatever the mean."""
NO_SIGNAL, FEW_STEPS = -100.0, 2.0
FEW_ELEMENTS, MANY_STEPS = 16, 32.0
"""The SQNR of an output that is zero everywhere means nothing, and that of one of few values little: it is judged in steps, too,
and an error of up to two steps is accepted where its values move by `MANY_STEPS`."""
MOST_NAMED = 4
"""How many parts of an output a message names."""
LIMIT_SLACK = 1.0
"""dB. A result this close to the limit set by fixed output scales is accepted."""


class Causes(Protocol):
    """What can be found out about a result that is not good enough; asked only where it is needed, since it takes time."""

    @property
    def thorough(self) -> bool:
        """Whether ways are tried for parts that are weak, and not lost, too."""

    def of_parts(self, *, refused: bool) -> str:
        """What was tried to keep parts of outputs, as a sentence; "" where nothing was or could be."""

    def of_outputs(self, names: Sequence[str], *, ways: bool, refused: bool) -> list[str]:
        """Where the accuracy of these outputs is lost, why, and what was tried (`ways`), as sentences.

        Args:
            names: of outputs.
            ways: whether anything is tried.
            refused: whether there will be no result, which is worth more trials than a warning.
        """


def verdict(
    certificate: Certificate,
    min_sqnr: float,
    causes: Causes,
    *,
    require_every_output: bool = False,
    accepted: Collection[str] = (),
) -> list[str]:
    """Accept or refuse a result; returns warnings about it.

    Args:
        certificate: of the result.
        min_sqnr: dB the mean SQNR must reach, unless calibration was synthetic or a fixed output scale does not allow it.
        causes: finds out why it is not good enough.
        require_every_output: whether every output must reach `min_sqnr`, not only the mean.
        accepted: names of parts of outputs that may be lost.

    Raises:
        AccuracyError: the mean is below `min_sqnr`, an output is below `LOST_SQNR`, or a part of one is lost.
    """
    refusals, warnings = judge_parts(certificate, accepted, causes)
    lost = [p.name for o, p in _parts(certificate) if p.gone and p.name not in accepted]
    if not certificate.held_back:
        count = many(certificate.samples, "sample")
        warnings.append(f"{count}, too few to hold some back: they calibrated, and they judge; give at least twenty that differ")
    if certificate.uncalibrated:
        warnings.append("calibrated on random numbers: use the result for speed tests only; min_sqnr was not applied")
    warnings += [_unequal(o) for o in certificate.outputs if o.equal is not None and o.equal < WARN_EQUAL]
    sqnr = _mean(certificate)
    weak = [o for o in certificate.outputs if o.judged and _below(o, max(WARN_SQNR, min_sqnr))]
    if refusals and not weak:
        raise AccuracyError("\n".join(refusals), lost)
    if sqnr is None or not weak:
        low = sqnr is not None and sqnr < WARN_SQNR
        return [*warnings, _as_good_as_it_gets(certificate, sqnr)] if low and sqnr is not None else warnings
    names = [o.name for o in weak]  # where a part is lost, what keeps it was tried; what helps the whole may not
    floor = min_sqnr if require_every_output else min(min_sqnr, LOST_SQNR)
    failed = weak if sqnr < min_sqnr else [o for o in weak if _below(o, floor)]
    said: list[str] = []
    if certificate.uncalibrated:
        failed = []
    else:
        said = causes.of_outputs(names, ways=not refusals, refused=bool(failed or refusals))
    if failed:
        outputs = ", ".join(f'"{o.name}" {o.sqnr_db:.1f} dB' for o in failed)
        head = f"the SQNR against {certificate.reference} is too low: {outputs} (min_sqnr is {min_sqnr:g} dB)"
        refusals.append("\n  ".join([head, *said]))
    if refusals:
        raise AccuracyError("\n".join(refusals), lost)
    outputs = ", ".join(f'"{o.name}" {o.sqnr_db:.1f} dB' for o in weak)
    return [*warnings, "; ".join([f"SQNR below {max(WARN_SQNR, min_sqnr):g} dB: {outputs}", *said])]


def _as_good_as_it_gets(certificate: Certificate, sqnr: float) -> str:
    """Why a low SQNR is accepted without a cause."""
    if any(_at_limit(o) for o in certificate.outputs if o.judged):
        return f"SQNR {sqnr:.1f} dB is the most that fixed output scales allow on these samples"
    return f"SQNR {sqnr:.1f} dB, but no error is larger than {FEW_STEPS:g} steps of its output"


def judge_parts(certificate: Certificate, accepted: Collection[str], causes: Causes) -> tuple[list[str], list[str]]:
    """Why parts of outputs make a result unacceptable, and warnings about parts.

    Args:
        certificate: of the result.
        accepted: names of parts that may be lost.
        causes: tries ways to keep parts.
    """
    parts = _parts(certificate)
    gone = [(o, p) for o, p in parts if p.gone and p.name not in accepted]
    unknown = [name for name in accepted if name not in {p.name for _, p in parts if p.gone}]
    warnings = [f'allow_lost: no lost part of an output is called "{name}"' for name in sorted(unknown)]
    if certificate.uncalibrated or not parts:
        return [], warnings
    refused = gone if not certificate.drawn else []
    weak = causes.thorough and any(p.by_scale and p.name not in accepted for _, p in parts)
    tried = causes.of_parts(refused=bool(refused)) if refused or weak else ""
    said = [tried] if tried else []
    for o, some in _by_output([pair for pair in parts if pair not in refused]):
        warnings.append("; ".join([_of_parts(o, some), *said]))
    if not refused:
        return [], warnings
    lines = [_of_parts(o, some) for o, some in _by_output(refused)]
    names = " ".join(f'--allow-lost "{p.name}"' for _, p in refused[:MOST_NAMED])
    return [*lines, *(f"  {line}" for line in said), f"  or accept it: {names}"], warnings


def _parts(certificate: Certificate) -> list[tuple[OutputQuality, PartQuality]]:
    """The parts that are not kept, with their outputs; on random inputs, noise says nothing of a part."""
    parts = [(o, p) for o in certificate.outputs for p in o.parts if o.judged and p.status != "kept"]
    return [(o, p) for o, p in parts if p.by_scale or not certificate.drawn]


def _by_output(pairs: Sequence[tuple[OutputQuality, PartQuality]]) -> list[tuple[OutputQuality, list[PartQuality]]]:
    outputs = list({id(o): o for o, _ in pairs}.values())
    return [(o, [p for other, p in pairs if other is o]) for o in outputs]


def _of_parts(o: OutputQuality, parts: Sequence[PartQuality]) -> str:
    """Parts of one output that are not kept, with the cause of the first."""
    whole = f" ({o.sqnr_db:.1f} dB as a whole)" if o.sqnr_db is not None else ""
    named = ", ".join(f'"{p.name}" {_state(p)}' for p in parts[:MOST_NAMED])
    more = f" and {len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
    return f'output "{o.name}"{whole}: {named}{more}: {parts[0].cause}'


def _state(p: PartQuality) -> str:
    if p.status == "constant":
        return "is lost (always the same)"
    figure = f"{p.spread_db:.1f} dB about its mean"
    return f"is lost ({figure})" if p.gone else f"has {figure}"


def _mean(certificate: Certificate) -> float | None:
    """Mean SQNR of the outputs; one that is as good as its fixed scale allows does not pull the others down."""
    judged = [o.sqnr_db for o in certificate.outputs if o.judged and o.sqnr_db is not None and not _at_limit(o)]
    return joined_quality(judged) if judged else certificate.sqnr_db


def _at_limit(o: OutputQuality) -> bool:
    return o.sqnr_db is not None and o.limit_db is not None and o.sqnr_db >= o.limit_db - LIMIT_SLACK


def _below(o: OutputQuality, floor: float) -> bool:
    """Whether an output's SQNR is below `floor`, although its scale would allow more."""
    if o.sqnr_db is None or o.sqnr_db >= floor or _at_limit(o):
        return False
    if o.step is None or o.largest_error is None or not (o.sqnr_db <= NO_SIGNAL or _few_of_many_steps(o)):
        return True
    return o.largest_error > FEW_STEPS * o.step


def _few_of_many_steps(o: OutputQuality) -> bool:
    """Whether an output has few values, and these move by so many steps that an error of one or two leaves what they tell."""
    if not 0 < o.size <= FEW_ELEMENTS or o.step is None or o.low is None or o.high is None:
        return False
    return o.high - o.low >= MANY_STEPS * o.step


def _unequal(o: OutputQuality) -> str:
    assert o.equal is not None
    return f'only {100 * o.equal:.1f} % of the elements of output "{o.name}" equal the float model\'s'
