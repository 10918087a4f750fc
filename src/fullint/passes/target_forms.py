"""Operators that a target has no integer kernel for, written with those that it has.

EXP(x), GELU(x), RELU_N1_TO_1(x)   =>   LOOKUP(x)
SELECT(c, a, b)                    =>   SELECT_V2(c, a, b)
RELU6(x)                           =>   MINIMUM(RELU(x), 6)
GREATER_EQUAL(a, b)                =>   LOGICAL_NOT(GREATER(b, a))
TILE([a, b], (2, 3))               =>   RESHAPE [1, a, 1, b] -> BROADCAST_TO [2, a, 3, b] -> RESHAPE [2 a, 3 b]

What a target lacks is a fact of the target (`delegates`): operator -> the types of activations that its kernel does not take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant, twin
from fullint.model.subgraphs import LOOKUP
from fullint.ops import traits_of
from fullint.ops.make import make_op, make_reshape
from fullint.passes.engine import Rewrite, RewriteRule
from fullint.passes.lookup import as_lookup

Lacks = Mapping[str, frozenset[str]]
"""Operator -> the types of activations that a target's kernel does not take."""
MOST_AXES = 5
"""Of BROADCAST_TO, where a target has it (TensorFlow Lite Micro, kernels/broadcast_to.cc)."""


def forms_without(lacks: Lacks, dtype: str) -> tuple[RewriteRule, ...]:
    """Rules for a target without some kernels.

    Args:
        lacks: what it has none for.
        dtype: the type of activations.
    """

    def only(kind: str, write: Callable[[Op], Rewrite | None]) -> RewriteRule:
        def rule(op: Op, uses: Uses) -> Rewrite | None:
            reals = any(t is not None and t.is_float for t in op.inputs)
            return write(op) if op.kind == kind and (reals or kind == "SELECT") and not op.keep_float else None

        return rule

    def table(op: Op, uses: Uses) -> Rewrite | None:
        missing = dtype in lacks.get(op.kind, ()) and op.kind not in _WITH_FORMS
        if not missing or not traits_of(op.kind).unary or op.kind == LOOKUP or op.keep_float or not op.outputs[0].is_float:
            return None
        return Rewrite((op,), (as_lookup([op]),), f"the target has no {dtype} kernel for {op.kind}: written as a look-up table")

    rules = tuple(only(kind, write) for kind, write in _WITH_FORMS.items() if dtype in lacks.get(kind, ()))
    return (*rules, table)


def _select_v2(op: Op) -> Rewrite | None:
    condition, a = op.input(0), op.input(1)
    if condition is None or a is None or condition.shape not in ((), a.shape):
        return None  # SELECT spreads a vector over rows
    new = make_op("SELECT_V2", op.inputs, op.outputs)
    return Rewrite((op,), (new,), "the target has no SELECT: written as SELECT_V2")


def _relu6_apart(op: Op) -> Rewrite | None:
    x, out = op.input(0), op.outputs[0]
    if x is None or not out.is_float:
        return None
    above = twin(out, f"{out.name}/above")
    six = constant(f"{out.name}/six", np.float32(6))
    new = (make_op("RELU", [x], [above]), make_op("MINIMUM", [above, six], [out]))
    return Rewrite((op,), new, "the target's RELU6 changes no scale: written as RELU, MINIMUM")


def _tile_as_broadcast(op: Op) -> Rewrite | None:
    x, times, out = op.input(0), op.input(1), op.outputs[0]
    if x is None or times is None or times.buffer is None or not all(x.shape):
        return None
    counts = [int(n) for n in times.array.reshape(-1)]
    blocks: list[tuple[int, int]] = []  # (count, size): what follows an axis and is not repeated is part of its block
    for size, count in zip(x.shape, counts, strict=True):
        if count == 1 and blocks:
            blocks[-1] = (blocks[-1][0], blocks[-1][1] * size)
        else:
            blocks.append((count, size))
    before = [n for count, size in blocks for n in ((1, size) if count > 1 else (size,))]
    after = [n for count, size in blocks for n in ((count, size) if count > 1 else (size,))]
    if len(after) > MOST_AXES or 0 in counts:
        return None
    apart = Tensor(f"{out.name}/apart", tuple(before), x.dtype)
    spread = Tensor(f"{out.name}/spread", tuple(after), x.dtype)
    sizes = constant(f"{out.name}/sizes", np.array(after, np.int32))
    new = (make_reshape(x, apart), make_op("BROADCAST_TO", [apart, sizes], [spread]), make_reshape(spread, out))
    return Rewrite((op,), new, "the target has no TILE: written as RESHAPE, BROADCAST_TO, RESHAPE")


def _less(op: Op) -> Rewrite:
    return _compared(op, (make_op("GREATER", [op.inputs[1], op.inputs[0]], op.outputs),))


def _less_equal(op: Op) -> Rewrite:
    above = twin(op.outputs[0], f"{op.outputs[0].name}/greater")
    return _compared(op, (make_op("GREATER", op.inputs, [above]), make_op("LOGICAL_NOT", [above], op.outputs)))


def _greater_equal(op: Op) -> Rewrite:
    below = twin(op.outputs[0], f"{op.outputs[0].name}/less")
    return _compared(op, (make_op("GREATER", [op.inputs[1], op.inputs[0]], [below]), make_op("LOGICAL_NOT", [below], op.outputs)))


def _not_equal(op: Op) -> Rewrite:
    return _compared(op, _apart(op, op.outputs[0]))


def _equal(op: Op) -> Rewrite:
    other = twin(op.outputs[0], f"{op.outputs[0].name}/apart")
    return _compared(op, (*_apart(op, other), make_op("LOGICAL_NOT", [other], op.outputs)))


def _apart(op: Op, out: Tensor) -> tuple[Op, ...]:
    """Whether one is greater than the other, either way."""
    a, b = op.inputs[:2]
    above, below = twin(out, f"{out.name}/greater"), twin(out, f"{out.name}/less")
    both = make_op("LOGICAL_OR", [above, below], [out])
    return make_op("GREATER", [a, b], [above]), make_op("GREATER", [b, a], [below]), both


def _compared(op: Op, new: tuple[Op, ...]) -> Rewrite:
    return Rewrite((op,), new, f"the target has no kernel for {op.kind} of this type: written with GREATER")


_WITH_FORMS: Mapping[str, Callable[[Op], Rewrite | None]] = {
    "SELECT": _select_v2,
    "RELU6": _relu6_apart,
    "TILE": _tile_as_broadcast,
    "LESS": _less,
    "LESS_EQUAL": _less_equal,
    "GREATER_EQUAL": _greater_equal,
    "EQUAL": _equal,
    "NOT_EQUAL": _not_equal,
}
"""Operators that are written with others."""
