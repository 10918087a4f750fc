"""The decisions of `quantize`, before anything is rewritten: what `--plan` prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fullint.documents import Document, Line
from fullint.model.ir import Model
from fullint.quantization.assignment import Assignment, Encoding
from fullint.reporting import SCHEMA_VERSION, Report


@dataclass(frozen=True, repr=False, eq=False)
class Plan(Report):
    """How every tensor of a model would be encoded.

    Attributes:
        model: the prepared float model.
        assignment: the encodings.
    """

    model: Model
    assignment: Assignment

    def document(self) -> Document:
        """A line for each tensor, operand, requantize and note."""
        return Document(tuple(Line(line) for line in str(self.assignment).splitlines()))

    def rows(self) -> list[dict[str, Any]]:
        """The tensors."""
        return [{"tensor": t.name, **_parameters(e)} for t, e in self.assignment.tensors().items()]

    def to_json(self) -> str:
        """The encodings of all tensors and operands, the requantizes and the notes, as indented JSON."""
        a = self.assignment
        operands = [
            {"op": op.origin, "kind": op.kind, "input": i, "axis": e.quant.axis, **_parameters(e)}
            for (op, i), e in a.operands().items()
        ]
        cuts = [{"op": c.op.origin, "kind": c.op.kind, "input": c.input, "why": c.why} for c in a.cuts]
        body = {"schema_version": SCHEMA_VERSION, "tensors": self.rows(), "operands": operands, "cuts": cuts, "notes": a.notes}
        return json.dumps(body, indent=2, ensure_ascii=False)


def _parameters(e: Encoding) -> dict[str, Any]:
    return {"dtype": e.dtype, "scale": e.quant.scale.tolist(), "zero_point": e.quant.zero_point.tolist()}
