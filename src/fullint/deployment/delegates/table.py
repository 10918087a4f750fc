"""An acceptance table: one row per operator a delegate knows, its conditions, and where each is known from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from fullint.deployment.delegates.conditions import Condition
from fullint.model.ir import Op, Tensor


@dataclass(frozen=True)
class Row:
    """One operator.

    Attributes:
        kind: TFLite's name.
        conditions: all must hold.
        source: where in the table's source it is from.
    """

    kind: str
    conditions: tuple[Condition, ...]
    source: str


@dataclass(frozen=True)
class Table:
    """One delegate.

    Attributes:
        name: as in `--target`.
        source: where its rows are from.
        rows: the operators it knows.
        always: conditions on every operator.
    """

    name: str
    source: str
    rows: tuple[Row, ...]
    always: tuple[Condition, ...] = ()

    @cached_property
    def by_kind(self) -> dict[str, Row]:
        """Rows by operator."""
        return {row.kind: row for row in self.rows}

    def no(self, op: Op, static: Collection[Tensor] = ()) -> str | None:
        """Why an operator is not taken, None where it is."""
        row = self.by_kind.get(op.kind)
        if row is None:
            return f"{self.name} does not know {op.custom_code or op.kind}"
        return next((why for c in (*self.always, *row.conditions) if (why := c.no(op, static))), None)
