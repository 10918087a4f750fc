"""Operators that a target has no integer kernel for, written with those that it has.

EXP(x), GELU(x), RELU_N1_TO_1(x)   =>   LOOKUP(x)
SELECT(c, a, b)                    =>   SELECT_V2(c, a, b)
GREATER_EQUAL(a, b)                =>   LOGICAL_NOT(GREATER(b, a))

and those of `moving_forms`, `computing_forms` and `index_forms`. What a target lacks is a fact of the target (`delegates`):
operator -> the types of activations that its kernel does not take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fullint.model.ir import Op, Tensor, Uses, twin
from fullint.model.subgraphs import LOOKUP
from fullint.ops import traits_of
from fullint.ops.make import make_op
from fullint.passes.computing_forms import COMPUTING_FORMS
from fullint.passes.engine import Rewrite, RewriteRule
from fullint.passes.index_forms import index_forms
from fullint.passes.lookup import as_lookup
from fullint.passes.moving_forms import MOVING_FORMS

Lacks = Mapping[str, frozenset[str]]
"""Operator, or a form of one ("MEAN over depth") -> the types of activations that a target's kernel does not take."""
_ANY_TYPE = frozenset(("SELECT", *MOVING_FORMS))
"""Operators whose values need not be real numbers to be written in another form."""


def forms_without(lacks: Lacks, dtype: str) -> tuple[RewriteRule, ...]:
    """Rules for a target without some kernels.

    Args:
        lacks: what it has none for.
        dtype: the type of activations.
    """

    def only(form: str, write: Callable[[Op], Rewrite | None]) -> RewriteRule:
        kind = form.partition(" ")[0]

        def rule(op: Op, uses: Uses) -> Rewrite | None:
            if op.kind != kind or op.keep_float:
                return None
            reals = any(t is not None and t.is_float for t in op.inputs)
            return write(op) if reals or kind in _ANY_TYPE else None

        return rule

    def table(op: Op, uses: Uses) -> Rewrite | None:
        missing = dtype in lacks.get(op.kind, ()) and op.kind not in _WITH_FORMS
        if not missing or not traits_of(op.kind).unary or op.kind == LOOKUP or op.keep_float or not op.outputs[0].is_float:
            return None
        return Rewrite((op,), (as_lookup([op]),), f"the target has no {dtype} kernel for {op.kind}: written as a look-up table")

    rules = tuple(only(kind, write) for kind, write in _WITH_FORMS.items() if dtype in lacks.get(kind, ()))
    return (*rules, *index_forms(lacks), table)


def _select_v2(op: Op) -> Rewrite | None:
    condition, a = op.input(0), op.input(1)
    if condition is None or a is None or condition.shape not in ((), a.shape):
        return None  # SELECT spreads a vector over rows
    new = make_op("SELECT_V2", op.inputs, op.outputs)
    return Rewrite((op,), (new,), "the target has no SELECT: written as SELECT_V2")


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
    **MOVING_FORMS,
    **COMPUTING_FORMS,
    "LESS": _less,
    "LESS_EQUAL": _less_equal,
    "GREATER_EQUAL": _greater_equal,
    "EQUAL": _equal,
    "NOT_EQUAL": _not_equal,
}
"""Operators that are written with others."""
