"""Tables that are looked up by integers.

EMBEDDING_LOOKUP(ids, table)      =>     GATHER(table, ids)       (its kernel gives float, or one scale per row)
"""

from __future__ import annotations

from fullint.build import make_op
from fullint.ir import Op, Uses
from fullint.rewrite import Rewrite


def embedding_as_gather(op: Op, uses: Uses) -> Rewrite | None:
    """EMBEDDING_LOOKUP picks rows, as GATHER along axis 0 does."""
    ids, table = op.input(0), op.input(1)
    if op.kind != "EMBEDDING_LOOKUP" or ids is None or table is None or not op.outputs[0].is_float:
        return None
    return Rewrite((op,), (make_op("GATHER", [table, ids], op.outputs, axis=0),), "EMBEDDING_LOOKUP picks rows as GATHER does")
