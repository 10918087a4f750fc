"""What a comparison says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fullint.documents import Block, Document, Fact, Line, Table, cut, many

if TYPE_CHECKING:
    from fullint.comparing.report import ComparedOperator, ComparedOutput, CompareReport

ROWS_SHOWN, SUSPECTS_SHOWN, UNMATCHED_SHOWN = 12, 10, 5


def comparison_document(report: CompareReport) -> Document:
    """The outputs, what is suspicious, and the operators that add most error."""
    return Document.of(*_blocks(report))


def _blocks(r: CompareReport) -> Iterator[Block]:
    figure = f"{r.sqnr_db:.1f} dB" if r.sqnr_db is not None else "no float output"
    yield Line(f"{r.integer} against {r.exact}: {figure}", "title")
    drawn = ", drawn at random: give some with -c" if r.drawn else ""
    yield Fact("samples", f"{r.samples} for the outputs, {r.operator_samples} for the operators{drawn}")
    for out in r.outputs:
        yield Fact("output", f"{out.name}: {', '.join(_of_output(out))}")
    if r.accuracy is not None:
        a = r.accuracy
        yield Fact("accuracy", f"{100 * a.before:.1f} % float, {100 * a.after:.1f} % integer, on {many(a.rows, 'label')}")
    if r.equalized:
        yield Fact(
            "channels", f"of {many(r.equalized, 'activation')} are rescaled in the integer model; they are compared as they were"
        )
    for note in r.notes:
        yield Line(note, "note")
    suspects = r.suspects
    if suspects:
        yield Line(f"{many(len(suspects), 'operator')} with more error of its own than rounding explains", "heading")
        for o in suspects[:SUSPECTS_SHOWN]:
            yield Line(f"op {o.index} {o.kind} {cut(o.output)}: {o.cause}; {o.fix}", "warning")
    if r.operators:
        yield Table(_HEADINGS, tuple(_row(o) for o in r.operators[:ROWS_SHOWN]), _title(len(r.operators)))
    for u in r.unmatched[:UNMATCHED_SHOWN]:
        yield Line(f"not compared: op {u.index} {u.kind} {cut(u.output)}: {u.why}", "note")
    if len(r.unmatched) > UNMATCHED_SHOWN:
        yield Line(f"and {many(len(r.unmatched) - UNMATCHED_SHOWN, 'more operator')} not compared: see --json", "note")


_HEADINGS = ("op", "kind", "output", "in the run", "inherited", "added", "beyond rounding", "saturated", "stands for")


def _title(count: int) -> str:
    return f"Operators by the error that they add ({min(count, ROWS_SHOWN)} of {count}), SQNR in dB"


def _row(o: ComparedOperator) -> tuple[str, ...]:
    exact = " + ".join(o.exact) or "a conversion"
    return (
        str(o.index),
        o.kind,
        cut(o.output, 32),
        f"{o.sqnr_db:.1f}",
        "" if o.inherited_db is None else f"{o.inherited_db:.1f}",
        "?" if o.added_db is None else f"{o.added_db:.1f}",
        "?" if o.excess_db is None else f"{o.excess_db:+.1f}",
        "" if o.saturated is None else f"{100 * o.saturated:.1f} %",
        cut(exact, 40),
    )


def _of_output(o: ComparedOutput) -> Iterator[str]:
    q = o.quality
    if q.sqnr_db is not None:
        yield f"{q.sqnr_db:.1f} dB"
    if o.cosine is not None:
        yield f"cosine {o.cosine:.4f}"
    if q.largest_error is not None and q.sqnr_db is not None:
        yield f"largest error {q.largest_error:.3g}"
    if q.top1_agreement is not None:
        yield f"same top class in {100 * q.top1_agreement:.1f} %"
    if o.top5_agreement is not None:
        yield f"among the top five in {100 * o.top5_agreement:.1f} %"
    if q.equal is not None:
        yield f"{100 * q.equal:.2f} % equal"
    for p in q.parts:
        if p.status != "kept":
            yield f"part {p.name} {p.status} ({p.spread_db:.1f} dB about its mean)"
