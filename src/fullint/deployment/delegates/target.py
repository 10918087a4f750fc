"""One place where a model can run, as `partition` asks it: a delegate's table, or a compiler's own answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fullint.model.ir import Model, Op


@dataclass(frozen=True)
class TargetAnswer:
    """What a target says of a model's main graph.

    Attributes:
        name: the target in full, with its level or configuration.
        source: where the answer is from.
        reasons: each operator, and why it is not taken: None where it is.
    """

    name: str
    source: str
    reasons: Mapping[Op, str | None]


@dataclass(frozen=True)
class DelegateTarget:
    """One target.

    Attributes:
        name: as in `--target`.
        answer: (model, what follows the colon, "" for nothing) -> what it takes. UsageError where it knows no such detail.
        detail: what may follow a colon, "" for nothing.
        node: what the runtime calls a node of it, "" where the runtime sees none.
    """

    name: str
    answer: Callable[[Model, str], TargetAnswer]
    detail: str = ""
    node: str = ""

    @property
    def usage(self) -> str:
        """How it is written."""
        return f"{self.name}[:{self.detail}]" if self.detail else self.name
