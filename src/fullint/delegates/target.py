"""The interface of a target of `partition`: a delegate with a table, or a compiler that is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fullint.model.ir import Model, Op


@dataclass(frozen=True)
class TargetAnswer:
    """A target's verdict on a model's main graph.

    Attributes:
        name: the target with its level or configuration.
        source: where the verdict comes from.
        reasons: operator -> why the target does not accept it, or None if it does.
    """

    name: str
    source: str
    reasons: Mapping[Op, str | None]


@dataclass(frozen=True)
class DelegateTarget:
    """A target of `partition`.

    Attributes:
        name: its name, as in `--target`.
        answer: (model, the text after the colon or "") -> the verdict; raises UsageError if the text is invalid.
        detail: placeholder for the text after a colon, "" if there is none.
        node: the runtime's name for its nodes, "" if it creates none.
    """

    name: str
    answer: Callable[[Model, str], TargetAnswer]
    detail: str = ""
    node: str = ""

    @property
    def usage(self) -> str:
        """The target as help texts show it, such as "nnapi[:LEVEL]"."""
        return f"{self.name}[:{self.detail}]" if self.detail else self.name
