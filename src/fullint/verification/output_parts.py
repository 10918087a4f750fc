"""The parts of a model's outputs that are judged by themselves, since one large part hides the loss of a small one.

    boxes 0..320 --------------.
    scores 0..1  --QUANTIZE--> CONCATENATION --RESHAPE--> output        parts: boxes, scores; output[..., 0], output[..., 1], ...

Operands are found by walking from an output back through operators that leave every value where it is or only move it. Where
their values end up is what the runtime makes of numbers put in their place. The walk ends where values depend on others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from fullint.model.ir import Array, Graph, Model, Op, Quant, Tensor, Uses, constant, twin
from fullint.ops import ROWS, Fixed, Role, Same, traits_of
from fullint.ops.base import CONVERSIONS, codes
from fullint.ops.operands import plain
from fullint.ops.releases import first_version
from fullint.passes.engine import Evaluate

MOST_SLICES = 2048
"""More slices than this are no columns of a table, but a picture that was flattened."""


@dataclass(frozen=True, eq=False)
class OperandPart:
    """An operand of a CONCATENATION or PACK, as part of an output.

    Attributes:
        name: of the tensor that was joined.
        join: the operator that joins it.
        where: positions of its values in the flattened output.
        dictated: the scale that the kernel of its producer fixes, else 0.
    """

    name: str
    join: Op
    where: Array
    dictated: float


@dataclass(frozen=True, eq=False)
class OutputParts:
    """How an output is divided.

    Attributes:
        name: of the output.
        operands: in the order in which they are met; those of nested joins behind the one that contains them.
        shape: of the output.
        axes: axes along which slices are judged: the last, and that of channels where they come first.
        scale: the coarsest scale that its values are put on behind its maker, 0 if it is float.
        maker: the operator that puts its values on that scale, None if that is an input or constant.
        dictated: the scale that the maker's kernel fixes, else 0.
        ranked: the axis along which the model orders values by size (TOPK_V2), None if it does not.
        grid: the parameters that a kernel fixes for an int8 output: no int8 output can be closer than rounding to them.
    """

    name: str
    operands: tuple[OperandPart, ...]
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    scale: float
    maker: Op | None
    dictated: float
    ranked: int | None
    grid: Quant | None


def output_parts(model: Model, evaluate: Evaluate) -> list[OutputParts]:
    """The parts of each output of the main graph.

    Args:
        model: an integer model.
        evaluate: runs a model of constants.
    """
    walk = _Walk(model)
    ranked = _ranked(model.main)
    return [walk.parts(t, evaluate, ranked.get(t)) for t in model.main.outputs]


class _Walk:
    """Walks back from the outputs of one model's main graph."""

    def __init__(self, model: Model) -> None:
        self.uses = Uses(model.main)

    def parts(self, out: Tensor, evaluate: Evaluate, ranked: int | None) -> OutputParts:
        """How one output is divided."""
        inner = self.unconverted(out)
        return OutputParts(
            out.name,
            tuple(self.operands(inner, out, evaluate)),
            out.shape,
            _axes(out.shape),
            self.coarsest(out),
            self.source(inner),
            self.dictated(inner),
            _axis(out.shape, ranked),
            inner.quant if inner.dtype == "int8" and self.dictated(inner) else None,
        )

    def unconverted(self, t: Tensor) -> Tensor:
        """The tensor that a value had before the last conversions."""
        op = self.uses.producer.get(t)
        while op is not None and op.kind in CONVERSIONS and op.inputs[0] is not None and codes(op.inputs[0]):
            t = op.inputs[0]
            op = self.uses.producer.get(t)
        return t

    def kept(self, t: Tensor) -> Op | None:
        """The operator that made a tensor, where it leaves or moves the values of one operand, or joins some."""
        op = self.uses.producer.get(t)
        if op is None:
            return None
        return op if op.kind in CONVERSIONS or traits_of(op.kind).joins or _data(op) is not None else None

    def source(self, t: Tensor) -> Op | None:
        """The operator whose result a tensor's values are, moved or not."""
        op = self.uses.producer.get(t)
        while op is not None and (op.kind in CONVERSIONS or _moves(op)) and (x := _data(op) or op.inputs[0]) is not None:
            op = self.uses.producer.get(x)
        return op

    def coarsest(self, t: Tensor) -> float:
        """The largest scale that a tensor's values had on their way from the operator that computed them, 0 if they are float."""
        largest = 0.0
        while True:
            quant = plain(t)
            largest = max(largest, float(quant.scale[0]) if quant is not None else 0.0)
            op = self.uses.producer.get(t)
            if op is None or not (op.kind in CONVERSIONS or _moves(op)) or (x := _data(op) or op.inputs[0]) is None:
                return largest
            t = x

    def dictated(self, t: Tensor) -> float:
        """The scale that the kernel behind a tensor's values fixes, 0 if it fixes none."""
        op = self.uses.producer.get(t)
        while op is not None and (row := ROWS.get(op.kind)) is not None:
            rule, x = row.output(op.outputs.index(t)), op.input(row.data)
            if isinstance(rule, Fixed):
                return float(rule.of_type("int16" if t.dtype == "int16" else "int8").scale[0])
            if not isinstance(rule, Same) or x is None or traits_of(op.kind).joins:
                break
            t, op = x, self.uses.producer.get(x)
        return 0.0

    def operands(self, inner: Tensor, out: Tensor, evaluate: Evaluate) -> Iterator[OperandPart]:
        """All operands of joins whose values reach an output."""
        found: list[tuple[Op, Tensor, set[int]]] = []
        leaves: list[Tensor] = []
        numbered = _Numbered(self, found, leaves)
        end = numbered.copy(inner)
        if not found:
            return
        graph = Graph("numbers", [], [], [end], numbered.ops)
        graph.sync_tensors()
        numbers = np.rint(evaluate(Model([graph]))[0]).astype(np.int64).reshape(-1)
        for join, t, leaves_of in found:
            where = np.flatnonzero(np.isin(numbers, [*leaves_of]))
            if where.size and where.size == numbers.size == out.size and len(join.inputs) == 1:
                continue
            if where.size and numbers.size == out.size:
                own = self.unconverted(t)
                dictated = 0.0 if numbered.changed else self.dictated(own)
                yield OperandPart(own.name, join, where, max(dictated, self.dictated(inner)))


