"""What a certificate says."""

from __future__ import annotations

from collections.abc import Iterator

from fullint.documents import Block, Fact, many
from fullint.verification.report import Certificate, KernelSet, OutputQuality


def certificate_blocks(c: Certificate) -> Iterator[Block]:
    """How near the result is to the reference, output by output, and what each kernel set did."""
    held = "drawn at random" if c.drawn else "held back from calibration" if c.held_back else "also used for calibration"
    figure = f"{c.sqnr_db:.1f} dB" if c.sqnr_db is not None else "no float output"
    yield Fact("SQNR", f"{figure} against {c.reference}, {many(c.samples, 'sample')} {held}")
    for o in c.outputs:
        yield Fact("", f"{o.name}: {', '.join(_figures(o))}")
        for p in o.parts:
            if p.status != "kept":
                yield Fact("", f"  {p.name}: {p.status}, {p.spread_db:.1f} dB about its mean, {p.sqnr_db:.1f} dB by its energy")
    for k in c.kernel_sets:
        yield Fact(k.name, f"{k.status}: {_of_kernels(k)}")


def _figures(o: OutputQuality) -> Iterator[str]:
    if o.sqnr_db is not None:
        yield f"{o.sqnr_db:.1f} dB"
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
    apart = f", at most {many(k.disagreement_steps or 0, 'step')} from XNNPACK" if k.name != "xnnpack" else ""
    return many(k.samples, "sample") + apart
