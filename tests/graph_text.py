"""A graph as text, one line an operator, to be compared with a golden file.

    x int8[1,8,8,3] s=0.00784 z=-1 -> y int8[1,4]                       inputs and outputs
    y int8[1,4] s=0.0201 z=4 = FULLY_CONNECTED.4(x, w int8[4,192] s=0.0023.. , b int32[4] s=1.8e-05..)  RELU

Scales have three digits, so that another processor's last bits make no other text; constants say their smallest and largest
value where they are float, their element type and shape where they are codes. Options at their defaults are left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from fullint.model.ir import Graph, Model, Op, Quant, Tensor
from fullint.model.subgraphs import expand_lookups
from fullint.ops.make import ACTIVATIONS

NO_ACTIVATION = 0
FUSED = {number: name for name, number in ACTIVATIONS.items()}
ONE_BY_DEFAULT = ("stride_w", "stride_h", "dilation_w_factor", "dilation_h_factor", "depth_multiplier", "beta")


def text(model: Model) -> str:
    """All graphs; tensors that have no name of their own are numbered."""
    model = expand_lookups(model)
    return "\n".join(line for number, graph in enumerate(model.graphs) for line in _lines(number, graph, model))


def _lines(number: int, graph: Graph, model: Model) -> Iterable[str]:
    names: dict[Tensor, str] = {}
    for i, t in enumerate((*graph.inputs, *(t for op in graph.ops for t in op.outputs))):
        taken = set(names.values())
        names[t] = t.name if t.name and t.name not in taken else f"{t.name}#{i}"
    if number:
        yield f"subgraph {number}:"
    ends = (", ".join(_named(t, names) for t in side) for side in (graph.inputs, graph.outputs))
    yield " -> ".join(ends)
    for op in graph.ops:
        yield f"{', '.join(_named(t, names) for t in op.outputs)} = {_call(op, names, model)}"


def _call(op: Op, names: dict[Tensor, str], model: Model) -> str:
    operands = ", ".join("-" if t is None else names.get(t) or _constant(t) for t in op.inputs)
    options = []
    for key, value in sorted(op.options.items()):
        if isinstance(value, Graph):
            options.append(f"{key.removesuffix('_index')}={model.graphs.index(value)}")
        elif key == "fused_activation_function":
            options += [FUSED[value]] if value != NO_ACTIVATION else []
        elif key == "axis" or (value not in (0, None, []) and not (value == 1 and key in ONE_BY_DEFAULT)):
            options.append(f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}")
    kept = " (float)" if op.keep_float else ""
    return " ".join([f"{op.custom_code or op.kind}.{op.version}({operands}){kept}", *options])


def _named(t: Tensor, names: dict[Tensor, str]) -> str:
    return f"{names.get(t, t.name)} {_type(t)}"


def _constant(t: Tensor) -> str:
    if t.is_variable:
        return f"state {_type(t)}"
    if t.dtype == "float32" and t.size:
        return f"{_type(t)}{{{float(t.array.min()):.3g}..{float(t.array.max()):.3g}}}"
    if t.quant is None and t.dtype in ("int32", "int64", "bool") and 0 < t.size <= 8:
        return str(t.array.tolist()).replace(" ", "")
    return _type(t)


def _type(t: Tensor) -> str:
    shape = ",".join(map(str, t.shape))
    return f"{t.dtype}[{shape}]{_quant(t.quant)}"


def _quant(q: Quant | None) -> str:
    if q is None or not q.scale.size:
        return ""
    ends = {f"{float(q.scale.min()):.3g}", f"{float(q.scale.max()):.3g}"}
    scale = "..".join(sorted(ends, key=float))
    zero = sorted({int(z) for z in q.zero_point.reshape(-1)})
    return f" s={scale}{f'@{q.axis}' if q.per_channel else ''}{f' z={zero[0]}' if zero != [0] else ''}"