class _Numbered:
    """A float copy of what lies between joins and an output, with a number in the place of each leaf's values."""

    def __init__(self, walk: _Walk, found: list[tuple[Op, Tensor, set[int]]], leaves: list[Tensor]) -> None:
        self.walk, self.found, self.leaves = walk, found, leaves
        self.ops: list[Op] = []
        self.changed = False
        """Whether values are computed anew, place by place, on the way."""
        self.known: dict[Tensor, Tensor] = {}

    def copy(self, t: Tensor) -> Tensor:
        """The float form of a tensor; all leaves have numbers from 1 on."""
        if t in self.known:
            return self.known[t]
        op = self.walk.kept(t)
        if op is None:
            made = self._leaf(t)
        elif traits_of(op.kind).joins:
            made = self._join(op, t)
        else:
            x = _data(op) or op.inputs[0]
            assert x is not None
            made = self.copy(x)
            self.changed |= not _moves(op) and op.kind not in CONVERSIONS
            if _moves(op):
                moved = _float(t)
                inputs = [made if i is x else i for i in op.inputs]
                self.ops.append(replace(op, inputs=inputs, outputs=[moved], version=first_version(op.kind)))
                made = moved
        self.known[t] = made
        return made

    def _join(self, op: Op, t: Tensor) -> Tensor:
        inputs: list[Tensor | None] = []
        for x in op.inputs:
            assert x is not None
            first, at = len(self.leaves), len(self.found)
            inputs.append(self.copy(x) if self._meets_join(x) else self._leaf(x))
            self.found.insert(at, (op, x, set(range(first + 1, len(self.leaves) + 1))))
        made = _float(t)
        options = {**op.options, **({"fused_activation_function": 0} if "fused_activation_function" in op.options else {})}
        self.ops.append(replace(op, inputs=inputs, outputs=[made], options=options, version=first_version(op.kind)))
        return made

    def _meets_join(self, t: Tensor) -> bool:
        """Whether a tensor's values come from a join, left where they are or moved."""
        op = self.walk.kept(t)
        while op is not None and not traits_of(op.kind).joins:
            x = _data(op) or op.inputs[0]
            op = self.walk.kept(x) if x is not None else None
        return op is not None

    def _leaf(self, t: Tensor) -> Tensor:
        self.leaves.append(t)
        return constant(f"leaf{len(self.leaves)}", np.full(t.shape, len(self.leaves), np.float32))


def _float(t: Tensor) -> Tensor:
    made = twin(t)
    made.dtype, made.quant = "float32", None
    return made


def _moves(op: Op) -> bool:
    """Whether an operator moves values whatever they are (a maximum does not)."""
    traits = traits_of(op.kind)
    return traits.moves and not traits.monotone and _data(op) is not None


def _data(op: Op) -> Tensor | None:
    """The only operand that is no constant, where the result has its values at the same places or moved; else None."""
    data = [(i, t) for i, t in enumerate(op.inputs) if t is not None and not t.is_constant]
    if len(data) != 1 or len(op.outputs) != 1 or traits_of(op.kind).joins:
        return None
    (at, x), row, traits = data[0], ROWS.get(op.kind), traits_of(op.kind)
    placed = traits.element_wise and x.shape == op.outputs[0].shape
    moved = traits.moves and not traits.monotone and row is not None and row.role(at) is Role.SAME
    return x if placed or moved else None


def _ranked(graph: Graph) -> dict[Tensor, int]:
    """Tensors whose order along an axis depends on sizes -> the length of that axis."""
    found: dict[Tensor, int] = {}
    for op in graph.ops:
        lengths = [found[t] for t in op.inputs if t is not None and t in found]
        if traits_of(op.kind).ranks:
            lengths = [op.outputs[0].shape[-1]]
        for t in op.outputs if lengths else ():
            if lengths[0] in t.shape:
                found[t] = lengths[0]
    return found


def _axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that hold different quantities: the last, and the one behind the batch ([1, 84, 8400])."""
    if len(shape) < 2:
        return (0,) if not shape or 0 < shape[0] <= MOST_SLICES else ()
    first = (1,) if len(shape) > 2 and shape[1] < shape[-1] else ()
    return tuple(axis for axis in (len(shape) - 1, *first) if 0 < shape[axis] <= MOST_SLICES)


def _axis(shape: tuple[int, ...], length: int | None) -> int | None:
    """The first axis of that length behind the batch."""
    if length is None or length not in shape:
        return None
    return shape.index(length, 1) if length in shape[1:] else shape.index(length)
