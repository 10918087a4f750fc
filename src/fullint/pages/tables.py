"""What a page says besides the document that a terminal gets: findings in full, and small pictures of the samples.

repair: "fixed 18 findings: 12 float-border, …"      =>      a table of them: operator, what was wrong, what was done
"""

from __future__ import annotations

import base64
import importlib.util
import io
from collections.abc import Iterator, Sequence

import numpy as np

from fullint.auditing.audit import AuditReport, Finding
from fullint.documents import Block, Picture, Table
from fullint.model.ir import Array
from fullint.repairing.report import RepairReport
from fullint.reporting import Report

_MOST_PICTURES = 8
_COLUMNS = ("op", "kind", "output", "rule", "why", "fix", "MACs")


def tables(report: Report, graphs: int) -> Iterator[Block]:
    """Tables of what a terminal gets in short, for a page with so many graphs."""
    if isinstance(report, RepairReport):
        yield from _findings(report.fixed, "What was wrong in the given model, and is repaired", min(0, graphs - 1))
        yield from _findings(report.left, "What is left in the result", graphs - 1)
    if isinstance(report, AuditReport):
        yield from _findings(report.findings, "Findings", min(0, graphs - 1))


def _findings(found: Sequence[Finding], title: str, graph: int) -> Iterator[Block]:
    if found:
        rows = [
            (str(x.index), x.kind, x.output, f"{x.rule} ({x.level})", x.cause, x.fix, f"{100 * x.macs_share:.1f} %")
            for x in found
        ]
        yield Table(_COLUMNS, tuple(rows), title, graph)


def pictures(samples: Sequence[Sequence[Array]]) -> Iterator[Block]:
    """The first samples, where they are images (NHWC with one or three channels) and Pillow is there."""
    if importlib.util.find_spec("PIL") is None:
        return
    for i, sample in enumerate(samples[:_MOST_PICTURES]):
        x = next((x for x in sample if x.ndim == 4 and x.shape[3] in (1, 3) and min(x.shape[1:3]) >= 8), None)
        if x is not None:
            yield Picture(f"sample {i}: {float(x.min()):.3g} to {float(x.max()):.3g}", _png(x[0]))


def _png(x: Array) -> str:
    """A data URI, of 0 to 255 over the values of the sample."""
    from PIL import Image  # optional, and slow to import

    values = x.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    grey = ((values - low) * (255 / (high - low or 1))).astype(np.uint8)
    out = io.BytesIO()
    image = Image.fromarray(grey[..., 0] if grey.shape[2] == 1 else grey)
    image.thumbnail((128, 128))
    image.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
