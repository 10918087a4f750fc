"""The measuring model: the float model with a vector of what calibration is to see as its output, one probe after another.

    x --CONV_2D--> y         =>      x --CONV_2D--> y --REDUCE_MIN--> .
                                                      --REDUCE_MAX--> .   CONCATENATION --> [min, max, …]

Inside control flow only maxima are kept (of -y for a minimum), and handed out:

    WHILE(s)                 =>      WHILE(s, m) -> s, m        m' = MAXIMUM(m, what this turn saw), at first -3.4e38
    IF(c, x)                 =>      IF(c, x) -> y, m           -3.4e38 at the places of what was not computed

Range methods that see all values of a tensor have them behind the smallest and largest ones: [ends of all tensors, values].
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby

import numpy as np

from fullint.calibration.masks import MASK
from fullint.model.ir import Graph, Model, Op, Tensor, constant
from fullint.model.subgraphs import below, callees_first
from fullint.ops.control_flow import BODY, COND, ELSE, THEN
from fullint.ops.make import CLAMPS, make_op

LOWEST = float(np.finfo(np.float32).min)
"""What a maximum starts from; a tensor whose maximum is still this was never computed."""
_NOT_NEGATIVE = tuple(clamp for clamp, (low, _) in CLAMPS.items() if low >= 0)


class Seen(Enum):
    """What a probe shows of a tensor in one run."""

    LOW = "smallest value"
    HIGH = "largest value"
    NEGATED = "largest value of -x"
    ROW = "smallest of the largest values along the last axis"
    VALUES = "all values"


@dataclass(frozen=True)
class Probe:
    """A stretch of the measuring model's output.

    Attributes:
        tensor: of the given model.
        what: what is seen of it.
        start, size: where the stretch lies; one place per channel, or one for all, or one per value.
    """

    tensor: Tensor
    what: Seen
    start: int
    size: int


def measuring_model(
    model: Model,
    tensors: Sequence[Tensor],
    by_channel: AbstractSet[Tensor] = frozenset(),
    rows: Sequence[Tensor] = (),
    values: AbstractSet[Tensor] = frozenset(),
) -> tuple[Model, list[Probe]]:
    """The model with a vector of what is to be seen as its output.

    Args:
        model: float, with static shapes.
        tensors: those whose smallest and largest values are wanted.
        by_channel: those of them where they are wanted per channel (last axis).
        rows: softmax inputs whose smallest row maximum is wanted.
        values: those of `tensors` of which all values are wanted, too; inside loops and branches there are none.
    """
    old, wanted = model.main, set(tensors)
    made_by = {t: op for op in old.ops for t in op.outputs}
    mine = [t for t in tensors if t in made_by or t in old.inputs or t.is_variable]
    writer = _ProbeWriter(by_channel)
    for t in mine:
        if not _starts_at_zero(made_by.get(t)):
            writer.add(t, Seen.LOW)
        writer.add(t, Seen.HIGH)
    for t in rows:
        writer.add_rows(t)
    below_it = _Below(old.ops, wanted)
    handing = below_it.handing_out(old.ops)
    ops = [handing[op][0] if op in handing else op for op in old.ops]
    if handing:
        writer.join(writer.largest([vector for _, vector in handing.values()]), below_it.probes)
    for t in mine:
        if t in values:
            writer.add_values(t)
    vector = writer.finish()
    graph = Graph(old.name, [], list(old.inputs), [vector], _as_soon_as_possible(ops, writer.ops))
    graph.sync_tensors()
    return Model(below(graph), version=model.version), writer.probes


def _as_soon_as_possible(ops: Sequence[Op], added: Sequence[Op]) -> list[Op]:
    """Operators that are added stand right behind what they read, so that values need not be kept until the end.

    Where layers remember something, all stand at the end: no edge says that a variable is written, and where the first operators
    are a delegate's, it runs all that it can before the first that is not its own.
    """
    if any(t is not None and t.is_variable for op in ops for t in op.inputs):
        return [*ops, *added]
    place = {t: i for i, op in enumerate(ops) for t in op.outputs}
    after: dict[int, list[Op]] = {}
    for op in added:
        at = max((place.get(t, -1) for t in op.inputs if t is not None), default=-1)
        place.update(dict.fromkeys(op.outputs, at))
        after.setdefault(at, []).append(op)
    return [*after.get(-1, ()), *(each for i, op in enumerate(ops) for each in (op, *after.get(i, ())))]


class _Below:
    """What the graphs of control flow show, in one vector with a place for each tensor, which all of them hand out.

    Graphs may be shared, so that a vector for each caller would be 2^depth long where they nest.

    Attributes:
        probes: the places.
    """

    def __init__(self, ops: Sequence[Op], wanted: AbstractSet[Tensor]) -> None:
        graphs = callees_first(ops, _callees)
        self.wanted, self.probes = wanted, list[Probe]()
        self.start: dict[Graph, int] = {}
        for graph in graphs:
            self.start[graph] = len(self.probes)
            for t in self._shown(graph):
                self.probes += [Probe(t, what, len(self.probes) + i, 1) for i, what in enumerate((Seen.HIGH, Seen.NEGATED))]
        self.showing: set[Graph] = set()
        self.made: dict[tuple[Graph, bool], Graph] = {}
        for graph in graphs:
            if self._shown(graph) or any(self.shows(op) for op in graph.ops):
                self.showing.add(graph)

    def _shown(self, graph: Graph) -> list[Tensor]:
        return [t for op in graph.ops for t in op.outputs if t in self.wanted]

    def shows(self, op: Op) -> bool:
        """Whether there is anything to be seen in the graphs of an operator."""
        return any(g in self.showing for g in _callees(op))

    def vector(self) -> Tensor:
        """A new tensor for all places."""
        return Tensor("", (len(self.probes),), "float32")

    def handing_out(self, ops: Sequence[Op]) -> dict[Op, tuple[Op, Tensor]]:
        """Operators that show something -> one that also hands out what was seen, and that."""
        for op in (*(op for graph in self.start for op in graph.ops), *ops):  # callees first
            if self.shows(op):
                self._make(op)
        return {op: self._new(op) for op in ops if self.shows(op)}

    def _make(self, op: Op) -> None:
        """The graphs of an operator, those that they call being made."""
        for graph in _callees(op):
            if (graph, BODY in op.options) not in self.made:
                self.made[graph, BODY in op.options] = self._with_vector(graph, carried=BODY in op.options)

    def _new(self, op: Op) -> tuple[Op, Tensor]:
        vector = self.vector()
        new = replace(op, inputs=list(op.inputs), outputs=[*op.outputs, vector], options={**op.options})
        if BODY not in op.options:
            new.options |= {key: self.made[op.options[key], False] for key in (THEN, ELSE)}
            return new, vector
        cond: Graph = op.options[COND]
        told = Graph(cond.name, list(cond.tensors), [*cond.inputs, self.vector()], cond.outputs, cond.ops)
        told.sync_tensors()
        new.options |= {BODY: self.made[op.options[BODY], True], COND: told}
        new.inputs.append(constant("", np.full(vector.shape, LOWEST, np.float32)))
        return new, vector

    def _with_vector(self, graph: Graph, *, carried: bool) -> Graph:
        """A graph that also hands out what it saw; of a loop, together with what it saw before."""
        ops, vectors = list[Op](), list[Tensor]()
        for op in graph.ops:
            if self.shows(op):
                op, vector = self._new(op)
                vectors.append(vector)
            ops.append(op)
        writer = _ProbeWriter(frozenset())
        for t in self._shown(graph):
            writer.add(t, Seen.HIGH)
            writer.add(_negated(t, writer), Seen.HIGH)
        if writer.parts:
            before, own = self.start[graph], writer.size
            rest = [constant("", np.full(n, LOWEST, np.float32)) for n in (before, len(self.probes) - before - own)]
            parts = [t for t in (rest[0], *writer.vectors(), rest[1]) if t.size]
            vectors.append(self.vector())
            writer.ops.append(make_op("CONCATENATION", parts, vectors[-1:], axis=0))
        inputs = list(graph.inputs)
        if carried:
            inputs.append(self.vector())
            vectors.append(inputs[-1])
        if not vectors:  # not a CONCATENATION: of constants alone it is computed early, and LiteRT frees it twice at the end
            vectors.append(constant("", np.full(len(self.probes), LOWEST, np.float32)))
        seen = writer.largest(vectors if len(vectors) > 1 else vectors * 2)
        new = Graph(graph.name, [], inputs, [*graph.outputs, seen], [*ops, *writer.ops])
        new.sync_tensors()
        return new


def _callees(op: Op) -> list[Graph]:
    """The graphs in which tensors are measured: those whose results are handed on."""
    return [op.options[k] for k in (BODY, THEN, ELSE) if k in op.options]


def _negated(t: Tensor, writer: _ProbeWriter) -> Tensor:
    out = Tensor("", t.shape, "float32", has_rank=True)
    writer.ops.append(make_op("NEG", [t], [out]))
    return out


JOINED = 64
"""Vectors that are joined at once."""


class _ProbeWriter:
    """Appends reductions and joins their results to one vector.

    LiteRT's planner takes time with the square of the tensors that are no delegate's, so that results keep their rank and are
    joined before they become a vector:

        [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 8]  --CONCATENATION--> [1, 1, 1, 10]  --RESHAPE--> [10]
    """

    def __init__(self, by_channel: AbstractSet[Tensor]) -> None:
        self.by_channel = by_channel
        self.ops: list[Op] = []
        self.probes: list[Probe] = []
        self.parts: list[Tensor] = []
        self.axes: dict[int, Tensor] = {}
        self.size = 0

    def add(self, t: Tensor, end: Seen) -> None:
        """One end of a tensor's range."""
        channels = t in self.by_channel
        size = t.shape[-1] if channels else 1
        self._probe(t, end, size)
        reduced = len(t.shape) - 1 if channels else len(t.shape)
        if reduced == 0:
            self.parts.append(t if channels else self._reshaped(t, 1))  # of rank 0
            return
        if reduced not in self.axes:
            self.axes[reduced] = constant(f"axes{reduced}", np.arange(reduced, dtype=np.int32))
        out = Tensor("", (*(1 for _ in t.shape[1:]), size), "float32", has_rank=True)
        kind = "REDUCE_MAX" if end is Seen.HIGH else "REDUCE_MIN"
        self.ops.append(make_op(kind, [t, self.axes[reduced]], [out], keep_dims=True))
        self.parts.append(out)

    def add_rows(self, t: Tensor) -> None:
        """The smallest maximum along the last axis, rows that are all mask left out; 0 where all of them are."""
        largest, kept = (Tensor("", t.shape[:-1], "float32", has_rank=True) for _ in range(2))
        sound, any_sound = Tensor("", t.shape[:-1], "bool", has_rank=True), Tensor("", (), "bool", has_rank=True)
        whole, fill = (Tensor("", (), "float32", has_rank=True) for _ in range(2))
        axes = constant("row_axes", np.arange(len(t.shape) - 1, dtype=np.int32))
        last = constant("last_axis", np.array([len(t.shape) - 1], np.int32))
        mask, zero = constant("mask", np.float32(-MASK)), constant("zero", np.float32(0))
        self.ops += [
            make_op("REDUCE_MAX", [t, last], [largest], keep_dims=False),
            make_op("GREATER", [largest, mask], [sound]),
            make_op("REDUCE_MAX", [largest, axes], [whole], keep_dims=False),
            make_op("GREATER", [whole, mask], [any_sound]),
            make_op("SELECT_V2", [any_sound, whole, zero], [fill]),
            make_op("SELECT_V2", [sound, largest, fill], [kept]),
        ]
        self.add(kept, Seen.LOW)
        self.probes[-1] = replace(self.probes[-1], tensor=t, what=Seen.ROW)

    def add_values(self, t: Tensor) -> None:
        """All values of a tensor."""
        self._probe(t, Seen.VALUES, t.size)
        self.parts.append(self._reshaped(t, t.size))

    def _probe(self, t: Tensor, what: Seen, size: int) -> None:
        self.probes.append(Probe(t, what, self.size, size))
        self.size += size

    def join(self, vector: Tensor, probes: Sequence[Probe]) -> None:
        """A vector that control flow hands out."""
        self.probes += [replace(p, start=p.start + self.size) for p in probes]
        self.size += vector.shape[0]
        self.parts.append(vector)

    def largest(self, vectors: Sequence[Tensor]) -> Tensor:
        """The largest values of vectors, place by place."""
        last = vectors[0]
        for other in vectors[1:]:
            joined = Tensor("", last.shape, "float32")
            self.ops.append(make_op("MAXIMUM", [last, other], [joined]))
            last = joined
        return last

    def _reshaped(self, t: Tensor, size: int) -> Tensor:
        out = Tensor("", (size,), "float32")
        shape = self.axes.setdefault(-size, constant(f"shape{size}", np.array([size], np.int32)))
        self.ops.append(make_op("RESHAPE", [t, shape], [out], new_shape=[size]))
        return out

    def finish(self) -> Tensor:
        """The output: a float32 vector of all probes, in their order, joined in groups: LiteRT plans few tensors faster."""
        parts = self.vectors()
        if not parts:  # what is to be seen is in other graphs
            return Tensor("ranges", (0,), "float32")
        while len(parts) > JOINED:
            parts = [self._joined(parts[i : i + JOINED], "") for i in range(0, len(parts), JOINED)]
        return self._joined(parts, "ranges")

    def vectors(self) -> list[Tensor]:
        """All parts in their order, as vectors; neighbours of one rank are in one."""
        found: list[Tensor] = []
        for rank, group in groupby(self.parts, lambda t: len(t.shape)):
            parts = list(group)
            for i in range(0, len(parts), JOINED):
                some = parts[i : i + JOINED]
                one = some[0] if len(some) == 1 else self._joined(some, "")
                found.append(one if rank == 1 else self._reshaped(one, one.size))
        return found

    def _joined(self, parts: Sequence[Tensor], name: str) -> Tensor:
        """Side by side along the last axis, the others being 1."""
        *ones, _ = parts[0].shape
        joined = Tensor(name, (*ones, sum(t.size for t in parts)), "float32")
        self.ops.append(make_op("CONCATENATION", list(parts), [joined], axis=len(ones)))
        return joined


def _starts_at_zero(op: Op | None) -> bool:
    """Whether a fused activation lets nothing below zero through (its minimum need not be measured)."""
    return op is not None and op.options.get("fused_activation_function") in _NOT_NEGATIVE
