"""What is measured as one: an operator, a layer or a block, by the names of outputs.

--by operator    model/block_1/conv/Relu              each by itself
--by layer       model/block_1/conv                   all whose names have the same beginning, up to the last slash
--by 2           model/block_1                        all whose names begin with the same two parts
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fullint.model.ir import Op
from fullint.options.of_sensitivity import LAYER, OPERATOR


@dataclass(frozen=True, eq=False)
class Unit:
    """Operators of the prepared model that are measured as one."""

    name: str
    ops: tuple[Op, ...]

    @property
    def operators(self) -> tuple[int, ...]:
        """Their indices in the given file; with those of what was folded into them."""
        return tuple(sorted({i for op in self.ops for i in op.origins if i >= 0}))


def units_of(ops: Sequence[Op], by: str) -> list[Unit]:
    """Units in the order of their first operators.

    Args:
        ops: of the main graph, in order.
        by: operator, layer, or a number of parts of a name.
    """
    found: dict[object, list[Op]] = {}
    for op in ops:
        key: object = op.origin if by == OPERATOR else prefix(op.output_name, by)
        found.setdefault(key, []).append(op)
    return [Unit(own[-1].output_name if by == OPERATOR else str(key), tuple(own)) for key, own in found.items()]


def prefix(name: str, by: str) -> str:
    """The beginning of a name that stands for its layer or block; of names joined by semicolons, the first counts."""
    parts = name.split(";")[0].split("/")
    kept = parts[:-1] if by == LAYER else parts[: int(by)]
    return "/".join(kept) or parts[0]
