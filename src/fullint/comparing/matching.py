"""Which activation of the float model each activation of the integer model stands for.

    float     x --CONV_2D--> a --RELU--> b --RESHAPE--> c             x, b and c are matched; a has been fused away
    integer   x --QUANTIZE--> x' --CONV_2D--> b' --RESHAPE--> c'      by name, by who reads what, by values, by conversion

Converters keep most names, but not all; what has the same name need not be the same (an input that was rescaled is). So each
result is looked for by its name, then among the results of the same operator on the same operands, then among all
activations of the same size, by their values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from fullint.comparing.fingerprints import Prints, near, similarity
from fullint.model.ir import Graph, Op, Tensor, Uses
from fullint.ops.base import CONVERSIONS

_ADDED = re.compile(r"(?:[/_](?:u?int(?:8|16)|(?:re|de)?quantized?))+\d*$")
"""What quantizers put behind a name."""
ALIKE, NEARLY, THE_SAME = 0.5, 0.5, 0.03
"""Correlation from which two activations may be the same, if what reads and makes them says so, too; and shares of their size
within which they are the same, if the name says so, too, and if nothing else does."""


@dataclass
class Matching:
    """Activations of the integer model that stand for those of the float model.

    Attributes:
        exact: integer model's activation -> float model's.
        how: what told so: "input", "name", "operands", "values" or "conversion".
    """

    exact: dict[Tensor, Tensor] = field(default_factory=dict)
    how: dict[Tensor, str] = field(default_factory=dict)

    def add(self, integer: Tensor, exact: Tensor, how: str) -> None:
        """Take in a pair."""
        self.exact[integer], self.how[integer] = exact, how


def match(exact: Graph, integer: Graph, inputs: list[tuple[Tensor, Tensor]], seen: tuple[Prints, Prints]) -> Matching:
    """Match two graphs.

    Args:
        exact, integer: the float and the integer graph.
        inputs: pairs of their inputs (float, integer).
        seen: fingerprints of the activations of both.
    """
    found = Matching()
    for a, b in inputs:
        found.add(b, a, "input")
    search = _Search(exact, seen)
    for op in integer.ops:
        first = op.input(0)
        for number, t in enumerate(op.outputs):
            named = search.by_name(op, t)
            if named is None and op.kind in CONVERSIONS and first in found.exact:
                found.add(t, found.exact[first], "conversion")
                continue
            if named is not None:
                found.add(t, named, "name")
            elif (read := search.by_operands(op, number, found)) is not None:
                found.add(t, read, "operands")
            elif (alike := search.by_values(op, t, found)) is not None:
                found.add(t, alike, "values")
    return found


class _Search:
    """Looks for activations of the float graph."""

    def __init__(self, exact: Graph, seen: tuple[Prints, Prints]) -> None:
        self.uses = Uses(exact)
        self.seen, self.prints = seen
        self.place = {t: i for i, op in enumerate(exact.ops) for t in op.outputs}
        self.named: dict[str, list[Tensor]] = {}
        self.sized: dict[int, list[Tensor]] = {}
        for t in self.place:
            self.named.setdefault(plain_name(t), []).append(t)
            if t in self.seen:
                self.sized.setdefault(t.size, []).append(t)

    def like(self, exact: Tensor, integer: Tensor) -> float:
        return similarity(self.seen.get(exact), self.prints.get(integer))

    def by_name(self, op: Op, t: Tensor) -> Tensor | None:
        """A result of the same name and size, made by the same kind of operator or of the same values."""
        others = [x for x in self.named.get(plain_name(t), ()) if x.size == t.size]
        fitting = [
            x for x in others if self.uses.producer[x].kind == op.kind or near(self.seen.get(x), self.prints.get(t), NEARLY)
        ]
        return max(fitting, key=lambda x: self.like(x, t), default=None)

    def by_operands(self, op: Op, number: int, found: Matching) -> Tensor | None:
        """The result of an operator of the same kind that reads the same, or what a fused activation makes of it."""
        read = [found.exact[x] for x in op.inputs if x in found.exact]
        if not read:
            return None
        same = [r for r, _ in self.uses.of(read[0]) if r.kind == op.kind and {*read} == {x for x in r.inputs if x in self.seen}]
        results = [r.outputs[number] for r in dict.fromkeys(same) if number < len(r.outputs)]
        fitting = [x for r in results for x in self._behind(r) if x.size == op.outputs[number].size]
        best = max(fitting, key=lambda x: self.like(x, op.outputs[number]), default=None)
        alone = len(results) == 1 and len(fitting) == 1
        return best if best is not None and (alone or self.like(best, op.outputs[number]) >= ALIKE) else None

    def _behind(self, t: Tensor) -> Iterator[Tensor]:
        """A result, and what its only reader makes of it element by element."""
        yield t
        reader = self.uses.only_reader(t)
        if reader is not None and len(reader.outputs) == 1 and reader.outputs[0].size == t.size:
            yield reader.outputs[0]

    def by_values(self, op: Op, t: Tensor, found: Matching) -> Tensor | None:
        """The activation that is most alike, behind those that the operator reads."""
        before = max((self.place.get(found.exact[x], -1) for x in op.inputs if x in found.exact), default=-1)
        later = [x for x in self.sized.get(t.size, ()) if self.place[x] > before]
        best = max(later, key=lambda x: self.like(x, t), default=None)
        return best if best is not None and near(self.seen.get(best), self.prints.get(t), THE_SAME) else None


def plain_name(t: Tensor) -> str:
    """A tensor's name without what quantizers put behind it."""
    return _ADDED.sub("", t.name)
