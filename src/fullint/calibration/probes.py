"""The measuring model: the float model with a vector of what calibration is to see as its output, one probe after another.

    x --CONV_2D--> y         =>      x --CONV_2D--> y --REDUCE_MIN--> .
                                                      --REDUCE_MAX--> .   CONCATENATION --> [min, max, …]

Inside control flow only maxima are kept (of -y for a minimum), and handed out:

    WHILE(s)                 =>      WHILE(s, m) -> s, m        m' = MAXIMUM(m, what this turn saw), at first -3.4e38
    IF(c, x)                 =>      IF(c, x) -> y, m           -3.4e38 where the branch was not taken

Range methods that see all values of a tensor have them behind the smallest and largest ones: [ends of all tensors, values].
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from fullint.calibration.masks import MASK
from fullint.model.ir import Graph, Model, Op, Tensor, constant
from fullint.model.subgraphs import below
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
    ops = []
    for op in old.ops:
        op, vector, probes = _looked_into(op, wanted)
        ops.append(op)
        if vector is not None:
            writer.join(vector, probes)
    for t in mine:
        if t in values:
            writer.add_values(t)
    vector = writer.finish()
    graph = Graph(old.name, [], list(old.inputs), [vector], [*ops, *writer.ops])
    graph.sync_tensors()
    return Model(below(graph), version=model.version), writer.probes


def _looked_into(op: Op, wanted: AbstractSet[Tensor]) -> tuple[Op, Tensor | None, list[Probe]]:
    """A control-flow operator that also hands out what its graphs saw: (operator, vector, probes)."""
    keys = {"WHILE": (BODY,), "IF": (THEN, ELSE)}.get(op.kind, ())
    seen = [_seen(op.options[k], wanted) for k in keys]
    if not any(probes for _, _, probes in seen):
        return op, None, []
    vector = Tensor("", (sum(p.size for _, _, probes in seen for p in probes),), "float32")
    new = replace(op, inputs=list(op.inputs), outputs=[*op.outputs, vector], options={**op.options})
    if op.kind == "WHILE":
        _carry(new, *seen[0][:2])
    else:
        _either(new, seen)
    probes: list[Probe] = []
    for _, _, found in seen:
        start = sum(p.size for p in probes)
        probes += [replace(p, start=p.start + start) for p in found]
    return new, vector, probes


def _seen(graph: Graph, wanted: AbstractSet[Tensor]) -> tuple[Graph, Tensor | None, list[Probe]]:
    """A graph of its own with the vector of what it saw, not among its outputs yet."""
    writer = _ProbeWriter(frozenset())
    lows: list[Tensor] = []
    ops: list[Op] = []
    for op in graph.ops:
        op, vector, probes = _looked_into(op, wanted)
        ops.append(op)
        if vector is not None:
            writer.join(vector, probes)
        lows += [t for t in op.outputs if t in wanted]
    for t in lows:
        writer.add(t, Seen.HIGH)
        writer.add(_negated(t, writer), Seen.HIGH)
        writer.probes[-1] = replace(writer.probes[-1], tensor=t, what=Seen.NEGATED)
    new = Graph(graph.name, [], list(graph.inputs), list(graph.outputs), ops)
    vector = writer.finish() if writer.probes else None
    new.ops += writer.ops
    new.sync_tensors()
    return new, vector, writer.probes


def _negated(t: Tensor, writer: _ProbeWriter) -> Tensor:
    out = Tensor("", t.shape, "float32", has_rank=True)
    writer.ops.append(make_op("NEG", [t], [out]))
    return out


def _carry(loop: Op, body: Graph, vector: Tensor | None) -> None:
    assert vector is not None
    before, after = (Tensor("", vector.shape, "float32") for _ in range(2))
    body.ops.append(make_op("MAXIMUM", [before, vector], [after]))
    body.inputs.append(before)
    body.outputs.append(after)
    body.sync_tensors()
    old: Graph = loop.options[COND]
    cond = Graph(old.name, list(old.tensors), [*old.inputs, Tensor("", vector.shape, "float32")], old.outputs, old.ops)
    cond.sync_tensors()
    loop.options |= {BODY: body, COND: cond}
    loop.inputs.append(constant("", np.full(vector.shape, LOWEST, np.float32)))


def _either(branch: Op, seen: Sequence[tuple[Graph, Tensor | None, list[Probe]]]) -> None:
    sizes = [sum(p.size for p in probes) for _, _, probes in seen]
    for i, (key, (graph, vector, _)) in enumerate(zip((THEN, ELSE), seen, strict=True)):
        parts = [constant("", np.full(n, LOWEST, np.float32)) for n in sizes]
        joined = Tensor("", (sum(sizes),), "float32")
        if vector is not None:
            parts[i] = vector
            given = [p for p, n in zip(parts, sizes, strict=True) if n]
            graph.ops.append(make_op("CONCATENATION", given, [joined], axis=0))
        else:  # not a CONCATENATION: of constants alone it is computed early, and LiteRT frees it twice at the end
            nothing = constant("", np.full(sum(sizes), LOWEST, np.float32))
            graph.ops.append(make_op("MAXIMUM", [nothing, nothing], [joined]))
        graph.outputs.append(joined)
        graph.sync_tensors()
        branch.options[key] = graph


class _ProbeWriter:
    """Appends reductions and joins their results to one vector."""

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
            self.parts.append(t if channels else self._reshaped(t, 1))
            return
        if reduced not in self.axes:
            self.axes[reduced] = constant(f"axes{reduced}", np.arange(reduced, dtype=np.int32))
        out = Tensor("", (size,) if channels else (), "float32", has_rank=True)
        kind = "REDUCE_MAX" if end is Seen.HIGH else "REDUCE_MIN"
        self.ops.append(make_op(kind, [t, self.axes[reduced]], [out], keep_dims=False))
        self.parts.append(out if channels else self._reshaped(out, 1))

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

    def _reshaped(self, t: Tensor, size: int) -> Tensor:
        out = Tensor("", (size,), "float32")
        shape = self.axes.setdefault(-size, constant(f"shape{size}", np.array([size], np.int32)))
        self.ops.append(make_op("RESHAPE", [t, shape], [out], new_shape=[size]))
        return out

    def finish(self) -> Tensor:
        """The output: a float32 vector of all probes, in their order."""
        vector = Tensor("ranges", (self.size,), "float32")
        self.ops.append(make_op("CONCATENATION", self.parts, [vector], axis=0))
        return vector


def _starts_at_zero(op: Op | None) -> bool:
    """Whether a fused activation lets nothing below zero through (its minimum need not be measured)."""
    return op is not None and op.options.get("fused_activation_function") in _NOT_NEGATIVE
