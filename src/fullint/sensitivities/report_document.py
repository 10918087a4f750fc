"""What the report of `sensitivity` says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fullint.documents import Block, Document, Fact, Line, Table, cut, many, some, spans
from fullint.documents.wording import MOST_ROWS
from fullint.options import model_name

if TYPE_CHECKING:
    from fullint.sensitivities.report import SensitivityReport, UnitCost

COLUMNS = ("operators", "types", "name", "alone dB", "noise", "float dB", "int16 dB", "latency")


def sensitivity_document(report: SensitivityReport) -> Document:
    """The whole report."""
    return Document(tuple(_blocks(report)))


def _blocks(report: SensitivityReport) -> Iterator[Block]:
    total = len(report.units)
    of = f"{report.measured} of {total}" if report.measured < total else str(total)
    yield Line(f"{model_name(report.options)}: {report.sqnr_db:.1f} dB all integer; what {of} units cost", "title")
    yield Fact("judged on", many(report.samples, "sample"))
    yield Fact("alone", "SQNR where nothing else is integer; its share of all such noise")
    yield Fact("float, int16", "how many dB more the result has where only this is float, or int16; what int16 costs")
    known = [u for u in report.units if u.alone_db is not None or u.float_gain_db is not None]
    yield Table(COLUMNS, tuple(_row(u) for u in known[:MOST_ROWS]))
    if len(known) > MOST_ROWS:
        yield Line(f"and {len(known) - MOST_ROWS} more: --json or --csv FILE has all", depth=1)
    for r in report.remedies:
        slower = f", {r.latency:.2f} x the latency" if r.latency is not None else ", some operators in float"
        yield Fact("try", f"{r.option}: {r.sqnr_db:.1f} dB ({r.gain_db:+.1f}){slower}")
    yield Fact("time", f"{report.seconds:.1f} s")
    for note in report.notes:
        yield Line(note, "note")


def _row(u: UnitCost) -> tuple[str, ...]:
    latency = f"{u.int16_latency:.2f} x" if u.int16_latency is not None else ""
    share = f"{100 * u.share:.1f} %" if u.share is not None else ""
    kinds = some({kind: u.kinds.count(kind) for kind in u.kinds}, 2)
    gains = (_signed(u.float_gain_db), _signed(u.int16_gain_db))
    alone = f"{u.alone_db:.1f}" if u.alone_db is not None else ""
    return (spans(u.operators), kinds, cut(u.name, 40), alone, share, *gains, latency)


def _signed(db: float | None) -> str:
    return f"{db:+.2f}" if db is not None else ""
