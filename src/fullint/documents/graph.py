"""A network as a block of a document: operators, what passes between them, what is known of each, what was measured.

Text for terminals leaves it out; a page draws it (`pages`).
"""

from __future__ import annotations

from dataclasses import dataclass

NODE_TYPES = ("int", "float", "other")
"""Whether an operator computes on integers, on floats, or on neither (indices, conditions)."""


@dataclass(frozen=True)
class GraphHistogram:
    """How often values lie where.

    Attributes:
        low, high: the range that the codes can hold.
        counts: of values in equal parts of it.
        clipped_low, clipped_high: shares of all values that have the smallest and the largest code.
    """

    low: float
    high: float
    counts: tuple[int, ...]
    clipped_low: float
    clipped_high: float


@dataclass(frozen=True)
class GraphNode:
    """An operator.

    Attributes:
        index: in its file.
        kind: TFLite's name.
        name: of what it writes.
        layer: the part of the name that it shares with others of its layer, parts joined by "/".
        type: one of `NODE_TYPES`.
        badge: element type of what it writes.
        facts: (label, text), in reading order.
        marks: what should catch the eye, in a word each.
        piece: the partition that it is in, -1 where it is left to the CPU, None where nothing is partitioned.
        histogram: of what it writes.
        twins: positions of the operators of the document's other graph that do the same.
    """

    index: int
    kind: str
    name: str
    layer: str
    type: str
    badge: str
    facts: tuple[tuple[str, str], ...] = ()
    marks: tuple[str, ...] = ()
    piece: int | None = None
    histogram: GraphHistogram | None = None
    twins: tuple[int, ...] = ()


@dataclass(frozen=True)
class GraphEdge:
    """A tensor that one operator writes and another reads.

    Attributes:
        source, target: positions of the operators; -1 for an input of the graph.
    """

    source: int
    target: int


@dataclass(frozen=True)
class GraphMeasure:
    """A number for each operator.

    Attributes:
        name: what was measured.
        unit: of the numbers.
        values: by position; None where there is none.
        low_is_bad: whether small numbers are the ones to look at.
    """

    name: str
    unit: str
    values: tuple[float | None, ...]
    low_is_bad: bool = False


@dataclass(frozen=True)
class GraphBlock:
    """A network.

    Attributes:
        title: above it.
        nodes: in an order in which they can run.
        edges: between them.
        measures: by which it can be coloured.
    """

    title: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    measures: tuple[GraphMeasure, ...] = ()
