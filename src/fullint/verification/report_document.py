"""What a certificate says."""

from __future__ import annotations

from collections.abc import Iterator

from fullint.documents import Block, Fact, many
from fullint.verification.acceptance import FEW_ELEMENTS
from fullint.verification.report import Certificate, KernelSet, OutputQuality


def certificate_blocks(c: Certificate) -> Iterator[Block]:
    """How near the result is to the reference, output by output, and what each kernel set did."""
    figure = f"{c.sqnr_db:.1f} dB{_interval(c.interval_db)}" if c.sqnr_db is not None else "no float output"
    yield Fact("SQNR", f"{figure} against {c.reference}, {many(c.samples, 'sample')} {_which(c)}")
    for o in c.outputs:
        yield Fact("", f"{o.name}: {', '.join(_figures(o))}")
        for p in o.parts:
            if p.status != "kept":
                yield Fact("", f"  {p.name}: {p.status}, {p.spread_db:.1f} dB about its mean, {p.sqnr_db:.1f} dB by its energy")
    if c.accuracy is not None:
        a = c.accuracy
        yield Fact("accuracy", f"{100 * a.before:.1f} % before, {100 * a.after:.1f} % after, on {many(a.rows, 'label')}")
    for k in c.kernel_sets:
        yield Fact(k.name, f"{k.status}: {_of_kernels(k)}")


def _which(c: Certificate) -> str:
    """What the samples are."""
    if c.drawn:
        return "drawn at random"
    if not c.held_back:
        return "also used for calibration"
    if c.also_calibrated and c.held_back_sqnr_db is not None:
        held = c.samples - c.also_calibrated
        return f"({held} of them held back from calibration; these alone: {c.held_back_sqnr_db:.1f} dB)"
    return "held back from calibration"


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" ({ends[0]:.0f} to {ends[1]:.0f})"


def _figures(o: OutputQuality) -> Iterator[str]:
    if o.sqnr_db is not None:
        yield f"{o.sqnr_db:.1f} dB"
    if o.steps is not None and o.sqnr_db is not None and o.size <= FEW_ELEMENTS:
        yield f"largest error {o.steps:.1f} steps"
    if o.as_set:
        yield "compared sorted, since the model orders it by size"
    if o.top1_agreement is not None:
        yield f"same top class in {100 * o.top1_agreement:.1f} %"
    if o.equal is not None:
        yield f"{100 * o.equal:.2f} % equal"
    if not o.judged:
        yield "not judged: an operator kept in float computes it"


def _of_kernels(k: KernelSet) -> str:
    if k.status != "ran":
        return "; ".join(k.facts)
    beside = {"xnnpack": "", "builtin": "XNNPACK", "reference": "XNNPACK"}.get(k.name, "the reference kernels")
    apart = f", at most {many(k.disagreement_steps or 0, 'step')} from {beside}" if beside else ""
    ran = many(k.samples, "sample")
    if k.operators is not None:
        ran += f", {many(k.operators, 'operator')} by themselves, one of each form"
    return ran + apart
