"""Two layers whose results are added, and one of both inputs that computes the same. Where it pays, `quantization` decides.

ADD(FULLY_CONNECTED(x, W, b), FULLY_CONNECTED(h, U, c))    =>    FULLY_CONNECTED(CONCATENATION(x, h), [W U], b + c)
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, replace

import numpy as np

from fullint.model.ir import Op, Tensor, Uses, constant
from fullint.ops import ROWS, traits_of
from fullint.ops.make import make_op
from fullint.passes.engine import Rewrite
from fullint.passes.fold_affine import is_dense, with_weights


@dataclass(frozen=True, eq=False)
class AddedLayer:
    """A layer in front of a sum, with the moves between.

    Attributes:
        op: the layer.
        behind: the moves.
    """

    op: Op
    behind: tuple[Op, ...]

    @property
    def read(self) -> Tensor:
        """What it multiplies."""
        t = self.op.inputs[ROWS[self.op.kind].data]
        assert t is not None
        return t

    @property
    def weights(self) -> Tensor:
        """What it multiplies with."""
        t = self.op.inputs[ROWS[self.op.kind].weight or 0]
        assert t is not None
        return t


def all_of(pair: tuple[AddedLayer, AddedLayer]) -> list[Op]:
    """The operators of both."""
    return [op for layer in pair for op in (layer.op, *layer.behind)]


def added_layers(op: Op, uses: Uses) -> tuple[AddedLayer, AddedLayer] | None:
    """The two layers that a sum adds, first the one whose result has the shape of the sum."""
    if traits_of(op.kind).adds != (1, 1) or len(op.inputs) != 2:
        return None
    a, b = (_layer(t, uses) for t in op.inputs)
    if a is None or b is None:
        return None
    shape = op.outputs[0].shape
    first, second = (a, b) if a.op.outputs[0].shape == shape else (b, a)
    outputs = [layer.op.outputs[0] for layer in (first, second)]
    rows = {layer.read.shape[:-1] for layer in (first, second)}
    fits = outputs[0].shape == shape and outputs[1].size == outputs[0].size and rows == {shape[:-1]}
    apart = first.read is not second.read and all(layer.weights.quant is None for layer in (first, second))
    return (first, second) if fits and apart else None


def _layer(t: Tensor | None, uses: Uses) -> AddedLayer | None:
    """The layer behind moves that keep channels in place, where nothing else reads what is made between."""
    behind: tuple[Op, ...] = ()
    while t is not None and uses.only_reader(t) is not None:
        op = uses.producer.get(t)
        if op is None or op.keep_float or op.options.get("fused_activation_function"):
            return None
        row, traits = ROWS.get(op.kind), traits_of(op.kind)
        if row is not None and row.weight is not None:
            return AddedLayer(op, behind) if is_dense(op) else None
        if not (traits.moves and traits.passes_small and traits.keeps_channels is not None and traits.keeps_channels(op)):
            return None
        if op.inputs[0] is None or op.inputs[0].shape[-1:] != t.shape[-1:]:
            return None
        t, behind = op.inputs[0], (op, *behind)
    return None


def as_one_layer(op: Op, pair: tuple[AddedLayer, AddedLayer], joined: MutableMapping[tuple[Tensor, Tensor], Tensor]) -> Rewrite:
    """Layers that share their weights share them joined as well."""
    (first, second), out = pair, op.outputs[0]
    key = (first.weights, second.weights)
    if key not in joined:
        joined[key] = constant(f"{first.weights.name}/joined", np.concatenate([w.array for w in key], axis=1))
    index = ROWS[first.op.kind].bias or 0
    biases = [b.array.reshape(-1) for layer in pair if (b := layer.op.input(index)) is not None]
    bias = np.broadcast_to(sum(biases, np.zeros(1, np.float32)), (out.shape[-1],)).astype(np.float32)
    width = sum(layer.read.shape[-1] for layer in pair)
    both = Tensor(f"{out.name}/both", (*out.shape[:-1], width), "float32")
    join = make_op("CONCATENATION", [layer.read for layer in pair], [both], axis=len(both.shape) - 1)
    new = with_weights(first.op, joined[key], constant(f"{out.name}/bias", bias))
    new.inputs[ROWS[new.kind].data], new.outputs = both, [out]
    new.options["fused_activation_function"] = op.options.get("fused_activation_function", 0)
    why = f"two {new.kind} whose results are added written as one of both inputs: rounded once"
    return Rewrite((*all_of(pair), op), (join, new), why)


def one_join(op: Op, uses: Uses) -> Rewrite | None:
    """A layer that reads what an earlier operator has joined already."""
    row = ROWS.get(op.kind)
    both = op.input(row.data) if row is not None and row.weight is not None else None
    join = uses.producer.get(both) if both is not None else None
    if row is None or both is None or join is None or not traits_of(join.kind).joins or join.inputs[0] is None:
        return None
    first = next(o for o, _ in uses.of(join.inputs[0]) if o.kind == join.kind and o.inputs == join.inputs)
    if first is join or first.options != join.options:
        return None
    new = replace(op, inputs=[first.outputs[0] if x is both else x for x in op.inputs])
    return Rewrite((op,), (new,), f"reads what {join.kind} has joined for another layer")
