"""`share_scales` asked of a builder's model: ranges in, encodings and cuts out."""

from collections.abc import Mapping

from fullint.model.ir import Op, Quant, Tensor
from fullint.model.ranges import Range
from fullint.ops.builder import Builder
from fullint.ops.control_flow import ties
from fullint.ops.make import make_op
from fullint.quantization.element_types import element_types
from fullint.quantization.scale_sharing import Sharing, share_scales

SIGMOID, TANH = Quant.of(1 / 256, -128), Quant.of(1 / 128, 0)
"""What the kernels demand: [0, 255/256] and [-1, 127/128]."""


def share(
    g: Builder,
    ranges: Mapping[Tensor, tuple[float, float]],
    useful: Mapping[Tensor, Range] | None = None,
    masks: Mapping[tuple[Op, int], Range] | None = None,
    types: Mapping[Op, str] | None = None,
    default: str = "int8",
    pinned: Mapping[Tensor, tuple[Quant, str]] | None = None,
) -> Sharing:
    model = g.model()
    spans = {t: Range(float(low), float(high)) for t, (low, high) in ranges.items()}
    kinds = element_types(model, types or {}, default)
    return share_scales(model, spans, useful or {}, masks or {}, ties(model, {}), kinds, pinned or {})


def reasons(found: Sharing) -> list[tuple[str, int, str]]:
    return [(c.op.kind, c.input, c.why) for c in found.cuts]


def scale(found: Sharing, t: Tensor) -> float:
    return float(found.tensors[t].quant.scale[0])


def joined(found: Sharing, *tensors: Tensor) -> bool:
    first = found.tensors[tensors[0]]
    return all(found.tensors[t].quant.same_as(first.quant) for t in tensors)


def concatenation(g: Builder, *parts: Tensor) -> Tensor:
    y = g.op("CONCATENATION", *parts, shape=(1, 4 * len(parts)), axis=1)
    g.output(y)
    return y


def busy(g: Builder) -> Tensor:
    """A value that an ABS reads as well: its steps matter to somebody else."""
    x = g.op("EXP", g.input(1, 4))
    g.output(g.op("ABS", x))
    return x


def loop(g: Builder, before: Tensor) -> tuple[list[Tensor], Op]:
    """WHILE(x): x' -> EXP(x') -> y. Returns what is one value and the loop."""
    cond, body = Builder(name="cond"), Builder(name="body")
    seen = cond.input(1, 4)
    cond.output(cond.op("LESS", cond.reshape(seen, 4), cond.const(1.0), shape=(1,)))
    inside = body.input(1, 4)
    body.output(body.op("EXP", inside))
    out = Tensor("after", (1, 4), "float32")
    g.graph.ops.append(make_op("WHILE", [before], [out], cond_subgraph_index=cond.graph, body_subgraph_index=body.graph))
    g.output(out)
    return [inside, seen, out, body.graph.outputs[0]], g.graph.ops[-1]


def quantize_of(g: Builder, x: Tensor, quant: Quant, dtype: str = "int8") -> None:
    q = g.op("QUANTIZE", x, dtype=dtype)
    q.quant = quant
    g.output(q)
