"""What fullint reports, as frozen dataclasses. `--json` prints exactly these.

`SCHEMA_VERSION` grows when a field changes its meaning or goes away; new fields do not count.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 1


class Report:
    """What every report can do."""

    def to_json(self) -> str:
        """The report as JSON, indented."""
        return to_json(self)

    def rows(self) -> Iterable[Any]:
        """Its table: a dataclass or a dict for each row."""
        return [self]

    def records(self) -> list[dict[str, Any]]:
        """Its table as flat dicts, one for each row, ready for `pandas.DataFrame`: what lies deeper has dots in its name."""
        return [_flat(r if isinstance(r, dict) else dataclasses.asdict(r)) for r in self.rows()]


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A dict without dicts in it; sequences of anything but text and numbers are left out, since a cell holds none."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, list | tuple) or all(isinstance(v, str | int | float | None) for v in value):
            found[f"{prefix}{key}"] = value
    return found


def to_json(report: Any) -> str:
    """Any report dataclass as JSON."""
    return json.dumps(_finite(dataclasses.asdict(report)), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN: text stands for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Change:
    """What was done, for the report: the pass, the operator it met and why."""

    rule: str
    index: int
    kind: str
    output: str
    why: str
    done: bool = True
