"""The float model as it was trained, with the rounding that `qat_params` took out of it.

    x --CONV_2D--> y, with parameters      =>      x --CONV_2D--> . --QUANTIZE--> . --DEQUANTIZE--> y

Training with fake quantization lets a network rely on values being cut off at the ends of a range. So what is measured on the
float model, and what integers are compared with, has to see them cut off: without that, the difference would be taken for an
error, and corrected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fullint.model.ir import Array, Graph, Model, Op, Quant, Tensor, twin
from fullint.model.numerics import dequantize, quantize
from fullint.model.subgraphs import below, callees_first, point_to
from fullint.ops.make import make_op

Rounding = Mapping[Tensor, tuple[Quant, str]]
"""Float tensor -> parameters and type that it is rounded to when it is made."""


def as_trained(model: Model, rounding: Rounding | None) -> Model:
    """A model whose tensors, the same objects, hold the rounded values; the same model where nothing is rounded."""
    if not rounding:
        return model
    new: dict[Graph, Graph] = {}
    for graph in (*callees_first(model.main.ops), model.main):
        new[graph] = _rounding(graph, rounding, new)
    return Model(below(new[model.main]), version=model.version)


def _rounding(graph: Graph, rounding: Rounding, called: Mapping[Graph, Graph]) -> Graph:
    ops: list[Op] = []

    def raw(t: Tensor) -> Tensor:
        if t not in rounding:
            return t
        before, codes = twin(t, f"{t.name}/before"), twin(t, f"{t.name}/codes")
        before.quant = None
        codes.quant, codes.dtype = rounding[t]
        pairs.extend((make_op("QUANTIZE", [before], [codes]), make_op("DEQUANTIZE", [codes], [t])))
        return before

    pairs: list[Op] = []
    inputs = [raw(t) for t in graph.inputs]
    ops += pairs
    for op in graph.ops:
        pairs.clear()
        outputs = [raw(t) for t in op.outputs]
        options = point_to(op.options, called)
        ops += [replace(op, outputs=outputs, options=options), *pairs]
    rounded = Graph(graph.name, [], inputs, list(graph.outputs), ops)
    rounded.sync_tensors()
    return rounded


def rounded_values(values: Array, given: tuple[Quant, str] | None) -> Array:
    """What a tensor holds that is rounded to these parameters, if any."""
    return values if given is None else dequantize(quantize(values, *given), given[0])
