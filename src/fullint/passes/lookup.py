"""Collapse chains of element-wise operators that depend on one tensor into one LOOKUP.

    x -> EXP -> ADD(1) -> LOG -> TANH -> y          =>    y = LOOKUP(x)     (mish, with its MUL by x)
    x -> FLOOR -> y                                 =>    y = LOOKUP(x)
    x -> ADD(3) -> RELU6 -> MUL(1/6) -> MUL(x)      =>    y = HARD_SWISH(x)
    b -> CAST(float) -> SUB(1) -> CAST(int32) -> y  =>    y = SELECT_V2(b, 0, -1)

An int8 tensor has 256 values, so any function of it is a table, exact up to the rounding of its output: no operator of the
chain needs an int8 kernel, and nothing is rounded in between. A table that equals a LiteRT operator is recognised by its
values and becomes that operator; a function of a boolean has two values, and chooses one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from fullint.model.ir import Array, Graph, Model, Op, Tensor, Uses, constant
from fullint.model.subgraphs import FUNCTION, LOOKUP, call, copy_ops, lookup
from fullint.ops import KERNEL_SETS, ROWS, traits_of
from fullint.ops.make import make_op
from fullint.passes.engine import Evaluate, Rewrite, private
from fullint.reporting import Change

_AFFINE = frozenset("ADD SUB MUL MAXIMUM MINIMUM RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 NEG".split())
_ENDS = ("float32", "int32", "int64", "bool", "int8", "uint8", "int16")
WORTH = 3
"""A look-up costs as much as this many operators: for longer chains it is no slower, and more accurate."""
_POINTS = np.linspace(-12, 12, 2049).astype(np.float32)
_TOLERANCE = 1e-4


def collapse(op: Op, uses: Uses) -> Rewrite | None:
    """Collapse the chain that ends at this operator, if it ends one."""
    return _collapsed(op, uses, _wanted)


def collapse_lacking(op: Op, uses: Uses) -> Rewrite | None:
    """The same, but only for chains with an operator that has no kernel: for targets without look-ups."""
    return _collapsed(op, uses, _lacking)


def _collapsed(op: Op, uses: Uses, wanted: Callable[[list[Op]], bool]) -> Rewrite | None:
    end = op.outputs[0] if op.outputs else None
    if end is None or not traits_of(op.kind).element_wise or op.keep_float or end.dtype not in _ENDS:
        return None
    source = _source(end, uses)
    if source is end or source.dtype not in ("float32", "bool") or not _ends(end, source, uses):
        return None
    chain = _chain(end, source, uses)
    if not any(c.outputs[0].is_float for c in chain) and not source.is_float:
        return None
    gone = [*private(op, reversed(chain[:-1]), uses)[::-1], op]
    if not (wanted(chain) or (len(gone) == len(chain) > 1 and end.dtype == "float32")):
        return None
    kinds = ", ".join(c.kind for c in chain)
    return Rewrite(
        tuple(gone),
        (lookup(source, end, _function(chain, source, end)),),
        f"{kinds}: a function of one tensor, written as one look-up",
    )


def _source(t: Tensor, uses: Uses) -> Tensor:
    """The single tensor that `t` is an element-wise function of; `t` itself if there is none."""
    if uses.sources is None:
        uses.sources = {}
        for made, op in uses.producer.items():  # in execution order
            uses.sources[made] = _one_source(made, op, uses.sources)
    return uses.sources.get(t, t)


def _one_source(t: Tensor, op: Op, known: Mapping[Tensor, Tensor]) -> Tensor:
    if not traits_of(op.kind).element_wise or op.keep_float or len(op.outputs) != 1:
        return t
    if t.quant is not None and t.dtype == "float32":  # rounded and clamped there: `qat_params`
        return t
    data = [x for x in op.inputs if x is not None and x.buffer is None]
    if not data or (op.kind == "CAST" and not data[0].is_float):
        return t
    if any(not _uniform(x, t) for x in op.inputs if x is not None and x.buffer is not None):
        return t
    sources = {known.get(x, x) for x in data}
    return sources.pop() if len(sources) == 1 and all(s.shape == t.shape for s in sources) else t


def _uniform(c: Tensor, out: Tensor) -> bool:
    """Whether all elements of a constant are equal."""
    if c.dtype not in ("float32", "int32", "int64", "bool") or not c.size or len(c.shape) > len(out.shape):
        return False
    flat = c.array.reshape(-1)
    return bool((flat == flat[0]).all())


def _ends(end: Tensor, source: Tensor, uses: Uses) -> bool:
    """Whether the value is an output, or has a reader outside any longer chain from the same source."""
    if end in uses.outputs:
        return True
    return any(not reader.outputs or _source(reader.outputs[0], uses) is not source for reader, _ in uses.of(end))


def _chain(end: Tensor, source: Tensor, uses: Uses) -> list[Op]:
    """The operators from `source` to `end`, in execution order."""
    found: set[Op] = set()
    waiting = [end]
    while waiting:
        t = waiting.pop()
        op = uses.producer.get(t)
        if t is not source and op is not None and op not in found:
            found.add(op)
            waiting += [x for x in op.inputs if x is not None and x.buffer is None]
    return sorted(found, key=uses.place.__getitem__)


def lacks_kernel(op: Op) -> bool:
    """Whether no kernel set computes the operator correctly in int8."""
    row = ROWS.get(op.kind)
    if op.kind == "CAST":
        return (x := op.input(0)) is not None and x.is_float
    return not op.kind.startswith("LOGICAL_") and (row is None or all(row.fault(op, k) is not None for k in KERNEL_SETS))


def _lacking(chain: list[Op]) -> bool:
    return any(lacks_kernel(op) for op in chain)


def _wanted(chain: list[Op]) -> bool:
    curved = sum(op.kind not in _AFFINE or len({*op.inputs}) < len(op.inputs) for op in chain)
    return _lacking(chain) or (len(chain) >= WORTH and curved > 0 and chain[-1].outputs[0].is_float)


def _function(chain: list[Op], source: Tensor, end: Tensor) -> Graph:
    """The chain as a graph whose constants are scalars, so that it applies to tensors of any shape."""
    x, y = Tensor("x", source.shape, source.dtype), Tensor("y", end.shape, end.dtype)
    scalars: dict[Tensor, Tensor] = {source: x, end: y}
    for op in chain:
        for c in op.inputs:
            if c is not None and c.buffer is not None:
                scalars[c] = constant(c.name, c.array.reshape(-1)[0])
    ops = copy_ops(Graph(ops=chain), scalars)
    for op in ops:
        if op.kind == "SELECT":  # the older kind does not broadcast
            options = make_op("SELECT_V2", op.inputs, op.outputs)
            op.kind, op.options, op.options_type, op.version = "SELECT_V2", options.options, options.options_type, 1
    graph = Graph("function", [], [x], [y], ops)
    graph.sync_tensors()
    return graph


def as_lookup(chain: list[Op]) -> Op:
    """A chain of operators in execution order as one LOOKUP, from the first one's input to the last one's output."""
    x, y = chain[0].inputs[0], chain[-1].outputs[0]
    assert x is not None
    return lookup(x, y, _function(chain, x, y))


def recognise(model: Model, evaluate: Evaluate, lookups: bool = True) -> list[Change]:
    """Replace look-ups whose values equal a LiteRT operator, and restore chains not worth a table, in place."""
    wanted = _wanted if lookups else _lacking
    found = [(g, op) for g in model.graphs for op in g.ops if op.kind == LOOKUP]
    if not found:
        return []
    names = {**_names([op for _, op in found], evaluate), **_choices([op for _, op in found], evaluate)}
    changes = []
    for graph, op in found:
        known = names.get(op)
        if known is not None:
            kind, constants, options = known
            new = [make_op(kind, [*op.inputs, *constants], op.outputs, **options)]
            changes.append(
                Change("recognise", op.origin, kind, op.outputs[0].name, "the chain computes the same values as this operator")
            )
        elif not wanted(op.options[FUNCTION].ops):
            x = op.inputs[0]
            assert x is not None
            new = call(op, x, op.outputs[0], op.outputs[0].shape)
        else:
            continue
        new = [replace(n, origin=op.origin) for n in new]
        at = graph.ops.index(op)
        graph.ops[at : at + 1] = new
    for graph in {g for g, _ in found}:
        graph.sync_tensors()
    return changes


Known = tuple[str, tuple[Tensor, ...], dict[str, object]]
"""Type, further operands and options of a LiteRT operator."""


def _choices(lookups: list[Op], evaluate: Evaluate) -> dict[Op, Known]:
    """Look-up of a boolean -> the choice between its two values."""
    booleans = [op for op in lookups if op.inputs[0] is not None and op.inputs[0].dtype == "bool"]
    if not booleans:
        return {}
    both = constant("both", np.array([True, False]))
    outputs = [Tensor("y", both.shape, op.outputs[0].dtype) for op in booleans]
    ops = [new for op, y in zip(booleans, outputs, strict=True) for new in call(op, both, y, both.shape)]
    graph = Graph("booleans", [], [], outputs, ops)
    graph.sync_tensors()
    values = evaluate(Model([graph]))
    return {
        op: ("SELECT_V2", tuple(constant(f"{op.output_name}/{n}", v) for n, v in zip(("yes", "no"), value, strict=True)), {})
        for op, value in zip(booleans, values, strict=True)
    }


def _names(lookups: list[Op], evaluate: Evaluate) -> dict[Op, Known]:
    """Look-up -> the LiteRT operator with the same values; others are left out."""
    candidates: list[tuple[str, dict[str, object]]] = [
        ("HARD_SWISH", {}),
        ("GELU", {"approximate": False}),
        ("GELU", {"approximate": True}),
        *((k, {}) for k in ("LOGISTIC", "TANH", "ELU", "ABS", "RELU", "RELU6", "RELU_N1_TO_1")),
    ]
    floats = [op for op in lookups if op.outputs[0].is_float and op.inputs[0] is not None and op.inputs[0].is_float]
    if not floats:
        return {}
    x = constant("points", _POINTS)
    ops: list[Op] = []
    outputs: list[Tensor] = []
    for kind, options in candidates:
        outputs.append(Tensor(kind, _POINTS.shape, "float32"))
        ops.append(make_op(kind, [x], [outputs[-1]], **options))
    for op in floats:
        outputs.append(Tensor("y", _POINTS.shape, "float32"))
        ops += call(op, x, outputs[-1], _POINTS.shape)
    graph = Graph("points", [], [], outputs, ops)
    graph.sync_tensors()
    values = evaluate(Model([graph]))
    found: dict[Op, Known] = {}
    for op, value in zip(floats, values[len(candidates) :], strict=True):
        alpha = float(value[0] / _POINTS[0])
        leaky = np.where(_POINTS < 0, np.float32(alpha) * _POINTS, _POINTS)
        named: list[tuple[str, dict[str, object]]] = [*candidates, ("LEAKY_RELU", {"alpha": alpha})]
        match = next((c for c, v in zip(named, [*values[: len(candidates)], leaky], strict=True) if _equal(value, v)), None)
        if match is not None:
            found[op] = (match[0], (), match[1])
    return found


def _equal(a: Array, b: Array) -> bool:
    return bool(np.isfinite(a).all() and (np.abs(a - b) <= _TOLERANCE * np.maximum(1, np.abs(b))).all())
