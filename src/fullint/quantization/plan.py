"""The decisions of `quantize`, before anything is rewritten: what `--plan` prints, as a recipe that makes the same again.

[options]                                          effort = "best"
[[rules]]                                          match = ["block/add", 12], int16 = true
# block/add: int16 scale 0.0002, zero point 0      the parameters of all tensors, as comments
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fullint.documents import Document, Line
from fullint.model.ir import Model
from fullint.options import Recipe
from fullint.printable import one_line
from fullint.quantization.assignment import Assignment, Encoding
from fullint.reporting import SCHEMA_VERSION, Report, json_text


@dataclass(frozen=True, repr=False, eq=False)
class Plan(Report):
    """How every tensor of a model would be encoded.

    Attributes:
        model: the prepared float model.
        assignment: the encodings.
        recipe: what makes the same of the same model and samples.
    """

    model: Model
    assignment: Assignment
    recipe: Recipe

    def document(self) -> Document:
        """The recipe, and as comments a line for each tensor, operand, requantize and note."""
        encodings = (f"# {one_line(line)}" for line in str(self.assignment).split("\n"))
        return Document(tuple(map(Line, (*str(self.recipe).splitlines(), *encodings))))

    def rows(self) -> list[dict[str, Any]]:
        """The tensors."""
        return [{"tensor": t.name, **_parameters(e)} for t, e in self.assignment.tensors().items()]

    def to_json(self, document: Document | None = None) -> str:
        """The recipe, all encodings, the requantizes and the notes, as indented JSON, with a document if one is given."""
        a = self.assignment
        operands = [
            {"op": op.origin, "kind": op.kind, "input": i, "axis": e.quant.axis, **_parameters(e)}
            for (op, i), e in a.operands().items()
        ]
        cuts = [{"op": c.op.origin, "kind": c.op.kind, "input": c.input, "why": c.why} for c in a.cuts]
        recipe = self.recipe.tables()
        body = {
            "schema_version": SCHEMA_VERSION,
            "recipe": recipe,
            "tensors": self.rows(),
            "operands": operands,
            "cuts": cuts,
            "notes": a.notes,
        } | ({"document": document.plain()} if document is not None else {})
        return json_text(body)


def _parameters(e: Encoding) -> dict[str, Any]:
    return {"dtype": e.dtype, "scale": e.quant.scale.tolist(), "zero_point": e.quant.zero_point.tolist()}
