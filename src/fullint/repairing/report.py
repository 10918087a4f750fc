"""The reports of `repair` and `repair_plan`, as `--json` prints them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fullint.auditing.audit import Finding
from fullint.documents import Document
from fullint.errors import Blocker
from fullint.quantization.report import QuantizeReport
from fullint.repairing.report_document import plan_document, repair_document
from fullint.reporting import ModelResult, Report


@dataclass(frozen=True, repr=False)
class RepairPlan(Report):
    """What `repair` would do.

    Attributes:
        fix: findings it would fix.
        leave: findings it would leave.
        refused: the operators that would keep it from producing a result; empty if the file, with the samples if given,
            is sufficient.
    """

    schema_version: int
    fix: tuple[Finding, ...]
    leave: tuple[Finding, ...]
    refused: tuple[Blocker, ...]

    def document(self) -> Document:
        """What the report says."""
        return plan_document(self)

    def rows(self) -> list[dict[str, Any]]:
        """One row per finding, with whether it would be fixed."""
        return [{"fix": done, **vars(f)} for done, group in ((True, self.fix), (False, self.leave)) for f in group]


@dataclass(frozen=True, repr=False)
class RepairReport(Report):
    """What `repair` did.

    Attributes:
        schema_version: version of the report's fields.
        fullint: version of fullint.
        status: "repaired", "nothing-to-repair", or "quantized" (a float model with small weights: what `quantize` does).
        options: the options of the run: `repair(**options)` repeats it.
        fixed: the findings that were fixed, as found in the input file.
        left: the findings of an audit of the result.
        unsafe: the findings left because fixing them would change what the model computes (`unsafe_fixes`).
        assumptions: what the repair had to assume, as sentences.
        result: the report of the quantization, with its certificate.
    """

    schema_version: int
    fullint: str
    status: str
    options: dict[str, Any]
    fixed: tuple[Finding, ...]
    left: tuple[Finding, ...]
    assumptions: tuple[str, ...]
    result: QuantizeReport
    unsafe: tuple[Finding, ...] = ()

    def document(self) -> Document:
        """What the report says."""
        return repair_document(self)

    def rows(self) -> list[dict[str, Any]]:
        """One row per finding, with whether it was fixed."""
        return [{"fixed": done, **vars(f)} for done, group in ((True, self.fixed), (False, self.left)) for f in group]


@dataclass(frozen=True, repr=False)
class Repaired(ModelResult):
    """A repaired model.

    Attributes:
        model: the `.tflite` file.
        report: what was done.
    """

    model: bytes
    report: RepairReport

    def _report(self) -> RepairReport:
        return self.report
