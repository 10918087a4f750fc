"""Acceptance tables: a row per operator that a delegate knows, with its conditions and their source."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from fullint.delegates.conditions import Condition
from fullint.model.ir import Op, Tensor


@dataclass(frozen=True)
class Row:
    """One operator of a table.

    Attributes:
        kind: TFLite's name of the operator.
        conditions: conditions that must all hold.
        source: the place in the table's source that it is taken from.
    """

    kind: str
    conditions: tuple[Condition, ...]
    source: str


@dataclass(frozen=True)
class AcceptanceTable:
    """What one delegate accepts.

    Attributes:
        name: its name, as in `--target`.
        source: where its rows come from.
        rows: the operators it knows.
        always: conditions that every operator must meet.
    """

    name: str
    source: str
    rows: tuple[Row, ...]
    always: tuple[Condition, ...] = ()

    @cached_property
    def by_kind(self) -> dict[str, Row]:
        """Operator type -> its row."""
        return {row.kind: row for row in self.rows}

    def no(self, op: Op, static: Collection[Tensor] = ()) -> str | None:
        """Why the delegate does not accept an operator, or None if it does."""
        row = self.by_kind.get(op.kind)
        if row is None:
            return f"{self.name} does not support {op.custom_code or op.kind}"
        return next((why for c in (*self.always, *row.conditions) if (why := c.no(op, static))), None)
