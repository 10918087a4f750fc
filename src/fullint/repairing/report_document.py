"""What the reports of `repair` and `repair_plan` say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fullint.auditing.report_document import finding_line
from fullint.documents import Block, Document, Fact, Line, many
from fullint.documents.wording import MOST_ROWS
from fullint.options import model_name
from fullint.quantization.report_document import quantize_document

if TYPE_CHECKING:
    from fullint.repairing.report import RepairPlan, RepairReport


def repair_document(report: RepairReport) -> Document:
    """What was fixed, the result, what was assumed and what is left."""
    if report.status == "nothing-to-repair":
        found = "nothing is repaired" if report.unsafe else "nothing to repair"
        return Document((Line(f"{model_name(report.options)}: {found}; copied unchanged"), *_unsafe(report)))
    counts = ", ".join(f"{n} {rule}" for rule, n in Counter(f.rule for f in report.fixed).items())
    left = Counter(f"{f.rule} ({f.level})" for f in report.left)
    return Document(
        (
            Line(f"fixed {many(len(report.fixed), 'finding')}: {counts}"),
            *quantize_document(report.result).blocks,
            *(Fact("assumed", text) for text in report.assumptions),
            *([Fact("left", ", ".join(f"{n} {rule}" for rule, n in left.items()))] if left else []),
            *_unsafe(report),
        )
    )


def _unsafe(report: RepairReport) -> Iterator[Block]:
    """What was left so that the model goes on computing what it computes."""
    if not report.unsafe:
        return
    said = f"{many(len(report.unsafe), 'finding')} left, since the fix changes what the model computes (--unsafe-fixes):"
    yield Line(said, "warning")
    yield from (finding_line(f) for f in report.unsafe[:MOST_ROWS])
    if len(report.unsafe) > MOST_ROWS:
        yield Line(f"and {len(report.unsafe) - MOST_ROWS} more", depth=2)


def plan_document(plan: RepairPlan) -> Document:
    """What would be fixed, left, and refused."""
    return Document(tuple(_of_plan(plan)))


def _of_plan(plan: RepairPlan) -> Iterator[Block]:
    for title, findings in (("to be fixed", plan.fix), ("to be left as they are", plan.leave)):
        yield Line(f"{title}: {len(findings)}", "title")
        for rule in dict.fromkeys(f.rule for f in findings):
            found = [f for f in findings if f.rule == rule]
            unsafe = "" if found[0].safe else ", changes what the model computes"
            yield Line(f"{rule} ({len(found)}{unsafe}): {found[0].fix}", depth=1)
            yield from (finding_line(f) for f in found[:MOST_ROWS])
            if len(found) > MOST_ROWS:
                yield Line(f"and {len(found) - MOST_ROWS} more", depth=2)
    if plan.refused:
        yield Line("the repair would stop without a result:", "title")
    for b in plan.refused[:MOST_ROWS]:
        yield Line(str(b), depth=1)
