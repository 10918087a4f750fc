"""The interface of a target of `partition`: a delegate with a table, or a compiler that is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fullint.model.ir import Array, Graph, Model, Op
from fullint.passes.target_forms import Lacks

OneSubgraph = Callable[[Graph, Mapping[Op, str | None]], dict[Op, str | None]]


@dataclass(frozen=True)
class TargetAnswer:
    """A target's verdict on a model's main graph.

    Attributes:
        name: the target with its level or configuration.
        source: where the verdict comes from.
        reasons: operator -> why the target does not accept it, or None if it does.
        own: whether its own software said so, and not a table.
        once: where it takes one partition only: (graph, what is said of each operator alone) -> what comes of it.
        alone: what is said of each operator alone, where it takes one partition only.
    """

    name: str
    source: str
    reasons: Mapping[Op, str | None]
    own: bool = False
    once: OneSubgraph | None = None
    alone: Mapping[Op, str | None] = field(default_factory=dict)

    @property
    def speaker(self) -> str:
        """Who says so."""
        return self.source if self.own else f"fullint's table ({self.source})"


@dataclass(frozen=True)
class Software:
    """The software of a target, which says more than a table.

    Attributes:
        extra: of fullint, that installs it.
        package: on the package index.
        licence: of the package.
        installed: whether it is there.
    """

    extra: str
    package: str
    licence: str
    installed: Callable[[], bool]


@dataclass(frozen=True)
class OwnRun:
    """What a target's own kernels made of a model.

    Attributes:
        why: why it did not run, "" where it did.
        outputs: for each output [samples, ...].
        notes: what else it says, in sentences.
    """

    why: str
    outputs: Sequence[Array] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DelegateTarget:
    """A target of `partition`.

    Attributes:
        name: its name, as in `--target`.
        answer: (model, the text after the colon or "") -> the verdict; raises UsageError if the text is invalid.
        detail: placeholder for the text after a colon, "" if there is none.
        node: the runtime's name for its nodes, "" if it creates none.
        software: what answers for it, where it is installed; None where there is nothing but a table.
        run: (model, for each input [samples, ...]) -> what its own kernels make of it, where they can be had.
        tabled: whether there is a table where the software is not installed.
        whole: whether one refused operator stops the whole model.
        lacks: operator -> types of activations that its kernel does not take.
    """

    name: str
    answer: Callable[[Model, str], TargetAnswer]
    detail: str = ""
    node: str = ""
    software: Software | None = None
    run: Callable[[Model, Sequence[Array]], OwnRun] | None = None
    tabled: bool = True
    whole: bool = False
    lacks: Lacks = field(default_factory=dict)

    @property
    def usage(self) -> str:
        """The target as help texts show it, such as "nnapi[:LEVEL]"."""
        return f"{self.name}[:{self.detail}]" if self.detail else self.name
